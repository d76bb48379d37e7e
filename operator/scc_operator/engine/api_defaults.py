"""What a real API server has done to a pod before SCC admission sees it, as far as that changes the answer.

For manifests that never went through an API server. A pod that was read from one has all of this already, and applying
it again changes nothing (spec/admission.md appendix C).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from scc_operator.engine.pod import parse_pod
from scc_operator.engine.volume_types import PROJECTED
from scc_operator.engine.wire import convert

TOKEN_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  # a path
TOKEN_VOLUME_PREFIX = "kube-api-access-"  # noqa: S105  # a name

Json = dict[str, Any]


class _Port(msgspec.Struct, rename="camel"):
    container_port: int = 0


class _Mount(msgspec.Struct, rename="camel"):
    mount_path: str = ""


class _Container(msgspec.Struct, rename="camel"):
    ports: tuple[_Port, ...] = ()
    volume_mounts: tuple[_Mount, ...] = ()


class _Spec(msgspec.Struct, rename="camel"):
    init_containers: tuple[_Container, ...] = ()
    containers: tuple[_Container, ...] = ()
    automount_service_account_token: bool = True


class _Manifest(msgspec.Struct):
    spec: _Spec | None = None


def _check(pod: Mapping[str, Any]) -> None:
    """Refuse what has a wrong type, here where the pod can still be named."""
    parse_pod(pod)
    convert(pod, _Manifest, "Pod")


def with_api_defaults(pod: Mapping[str, Any]) -> Json:
    """The pod with the API's own defaults: a source for each volume, host ports with the host's network, and so on.

    Returns a new object, which shares with the given one what is equal.

    Raises:
        InvalidObject: a field that is read has a wrong type.
    """
    _check(pod)
    spec: Json = dict(pod.get("spec") or {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if spec.get("volumes"):
        spec["volumes"] = [_with_source(volume) for volume in spec["volumes"]]
    if spec.get("hostNetwork"):
        for kind in ("initContainers", "containers"):
            if spec.get(kind):
                spec[kind] = [_with_host_ports(container) for container in spec[kind]]
    return {**pod, "spec": spec}


def with_service_account(pod: Mapping[str, Any], *, automount: bool = True) -> Json:
    """The pod as the ServiceAccount admission plugin leaves it: with an account and the volume of its token.

    Args:
        pod: the pod.
        automount: what the service account's own `automountServiceAccountToken` says; the pod's has priority.

    Raises:
        InvalidObject: a field that is read has a wrong type.
    """
    _check(pod)
    spec: Json = dict(pod.get("spec") or {})
    spec["serviceAccountName"] = spec["serviceAccount"] = (
        spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    )
    own = spec.get("automountServiceAccountToken")
    volumes = spec.get("volumes") or []
    present = any(str(volume.get("name", "")).startswith(TOKEN_VOLUME_PREFIX) for volume in volumes)
    if (automount if own is None else own) and not present and _a_container_needs_the_token(spec):
        spec["volumes"] = [*volumes, _token_volume()]
    return {**pod, "spec": spec}


def _a_container_needs_the_token(spec: Json) -> bool:
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return any(
        all(mount.get("mountPath") != TOKEN_MOUNT_PATH for mount in container.get("volumeMounts") or [])
        for container in containers
    )


def _token_volume() -> Json:
    return {
        "name": f"{TOKEN_VOLUME_PREFIX}token",
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "path": "namespace",
                                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                            }
                        ]
                    }
                },
            ],
        },
    }


def _with_source(volume: Mapping[str, Any]) -> Json:
    completed = dict(volume)
    if all(value is None for key, value in volume.items() if key != "name"):
        completed["emptyDir"] = {}
    projected = volume.get(PROJECTED)
    if projected and projected.get("sources"):
        completed[PROJECTED] = {**projected, "sources": [_with_api_versions(entry) for entry in projected["sources"]]}
    return completed


def _with_api_versions(entry: Mapping[str, Any]) -> Json:
    downward = entry.get("downwardAPI")
    if not downward or not downward.get("items"):
        return dict(entry)
    items = [
        {**item, "fieldRef": {**item["fieldRef"], "apiVersion": item["fieldRef"].get("apiVersion") or "v1"}}
        if item.get("fieldRef")
        else item
        for item in downward["items"]
    ]
    return {**entry, "downwardAPI": {**downward, "items": items}}


def _with_host_ports(container: Mapping[str, Any]) -> Json:
    if not container.get("ports"):
        return dict(container)
    ports = [
        {**port, "hostPort": port.get("hostPort") or port["containerPort"]} if port.get("containerPort") else port
        for port in container["ports"]
    ]
    return {**container, "ports": ports}
