from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from scc_operator.access.reconciliation import Changes, ObjectReference, diff
from scc_operator.access.scc_bindings import Desired, desired, grants_nothing, parse_scc_binding

Object = dict[str, Any]

NOW = datetime(2030, 1, 31, 18, 0, tzinfo=UTC)


def wanted(uid: str = "u1", namespace: str = "shop", sccs: tuple[str, ...] = ("anyuid", "privileged")) -> Desired:
    """What a binding of two SCCs asks for."""
    metadata = {"name": "web", "uid": uid, "generation": 1} | ({"namespace": namespace} if namespace else {})
    subjects = [{"kind": "User", "name": "alice"}, {"kind": "ServiceAccount", "name": "web", "namespace": "shop"}]
    raw = {"metadata": metadata, "spec": {"sccs": list(sccs), "subjects": subjects}}
    return desired(parse_scc_binding(raw), {"anyuid": "scc-1", "privileged": "scc-2"}, NOW)


def stored(found: Desired) -> list[Object]:
    """The desired objects as an API server would have stored them."""
    objects = deepcopy([*found.cluster_roles.values(), *found.bindings.values()])
    for number, obj in enumerate(objects):
        obj["metadata"] |= {"uid": f"stored-{number}", "resourceVersion": str(100 + number), "managedFields": [{}]}
    return objects


@pytest.fixture
def existing() -> list[Object]:
    """All that a binding asks for: two ClusterRoles, then two RoleBindings."""
    return stored(wanted())


def told(changes: Changes) -> tuple[list[str], list[str], list[str]]:
    """The names that are created, replaced and deleted."""
    return (
        [obj["metadata"]["name"] for obj in changes.to_create],
        [obj["metadata"]["name"] for obj in changes.to_replace],
        [reference.name for reference in changes.to_delete],
    )


@pytest.mark.parametrize("namespace", ["shop", ""])
def test_from_nothing(namespace: str) -> None:
    """Where nothing exists everything is created, ClusterRoles before the bindings that refer to them."""
    changes = diff(wanted(namespace=namespace), [])
    assert told(changes) == (
        [
            "system:openshift:scc:anyuid",
            "system:openshift:scc:privileged",
            "sccbinding:web:anyuid",
            "sccbinding:web:privileged",
        ],
        [],
        [],
    )
    assert changes.granted == ("anyuid", "privileged")


def test_nothing_to_do(existing: list[Object]) -> None:
    """What is as desired is not written, in whatever order its subjects are stored and whatever others added."""
    existing[2]["subjects"].reverse()
    existing[2]["metadata"]["labels"]["team"] = "shop"
    existing[2]["metadata"]["annotations"] = {"note": "x"}
    changes = diff(wanted(), existing)
    assert told(changes) == ([], [], [])
    assert changes.granted == ("anyuid", "privileged")


@pytest.mark.parametrize("lost", ["subject", "label", "ownerReferences"])
def test_drift_is_corrected(existing: list[Object], lost: str) -> None:
    """A binding of ours that was changed is replaced at its version; what others added to its metadata stays."""
    binding = existing[2]
    binding["metadata"]["annotations"] = {"note": "x"}
    binding["metadata"]["labels"]["team"] = "shop"
    if lost == "subject":
        binding["subjects"].append({"kind": "Group", "name": "intruders", "apiGroup": "rbac.authorization.k8s.io"})
    elif lost == "label":
        binding["metadata"]["labels"]["scc-operator.io/owner-uid"] = "other"
    else:
        del binding["metadata"]["ownerReferences"]
    changes = diff(wanted(), existing)
    assert told(changes) == ([], ["sccbinding:web:anyuid"], [])
    (replacement,) = changes.to_replace
    assert replacement["subjects"] == wanted().bindings["anyuid"]["subjects"]
    metadata = replacement["metadata"]
    assert (metadata["resourceVersion"], metadata["uid"]) == ("102", "stored-2")
    assert metadata["annotations"] == {"note": "x"}
    assert metadata["labels"] == wanted().bindings["anyuid"]["metadata"]["labels"] | {"team": "shop"}
    assert "managedFields" not in metadata


def test_role_reference_cannot_change(existing: list[Object]) -> None:
    """A binding of ours to another role is deleted and created anew, not replaced."""
    existing[2]["roleRef"]["name"] = "cluster-admin"
    changes = diff(wanted(), existing)
    assert told(changes) == (["sccbinding:web:anyuid"], [], ["sccbinding:web:anyuid"])
    assert changes.to_delete == (ObjectReference("RoleBinding", "shop", "sccbinding:web:anyuid", "stored-2"),)
    assert "resourceVersion" not in changes.to_create[0]["metadata"]


def test_what_is_no_longer_asked_for_goes(existing: list[Object]) -> None:
    """A binding of ours for an SCC that was removed is deleted; the ClusterRole belongs to the SCC and stays."""
    changes = diff(wanted(sccs=("anyuid",)), existing)
    assert told(changes) == ([], [], ["sccbinding:web:privileged"])


def test_expired_binding_loses_everything(existing: list[Object]) -> None:
    """A binding that grants nothing has all its RBAC bindings deleted and no ClusterRole."""
    changes = diff(grants_nothing(wanted().owner), existing)
    assert told(changes) == ([], [], ["sccbinding:web:anyuid", "sccbinding:web:privileged"])
    assert changes.granted == ()


def test_namesake_of_a_deleted_binding(existing: list[Object]) -> None:
    """A binding that was deleted and made again takes over what its namesake left, under its own uid."""
    changes = diff(wanted(uid="u2"), existing)
    assert told(changes) == ([], ["sccbinding:web:anyuid", "sccbinding:web:privileged"], [])
    references = changes.to_replace[0]["metadata"]["ownerReferences"]
    assert [reference["uid"] for reference in references] == ["u2"]


def test_objects_of_others_are_left_alone(existing: list[Object]) -> None:
    """Bindings that were generated for another SCC binding, or by hand, are neither changed nor deleted."""
    others = [obj for obj in stored(wanted(namespace="")) if obj["kind"].endswith("Binding")]
    by_hand = {"kind": "RoleBinding", "metadata": {"name": "mine", "namespace": "shop"}, "roleRef": {}, "subjects": []}
    assert told(diff(wanted(), [*existing, *others, by_hand])) == ([], [], [])


@pytest.mark.parametrize("label", [None, "Helm", "other owner"])
def test_foreign_binding_of_our_name(existing: list[Object], label: str | None) -> None:
    """A foreign object in the place of ours is a conflict: not overwritten, and the SCC is not granted."""
    labels = existing[2]["metadata"]["labels"]
    if label is None:
        del existing[2]["metadata"]["labels"]
    elif label == "other owner":
        labels["scc-operator.io/owner-name"] = "somebody"
    else:
        labels["app.kubernetes.io/managed-by"] = label
    changes = diff(wanted(), existing)
    assert told(changes) == ([], [], [])
    assert changes.granted == ("privileged",)
    assert [problem.code for problem in changes.problems] == ["BindingConflict"]
    assert "RoleBinding shop/sccbinding:web:anyuid" in changes.problems[0].message


def test_foreign_cluster_role_of_exact_effect(existing: list[Object]) -> None:
    """A ClusterRole that somebody made and that grants exactly `use` is adopted as it is."""
    del existing[0]["metadata"]["labels"], existing[0]["metadata"]["ownerReferences"]
    changes = diff(wanted(), existing)
    assert (told(changes), changes.granted) == (([], [], []), ("anyuid", "privileged"))


def test_foreign_cluster_role_of_other_effect(existing: list[Object]) -> None:
    """A ClusterRole of somebody who grants more by it is a conflict, and a binding of ours to it goes."""
    del existing[0]["metadata"]["labels"]
    existing[0]["rules"][0]["verbs"] = ["*"]
    changes = diff(wanted(), existing)
    assert told(changes) == ([], [], ["sccbinding:web:anyuid"])
    assert changes.granted == ("privileged",)
    assert [problem.code for problem in changes.problems] == ["ClusterRoleConflict"]
    fresh = diff(wanted(), existing[:1])
    assert "sccbinding:web:anyuid" not in told(fresh)[0]


def test_own_cluster_role_of_other_effect(existing: list[Object]) -> None:
    """A ClusterRole of ours that was widened is set right, aggregation included."""
    existing[0]["rules"].append({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
    existing[0]["aggregationRule"] = {"clusterRoleSelectors": [{}]}
    changes = diff(wanted(), existing)
    assert told(changes) == ([], ["system:openshift:scc:anyuid"], [])
    assert changes.to_replace[0]["rules"] == wanted().cluster_roles["anyuid"]["rules"]
    assert "aggregationRule" not in changes.to_replace[0]
    assert changes.granted == ("anyuid", "privileged")


def test_writes_lead_to_the_desired_state(existing: list[Object]) -> None:
    """After the writes there is nothing left to do."""
    existing[1]["rules"] = []
    existing[2]["roleRef"]["name"] = "cluster-admin"
    existing[3]["subjects"] = []
    changes = diff(wanted(), existing)
    state = {(obj["kind"], obj["metadata"]["name"]): obj for obj in existing}
    for reference in changes.to_delete:
        del state[reference.kind, reference.name]
    for obj in (*changes.to_create, *changes.to_replace):
        state[obj["kind"], obj["metadata"]["name"]] = obj
    assert told(diff(wanted(), state.values())) == ([], [], [])


def test_what_stands_already(existing: list[Object]) -> None:
    """Of what is granted, that which needs no write stands, whatever becomes of the writes."""
    assert diff(wanted(), existing).standing == ("anyuid", "privileged")
    existing[2]["subjects"] = []
    existing[1]["rules"] = []
    changes = diff(wanted(), existing)
    assert (changes.granted, changes.standing) == (("anyuid", "privileged"), ())
    assert diff(wanted(), existing[:1]).standing == ()
