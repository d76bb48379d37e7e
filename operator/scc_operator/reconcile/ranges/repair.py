"""Frees blocks: those whose quarantine is over, and those that are taken for nobody.

Nothing is freed on what the mirror says. The ledger is read first and the namespaces are listed after it, so a block
that was given by the time of the read is either carried in the list, or reserved in the ledger, or being given at this
very moment by an allocator that leaves no reservations. For the latter a block has to be taken for nobody twice, a
grace apart. Who takes a block after the read makes the write fail, as it bears the version that was read.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from scc_operator import names
from scc_operator.allocation.holdings import Holding, State
from scc_operator.allocation.leaks import Suspects
from scc_operator.allocation.uid_blocks import Block, UIDRange
from scc_operator.cluster.mirror import Mirror
from scc_operator.kube.client import Api
from scc_operator.kube.errors import ApiError
from scc_operator.kube.paths import HOLDINGS, PERSISTENT_VOLUMES
from scc_operator.kube.queue import WorkQueue
from scc_operator.reconcile.ranges.records import Records
from scc_operator.reconcile.ranges.store import Book, LedgerStore, UnusableLedgerError

_FOLD = 5.0
"""Seconds in which released blocks are collected for one look at them."""
_SHARE = 10
"""The time between two looks, as a multiple of the time that one takes."""
_VOLUMES_INTERVAL = 600.0
"""Seconds between two looks whether the volumes of a namespace that is gone still exist."""

Unclaimed = Callable[[Book, Iterable[Holding]], int]
"""The bitmap of blocks that the ledger has taken for nobody, seen with these holdings."""


class Repair:
    """Frees what nobody holds.

    Args:
        api: the API server.
        mirror: the NamespaceRanges.
        ledger: the ledger.
        records: what is known of blocks.
        uid_range: the configured range.
        unclaimed: what the ledger has taken for nobody.
        refresh: lists namespaces and NamespaceRanges anew.
        replan: called when blocks became free, or the ledger is unusable.
        quarantine, grace: in seconds; see the settings.
    """

    def __init__(
        self,
        api: Api,
        mirror: Mirror,
        ledger: LedgerStore,
        records: Records,
        uid_range: UIDRange,
        unclaimed: Unclaimed,
        refresh: Callable[[], Awaitable[None]],
        replan: Callable[[], None],
        *,
        quarantine: float,
        grace: float,
    ) -> None:
        self._api = api
        self._mirror = mirror
        self._ledger = ledger
        self._records = records
        self._uid_range = uid_range
        self._unclaimed = unclaimed
        self._refresh = refresh
        self._replan = replan
        self._quarantine = quarantine
        self._grace = grace
        self._suspects = Suspects()
        self._took = 0.0
        self._queue: WorkQueue[str] = WorkQueue("repair", self._repair, workers=1)
        mirror.tell.holding.append(self._holding_changed)

    async def run(self) -> None:
        """Repair at the start and whenever something may be freed, until cancelled."""
        self._queue.add(names.RANGE_NAME)
        await self._queue.run()

    def seen(self, unclaimed: int) -> None:
        """These blocks are taken for nobody, as far as one can tell without asking the API server."""
        self._suspects = self._suspects.seen(unclaimed)
        if unclaimed:
            self._queue.add(names.RANGE_NAME, self._grace)

    def _holding_changed(self, name: str) -> None:
        entry = self._mirror.holdings.get(("", name))
        if entry is not None and entry.value.state is State.RELEASED:
            self._queue.add(names.RANGE_NAME, self._pause)

    @property
    def _pause(self) -> float:
        """Seconds to the next look: each lists all namespaces, which must not become what we do all day."""
        return max(min(_FOLD, self._quarantine), _SHARE * self._took)

    async def _repair(self, _: str) -> None:
        began = asyncio.get_running_loop().time()
        await self._look()
        self._took = asyncio.get_running_loop().time() - began

    async def _look(self) -> None:
        try:
            book = await self._ledger.read(fresh=True)
        except UnusableLedgerError:
            self._replan()
            return
        await self._refresh()
        now = time.time()
        holdings = await self._with_volumes(list(self._records.holdings()))
        over = [holding for holding in holdings if holding.over(now, self._quarantine)]
        unclaimed = self._unclaimed(book, [holding for holding in holdings if holding not in over])
        freed = unclaimed & (self._bits(over) | self._confirmed(unclaimed))
        if freed:
            await self._ledger.write(book.metadata, book.ledger.without(freed), book.notes)
            self._replan()
        for holding in over:
            if not self._records.is_carried(holding.block):
                await self._delete(holding)
        self._come_back(holdings, over, unclaimed & ~freed, now)

    def _bits(self, holdings: Iterable[Holding]) -> int:
        indices = (self._uid_range.index_of(holding.block) for holding in holdings)
        return sum(1 << index for index in {index for index in indices if index is not None})

    def _confirmed(self, unclaimed: int) -> int:
        now = asyncio.get_running_loop().time()
        self._suspects, confirmed = self._suspects.look(unclaimed, now, self._grace)
        return confirmed

    def _come_back(self, holdings: Iterable[Holding], over: list[Holding], unclaimed: int, now: float) -> None:
        if unclaimed:
            self._queue.add(names.RANGE_NAME, self._grace)
        for holding in holdings:
            if holding.state is State.RELEASED and holding not in over:
                left = (holding.released_at or now) + self._quarantine - now
                pause = min(_VOLUMES_INTERVAL, max(self._quarantine, 1.0))
                self._queue.add(names.RANGE_NAME, max(left + 0.05, self._pause) if left > 0 else pause)

    async def _delete(self, holding: Holding) -> None:
        """Delete a record unless it has changed since: its block may have another holder by now."""
        entry = self._mirror.holdings.get(("", holding.name))
        if entry is None:
            return
        preconditions = {"uid": entry.uid, "resourceVersion": str(entry.version)}
        try:
            await self._api.request("DELETE", HOLDINGS.path(name=holding.name), body={"preconditions": preconditions})
        except ApiError as error:
            if error.status not in {404, 409}:
                raise

    # --- volumes -------------------------------------------------------------------------------------------------

    async def _with_volumes(self, holdings: list[Holding]) -> list[Holding]:
        """The holdings, those of namespaces that are gone with the PersistentVolumes that these left behind."""
        released = [holding for holding in holdings if holding.state is State.RELEASED and holding.released_at]
        if not released:
            return holdings
        claimed = await self._claimed_volumes()
        found: dict[Block, Holding] = {}
        for holding in released:
            volumes = tuple(
                sorted(
                    name
                    for name, namespace in claimed.items()
                    if namespace == holding.namespace or name in holding.volumes
                )
            )
            if volumes != holding.volumes:
                self._records.volumes_found(holding.block, volumes)
            found[holding.block] = msgspec.structs.replace(holding, volumes=volumes)
        return [found.get(holding.block, holding) for holding in holdings]

    async def _claimed_volumes(self) -> Mapping[str, str]:
        """All PersistentVolumes, with the namespace that each is or was bound in, as far as it says so."""
        claimed: dict[str, str] = {}
        async for page in self._api.pages(PERSISTENT_VOLUMES.path(), limit=500):
            for volume in _VOLUMES.decode(page.body).items or ():
                claim = volume.spec.claim_ref
                claimed[volume.metadata.name] = claim.namespace if claim else ""
        return claimed


class _Claim(msgspec.Struct):
    namespace: str = ""


class _Spec(msgspec.Struct):
    claim_ref: _Claim | None = msgspec.field(default=None, name="claimRef")


class _Metadata(msgspec.Struct):
    name: str


class _Volume(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)


class _Volumes(msgspec.Struct):
    items: list[_Volume] | None = None


_VOLUMES: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Volumes)
