"""SCC bindings become RBAC, and stop being RBAC, whatever happens to either."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from tests.integration.support import (
    SERVICE_ACCOUNT,
    AuditLog,
    Kubectl,
    OperatorProcess,
    binding,
    completed,
    eventually,
    expect,
    pod,
    rbac,
    role_ref,
    scc,
    use_rule,
)

from scc_operator import names

pytestmark = pytest.mark.usefixtures("operator")

JANE = {"kind": "User", "name": "jane"}
EVERYBODY: list[dict[str, str]] = [
    {"kind": "User", "name": "jane"},
    {"kind": "User", "name": "system:serviceaccount:other:robot"},
    {"kind": "Group", "name": "developers"},
    {"kind": "ServiceAccount", "name": "default"},
    {"kind": "ServiceAccount", "name": "builder", "namespace": "other"},
    {"kind": "Namespace", "name": "shared"},
]


def cluster_binding(name: str, sccs: list[str], *subjects: dict[str, str], **spec: Any) -> dict[str, Any]:
    """A ClusterSCCBinding."""
    return {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": names.CLUSTER_BINDING_KIND,
        "metadata": {"name": name},
        "spec": {"sccs": sccs, "subjects": list(subjects), **spec},
    }


def generated(name: str, scc_name: str) -> str:
    """The name of the RBAC binding for one SCC of an SCC binding."""
    return f"{names.GENERATED_PREFIX}{name}:{scc_name}"


def subjects_of(bound: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Kind, namespace and name of each subject of an RBAC binding, sorted."""
    return sorted((each["kind"], each.get("namespace", ""), each["name"]) for each in bound["subjects"])


def condition(kubectl: Kubectl, kind: str, name: str, *where: str, of: str = "Ready") -> tuple[str, str, str]:
    """Status, reason and message of a condition of an SCC binding; it must be about the present generation."""
    stored = kubectl.json(kind, name, *where)
    (found,) = [each for each in stored["status"]["conditions"] if each["type"] == of]
    assert stored["status"]["observedGeneration"] == found["observedGeneration"] == stored["metadata"]["generation"]
    return found["status"], found["reason"], found["message"]


def ready(kubectl: Kubectl, name: str, namespace: str) -> tuple[str, str]:
    """Status and reason of condition Ready of an SCCBinding."""
    return condition(kubectl, "sccbinding", name, "-n", namespace)[:2]


def can_use(kubectl: Kubectl, scc_name: str, namespace: str, user: str, *groups: str) -> bool:
    """What `kubectl auth can-i use scc/NAME` answers to somebody."""
    asked = kubectl(
        "auth", "can-i", "use", f"scc/{scc_name}", "-n", namespace, as_user=user, as_groups=groups, check=False
    )
    assert asked.stdout.strip() in {"yes", "no"}, asked.stderr
    return asked.stdout.strip() == "yes"


def exists(kubectl: Kubectl, kind: str, name: str, *where: str) -> bool:
    """Whether there is such an object."""
    return kubectl("get", kind, name, *where, check=False).returncode == 0


# --- what is generated -----------------------------------------------------------------------------------------------


def test_scc_binding_becomes_role_bindings(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """One RoleBinding per SCC in the binding's namespace, to the SCC's ClusterRole, labelled and owned."""
    sccs = [f"one-{namespace}", f"two-{namespace}"]
    temporary(*(scc(name) for name in sccs))
    kubectl.apply(binding("team", namespace, sccs, *EVERYBODY))
    eventually(lambda: ready(kubectl, "team", namespace) == ("True", "Granted"))
    stored = kubectl.json("sccbinding", "team", "-n", namespace)
    assert stored["status"]["sccs"] == sccs
    assert condition(kubectl, "sccbinding", "team", "-n", namespace, of="Conflict")[0] == "False"
    bound = kubectl.json("rolebindings", "-n", namespace)["items"]
    assert [each["metadata"]["name"] for each in bound] == [generated("team", name) for name in sccs]
    for each, name in zip(bound, sccs, strict=True):
        assert each["roleRef"] == role_ref("ClusterRole", names.SCC_ROLE_PREFIX + name)
        assert {*subjects_of(each)} == {
            ("Group", "", "developers"),
            ("Group", "", "system:serviceaccounts:shared"),
            ("ServiceAccount", namespace, "default"),
            ("ServiceAccount", "other", "builder"),
            ("User", "", "jane"),
            ("User", "", "system:serviceaccount:other:robot"),
        }
        assert each["metadata"]["labels"] == {
            names.MANAGED_BY_LABEL: names.MANAGED_BY,
            names.OWNER_KIND_LABEL: names.BINDING_KIND,
            names.OWNER_NAME_LABEL: "team",
            names.OWNER_NAMESPACE_LABEL: namespace,
            names.OWNER_UID_LABEL: stored["metadata"]["uid"],
        }
        (owner,) = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == (
            names.BINDING_KIND,
            "team",
            stored["metadata"]["uid"],
        )
        role = kubectl.json("clusterrole", names.SCC_ROLE_PREFIX + name)
        assert role["rules"] == [use_rule(name)]
        assert [each["uid"] for each in role["metadata"]["ownerReferences"]] == [
            kubectl.json("scc", name)["metadata"]["uid"]
        ]


def test_cluster_scc_binding_becomes_cluster_role_bindings(
    kubectl: Kubectl, namespace: str, temporary: Callable[..., None]
) -> None:
    """One ClusterRoleBinding per SCC; it grants everywhere, and goes with its binding."""
    name, bound_name = f"one-{namespace}", f"team-{namespace}"
    temporary(scc(name), cluster_binding(bound_name, [name], JANE, {"kind": "Namespace", "name": namespace}))
    eventually(lambda: condition(kubectl, "clustersccbinding", bound_name)[:2] == ("True", "Granted"))
    bound = kubectl.json("clusterrolebinding", generated(bound_name, name))
    assert bound["roleRef"] == role_ref("ClusterRole", names.SCC_ROLE_PREFIX + name)
    assert subjects_of(bound) == [("Group", "", f"system:serviceaccounts:{namespace}"), ("User", "", "jane")]
    assert names.OWNER_NAMESPACE_LABEL not in bound["metadata"]["labels"]
    eventually(lambda: can_use(kubectl, name, "default", "jane"))
    kubectl("delete", "clustersccbinding", bound_name, "--cascade=orphan")
    eventually(lambda: not exists(kubectl, "clusterrolebinding", generated(bound_name, name)))
    assert not can_use(kubectl, name, "default", "jane")


def test_kubectl_auth_can_i_agrees(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """Each kind of subject may use the SCC in that namespace, and nowhere else; nobody else may."""
    name = f"one-{namespace}"
    temporary(scc(name))
    kubectl.apply(binding("team", namespace, [name], *EVERYBODY))
    eventually(lambda: can_use(kubectl, name, namespace, "jane"))
    accounts = "system:serviceaccounts"
    assert can_use(kubectl, name, namespace, "john", "developers")
    assert can_use(kubectl, name, namespace, f"system:serviceaccount:{namespace}:default", accounts)
    assert can_use(kubectl, name, namespace, "system:serviceaccount:other:builder", accounts)
    assert can_use(kubectl, name, namespace, "system:serviceaccount:other:robot", accounts)
    assert can_use(kubectl, name, namespace, "system:serviceaccount:shared:x", accounts, f"{accounts}:shared")
    assert not can_use(kubectl, name, namespace, "john", "testers")
    assert not can_use(kubectl, name, namespace, f"system:serviceaccount:{namespace}:builder", accounts)
    assert not can_use(kubectl, name, "default", "jane")


def test_the_count_of_pods(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """`status.pods` is the number of running pods that owe their SCC to the binding."""
    name = f"one-{namespace}"
    temporary(scc(name, priority=9))
    kubectl.apply(
        binding("team", namespace, [name], SERVICE_ACCOUNT), *(pod(f"web-{number}", namespace) for number in range(3))
    )
    expect(kubectl, namespace, {f"web-{number}": completed(name) for number in range(3)})
    eventually(lambda: kubectl.json("sccbinding", "team", "-n", namespace)["status"]["pods"] == 3)


# --- changes of the binding ------------------------------------------------------------------------------------------


def test_an_edited_binding(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """SCCs and subjects that are taken out lose the grant, those that are put in get it."""
    one, two = f"one-{namespace}", f"two-{namespace}"
    temporary(scc(one), scc(two))
    kubectl.apply(binding("team", namespace, [one], JANE))
    eventually(lambda: can_use(kubectl, one, namespace, "jane"))
    kubectl.apply(binding("team", namespace, [two], {"kind": "User", "name": "john"}))
    eventually(lambda: can_use(kubectl, two, namespace, "john"))
    assert not exists(kubectl, "rolebinding", generated("team", one), "-n", namespace)
    assert not can_use(kubectl, two, namespace, "jane")
    eventually(lambda: kubectl.json("sccbinding", "team", "-n", namespace)["status"]["sccs"] == [two])


def test_deleting_a_binding_ends_the_grant(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """The operator deletes what it made, without help from the garbage collector; the SCC's ClusterRole stays."""
    name = f"one-{namespace}"
    temporary(scc(name))
    kubectl.apply(binding("team", namespace, [name], JANE))
    eventually(lambda: can_use(kubectl, name, namespace, "jane"))
    kubectl("delete", "sccbinding", "team", "-n", namespace, "--cascade=orphan")
    eventually(lambda: not can_use(kubectl, name, namespace, "jane"), timeout=5)
    assert not exists(kubectl, "rolebinding", generated("team", name), "-n", namespace)
    assert exists(kubectl, "clusterrole", names.SCC_ROLE_PREFIX + name)


def test_a_binding_that_went_while_the_operator_was_down(
    operator: OperatorProcess, kubectl: Kubectl, namespace: str, temporary: Callable[..., None]
) -> None:
    """At start, grants whose binding is gone are removed, in namespaces and cluster-wide; others are as they should."""
    name, wide = f"one-{namespace}", f"wide-{namespace}"
    temporary(scc(name))
    kubectl.apply(
        binding("gone", namespace, [name], JANE),
        binding("stays", namespace, [name], JANE),
        cluster_binding(wide, [name], JANE),
    )
    here = ["-n", namespace]
    eventually(lambda: ready(kubectl, "gone", namespace)[0] == ready(kubectl, "stays", namespace)[0] == "True")
    eventually(lambda: condition(kubectl, "clustersccbinding", wide)[0] == "True")
    with operator.away():
        kubectl("delete", "sccbinding", "gone", *here, "--cascade=orphan")
        kubectl("delete", "clustersccbinding", wide, "--cascade=orphan")
        assert exists(kubectl, "rolebinding", generated("gone", name), *here)
        assert exists(kubectl, "clusterrolebinding", generated(wide, name))
        changed = kubectl.json("rolebinding", generated("stays", name), *here)
        changed["roleRef"] = role_ref("ClusterRole", "view")
        for key in ("resourceVersion", "uid"):
            del changed["metadata"][key]
        kubectl("replace", "--force", "-f", "-", input=json.dumps(changed))
    eventually(lambda: not exists(kubectl, "rolebinding", generated("gone", name), *here))
    eventually(lambda: not exists(kubectl, "clusterrolebinding", generated(wide, name)))
    wanted = role_ref("ClusterRole", names.SCC_ROLE_PREFIX + name)
    eventually(lambda: kubectl.json("rolebinding", generated("stays", name), *here)["roleRef"] == wanted)


# --- what is wrong with a binding ------------------------------------------------------------------------------------


def test_an_unknown_scc_is_named_until_it_appears(
    kubectl: Kubectl, namespace: str, temporary: Callable[..., None]
) -> None:
    """What exists is granted; Ready is False and names what does not; it becomes True when the SCC appears."""
    one, later = f"one-{namespace}", f"later-{namespace}"
    temporary(scc(one))
    kubectl.apply(binding("team", namespace, [one, later], JANE))
    eventually(lambda: ready(kubectl, "team", namespace) == ("False", "SCCNotFound"))
    assert later in condition(kubectl, "sccbinding", "team", "-n", namespace)[2]
    assert kubectl.json("sccbinding", "team", "-n", namespace)["status"]["sccs"] == [one]
    assert can_use(kubectl, one, namespace, "jane")
    events = kubectl.json("events", "-n", namespace, "--field-selector=reason=SCCNotFound")["items"]
    assert [event["involvedObject"]["name"] for event in events] == ["team"]
    temporary(scc(later))
    eventually(lambda: ready(kubectl, "team", namespace) == ("True", "Granted"))
    eventually(lambda: can_use(kubectl, later, namespace, "jane"))
    kubectl("delete", "scc", later)
    eventually(lambda: ready(kubectl, "team", namespace) == ("False", "SCCNotFound"))
    eventually(lambda: not exists(kubectl, "rolebinding", generated("team", later), "-n", namespace))


def test_a_service_account_without_a_namespace_in_a_cluster_binding(kubectl: Kubectl) -> None:
    """The definition of ClusterSCCBindings asks for the namespace, so such a subject is never stored."""
    refused = kubectl(
        "apply", "-f", "-", input=yaml.safe_dump(cluster_binding("team", ["anyuid"], SERVICE_ACCOUNT)), check=False
    )
    assert refused.returncode
    assert "namespace" in refused.stderr


def test_an_expired_grant_is_withdrawn(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """At `expiresAt` the grant goes and Ready tells so; a later time brings it back."""
    name = f"one-{namespace}"
    temporary(scc(name, priority=9))
    kubectl.apply(pod("web", namespace))
    until = datetime.now(UTC) + timedelta(seconds=4)
    timed = binding("team", namespace, [name], SERVICE_ACCOUNT)
    timed["spec"]["expiresAt"] = until.strftime("%Y-%m-%dT%H:%M:%SZ")
    kubectl.apply(timed)
    expect(kubectl, namespace, {"web": completed(name)})
    assert datetime.now(UTC) < until
    expect(kubectl, namespace, {"web": completed("restricted-v2")})
    eventually(lambda: ready(kubectl, "team", namespace) == ("False", "Expired"))
    assert not exists(kubectl, "rolebinding", generated("team", name), "-n", namespace)
    kubectl.patch("sccbinding", "team", {"spec": {"expiresAt": "2999-01-01T00:00:00Z"}}, "-n", namespace)
    expect(kubectl, namespace, {"web": completed(name)})
    eventually(lambda: ready(kubectl, "team", namespace) == ("True", "Granted"))


# --- drift and foreign objects ---------------------------------------------------------------------------------------


def test_drift_is_repaired(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """Generated RBAC that somebody edits, unlabels or deletes is made right again."""
    name = f"one-{namespace}"
    temporary(scc(name))
    kubectl.apply(binding("team", namespace, [name], JANE))
    bound, here = generated("team", name), ["-n", namespace]
    eventually(lambda: exists(kubectl, "rolebinding", bound, *here))
    mallory = {"apiGroup": names.RBAC_GROUP, "kind": "User", "name": "mallory"}
    kubectl.patch("rolebinding", bound, {"subjects": [mallory]}, *here)
    eventually(lambda: subjects_of(kubectl.json("rolebinding", bound, *here)) == [("User", "", "jane")])
    kubectl("delete", "rolebinding", bound, *here)
    eventually(lambda: exists(kubectl, "rolebinding", bound, *here))
    role = names.SCC_ROLE_PREFIX + name
    kubectl.patch("clusterrole", role, {"rules": [use_rule("privileged")]})
    eventually(lambda: kubectl.json("clusterrole", role)["rules"] == [use_rule(name)])
    kubectl("delete", "clusterrole", role)
    eventually(lambda: kubectl.json("clusterrole", role)["rules"] == [use_rule(name)])


def test_a_foreign_role_binding_of_the_name_is_a_conflict(
    kubectl: Kubectl, namespace: str, temporary: Callable[..., None]
) -> None:
    """Somebody else's RoleBinding stays as it is, Conflict says so, and once it is gone the grant is made."""
    name = f"one-{namespace}"
    temporary(scc(name))
    bound, here = generated("team", name), ["-n", namespace]
    foreign = rbac("RoleBinding", bound, namespace, roleRef=role_ref("ClusterRole", "view"), subjects=[])
    kubectl("create", "-f", "-", input=json.dumps(foreign))
    before = kubectl.json("rolebinding", bound, *here)
    kubectl.apply(binding("team", namespace, [name], JANE))
    eventually(lambda: ready(kubectl, "team", namespace) == ("False", "BindingConflict"))
    status, _, message = condition(kubectl, "sccbinding", "team", *here, of="Conflict")
    assert status == "True"
    assert f"{namespace}/{bound}" in message
    assert kubectl.json("rolebinding", bound, *here) == before
    kubectl("delete", "rolebinding", bound, *here)
    eventually(lambda: ready(kubectl, "team", namespace) == ("True", "Granted"))
    eventually(lambda: can_use(kubectl, name, namespace, "jane"))


def test_a_foreign_cluster_role_of_the_name(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """One that grants exactly `use` on the SCC is adopted as it is; one that grants more is a conflict."""
    exact, more = f"exact-{namespace}", f"more-{namespace}"
    wide = [use_rule(more), {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    temporary(
        scc(exact),
        scc(more),
        rbac("ClusterRole", names.SCC_ROLE_PREFIX + exact, rules=[use_rule(exact)]),
        rbac("ClusterRole", names.SCC_ROLE_PREFIX + more, rules=wide),
    )
    before = [kubectl.json("clusterrole", names.SCC_ROLE_PREFIX + name) for name in (exact, more)]
    kubectl.apply(binding("team", namespace, [exact, more], JANE))
    eventually(lambda: ready(kubectl, "team", namespace) == ("False", "ClusterRoleConflict"))
    assert kubectl.json("sccbinding", "team", "-n", namespace)["status"]["sccs"] == [exact]
    eventually(lambda: can_use(kubectl, exact, namespace, "jane"))
    assert not can_use(kubectl, more, namespace, "jane")
    assert [kubectl.json("clusterrole", names.SCC_ROLE_PREFIX + name) for name in (exact, more)] == before


def test_a_settled_binding_costs_nothing(
    kubectl: Kubectl, namespace: str, temporary: Callable[..., None], audit_log: AuditLog
) -> None:
    """A label on the binding, its own status and unrelated RBAC cause no write."""
    name = f"one-{namespace}"
    temporary(scc(name))
    kubectl.apply(binding("team", namespace, [name], JANE))
    eventually(lambda: ready(kubectl, "team", namespace) == ("True", "Granted"))
    audit_log.forget()
    kubectl("label", "sccbinding", "team", "-n", namespace, "tier=front")
    kubectl.apply(rbac("RoleBinding", "x", namespace, roleRef=role_ref("ClusterRole", "view"), subjects=[]))
    kubectl.apply(binding("later", namespace, [name], JANE))
    eventually(lambda: ready(kubectl, "later", namespace) == ("True", "Granted"))
    written = [
        each["objectRef"]["name"]
        for resource in ("rolebindings", "sccbindings/status", "clusterroles")
        for each in audit_log.writes(resource, agent=names.FIELD_MANAGER)
        if each["objectRef"].get("namespace", namespace) == namespace
    ]
    assert [each for each in written if each != "later"] == [generated("later", name)]
