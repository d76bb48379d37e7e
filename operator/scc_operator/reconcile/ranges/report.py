"""Tells what is wrong with namespaces' ranges: Events, and counts for the metrics."""

from collections import Counter
from collections.abc import Iterable, Iterator

from scc_operator.allocation.problems import Problem
from scc_operator.cluster.mirror import Mirror
from scc_operator.kube.events import Recorder, Subject
from scc_operator.kube.queue import WorkQueue
from scc_operator.reconcile.ranges.store import Book

_FULL = 0.9
"""The share of taken blocks from which it is told that the range runs out."""
_ROUNDING = 1e-6
_NEARLY_FULL = "RangeNearlyFull"
_WORKERS = 2


class Report:
    """Says once what is wrong, and again should it come back. Never in the way of allocation.

    Args:
        mirror: the namespaces.
        recorder: writes the Events.
    """

    def __init__(self, mirror: Mirror, recorder: Recorder) -> None:
        self._mirror = mirror
        self._recorder = recorder
        self._problems: dict[tuple[str, str], Problem] = {}
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue("problems", self._say, workers=_WORKERS)
        self._ledger: tuple[Book, bool] | None = None

    async def run(self) -> None:
        """Tell, until cancelled."""
        await self._queue.run()

    def counts(self) -> Iterator[tuple[tuple[str, str], int]]:
        """How many namespaces have which problem."""
        totals = Counter(code for _, code in self._problems)
        return ((("Namespace", code), totals[code]) for code in sorted(totals))

    def problems(self, found: Iterable[Problem]) -> None:
        """These are all problems that there are now."""
        now = {(problem.namespace, problem.code): problem for problem in found}
        for namespace, code in self._problems.keys() - now.keys():
            if subject := self._subject(namespace):
                self._recorder.settled(subject, code)
        for key, problem in now.items():
            if self._problems.get(key) != problem:
                self._queue.add(key)
        self._problems = now

    def ledger(self, book: Book, available: int) -> None:
        """The ledger as it is now stored, and how many of its blocks can be given."""
        full = available <= book.ledger.uid_range.count * (1 - _FULL) + _ROUNDING
        before, self._ledger = self._ledger, (book, full)
        if before is None or before[1] != full:
            self._queue.add(("", _NEARLY_FULL))

    async def _say(self, key: tuple[str, str]) -> None:
        namespace, code = key
        if code == _NEARLY_FULL:
            await self._say_how_full()
            return
        problem, subject = self._problems.get(key), self._subject(namespace)
        if problem is not None and subject is not None:
            await self._recorder.warn(subject, code, problem.message)

    async def _say_how_full(self) -> None:
        if self._ledger is None:
            return
        book, full = self._ledger
        if not full:
            self._recorder.settled(book.subject, _NEARLY_FULL)
            return
        await self._recorder.warn(
            book.subject,
            _NEARLY_FULL,
            f"{_FULL:.0%} or more of the {book.ledger.uid_range.count} blocks of {book.ledger.uid_range} are taken. "
            "Once all are, new namespaces get none and their pods are refused: delete namespaces that nobody needs, "
            "look with `kubectl get namespaceranges` for blocks that are quarantined, or configure a larger range",
        )

    def _subject(self, name: str) -> Subject | None:
        entry = self._mirror.namespaces.get(("", name))
        return Subject("v1", "Namespace", name, entry.uid) if entry else None
