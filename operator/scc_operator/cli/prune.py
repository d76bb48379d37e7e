"""What a snapshot keeps of an object: what SCCs are about, and nothing that could be a secret.

Everything is kept by name; what nobody named here is left out. Values of environment variables, commands, arguments,
probes, volume attributes and annotations of strangers are among what is left out.
"""

from typing import Any

from scc_operator import names
from scc_operator.cli import kinds
from scc_operator.cli.kinds import ObjectKind
from scc_operator.cli.sources import Raw

_METADATA = (
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "labels",
    "ownerReferences",
)  # fmt: skip
_ANNOTATIONS = (
    "openshift.io/",
    "security.openshift.io/",
    "scc-operator.io/",
    "release.openshift.io/",
    "rbac.authorization.kubernetes.io/",
    "kubernetes.io/description",
    names.PLATFORM_ANNOTATION,
    names.SECCOMP_POD,
    names.SECCOMP_CONTAINER_PREFIX,
    names.MIRROR_POD,
    "pv.beta.kubernetes.io/gid",
)
_POD_SPEC = (
    "serviceAccountName", "serviceAccount", "automountServiceAccountToken", "nodeName", "os", "hostNetwork", "hostPID",
    "hostIPC", "hostUsers", "restartPolicy", "securityContext",
)  # fmt: skip
_CONTAINER = ("name", "image", "ports", "securityContext", "volumeMounts", "volumeDevices", "restartPolicy")
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_VOLUME_SECRETS = ("options", "volumeAttributes", "keyring", "secretData")
_WORKLOAD_SPEC = ("replicas", "selector", "serviceName", "suspend", "schedule", "paused")
_PV_SPEC = ("capacity", "accessModes", "claimRef", "storageClassName", "volumeMode", "mountOptions", "volumeName")


def pruned(kind: ObjectKind, raw: Raw) -> Raw:
    """The object as a snapshot keeps it."""
    kept: Raw = {"apiVersion": _api_version(kind), "kind": kind.kind, "metadata": _metadata(raw["metadata"])}
    if kind is kinds.PODS:
        return kept | {"spec": _pod_spec(raw.get("spec") or {}), "status": _pod_status(raw.get("status") or {})}
    if kind in kinds.WORKLOADS:
        return kept | {"spec": _workload_spec(raw.get("spec") or {})}
    if kind in (kinds.PERSISTENT_VOLUMES, kinds.PERSISTENT_VOLUME_CLAIMS):
        return kept | {
            "spec": _volume_spec(raw.get("spec") or {}),
            "status": _only(raw.get("status") or {}, ("phase",)),
        }
    if kind is kinds.SERVICE_ACCOUNTS:
        return kept | _only(raw, ("automountServiceAccountToken",))
    if kind is kinds.NAMESPACES:
        return kept | {"status": _only(raw.get("status") or {}, ("phase",))}
    return kept | {key: value for key, value in raw.items() if key not in {"apiVersion", "kind", "metadata"}}


def _api_version(kind: ObjectKind) -> str:
    resource = kind.resource
    return f"{resource.group}/{resource.version}" if resource.group else resource.version


def _only(raw: Raw, keys: tuple[str, ...]) -> Raw:
    return {key: raw[key] for key in keys if key in raw}


def _metadata(metadata: Raw) -> Raw:
    kept = _only(metadata, _METADATA)
    annotations = {
        key: value for key, value in (metadata.get("annotations") or {}).items() if key.startswith(_ANNOTATIONS)
    }
    return kept | ({"annotations": annotations} if annotations else {})


def _template(template: Raw) -> Raw:
    return {"metadata": _metadata(template.get("metadata") or {}), "spec": _pod_spec(template.get("spec") or {})}


def _workload_spec(spec: Raw) -> Raw:
    kept = _only(spec, _WORKLOAD_SPEC)
    if "template" in spec:
        kept["template"] = _template(spec["template"])
    if "jobTemplate" in spec:
        kept["jobTemplate"] = {"spec": _workload_spec(spec["jobTemplate"].get("spec") or {})}
    if "volumeClaimTemplates" in spec:
        kept["volumeClaimTemplates"] = [
            {"metadata": _metadata(claim.get("metadata") or {}), "spec": _volume_spec(claim.get("spec") or {})}
            for claim in spec["volumeClaimTemplates"] or ()
        ]
    return kept


def _pod_spec(spec: Raw) -> Raw:
    kept = _only(spec, _POD_SPEC)
    for key in _CONTAINERS:
        if spec.get(key):
            kept[key] = [_only(container, _CONTAINER) for container in spec[key]]
    if spec.get("volumes"):
        kept["volumes"] = [_without_secrets(volume) for volume in spec["volumes"]]
    return kept


def _pod_status(status: Raw) -> Raw:
    kept = _only(status, ("phase", "qosClass", "reason"))
    states = [_container_status(each) for each in status.get("containerStatuses") or ()]
    return kept | ({"containerStatuses": states} if states else {})


def _container_status(status: Raw) -> Raw:
    """The state without its messages, which may quote what the container printed."""
    kept = _only(status, ("name", "ready", "restartCount"))
    state = {name: _only(value or {}, ("reason", "exitCode")) for name, value in (status.get("state") or {}).items()}
    return kept | {"state": state}


def _volume_spec(spec: Raw) -> Raw:
    kept = _only(spec, _PV_SPEC)
    return kept | {
        key: _without_secrets(value) for key, value in spec.items() if isinstance(value, dict) and key not in kept
    }


def _without_secrets(value: Any) -> Any:
    """A volume without what its driver is told; a nested claim template counts as a volume too."""
    if isinstance(value, dict):
        return {
            key: _without_secrets(_metadata(part) if key == "metadata" else part)
            for key, part in value.items()
            if key not in _VOLUME_SECRETS
        }
    return [_without_secrets(part) for part in value] if isinstance(value, list) else value
