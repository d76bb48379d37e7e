"""The RangeAllocation `scc-uid`, read and written as a whole and never without its resourceVersion."""

from typing import Any

import msgspec

from scc_operator import names
from scc_operator.allocation.ledger import InvalidLedger, Ledger, decode
from scc_operator.allocation.reservations import Notes, read_notes
from scc_operator.allocation.uid_blocks import UIDRange
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.kube.client import Api
from scc_operator.kube.events import Subject
from scc_operator.kube.paths import RANGES
from scc_operator.reports.metrics import Metrics

_KEY = ("", names.RANGE_NAME)
_PATH = RANGES.path(name=names.RANGE_NAME)


class UnusableLedgerError(Exception):
    """The ledger is missing, cannot be read, or is of another range.

    Attributes:
        metadata: that of the object; None where there is none.
    """

    def __init__(self, why: str, metadata: dict[str, Any] | None) -> None:
        super().__init__(why)
        self.metadata = metadata


class Book(msgspec.Struct, frozen=True):
    """The ledger and its notes as stored, with what it takes to replace them."""

    metadata: dict[str, Any]
    ledger: Ledger
    notes: Notes

    @property
    def subject(self) -> Subject:
        """The object, for Events about it."""
        return Subject(
            f"{names.RANGE_GROUP}/{names.RANGE_VERSION}", names.RANGE_KIND, names.RANGE_NAME, self.metadata["uid"]
        )


class LedgerStore:
    """Reads and writes the ledger.

    Args:
        api: the API server.
        mirror: shows what others write.
        uid_range: the configured range; a ledger of another one is unusable.
        metrics: where writes are counted.
    """

    def __init__(self, api: Api, mirror: Mirror, uid_range: UIDRange, metrics: Metrics) -> None:
        self._api = api
        self._mirror = mirror
        self._uid_range = uid_range
        self._metrics = metrics
        self._in_doubt = True

    async def read(self, *, fresh: bool = False) -> Book:
        """The ledger: as the watch and our own writes tell it, or `fresh` from the API server.

        Raises:
            UnusableLedgerError: it has to be rebuilt.
        """
        entry = self._mirror.ledgers.get(_KEY)
        if fresh or self._in_doubt or entry is None:
            raw = await self._api.find(_PATH)
            if raw is None:
                raise UnusableLedgerError("it is missing", None)
            self._mirror.take(Kind.LEDGERS, raw)
            self._in_doubt = False
        else:
            raw = entry.value
        try:
            ledger = decode(raw)
        except InvalidLedger as error:
            raise UnusableLedgerError(str(error), raw["metadata"]) from error
        if ledger.uid_range != self._uid_range:
            why = f"its range is {ledger.uid_range}, configured is {self._uid_range}"
            raise UnusableLedgerError(why, raw["metadata"])
        return Book(raw["metadata"], ledger, read_notes(raw["metadata"].get("annotations") or {}))

    async def write(self, metadata: dict[str, Any] | None, ledger: Ledger, notes: Notes) -> Book:
        """Replace what has this metadata, or create the ledger where there was none.

        Raises:
            ApiError: 409 where somebody else wrote meanwhile; what was planned has to be planned anew.
        """
        known = metadata or {"name": names.RANGE_NAME}
        annotations = {**(known.get("annotations") or {}), **notes.annotations()}
        body = {
            "apiVersion": f"{names.RANGE_GROUP}/{names.RANGE_VERSION}",
            "kind": names.RANGE_KIND,
            "metadata": {**known, "annotations": annotations},
            **ledger.encode(),
        }
        try:
            written = await (self._api.replace(_PATH, body) if metadata else self._api.create(RANGES.path(), body))
        except BaseException:
            # Also when no answer came: the write may have gone through, so what is stored is not known any more.
            self._in_doubt = True
            self._metrics.ledger_writes.labels("failed").inc()
            raise
        self._metrics.ledger_writes.labels("written").inc()
        self._mirror.take(Kind.LEDGERS, written)
        return Book(written["metadata"], ledger, notes)
