"""A work queue of keys: de-duplicated, bounded in flight, retried with back-off, level-triggered.

A key says *that* something is to be looked at, never *what* happened: the worker reads the state of the moment. A key
that is added while it waits is one piece of work; one that is added while it is worked on is worked on once more.
"""

import asyncio
import heapq
import itertools
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from scc_operator.kube.errors import ApiError, ApiUnreachableError

_K = TypeVar("_K", bound=Hashable)
_log = logging.getLogger(__name__)

_AWAY = 5.0
"""Longest pause in seconds while no answer comes: soon after the API server is back, work goes on."""


class WorkQueue(Generic[_K]):
    """Runs `process(key)` for every key that is added, `workers` at a time.

    A key whose processing fails is tried again after a back-off that doubles from `first` to `most` seconds; nothing is
    ever dropped. While the API server is away or asks to slow down (429 with Retry-After) the whole queue rests: many
    workers retrying on their own would be the very load that it asks to be spared.
    """

    def __init__(
        self,
        name: str,
        process: Callable[[_K], Awaitable[None]],
        *,
        workers: int,
        first: float = 0.5,
        most: float = 60.0,
    ) -> None:
        self._name = name
        self._process = process
        self._workers = workers
        self._first = first
        self._most = most
        self._ready: deque[_K] = deque()
        self._waiting: set[_K] = set()
        self._running: set[_K] = set()
        self._again: set[_K] = set()
        self._failures: dict[_K, int] = {}
        self._due: dict[_K, float] = {}
        self._later: list[tuple[float, int, _K]] = []
        self._tiebreak = itertools.count()
        self._wake = asyncio.Event()
        self._rest_until = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running) + len(self._due)

    def add(self, key: _K, delay: float = 0.0) -> None:
        """Ask for `key` to be processed after `delay` seconds.

        Of several delays the one that ends first counts: whoever is processed asks for what is still to come.
        """
        if delay > 0:
            due = _now() + delay
            if due < self._due.get(key, math.inf):
                self._due[key] = due
                heapq.heappush(self._later, (due, next(self._tiebreak), key))
        elif key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        slots = asyncio.Semaphore(self._workers)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await slots.acquire()
                key = await self._next()
                tasks.create_task(self._work(key)).add_done_callback(lambda _: slots.release())

    async def _next(self) -> _K:
        while True:
            now = _now()
            while self._later and self._later[0][0] <= now:
                due, _, later = heapq.heappop(self._later)
                if self._due.get(later) == due:  # else an earlier time was asked for since
                    del self._due[later]
                    self.add(later)
            if self._ready and now >= self._rest_until:
                key = self._ready.popleft()
                self._waiting.discard(key)
                self._running.add(key)
                return key
            self._wake.clear()
            times = [self._rest_until] if self._ready else []
            times += [self._later[0][0]] if self._later else []
            try:
                async with asyncio.timeout(max(0.0, min(times) - now) if times else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _work(self, key: _K) -> None:
        try:
            await self._process(key)
        except ApiUnreachableError as error:
            _log.warning("%s: %s; trying again", self._name, error)
            self._retry(key, rest=self._first, most=min(self._most, _AWAY))
        except ApiError as error:
            rest = (error.retry_after or self._first) if error.status == 429 else 0.0
            _log.log(
                logging.INFO if error.transient or error.status == 409 else logging.ERROR,
                "%s: %s was refused: %s; trying again",
                self._name,
                key,
                error,
            )
            self._retry(key, rest=rest)
        except Exception:  # noqa: BLE001 - whatever it was, the key is not lost
            _log.exception("%s: %s failed; trying again", self._name, key)
            self._retry(key, rest=0.0)
        else:
            self._failures.pop(key, None)
        finally:
            self._running.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    def _retry(self, key: _K, *, rest: float, most: float | None = None) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._rest_until = max(self._rest_until, _now() + rest)
        self.add(key, max(rest, min(self._most if most is None else most, self._first * 2 ** min(failures - 1, 16))))


def _now() -> float:
    return asyncio.get_running_loop().time()
