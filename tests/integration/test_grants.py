"""What becomes of grants with time, of RBAC that somebody meddles with, and of writes that are refused."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.rest import Rest
from tests.integration.support import (
    SERVICE_ACCOUNT,
    Kubectl,
    OperatorProcess,
    binding,
    eventually,
    rbac,
    scc,
    use_rule,
)

from scc_operator import names
from scc_operator.kube.paths import BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS

pytestmark = pytest.mark.usefixtures("operator")


@pytest.fixture
def one(namespace: str, temporary: Callable[..., None]) -> str:
    """The name of an SCC."""
    name = f"one-{namespace}"
    temporary(scc(name))
    return name


def ready(rest: Rest, namespace: str, name: str = "team") -> tuple[str, str]:
    """Status and reason of condition Ready."""
    stored = rest.get(BINDINGS, name, namespace)
    (found,) = [each for each in stored["status"]["conditions"] if each["type"] == "Ready"]
    return found["status"], found["reason"]


def events(kubectl: Kubectl, namespace: str) -> list[tuple[str, str]]:
    """Type and reason of the Events about a namespace's SCC bindings, in the order in which they came."""
    found = kubectl.json("events", "-n", namespace, f"--field-selector=involvedObject.kind={names.BINDING_KIND}")
    ordered = sorted(found["items"], key=lambda each: int(each["metadata"]["resourceVersion"]))
    return [(each["type"], each["reason"]) for each in ordered]


def until(seconds: float) -> str:
    """A time as Kubernetes writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- time ------------------------------------------------------------------------------------------------------------


def test_an_end_is_told_before_and_after(
    operator: OperatorProcess, kubectl: Kubectl, rest: Rest, namespace: str, one: str
) -> None:
    """One Event comes some time before a grant expires, one when it has, and a restart repeats neither."""
    timed = binding("team", namespace, [one], SERVICE_ACCOUNT)
    timed["spec"]["expiresAt"] = until(6)
    kubectl.apply(timed)
    eventually(lambda: ready(rest, namespace) == ("True", "Granted"))
    assert events(kubectl, namespace) == []
    assert rest.get(ROLE_BINDINGS, f"{names.GENERATED_PREFIX}team:{one}", namespace)
    eventually(lambda: ready(rest, namespace) == ("False", "Expired"))
    assert rest.get(ROLE_BINDINGS, f"{names.GENERATED_PREFIX}team:{one}", namespace) is None
    told = [("Warning", "ExpiresSoon"), ("Warning", "Expired")]
    assert events(kubectl, namespace) == told
    (soon,) = kubectl.json("events", "-n", namespace, "--field-selector=reason=ExpiresSoon")["items"]
    assert soon["firstTimestamp"] <= timed["spec"]["expiresAt"]
    with operator.away():
        pass
    kubectl.apply(binding("later", namespace, [one], SERVICE_ACCOUNT))
    eventually(lambda: ready(rest, namespace, "later") == ("True", "Granted"))
    assert events(kubectl, namespace) == told


def test_an_end_that_came_while_the_operator_was_down(
    operator: OperatorProcess, kubectl: Kubectl, rest: Rest, namespace: str, one: str
) -> None:
    """A grant that expired meanwhile is withdrawn at the start."""
    kubectl.apply(binding("team", namespace, [one], SERVICE_ACCOUNT))
    eventually(lambda: ready(rest, namespace) == ("True", "Granted"))
    with operator.away():
        rest.patch(BINDINGS, "team", {"spec": {"expiresAt": until(-1)}}, namespace)
        assert rest.get(ROLE_BINDINGS, f"{names.GENERATED_PREFIX}team:{one}", namespace)
    eventually(lambda: ready(rest, namespace) == ("False", "Expired"))
    assert rest.get(ROLE_BINDINGS, f"{names.GENERATED_PREFIX}team:{one}", namespace) is None


def test_the_list_tells_who_gets_what_until_when(kubectl: Kubectl, rest: Rest, namespace: str, one: str) -> None:
    """`kubectl get sccb` shows SCCs, subjects, end, state and the number of pods."""
    timed = binding("team", namespace, [one], SERVICE_ACCOUNT, {"kind": "Group", "name": "staff"})
    timed["spec"]["expiresAt"] = "2999-12-31T00:00:00Z"
    kubectl.apply(timed)
    eventually(lambda: ready(rest, namespace) == ("True", "Granted"))
    titles, row = kubectl("get", "sccb", "-n", namespace).stdout.splitlines()
    assert titles.split()[:5] == ["NAME", "SCCS", "GRANTED", "TO", "EXPIRES"]
    cells = ("team", f'["{one}"]', "ServiceAccount default, Group staff", "2999-12-31T00:00:00Z", "True", "0")
    assert all(cell in row for cell in cells), row


# --- meddling --------------------------------------------------------------------------------------------------------


def test_a_role_that_is_widened_is_set_right(kubectl: Kubectl, rest: Rest, namespace: str, one: str) -> None:
    """Also what says nothing about SCCs is drift: another rule in our ClusterRole, a lost label, a lost owner."""
    kubectl.apply(binding("team", namespace, [one], SERVICE_ACCOUNT))
    eventually(lambda: ready(rest, namespace) == ("True", "Granted"))
    role, bound = names.SCC_ROLE_PREFIX + one, f"{names.GENERATED_PREFIX}team:{one}"
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    rest.patch(CLUSTER_ROLES, role, {"rules": [use_rule(one), secrets]})
    eventually(lambda: rest.get(CLUSTER_ROLES, role)["rules"] == [use_rule(one)], timeout=5)
    rest.patch(ROLE_BINDINGS, bound, {"metadata": {"ownerReferences": None}}, namespace)
    eventually(lambda: rest.get(ROLE_BINDINGS, bound, namespace)["metadata"].get("ownerReferences"), timeout=5)
    rest.patch(ROLE_BINDINGS, bound, {"metadata": {"labels": {names.OWNER_UID_LABEL: "x"}}}, namespace)
    uid = rest.get(BINDINGS, "team", namespace)["metadata"]["uid"]
    eventually(
        lambda: rest.get(ROLE_BINDINGS, bound, namespace)["metadata"]["labels"][names.OWNER_UID_LABEL] == uid, timeout=5
    )


def test_a_role_goes_with_its_scc(operator: OperatorProcess, kubectl: Kubectl, rest: Rest, namespace: str) -> None:
    """The ClusterRole that was made for an SCC goes with it, without the garbage collector, also if nobody watched."""
    gone, foreign = f"gone-{namespace}", f"foreign-{namespace}"
    kubectl.apply(scc(gone), binding("team", namespace, [gone], SERVICE_ACCOUNT))
    eventually(lambda: ready(rest, namespace) == ("True", "Granted"))
    role = names.SCC_ROLE_PREFIX + gone
    kubectl.apply(rbac("ClusterRole", names.SCC_ROLE_PREFIX + foreign, rules=[use_rule(foreign)]))
    rest.delete(BINDINGS, "team", namespace)
    with operator.away():
        # Without its owner reference the garbage collector has no part in it.
        rest.patch(CLUSTER_ROLES, role, {"metadata": {"ownerReferences": None}})
        kubectl("delete", "scc", gone)
    eventually(lambda: rest.get(CLUSTER_ROLES, role) is None)
    assert rest.get(CLUSTER_ROLES, names.SCC_ROLE_PREFIX + foreign)
    rest.delete(CLUSTER_ROLES, names.SCC_ROLE_PREFIX + foreign)


def test_what_the_cluster_refuses_is_said(
    kubectl: Kubectl, rest: Rest, namespace: str, one: str, temporary: Callable[..., None]
) -> None:
    """Where a policy refuses the generated RBAC, Ready says so with its text, and retries make it good."""
    policy = f"no-grants-{namespace}"
    matched = {"apiGroups": [names.RBAC_GROUP], "apiVersions": ["v1"], "resources": ["rolebindings"]}
    temporary(*forbidding(policy, matched, f'object.metadata.namespace != "{namespace}"'))

    def in_force() -> bool:
        probe = json.dumps(rbac("RoleBinding", "x", namespace, roleRef={"kind": "ClusterRole", "name": "view"}))
        return kubectl("create", "--dry-run=server", "-f", "-", input=probe, check=False).returncode != 0

    eventually(in_force)
    kubectl.apply(binding("team", namespace, [one], SERVICE_ACCOUNT))
    eventually(lambda: ready(rest, namespace) == ("False", "Refused"))
    status = rest.get(BINDINGS, "team", namespace)["status"]
    assert status["sccs"] == []
    assert "not in this namespace" in status["conditions"][1]["message"]
    assert ("Warning", "Refused") in events(kubectl, namespace)
    kubectl("delete", "validatingadmissionpolicybinding", policy)
    eventually(lambda: ready(rest, namespace) == ("True", "Granted"), timeout=30)


def forbidding(name: str, rule: dict[str, Any], allowed: str) -> list[dict[str, Any]]:
    """A policy that lets through what an expression allows."""
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    return [
        {
            **head,
            "kind": "ValidatingAdmissionPolicy",
            "spec": {
                "matchConstraints": {"resourceRules": [{**rule, "operations": ["CREATE"]}]},
                "validations": [{"expression": allowed, "message": "not in this namespace"}],
            },
        },
        {
            **head,
            "kind": "ValidatingAdmissionPolicyBinding",
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]
