"""Who carries which block, groups and label, over all live namespaces."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache

import msgspec

from scc_operator.allocation.ledger import Ledger
from scc_operator.allocation.mcs import LabelPlan
from scc_operator.allocation.uid_blocks import Block, InvalidBlock, UIDRange, mask_of, parse_blocks, scan_block
from scc_operator.names import MCS, SUPPLEMENTAL_GROUPS, UID_RANGE

# One annotation may keep at most so many blocks from being given away; else whoever can annotate one namespace could
# exhaust the range of the whole cluster. That there are more is reported.
MAX_AVOIDED_BLOCKS = 1000


class NamespaceState(msgspec.Struct, frozen=True):
    """What allocation reads of a namespace. A value is None where the annotation is absent (empty is not absent)."""

    name: str
    uid: str
    uid_range: str | None = None
    groups: str | None = None
    mcs: str | None = None
    terminating: bool = False
    wanted: bool = True
    """Whether missing annotations are added at all; what the namespace carries counts in any case."""


def namespace_state(
    name: str, uid: str, annotations: Mapping[str, str], phase: str = "Active", *, wanted: bool = True
) -> NamespaceState:
    """Pick what allocation reads from a namespace's annotations and `status.phase`."""
    return NamespaceState(
        name=name,
        uid=uid,
        uid_range=annotations.get(UID_RANGE),
        groups=annotations.get(SUPPLEMENTAL_GROUPS),
        mcs=annotations.get(MCS),
        terminating=phase == "Terminating",
        wanted=wanted,
    )


class Entry(msgspec.Struct, frozen=True):
    """A namespace with its annotations understood as far as they can be."""

    state: NamespaceState
    block: Block | None = None
    trailing: str = ""
    """What stands behind the block in the uid-range."""
    index: int | None = None
    """The block's index, where it is one of the range."""
    groups: tuple[Block, ...] | None = None
    """The groups, where they can be read and are not just the text of the block."""
    label: int | str | None = None
    """The label's number, which is one for all ways to write it; the text, where it is no label of the MCS range."""

    @property
    def completable(self) -> bool:
        """Whether missing annotations may be added."""
        return self.state.wanted and not self.state.terminating


class Census:
    """All live namespaces, and who carries what.

    `ledger` is the ledger given, with all blocks taken that namespaces carry.
    """

    def __init__(self, ledger: Ledger, labels: LabelPlan, states: Iterable[NamespaceState]) -> None:
        self.uid_range = ledger.uid_range
        self.labels = labels
        self.holders: defaultdict[Block, list[str]] = defaultdict(list)
        """The namespaces of each block, in the order of their names."""
        self.label_holders: defaultdict[int | str, list[str]] = defaultdict(list)
        """Likewise of each label."""
        self.claims: defaultdict[int, set[str]] = defaultdict(set)
        """The namespaces whose groups or label name a block of the range that is not their uid-range."""
        self.avoid = 0
        """The bitmap of blocks whose UIDs or groups are part of something that a namespace carries."""
        self.entries = [self._read(state) for state in sorted(states, key=lambda state: state.name)]
        self.held = {entry.index for entry in self.entries if entry.index is not None}
        self.ledger = ledger.mark(self.held)
        self.overlaps = _overlaps(self.holders)
        """For each block that shares UIDs with a different one: one such other block."""

    def named_by_groups(self, entry: Entry) -> int | None:
        """The block that the groups are, where they are exactly one block of the range."""
        return self.uid_range.index_of(entry.groups[0]) if entry.groups and len(entry.groups) == 1 else None

    def named_by_label(self, entry: Entry) -> int | None:
        """The block whose label the namespace carries."""
        return self.labels.block_of_offset(entry.label) if isinstance(entry.label, int) else None

    def label_key(self, text: str) -> int | str:
        """The key of a label in `label_holders`."""
        return _label_key(text, self.labels)

    def _read(self, state: NamespaceState) -> Entry:
        entry = _understand(state, self.uid_range, self.labels)
        if entry.block is not None and entry.block.holds_uids:
            self.holders[entry.block].append(state.name)
            if entry.index is None:
                self._avoid(entry.block)
        if entry.groups is not None:
            self._count_groups(entry, entry.groups)
        if entry.label is not None:
            self.label_holders[entry.label].append(state.name)
            self._claim(entry, self.named_by_label(entry))
        return entry

    def _count_groups(self, entry: Entry, groups: tuple[Block, ...]) -> None:
        named = self.named_by_groups(entry)
        self._claim(entry, named)
        if named is None:
            for block in groups:
                self._avoid(block)

    def _claim(self, entry: Entry, named: int | None) -> None:
        if named is not None and named != entry.index:
            self.claims[named].add(entry.state.name)

    def _avoid(self, block: Block) -> None:
        self.avoid |= mask_of(self.uid_range.indices_overlapping(block)[:MAX_AVOIDED_BLOCKS])


@lru_cache(maxsize=1 << 16)  # thousands of namespaces are looked at again whenever one of them changes
def _understand(state: NamespaceState, uid_range: UIDRange, labels: LabelPlan) -> Entry:
    block, trailing, index, groups, label = None, "", None, None, None
    if state.uid_range is not None:
        with suppress(InvalidBlock):
            block, trailing = scan_block(state.uid_range)
            index = uid_range.index_of(block)
    if state.groups is not None and not (block and state.groups == str(block)):
        with suppress(InvalidBlock):
            groups = parse_blocks(state.groups)
    if state.mcs:
        label = _label_key(state.mcs, labels)
    return Entry(state, block, trailing, index, groups, label)


def _label_key(text: str, labels: LabelPlan) -> int | str:
    offset = labels.mcs_range.offset_of(text)
    return text if offset is None else offset


def _overlaps(blocks: Iterable[Block]) -> dict[Block, Block]:
    found: dict[Block, Block] = {}
    reaching: Block | None = None  # of the blocks so far, the one that ends last
    for block in sorted(blocks):
        if reaching is not None and block.start <= reaching.end:
            found[block] = reaching
            found.setdefault(reaching, block)
        if reaching is None or block.end > reaching.end:
            reaching = block
    return found
