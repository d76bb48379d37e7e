"""The ledger of taken blocks, bit for bit as OpenShift stores it in the RangeAllocation `scc-uid`.

`data` is the base64 text of a big-endian number in which bit `i` says that block `i` is taken (spec/namespaces.md
§1.9). A Python int is that bitmap: 100,000 blocks are 12.5 kB, and a set operation on all of them takes microseconds.
"""

import binascii
from collections.abc import Iterable, Mapping

import msgspec

from scc_operator.allocation.uid_blocks import Block, InvalidRange, UIDRange, mask_of, parse_range

_BITS_OF_BYTE = tuple(tuple(bit for bit in range(8) if octet >> bit & 1) for octet in range(256))
_MAX_BYTE = 255


class InvalidLedger(ValueError):
    """A RangeAllocation that cannot be read; the text names the field and what to do."""


class RangeExhausted(Exception):
    """There are fewer free blocks than asked for."""

    def __init__(self, uid_range: UIDRange, requested: int, available: int) -> None:
        self.uid_range = uid_range
        self.requested = requested
        self.available = available
        super().__init__(
            f"UID range {uid_range} has {available} free blocks and {requested} are needed: delete unused namespaces "
            "and let their blocks be reclaimed, or configure a larger range"
        )


class Ledger(msgspec.Struct, frozen=True):
    """A UID range and the bitmap of its taken blocks.

    Bits at or above the number of blocks may be set: another writer's, kept as they are and never given away.
    """

    uid_range: UIDRange
    bits: int = 0

    @property
    def free(self) -> int:
        """The number of blocks that are not taken."""
        return self.available()

    def available(self, avoid: int = 0) -> int:
        """The number of blocks that are neither taken nor in the bitmap `avoid`."""
        return self._free_bits(avoid).bit_count()

    def is_taken(self, index: int) -> bool:
        """Whether block `index` is taken."""
        return bool(self.bits >> index & 1)

    def reserve(self, count: int, avoid: int = 0, first: int = 0) -> tuple["Ledger", tuple[int, ...]]:
        """Take the `count` lowest blocks from `first` on that are neither taken nor in the bitmap `avoid`.

        Where there are not enough, the search goes on at the begin of the range. Returns the new ledger and the indices
        in the order in which they were found.

        Raises:
            RangeExhausted: there are not that many; nothing is reserved.
        """
        free = self._free_bits(avoid)
        available = free.bit_count()
        if available < count:
            raise RangeExhausted(self.uid_range, count, available)
        behind = free >> first << first
        chosen = _lowest_bits(behind, count)
        chosen += _lowest_bits(free ^ behind, count - len(chosen))
        return self.mark(chosen), tuple(chosen)

    def mark(self, indices: Iterable[int]) -> "Ledger":
        """The ledger with these blocks taken.

        Raises:
            IndexError: the range has no such block.
        """
        return Ledger(self.uid_range, self.bits | self._mask(indices))

    def release(self, indices: Iterable[int]) -> "Ledger":
        """The ledger with these blocks free. Safe only for blocks that no live namespace carries.

        Raises:
            IndexError: the range has no such block.
        """
        return Ledger(self.uid_range, self.bits & ~self._mask(indices))

    def without(self, bitmap: int) -> "Ledger":
        """The ledger with all bits of `bitmap` clear, also those above the number of blocks. See `release`."""
        return Ledger(self.uid_range, self.bits & ~bitmap)

    def encode(self) -> dict[str, str]:
        """The fields `range` and `data` of the RangeAllocation, in canonical form."""
        raw = self.bits.to_bytes((self.bits.bit_length() + 7) // 8, "big")
        return {"range": str(self.uid_range), "data": binascii.b2a_base64(raw, newline=False).decode("ascii")}

    def _free_bits(self, avoid: int) -> int:
        return ((1 << self.uid_range.count) - 1) & ~(self.bits | avoid)

    def _mask(self, indices: Iterable[int]) -> int:
        chosen = indices if isinstance(indices, range) else tuple(indices)
        if chosen and not (min(chosen) >= 0 and max(chosen) < self.uid_range.count):
            raise IndexError(f"blocks {min(chosen)} to {max(chosen)} are not all in UID range {self.uid_range}")
        return mask_of(chosen)


def decode(stored: Mapping[str, object]) -> Ledger:
    """Read the fields `range` and `data` of a RangeAllocation; other fields are ignored.

    As tolerant as OpenShift's reader: `data` may be absent, null, empty, hold leading zero bytes or line breaks, or be
    an array of byte numbers (spec/namespaces.md §1.9).

    Raises:
        InvalidLedger: `range` is missing or malformed, `data` is of another type or not standard base64 with padding.
    """
    text = stored.get("range")
    if not isinstance(text, str):
        raise InvalidLedger(f"RangeAllocation field range is {text!r}: a text START-END/SIZE is needed; rebuild it")
    try:
        uid_range = parse_range(text)
    except InvalidRange as error:
        raise InvalidLedger(f"RangeAllocation field range: {error}; rebuild it from the namespaces") from error
    return Ledger(uid_range, int.from_bytes(_data(stored.get("data")), "big"))


def rebuild(uid_range: UIDRange, blocks: Iterable[Block]) -> Ledger:
    """The ledger with exactly those of `blocks` taken that are blocks of the range (spec/namespaces.md §1.8)."""
    indices = (uid_range.index_of(block) for block in blocks)
    return Ledger(uid_range).mark(index for index in indices if index is not None)


def _data(value: object) -> bytes:
    """The bitmap's bytes, big-endian."""
    if value is None:
        return b""
    if isinstance(value, list) and all(type(number) is int and 0 <= number <= _MAX_BYTE for number in value):
        return bytes(value)
    if isinstance(value, str):
        # The strict reader refuses what Go's refuses (missing padding, text behind it, another alphabet), and line
        # breaks, which Go skips.
        try:
            return binascii.a2b_base64(value.replace("\r", "").replace("\n", ""), strict_mode=True)
        except ValueError as error:
            raise InvalidLedger(
                f"RangeAllocation field data is not standard base64 with padding ({error}); "
                "rebuild it from the namespaces"
            ) from error
    raise InvalidLedger(
        f"RangeAllocation field data is of type {type(value).__name__}: base64 text is needed; "
        "rebuild it from the namespaces"
    )


def _lowest_bits(bitmap: int, count: int) -> list[int]:
    """The positions of the `count` lowest set bits, ascending; one pass over the bytes from the first that has any."""
    if count <= 0:
        return []
    first_byte = ((bitmap & -bitmap).bit_length() - 1) // 8
    octets = (bitmap >> (first_byte * 8)).to_bytes((bitmap.bit_length() + 7) // 8 - first_byte, "little")
    found: list[int] = []
    for position, octet in enumerate(octets, start=first_byte):
        if octet:
            found.extend(position * 8 + bit for bit in _BITS_OF_BYTE[octet])
            if len(found) >= count:
                break
    return found[:count]
