"""An answer, and how it is written on a pod."""

from enum import StrEnum

import msgspec

from scc_operator import names
from scc_operator.cluster.records import RunningPod


class Verdict(StrEnum):
    """What the audit says about a pod, in one word (annotation `scc-operator.io/verdict`)."""

    FITS = "fits"
    """It satisfies its SCC as it runs."""
    FITS_WITH_DEFAULTS = "fits-with-defaults"
    """Admission would only fill in what the pod left open."""
    DENIED = "denied"
    """No SCC that it may use allows it."""
    EXEMPT = "exempt"
    """SCC admission would not look at it."""
    UNKNOWN = "unknown"
    """It cannot be decided as things are."""


class Answer(msgspec.Struct, frozen=True):
    """The answer to a question.

    Attributes:
        verdict: the answer in a word.
        scc: the SCC that the pod would be admitted under; empty where there is none.
        subject: whose right makes that SCC usable: `serviceaccount` or `user`; empty without an SCC.
        would_set: sorted names of what admission would fill in.
        reason: a stable CamelCase code for denied, exempt and unknown, else empty.
    """

    verdict: Verdict
    scc: str = ""
    subject: str = ""
    would_set: tuple[str, ...] = ()
    reason: str = ""


def annotations(answer: Answer, pod: RunningPod, *, believe_record: bool) -> dict[str, str | None]:
    """The annotations that differ from what stands on the pod: values to set, None for those to remove.

    Args:
        answer: the pod's answer.
        pod: the pod as last seen.
        believe_record: the pod's `openshift.io/scc` records its real admission and stays; today's answer goes to
            `scc-operator.io/would-match` where it is another one.
    """
    written = dict(zip(names.POD_ANNOTATIONS, pod.written, strict=True))
    standing = written[names.SCC_ANNOTATION]
    keep = believe_record or answer.verdict is Verdict.UNKNOWN
    wanted = {
        names.SCC_ANNOTATION: standing if keep else (answer.scc or None),
        names.VERDICT: answer.verdict.value,
        names.WOULD_SET: ",".join(answer.would_set) or None,
        names.REASON: answer.reason or None,
        names.WOULD_MATCH: answer.scc if believe_record and answer.scc not in {"", standing} else None,
    }
    return {key: value for key, value in wanted.items() if value != written[key]}
