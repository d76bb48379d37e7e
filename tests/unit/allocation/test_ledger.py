import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scc_operator.allocation.ledger import InvalidLedger, Ledger, RangeExhausted, decode, rebuild
from scc_operator.allocation.uid_blocks import Block, UIDRange, mask_of, parse_block, parse_range

DEFAULT = parse_range("1000000000-1999999999/10000")
SMALL = parse_range("10-20/2")
indices_of_small_range = st.sets(st.integers(0, 39))
FORTY = UIDRange(0, 400, 10)


def data_of(*indices: int) -> str:
    """The stored text of a bitmap."""
    return Ledger(DEFAULT).mark(indices).encode()["data"]


@pytest.mark.parametrize(
    "indices,data",
    [
        ((), ""),
        ((0,), "AQ=="),
        ((0, 1), "Aw=="),
        ((1, 3), "Cg=="),
        (tuple(range(8)), "/w=="),
        ((8,), "AQA="),
        ((0, 8), "AQE="),
        (tuple(range(9)), "Af8="),
        ((15,), "gAA="),
        ((16,), "AQAA"),
    ],
)
def test_encoding(indices: tuple[int, ...], data: str) -> None:
    """The bitmap is written bit for bit as OpenShift does, and read back (spec/namespaces.md §1.9)."""
    assert data_of(*indices) == data
    assert decode({"range": str(DEFAULT), "data": data}) == Ledger(DEFAULT).mark(indices)


def test_encoding_at_the_end() -> None:
    """The last bit and the full bitmap of the default range have the stored sizes of spec/namespaces.md §1.9."""
    last, full = data_of(99_999), data_of(*range(100_000))
    assert (len(last), len(full)) == (16_668, 16_668)
    assert base64.b64decode(last) == b"\x80" + bytes(12_499)
    assert base64.b64decode(full) == b"\xff" * 12_500


@pytest.mark.parametrize(
    "stored,bits",
    [
        ({}, 0),
        ({"data": None}, 0),
        ({"data": ""}, 0),
        ({"data": "AAE="}, 1),
        ({"data": "A\nQ=\r\n=\n"}, 1),
        ({"data": [1, 0]}, 256),
        ({"data": []}, 0),
    ],
)
def test_tolerance(stored: dict[str, object], bits: int) -> None:
    """The reader takes what OpenShift's takes; canonical form is restored on writing (spec/namespaces.md §1.9)."""
    ledger = decode({"range": str(SMALL), "kind": "RangeAllocation"} | stored)
    assert ledger == Ledger(SMALL, bits)
    assert ledger.encode()["data"] in {"", "AQ==", "AQA="}


@pytest.mark.parametrize(
    "data",
    [
        "AQ",
        "AQ=",
        " AQ==",
        "AQ== ",
        "_w==",
        "-w==",
        "A",
        "AQ==AQ==",
        "AQ===",
        "\u00e9",
        "=",
        [256],
        [True],
        [-1],
        7,
        {},
    ],
)
def test_bad_data(data: object) -> None:
    """Data that OpenShift cannot read is refused by a text that names the field and the way out."""
    with pytest.raises(InvalidLedger, match=r"field data .*rebuild it"):
        decode({"range": str(SMALL), "data": data})


@pytest.mark.parametrize("text", [None, "", "10-20", 7, "0-9/10"])
def test_bad_range(text: object) -> None:
    """A stored range that cannot be used is refused by a text that names the field."""
    with pytest.raises(InvalidLedger, match="field range"):
        decode({"range": text, "data": ""})


def test_range_is_written_canonically() -> None:
    """The range is compared and written as a range, not as text (spec/namespaces.md §6.36)."""
    assert decode({"range": " 010-20/2x"}).encode() == {"range": "10-20/2", "data": ""}


@given(indices_of_small_range, st.integers(0, 3))
def test_round_trip(indices: set[int], beyond: int) -> None:
    """What is written is read back, bits above the number of blocks included."""
    ledger = Ledger(FORTY, mask_of(indices) | beyond << 45)
    assert decode(ledger.encode()) == ledger


def test_lowest_first_until_exhausted() -> None:
    """Blocks are given lowest first, and one more than there are is refused (spec/namespaces.md §6.40)."""
    ledger, indices = Ledger(SMALL).reserve(5)
    assert [SMALL.block(index).start for index in indices] == [10, 12, 14, 16, 18]
    assert ledger.free == 0
    with pytest.raises(RangeExhausted, match="0 free blocks and 1 are needed") as error:
        ledger.reserve(1)
    assert (error.value.requested, error.value.available) == (1, 0)


def test_nothing_is_reserved_where_too_few_are_free() -> None:
    """A request is granted as a whole or not at all."""
    with pytest.raises(RangeExhausted):
        Ledger(SMALL).reserve(6)


def test_next_block_after_bits_0_and_8() -> None:
    """Between taken blocks the gaps are given first (spec/namespaces.md §6.44)."""
    assert decode({"range": str(DEFAULT), "data": "AQE="}).reserve(1)[1] == (1,)


def test_bits_beyond_the_range() -> None:
    """Bits above the number of blocks are never given, kept by reserving, dropped by rebuilding (§6.41)."""
    ledger = Ledger(SMALL, 1 << 7)
    after, indices = ledger.reserve(5)
    assert (indices, after.bits) == ((0, 1, 2, 3, 4), 0b10011111)
    assert ledger.free == 5
    assert rebuild(SMALL, []).bits == 0


@given(indices_of_small_range, indices_of_small_range, st.lists(st.integers(0, 12), max_size=6))
def test_no_two_reservations_overlap(taken: set[int], avoid: set[int], requests: list[int]) -> None:
    """No block is given twice, none that was taken or is to be avoided, and always the lowest that are left."""
    ledger = Ledger(FORTY).mark(taken)
    seen = set(taken)
    for count in requests:
        left = [index for index in range(40) if index not in seen and index not in avoid]
        assert ledger.available(mask_of(avoid)) == len(left)
        if count > len(left):
            with pytest.raises(RangeExhausted):
                ledger.reserve(count, mask_of(avoid))
            continue
        ledger, indices = ledger.reserve(count, mask_of(avoid))
        assert list(indices) == left[:count]
        seen.update(indices)
    assert {index for index in range(40) if ledger.is_taken(index)} == seen


@given(indices_of_small_range, indices_of_small_range)
def test_mark_and_release(marked: set[int], released: set[int]) -> None:
    """Marking and releasing are set operations."""
    ledger = Ledger(FORTY).mark(marked).release(released)
    assert ledger.bits == mask_of(marked - released)


def test_no_such_block() -> None:
    """A block that the range does not have is neither marked nor released."""
    for operation in (Ledger(SMALL).mark, Ledger(SMALL).release):
        for indices in ([5], [-1], range(4, 6)):
            with pytest.raises(IndexError):
                operation(indices)
    assert Ledger(SMALL).mark(range(0)) == Ledger(SMALL)


@given(indices_of_small_range, st.lists(st.sampled_from(["0/5", "5/10", "1000/10", "5-3", "10/0", "4294967295/2"])))
def test_rebuild_equals_truth(indices: set[int], foreign: list[str]) -> None:
    """Rebuilding takes exactly the blocks of the range that are carried; others set no bit and do no harm (§6.14)."""
    blocks = [*(FORTY.block(index) for index in sorted(indices)), *map(parse_block, foreign)]
    assert rebuild(FORTY, blocks) == Ledger(FORTY).mark(indices)
    assert rebuild(FORTY, [*blocks, *blocks]) == rebuild(FORTY, blocks)


def test_rebuild_for_another_range() -> None:
    """A changed range takes over the blocks that are blocks of it too (spec/namespaces.md §6.36)."""
    assert rebuild(UIDRange(0, 100, 10), [Block(20, 29), Block(25, 34)]).bits == 0b100


def test_full_default_range() -> None:
    """All 100,000 blocks are given out in one call, each once."""
    ledger, indices = Ledger(DEFAULT).reserve(100_000)
    assert indices == tuple(range(100_000))
    assert ledger.free == 0
