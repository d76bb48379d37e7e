"""Gives every namespace its UID block, MCS label and group range.

The ledger is written first, with the version that was read, then the namespaces: two allocators at once, or one that
dies at any line, never give one block to two namespaces. The ledger also says for whom its latest blocks were taken, so
what a death between the two writes leaves behind is finished by whoever comes next. One ledger write reserves for all
namespaces that wait.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime

from scc_operator import names
from scc_operator.allocation.holdings import Holding, State, claims
from scc_operator.allocation.ledger import rebuild
from scc_operator.allocation.mcs import label_plan, parse_mcs_range
from scc_operator.allocation.plan import NamespacePatch, Plan, plan
from scc_operator.allocation.reservations import MOST, Notes, Reservation, still_open
from scc_operator.allocation.uid_blocks import Block, InvalidBlock, parse_block, parse_range
from scc_operator.cluster.mirror import Mirror
from scc_operator.kube.client import Api
from scc_operator.kube.events import Recorder
from scc_operator.kube.queue import WorkQueue
from scc_operator.reconcile.ranges.annotator import Annotator
from scc_operator.reconcile.ranges.records import Records
from scc_operator.reconcile.ranges.repair import Repair
from scc_operator.reconcile.ranges.report import Report
from scc_operator.reconcile.ranges.states import states
from scc_operator.reconcile.ranges.store import Book, LedgerStore, UnusableLedgerError
from scc_operator.reports.metrics import Metrics
from scc_operator.settings import Settings

_FOLD = 0.005
"""Seconds that changes are collected when nothing was going on before."""
_PACE = 0.1
"""Seconds between two writes of the ledger."""
_BURST = 3
"""Namespaces that came within one pace, from which on a batch is collected for the next write."""
_BATCH = 20
"""Namespaces that are a batch."""
_LONGEST = 0.4
"""Seconds that the first of a batch waits for the others at most."""
_PATIENCE = 2.0
"""Seconds that a namespace is left to another allocator that has reserved for it."""
_SETTLE = 1.0
"""Seconds in which patches in flight arrive before a lost ledger is rebuilt from the namespaces."""
_ALL = 3
"""A whole namespace has three annotations."""


class RangeAllocator:
    """Allocates, completes, remembers, frees and reports; what namespaces carry is respected and never overwritten.

    Args:
        api: where ledger, namespaces and NamespaceRanges are written.
        mirror: what they are.
        recorder: where problems are told.
        settings: the ranges, the quarantine, the pace.
        metrics: where work is counted.
        refresh: lists namespaces and NamespaceRanges anew; before anything is freed or rebuilt on what they say.

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
        self._mirror = mirror
        self._recorder = recorder
        self._metrics = metrics
        self._refresh = refresh
        self._quarantine = settings.ranges_quarantine
        self._uid_range = parse_range(settings.uid_range)
        self._labels = label_plan(parse_mcs_range(settings.mcs_range), self._uid_range, settings.mcs_labels_per_project)
        self._ledger = LedgerStore(api, mirror, self._uid_range, metrics)
        self._annotator = Annotator(api, mirror, settings.write_concurrency, self._replan)
        self._records = Records(
            api, mirror, recorder, self._uid_range, busy=lambda: self._annotator.busy, changed=self._wake
        )
        self._repair = Repair(
            api,
            mirror,
            self._ledger,
            self._records,
            self._uid_range,
            lambda book, holdings: self._plan(book, holdings).unclaimed,
            refresh,
            self._replan,
            quarantine=settings.ranges_quarantine,
            grace=settings.ranges_leak_grace,
        )
        self._report = Report(mirror, recorder)
        self._passes: WorkQueue[str] = WorkQueue("ranges", self._pass, workers=1, first=0.05, most=5.0)
        self._waiting: dict[str, float] = {}
        self._mine: set[str] = set()
        self._settled: set[str] = set()
        self._next_block = 0
        self._lacking: set[str] = set()
        self._wrote_at = -_PACE
        self._planned_at = 0.0
        self._took = 0.0
        self._gave = 0
        self._began = False
        self._blocks: dict[str, int] = {}
        mirror.tell.namespace.append(self._namespace_changed)
        mirror.tell.ledger.append(self._wake)
        metrics.watch_blocks(lambda: ((((state,), number)) for state, number in self._blocks.items()))

    async def run(self) -> None:
        """Allocate whenever a namespace needs it, until cancelled."""
        self._passes.add(names.RANGE_NAME)
        async with asyncio.TaskGroup() as tasks:
            for part in (self._passes, self._annotator, self._records, self._repair, self._report):
                tasks.create_task(part.run())

    def counts(self) -> Iterator[tuple[tuple[str, str], int]]:
        """How many namespaces have which problem."""
        return self._report.counts()

    # --- when to plan --------------------------------------------------------------------------------------------

    def _namespace_changed(self, name: str) -> None:
        self._measure(name)
        self._wake()

    def _wake(self) -> None:
        now = asyncio.get_running_loop().time()
        pace = _LONGEST if self._gave >= _BURST else _PACE
        pause = 0.0 if len(self._lacking) >= _BATCH else self._wrote_at + pace - now
        # A pass looks at all namespaces: where there are many, as much time is left to other work as it takes.
        self._passes.add(names.RANGE_NAME, max(_FOLD, pause, self._planned_at + 2 * self._took - now))

    def _replan(self) -> None:
        self._passes.add(names.RANGE_NAME, _FOLD)

    def _measure(self, name: str) -> None:
        """Take the time from a namespace's creation to its annotations; not that of restoring some that were lost."""
        entry = self._mirror.namespaces.get(("", name))
        now = time.time()
        self._lacking.discard(name)
        if entry is None or entry.value.terminating:
            self._waiting.pop(name, None)
        elif len(entry.value.annotations) < _ALL:
            self._lacking.add(name)
            if not self._records.carries(name, entry.uid):
                self._waiting.setdefault(name, _created(entry.value.created, now))
        elif (since := self._waiting.pop(name, None)) is not None:
            self._metrics.allocation_seconds.observe(max(now - since, 0.0))

    # --- one pass over all namespaces ----------------------------------------------------------------------------

    async def _pass(self, _: str) -> None:
        """Bring the ledger in line with the namespaces and hand out what they lack."""
        book = await self._book()
        self._planned_at = asyncio.get_running_loop().time()
        self._lacking.clear()
        open_reservations = self._open(book.notes)
        wanted = self._plan(book, self._records.holdings(), open_reservations)
        self._took = asyncio.get_running_loop().time() - self._planned_at
        given = {
            patch.uid: Reservation(patch.index, patch.name)
            for patch in wanted.patches
            if patch.index is not None
            and (patch.uid not in open_reservations or open_reservations[patch.uid].index != patch.index)
            and not self._records.knows(self._uid_range.block(patch.index), patch.uid)
        }
        if given or wanted.ledger != book.ledger:
            self._wrote_at = asyncio.get_running_loop().time()
            notes = Notes({**open_reservations, **given}, wanted.next_block)
            book = await self._ledger.write(book.metadata, wanted.ledger, notes)
            self._mine |= given.keys()
            self._gave = len(given)
        self._next_block = book.notes.next_block
        self._hand_out(wanted.patches, book.notes)
        self._report.problems(wanted.problems)
        self._report.ledger(book, wanted.available)
        self._repair.seen(wanted.unclaimed)
        self._count(wanted)
        if wanted.waiting:
            self._passes.add(names.RANGE_NAME, _LONGEST)

    def _plan(
        self, book: Book, holdings: Iterable[Holding], reservations: dict[str, Reservation] | None = None
    ) -> Plan:
        reservations = self._open(book.notes) if reservations is None else reservations
        return plan(
            book.ledger,
            self._labels,
            states(self._mirror),
            {uid: reservation.index for uid, reservation in reservations.items()},
            claims(holdings, time.time(), self._quarantine),
            book.notes.next_block,
            MOST - len(reservations),
        )

    def _open(self, notes: Notes) -> dict[str, Reservation]:
        """The reservations that still say more than is written elsewhere."""
        self._mine &= notes.reserved.keys()
        self._settled &= notes.reserved.keys()
        found = still_open(notes, self._uid_range, self._records.knows)
        # What was recorded once is settled, also when the record is gone: its block was freed, or let go by somebody.
        self._settled |= notes.reserved.keys() - found.keys()
        found = {uid: reservation for uid, reservation in found.items() if uid not in self._settled}
        for uid, reservation in found.items():
            entry = self._mirror.namespaces.get(("", reservation.namespace))
            if entry is None or entry.uid != uid:
                self._records.left(self._uid_range.block(reservation.index), reservation.namespace, uid)
        return found

    def _hand_out(self, patches: Iterable[NamespacePatch], notes: Notes) -> None:
        for patch in patches:
            # Right after the start nobody else is at work, most likely: what is reserved was left behind.
            others = self._began and patch.uid in notes.reserved and patch.uid not in self._mine
            self._annotator.want(patch, _PATIENCE if others else 0.0)
        self._began = True

    def _count(self, wanted: Plan) -> None:
        found = [each.state for each in self._records.holdings() if self._uid_range.index_of(each.block) is not None]
        self._blocks = {
            "free": wanted.available,
            "avoided": wanted.ledger.free - wanted.available,
            "bound": wanted.held,
            "released": found.count(State.RELEASED),
            "reserved": found.count(State.RESERVED),
            "unclaimed": wanted.unclaimed.bit_count(),
        }

    # --- a ledger that is lost -----------------------------------------------------------------------------------

    async def _book(self) -> Book:
        """The ledger as stored; one that is missing, unreadable or of another range is rebuilt from what is known."""
        try:
            return await self._ledger.read()
        except UnusableLedgerError:
            self._annotator.forget()
        await asyncio.sleep(_SETTLE)
        await self._refresh()
        try:
            return await self._ledger.read(fresh=True)  # somebody else was quicker
        except UnusableLedgerError as error:
            kept = claims(self._records.holdings(), time.time(), self._quarantine).kept
            ledger = rebuild(self._uid_range, [*self._carried(), *(holding.block for holding in kept)])
            book = await self._ledger.write(error.metadata, ledger, Notes({}, self._next_block))
            message = f"rebuilt from {len(self._mirror.namespaces)} namespaces: {error}"
            if error.metadata is None and not ledger.bits:
                await self._recorder.tell(book.subject, "LedgerCreated", message)
            else:
                await self._recorder.warn(book.subject, "LedgerRebuilt", message)
                self._recorder.settled(book.subject, "LedgerRebuilt")
            return book

    def _carried(self) -> Iterator[Block]:
        for namespace in self._mirror.namespaces.values():
            try:
                yield parse_block(namespace.values.uid_range or "")
            except InvalidBlock:
                continue


def check_configuration(settings: Settings) -> None:
    """Refuse ranges that are malformed or cannot give every block a label of its own.

    Raises:
        InvalidRange, InvalidMCSRange: the text says what is wrong and what is allowed.
    """
    label_plan(parse_mcs_range(settings.mcs_range), parse_range(settings.uid_range), settings.mcs_labels_per_project)


def _created(text: str, now: float) -> float:
    """When a namespace was created; its timestamp has whole seconds, so one that came just now came now."""
    try:
        created = datetime.fromisoformat(text).timestamp()
    except ValueError:
        return now
    return now if now - created < 2.0 else created
