import pytest

from scc_operator import names
from scc_operator.audit.answer import Answer, Verdict, annotations
from scc_operator.cluster.records import RunningPod

FITS = Answer(Verdict.FITS_WITH_DEFAULTS, "restricted-v2", "serviceaccount", ("runAsUser", "seccompProfile"))
DENIED = Answer(Verdict.DENIED, reason="RunAsUserOutOfRange")
UNKNOWN = Answer(Verdict.UNKNOWN, reason="UnusableSCC")


def standing(**written: str) -> RunningPod:
    """A pod with these annotations, by the last part of their keys."""
    keys = {key.rpartition("/")[2].replace("-", "_"): key for key in names.POD_ANNOTATIONS}
    found = {keys[name]: value for name, value in written.items()}
    return RunningPod(None, "", tuple(found.get(key) for key in names.POD_ANNOTATIONS), recorded=False, mirror=False)


def test_a_new_pod_gets_all_that_its_answer_says() -> None:
    """Lists are joined by commas, and what the answer leaves empty is no annotation."""
    assert annotations(FITS, standing(), believe_record=False) == {
        names.SCC_ANNOTATION: "restricted-v2",
        names.VERDICT: "fits-with-defaults",
        names.WOULD_SET: "runAsUser,seccompProfile",
    }


def test_what_stands_there_already_is_not_written() -> None:
    """No difference, no write."""
    pod = standing(scc="restricted-v2", verdict="fits-with-defaults", would_set="runAsUser,seccompProfile")
    assert annotations(FITS, pod, believe_record=False) == {}


def test_what_holds_no_longer_is_removed() -> None:
    """A denied pod carries no SCC: None removes an annotation in a merge patch."""
    pod = standing(scc="restricted-v2", verdict="fits-with-defaults", would_set="runAsUser")
    assert annotations(DENIED, pod, believe_record=False) == {
        names.SCC_ANNOTATION: None,
        names.VERDICT: "denied",
        names.WOULD_SET: None,
        names.REASON: "RunAsUserOutOfRange",
    }


def test_a_forged_scc_is_overwritten() -> None:
    """Whoever creates a pod may write any annotation; unless records are believed it is the audit's own."""
    assert annotations(FITS, standing(scc="privileged"), believe_record=False)[names.SCC_ANNOTATION] == "restricted-v2"


def test_unknown_leaves_the_scc_as_it_was() -> None:
    """That nothing can be decided now is no news about the SCC."""
    pod = standing(scc="restricted-v2", verdict="fits")
    assert annotations(UNKNOWN, pod, believe_record=False) == {names.VERDICT: "unknown", names.REASON: "UnusableSCC"}
    assert names.SCC_ANNOTATION not in annotations(UNKNOWN, standing(), believe_record=False)


@pytest.mark.parametrize(
    "answer, match",
    [(FITS, "restricted-v2"), (Answer(Verdict.FITS, "anyuid"), None), (DENIED, None)],
    ids=["another", "the same", "none"],
)
def test_a_believed_record_stays(answer: Answer, match: str | None) -> None:
    """Today's answer stands beside it where it is another one, and only there."""
    found = annotations(answer, standing(scc="anyuid"), believe_record=True)
    assert names.SCC_ANNOTATION not in found
    assert found.get(names.WOULD_MATCH) == match


def test_a_difference_that_is_settled_is_taken_away() -> None:
    """Once the record is today's answer again, `would-match` goes."""
    pod = standing(scc="restricted-v2", would_match="anyuid")
    assert annotations(FITS, pod, believe_record=True)[names.WOULD_MATCH] is None
