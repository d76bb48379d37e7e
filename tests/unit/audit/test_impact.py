"""What a change would do to questions: which move, and with what effect."""

from typing import Any

from tests.unit.cluster.builders import UID_RANGE, namespace, pod, scc

from scc_operator.audit.impact import Move, Side, moves
from scc_operator.audit.view import View
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.records import Namespace, Question

Json = dict[str, Any]
CLAIM: Json = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}


def side(*sccs: Json, **annotations: str) -> Side:
    """A cluster with these SCCs, which everybody may use, and a namespace `shop`."""
    mirror = Mirror()
    for each in sccs:
        mirror.take(Kind.SCCS, each)
    found = Namespace.read(namespace("shop", annotations={**UID_RANGE, **annotations}))
    return Side(View(mirror, frozenset()), {"shop": found}.get)


def asked(**spec: Any) -> Question:
    """What a pod of namespace `shop` asks."""
    mirror = Mirror()
    raw = pod("web")
    raw["spec"].update(spec)
    mirror.take(Kind.PODS, raw)
    (question,) = mirror.questions
    return question


def move(question: Question, before: Side, after: Side) -> Move:
    """The one move of a question."""
    (found,) = moves([question], before, after)
    return found


ANYUID: Json = {"runAsUser": {"type": "RunAsAny"}}


def test_nothing_moves_where_nothing_that_matters_changes() -> None:
    """Another SCC further down the order, or another description, touches nobody."""
    assert list(moves([asked()], side(scc("a")), side(scc("a"), scc("b", priority=None)))) == []


def test_another_scc() -> None:
    """An SCC that is tried first takes over, and the users that it assigns are told."""
    found = move(asked(), side(scc("a")), side(scc("a"), scc("b", priority=5, **ANYUID)))
    assert (found.before.title, found.after.title) == ("a", "b")
    assert [(each.field, each.after) for each in found.changes] == [("runAsUser", "the image's")]
    assert (found.identity, found.volumes, found.gravity) == (True, False, 2)


def test_another_identity_with_volumes_is_graver() -> None:
    """Files that outlive the pod belong to the old user."""
    found = move(asked(volumes=[CLAIM]), side(scc("a")), side(scc("b", **ANYUID)))
    assert (found.identity, found.volumes, found.gravity) == (True, True, 1)


def test_ephemeral_volumes_are_made_anew() -> None:
    """An emptyDir, a secret and the like are no reason to worry."""
    found = move(asked(volumes=[{"name": "tmp", "emptyDir": {}}]), side(scc("a")), side(scc("b", **ANYUID)))
    assert (found.volumes, found.gravity) == (False, 2)


def test_another_scc_with_the_same_values_is_a_move_all_the_same() -> None:
    """Its name stands on the pod, and its rules hold from now on."""
    found = move(asked(), side(scc("a")), side(scc("b")))
    assert (found.changes, found.gravity, found.denied) == ((), 3, False)


def test_denied_comes_first() -> None:
    """A pod that has an SCC and would have none."""
    question = asked(hostNetwork=True)
    found = move(question, side(scc("a", allowHostNetwork=True)), side(scc("a")))
    assert (found.denied, found.gravity, found.after.title) == (True, 0, "denied")
    assert found.after.answer.reason == "HostNetworkNotAllowed"


def test_a_denied_pod_that_is_denied_for_another_reason_does_not_move() -> None:
    """It had no SCC and has none."""
    question = asked(hostNetwork=True, hostPID=True)
    assert list(moves([question], side(scc("a")), side(scc("a", allowHostNetwork=True)))) == []


def test_a_denied_pod_that_gets_an_scc_moves() -> None:
    """That is what a grant is for."""
    found = move(asked(hostNetwork=True), side(scc("a")), side(scc("a", allowHostNetwork=True)))
    assert (found.before.title, found.after.title, found.denied) == ("denied", "a", False)


def test_a_namespace_s_new_values_move_its_pods() -> None:
    """They stay under their SCC, and become somebody else."""
    found = move(asked(), side(scc("a")), side(scc("a"), **{"openshift.io/sa.scc.uid-range": "5000/10"}))
    assert (found.before.title, found.after.title) == ("a", "a")
    assert [each.field for each in found.changes] == ["runAsUser"]


def test_a_namespace_that_goes() -> None:
    """Nobody can say what its pods would get: there will be none."""
    before = side(scc("a"))
    found = move(asked(), before, Side(before.view, {}.get))
    assert (found.after.title, found.after.answer.reason, found.denied) == ("unknown", "NamespaceNotFound", False)


def test_containers_that_differ_are_told_apart() -> None:
    """Each with its own value."""
    containers = [{"name": "a", "securityContext": {"runAsUser": 7}}, {"name": "b"}]
    (change,) = move(
        asked(containers=containers),
        side(scc("x", **ANYUID)),
        side(scc("x", runAsUser={"type": "MustRunAs", "uid": 7})),
    ).changes
    assert (change.before, change.after) == ("a: 7, b: the image's", "7")
