from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scc_operator.access.rbac import Owner, owner_of, parse_binding, parse_role
from scc_operator.access.scc_bindings import (
    Desired,
    binding_name,
    cluster_role,
    desired,
    is_exact_use_role,
    label_value,
    labels_of,
    parse_scc_binding,
)
from scc_operator.engine.errors import InvalidObject

Object = dict[str, Any]

NOW = datetime(2030, 1, 31, 18, 0, tzinfo=UTC)
SCCS = {"anyuid": "uid-anyuid", "privileged": "uid-privileged"}


def raw(*subjects: Object, namespace: str = "shop", name: str = "web", **spec: Any) -> Object:
    """An SCCBinding, or a ClusterSCCBinding where the namespace is empty."""
    metadata: Object = {"name": name, "uid": "u1", "generation": 3}
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata, "spec": {"sccs": ["anyuid"], "subjects": list(subjects)} | spec}


def account(name: str = "web", **fields: str) -> Object:
    """A ServiceAccount subject."""
    return {"kind": "ServiceAccount", "name": name} | fields


def wanted(binding: Object, now: datetime = NOW) -> Desired:
    """What a raw binding asks for."""
    return desired(parse_scc_binding(binding), SCCS, now)


def codes(found: Desired) -> list[str]:
    """The codes of the problems."""
    return [problem.code for problem in found.problems]


def test_namespaced_binding() -> None:
    """An SCCBinding becomes a RoleBinding in its namespace, labelled and owned, to the SCC's ClusterRole."""
    found = wanted(raw(account()))
    assert found.problems == ()
    assert found.bindings["anyuid"] == {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {
            "name": "sccbinding:web:anyuid",
            "namespace": "shop",
            "labels": {
                "app.kubernetes.io/managed-by": "scc-operator",
                "scc-operator.io/owner-kind": "SCCBinding",
                "scc-operator.io/owner-name": "web",
                "scc-operator.io/owner-namespace": "shop",
                "scc-operator.io/owner-uid": "u1",
            },
            "ownerReferences": [
                {"apiVersion": "scc-operator.io/v1alpha1", "kind": "SCCBinding", "name": "web", "uid": "u1"}
            ],
        },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:openshift:scc:anyuid",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": "shop"}],
    }


def test_cluster_binding() -> None:
    """A ClusterSCCBinding becomes a ClusterRoleBinding without a namespace in metadata or labels."""
    found = wanted(raw(account(namespace="shop"), namespace=""))
    binding = found.bindings["anyuid"]
    assert binding["kind"] == "ClusterRoleBinding"
    assert "namespace" not in binding["metadata"]
    assert parse_binding(binding).owner == Owner("ClusterSCCBinding", "", "web", "u1")
    assert binding["metadata"]["ownerReferences"][0]["kind"] == "ClusterSCCBinding"


def test_cluster_role_belongs_to_the_scc() -> None:
    """The ClusterRole grants exactly `use` on its SCC and is owned by it, not by a binding."""
    found = wanted(raw(account())).cluster_roles["anyuid"]
    assert found["metadata"]["name"] == "system:openshift:scc:anyuid"
    assert found["metadata"]["ownerReferences"][0]["uid"] == "uid-anyuid"
    assert owner_of(found["metadata"]["labels"]) == Owner("SecurityContextConstraints", "", "anyuid", "uid-anyuid")
    assert is_exact_use_role(found, "anyuid")
    assert parse_role(found).sccs == {"anyuid"}


@pytest.mark.parametrize(
    "subject,becomes",
    [
        ({"kind": "User", "name": "alice"}, {"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}),
        (
            {"kind": "Group", "name": "staff"},
            {"kind": "Group", "name": "staff", "apiGroup": "rbac.authorization.k8s.io"},
        ),
        (account(namespace="other"), {"kind": "ServiceAccount", "name": "web", "namespace": "other"}),
        (account("a.b-c"), {"kind": "ServiceAccount", "name": "a.b-c", "namespace": "shop"}),
        (
            {"kind": "Namespace", "name": "batch"},
            {"kind": "Group", "name": "system:serviceaccounts:batch", "apiGroup": "rbac.authorization.k8s.io"},
        ),
    ],
)
def test_subjects(subject: Object, becomes: Object) -> None:
    """Subjects become RBAC's; a Namespace is the group of its accounts; an account is of the binding's namespace."""
    assert wanted(raw(subject)).bindings["anyuid"]["subjects"] == [becomes]


def test_subjects_are_a_sorted_set() -> None:
    """The order and number of mentions of a subject make no difference."""
    one = wanted(raw(account(), {"kind": "User", "name": "alice"}, account(namespace="shop")))
    other = wanted(raw({"kind": "User", "name": "alice"}, account()))
    assert one == other
    assert len(one.bindings["anyuid"]["subjects"]) == 2


@pytest.mark.parametrize(
    "namespace,subject,says",
    [
        ("", account(), "without its namespace"),
        ("shop", account(""), "empty name"),
        ("shop", {"kind": "User", "name": ""}, "empty name"),
        ("shop", account("Web"), "no service account can have"),
        ("shop", account(namespace="a:b"), "has a namespace that cannot exist"),
        ("shop", account(namespace="a" * 64), "has a namespace that cannot exist"),
        ("shop", {"kind": "Namespace", "name": "a.b"}, "names a namespace that cannot exist"),
        ("shop", {"kind": "Robot", "name": "r"}, "unknown kind"),
        ("shop", {"kind": "User", "name": "alice", "namespace": "shop"}, "has the field namespace"),
    ],
)
def test_bad_subject(namespace: str, subject: Object, says: str) -> None:
    """A bad subject is named with its place and does not keep the others from their grant."""
    found = wanted(raw({"kind": "Group", "name": "staff"}, subject, namespace=namespace))
    assert codes(found) == ["InvalidSubject"]
    assert "spec.subjects[1]" in found.problems[0].message
    assert says in found.problems[0].message
    assert [entry["name"] for entry in found.bindings["anyuid"]["subjects"]] == ["staff"]
    assert wanted(raw(subject, namespace=namespace)).bindings == {}


def test_unknown_scc() -> None:
    """An SCC that does not exist is named and does not keep the others from being granted."""
    found = wanted(raw(account(), sccs=["privileged", "gone", "anyuid", "anyuid"]))
    assert codes(found) == ["SCCNotFound"]
    assert "'gone'" in found.problems[0].message
    assert list(found.bindings) == list(found.cluster_roles) == ["anyuid", "privileged"]


def test_expiry() -> None:
    """A binding grants until just before spec.expiresAt and nothing from then on."""
    binding = raw(account(), expiresAt="2030-01-31T19:00:00+01:00")
    assert wanted(binding, NOW - timedelta(seconds=1)).bindings
    found = wanted(binding)
    assert (codes(found), found.bindings, found.cluster_roles) == (["Expired"], {}, {})
    assert "2030-01-31T18:00:00Z" in found.problems[0].message


def test_terminating() -> None:
    """A binding that is being deleted grants nothing, so what it owned is not made anew."""
    binding = raw(account())
    binding["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    found = wanted(binding)
    assert (codes(found), found.bindings) == (["Terminating"], {})


@pytest.mark.parametrize(
    "spec,field",
    [
        ({"sccs": []}, "spec.sccs"),
        ({"sccs": [f"s{i}" for i in range(9)]}, "spec.sccs"),
        ({"sccs": "anyuid"}, "spec.sccs"),
        ({"subjects": None}, "spec.subjects"),
        ({"subjects": [account(f"a{i}") for i in range(65)]}, "spec.subjects"),
        ({"subjects": [{"kind": "User", "name": 1}]}, "spec.subjects[0].name"),
        ({"expiresAt": "tomorrow"}, "spec.expiresAt"),
        ({"expiresAt": "2030-01-31T18:00:00"}, "spec.expiresAt"),
        ({"expiresAt": ""}, "spec.expiresAt"),
    ],
)
def test_unreadable(spec: Object, field: str) -> None:
    """A binding out of its schema is refused by a text that names it and the field."""
    with pytest.raises(InvalidObject) as error:
        parse_scc_binding(raw(account(), **spec))
    assert error.value.field == field
    assert "SCCBinding shop/web" in str(error.value)


def test_names_fit() -> None:
    """Generated names and labels fit their limits and stay distinct and valid when they have to be cut."""
    assert binding_name("a", "b") == "sccbinding:a:b"
    long = "x" * 253
    assert len(binding_name(long, "anyuid")) == 253
    assert binding_name(long, "anyuid") != binding_name(long, "privileged")
    assert label_value("a" * 63) == "a" * 63
    assert len(label_value(long)) == 63
    assert label_value(long) != label_value("x" * 252)
    assert label_value("a" * 52 + "." + "b" * 50)[-1].isalnum()


def test_labels_round_trip() -> None:
    """The owner that labels are made of is the owner that is read from them."""
    for owner in (Owner("SCCBinding", "shop", "web", "u1"), Owner("ClusterSCCBinding", "", "web", "u2")):
        assert owner_of(labels_of(owner)) == owner
        assert all(labels_of(owner).values())


RULE = cluster_role("anyuid", "u")["rules"][0]


@pytest.mark.parametrize(
    "role,exact",
    [
        ({"rules": [RULE]}, True),
        ({"rules": [RULE, RULE]}, True),
        ({"rules": [RULE | {"resourceNames": ["anyuid", "anyuid"]}]}, True),
        ({"rules": [RULE], "aggregationRule": {"clusterRoleSelectors": [{}]}}, False),
        ({"rules": []}, False),
        ({"rules": None}, False),
        ({}, False),
        ({"rules": [RULE, RULE | {"verbs": ["get"]}]}, False),
        ({"rules": [RULE | {"verbs": ["use", "get"]}]}, False),
        ({"rules": [RULE | {"verbs": ["*"]}]}, False),
        ({"rules": [RULE | {"resourceNames": []}]}, False),
        ({"rules": [RULE | {"resourceNames": ["anyuid", "privileged"]}]}, False),
        ({"rules": [RULE | {"resourceNames": ["privileged"]}]}, False),
        ({"rules": [RULE | {"apiGroups": ["*"]}]}, False),
        ({"rules": [RULE | {"resources": ["*"]}]}, False),
        ({"rules": [RULE | {"resources": ["securitycontextconstraints", "pods"]}]}, False),
        ({"rules": [RULE | {"nonResourceURLs": ["/metrics"]}]}, False),
    ],
)
def test_exact_use_role(role: Object, exact: bool) -> None:
    """Only a ClusterRole that grants `use` on the one SCC, and can never grant more by itself, is adopted."""
    assert is_exact_use_role(role, "anyuid") is exact


@pytest.mark.parametrize(
    "lives, notice",
    [
        (timedelta(days=90), timedelta(days=1)),
        (timedelta(days=10), timedelta(days=1)),
        (timedelta(hours=1), timedelta(minutes=6)),
        (timedelta(0), timedelta(0)),
        (timedelta(days=-1), timedelta(0)),
    ],
)
def test_notice_before_the_end(lives: timedelta, notice: timedelta) -> None:
    """Notice is given a day before the end, of short lives after nine tenths; time counts at notice and at end."""
    made = NOW.isoformat()
    timed = raw(account(), expiresAt=(NOW + lives).isoformat())
    timed["metadata"]["creationTimestamp"] = made
    binding = parse_scc_binding(timed)
    assert binding.notice_at == NOW + lives - notice
    if lives > timedelta(0):
        assert not binding.expires_soon(NOW)
        assert binding.next_turn(NOW) == binding.notice_at
        assert binding.expires_soon(NOW + lives - notice)
        assert binding.next_turn(NOW + lives - notice) == NOW + lives
    assert not binding.expires_soon(NOW + lives)
    assert binding.next_turn(NOW + max(lives, timedelta(0))) is None


def test_no_end_no_notice() -> None:
    """A binding without an end never needs another look for time's sake."""
    binding = parse_scc_binding(raw(account()))
    assert (binding.notice_at, binding.next_turn(NOW), binding.expires_soon(NOW)) == (None, None, False)
