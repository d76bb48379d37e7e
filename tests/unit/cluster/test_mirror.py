from typing import Any

import pytest
from tests.unit.cluster.builders import namespace, pod, raw, scc

from scc_operator import names
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror

USE = {
    "apiGroups": [names.SECURITY_GROUP],
    "resources": [names.SCC_RESOURCE],
    "resourceNames": ["anyuid"],
    "verbs": [names.USE_VERB],
}
READ = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}


class Told:
    """A mirror, and what it tells since it was last asked."""

    def __init__(self) -> None:
        self.mirror = Mirror()
        self._told: list[tuple[Any, ...]] = []
        tell = self.mirror.tell
        for name in tell.__struct_fields__:
            getattr(tell, name).append(lambda *what, name=name: self._told.append((name, *what)))

    def __call__(self) -> list[tuple[Any, ...]]:
        """What was told."""
        told, self._told = self._told, []
        return told

    def names(self) -> list[str]:
        """Whom something was told."""
        return [each[0] for each in self()]


@pytest.fixture
def told() -> Told:
    """An empty mirror."""
    return Told()


def role(name: str, version: int, *rules: dict[str, Any]) -> dict[str, Any]:
    """A ClusterRole."""
    return raw(name, version, kind="ClusterRole", rules=list(rules))


def role_binding(name: str, version: int, to: str) -> dict[str, Any]:
    """A RoleBinding of namespace shop to a ClusterRole."""
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": "shop"}
    reference = {"kind": "ClusterRole", "name": to}
    return raw(name, version, "shop", kind="RoleBinding", roleRef=reference, subjects=[subject])


def test_the_first_list_is_no_interruption(told: Told) -> None:
    """Kopf shows every object once with no event type when it begins."""
    for name in ("a", "b"):
        told.mirror.observe(Kind.NAMESPACES, None, namespace(name))
    assert "replay" not in told.names()


def test_what_is_shown_again_tells_of_an_interruption_once(told: Told) -> None:
    """Kopf lists anew after a 410 and never says what vanished; the kind is listed once for each time."""
    for _ in range(3):
        for name in ("a", "b", "c"):
            told.mirror.observe(Kind.NAMESPACES, None, namespace(name))
    assert [each for each in told() if each[0] == "replay"] == [("replay", Kind.NAMESPACES)] * 2


def test_an_interruption_is_noticed_by_objects_that_came_later(told: Told) -> None:
    """An object that an event brought counts as shown."""
    told.mirror.observe(Kind.PODS, "ADDED", pod("web"))
    told.mirror.observe(Kind.PODS, None, pod("web"))
    assert ("replay", Kind.PODS) in told()


def test_a_deleted_object_that_is_shown_again_is_a_new_one(told: Told) -> None:
    """A name that is used again tells of no interruption."""
    told.mirror.observe(Kind.PODS, "ADDED", pod("web", 1))
    told.mirror.observe(Kind.PODS, "DELETED", pod("web", 2))
    told.mirror.observe(Kind.PODS, None, pod("web", 3, uid="other"))
    assert "replay" not in told.names()


def test_kinds_are_interrupted_apart(told: Told) -> None:
    """Each kind has a watch of its own."""
    told.mirror.observe(Kind.ROLES, None, raw("a", 1, "shop", kind="Role", rules=[]))
    told.mirror.observe(Kind.ROLE_BINDINGS, None, role_binding("a", 1, "x"))
    assert "replay" not in told.names()


def test_no_answer_is_trusted_before_every_kind_was_listed(told: Told) -> None:
    """What events have shown is never known to be whole."""
    assert told.mirror.unsynced == list(Kind)
    for kind in Kind:
        told.mirror.store(kind).replace({}, 1)
    assert told.mirror.unsynced == []


def test_replicas_share_a_question(told: Told) -> None:
    """It is asked when its first pod comes and forgotten when its last pod goes."""
    mirror = told.mirror
    mirror.observe(Kind.PODS, None, pod("web-1", 1))
    mirror.observe(Kind.PODS, None, pod("web-2", 2))
    (question,) = mirror.questions
    assert mirror.questions[question] == {("shop", "web-1"), ("shop", "web-2")}
    assert told.names() == ["question", "pod", "pod"]
    mirror.observe(Kind.PODS, "DELETED", pod("web-1", 3))
    assert told.names() == []
    mirror.observe(Kind.PODS, "DELETED", pod("web-2", 4))
    assert told() == [("forgotten", question)]
    assert not mirror.questions
    del question
    assert not mirror._same


def test_a_pod_that_changed_asks_another_question(told: Told) -> None:
    """An ephemeral container, say, moves the pod; the question that it leaves is forgotten."""
    told.mirror.observe(Kind.PODS, None, pod("web", 1))
    told.mirror.observe(Kind.PODS, "MODIFIED", pod("web", 2, user=5))
    assert told.names() == ["question", "pod", "forgotten", "question", "pod"]
    assert len(told.mirror.questions) == 1


def test_a_finished_pod_asks_nothing(told: Told) -> None:
    """It leaves the mirror as if it had been deleted."""
    told.mirror.observe(Kind.PODS, None, pod("web", 1))
    told.mirror.observe(Kind.PODS, "MODIFIED", {**pod("web", 2), "status": {"phase": "Succeeded"}})
    assert not told.mirror.questions
    assert not len(told.mirror.pods)


def test_a_stale_event_of_a_deleted_pod_leaves_no_trace(told: Told) -> None:
    """Neither the pod comes back nor its question."""
    told.mirror.observe(Kind.PODS, None, pod("web", 1))
    told.mirror.observe(Kind.PODS, "DELETED", pod("web", 5))
    told.mirror.take(Kind.PODS, pod("web", 4, user=7))
    assert not told.mirror.questions
    assert not len(told.mirror.pods)


def test_a_namespace_that_changed_asks_its_questions_again(told: Told) -> None:
    """Only those of its own pods, and only where ranges or exemption changed."""
    told.mirror.observe(Kind.PODS, None, pod("web"))
    told.mirror.observe(Kind.NAMESPACES, None, namespace("shop", 1))
    told()
    told.mirror.observe(Kind.NAMESPACES, "MODIFIED", namespace("shop", 2, labels={"team": "a"}))
    assert told.names() == []
    told.mirror.observe(Kind.NAMESPACES, "MODIFIED", namespace("shop", 3, annotations={}))
    assert told.names() == ["namespace", "question"]
    told.mirror.observe(Kind.NAMESPACES, None, namespace("other", 4))
    assert told.names() == ["namespace"]


def test_an_scc_that_changed_makes_everything_stale(told: Told) -> None:
    """Also one that came, went, or broke; not one that only got a label."""
    mirror = told.mirror
    mirror.observe(Kind.SCCS, None, scc("one", 1))
    assert told.names() == ["scc", "everything"]
    relabelled = scc("one", 2)
    relabelled["metadata"]["labels"] = {"a": "b"}
    mirror.observe(Kind.SCCS, "MODIFIED", relabelled)
    assert told.names() == []
    mirror.observe(Kind.SCCS, "MODIFIED", scc("one", 3, runAsUser={"type": "MustRunAs"}))
    assert told.names() == ["scc", "everything"]
    mirror.observe(Kind.SCCS, "DELETED", scc("one", 4))
    assert told.names() == ["scc", "everything"]


def test_rbac_that_says_nothing_about_sccs_makes_nothing_stale(told: Told) -> None:
    """Most roles and bindings of a cluster are such."""
    told.mirror.observe(Kind.CLUSTER_ROLES, None, role("reader", 1, READ))
    told.mirror.observe(Kind.ROLE_BINDINGS, None, role_binding("b", 1, "reader"))
    assert "everything" not in told.names()


def test_rbac_that_grants_an_scc_makes_everything_stale_in_any_order(told: Told) -> None:
    """A binding may come before its role; a role may begin or cease to grant."""
    mirror = told.mirror
    mirror.observe(Kind.ROLE_BINDINGS, None, role_binding("b", 1, "user"))
    assert "everything" not in told.names()
    mirror.observe(Kind.CLUSTER_ROLES, None, role("user", 2, USE))
    assert "everything" in told.names()
    mirror.observe(Kind.ROLE_BINDINGS, "DELETED", role_binding("b", 3, "user"))
    assert "everything" in told.names()
    mirror.observe(Kind.CLUSTER_ROLES, "MODIFIED", role("user", 4, READ))
    assert "everything" in told.names()


def test_a_role_without_rules_is_read(told: Told) -> None:
    """Go writes an empty list as null; an aggregated ClusterRole begins its life so."""
    told.mirror.observe(Kind.CLUSTER_ROLES, None, raw("aggregated", 1, kind="ClusterRole", rules=None))
    assert ("", "aggregated") in told.mirror.cluster_roles


def test_a_binding_whose_status_we_wrote_wakes_nobody(told: Told) -> None:
    """Else every write would be followed by another look, for ever."""
    mirror = told.mirror
    first = raw("web", 1, "shop", metadata={"generation": 1}, spec={"sccs": ["anyuid"]})
    mirror.observe(Kind.BINDINGS, None, first)
    assert told() == [("binding", Kind.BINDINGS, ("shop", "web"))]
    mirror.take(Kind.BINDINGS, raw("web", 2, "shop", metadata={"generation": 1}, status={"pods": 1}))
    assert told() == []
    mirror.observe(Kind.BINDINGS, "MODIFIED", raw("web", 3, "shop", metadata={"generation": 2}))
    assert told.names() == ["binding"]


def test_a_binding_of_the_same_name_wakes_its_reconciler(told: Told) -> None:
    """Its generation is the same as the deleted one's; it is another object all the same."""
    told.mirror.observe(Kind.BINDINGS, None, raw("web", 1, "shop", uid="u1", metadata={"generation": 1}))
    told()
    told.mirror.observe(Kind.BINDINGS, "MODIFIED", raw("web", 5, "shop", uid="u2", metadata={"generation": 1}))
    assert "binding" in told.names()
