"""What the tests of ranges ask of the cluster."""

import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

from tests.integration.rest import Rest
from tests.integration.support import eventually

from scc_operator import names
from scc_operator.allocation.ledger import Ledger, decode
from scc_operator.allocation.mcs import label_plan, parse_mcs_range
from scc_operator.allocation.uid_blocks import Block, InvalidBlock, UIDRange, parse_block, parse_range
from scc_operator.kube.paths import EVENTS, HOLDINGS, NAMESPACES, RANGES

KEYS = (names.UID_RANGE, names.SUPPLEMENTAL_GROUPS, names.MCS)
WIPE: dict[str, str | None] = dict.fromkeys(KEYS)
DEFAULT = parse_range("1000000000-1999999999/10000")
LABELS = label_plan(parse_mcs_range("s0:/2"), DEFAULT)
FREED = 60.0
"""Seconds in which a block is free after a quarantine of a few, on a busy machine."""


def whole(index: int, uid_range: UIDRange = DEFAULT) -> dict[str, str]:
    """The three annotations of a block, as OpenShift writes them."""
    block = str(uid_range.block(index))
    return {names.UID_RANGE: block, names.SUPPLEMENTAL_GROUPS: block, names.MCS: LABELS.label_of_block(index)}


class Ranges:
    """Namespaces, ledger and NamespaceRanges, as the administrator sees them."""

    def __init__(self, rest: Rest) -> None:
        self.rest = rest
        self.made: list[str] = []

    def create(self, name: str = "", annotations: Mapping[str, str] | None = None) -> str:
        """Create a namespace; what is not given is chosen."""
        name = name or f"r-{secrets.token_hex(4)}"
        self.rest.create(NAMESPACES, {"metadata": {"name": name, "annotations": dict(annotations or {})}})
        self.made.append(name)
        return name

    def delete(self, name: str) -> None:
        """Delete a namespace; what is in it does not matter, so it is gone at once and not after seconds."""
        self.rest.delete(NAMESPACES, name)

        def gone() -> bool:
            found = self.rest.get(NAMESPACES, name)
            if found is not None and found["spec"].get("finalizers"):
                found["spec"]["finalizers"] = []
                with suppress(AssertionError):  # its controller wrote meanwhile
                    self.rest.replace(NAMESPACES, f"{name}/finalize", found)
            return self.rest.get(NAMESPACES, name) is None

        eventually(gone, 30)

    def annotate(self, name: str, annotations: Mapping[str, str | None]) -> None:
        """Set or remove annotations."""
        self.rest.annotate(NAMESPACES, name, annotations)

    def present(self, name: str) -> dict[str, str]:
        """The ranges that a namespace carries now."""
        found = self.rest.get(NAMESPACES, name)["metadata"].get("annotations") or {}
        return {key: found[key] for key in KEYS if key in found}

    def of(self, name: str, timeout: float = 15.0) -> dict[str, str]:
        """The three annotations of a namespace, once it has all of them."""
        return eventually(lambda: {key: self.present(name)[key] for key in KEYS}, timeout)

    def all(self) -> dict[str, dict[str, str]]:
        """The ranges of all namespaces by name."""
        return {
            item["metadata"]["name"]: {
                key: text for key, text in (item["metadata"].get("annotations") or {}).items() if key in KEYS
            }
            for item in self.rest.list(NAMESPACES)
        }

    def ledger(self) -> Ledger:
        """The stored ledger."""
        return decode(self.rest.get(RANGES, names.RANGE_NAME))

    def taken(self) -> set[int]:
        """The blocks that the ledger has taken."""
        ledger = self.ledger()
        return {index for index in range(ledger.uid_range.count) if ledger.bits >> index & 1}

    def carried(self) -> set[int]:
        """The blocks of the ledger's range that namespaces carry."""
        uid_range = self.ledger().uid_range
        return indices(uid_range, (found.get(names.UID_RANGE, "") for found in self.all().values()))

    def index(self, name: str) -> int:
        """The index of the block that a namespace carries."""
        index = self.ledger().uid_range.index_of(parse_block(self.of(name)[names.UID_RANGE]))
        assert index is not None
        return index

    def record(self, block: str) -> dict[str, Any]:
        """The NamespaceRange of a block; empty where there is none."""
        found: dict[str, Any] = self.rest.get(HOLDINGS, block.replace("/", "-")) or {}
        return found

    def state(self, block: str) -> str:
        """The state that a NamespaceRange shows."""
        state: str = (self.record(block).get("status") or {}).get("state", "")
        return state

    def events(self, reason: str, kind: str = "Namespace", name: str = "") -> list[dict[str, Any]]:
        """Events about cluster-scoped objects."""
        return [
            event
            for event in self.rest.list(EVENTS, "default")
            if event["reason"] == reason
            and event["involvedObject"]["kind"] == kind
            and event["involvedObject"]["name"] == (name or event["involvedObject"]["name"])
        ]

    def assert_disjoint(self) -> None:
        """No two namespaces share a UID or a label."""
        found = self.all()
        spans = sorted((block.start, block.end, name) for name, block in blocks(found).items())
        for before, after in pairwise(spans):
            assert before[1] < after[0], f"{before} and {after} overlap"
        labels = [values[names.MCS] for values in found.values() if names.MCS in values]
        assert len(set(labels)) == len(labels)


def blocks(found: Mapping[str, Mapping[str, str]]) -> dict[str, Block]:
    """The blocks that namespaces carry."""
    return {name: parse_block(values[names.UID_RANGE]) for name, values in found.items() if names.UID_RANGE in values}


def indices(uid_range: UIDRange, texts: Iterable[str]) -> set[int]:
    """The indices of those texts that are blocks of a range."""
    result = set()
    for text in texts:
        try:
            index = uid_range.index_of(parse_block(text))
        except InvalidBlock:
            continue
        if index is not None:
            result.add(index)
    return result
