"""A default SCC that somebody changed is told, where people look, and never changed back."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.rest import Rest
from tests.integration.support import Kubectl, OperatorProcess, eventually

from scc_operator import names
from scc_operator.kube.paths import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, DEFAULT_SCCS, SCCS

pytestmark = pytest.mark.usefixtures("operator")

NAME = "hostmount-anyuid-v2"
METRIC = "scc_operator_default_scc_differences"


@pytest.fixture(scope="module")
def operator(start_operator: Callable[..., OperatorProcess], kubectl: Kubectl) -> OperatorProcess:
    """An operator on a cluster whose default SCCs are as shipped."""
    started = start_operator()
    eventually(lambda: shipped(kubectl).count("True") == 13)
    return started


def shipped(kubectl: Kubectl) -> list[str]:
    """Condition AsShipped of all default SCCs."""
    return [each["status"]["conditions"][0]["status"] for each in kubectl.json("dscc")["items"]]


def state(rest: Rest, name: str) -> tuple[str, str]:
    """Status of condition AsShipped, and what differs."""
    status = rest.get(DEFAULT_SCCS, name)["status"]
    return status["conditions"][0]["status"], status["changed"]


def told(kubectl: Kubectl, name: str) -> list[str]:
    """The messages of the Events about an SCC, in the order in which they came."""
    found = kubectl.json("events", "-n", "default", f"--field-selector=involvedObject.name={name}")["items"]
    ordered = sorted(found, key=lambda each: int(each["metadata"]["resourceVersion"]))
    return [each["message"] for each in ordered if each["reason"] == "DefaultSCCChanged"]


def test_a_changed_scc(operator: OperatorProcess, kubectl: Kubectl, rest: Rest) -> None:
    """Condition, Event and metric tell each field with both values; a restart neither reverts nor repeats it."""
    before = rest.get(SCCS, NAME)
    try:
        changed = rest.patch(SCCS, NAME, {"users": ["jane"], "allowHostPorts": True})
        eventually(lambda: state(rest, NAME) == ("False", "allowHostPorts, users"))
        (message,) = told(kubectl, NAME)
        assert f"SecurityContextConstraints {NAME}: allowHostPorts is true, shipped is false" in message
        assert f'SecurityContextConstraints {NAME}: users is ["jane"], shipped is []' in message
        assert "it stays as it is" in message
        assert operator.metric(METRIC, scc=NAME) == 2
        assert operator.metric(METRIC, scc="anyuid") == 0
        titles, *rows = kubectl("get", "dscc").stdout.splitlines()
        assert titles.split() == ["NAME", "AS", "SHIPPED", "CHANGED", "SINCE"]
        (row,) = [row.split() for row in rows if row.startswith(f"{NAME} ")]
        assert row[1:4] == ["False", "allowHostPorts,", "users"]
        with operator.away():
            pass
        eventually(lambda: operator.metric(METRIC, scc=NAME) == 2)
        assert rest.get(SCCS, NAME) == changed
        assert len(told(kubectl, NAME)) == 1
    finally:
        rest.patch(SCCS, NAME, {"users": before.get("users"), "allowHostPorts": False})
    eventually(lambda: state(rest, NAME) == ("True", ""))
    assert operator.metric(METRIC, scc=NAME) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"volumes": ["secret", "projected", "persistentVolumeClaim", "image", "ephemeral", "emptyDir", "downwardAPI"]},
        {"allowedCapabilities": [], "userNamespaceLevel": "AllowHostLevel"},
    ],
    ids=["order", "nulls and defaults"],
)
def test_what_means_the_same_is_no_difference(rest: Rest, fields: dict[str, Any]) -> None:
    """The order of a set, null for empty and a default that is written out are as shipped."""
    before = rest.get(SCCS, "restricted")
    if "volumes" in fields:
        fields = {"volumes": [*fields["volumes"], "csi", "configMap"]}
    rest.patch(SCCS, "restricted", fields)
    # A difference that is made after it and found proves that it was looked at.
    rest.patch(SCCS, "restricted-v3", {"priority": 1})
    try:
        eventually(lambda: state(rest, "restricted-v3") == ("False", "priority"))
        assert state(rest, "restricted") == ("True", "")
    finally:
        rest.patch(SCCS, "restricted", {key: before.get(key) for key in fields})
        rest.patch(SCCS, "restricted-v3", {"priority": None})
    eventually(lambda: state(rest, "restricted-v3") == ("True", ""))


def test_a_changed_role_and_binding(rest: Rest) -> None:
    """A ClusterRole that grants more and a binding to other subjects are told by kind and field, and stay."""
    name = names.SCC_ROLE_PREFIX + "restricted-v2"
    role, bound = rest.get(CLUSTER_ROLES, name), rest.get(CLUSTER_ROLE_BINDINGS, name)
    more = [*role["rules"], {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    staff = {"apiGroup": names.RBAC_GROUP, "kind": "Group", "name": "staff"}
    try:
        rest.patch(CLUSTER_ROLES, name, {"rules": more})
        eventually(lambda: state(rest, "restricted-v2") == ("False", "ClusterRole rules"))
        rest.patch(CLUSTER_ROLE_BINDINGS, name, {"subjects": [staff]})
        both = "ClusterRole rules, ClusterRoleBinding subjects"
        eventually(lambda: state(rest, "restricted-v2") == ("False", both))
        assert rest.get(CLUSTER_ROLES, name)["rules"] == more
        differences = rest.get(DEFAULT_SCCS, "restricted-v2")["status"]["differences"]
        assert [(each["shipped"], each["found"]) for each in differences[1:]] == [
            ('["Group/system:authenticated"]', '["Group/staff"]')
        ]
    finally:
        rest.patch(CLUSTER_ROLES, name, {"rules": role["rules"]})
        rest.patch(CLUSTER_ROLE_BINDINGS, name, {"subjects": bound["subjects"]})
    eventually(lambda: state(rest, "restricted-v2") == ("True", ""))


def test_what_is_deleted(operator: OperatorProcess, rest: Rest) -> None:
    """An SCC or role that is gone is told, and is created anew at the next start."""
    name = names.SCC_ROLE_PREFIX + "hostnetwork"
    rest.delete(CLUSTER_ROLES, name)
    rest.delete(SCCS, "hostnetwork")
    missing = "SecurityContextConstraints missing or unreadable, ClusterRole missing"
    eventually(lambda: state(rest, "hostnetwork") == ("False", missing))
    with operator.away():
        pass
    eventually(lambda: state(rest, "hostnetwork") == ("True", ""))
