"""What to write so that every namespace has a block, groups and a label, and what is wrong with those that exist.

One call looks at all live namespaces and the ledger and returns the ledger to store, the annotations to add and the
problems to report. The ledger must be stored before the annotations are written (spec/namespaces.md §1.9).

Rules
- What a namespace carries is respected and never overwritten; only missing annotations are added.
- A block of the range that a namespace carries is taken, whether the ledger says so or not.
- Block and label are a pair: block `i` goes with label `i`. So a block is not given away while another live namespace
  carries its label, or groups of its IDs, or UIDs that overlap it.
- A namespace without a uid-range gets, in this order: the block that is pinned to its name; the one that it held
  before, by its uid and never by its name; the one that was reserved for it; its former block, as far as the
  annotations that it kept tell; the next block that nothing speaks against.
- Blocks are given in a circle: one that was freed is given again when all behind it are used up. One that is
  quarantined or pinned is given to nobody else.
- A block that is not of the range has no label of its own. Its namespace gets one that belongs to no block, so that
  neither this operator nor OpenShift will ever give it to a second namespace together with a block.
- Terminating namespaces keep what they have and get nothing.
"""

from collections.abc import Iterable, Mapping

import msgspec

from scc_operator.allocation.census import MAX_AVOIDED_BLOCKS, Census, Entry, NamespaceState
from scc_operator.allocation.holdings import NO_CLAIMS, Claims, Holding
from scc_operator.allocation.ledger import Ledger
from scc_operator.allocation.mcs import LabelPlan
from scc_operator.allocation.problems import Problem, cannot_be_given, no_spare_label, problems_of
from scc_operator.allocation.uid_blocks import Block, mask_of
from scc_operator.names import MCS, SUPPLEMENTAL_GROUPS, UID_RANGE


class NamespacePatch(msgspec.Struct, frozen=True):
    """Annotations to add to one namespace."""

    name: str
    uid: str
    annotations: dict[str, str]
    index: int | None = None
    """The block that the ledger holds for it from now on; None where the patch only completes a block that exists, or
    restores one that is not of the range."""

    def merge_patch(self) -> dict[str, object]:
        """The body of a merge patch; the uid makes it fail for another namespace of the same name."""
        return {"metadata": {"uid": self.uid, "annotations": dict(self.annotations)}}


class Plan(msgspec.Struct, frozen=True):
    """What `plan` wants: store `ledger` if it differs from the one given, then write `patches`."""

    ledger: Ledger
    patches: tuple[NamespacePatch, ...]
    problems: tuple[Problem, ...]
    next_block: int
    """Where the next search for a free block begins."""
    unclaimed: int
    """The bitmap of blocks that are taken for nobody: leaked, or given by an allocator that has not annotated yet."""
    held: int
    """How many blocks of the range live namespaces carry, or are given by this plan."""
    available: int
    """How many blocks could still be given after this plan: free, and nothing speaks against them."""
    waiting: int
    """How many namespaces were left for a later plan because of `limit`."""


def plan(
    ledger: Ledger,
    labels: LabelPlan,
    namespaces: Iterable[NamespaceState],
    reserved: Mapping[str, int] | None = None,
    claims: Claims = NO_CLAIMS,
    next_block: int = 0,
    limit: int | None = None,
) -> Plan:
    """Decide on all namespaces at once; the same input gives the same plan.

    Args:
        ledger: the ledger as stored, of the configured range.
        labels: the labels of the same range.
        namespaces: all live namespaces, terminating ones too.
        reserved: the index of the block that the ledger already holds for a namespace, by namespace uid; such a
            namespace gets that block and no second one.
        claims: what namespaces held before, what is pinned and what is quarantined.
        next_block: where the search for a free block begins.
        limit: how many namespaces are given a block that they never had, at most.
    """
    census = Census(ledger, labels, namespaces)
    # A reservation whose bit is gone is void: somebody rebuilt the ledger, and may have given the block away since.
    promises = {uid: index for uid, index in sorted((reserved or {}).items()) if _is_taken(ledger, index)}
    given = _restored(census, promises, claims)
    lacking = [entry for entry in census.entries if _lacks_block(entry) and entry.state.name not in given]
    kept = _indices(census, (each.block for each in claims.kept))
    claimed = {*census.held, *kept, *_indices(census, given.values()), *_open_promises(census, promises)}
    taken = census.ledger.mark(claimed)
    avoid = census.avoid | mask_of(census.claims) | _overlapped(census, claims)
    available = taken.available(avoid)
    count = min(len(lacking), available, len(lacking) if limit is None else max(limit, 0))
    final, fresh = taken.reserve(count, avoid, next_block if next_block < census.uid_range.count else 0)
    for entry, index in zip(lacking, fresh, strict=False):
        given[entry.state.name] = census.uid_range.block(index)

    patches: list[NamespacePatch] = []
    problems = [cannot_be_given(entry.state, census.uid_range) for entry in lacking[available:]]
    for entry in census.entries:
        block = given.get(entry.state.name)
        annotations = _missing_annotations(census, entry, block, claims.by_uid.get(entry.state.uid))
        if annotations:
            index_or_none = None if block is None else census.uid_range.index_of(block)
            patches.append(NamespacePatch(entry.state.name, entry.state.uid, annotations, index_or_none))
        if entry.state.mcs is None and entry.completable and _usable_block(entry, block):
            problems.extend([] if MCS in annotations else [no_spare_label(census, entry)])
        problems.extend(problems_of(census, entry, block))
    return Plan(
        final,
        tuple(patches),
        tuple(sorted(problems)),
        (fresh[-1] + 1) % census.uid_range.count if fresh else next_block,
        ledger.bits & ~mask_of([*claimed, *fresh]),
        len(census.held | _indices(census, given.values())),
        available - count,
        min(len(lacking), available) - count,
    )


def _lacks_block(entry: Entry) -> bool:
    return entry.state.uid_range is None and entry.completable


def _is_taken(ledger: Ledger, index: int) -> bool:
    return 0 <= index < ledger.uid_range.count and ledger.is_taken(index)


def _indices(census: Census, blocks: Iterable[Block]) -> set[int]:
    """The indices of those blocks that are of the range."""
    return {index for index in map(census.uid_range.index_of, blocks) if index is not None}


def _overlapped(census: Census, claims: Claims) -> int:
    """The bitmap of blocks that overlap a kept one that is not of the range, and so is not in the ledger."""
    foreign = (each.block for each in claims.kept if census.uid_range.index_of(each.block) is None)
    overlapped = 0
    for block in foreign:
        overlapped |= mask_of(census.uid_range.indices_overlapping(block)[:MAX_AVOIDED_BLOCKS])
    return overlapped


def _open_promises(census: Census, promises: Mapping[str, int]) -> set[int]:
    """The reserved blocks of namespaces that are gone or on their way: they may have been annotated before."""
    live = {entry.state.uid: entry for entry in census.entries}
    return {
        index
        for uid, index in promises.items()
        if uid not in live or (live[uid].state.uid_range is None and live[uid].state.terminating)
    }


def _restored(census: Census, promises: Mapping[str, int], claims: Claims) -> dict[str, Block]:
    """The blocks of the namespaces that had or were promised one before, by namespace name."""
    given: dict[str, Block] = {}
    used: set[Block] = set()
    promised_to = {census.uid_range.block(index): uid for uid, index in promises.items()}
    kept = {each.block: each for each in claims.kept}

    def promised(entry: Entry) -> Block | None:
        index = promises.get(entry.state.uid)
        return None if index is None else census.uid_range.block(index)

    def pinned(entry: Entry) -> Block | None:
        pin = claims.pins.get(entry.state.name)
        return pin.block if pin and census.uid_range.index_of(pin.block) is not None else None

    def held(entry: Entry) -> Block | None:
        holding = claims.by_uid.get(entry.state.uid)
        return holding.block if holding else None

    def former(entry: Entry) -> Block | None:
        index = _former_block(census, entry)
        return None if index is None else census.uid_range.block(index)

    def is_free_for(entry: Entry, block: Block) -> bool:
        holding = kept.get(block)
        owner = holding is None or entry.state.name == holding.pinned_to or _held_by(entry, holding)
        promise = promised_to.get(block, entry.state.uid) == entry.state.uid
        return owner and promise and block not in used and not _in_use(census, block)

    lacking = [entry for entry in census.entries if _lacks_block(entry)]
    for source in (pinned, held, promised, former):
        for entry in lacking:
            block = None if entry.state.name in given else source(entry)
            if block is not None and is_free_for(entry, block):
                given[entry.state.name] = block
                used.add(block)
    return given


def _held_by(entry: Entry, holding: Holding) -> bool:
    return holding.uid == entry.state.uid and not holding.pinned_to


def _in_use(census: Census, block: Block) -> bool:
    """Whether live namespaces carry UIDs of this block."""
    index = census.uid_range.index_of(block)
    if index is not None:
        return index in census.held or bool(census.avoid >> index & 1)
    return any(block.overlaps(carried) for carried in census.holders)


def _former_block(census: Census, entry: Entry) -> int | None:
    """The block that a namespace had before its uid-range was removed, told by what it kept; None where in doubt.

    Groups and label that name the same block are proof enough. One of them alone may be a wish of its author, and a
    taken block that no namespace carries may just be on its way to another one, so alone it counts only for a free one.
    """
    by_groups, by_label = census.named_by_groups(entry), census.named_by_label(entry)
    index = by_label if by_groups is None else by_groups
    if index is None:
        return None
    if by_groups != by_label:
        alone = entry.state.groups is None or entry.state.mcs is None
        if not alone or census.ledger.is_taken(index):
            return None
    return None if census.claims[index] - {entry.state.name} else index


def _usable_block(entry: Entry, given: Block | None) -> Block | None:
    """The block that a namespace has or is given; None where it has none or one without UIDs."""
    block = entry.block if given is None else given
    return block if block is not None and block.holds_uids else None


def _missing_annotations(census: Census, entry: Entry, given: Block | None, before: Holding | None) -> dict[str, str]:
    """The annotations that a namespace lacks, as far as they follow from its block or from what it had `before`.

    What was taken away together with the block comes back as it was. A label or groups that were taken away alone are
    made anew from the block: that is how one gets rid of values that do not fit.
    """
    state, block = entry.state, _usable_block(entry, given)
    if block is None or not entry.completable:
        return {}
    missing = {}
    back = before if before is not None and given == before.block else None
    if state.uid_range is None:
        missing[UID_RANGE] = str(block)
    if state.groups is None:
        missing[SUPPLEMENTAL_GROUPS] = back.groups if back and back.groups is not None else str(block)
    if state.mcs is None:
        index = census.uid_range.index_of(block)
        if back and back.mcs and _is_free_label(census, back.mcs, index):
            label: str | None = back.mcs
        elif index is None:
            label = _spare_label(census, entry, block)
        else:
            label = census.labels.label_of_block(index)
        if label is not None:
            missing[MCS] = label
    return missing


def _is_free_label(census: Census, label: str, index: int | None) -> bool:
    """Whether no live namespace carries this label and it is not the label of another block than block `index`."""
    key = census.label_key(label)
    named = census.labels.block_of_offset(key) if isinstance(key, int) else None
    return key not in census.label_holders and named in {None, index}


def _spare_label(census: Census, entry: Entry, block: Block) -> str | None:
    """A label that belongs to no block and that no live namespace carries; None where all are in use.

    The block decides where the search begins, so that two operators that have not seen each other's writes choose the
    same label for the same namespace and hardly ever one label for two.
    """
    spare = census.labels.spare
    begin = block.start // (block.end - block.start + 1)
    for position in range(len(spare)):
        offset = spare[(begin + position) % len(spare)]
        if offset not in census.label_holders:
            census.label_holders[offset].append(entry.state.name)
            return census.labels.mcs_range.label(offset)
    return None
