"""What a change would do to running pods: every question is asked before and after it, and what differs is a move.

The cost grows with questions, not with pods: ten thousand replicas of one Deployment are asked for once on each side.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from scc_operator.audit.answer import Answer, Verdict
from scc_operator.audit.view import View, answer_of
from scc_operator.cluster.records import Namespace, Question
from scc_operator.engine.judge import decide
from scc_operator.engine.pod import Container, Place, Pod, SeccompProfile
from scc_operator.engine.scc import SELinuxOptions
from scc_operator.engine.verdict import Attempt, FillField

IDENTITY = ("runAsUser", "fsGroup", "supplementalGroups", "seLinuxOptions")
"""What decides about access to files: a change of one of these can make a volume unreadable."""
EPHEMERAL_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "gitRepo", "image", "projected", "secret"}
)
"""Volume types whose content is made anew with every pod, with the rights that it needs."""

_IMAGE = "the image's"
_RUNTIME = "the runtime's"
_NONE = "none"

NamespaceOf = Callable[[str], Namespace | None]


class Side(msgspec.Struct, frozen=True):
    """The cluster before or after the change: whom to ask, and a namespace as it stands there."""

    view: View
    namespace_of: NamespaceOf


class Outcome(msgspec.Struct, frozen=True):
    """What a pod gets on one side.

    Attributes:
        answer: its answer.
        runs_with: what its containers then run with, by field; nothing where no SCC admits it.
    """

    answer: Answer
    runs_with: dict[str, str]

    @property
    def title(self) -> str:
        """The SCC, or the verdict where there is none."""
        return self.answer.scc or self.answer.verdict.value


class Change(msgspec.Struct, frozen=True):
    """A field that a pod would run with another value of."""

    field: str
    before: str
    after: str


class Move(msgspec.Struct, frozen=True):
    """A question whose pods are touched by the change."""

    question: Question
    before: Outcome
    after: Outcome
    changes: tuple[Change, ...]

    @property
    def denied(self) -> bool:
        """Its pods have an SCC now and would have none on their next start."""
        return bool(self.before.answer.scc) and self.after.answer.verdict is Verdict.DENIED

    @property
    def identity(self) -> bool:
        """Its pods would run as another user, with another group or under another SELinux label."""
        return any(change.field in IDENTITY for change in self.changes)

    @property
    def volumes(self) -> bool:
        """Its pods mount volumes whose files outlive them."""
        return any(volume.type not in EPHEMERAL_VOLUMES for volume in self.question.pod.volumes)

    @property
    def gravity(self) -> int:
        """What to look at first: 0 is denied, then a new identity with volumes, a new identity, anything else."""
        if self.denied:
            return 0
        if self.identity:
            return 1 if self.volumes else 2
        return 3


def moves(questions: Iterable[Question], before: Side, after: Side) -> Iterator[Move]:
    """The questions whose pods would get another SCC, another verdict, or other values; in the order given."""
    for question in questions:
        old, new = outcome(question, before), outcome(question, after)
        changes = tuple(_changes(old, new))
        if changes or _kind(old.answer) != _kind(new.answer):
            yield Move(question, old, new, changes)


def _kind(answer: Answer) -> tuple[str, str]:
    """What tells two answers apart: the SCC, or the verdict where there is none. Why it is denied does not count."""
    return answer.scc, "" if answer.scc else answer.verdict.value


def outcome(question: Question, side: Side) -> Outcome:
    """What the pods of a question get on one side."""
    providers = side.view.candidates(question, side.namespace_of(question.namespace))
    if isinstance(providers, Answer):
        return Outcome(providers, {})
    decision = decide(question.pod, providers, side.view.usable(question))
    runs_with = running_with(question.pod, decision.chosen) if decision.chosen else {}
    return Outcome(answer_of(decision, question.pod), runs_with)


def _changes(before: Outcome, after: Outcome) -> Iterator[Change]:
    if not (before.runs_with and after.runs_with):
        return
    for field, value in before.runs_with.items():
        if after.runs_with[field] != value:
            yield Change(field, value, after.runs_with[field])


# --- what a pod runs with under an SCC -----------------------------------------------------------------------------


def running_with(pod: Pod, attempt: Attempt) -> dict[str, str]:
    """What the containers of a pod run with once an SCC has filled in what they leave open, by field.

    Where containers differ, each is named with its own value.
    """
    filled = {(fill.place, fill.field): fill.value for fill in attempt.fills}

    def of_pod(field: FillField, own: object) -> object:
        return filled.get((None, field), own)

    def of_container(field: FillField, own: Callable[[Container], object]) -> Callable[[Container], object]:
        return lambda container: filled.get((container.place, field), own(container))

    context = of_pod("seLinuxOptions", pod.se_linux_options)
    seccomp = of_pod("seccompProfile", _profile(pod.seccomp_profile) or pod.seccomp_annotation)
    return {
        "runAsUser": _each(pod, of_container("runAsUser", lambda each: each.run_as_user), _IMAGE),
        "fsGroup": _text(of_pod("fsGroup", pod.fs_group), _NONE),
        "supplementalGroups": _text(of_pod("supplementalGroups", pod.supplemental_groups), _NONE),
        "seLinuxOptions": _each(pod, lambda each: each.se_linux_options or context, _RUNTIME),
        "seccompProfile": _each(
            pod,
            of_container(
                "seccompProfile", lambda each: _profile(each.seccomp_profile) or each.seccomp_annotation or seccomp
            ),
            "not set",
        ),
        "capabilities.add": _each(pod, of_container("capabilities.add", lambda each: each.capabilities_add), _NONE),
        "capabilities.drop": _each(pod, of_container("capabilities.drop", lambda each: each.capabilities_drop), _NONE),
        "allowPrivilegeEscalation": _each(
            pod, of_container("allowPrivilegeEscalation", lambda each: each.allow_privilege_escalation), "true"
        ),
        "readOnlyRootFilesystem": _each(
            pod, of_container("readOnlyRootFilesystem", lambda each: each.read_only_root_filesystem), "false"
        ),
    }


def _profile(profile: SeccompProfile | None) -> str:
    return profile.text if profile is not None else ""


def _each(pod: Pod, value_of: Callable[[Container], object], unset: str) -> str:
    values: dict[Place, str] = {each.place: _text(value_of(each), unset) for each in pod.containers}
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{place.name}: {value}" for place, value in values.items())


def _text(value: object, unset: str) -> str:
    if value is None or value in ("", ()):
        return unset
    if isinstance(value, SELinuxOptions):
        return ":".join(part for part in (value.user, value.role, value.type, value.level) if part) or unset
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
