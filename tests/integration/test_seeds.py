"""The documents that people learned SCCs from, example by example, on a running cluster.

Where their prose and OpenShift's implementation part, the implementation counts, and the test says so.
"""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.support import SERVICE_ACCOUNT, Kubectl, binding, completed, denied, eventually, expect, pod, scc

from scc_operator import names
from scc_operator.engine.judge import evaluate
from scc_operator.engine.namespace import from_annotations
from scc_operator.engine.pod import parse_pod
from scc_operator.engine.provider import build_providers
from scc_operator.engine.scc import parse_scc, with_defaults

NFS_OWNER = 65534
NFS_GROUP = 5555
GROUPS = {"type": "MustRunAs", "ranges": [{"min": 5000, "max": 6000}]}
SEED_LEVEL = "s0:c123,c456"

pytestmark = pytest.mark.usefixtures("operator")


def nfs_pod(name: str, namespace: str, *, container: dict[str, Any] | None = None, **security: Any) -> dict[str, Any]:
    """A pod that mounts the NFS export of the documents, owned by 65534:5555."""
    mount = {"name": "nfs", "mountPath": "/usr/share/nfs"}
    return pod(
        name,
        namespace,
        container={"volumeMounts": [mount], **(container or {})},
        securityContext=security,
        volumes=[{"name": "nfs", "nfs": {"server": "nfs.example", "path": "/opt/nfs"}}],
    )


def filled(kubectl: Kubectl, pod_name: str, namespace: str, scc_name: str) -> dict[str, object]:
    """What admission under this SCC would fill into the pod as it is stored, by field."""
    values = from_annotations(namespace, kubectl.annotations("namespace", namespace))
    constraints = with_defaults(parse_scc(kubectl.json("scc", scc_name)))
    (provider,) = build_providers([constraints], values)
    stored = parse_pod(kubectl.json("pod", pod_name, "-n", namespace))
    return {fill.field: fill.value for fill in evaluate(stored, provider).fills}


def would_set(kubectl: Kubectl, pod_name: str, namespace: str) -> set[str]:
    """The names in the pod's annotation `would-set`."""
    return set(kubectl.annotations("pod", pod_name, namespace).get(names.WOULD_SET, "").split(","))


def first_uid(kubectl: Kubectl, namespace: str) -> int:
    """The first UID of the namespace's block."""
    found = kubectl.annotations("namespace", namespace)
    return int(found[names.UID_RANGE].partition("/")[0])


# --- groups ----------------------------------------------------------------------------------------------------------


def test_supplemental_group_5555_needs_an_scc_that_allows_it(
    kubectl: Kubectl, namespace: str, temporary: Callable[..., None]
) -> None:
    """Group 5555 is refused where the namespace's groups are checked, and allowed by nfs-scc with 5000 to 6000.

    The prose ends the range 5000-6000 at 5999; the implementation includes 6000.
    """
    name = f"nfs-scc-{namespace}"
    kubectl.apply(
        *(nfs_pod(f"group-{group}", namespace, supplementalGroups=[group]) for group in (NFS_GROUP, 6000, 6001)),
        nfs_pod("silent", namespace),
    )
    temporary(scc(name, priority=9, supplementalGroups={"type": "MustRunAs"}))
    kubectl.apply(binding("nfs", namespace, [name], SERVICE_ACCOUNT))
    refused = denied("SupplementalGroupNotAllowed")
    expect(kubectl, namespace, dict.fromkeys(["group-5555", "group-6000", "group-6001"], refused))
    kubectl.patch("scc", name, {"supplementalGroups": GROUPS})
    granted = dict.fromkeys(["group-5555", "group-6000", "silent"], completed(name))
    expect(kubectl, namespace, {**granted, "group-6001": refused})
    assert "supplementalGroups" in would_set(kubectl, "silent", namespace)
    assert "supplementalGroups" not in would_set(kubectl, f"group-{NFS_GROUP}", namespace)
    assert filled(kubectl, "silent", namespace, name)["supplementalGroups"] == (5000,)


def test_any_supplemental_group_is_allowed_by_restricted(kubectl: Kubectl, namespace: str) -> None:
    """The restricted SCCs check no supplemental groups: 5555 is allowed without any grant."""
    kubectl.apply(pod("group", namespace, securityContext={"supplementalGroups": [NFS_GROUP]}))
    eventually(lambda: kubectl.audit("group", namespace) == completed("restricted-v2"))


def test_fs_group_5555_needs_an_scc_that_allows_it(
    kubectl: Kubectl, namespace: str, temporary: Callable[..., None]
) -> None:
    """Group 5555 as fsGroup is allowed by an SCC with 5000 to 6000 and by none with the namespace's groups.

    The prose says that restricted lets any fsGroup pass; it is MustRunAs there. The prose compares with the first ID of
    the first range; in the implementation that is so for the namespace's groups only, an SCC's own ranges all count.
    """
    name = f"new-scc-{namespace}"
    groups = (NFS_GROUP, 6000, 6001, 7005)
    kubectl.apply(
        *(pod(f"group-{group}", namespace, securityContext={"fsGroup": group}) for group in groups),
        pod("silent", namespace),
    )
    refused = denied("FSGroupNotAllowed")
    expect(kubectl, namespace, {f"group-{group}": refused for group in groups})
    ranges = [{"min": 5000, "max": 6000}, {"min": 7000, "max": 7010}]
    temporary(scc(name, priority=9, fsGroup={"type": "MustRunAs", "ranges": ranges}))
    kubectl.apply(binding("new", namespace, [name], SERVICE_ACCOUNT))
    granted = dict.fromkeys(["group-5555", "group-6000", "group-7005", "silent"], completed(name))
    expect(kubectl, namespace, {**granted, "group-6001": refused})
    assert filled(kubectl, "silent", namespace, name)["fsGroup"] == 5000


# --- users -----------------------------------------------------------------------------------------------------------


def test_uid_65534_needs_nfs_scc(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """The owner of the NFS export is outside the namespace's UIDs and inside nfs-scc's range of one."""
    name = f"nfs-scc-{namespace}"
    owner = {"securityContext": {"runAsUser": NFS_OWNER}}
    kubectl.apply(nfs_pod("nfs", namespace, container=owner), pod("user", namespace, container=owner))
    # restricted-v2 has no inline NFS volumes either, and they are what it looks at first.
    expect(kubectl, namespace, {"user": denied("RunAsUserOutOfRange"), "nfs": denied("VolumeTypeNotAllowed")})
    temporary(
        scc(
            name,
            priority=9,
            requiredDropCapabilities=None,
            runAsUser={"type": "MustRunAsRange", "uidRangeMin": NFS_OWNER, "uidRangeMax": NFS_OWNER},
        )
    )
    kubectl.apply(binding("nfs", namespace, [name], SERVICE_ACCOUNT))
    expect(kubectl, namespace, {"nfs": completed(name), "user": completed(name)})


def test_my_custom_scc(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """my-custom-scc allows UIDs 65534 to 65634, both included, and fills in the first UID and the first group."""
    name = f"my-custom-scc-{namespace}"
    temporary(
        scc(
            name,
            priority=9,
            runAsUser={"type": "MustRunAsRange", "uidRangeMin": 65534, "uidRangeMax": 65634},
            seLinuxContext={"type": "MustRunAs", "seLinuxOptions": {"user": "system_u", "level": SEED_LEVEL}},
            fsGroup=GROUPS,
            supplementalGroups=GROUPS,
        )
    )
    kubectl.apply(binding("custom", namespace, [name], SERVICE_ACCOUNT))
    users = (65533, 65534, 65634, 65635)
    kubectl.apply(
        *(pod(f"user-{user}", namespace, securityContext={"runAsUser": user}) for user in users),
        pod("silent", namespace),
    )
    granted = dict.fromkeys(["user-65534", "user-65634", "silent"], completed(name))
    expect(
        kubectl, namespace, {**granted, **dict.fromkeys(["user-65533", "user-65635"], denied("RunAsUserOutOfRange"))}
    )
    values = filled(kubectl, "silent", namespace, name)
    assert (values["runAsUser"], values["fsGroup"], values["supplementalGroups"]) == (65534, 5000, (5000,))
    assert set(values) == would_set(kubectl, "silent", namespace)


def test_a_group_that_is_added_to_anyuid_moves_its_pods_and_their_uid(kubectl: Kubectl, namespace: str) -> None:
    """With system:authenticated in `groups` of anyuid a pod changes from restricted-v2 to anyuid, which sets no UID.

    That is how the image registry lost the right to its own files; taking the group out again moves the pod back.
    """
    kubectl.apply(pod("registry", namespace))
    eventually(lambda: kubectl.audit("registry", namespace) == completed("restricted-v2"))
    before = filled(kubectl, "registry", namespace, "restricted-v2")
    assert before["runAsUser"] == first_uid(kubectl, namespace)
    assert "runAsUser" in would_set(kubectl, "registry", namespace)
    groups = kubectl.json("scc", "anyuid")["groups"]
    try:
        kubectl.patch("scc", "anyuid", {"groups": [*groups, names.AUTHENTICATED]})
        eventually(lambda: kubectl.audit("registry", namespace) == completed("anyuid"))
        assert "runAsUser" not in would_set(kubectl, "registry", namespace)
        assert "runAsUser" not in filled(kubectl, "registry", namespace, "anyuid")
    finally:
        kubectl.patch("scc", "anyuid", {"groups": groups})
    eventually(lambda: kubectl.audit("registry", namespace) == completed("restricted-v2"))


def test_a_root_container_is_denied_under_restricted(
    kubectl: Kubectl, namespace: str, temporary: Callable[..., None]
) -> None:
    """UID 0 is outside every namespace's UIDs; RunAsAny allows it, MustRunAsNonRoot does not."""
    anybody, nonroot = f"any-{namespace}", f"nonroot-{namespace}"
    kubectl.apply(
        pod("root", namespace, container={"securityContext": {"runAsUser": 0}}),
        pod(
            "nonroot",
            namespace,
            container={"securityContext": {"runAsUser": 0}},
            annotations={names.REQUIRED_SCC: nonroot},
        ),
    )
    eventually(lambda: kubectl.audit("root", namespace) == denied("RunAsUserOutOfRange"))
    temporary(scc(anybody, runAsUser={"type": "RunAsAny"}), scc(nonroot, runAsUser={"type": "MustRunAsNonRoot"}))
    kubectl.apply(binding("both", namespace, [anybody, nonroot], SERVICE_ACCOUNT))
    expect(kubectl, namespace, {"root": completed(anybody), "nonroot": denied("RunAsRootNotAllowed")})


# --- privileged ------------------------------------------------------------------------------------------------------


def test_privileged(kubectl: Kubectl, namespace: str) -> None:
    """A privileged container needs an SCC that allows one; who may use that still gets the first SCC that fits."""
    kubectl.apply(pod("tool", namespace, container={"securityContext": {"privileged": True}}), pod("plain", namespace))
    expect(kubectl, namespace, {"tool": denied("PrivilegedNotAllowed"), "plain": completed("restricted-v2")})
    kubectl.apply(binding("tools", namespace, ["privileged"], SERVICE_ACCOUNT))
    expect(kubectl, namespace, {"tool": ("privileged", "fits", None), "plain": completed("restricted-v2")})


# --- SELinux ---------------------------------------------------------------------------------------------------------


def test_selinux_level_of_the_namespace(kubectl: Kubectl, new_namespace: Callable[..., str]) -> None:
    """A level in the pod must be the namespace's where the SCC gives none; the order of categories is no difference."""
    namespace = new_namespace(annotations={names.MCS: "s0:c456,c123"})
    kubectl.apply(
        pod("same", namespace, securityContext={"seLinuxOptions": {"level": SEED_LEVEL}}),
        pod("other", namespace, securityContext={"seLinuxOptions": {"level": "s0:c1,c0"}}),
        pod("silent", namespace),
    )
    granted = dict.fromkeys(["same", "silent"], completed("restricted-v2"))
    expect(kubectl, namespace, {**granted, "other": denied("SELinuxLevelMismatch")})
    assert "seLinuxOptions" in would_set(kubectl, "silent", namespace)
    assert "seLinuxOptions" not in would_set(kubectl, "same", namespace)


def test_selinux_level_of_the_scc(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """A level in the SCC takes the place of the namespace's; RunAsAny takes every level and fills in none."""
    fixed, anyone = f"fixed-{namespace}", f"any-level-{namespace}"
    temporary(
        scc(fixed, priority=9, seLinuxContext={"type": "MustRunAs", "seLinuxOptions": {"level": SEED_LEVEL}}),
        scc(anyone, seLinuxContext={"type": "RunAsAny"}),
    )
    kubectl.apply(
        pod("same", namespace, securityContext={"seLinuxOptions": {"level": SEED_LEVEL}}),
        pod("other", namespace, securityContext={"seLinuxOptions": {"level": "s0:c2,c1"}}),
        pod("silent", namespace),
    )
    eventually(lambda: kubectl.audit("same", namespace) == denied("SELinuxLevelMismatch"))
    kubectl.apply(binding("fixed", namespace, [fixed], SERVICE_ACCOUNT))
    granted = dict.fromkeys(["same", "silent"], completed(fixed))
    expect(kubectl, namespace, {**granted, "other": denied("SELinuxLevelMismatch")})
    options: Any = filled(kubectl, "silent", namespace, fixed)["seLinuxOptions"]
    assert options.level == SEED_LEVEL
    kubectl.apply(binding("any", namespace, [anyone], SERVICE_ACCOUNT))
    eventually(lambda: kubectl.audit("other", namespace) == completed(anyone))
    assert "seLinuxOptions" not in filled(kubectl, "silent", namespace, anyone)


# --- the namespace's ranges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["41000/100", "41000-41099"])
def test_both_forms_of_a_uid_range(kubectl: Kubectl, new_namespace: Callable[..., str], text: str) -> None:
    """`M/N` is N IDs from M on; `M-N` is M to N, both included."""
    namespace = new_namespace(annotations={names.UID_RANGE: text})
    users = (40999, 41000, 41099, 41100)
    kubectl.apply(*(pod(f"user-{user}", namespace, securityContext={"runAsUser": user}) for user in users))
    inside = dict.fromkeys(["user-41000", "user-41099"], completed("restricted-v2"))
    outside = dict.fromkeys(["user-40999", "user-41100"], denied("RunAsUserOutOfRange"))
    expect(kubectl, namespace, inside | outside)


def test_several_group_ranges(
    kubectl: Kubectl, new_namespace: Callable[..., str], temporary: Callable[..., None]
) -> None:
    """All ranges of the namespace count for supplemental groups, the first ID of the first alone for fsGroup."""
    namespace = new_namespace(annotations={names.SUPPLEMENTAL_GROUPS: "5000/10,7000-7010"})
    name = f"groups-{namespace}"
    must = {"type": "MustRunAs"}
    temporary(scc(name, priority=9, supplementalGroups=must, fsGroup=must))
    kubectl.apply(binding("groups", namespace, [name], SERVICE_ACCOUNT))
    kubectl.apply(
        *(
            pod(f"group-{group}", namespace, securityContext={"supplementalGroups": [group]})
            for group in (4999, 5000, 5009, 5010, 7000, 7010, 7011)
        ),
        *(pod(f"fs-{group}", namespace, securityContext={"fsGroup": group}) for group in (5000, 5001, 7000)),
    )
    inside = dict.fromkeys(["group-5000", "group-5009", "group-7000", "group-7010", "fs-5000"], completed(name))
    # restricted-v2, which everybody may use, checks no supplemental groups, and fsGroup as this SCC does.
    outside = dict.fromkeys(["group-4999", "group-5010", "group-7011"], completed("restricted-v2"))
    refused = dict.fromkeys(["fs-5001", "fs-7000"], denied("FSGroupNotAllowed"))
    expect(kubectl, namespace, inside | outside | refused)
    values = filled(kubectl, "fs-5000", namespace, name)
    assert values["supplementalGroups"] == (5000,)


# --- SCCs as they are shipped ----------------------------------------------------------------------------------------

NODE_EXPORTER = {
    "apiVersion": "security.openshift.io/v1",
    "kind": "SecurityContextConstraints",
    "metadata": {"name": "node-exporter"},
    "allowHostDirVolumePlugin": True,
    "allowHostNetwork": True,
    "allowHostPID": True,
    "allowHostPorts": True,
    "readOnlyRootFilesystem": False,
    "runAsUser": {"type": "RunAsAny"},
    "seLinuxContext": {"type": "RunAsAny"},
    "users": [],
}


def test_node_exporter_as_its_authors_ship_it(kubectl: Kubectl, namespace: str, temporary: Callable[..., None]) -> None:
    """An SCC that leaves out most fields is stored as it is and means what it means on OpenShift."""
    exporter = pod(
        "node-exporter",
        namespace,
        container={
            "ports": [{"containerPort": 9100, "hostPort": 9100}],
            "securityContext": {"runAsUser": 0},
            "volumeMounts": [{"name": "root", "mountPath": "/host/root", "readOnly": True}],
        },
        hostNetwork=True,
        hostPID=True,
        volumes=[{"name": "root", "hostPath": {"path": "/"}}],
    )
    privileged = pod("privileged", namespace, container={"securityContext": {"privileged": True}})
    ipc = pod("ipc", namespace, hostIPC=True)
    kubectl.apply(exporter, privileged, ipc)
    expect(kubectl, namespace, {"node-exporter": denied("HostNetworkNotAllowed")})
    temporary(NODE_EXPORTER)
    kubectl.apply(binding("node-exporter", namespace, ["node-exporter"], SERVICE_ACCOUNT))
    expect(
        kubectl,
        namespace,
        {
            "node-exporter": ("node-exporter", "fits", None),
            "privileged": denied("PrivilegedNotAllowed"),
            "ipc": denied("HostIPCNotAllowed"),
        },
    )


# --- exemption -------------------------------------------------------------------------------------------------------


def test_run_level_exempts_as_0_or_1_only(kubectl: Kubectl, new_namespace: Callable[..., str]) -> None:
    """The prose says that any run-level label turns SCCs off; only the values 0 and 1 do."""
    found = {level: new_namespace(labels={names.RUN_LEVEL_LABEL: level}) for level in ("0", "1", "2", "", "00")}
    root = {"securityContext": {"runAsUser": 0}}
    for namespace in found.values():
        kubectl.apply(pod("root", namespace, container=root))
    for level, namespace in found.items():
        expected = (None, "exempt", "RunLevel") if level in {"0", "1"} else denied("RunAsUserOutOfRange")
        eventually(lambda namespace=namespace, expected=expected: kubectl.audit("root", namespace) == expected)
    kubectl("label", "namespace", found["0"], f"{names.RUN_LEVEL_LABEL}-")
    eventually(lambda: kubectl.audit("root", found["0"]) == denied("RunAsUserOutOfRange"))
