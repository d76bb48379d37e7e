"""The rights that are installed are those that the operator needs: none is missing, and none is too many.

The operator runs under its own ServiceAccount; what it asked for is read from the API server's audit log.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pykube
import pytest
import yaml
from tests.cluster import launcher
from tests.integration.proxy import Proxy
from tests.integration.rest import MERGE_PATCH, Rest
from tests.integration.support import (
    ROOT,
    SERVICE_ACCOUNT,
    AuditLog,
    Kubectl,
    OperatorProcess,
    binding,
    eventually,
    pod,
    rbac,
    role_ref,
    scc,
    use_rule,
)

from scc_operator import names
from scc_operator.cli.kinds import SNAPSHOT
from scc_operator.kube.paths import (
    BINDINGS,
    CLUSTER_BINDINGS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    DEFAULT_SCCS,
    HOLDINGS,
    LEASES,
    NAMESPACES,
    PODS,
    RANGES,
    ROLE_BINDINGS,
    SCCS,
    Resource,
)

pytestmark = pytest.mark.usefixtures("installed")

ACCOUNT = "system:serviceaccount:scc-operator:scc-operator"
ASKED_BY_THE_API_SERVER = {
    (names.SECURITY_GROUP, names.SCC_RESOURCE, names.USE_VERB),
    (names.GROUP, "verdicts", "write"),
}
"""Rights that no request names: the API server asks for them on its own when it decides about another request."""

Right = tuple[str, str, str, str]
"""Group, resource with subresource, verb, and the name that the rule is limited to or an empty text."""


def roles(kubectl: Kubectl, folder: str) -> list[dict[str, Any]]:
    """The Roles and ClusterRoles that are bound to the operator's account."""
    rendered = [each for each in yaml.safe_load_all(kubectl("kustomize", ROOT / folder).stdout) if each]
    bound = {
        (each["roleRef"]["kind"], each["roleRef"]["name"])
        for each in rendered
        if each["kind"].endswith("RoleBinding")
        and any(subject["name"] == "scc-operator" for subject in each["subjects"])
    }
    return [each for each in rendered if (each["kind"], each["metadata"]["name"]) in bound]


def rights(rules: list[dict[str, Any]]) -> Iterator[Right]:
    """Every single right that the rules give."""
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames") or [""]:
                        yield group, resource, verb, name


def uses(right: Right, entry: Mapping[str, Any]) -> bool:
    """Whether a request of the audit log makes use of a right."""
    group, resource, verb, name = right
    asked = entry.get("objectRef") or {}
    what = "/".join(filter(None, (asked.get("resource"), asked.get("subresource"))))
    return (asked.get("apiGroup", ""), what, entry["verb"]) == (group, resource, verb) and name in {
        "",
        asked.get("name", ""),
    }


def log_in(kubectl: Kubectl, account: str, path: Path) -> Path:
    """Write a kubeconfig with a token of a ServiceAccount of the operator's namespace."""
    config = json.loads(kubectl("config", "view", "--raw", "--flatten", "-o", "json").stdout)
    token = kubectl("create", "token", account, "-n", "scc-operator").stdout.strip()
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    path.write_text(json.dumps(config))
    return path


def requests_of(log: AuditLog, user: str) -> list[dict[str, Any]]:
    """What was answered to an account, or to somebody in its place."""
    return [
        entry
        for entry in log.entries()
        if user in {entry["user"]["username"], entry.get("impersonatedUser", {}).get("username")}
    ]


def refused(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The requests that were refused for want of a right."""
    return [
        (entry["verb"], entry["requestURI"]) for entry in entries if entry.get("responseStatus", {}).get("code") == 403
    ]


def rights_of(kubectl: Kubectl, folder: str) -> list[Right]:
    """The rights of an install; none is given twice."""
    given = [right for role in roles(kubectl, folder) for right in rights(role["rules"])]
    assert len(given) == len(set(given))
    return given


def all_used(given: list[Right], entries: list[dict[str, Any]], *, but: frozenset[Right] = frozenset()) -> bool:
    """Assert that requests made use of every right."""
    asked = [right for right in given if right[:3] not in ASKED_BY_THE_API_SERVER and right not in but]
    assert [right for right in asked if not any(uses(right, entry) for entry in entries)] == []
    return True


def take_away(rest: Rest, ghost: str) -> list[tuple[Resource, str]]:
    """Make work for a start: what is returned is missing, and a ClusterRole of ours has outlived its SCC."""
    missing = [
        (SCCS, "nested-container"),
        (CLUSTER_ROLES, names.SCC_ROLE_PREFIX + "nested-container"),
        (CLUSTER_ROLE_BINDINGS, names.SCC_ROLE_PREFIX + "restricted-v3"),
        (DEFAULT_SCCS, "nested-container"),
        (RANGES, names.RANGE_NAME),
    ]
    for resource, name in missing:
        rest.delete(resource, name)
    rest.delete(LEASES, "scc-operator", "scc-operator")
    labels = {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.OWNER_KIND_LABEL: names.SCC_KIND,
        names.OWNER_UID_LABEL: "x",
    }
    orphan = rbac("ClusterRole", ghost, rules=[])
    orphan["metadata"]["labels"] = labels
    rest.create(CLUSTER_ROLES, orphan)
    return missing


def test_nothing_is_refused_and_nothing_is_unused(
    start_operator: Callable[..., OperatorProcess],
    cluster: launcher.Cluster,
    kubectl: Kubectl,
    rest: Rest,
    audit_log: AuditLog,
    tmp_path: Path,
) -> None:
    """With the rights of `manifests/audit` the operator does all its work, and its work takes each of them."""
    here, ghost = f"rights-{secrets.token_hex(4)}", names.SCC_ROLE_PREFIX + "gone-with-its-scc"
    given = rights_of(kubectl, "manifests/audit")
    missing = take_away(rest, ghost)
    audit_log.forget()

    operator = start_operator(kubeconfig=log_in(kubectl, "scc-operator", tmp_path / "account"), SCC_OPERATOR_LEASE="on")
    for resource, name in missing:
        eventually(lambda resource=resource, name=name: rest.get(resource, name))
    eventually(lambda: rest.get(CLUSTER_ROLES, ghost) is None)
    rest.create(NAMESPACES, {"metadata": {"name": here}})
    eventually(lambda: kubectl("get", "serviceaccount", "default", "-n", here, check=False).returncode == 0)
    wide = {
        **binding(here, here, ["no-such-scc", here], SERVICE_ACCOUNT | {"namespace": here}),
        "kind": names.CLUSTER_BINDING_KIND,
    }
    kubectl.apply(scc(here, priority=9), pod("web", here), binding("team", here, [here], SERVICE_ACCOUNT), wide)
    eventually(lambda: kubectl.audit("web", here)[0] == here)
    generated = names.GENERATED_PREFIX + f"team:{here}"
    rest.patch(ROLE_BINDINGS, generated, {"subjects": []}, here)
    everywhere = names.GENERATED_PREFIX + f"{here}:{here}"
    eventually(lambda: rest.get(CLUSTER_ROLE_BINDINGS, everywhere))
    rest.patch(CLUSTER_ROLE_BINDINGS, everywhere, {"subjects": []})
    rest.patch(CLUSTER_ROLES, names.SCC_ROLE_PREFIX + here, {"rules": []})
    eventually(lambda: rest.get(ROLE_BINDINGS, generated, here)["subjects"])
    eventually(lambda: rest.get(CLUSTER_ROLE_BINDINGS, everywhere)["subjects"])
    eventually(lambda: rest.get(CLUSTER_ROLES, names.SCC_ROLE_PREFIX + here)["rules"])
    # Of another SCC, not deleted: the garbage collector might be quicker than the operator.
    rest.patch(BINDINGS, "team", {"spec": {"sccs": ["nonroot"]}}, here)
    rest.patch(CLUSTER_BINDINGS, here, {"spec": {"sccs": ["nonroot"]}})
    eventually(lambda: rest.get(ROLE_BINDINGS, generated, here) is None)
    eventually(lambda: rest.get(CLUSTER_ROLE_BINDINGS, everywhere) is None)
    eventually(lambda: kubectl.audit("web", here)[0] == "restricted-v2")
    assert operator.stop() == 0
    assert "forbidden" not in operator.log.read_text()

    # What is only asked for after a conflict, and once a quarantine is over, is brought about on purpose.
    with Proxy(cluster.kubeconfig, tmp_path, impersonate=ACCOUNT) as proxy:
        annotates = rf"PATCH /api/v1/namespaces/{here}-2\?"
        records = r"PATCH .*/namespaceranges/[^/]+(/status)?\?"
        with proxy.rule(annotates, status=409) as conflict, proxy.rule(records, status=409) as stale:
            quick = {"SCC_OPERATOR_RANGES_QUARANTINE": "0.2", "SCC_OPERATOR_RANGES_LEAK_GRACE": "0.2"}
            second = start_operator(kubeconfig=proxy.kubeconfig, **quick)
            rest.create(NAMESPACES, {"metadata": {"name": f"{here}-2"}})
            eventually(lambda: conflict.hits and names.UID_RANGE in kubectl.annotations("namespace", f"{here}-2"))
            rest.delete(BINDINGS, "team", here)
            kubectl("delete", "namespace", here, f"{here}-2")
            eventually(lambda: stale.hits)
            eventually(lambda: all_used(given, requests_of(audit_log, ACCOUNT)), pause=0.5)
        assert second.stop() == 0
    assert refused(requests_of(audit_log, ACCOUNT)) == []
    rest.delete(CLUSTER_BINDINGS, here)
    rest.delete(SCCS, here)


def test_on_openshift_less_is_enough(
    start_operator: Callable[..., OperatorProcess], kubectl: Kubectl, rest: Rest, audit_log: AuditLog, tmp_path: Path
) -> None:
    """With the rights of `manifests/openshift`, which write nothing but pods' annotations, the audit works."""
    name, crd = "on-openshift", f"{names.SCC_RESOURCE}.{names.SECURITY_GROUP}"
    me = f"system:serviceaccount:scc-operator:{name}"
    given = rights_of(kubectl, "manifests/openshift")
    # Nothing goes wrong that an Event could tell, and the definition of SCCs says already whose it is.
    event, service = ("", "events", "create", ""), "v1.security.openshift.io"
    spared = frozenset({event, ("apiregistration.k8s.io", "apiservices", "get", service)})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "scc-operator"}
    bound = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "scc-operator"}},
        *(
            rbac(
                f"{role['kind']}Binding",
                f"{name}-{role['metadata']['name']}",
                role["metadata"].get("namespace"),
                roleRef=role_ref(role["kind"], role["metadata"]["name"]),
                subjects=[subject],
            )
            for role in roles(kubectl, "manifests/openshift")
        ),
    ]
    kubectl.apply(*bound)
    here = f"rights-{secrets.token_hex(4)}"
    ranges = {names.UID_RANGE: "61000/100", names.SUPPLEMENTAL_GROUPS: "61000/100", names.MCS: "s0:c9,c8"}
    rest.create(NAMESPACES, {"metadata": {"name": here, "annotations": ranges}})
    eventually(lambda: kubectl("get", "serviceaccount", "default", "-n", here, check=False).returncode == 0)
    kubectl.apply(pod("web", here))
    rest.delete(LEASES, "scc-operator", "scc-operator")
    kubectl("annotate", "crd", crd, f"{names.PLATFORM_ANNOTATION}x=true")
    audit_log.forget()
    try:
        operator = start_operator(kubeconfig=log_in(kubectl, name, tmp_path / "account"), SCC_OPERATOR_LEASE="on")
        eventually(lambda: kubectl.audit("web", here) == ("restricted-v2", "fits-with-defaults", None))
        eventually(lambda: all_used(given, requests_of(audit_log, me), but=spared))
        assert operator.stop() == 0
    finally:
        kubectl("annotate", "crd", crd, f"{names.PLATFORM_ANNOTATION}x-")
        kubectl("delete", "-f", "-", "--wait=false", input=yaml.safe_dump_all(bound))
    entries = requests_of(audit_log, me)
    assert refused(entries) == []
    written = {entry["objectRef"]["resource"] for entry in entries if entry["verb"] in {"create", "update", "patch"}}
    assert written == {"pods", "leases"}


def test_what_the_api_server_asks_for_is_needed(kubectl: Kubectl, api: pykube.HTTPClient, rest: Rest) -> None:
    """Without `use` the operator could make no role, without `write` on verdicts it could annotate no pod."""
    name = "rights-without"
    given = [
        rule
        for role in roles(kubectl, "manifests/audit")
        for rule in role["rules"]
        if not {names.USE_VERB, "write"} & {*rule["verbs"]}
    ]
    objects = [
        rbac("ClusterRole", name, rules=given),
        rbac(
            "ClusterRoleBinding",
            name,
            roleRef=role_ref("ClusterRole", name),
            subjects=[{"apiGroup": names.RBAC_GROUP, "kind": "User", "name": name}],
        ),
    ]
    kubectl.apply(*objects)
    rest.create(PODS, pod(name, "default"), "default")
    role = rbac("ClusterRole", f"{name}-anyuid", rules=[use_rule("anyuid")])
    verdict = {"metadata": {"annotations": {names.VERDICT: "fits"}}}

    def ask(method: str, path: str, body: Any, user: str) -> Any:
        headers = {"Content-Type": MERGE_PATCH if method == "PATCH" else "application/json", "Impersonate-User": user}
        url = f"{api.url}{path}?dryRun=All"
        return api.session.request(method, url, data=json.dumps(body), headers=headers, timeout=30)

    try:
        for user, allowed in ((ACCOUNT, True), (name, False)):
            eventually(lambda user=user: ask("GET", f"{NAMESPACES.path()}/default", None, user).status_code == 200)
            created = ask("POST", CLUSTER_ROLES.path(), role, user)
            written = ask("PATCH", PODS.path("default", name, "status"), verdict, user)
            assert (created.ok, written.ok) == (allowed, allowed), (created.text, written.text)
            if not allowed:
                assert "attempting to grant RBAC permissions not currently held" in created.text
                assert "verdicts.scc-operator.io" in written.text
    finally:
        rest.delete(PODS, name, "default")
        kubectl("delete", "-f", "-", input=yaml.safe_dump_all(objects))


@pytest.fixture
def people(kubectl: Kubectl, namespace: str) -> Iterator[str]:
    """A namespace with its `admin`, `edit` and `view`, and an auditor of the cluster; users are named after roles."""
    objects = [
        rbac(
            kind,
            f"{user}-{namespace}",
            where,
            roleRef=role_ref("ClusterRole", role),
            subjects=[{"apiGroup": names.RBAC_GROUP, "kind": "User", "name": f"{user}-{namespace}"}],
        )
        for kind, where, user, role in (
            ("RoleBinding", namespace, "admin", "admin"),
            ("RoleBinding", namespace, "edit", "edit"),
            ("RoleBinding", namespace, "view", "view"),
            ("ClusterRoleBinding", None, "auditor", "scc-operator-view"),
        )
    ]
    kubectl.apply(*objects)
    yield namespace
    kubectl("delete", "-f", "-", input=yaml.safe_dump_all(objects))


def test_roles_for_people(kubectl: Kubectl, people: str) -> None:
    """A namespace's admin writes its SCC bindings, who views it reads them; cluster-wide ones are for none of them."""

    def can(user: str, verb: str, resource: str, *where: str) -> bool:
        return kubectl("auth", "can-i", verb, resource, *where, as_user=f"{user}-{people}", check=False).returncode == 0

    here = ("-n", people)
    bindings, everywhere = f"sccbindings.{names.GROUP}", f"clustersccbindings.{names.GROUP}"
    eventually(lambda: can("admin", "create", bindings, *here))  # aggregation takes its time
    eventually(lambda: can("view", "list", bindings, *here))
    assert can("edit", "list", bindings, *here)
    for user, verb, resource in (
        ("edit", "create", bindings),
        ("view", "create", bindings),
        ("admin", "create", everywhere),
        ("admin", "update", f"{names.SCC_RESOURCE}.{names.SECURITY_GROUP}"),
        ("admin", "use", f"{names.SCC_RESOURCE}.{names.SECURITY_GROUP}/anyuid"),
        ("auditor", "create", bindings),
        ("auditor", "get", "secrets"),
        ("auditor", "get", "configmaps"),
    ):
        assert not can(user, verb, resource, *here), (user, verb, resource)


def test_an_auditor_reads_all_that_kubectl_scc_reads(kubectl: Kubectl, people: str) -> None:
    """The role for readers is enough for a snapshot of the whole cluster, and for the operator's own kinds."""
    for kind in (*SNAPSHOT, HOLDINGS, DEFAULT_SCCS):
        resource = kind if isinstance(kind, Resource) else kind.resource
        what = f"{resource.plural}.{resource.group}".rstrip(".")
        listed = kubectl("get", what, "-A", "-o", "name", as_user=f"auditor-{people}", check=False)
        assert listed.returncode == 0, listed.stderr
