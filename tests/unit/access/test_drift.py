from copy import deepcopy
from typing import Any

import msgspec
import pytest

from scc_operator.access.drift import Difference, Shipped, differences
from scc_operator.engine.scc import parse_scc, with_defaults

RAW: dict[str, Any] = {
    "metadata": {"name": "web"},
    "allowedCapabilities": None,
    "requiredDropCapabilities": ["KILL", "MKNOD"],
    "runAsUser": {"type": "MustRunAsRange"},
    "seLinuxContext": {"type": "MustRunAs"},
    "seccompProfiles": ["runtime/default", "localhost/a"],
    "volumes": ["secret", "configMap"],
    "users": [],
}
NAME = "system:openshift:scc:web"
RULE = {
    "apiGroups": ["security.openshift.io"],
    "resources": ["securitycontextconstraints"],
    "resourceNames": ["web"],
    "verbs": ["use"],
}
ROLE = {"metadata": {"name": NAME}, "rules": [RULE]}
EVERYBODY = {"kind": "Group", "name": "system:authenticated", "apiGroup": "rbac.authorization.k8s.io"}
BINDING = {"metadata": {"name": NAME}, "roleRef": {"kind": "ClusterRole", "name": NAME}, "subjects": [EVERYBODY]}
SHIPPED = Shipped(with_defaults(parse_scc(RAW)), BINDING)


def found(role: Any = ROLE, binding: Any = BINDING, **fields: Any) -> list[tuple[str, str]]:
    """Kind and field of each difference where the SCC has other fields, or other RBAC belongs to it."""
    scc = with_defaults(parse_scc({**RAW, **fields}))
    told = differences(SHIPPED, scc, role, binding)
    return [(each.object.split()[0], each.field) for each in told]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"requiredDropCapabilities": ["MKNOD", "KILL"], "volumes": ["configMap", "secret"]},
        {"allowedCapabilities": [], "users": None, "priority": None},
        {"userNamespaceLevel": "AllowHostLevel", "fsGroup": {"type": "RunAsAny"}, "allowPrivilegeEscalation": True},
        {"metadata": {"name": "web", "annotations": {"note": "x"}}},
    ],
)
def test_what_means_the_same_is_no_difference(fields: dict[str, Any]) -> None:
    """Order of a set, nulls, defaults that are written out and metadata make no difference."""
    assert found(**fields) == []


@pytest.mark.parametrize(
    "fields, names",
    [
        ({"users": ["jane"]}, ["users"]),
        ({"priority": 10, "allowHostIPC": True}, ["allowHostIPC", "priority"]),
        ({"seccompProfiles": ["localhost/a", "runtime/default"]}, ["seccompProfiles"]),
        ({"runAsUser": {"type": "MustRunAsRange", "uidRangeMin": 1}}, ["runAsUser"]),
        ({"userNamespaceLevel": "RequirePodLevel"}, ["userNamespaceLevel"]),
    ],
)
def test_each_field_is_named(fields: dict[str, Any], names: list[str]) -> None:
    """A field that means something else is told by its name in the API; of seccomp profiles the order counts."""
    assert found(**fields) == [("SecurityContextConstraints", name) for name in names]


def test_values_are_told() -> None:
    """A difference shows both values as JSON, and cuts long ones."""
    (told,) = differences(SHIPPED, with_defaults(parse_scc({**RAW, "users": ["u" * 300]})), ROLE, BINDING)
    assert (told.shipped, told.found[:4], len(told.found)) == ("[]", '["uu', 200)
    assert str(Difference("X a", "b", "1", "2")) == "X a: b is 2, shipped is 1"


def test_role_and_binding() -> None:
    """A role that grants anything else, other subjects and another roleRef are differences of their own."""
    assert found(role={**ROLE, "rules": [RULE, RULE]}) == []
    assert found(role={**ROLE, "rules": [{**RULE, "verbs": ["use", "get"]}]}) == [("ClusterRole", "rules")]
    other = deepcopy(BINDING)
    other["roleRef"]["name"] = "cluster-admin"  # type: ignore[index]
    other["subjects"] = []
    assert found(binding=other) == [("ClusterRoleBinding", "subjects"), ("ClusterRoleBinding", "roleRef.name")]


def test_what_is_missing() -> None:
    """Each object that is not there is one difference; a binding only where one is shipped."""
    told = differences(SHIPPED, None, None, None)
    assert [str(each) for each in told] == [
        "SecurityContextConstraints web is missing or unreadable",
        f"ClusterRole {NAME} is missing",
        f"ClusterRoleBinding {NAME} is missing",
    ]
    without = msgspec.structs.replace(SHIPPED, binding=None)
    assert differences(without, SHIPPED.scc, ROLE, None) == ()
