"""The running pods of a world with what they ask, shared by the verbs that look at whole namespaces."""

from collections.abc import Mapping
from typing import Any

import msgspec

from scc_operator.audit.view import View
from scc_operator.cli import kinds
from scc_operator.cli.errors import CLIError
from scc_operator.cli.world import World
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.records import Namespace, RunningPod
from scc_operator.settings import Settings

Raw = Mapping[str, Any]

TEMPLATE_HASH = "pod-template-hash"


class Running(msgspec.Struct, frozen=True):
    """One running pod.

    Attributes:
        namespace: its namespace.
        name: its name.
        workload: what made it, as `Kind/name`; a Deployment where a ReplicaSet of one did.
        record: its question, and the audit's annotations as they stand on it.
        raw: the pod as the API holds it.
    """

    namespace: str
    name: str
    workload: str
    record: RunningPod
    raw: Raw


class State:
    """The running pods of a scope at one moment, and whom to ask about them."""

    def __init__(self, world: World, mirror: Mirror, pods: list[Running]) -> None:
        self._world = world
        self.mirror = mirror
        self.view = View(mirror, Settings().exempt_namespaces)
        self.pods = pods
        self._namespaces: dict[str, Namespace | None] = {}

    def namespace(self, name: str) -> Namespace | None:
        """A namespace as it stands."""
        if name not in self._namespaces:
            self._namespaces[name] = self._world.namespace_of(name)
        return self._namespaces[name]


def running(world: World, scope: str) -> State:
    """The running pods of a namespace (empty: of all) that match the selector, ordered by namespace and name.

    Raises:
        CLIError: there is nothing to read pods from, or they may not be read (exit code 3).
    """
    world.need((kinds.PODS, scope), (kinds.NAMESPACES, ""))
    raws = {(raw["metadata"]["namespace"], raw["metadata"]["name"]): raw for raw in world.objects(kinds.PODS, scope)}
    if not raws and not world.common.files and not world.common.snapshot and world.common.offline:
        raise CLIError("there are no pods to look at offline: name a --snapshot, or pods with -f FILE")
    mirror = world.mirror((scope,), pods=True)
    pods = [
        Running(key[0], key[1], workload_of(raws[key]), entry.value, raws[key])
        for key, entry in sorted(mirror.pods.items(), key=lambda item: item[0])
        if world.selected(raws[key])
    ]
    return State(world, mirror, pods)


def workload_of(raw: Raw) -> str:
    """What made a pod, as `Kind/name`; `Pod/name` for one that nobody made."""
    metadata = raw["metadata"]
    owner = next((each for each in metadata.get("ownerReferences") or () if each.get("controller")), None)
    if owner is None:
        return f"Pod/{metadata['name']}"
    kind, name = str(owner.get("kind", "")), str(owner.get("name", ""))
    suffix = f"-{(metadata.get('labels') or {}).get(TEMPLATE_HASH, '')}"
    if kind == "ReplicaSet" and suffix != "-" and name.endswith(suffix):
        return f"Deployment/{name.removesuffix(suffix)}"
    return f"{kind}/{name}"
