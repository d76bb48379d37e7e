"""Gives every namespace its UID block, MCS label and group range.

The ledger is written first, with its resourceVersion, then the namespaces: two allocators at once, or one that dies at
any line, never give one block to two namespaces. What a death between the two writes costs is a block that stays
reserved. One ledger write reserves for all namespaces that wait.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from scc_operator import names
from scc_operator.allocation.census import NamespaceState
from scc_operator.allocation.ledger import InvalidLedger, Ledger, decode, rebuild
from scc_operator.allocation.mcs import label_plan, parse_mcs_range
from scc_operator.allocation.plan import NamespacePatch, plan
from scc_operator.allocation.problems import Problem
from scc_operator.allocation.uid_blocks import Block, InvalidBlock, parse_block, parse_range
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.kube.client import Api
from scc_operator.kube.errors import ApiError
from scc_operator.kube.events import Recorder, Subject
from scc_operator.kube.paths import NAMESPACES, RANGES
from scc_operator.kube.queue import WorkQueue
from scc_operator.reports.metrics import Metrics
from scc_operator.settings import Settings

_log = logging.getLogger(__name__)
_PATH = RANGES.path(name=names.RANGE_NAME)
_FOLD = 0.01
"""Seconds that new namespaces are collected before one ledger write reserves for all of them."""


class RangeAllocator:
    """Allocates, completes and reports; what namespaces carry already is respected and never overwritten.

    Args:
        api: where ledger and namespaces are written.
        mirror: the namespaces.
        recorder: where problems of namespaces are told.
        settings: the ranges.
        metrics: where work is counted.
        refresh: lists the namespaces anew; awaited before a lost ledger is rebuilt from them.

    Raises:
        InvalidRange, InvalidMCSRange: the configured ranges are malformed or cannot give distinct labels.
    """

    def __init__(
        self,
        api: Api,
        mirror: Mirror,
        recorder: Recorder,
        settings: Settings,
        metrics: Metrics,
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        self._api = api
        self._mirror = mirror
        self._recorder = recorder
        self._metrics = metrics
        self._refresh = refresh
        self._uid_range = parse_range(settings.uid_range)
        self._labels = label_plan(parse_mcs_range(settings.mcs_range), self._uid_range, settings.mcs_labels_per_project)
        self._stored: dict[str, Any] | None = None
        self._reserved: dict[str, int] = {}
        self._wanted: dict[str, NamespacePatch] = {}
        self._waiting: dict[str, float] = {}
        self._problems: dict[tuple[str, str], Problem] = {}
        self._passes: WorkQueue[str] = WorkQueue("ranges", self._pass, workers=1, first=0.05)
        self._patches: WorkQueue[str] = WorkQueue(
            "namespaces", self._annotate, workers=settings.write_concurrency, first=0.05
        )
        mirror.tell.namespace.append(self._namespace_changed)

    async def run(self) -> None:
        """Allocate whenever a namespace needs it, until cancelled."""
        self._passes.add(names.RANGE_NAME)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._passes.run())
            tasks.create_task(self._patches.run())

    def counts(self) -> Iterator[tuple[tuple[str, str], int]]:
        """How many namespaces have which problem."""
        codes = [problem.code for problem in self._problems.values()]
        return ((("Namespace", code), codes.count(code)) for code in sorted(set(codes)))

    def _namespace_changed(self, name: str) -> None:
        entry = self._mirror.namespaces.get(("", name))
        if entry is None:
            self._waiting.pop(name, None)
        elif not entry.value.terminating and len(entry.value.annotations) < len(_ANNOTATIONS):
            self._waiting.setdefault(name, asyncio.get_running_loop().time())
        elif (since := self._waiting.pop(name, None)) is not None:
            self._metrics.allocation_seconds.observe(asyncio.get_running_loop().time() - since)
        self._passes.add(names.RANGE_NAME, _FOLD)

    # --- one pass over all namespaces ----------------------------------------------------------------------------

    async def _pass(self, _: str) -> None:
        """Bring the ledger in line with the namespaces and hand out what they lack."""
        ledger = await self._ledger()
        wanted = plan(ledger, self._labels, self._states(), self._reserved)
        if wanted.ledger != ledger:
            await self._store(wanted.ledger)
        lacking = {entry.uid for _, entry in self._mirror.namespaces.items() if entry.value.values.uid_range is None}
        self._reserved = {uid: index for uid, index in self._reserved.items() if uid in lacking}
        for patch in wanted.patches:
            if patch.index is not None:
                self._reserved[patch.uid] = patch.index
            self._wanted[patch.name] = patch
            self._patches.add(patch.name)
        await self._report(wanted.problems)

    def _states(self) -> list[NamespaceState]:
        return [
            NamespaceState(
                name=key[1],
                uid=entry.uid,
                uid_range=entry.value.values.uid_range,
                groups=entry.value.values.supplemental_groups,
                mcs=entry.value.values.mcs,
                terminating=entry.value.terminating,
            )
            for key, entry in self._mirror.namespaces.items()
        ]

    async def _ledger(self) -> Ledger:
        """The ledger as stored; one that is missing, unreadable or of another range is rebuilt from the namespaces."""
        if self._stored is None:
            self._stored = await self._api.find(_PATH)
        stored = self._stored
        if stored is None:
            why = "it is missing"
        else:
            try:
                ledger = decode(stored)
            except InvalidLedger as error:
                why = str(error)
            else:
                if ledger.uid_range == self._uid_range:
                    return ledger
                why = f"its range is {ledger.uid_range}, configured is {self._uid_range}"
        await self._refresh()
        rebuilt = rebuild(self._uid_range, self._live_blocks())
        await self._store(rebuilt)
        message = f"rebuilt from {len(self._mirror.namespaces)} namespaces: {why}"
        await self._recorder.warn(self._subject(), "LedgerRebuilt", message)
        return rebuilt

    def _live_blocks(self) -> Iterator[Block]:
        for namespace in self._mirror.namespaces.values():
            if namespace.values.uid_range is not None:
                try:
                    yield parse_block(namespace.values.uid_range)
                except InvalidBlock:
                    continue

    async def _store(self, ledger: Ledger) -> None:
        """Write the ledger with the resourceVersion that was read; after a conflict all is planned anew."""
        body = {
            "apiVersion": f"{names.RANGE_GROUP}/{names.RANGE_VERSION}",
            "kind": names.RANGE_KIND,
            "metadata": self._stored["metadata"] if self._stored else {"name": names.RANGE_NAME},
            **ledger.encode(),
        }
        try:
            if self._stored is None:
                self._stored = await self._api.create(RANGES.path(), body)
            else:
                self._stored = await self._api.replace(_PATH, body)
        except BaseException:
            # Also when no answer came: the write may have gone through, so what is stored is not known any more.
            self._stored = None
            self._metrics.ledger_writes.labels("failed").inc()
            raise
        self._metrics.ledger_writes.labels("written").inc()

    # --- one namespace -------------------------------------------------------------------------------------------

    async def _annotate(self, name: str) -> None:
        """Write the annotations that were planned for this namespace, unless it changed meanwhile."""
        patch = self._wanted.pop(name, None)
        entry = self._mirror.namespaces.get(("", name))
        if patch is None or entry is None or entry.uid != patch.uid:
            return
        body = patch.merge_patch()
        # With the version too: whoever annotated this namespace since it was read keeps what was written.
        body["metadata"]["resourceVersion"] = str(entry.version)  # type: ignore[index]
        try:
            written = await self._api.patch(NAMESPACES.path(name=name), body)
        except ApiError as error:
            if error.status == 404:
                return
            if error.status not in {409, 422}:
                self._wanted.setdefault(name, patch)
                raise
            written = await self._api.find(NAMESPACES.path(name=name))
            if written is None:
                return
            self._passes.add(names.RANGE_NAME)
        except BaseException:
            self._wanted.setdefault(name, patch)
            raise
        self._mirror.take(Kind.NAMESPACES, written)

    # --- telling -------------------------------------------------------------------------------------------------

    async def _report(self, problems: tuple[Problem, ...]) -> None:
        now = {(problem.namespace, problem.code): problem for problem in problems}
        for (namespace, code), _ in self._problems.items() - now.items():
            if subject := self._namespace(namespace):
                self._recorder.settled(subject, code)
        self._problems = now
        for problem in problems:
            if subject := self._namespace(problem.namespace):
                await self._recorder.warn(subject, problem.code, problem.message)

    def _namespace(self, name: str) -> Subject | None:
        entry = self._mirror.namespaces.get(("", name))
        return Subject("v1", "Namespace", name, entry.uid) if entry else None

    def _subject(self) -> Subject:
        uid = self._stored["metadata"]["uid"] if self._stored else ""
        return Subject(f"{names.RANGE_GROUP}/{names.RANGE_VERSION}", names.RANGE_KIND, names.RANGE_NAME, uid)


_ANNOTATIONS = (names.UID_RANGE, names.MCS, names.SUPPLEMENTAL_GROUPS)
