"""What to write so that every namespace has a block, groups and a label, and what is wrong with those that exist.

One call looks at all live namespaces and the ledger and returns the ledger to store, the annotations to add and the
problems to report. The ledger must be stored before the annotations are written (spec/namespaces.md §1.9).

Rules
- What a namespace carries is respected and never overwritten; only missing annotations are added.
- A block of the range that a namespace carries is taken, whether the ledger says so or not.
- Block and label are a pair: block `i` goes with label `i`. So a block is not given away while another live namespace
  carries its label, or groups of its IDs, or UIDs that overlap it.
- A namespace without a uid-range gets, in this order: the block that was reserved for it earlier; its former block, as
  far as the annotations that it kept tell; the lowest block that nothing speaks against.
- A block that is not of the range has no label of its own. Its namespace gets one that belongs to no block, so that
  neither this operator nor OpenShift will ever give it to a second namespace together with a block.
- Terminating namespaces keep what they have and get nothing.
"""

from collections.abc import Iterable, Mapping

import msgspec

from scc_operator.allocation.census import Census, Entry, NamespaceState
from scc_operator.allocation.ledger import Ledger, RangeExhausted
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
    """The block that the ledger holds for it from now on; None where the patch only completes an existing block."""

    def merge_patch(self) -> dict[str, object]:
        """The body of a merge patch; the uid makes it fail for another namespace of the same name."""
        return {"metadata": {"uid": self.uid, "annotations": dict(self.annotations)}}


class Plan(msgspec.Struct, frozen=True):
    """What `plan` wants: store `ledger` if it differs from the one given, then write `patches`."""

    ledger: Ledger
    patches: tuple[NamespacePatch, ...]
    problems: tuple[Problem, ...]


def plan(
    ledger: Ledger,
    labels: LabelPlan,
    namespaces: Iterable[NamespaceState],
    reserved: Mapping[str, int] | None = None,
) -> Plan:
    """Decide on all namespaces at once; the same input gives the same plan.

    Args:
        ledger: the ledger as stored, of the configured range.
        labels: the labels of the same range.
        namespaces: all live namespaces, terminating ones too.
        reserved: the index of the block that the ledger already holds for a namespace, by namespace uid; such a
            namespace gets that block and no second one.
    """
    census = Census(ledger, labels, namespaces)
    given = _restored(census, reserved or {})
    lacking = [entry for entry in census.entries if _lacks_block(entry) and entry.state.name not in given]
    avoid = census.avoid | mask_of(census.claims)
    reachable = census.ledger.mark([*given.values(), *(i for i in (reserved or {}).values() if _exists(census, i))])
    available = reachable.available(avoid)
    _, fresh = reachable.reserve(min(len(lacking), available), avoid)
    given |= {entry.state.name: index for entry, index in zip(lacking, fresh, strict=False)}

    patches: list[NamespacePatch] = []
    exhausted = RangeExhausted(census.uid_range, len(lacking), available)
    problems = [cannot_be_given(entry.state, exhausted) for entry in lacking[len(fresh) :]]
    for entry in census.entries:
        index = given.get(entry.state.name)
        annotations = _missing_annotations(census, entry, index)
        if annotations:
            patches.append(NamespacePatch(entry.state.name, entry.state.uid, annotations, index))
        if entry.state.mcs is None and entry.completable and _usable_block(census, entry, index):
            problems.extend([] if MCS in annotations else [no_spare_label(census, entry)])
        problems.extend(problems_of(census, entry, index))
    return Plan(census.ledger.mark(given.values()), tuple(patches), tuple(sorted(problems)))


def _lacks_block(entry: Entry) -> bool:
    return entry.state.uid_range is None and entry.completable


def _exists(census: Census, index: int) -> bool:
    return 0 <= index < census.uid_range.count


def _restored(census: Census, reserved: Mapping[str, int]) -> dict[str, int]:
    """The blocks of the namespaces that had or were promised one before, by namespace name."""
    given: dict[str, int] = {}
    taken = census.held | set(reserved.values())
    lacking = [entry for entry in census.entries if _lacks_block(entry)]
    for entry in lacking:
        index = reserved.get(entry.state.uid)
        if index is not None and index not in census.held and _exists(census, index):
            given[entry.state.name] = index
    for entry in lacking:
        index = _former_block(census, entry)
        if entry.state.name not in given and index is not None and index not in taken:
            given[entry.state.name] = index
            taken.add(index)
    return given


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
    wished_by_others = census.claims[index] - {entry.state.name}
    return None if wished_by_others or census.avoid >> index & 1 else index


def _usable_block(census: Census, entry: Entry, given: int | None) -> Block | None:
    """The block that a namespace has or is given; None where it has none or one without UIDs."""
    block = entry.block if given is None else census.uid_range.block(given)
    return block if block is not None and block.holds_uids else None


def _missing_annotations(census: Census, entry: Entry, given: int | None) -> dict[str, str]:
    """The annotations that a namespace lacks, as far as they follow from its block."""
    state, block = entry.state, _usable_block(census, entry, given)
    if block is None or not entry.completable:
        return {}
    missing = {}
    if state.uid_range is None:
        missing[UID_RANGE] = str(block)
    if state.groups is None:
        missing[SUPPLEMENTAL_GROUPS] = str(block)
    if state.mcs is None:
        index = entry.index if given is None else given
        label = _spare_label(census, entry, block) if index is None else census.labels.label_of_block(index)
        if label is not None:
            missing[MCS] = label
    return missing


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
