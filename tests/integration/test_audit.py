"""Running pods carry the answer that is true now, whatever changes."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.support import (
    SERVICE_ACCOUNT,
    AuditLog,
    Kubectl,
    OperatorProcess,
    binding,
    completed,
    denied,
    eventually,
    expect,
    pod,
    rbac,
    role_ref,
    scc,
    use_rule,
)

from scc_operator import names

OWNER = {"securityContext": {"runAsUser": 65534}}
NFS_RANGE = {"type": "MustRunAsRange", "uidRangeMin": 65534, "uidRangeMax": 65534}
REFUSED = denied("RunAsUserOutOfRange")

pytestmark = pytest.mark.usefixtures("operator")


def nfs_scc(namespace: str, **fields: Any) -> dict[str, Any]:
    """An SCC of this test alone, which allows UID 65534 and no other."""
    return scc(f"nfs-{namespace}", **{"priority": 9, "runAsUser": NFS_RANGE, **fields})


def account(namespace: str, name: str = "default") -> dict[str, str]:
    """A service account as a subject of RBAC."""
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


# --- pods ------------------------------------------------------------------------------------------------------------


def test_a_pod_that_leaves_everything_open_fits_with_defaults(kubectl: Kubectl, namespace: str) -> None:
    """The normal case of plain Kubernetes: admission would only fill in what the pod left open."""
    kubectl.apply(pod("web", namespace))
    expect(kubectl, namespace, {"web": completed("restricted-v2")})
    assert kubectl.annotations("pod", "web", namespace)[names.WOULD_SET] == (
        "allowPrivilegeEscalation,capabilities.drop,fsGroup,runAsNonRoot,runAsUser,seLinuxOptions,seccompProfile"
    )


def test_a_pod_that_sets_everything_itself_fits(kubectl: Kubectl, namespace: str) -> None:
    """Nothing is left to fill in: the pod satisfies its SCC as it runs, and carries no `would-set`."""
    found = kubectl.annotations("namespace", namespace)
    first = int(
        eventually(
            lambda: found.get(names.UID_RANGE) or kubectl.annotations("namespace", namespace)[names.UID_RANGE]
        ).partition("/")[0]
    )
    hardened = pod(
        "hardened",
        namespace,
        annotations={names.SECCOMP_POD: "runtime/default"},
        container={
            "securityContext": {
                "runAsUser": first,
                "runAsNonRoot": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
        },
        securityContext={
            "fsGroup": first,
            "seLinuxOptions": {"level": kubectl.annotations("namespace", namespace)[names.MCS]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    )
    kubectl.apply(hardened)
    expect(kubectl, namespace, {"hardened": ("restricted-v2", "fits", None)})
    assert names.WOULD_SET not in kubectl.annotations("pod", "hardened", namespace)


def test_an_unchanged_answer_is_written_once(kubectl: Kubectl, namespace: str, audit_log: AuditLog) -> None:
    """One patch of pods/status for a new answer, none when a label, an unrelated SCC or a grant changes nothing."""
    audit_log.forget()

    def patches() -> list[str]:
        mine = audit_log.writes("pods/status", agent=names.FIELD_MANAGER)
        return [each["objectRef"]["name"] for each in mine if each["objectRef"]["namespace"] == namespace]

    kubectl.apply(pod("web", namespace))
    expect(kubectl, namespace, {"web": completed("restricted-v2")})
    # Once the pod runs its status has changed some times, and everything below has nothing to say about it.
    eventually(lambda: kubectl.json("pod", "web", "-n", namespace)["status"]["phase"] == "Running")
    kubectl("label", "pod", "web", "-n", namespace, "tier=front")
    kubectl("annotate", "pod", "web", "-n", namespace, "example.com/note=1")
    kubectl("label", "namespace", namespace, "tier=front")
    kubectl.apply(
        rbac("Role", "use", namespace, rules=[use_rule("privileged")]),
        rbac(
            "RoleBinding",
            "use",
            namespace,
            roleRef=role_ref("Role", "use"),
            subjects=[account(namespace)],
        ),
        pod("later", namespace),
    )
    expect(kubectl, namespace, {"later": completed("restricted-v2")})
    assert patches() == ["web", "later"]


def test_a_pod_that_comes_back_under_its_name_is_judged_anew(kubectl: Kubectl, namespace: str) -> None:
    """The answer belongs to the pod, not to its name."""
    kubectl.apply(pod("web-0", namespace))
    expect(kubectl, namespace, {"web-0": completed("restricted-v2")})
    kubectl("delete", "pod", "web-0", "-n", namespace, "--grace-period=0", "--force")
    kubectl.apply(pod("web-0", namespace, container=OWNER))
    expect(kubectl, namespace, {"web-0": REFUSED})


def test_finished_pods_are_left_out(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """Nobody starts a finished pod again, so its annotations stay as they were."""
    kubectl.apply(*(pod(name, namespace, container=OWNER) for name in ("done", "failed", "going-on")))
    expect(kubectl, namespace, dict.fromkeys(["done", "failed", "going-on"], REFUSED))
    kubectl.patch("pod", "done", {"status": {"phase": "Succeeded"}}, "-n", namespace, "--subresource=status")
    kubectl.patch("pod", "failed", {"status": {"phase": "Failed"}}, "-n", namespace, "--subresource=status")
    temporary(nfs_scc(namespace))
    kubectl.apply(binding("nfs", namespace, [f"nfs-{namespace}"], SERVICE_ACCOUNT))
    expect(kubectl, namespace, {"going-on": completed(f"nfs-{namespace}"), "done": REFUSED, "failed": REFUSED})


def test_a_forged_scc_is_overwritten(kubectl: Kubectl, namespace: str) -> None:
    """`openshift.io/scc` says what is true, not what a manifest or a template claims; all five annotations are ours."""
    forged = {
        names.SCC_ANNOTATION: "privileged",
        names.SUBJECT_TYPE: "user",
        names.VERDICT: "fits",
        names.REASON: "TrustMe",
        names.WOULD_MATCH: "anyuid",
        names.WOULD_SET: "nothing",
    }
    kubectl.apply(
        pod("good", namespace, annotations=forged), pod("bad", namespace, annotations=forged, container=OWNER)
    )
    expect(kubectl, namespace, {"good": completed("restricted-v2"), "bad": REFUSED})
    found = kubectl.annotations("pod", "bad", namespace)
    assert not found.keys() & {names.SCC_ANNOTATION, names.WOULD_MATCH, names.WOULD_SET}
    kubectl("annotate", "pod", "bad", "-n", namespace, f"{names.SCC_ANNOTATION}=anyuid")
    expect(kubectl, namespace, {"bad": REFUSED})
    kubectl("annotate", "pod", "good", "-n", namespace, f"{names.VERDICT}-")
    expect(kubectl, namespace, {"good": completed("restricted-v2")})


# --- SCCs ------------------------------------------------------------------------------------------------------------


def test_sccs_that_come_change_and_go(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """A pod follows the SCC that its account may use: created, edited, edited back, deleted."""
    name = f"nfs-{namespace}"
    subjects = {"users": [f"system:serviceaccount:{namespace}:default"]}
    kubectl.apply(pod("nfs", namespace, container=OWNER))
    expect(kubectl, namespace, {"nfs": REFUSED})
    temporary(nfs_scc(namespace, **subjects))
    expect(kubectl, namespace, {"nfs": completed(name)})
    kubectl.patch("scc", name, {"runAsUser": {"uidRangeMin": 65535, "uidRangeMax": 65535}})
    expect(kubectl, namespace, {"nfs": REFUSED})
    kubectl.patch("scc", name, {"runAsUser": {"uidRangeMin": 65534}})
    expect(kubectl, namespace, {"nfs": completed(name)})
    kubectl.patch("scc", name, {"users": []})
    expect(kubectl, namespace, {"nfs": REFUSED})
    kubectl.patch("scc", name, {"groups": [f"system:serviceaccounts:{namespace}"]})
    expect(kubectl, namespace, {"nfs": completed(name)})
    kubectl("delete", "scc", name)
    expect(kubectl, namespace, {"nfs": REFUSED})


def test_the_order_of_sccs_decides(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """Priority first, then restrictiveness, then name; a change of priority moves the pod."""
    first, second = f"a-{namespace}", f"b-{namespace}"
    users = [f"system:serviceaccount:{namespace}:default"]
    temporary(*(scc(name, priority=9, users=users) for name in (first, second)))
    kubectl.apply(pod("web", namespace))
    expect(kubectl, namespace, {"web": completed(first)})
    kubectl.patch("scc", second, {"priority": 10})
    expect(kubectl, namespace, {"web": completed(second)})
    kubectl.patch("scc", second, {"priority": None})
    kubectl.patch("scc", first, {"priority": None})
    expect(kubectl, namespace, {"web": completed("restricted-v2")})


# --- grants ----------------------------------------------------------------------------------------------------------


def test_a_grant_moves_a_pod_and_its_end_moves_it_back(
    kubectl: Kubectl, namespace: str, temporary: Callable[..., None]
) -> None:
    """A pod with UID 65534 is denied, matches nfs-scc once it is granted, and is denied again when the grant ends."""
    kubectl.apply(pod("nfs", namespace, container=OWNER))
    expect(kubectl, namespace, {"nfs": REFUSED})
    temporary(nfs_scc(namespace))
    kubectl.apply(binding("nfs", namespace, [f"nfs-{namespace}"], SERVICE_ACCOUNT))
    expect(kubectl, namespace, {"nfs": completed(f"nfs-{namespace}")})
    kubectl("delete", "sccbinding", "nfs", "-n", namespace)
    expect(kubectl, namespace, {"nfs": REFUSED})


@pytest.mark.parametrize(
    "role_kind, binding_kind",
    [("Role", "RoleBinding"), ("ClusterRole", "RoleBinding"), ("ClusterRole", "ClusterRoleBinding")],
)
def test_rbac_that_grants_use(
    kubectl: Kubectl,
    namespace: str,
    temporary: Callable[..., None],
    role_kind: str,
    binding_kind: str,
) -> None:
    """Plain RBAC counts, whichever of role and binding comes first, changes, or goes."""
    name = f"nfs-{namespace}"
    where = {"Role": namespace, "RoleBinding": namespace}
    role = rbac(role_kind, name, where.get(role_kind), rules=[use_rule(name)])
    bound = rbac(
        binding_kind,
        name,
        where.get(binding_kind),
        roleRef=role_ref(role_kind, name),
        subjects=[account(namespace)],
    )
    scope = ["-n", namespace]
    kubectl.apply(pod("nfs", namespace, container=OWNER))
    temporary(nfs_scc(namespace), bound)
    expect(kubectl, namespace, {"nfs": REFUSED})
    temporary(role)
    expect(kubectl, namespace, {"nfs": completed(name)})
    kubectl.apply({**role, "rules": [{**use_rule(name), "verbs": ["get", "list"]}]})
    expect(kubectl, namespace, {"nfs": REFUSED})
    kubectl.apply({**role, "rules": [{**use_rule(), "resourceNames": None, "verbs": ["*"]}]})
    eventually(lambda: kubectl.audit("nfs", namespace)[1] == "fits-with-defaults")
    kubectl.apply({**bound, "subjects": [account(namespace, "other")]})
    expect(kubectl, namespace, {"nfs": REFUSED})
    kubectl.apply(bound, role)
    expect(kubectl, namespace, {"nfs": completed(name)})
    kubectl("delete", binding_kind, name, *scope)
    expect(kubectl, namespace, {"nfs": REFUSED})


def test_the_requester_is_inferred_from_the_controller(
    kubectl: Kubectl, namespace: str, temporary: Callable[..., None]
) -> None:
    """What only the ReplicaSet controller may use is used by a Deployment's pods and by no bare pod."""
    name = f"nfs-{namespace}"
    temporary(nfs_scc(namespace, users=["system:serviceaccount:kube-system:replicaset-controller"]))
    bare = pod("bare", namespace, container=OWNER)
    labels = {"app": "web"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": bare["spec"]},
        },
    }
    # It finds no node: one that runs is played to its end within a second, and finished pods are left out.
    waiting = {**bare["spec"], "restartPolicy": "Never", "nodeSelector": {"nowhere": "true"}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": namespace},
        "spec": {"template": {"metadata": {}, "spec": waiting}},
    }
    kubectl.apply(bare, deployment, job)

    def by_owner() -> dict[str, Any]:
        return {name.partition("-")[0]: outcome for name, outcome in kubectl.audits(namespace).items()}

    eventually(lambda: by_owner() == {"bare": REFUSED, "web": completed(name), "once": REFUSED})


# --- namespaces ------------------------------------------------------------------------------------------------------


def test_a_range_that_moves_denies_the_pods_outside(kubectl: Kubectl, new_namespace: Callable[..., str]) -> None:
    """The namespace's annotations decide as they stand now."""
    namespace = new_namespace(annotations={names.UID_RANGE: "51000/100"})
    kubectl.apply(pod("fixed", namespace, securityContext={"runAsUser": 51050}), pod("silent", namespace))
    expect(kubectl, namespace, dict.fromkeys(["fixed", "silent"], completed("restricted-v2")))
    kubectl("annotate", "namespace", namespace, "--overwrite", f"{names.UID_RANGE}=52000/100")
    expect(kubectl, namespace, {"fixed": REFUSED, "silent": completed("restricted-v2")})
    kubectl("annotate", "namespace", namespace, "--overwrite", f"{names.UID_RANGE}=nonsense")
    expect(kubectl, namespace, {"fixed": (None, "unknown", "NamespaceRangesMalformed")})
    kubectl("annotate", "namespace", namespace, "--overwrite", f"{names.UID_RANGE}=51000/100")
    expect(kubectl, namespace, {"fixed": completed("restricted-v2")})


def test_an_answer_that_becomes_unknown_leaves_the_scc(kubectl: Kubectl, new_namespace: Callable[..., str]) -> None:
    """What cannot be decided does not wipe out what was decided before."""
    namespace = new_namespace(annotations={names.UID_RANGE: "53000/100"})
    kubectl.apply(pod("web", namespace))
    expect(kubectl, namespace, {"web": completed("restricted-v2")})
    kubectl("annotate", "namespace", namespace, "--overwrite", f"{names.UID_RANGE}=nonsense")
    expect(kubectl, namespace, {"web": ("restricted-v2", "unknown", "NamespaceRangesMalformed")})


def test_exempt_namespaces(kubectl: Kubectl, namespace: str) -> None:
    """Pods of kube-system are exempt, whatever they ask for."""
    name = f"root-{namespace}"
    kubectl.apply(pod(name, "kube-system", container={"securityContext": {"privileged": True}}))
    try:
        expect(kubectl, "kube-system", {name: (None, "exempt", "ExemptNamespace")})
    finally:
        kubectl("delete", "pod", name, "-n", "kube-system", "--wait=false")


def test_windows_pods_are_exempt(kubectl: Kubectl, namespace: str) -> None:
    """SCCs say nothing about Windows."""
    kubectl.apply(pod("windows", namespace, os={"name": "windows"}), pod("linux", namespace, os={"name": "linux"}))
    expect(kubectl, namespace, {"windows": (None, "exempt", "WindowsPod"), "linux": completed("restricted-v2")})


# --- required-scc ----------------------------------------------------------------------------------------------------


def test_required_scc(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """The annotation leaves one candidate; it must exist, be usable and fit, and grants nothing by itself."""
    usable, missing = f"nfs-{namespace}", f"missing-{namespace}"
    temporary(nfs_scc(namespace))
    kubectl.apply(binding("nfs", namespace, [usable], SERVICE_ACCOUNT))
    cases = {
        "silent": usable,
        "not-usable": "privileged",
        "missing": missing,
        "baseline": "restricted-v2",
    }
    kubectl.apply(
        *(pod(name, namespace, annotations={names.REQUIRED_SCC: required}) for name, required in cases.items()),
        pod("does-not-fit", namespace, annotations={names.REQUIRED_SCC: "restricted-v2"}, container=OWNER),
    )
    expected = {
        "silent": completed(usable),
        "not-usable": denied("NoUsableSCC"),
        "missing": denied("RequiredSCCNotFound"),
        "baseline": completed("restricted-v2"),
        "does-not-fit": REFUSED,
    }
    expect(kubectl, namespace, expected)
    temporary(scc(missing, users=[f"system:serviceaccount:{namespace}:default"]))
    expect(kubectl, namespace, {**expected, "missing": completed(missing)})


# --- mirror pods -----------------------------------------------------------------------------------------------------


def test_mirror_pods_are_judged_and_never_patched(
    operator: OperatorProcess, kubectl: Kubectl, namespace: str, audit_log: AuditLog
) -> None:
    """The kubelet would undo every write: a mirror pod counts in the metrics, with its node as the requester."""
    before = operator.metric("scc_operator_pods", verdict="fits", scc="privileged")
    audit_log.forget()
    static = pod(
        "static",
        namespace,
        annotations={names.MIRROR_POD: "0123456789abcdef"},
        container={"securityContext": {"privileged": True}},
        hostNetwork=True,
        nodeName=kubectl.json("nodes")["items"][0]["metadata"]["name"],
        automountServiceAccountToken=False,
    )
    kubectl.apply(static, pod("bare", namespace, container={"securityContext": {"privileged": True}}))
    expect(kubectl, namespace, {"bare": denied("PrivilegedNotAllowed")})
    eventually(lambda: operator.metric("scc_operator_pods", verdict="fits", scc="privileged") == before + 1)
    assert kubectl.audit("static", namespace) == (None, None, None)
    patched = audit_log.writes("pods/status", agent=names.FIELD_MANAGER)
    assert "static" not in [each["objectRef"]["name"] for each in patched]


# --- cost ------------------------------------------------------------------------------------------------------------


def test_replicas_are_one_question(
    operator: OperatorProcess, kubectl: Kubectl, namespace: str, audit_log: AuditLog
) -> None:
    """200 replicas are asked about once and patched once each; so is every later change for all of them."""
    asked = "scc_operator_questions_asked_total"
    labels = {"app": "web"}
    replicas = 200
    eventually(lambda: names.MCS in kubectl.annotations("namespace", namespace))
    before, patched = operator.metric(asked), operator.metric("scc_operator_pod_patches_total", outcome="written")
    audit_log.forget()
    kubectl.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod("x", "y")["spec"]},
            },
        }
    )
    answered = {completed("restricted-v2")}
    eventually(
        lambda: (found := kubectl.audits(namespace)) and len(found) == replicas and {*found.values()} == answered, 30
    )
    assert operator.metric(asked) - before == 1
    mine = audit_log.writes("pods/status", agent=names.FIELD_MANAGER)
    written = [each["objectRef"]["name"] for each in mine if each["objectRef"]["namespace"] == namespace]
    assert len(written) == len({*written}) == replicas
    assert operator.metric("scc_operator_pod_patches_total", outcome="written") - patched == replicas


# --- restarts, records, traces ---------------------------------------------------------------------------------------


def test_what_changed_while_the_operator_was_away_is_made_true(
    operator: OperatorProcess, kubectl: Kubectl, namespace: str, temporary: Callable[..., None]
) -> None:
    """A restart finds pods that came, a grant that went, and an annotation that somebody wrote."""
    name = f"nfs-{namespace}"
    temporary(nfs_scc(namespace))
    grant = rbac("RoleBinding", "nfs", namespace, roleRef=role_ref("Role", "nfs"), subjects=[account(namespace)])
    kubectl.apply(
        rbac("Role", "nfs", namespace, rules=[use_rule(name)]), grant, pod("before", namespace, container=OWNER)
    )
    expect(kubectl, namespace, {"before": completed(name)})
    with operator.away():
        kubectl("delete", "rolebinding", "nfs", "-n", namespace)
        kubectl.apply(
            pod("meanwhile", namespace),
            pod("forged", namespace, annotations={names.SCC_ANNOTATION: "privileged"}),
        )
    written = completed("restricted-v2")
    expect(kubectl, namespace, {"before": REFUSED, "meanwhile": written, "forged": written})


def test_admission_records_are_kept_where_they_are_believed(
    operator: OperatorProcess, start_operator: Callable[..., OperatorProcess], kubectl: Kubectl, namespace: str
) -> None:
    """With `openshift` a recorded SCC stays and today's other answer goes to `would-match`.

    A record is an SCC together with a subject type. The default setting believes nobody.
    """
    record = {names.SCC_ANNOTATION: "anyuid", names.SUBJECT_TYPE: "user"}
    with operator.replaced(start_operator, SCC_OPERATOR_ADMISSION_RECORD="openshift"):
        kubectl.apply(
            pod("recorded", namespace, annotations=record),
            pod("denied-today", namespace, annotations=record, container=OWNER),
            pod("same", namespace, annotations={**record, names.SCC_ANNOTATION: "restricted-v2"}),
            pod("no-record", namespace, annotations={names.SCC_ANNOTATION: "anyuid"}),
        )
        expect(
            kubectl,
            namespace,
            {
                "recorded": completed("anyuid"),
                "denied-today": ("anyuid", "denied", "RunAsUserOutOfRange"),
                "same": completed("restricted-v2"),
                "no-record": completed("restricted-v2"),
            },
        )
        would_match = {
            name: kubectl.annotations("pod", name, namespace).get(names.WOULD_MATCH)
            for name in ("recorded", "denied-today", "same", "no-record")
        }
        assert would_match == {"recorded": "restricted-v2", "denied-today": None, "same": None, "no-record": None}
    expect(kubectl, namespace, {"recorded": completed("restricted-v2"), "denied-today": REFUSED})
    assert names.WOULD_MATCH not in kubectl.annotations("pod", "recorded", namespace)


OURS = frozenset(names.POD_ANNOTATIONS)
RANGES = frozenset({names.UID_RANGE, names.MCS, names.SUPPLEMENTAL_GROUPS})
LEFT_OUT = ("resourceVersion", "managedFields", "generation")


def traces(before: dict[str, Any], after: dict[str, Any], ours: frozenset[str]) -> dict[str, Any]:
    """What differs between two states of an object, apart from annotations that the operator owns and from status."""
    found: list[dict[str, Any]] = []
    for state in (before, after):
        metadata = {key: value for key, value in state["metadata"].items() if key not in LEFT_OUT}
        annotations = {
            key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key not in ours
        }
        rest = {key: value for key, value in state.items() if key not in {"metadata", "status"}}
        found.append({**rest, **metadata, "annotations": annotations})
    return {
        key: (found[0].get(key), found[1].get(key))
        for key in sorted(found[0].keys() | found[1].keys())
        if found[0].get(key) != found[1].get(key)
    }


def test_nothing_that_is_not_ours_is_touched(
    operator: OperatorProcess, kubectl: Kubectl, new_namespace: Callable[..., str], temporary: Callable[..., None]
) -> None:
    """No finalizer, no label and no annotation of a framework appears on anything; only our annotations do."""
    with operator.away():
        namespace = new_namespace(labels={"team": "blue"}, annotations={"example.com/note": "1"})
        name = f"nfs-{namespace}"
        temporary(
            nfs_scc(namespace),
            rbac("ClusterRole", name, rules=[use_rule(name)]),
            rbac("ClusterRoleBinding", name, roleRef=role_ref("ClusterRole", name), subjects=[account(namespace)]),
        )
        kubectl.apply(
            pod("nfs", namespace, container=OWNER, annotations={"example.com/note": "1"}, nodeName="nowhere"),
            rbac("Role", name, namespace, rules=[use_rule(name)]),
            rbac("RoleBinding", name, namespace, roleRef=role_ref("Role", name), subjects=[account(namespace)]),
            binding("own", namespace, [name], SERVICE_ACCOUNT),
        )
        where = {
            "namespace": [namespace],
            "scc": [name],
            "clusterrole": [name],
            "clusterrolebinding": [name],
            "pod": ["nfs", "-n", namespace],
            "role": [name, "-n", namespace],
            "rolebinding": [name, "-n", namespace],
            "sccbinding": ["own", "-n", namespace],
        }
        before = {kind: kubectl.json(kind, *args) for kind, args in where.items()}
    expect(kubectl, namespace, {"nfs": completed(name)})
    kubectl.patch("scc", name, {"priority": 8, "users": ["jane"]})
    before["scc"] |= {"priority": 8, "users": ["jane"]}
    kubectl("wait", "sccbinding/own", "-n", namespace, "--for=condition=Ready", "--timeout=10s")
    after = {kind: kubectl.json(kind, *args) for kind, args in where.items()}
    ours = {"pod": OURS, "namespace": RANGES}
    changed = {kind: traces(before[kind], after[kind], ours.get(kind, frozenset())) for kind in where}
    assert changed == {kind: {} for kind in where}
    for kind, stored in after.items():
        managers = {entry["manager"] for entry in stored["metadata"].get("managedFields", [])}
        assert "kopf" not in managers, kind
