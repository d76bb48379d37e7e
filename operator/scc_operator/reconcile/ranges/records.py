"""Keeps a NamespaceRange for every block that somebody holds, held lately, or is to have.

Records come after the annotations and off their path. What a record does not say yet is known from what was seen since
the start, and from the ledger's reservations, which stay until their record is written.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import msgspec

from scc_operator import names
from scc_operator.allocation.census import NamespaceState
from scc_operator.allocation.holdings import Holding, State, follow, holding_name, last_known
from scc_operator.allocation.namespace_ranges import new_body, status_of
from scc_operator.allocation.uid_blocks import Block, InvalidBlock, UIDRange, parse_block
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.kube.client import Api
from scc_operator.kube.errors import ApiError
from scc_operator.kube.events import Recorder, Subject
from scc_operator.kube.paths import HOLDINGS, NAMESPACES
from scc_operator.kube.queue import WorkQueue
from scc_operator.reconcile.ranges.states import state_of

_DELAY = 0.3
"""Seconds by which a record is later than what it tells of, and by which it gives way while namespaces wait."""
_WORKERS = 4


class Records:
    """Writes NamespaceRanges, and tells what they say or will say.

    Args:
        api: the API server.
        mirror: namespaces and NamespaceRanges.
        recorder: where it is told that a namespace took the block of another one.
        uid_range: the configured range.
        busy: whether there is something more urgent to write.
        changed: called when a record changes what allocation may do.
    """

    def __init__(
        self,
        api: Api,
        mirror: Mirror,
        recorder: Recorder,
        uid_range: UIDRange,
        busy: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        self._api = api
        self._mirror = mirror
        self._recorder = recorder
        self._uid_range = uid_range
        self._busy = busy
        self._changed = changed
        self._carriers: defaultdict[Block, set[str]] = defaultdict(set)
        self._seen: dict[str, tuple[str, Block]] = {}
        self._left: dict[Block, tuple[str, str]] = {}
        """Blocks whose holder went before a record of it was written: the holder's name and uid."""
        self._pins: defaultdict[str, set[Block]] = defaultdict(set)
        self._volumes: dict[Block, tuple[str, ...]] = {}
        self._queue: WorkQueue[Block] = WorkQueue("namespaceranges", self._record, workers=_WORKERS)
        mirror.tell.namespace.append(self._namespace_changed)
        mirror.tell.holding.append(self._holding_changed)

    async def run(self) -> None:
        """Write records, until cancelled."""
        for holding in self._mirror.holdings.values():
            self._queue.add(holding.block)
        await self._queue.run()

    def holdings(self) -> Iterator[Holding]:
        """Everything that is known of any block, also where it is not written yet."""
        for holding in self._mirror.holdings.values():
            yield self._with_volumes(holding)
        for block in self._left:
            unwritten = self._unwritten(block)
            if unwritten is not None and ("", unwritten.name) not in self._mirror.holdings:
                yield unwritten

    def knows(self, block: Block, uid: str) -> bool:
        """Whether a record says that the namespace with this uid holds or held this block."""
        entry = self._mirror.holdings.get(("", holding_name(block)))
        return entry is not None and entry.value.uid == uid

    def carries(self, name: str, uid: str) -> bool:
        """Whether the namespace was seen with a block."""
        return self._seen.get(name, ("", None))[0] == uid

    def is_carried(self, block: Block) -> bool:
        """Whether a live namespace carries exactly this block."""
        return bool(self._carriers.get(block))

    def left(self, block: Block, namespace: str, uid: str) -> None:
        """A namespace is gone for which this block was taken."""
        if self._left.setdefault(block, (namespace, uid)) == (namespace, uid):
            self._queue.add(block, _DELAY)

    def volumes_found(self, block: Block, volumes: tuple[str, ...]) -> None:
        """These PersistentVolumes keep the block of a namespace that is gone."""
        self._volumes[block] = volumes
        self._queue.add(block)

    # --- what changes --------------------------------------------------------------------------------------------

    def _namespace_changed(self, name: str) -> None:
        entry = self._mirror.namespaces.get(("", name))
        block = _block_of(entry.value.values.uid_range) if entry else None
        now = (entry.uid, block) if entry and block else None
        before = self._seen.get(name)
        if before is not None and before != now:
            del self._seen[name]
            self._carriers[before[1]].discard(name)
            if not self._carriers[before[1]]:
                del self._carriers[before[1]]
            self.left(before[1], name, before[0])
            self._queue.add(before[1], _DELAY)
        if now is not None:
            self._seen[name] = now
            self._carriers[now[1]].add(name)
            self._queue.add(now[1], _DELAY)
        for pinned in self._pins.get(name, ()):
            self._queue.add(pinned, _DELAY)

    def _holding_changed(self, name: str) -> None:
        entry = self._mirror.holdings.get(("", name))
        if entry is None:
            block = _block_of(name.replace("-", "/"))
            if block is None:
                return
        else:
            block = entry.value.block
        for pins in self._pins.values():
            pins.discard(block)
        if entry is not None and entry.value.pinned_to:
            self._pins[entry.value.pinned_to].add(block)
        self._queue.add(block)
        self._changed()

    # --- one record ----------------------------------------------------------------------------------------------

    async def _record(self, block: Block) -> None:
        """Make the record of a block say what is so."""
        if self._busy():
            self._queue.add(block, _DELAY)
            return
        entry = self._mirror.holdings.get(("", holding_name(block)))
        stored = entry.value if entry else None
        known = last_known(self._with_volumes(stored) if stored else None, self._unwritten(block))
        wanted = follow(block, self._states(block), known, self._live, self._uid_range, time.time())
        if wanted is not None and wanted != stored and wanted.released_at and await self._is_still_there(wanted):
            self._queue.add(block, _DELAY)
            return
        if wanted is not None and wanted != stored:
            try:
                if entry is None:
                    written = await self._api.create(HOLDINGS.path(), new_body(wanted))
                else:
                    metadata = {"uid": entry.uid, "resourceVersion": str(entry.version)}
                    body = {"metadata": metadata, "status": status_of(wanted)}
                    written = await self._api.patch(HOLDINGS.path(name=wanted.name), body)
            except ApiError as error:
                if not (error.gone or error.status in {409, 422}):
                    raise
                written = await self._api.find(HOLDINGS.path(name=wanted.name))
                if written is None:  # deleted meanwhile; the watch will tell
                    return
                self._queue.add(block, _DELAY)
            else:
                await self._tell(stored, wanted)
            self._mirror.take(Kind.HOLDINGS, written)
        self._left.pop(block, None)
        if wanted is None or wanted.state is not State.RELEASED:
            self._volumes.pop(block, None)

    async def _is_still_there(self, holding: Holding) -> bool:
        """Whether the namespace has the block after all, or is about to get it back, asked of the API server.

        The watches of namespaces, records and the ledger do not keep step: one may tell of a namespace that another has
        not shown yet.
        """
        raw = await self._api.find(NAMESPACES.path(name=holding.namespace))
        if raw is None or raw["metadata"]["uid"] != holding.uid:
            return False
        self._mirror.take(Kind.NAMESPACES, raw)
        text = (raw["metadata"].get("annotations") or {}).get(names.UID_RANGE)
        return _block_of(text) in {None, holding.block}

    def _unwritten(self, block: Block) -> Holding | None:
        """The holder of a block that went before there was a record of it."""
        if block not in self._left:
            return None
        namespace, uid = self._left[block]
        return Holding(block, state=State.BOUND, namespace=namespace, uid=uid)

    def _with_volumes(self, holding: Holding) -> Holding:
        volumes = self._volumes.get(holding.block)
        return holding if volumes is None else msgspec.structs.replace(holding, volumes=volumes)

    def _states(self, block: Block) -> list[NamespaceState]:
        found = (self._live(name) for name in sorted(self._carriers.get(block, ())))
        return [state for state in found if state is not None]

    def _live(self, name: str) -> NamespaceState | None:
        entry = self._mirror.namespaces.get(("", name))
        return None if entry is None else state_of(name, entry.uid, entry.value)

    async def _tell(self, before: Holding | None, now: Holding) -> None:
        """Say that a namespace arrived with the block of one that is gone, of another name, while it is quarantined."""
        if before is None or before.released_at is None or now.released_at is not None or not now.uid:
            return
        if before.namespace not in {"", now.namespace} and now.pinned_to != now.namespace:
            await self._recorder.warn(
                Subject("v1", "Namespace", now.namespace, now.uid),
                "ReleasedBlockTaken",
                f"namespace {now.namespace} came with block {now.block}, which namespace {before.namespace} had: its "
                "pods can read files that were left on volumes. If that is not wanted, pin another block to it with a "
                "NamespaceRange and remove its annotations openshift.io/sa.scc.*",
            )


def _block_of(text: str | None) -> Block | None:
    try:
        block = parse_block(text or "")
    except InvalidBlock:
        return None
    return block if block.holds_uids else None
