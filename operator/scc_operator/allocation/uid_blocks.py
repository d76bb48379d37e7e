"""UID ranges and the blocks that they are cut into.

A range is the pool of the whole cluster (`1000000000-1999999999/10000`: first UID, last UID, block size). A block is
one namespace's share, written `start/size` or `start-end`. Both are 32-bit, ends are inclusive, and the two grammars
are scanned like OpenShift scans them: blanks before a number and any text after the last number are not an error
(spec/namespaces.md §3, spec/admission.md §3.4).
"""

import re
from collections.abc import Iterable

import msgspec

UINT32 = 1 << 32

# What the scanner takes for white space before a number. Not `\s`: a newline is an error there.
_BLANKS = "[\t\x0b-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*"
_NUMBER = _BLANKS + "([0-9]+)"
_RANGE = re.compile(f"{_NUMBER}-{_NUMBER}/{_NUMBER}")
_BLOCK_BY_SIZE = re.compile(f"{_NUMBER}/{_NUMBER}")
_BLOCK_BY_END = re.compile(f"{_NUMBER}-{_NUMBER}")
_MAX_DIGITS = len(str(UINT32))


class InvalidRange(ValueError):
    """A configured or stored UID range that cannot be used; the text says why and what is allowed."""


class InvalidBlock(ValueError):
    """A text that is not one block; the text says why and what is allowed."""


class Block(msgspec.Struct, frozen=True, order=True):
    """The UIDs `start` to `end`, both included.

    Annotations can also describe blocks without UIDs (`5-3`, `1000/0`): `end` is then below `start`.
    """

    start: int
    end: int

    @property
    def size(self) -> int:
        """How many UIDs, in 32-bit arithmetic, as OpenShift writes it back."""
        return (self.end - self.start + 1) % UINT32

    @property
    def holds_uids(self) -> bool:
        """Whether there is at least one UID in it."""
        return self.start <= self.end

    def overlaps(self, other: "Block") -> bool:
        """Whether some UID is in both."""
        return self.holds_uids and other.holds_uids and self.start <= other.end and other.start <= self.end

    def __str__(self) -> str:
        return f"{self.start}/{self.size}"


class UIDRange(msgspec.Struct, frozen=True):
    """The pool `start` to `end`, both included, cut into blocks of `size` UIDs; a shorter rest is never given away."""

    start: int
    end: int
    size: int

    @property
    def count(self) -> int:
        """The number of whole blocks."""
        return (self.end - self.start + 1) // self.size

    def block(self, index: int) -> Block:
        """The block at `index`, counted from 0.

        Raises:
            IndexError: there is no such block.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"block {index} is outside of UID range {self}, which has blocks 0 to {self.count - 1}")
        start = self.start + index * self.size
        return Block(start, start + self.size - 1)

    def index_of(self, block: Block) -> int | None:
        """The index of a block that lies in the range, has its block size and is aligned; None for any other."""
        offset = block.start - self.start
        if block.end - block.start + 1 != self.size or offset < 0 or offset % self.size:
            return None
        index = offset // self.size
        return index if index < self.count else None

    def indices_overlapping(self, block: Block) -> range:
        """The indices of all blocks that share a UID with `block`, which may be any block."""
        if not block.overlaps(Block(self.start, self.end)):
            return range(0)
        first = (max(block.start, self.start) - self.start) // self.size
        last = (min(block.end, self.end) - self.start) // self.size
        return range(first, min(last + 1, self.count))

    def __str__(self) -> str:
        return f"{self.start}-{self.end}/{self.size}"


def parse_range(text: str) -> UIDRange:
    """Read `START-END/SIZE` (spec/namespaces.md §3.1).

    A range of exactly one block is refused although it could work: OpenShift refuses it, and shares the range.

    Raises:
        InvalidRange: not of that form, a number above 32 bits, END before START, SIZE 0, or not more than one block's
            worth of UIDs.
    """
    match = _RANGE.match(text)
    numbers = _numbers(match)
    if numbers is None:
        raise InvalidRange(
            f"UID range {text!r} is not of the form START-END/SIZE with numbers from 0 to {UINT32 - 1}, "
            "for example 1000000000-1999999999/10000"
        )
    start, end, size = numbers
    if start > end:
        raise InvalidRange(f"UID range {text!r} ends before it starts: START must not be above END")
    if size == 0:
        raise InvalidRange(f"UID range {text!r} has block size 0: SIZE must be at least 1")
    if end - start < size:
        raise InvalidRange(
            f"UID range {text!r} holds {end - start + 1} UIDs, which is not more than one block of {size}: "
            "make END larger or SIZE smaller"
        )
    return UIDRange(start, end, size)


def scan_block(text: str) -> tuple[Block, str]:
    """Read the block that `text` begins with; returns it and the text behind it, which OpenShift ignores.

    Raises:
        InvalidBlock: the text does not begin with a block (spec/namespaces.md §3.2).
    """
    by_size = "/" in text
    match = (_BLOCK_BY_SIZE if by_size else _BLOCK_BY_END).match(text)
    numbers = _numbers(match)
    if match is None or numbers is None:
        raise InvalidBlock(
            f"{text!r} is not a block: write START/SIZE or START-END with numbers from 0 to {UINT32 - 1}, "
            "for example 1000000000/10000"
        )
    start, second = numbers
    end = (start + second - 1) % UINT32 if by_size else second
    return Block(start, end), text[match.end() :]


def parse_block(text: str) -> Block:
    """Read one block, `START/SIZE` or `START-END`; text behind it is ignored.

    Raises:
        InvalidBlock: see `scan_block`.
    """
    return scan_block(text)[0]


def parse_blocks(text: str) -> tuple[Block, ...]:
    """Read the value of the supplemental-groups annotation: blocks separated by commas (spec/admission.md §3.4).

    Raises:
        InvalidBlock: one of the pieces is not a block.
    """
    return tuple(parse_block(piece) for piece in text.split(","))


def mask_of(indices: Iterable[int]) -> int:
    """The bitmap in which exactly the bits `indices` are set; a contiguous `range` costs one shift."""
    if isinstance(indices, range) and indices.step == 1:
        return ((1 << len(indices)) - 1) << indices.start if indices else 0
    chosen = list(indices)
    if not chosen:
        return 0
    octets = bytearray(max(chosen) // 8 + 1)
    for index in chosen:
        octets[index >> 3] |= 1 << (index & 7)
    return int.from_bytes(octets, "little")


def _numbers(match: re.Match[str] | None) -> tuple[int, ...] | None:
    """The numbers of a match, or None where there is no match or one of them needs more than 32 bits."""
    if match is None:
        return None
    # Zeros before a number mean nothing; without them a long run of digits need not be converted to be refused.
    digits = [run.lstrip("0") for run in match.groups()]
    if any(len(run) > _MAX_DIGITS for run in digits):
        return None
    numbers = tuple(int(run or "0") for run in digits)
    return numbers if max(numbers) < UINT32 else None
