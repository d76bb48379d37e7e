"""What the ledger says beside its bitmap: for whom its latest blocks were taken, and where the next search begins.

Both stand in annotations of the RangeAllocation, so that one write takes a block and says for whom. An allocator that
dies between that write and the namespace's leaves behind who was meant: whoever comes next gives that namespace the
same block, and no block is lost. Annotations that are missing, or were written by somebody else, mean nothing is known:
OpenShift's controller keeps them when it writes and does without them.
"""

from collections.abc import Callable, Mapping

import msgspec

from scc_operator.allocation.uid_blocks import Block, UIDRange
from scc_operator.names import NEXT_BLOCK, RESERVATIONS

MOST = 1800
"""Reservations at a time: an object's annotations may have 256 KiB, and one of these has at most 120 bytes."""


class Reservation(msgspec.Struct, frozen=True, array_like=True):
    """A block that was taken for a namespace: the block's index and the namespace's name."""

    index: int
    namespace: str


class Notes(msgspec.Struct, frozen=True):
    """The annotations, understood."""

    reserved: dict[str, Reservation] = {}
    """By namespace uid."""
    next_block: int = 0
    """The index behind the block that was given last: blocks are given in a circle, so what is freed is reused last."""

    def annotations(self) -> dict[str, str]:
        """The text to store, in a stable order."""
        return {
            RESERVATIONS: msgspec.json.encode(self.reserved, order="sorted").decode(),
            NEXT_BLOCK: str(self.next_block),
        }


def still_open(notes: Notes, uid_range: UIDRange, is_recorded: Callable[[Block, str], bool]) -> dict[str, Reservation]:
    """The reservations that say more than is known elsewhere, by namespace uid.

    Args:
        notes: what the ledger says.
        uid_range: its range.
        is_recorded: whether it is recorded that the namespace with a uid holds or held a block.
    """
    return {
        uid: reservation
        for uid, reservation in notes.reserved.items()
        if 0 <= reservation.index < uid_range.count and not is_recorded(uid_range.block(reservation.index), uid)
    }


def read_notes(annotations: Mapping[str, str]) -> Notes:
    """Read the annotations of a RangeAllocation; what cannot be read counts as missing."""
    try:
        reserved = msgspec.json.decode(annotations.get(RESERVATIONS, "{}"), type=dict[str, Reservation])
    except msgspec.MsgspecError:
        reserved = {}
    next_block = annotations.get(NEXT_BLOCK, "")
    known = next_block.isascii() and next_block.isdecimal() and len(next_block) <= _MAX_DIGITS
    return Notes(reserved, int(next_block) if known else 0)


_MAX_DIGITS = 10
