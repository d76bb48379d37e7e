"""Says of an SCC that it cannot be evaluated: one such SCC makes admission refuse every pod, and the audit judge none.

A policy that ships with the CRDs refuses to store one; this is for clusters where it is missing or came later.
"""

from collections.abc import Iterator

from scc_operator import names
from scc_operator.cluster.mirror import Mirror
from scc_operator.kube.events import Recorder, Subject
from scc_operator.kube.queue import WorkQueue

_REASON = "UnusableSCC"
_WAY_OUT = (
    "until it is corrected or deleted, SCC admission would refuse every pod, and pods keep the answer that they have"
)


class ConstraintsWatch:
    """Tells of SCCs that cannot be evaluated, by event, log and metric."""

    def __init__(self, mirror: Mirror, recorder: Recorder) -> None:
        self._mirror = mirror
        self._recorder = recorder
        self._queue: WorkQueue[str] = WorkQueue("sccs", self._look, workers=1)
        mirror.tell.scc.append(self._queue.add)

    async def run(self) -> None:
        """Look at every SCC that changes, until cancelled."""
        await self._queue.run()

    def counts(self) -> Iterator[tuple[tuple[str, str], int]]:
        """How many SCCs cannot be evaluated."""
        broken = sum(bool(known.errors) for known in self._mirror.sccs.values())
        if broken:
            yield (names.SCC_KIND, _REASON), broken

    async def _look(self, name: str) -> None:
        entry = self._mirror.sccs.get(("", name))
        if entry is None:
            return
        subject = Subject(f"{names.SECURITY_GROUP}/{names.SECURITY_VERSION}", names.SCC_KIND, name, entry.uid)
        if entry.value.errors:
            await self._recorder.warn(subject, _REASON, f"{'; '.join(entry.value.errors)}: {_WAY_OUT}")
        else:
            self._recorder.settled(subject, _REASON)
