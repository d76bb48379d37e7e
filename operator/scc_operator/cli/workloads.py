"""Pods that a manifest would make: the templates of every kind, known or not."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from scc_operator.access.subjects import SOMEBODY, Identity, infer_requester
from scc_operator.audit.wording import value_at

Json = dict[str, Any]
Path = tuple[str | int, ...]


class Workload(msgspec.Struct, frozen=True):
    """A pod, or the template of pods.

    Attributes:
        kind: of the object that holds it.
        name: of that object.
        namespace: where its pods run.
        path: the keys that lead from the object to the template; empty for a pod.
        pod: the pod as its author wrote it, with name and namespace.
        requester: who would create the pods: the kind's controller, or somebody.
        raw: the object that holds it.
    """

    kind: str
    name: str
    namespace: str
    path: Path
    pod: Json
    requester: Identity
    raw: Json

    @property
    def title(self) -> str:
        """`Kind/name`, with the path where an object holds several templates."""
        return f"{self.kind}/{self.name}"


def workloads_of(raw: Json, namespace: str) -> list[Workload]:
    """The pods that an object would make, none for an object that makes none.

    Args:
        raw: any Kubernetes object.
        namespace: where it goes unless it says so itself.
    """
    metadata = raw.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        return []
    where = str(metadata.get("namespace") or namespace)
    name = str(metadata.get("name") or metadata.get("generateName") or "without-a-name")
    kind = str(raw.get("kind", ""))
    requester = _requester(raw)
    return [
        Workload(kind, name, where, path, _pod(raw, path, name, where), requester, raw)
        for path in _templates(raw, kind)
    ]


_KNOWN: dict[str, Path] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "ReplicationController": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Deployment": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DeploymentConfig": ("spec", "template"),
    "Rollout": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}

# Which of Kubernetes' own controllers creates the pods in the end.
_CREATORS = {
    "Deployment": ("apps/v1", "ReplicaSet"),
    "Rollout": ("apps/v1", "ReplicaSet"),
    "ReplicaSet": ("apps/v1", "ReplicaSet"),
    "StatefulSet": ("apps/v1", "StatefulSet"),
    "DaemonSet": ("apps/v1", "DaemonSet"),
    "Job": ("batch/v1", "Job"),
    "CronJob": ("batch/v1", "Job"),
    "ReplicationController": ("v1", "ReplicationController"),
    "DeploymentConfig": ("v1", "ReplicationController"),
}


def _requester(raw: Json) -> Identity:
    kind = str(raw.get("kind", ""))
    if kind == "Pod":
        return infer_requester((raw.get("metadata") or {}).get("ownerReferences") or ())
    creator = _CREATORS.get(kind)
    if creator is None:
        return SOMEBODY
    return infer_requester([{"controller": True, "apiVersion": creator[0], "kind": creator[1]}])


def _templates(raw: Json, kind: str) -> Iterator[Path]:
    known = _KNOWN.get(kind)
    if known is not None and _is_template(value_at(raw, known)):
        yield known
        return
    if kind not in _NEVER:
        yield from _found(raw, ())


_NEVER = frozenset({"CustomResourceDefinition", "ConfigMap", "Secret", "ValidatingAdmissionPolicy", "Event"})


def _is_template(value: Any) -> bool:
    return isinstance(value, Mapping) and _is_pod_spec(value.get("spec"))


def _is_pod_spec(value: Any) -> bool:
    containers = value.get("containers") if isinstance(value, Mapping) else None
    return isinstance(containers, list) and bool(containers) and all(isinstance(each, Mapping) for each in containers)


def _found(value: Any, path: Path) -> Iterator[Path]:
    """Any part that holds a pod's spec: kinds that nobody listed here have templates too."""
    if isinstance(value, Mapping):
        spec = value.get("spec") or {}
        if _is_pod_spec(spec) and all("name" in each and "image" in each for each in spec["containers"]):
            yield path
            return
        for key, part in value.items():
            yield from _found(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _found(part, (*path, index))


def _pod(raw: Json, path: Path, name: str, namespace: str) -> Json:
    template: Json = value_at(raw, path) or {}
    metadata = {**(template.get("metadata") or {}), "name": name, "namespace": namespace}
    spec = dict(template["spec"])
    claims = (raw.get("spec") or {}).get("volumeClaimTemplates") if raw.get("kind") == "StatefulSet" else None
    if claims:
        spec["volumes"] = _with_claims(spec.get("volumes") or [], claims)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _with_claims(volumes: list[Json], claims: list[Json]) -> list[Json]:
    """The volumes of a StatefulSet's pods: its claims replace volumes of the same name."""
    names = [str((claim.get("metadata") or {}).get("name", "")) for claim in claims]
    kept = [volume for volume in volumes if volume.get("name") not in names]
    return [*kept, *({"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names)]
