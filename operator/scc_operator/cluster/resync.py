"""Lists that replace a kind's part of the mirror: before first use, after every interruption, and now and then.

A list that fails is tried again with back-off; until it goes through, the mirror keeps what it has.
"""

import asyncio
import logging
from typing import Any

import msgspec

from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.store import Entry, Key
from scc_operator.kube.client import Api, Page
from scc_operator.kube.errors import ApiError
from scc_operator.kube.queue import WorkQueue
from scc_operator.reports.metrics import Metrics

_log = logging.getLogger(__name__)
_GONE = 410


_SMALL_INTERVAL = 15.0
"""Seconds between lists of a kind that fits one page. Kopf's replay shows what is left after an interruption; where
nothing is left it shows nothing, and nobody is told that there was one."""


class _Items(msgspec.Struct):
    items: list[dict[str, Any]] | None = None  # Go writes an empty list as null


_ITEMS = msgspec.json.Decoder(_Items)


class Resync:
    """Keeps the mirror whole.

    Args:
        api: the API server.
        mirror: what is kept whole.
        metrics: where lists are counted.
        page_size: objects per page.
        interval: seconds after which a kind is listed even if nothing happened.
        settle: seconds to wait after an interruption was noticed: its replay goes on for a while.
    """

    def __init__(
        self, api: Api, mirror: Mirror, metrics: Metrics, *, page_size: int, interval: float, settle: float = 0.5
    ) -> None:
        self._api = api
        self._mirror = mirror
        self._metrics = metrics
        self._page_size = page_size
        self._interval = interval
        self._locks = {kind: asyncio.Lock() for kind in Kind}
        self._queue: WorkQueue[Kind] = WorkQueue("resync", self._again, workers=2)
        mirror.tell.replay.append(lambda kind: self._queue.add(kind, settle))

    async def run(self) -> None:
        """List again what was interrupted or has not been listed for long, until cancelled."""
        for kind in self._mirror.kinds:
            self._later(kind)
        await self._queue.run()

    async def _again(self, kind: Kind) -> None:
        await self.list(kind)
        self._later(kind)

    def _later(self, kind: Kind) -> None:
        small = len(self._mirror.store(kind)) < self._page_size
        self._queue.add(kind, min(self._interval, _SMALL_INTERVAL) if small else self._interval)

    async def list(self, kind: Kind) -> None:
        """List one kind and replace it in the mirror.

        Raises:
            ApiError, ApiUnreachableError: the list did not go through; the mirror is as it was.
        """
        # One at a time: the older of two lists must not come second.
        async with self._locks[kind]:
            listed: dict[Key, Entry[Any]] = {}
            version = "0"
            try:
                async for page in self._api.pages(kind.resource.path(), limit=self._page_size, query=kind.query):
                    version = page.resource_version
                    self._take(kind, page, listed)
                    await asyncio.sleep(0)
            except Exception as error:
                self._metrics.resyncs.labels(kind.value, "failed").inc()
                if isinstance(error, ApiError) and error.status == _GONE:  # slower than the server keeps its snapshot
                    raise ApiError(503, "Expired", f"list of {kind.value} expired half-way", 1.0) from error
                raise
            self._mirror.store(kind).replace(listed, int(version))
        self._metrics.resyncs.labels(kind.value, "done").inc()
        _log.debug("listed %d %s at version %s", len(listed), kind.value, version)

    def _take(self, kind: Kind, page: Page, listed: dict[Key, Entry[Any]]) -> None:
        for raw in _ITEMS.decode(page.body).items or ():
            key, entry = self._mirror.read(kind, raw)
            if entry.value is not None:
                listed[key] = entry
