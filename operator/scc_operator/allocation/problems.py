"""What can be wrong with a namespace's block, groups or label, as data and in words."""

from collections.abc import Iterable, Sequence

import msgspec

from scc_operator.allocation.census import MAX_AVOIDED_BLOCKS, Census, Entry, NamespaceState
from scc_operator.allocation.uid_blocks import Block, UIDRange
from scc_operator.names import MCS, SUPPLEMENTAL_GROUPS, UID_RANGE

_NAMES_SHOWN = 3
_REMOVE_ALL = "remove the three annotations openshift.io/sa.scc.* to be given new values, and restart the pods"


class Problem(msgspec.Struct, frozen=True):
    """Something wrong with one annotation of a namespace; `value` is what was found, None where it is absent."""

    namespace: str
    code: str
    key: str
    value: str | None
    message: str

    def __lt__(self, other: "Problem") -> bool:
        return (self.namespace, self.code) < (other.namespace, other.code)


def problems_of(census: Census, entry: Entry, given: Block | None) -> Iterable[Problem]:
    """What is wrong with the annotations that a namespace carries; `given` is the block that it is about to get."""
    if not entry.state.terminating:
        yield from _of_uid_range(census, entry)
        yield from _of_groups(entry, given)
        yield from _of_label(census, entry, given)


def cannot_be_given(state: NamespaceState, uid_range: UIDRange) -> Problem:
    """The namespace gets no block, because there is none."""
    return _problem(
        state,
        "RangeExhausted",
        UID_RANGE,
        None,
        f"cannot be given: no block of {uid_range} is free. As soon as one is, this namespace gets it: delete "
        "namespaces that nobody needs, look with `kubectl get namespaceranges` for blocks that are quarantined, or "
        "configure a larger range",
    )


def no_spare_label(census: Census, entry: Entry) -> Problem:
    """The namespace gets no label, because its block has none and none is left that belongs to no block."""
    return _problem(
        entry.state,
        "NoSpareLabel",
        MCS,
        None,
        f"cannot be given: block {entry.block} is not of {census.uid_range} and so has no label of its own, and MCS "
        f"range {census.labels.mcs_range} has none left that belongs to no block. Set it by hand, or "
        f"{_remove(UID_RANGE)}",
    )


def _of_uid_range(census: Census, entry: Entry) -> Iterable[Problem]:
    state, block, text = entry.state, entry.block, entry.state.uid_range
    if text is None:
        return
    if block is None or not block.holds_uids:
        what = "is not START/SIZE or START-END with numbers of 32 bits" if block is None else "holds no UID"
        yield _problem(
            state,
            "MalformedBlock" if block is None else "EmptyBlock",
            UID_RANGE,
            text,
            f"{what}; nothing is added to this namespace. Write a block like {census.uid_range.block(0)}, "
            f"or {_remove(UID_RANGE)}",
        )
        return
    if entry.trailing.strip():
        yield _problem(
            state,
            "TrailingText",
            UID_RANGE,
            text,
            f"is read as the one block {block} and {entry.trailing!r} is ignored. Write {block}",
        )
    others = [name for name in census.holders[block] if name != state.name]
    if others:
        yield _problem(
            state,
            "DuplicateBlock",
            UID_RANGE,
            text,
            f"is also the block of {listed(others)}, so their pods share UIDs. In all but one of them {_REMOVE_ALL}",
        )
    elif block in census.overlaps:
        other = census.overlaps[block]
        yield _problem(
            state,
            "OverlappingBlock",
            UID_RANGE,
            text,
            f"overlaps block {other} of {listed(census.holders[other])}, so their pods can share UIDs. In one of them "
            f"{_REMOVE_ALL}",
        )
    if entry.index is None:
        overlapped = len(census.uid_range.indices_overlapping(block))
        limit = f" (only the first {MAX_AVOIDED_BLOCKS} of {overlapped})" if overlapped > MAX_AVOIDED_BLOCKS else ""
        yield _problem(
            state,
            "ForeignBlock",
            UID_RANGE,
            text,
            f"is not a block of {census.uid_range}, so the ledger cannot hold it. It is kept, and no blocks are given "
            f"away that it overlaps{limit}. To move it into the range, pin a block to it with a NamespaceRange, remove "
            "its three annotations and restart the pods",
        )


def _of_groups(entry: Entry, given: Block | None) -> Iterable[Problem]:
    state, text = entry.state, entry.state.groups
    block = entry.block if given is None else given
    if text is None or (block is not None and text == str(block)):
        return
    if entry.groups is None:
        yield _problem(
            state,
            "MalformedGroups",
            SUPPLEMENTAL_GROUPS,
            text,
            "is not a comma-separated list of START/SIZE or START-END with numbers of 32 bits. Correct it, or "
            f"{_remove(SUPPLEMENTAL_GROUPS)}",
        )
    elif block is not None and entry.groups != (block,):
        yield _problem(
            state,
            "GroupsMismatch",
            SUPPLEMENTAL_GROUPS,
            text,
            f"is not the block {block} of the uid-range. It is kept. Otherwise {_remove(SUPPLEMENTAL_GROUPS)}",
        )


def _of_label(census: Census, entry: Entry, given: Block | None) -> Iterable[Problem]:
    state, text = entry.state, entry.state.mcs
    if text == "":
        yield _problem(
            state,
            "MalformedMCS",
            MCS,
            text,
            f"is empty. Write an SELinux level like {census.labels.label_of_block(0)}, or {_remove(MCS)}",
        )
    if entry.label is None:
        return
    others = [name for name in census.label_holders[entry.label] if name != state.name]
    named = census.named_by_label(entry)
    index = entry.index if given is None else census.uid_range.index_of(given)
    if others:
        yield _problem(
            state,
            "DuplicateMCS",
            MCS,
            text,
            f"is also the label of {listed(others)}, so SELinux does not keep their pods apart. In all but one of them "
            f"{_remove(MCS)} and restart the pods",
        )
    elif named is not None and named != index:
        yield _problem(
            state,
            "MCSMismatch",
            MCS,
            text,
            f"is the label of block {census.uid_range.block(named)}, which this namespace does not have. It is kept. "
            f"Otherwise {_remove(MCS)} and restart the pods",
        )


def _remove(key: str) -> str:
    return f"remove the annotation {key} and the operator sets it"


def listed(names: Sequence[str], kind: str = "namespace") -> str:
    """`namespace a`, or `namespaces a, b, c and 4 more`."""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{kind}{'s' if len(names) > 1 else ''} {', '.join(names[:_NAMES_SHOWN])}{more}"


def _problem(state: NamespaceState, code: str, key: str, value: str | None, what: str) -> Problem:
    found = "" if value is None else f" {value!r}"
    return Problem(state.name, code, key, value, f"namespace {state.name}: annotation {key}{found} {what}")
