import pytest
from tests.unit.cluster.builders import namespace, pod, raw, scc

from scc_operator import names
from scc_operator.access.subjects import SOMEBODY, Identity
from scc_operator.cluster.records import Constraints, Namespace, Question, RunningPod


def question(found: RunningPod | None) -> Question:
    """The question of a pod that has one."""
    assert found is not None
    assert found.question is not None
    return found.question


def test_replicas_ask_one_question() -> None:
    """Name, labels, status and what the audit wrote are no part of it; the namespace is."""
    first = question(RunningPod.read(pod("web-1", user=5)))
    audited = pod(
        "web-2", 7, user=5, labels={"a": "b"}, annotations={names.VERDICT: "denied", names.SCC_ANNOTATION: "x"}
    )
    assert question(RunningPod.read(audited)) == first
    elsewhere = pod("web-1", user=5, namespace="other")
    assert question(RunningPod.read(elsewhere)) != first
    assert question(RunningPod.read(pod("web-1", user=6))) != first


def test_fields_of_a_newer_kubernetes_are_ignored() -> None:
    """A pod with fields that nobody knows yet asks the same question as one without."""
    newer = pod("web", user=5)
    newer["spec"]["hologram"] = {"enabled": True}
    newer["spec"]["containers"][0]["securityContext"]["quantum"] = [1, 2]
    newer["spec"]["containers"][0]["resizePolicies"] = None
    newer["status"]["observed"] = "yes"
    assert question(RunningPod.read(newer)) == question(RunningPod.read(pod("web", user=5)))


def test_a_volume_of_a_newer_kubernetes_is_told_apart() -> None:
    """A source that is unknown decides whether an SCC admits the pod, so it is part of the question."""
    newer = pod("web")
    newer["spec"]["volumes"] = [{"name": "v", "hologramVolume": {"size": 1}}]
    assert question(RunningPod.read(newer)) != question(RunningPod.read(pod("web")))


def test_a_pod_that_cannot_be_read_says_why() -> None:
    """It has no question, but is known; whoever looks at it learns which field is wrong."""
    broken = pod("web")
    broken["spec"]["containers"][0]["securityContext"]["runAsUser"] = "root"
    found = RunningPod.read(broken)
    assert found is not None
    assert found.question is None
    assert "runAsUser" in found.problem


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_finished_pods_are_left_out(phase: str) -> None:
    """Nobody starts them again."""
    assert RunningPod.read({**pod("web"), "status": {"phase": phase}}) is None


def test_terminating_pods_are_left_out() -> None:
    """They are on their way out."""
    assert RunningPod.read(pod("web", deletionTimestamp="2030-01-01T00:00:00Z")) is None


def test_what_stands_on_a_pod_is_kept() -> None:
    """The five annotations in order, and whether an admission of OpenShift left its record."""
    annotations = {names.SCC_ANNOTATION: "anyuid", names.VERDICT: "fits", "other": "x"}
    found = RunningPod.read(pod("web", annotations=annotations))
    assert found is not None
    assert found.written == ("anyuid", "fits", None, None, None)
    assert not found.recorded
    found = RunningPod.read(pod("web", annotations={**annotations, names.SUBJECT_TYPE: "serviceaccount"}))
    assert found is not None
    assert found.recorded


def test_the_requester_follows_from_the_controller() -> None:
    """A bare pod was created by somebody, a mirror pod by its node."""
    assert question(RunningPod.read(pod("web"))).requester == SOMEBODY
    static = pod("static", annotations={names.MIRROR_POD: "hash"})
    static["spec"]["nodeName"] = "n1"
    found = RunningPod.read(static)
    assert found is not None
    assert found.mirror
    assert question(found).requester == Identity("system:node:n1", (names.NODES, names.AUTHENTICATED))


def test_a_namespace_keeps_its_ranges_and_what_exempts_it() -> None:
    """An empty annotation is there, a missing one is not."""
    found = Namespace.read(namespace("shop", labels={names.RUN_LEVEL_LABEL: "1"}, annotations={names.UID_RANGE: ""}))
    assert found.annotations == {names.UID_RANGE: ""}
    assert (found.run_level, found.terminating) == ("1", False)
    assert Namespace.read(raw("bare", 1)).annotations == {}


@pytest.mark.parametrize(
    "ending",
    [
        namespace("shop", deletionTimestamp="2030-01-01T00:00:00Z"),
        {**namespace("shop"), "status": {"phase": "Terminating"}},
    ],
    ids=["deletionTimestamp", "phase"],
)
def test_a_namespace_that_is_being_deleted_is_terminating(ending: dict[str, object]) -> None:
    """Either sign will do."""
    assert Namespace.read(ending).terminating


def test_an_scc_that_cannot_be_read_or_evaluated_says_why() -> None:
    """One has no SCC, the other has one that may be used by nobody; both have a text."""
    assert Constraints.read(scc("right")).errors == ()
    unreadable = Constraints.read(scc("wrong", priority="high"))
    assert unreadable.scc is None
    assert "priority" in unreadable.errors[0]
    unusable = Constraints.read(scc("half", runAsUser={"type": "MustRunAs"}))
    assert unusable.scc is not None
    assert unusable.errors
