"""The default SCCs: creates what is missing at start, tells what was changed, and never changes what exists.

An administrator may have edited `users` of a default SCC: applying the shipped values again would take that away. So a
difference is told, by event, metric and the condition of a DefaultSCC, an object of our own that `kubectl get` shows:
an SCC has no status, and annotations on it would be a trace on something that is not ours.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from typing import Any

import msgspec
import yaml

from scc_operator import names
from scc_operator.access.drift import Difference, Shipped, differences
from scc_operator.access.scc_bindings import format_time
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.store import Key
from scc_operator.engine.scc import parse_scc, with_defaults
from scc_operator.kube import paths
from scc_operator.kube.client import Api, retrying
from scc_operator.kube.errors import ApiError
from scc_operator.kube.events import Recorder, Subject
from scc_operator.kube.paths import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, DEFAULT_SCCS, Resource
from scc_operator.kube.queue import WorkQueue

_log = logging.getLogger(__name__)

_RESOURCES: dict[str, Resource] = {
    names.SCC_KIND: paths.SCCS,
    "ClusterRole": paths.CLUSTER_ROLES,
    "ClusterRoleBinding": paths.CLUSTER_ROLE_BINDINGS,
}
_AS_SHIPPED = "AsShipped"
_CHANGED = "DefaultSCCChanged"
_SHOWN = 5
_MOST = 32
_WAY_OUT = "it stays as it is; kubectl apply -k manifests/default-sccs brings the shipped values of all of them back"
_LOOK_INTERVAL = 600.0
"""Seconds after which everything is looked at again, for what no watch shows."""


def default_objects() -> Iterator[dict[str, Any]]:
    """The packaged SCCs, ClusterRoles and ClusterRoleBindings as plain objects, SCCs first."""
    folder = resources.files("scc_operator.data")
    for file in ("default_sccs.yaml", "default_scc_rbac.yaml"):
        yield from yaml.safe_load_all((folder / file).read_text(encoding="utf-8"))


def shipped_sccs() -> dict[str, Shipped]:
    """The default SCCs by name."""
    objects = list(default_objects())
    bindings = {each["metadata"]["name"]: each for each in objects if each["kind"] == "ClusterRoleBinding"}
    sccs = [with_defaults(parse_scc(each)) for each in objects if each["kind"] == names.SCC_KIND]
    return {scc.name: Shipped(scc, bindings.get(names.SCC_ROLE_PREFIX + scc.name)) for scc in sccs}


async def create_missing(api: Api) -> list[str]:
    """Create what is missing and return its kinds and names.

    Raises:
        ApiError: an object was refused; what was created before stays, and a next start goes on.
    """
    created = [
        f"{manifest['kind']} {manifest['metadata']['name']}"
        for manifest in default_objects()
        if await retrying(partial(_create_missing, api, manifest))
    ]
    if created:
        _log.info("created defaults: %s", ", ".join(created))
    return created


async def _create_missing(api: Api, manifest: dict[str, Any]) -> bool:
    resource, name = _RESOURCES[manifest["kind"]], manifest["metadata"]["name"]
    if await api.find(resource.path(name=name)) is not None:
        return False
    try:
        await api.create(resource.path(), manifest)
    except ApiError as error:
        if error.status == 409:  # another operator was quicker
            return False
        text = f"default {manifest['kind']} {name}: {error.message}"
        raise ApiError(error.status, error.reason, text, error.retry_after) from error
    return True


class DefaultSCCWatch:
    """Tells which default SCCs are not as shipped.

    Args:
        api: where the stored roles are read and DefaultSCCs are written.
        mirror: the SCCs, and what wakes the watch.
        recorder: where changes are told.
        now: the time, with a zone.
    """

    def __init__(
        self, api: Api, mirror: Mirror, recorder: Recorder, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._api = api
        self._mirror = mirror
        self._recorder = recorder
        self._now = now
        self._shipped = shipped_sccs()
        self._differences: dict[str, tuple[Difference, ...]] = {}
        self._queue: WorkQueue[str] = WorkQueue("default SCCs", self._look, workers=2)
        mirror.tell.scc.append(self._scc_changed)
        mirror.tell.rbac.append(self._rbac_changed)

    async def run(self) -> None:
        """Look at all default SCCs, then at those that change, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queue.run())
            while True:
                for name in self._shipped:
                    self._queue.add(name)
                await asyncio.sleep(_LOOK_INTERVAL)

    def counts(self) -> Iterator[tuple[tuple[str], int]]:
        """How many fields of each default SCC differ; 0 for one that is as shipped."""
        return (((name,), len(found)) for name, found in self._differences.items())

    def _scc_changed(self, name: str) -> None:
        if name in self._shipped:
            self._queue.add(name)

    def _rbac_changed(self, kind: Kind, key: Key) -> None:
        if kind in {Kind.CLUSTER_ROLES, Kind.CLUSTER_ROLE_BINDINGS} and key[1].startswith(names.SCC_ROLE_PREFIX):
            self._scc_changed(key[1].removeprefix(names.SCC_ROLE_PREFIX))

    async def _look(self, name: str) -> None:
        shipped = self._shipped[name]
        entry = self._mirror.sccs.get(("", name))
        found = differences(
            shipped,
            entry.value.scc if entry else None,
            await self._api.find(CLUSTER_ROLES.path(name=shipped.role_name)),
            await self._api.find(CLUSTER_ROLE_BINDINGS.path(name=shipped.role_name)) if shipped.binding else None,
        )
        self._differences[name] = found
        path = DEFAULT_SCCS.path(name=name)
        stored = await self._api.find(path)
        if stored is None:
            head = {"apiVersion": f"{names.GROUP}/{names.VERSION}", "kind": names.DEFAULT_SCC_KIND}
            stored = await self._api.create(DEFAULT_SCCS.path(), {**head, "metadata": {"name": name}})
        before = stored.get("status") or {}
        wanted = _status(found, before, self._now())
        if wanted == before:
            return
        if found and [each["message"] for each in before.get("conditions", ())] != [
            each["message"] for each in wanted["conditions"]
        ]:
            await self._warn(name, entry.uid if entry else "", wanted["conditions"][0]["message"])
        await self._api.patch(f"{path}/status", {"metadata": {"uid": stored["metadata"]["uid"]}, "status": wanted})

    async def _warn(self, name: str, uid: str, message: str) -> None:
        subject = Subject(f"{names.SECURITY_GROUP}/{names.SECURITY_VERSION}", names.SCC_KIND, name, uid)
        self._recorder.settled(subject, _CHANGED)  # the DefaultSCC remembers what was said, also across restarts
        await self._recorder.warn(subject, _CHANGED, message)


def _short(difference: Difference) -> str:
    """What differs, for lists: a field of the SCC, or kind and field of another object."""
    kind = difference.object.split()[0]
    if not difference.field:
        return f"{kind} {difference.found}"
    return difference.field if kind == names.SCC_KIND else f"{kind} {difference.field}"


def _status(found: tuple[Difference, ...], before: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The whole status of a DefaultSCC; equal differences give an equal status."""
    if found:
        texts = [str(each) for each in found[:_SHOWN]]
        more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        value, reason, message = "False", "Changed", f"{'; '.join(texts + more)}: {_WAY_OUT}"
    else:
        value, reason, message = "True", _AS_SHIPPED, "the SCC, its ClusterRole and its binding are as shipped"
    last: dict[str, Any] = next(iter(before.get("conditions") or ()), {})
    since = last["lastTransitionTime"] if last.get("status") == value else format_time(now)
    return {
        "conditions": [
            {
                "type": _AS_SHIPPED,
                "status": value,
                "reason": reason,
                "message": message,
                "lastTransitionTime": since,
            }
        ],
        "changed": ", ".join(_short(each) for each in found),
        "differences": [msgspec.to_builtins(each) for each in found[:_MOST]],
    }
