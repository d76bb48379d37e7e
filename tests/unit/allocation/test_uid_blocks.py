import pytest
from hypothesis import given
from hypothesis import strategies as st

from scc_operator.allocation.uid_blocks import (
    UINT32,
    Block,
    InvalidBlock,
    InvalidRange,
    UIDRange,
    mask_of,
    parse_block,
    parse_blocks,
    parse_range,
    scan_block,
)

DEFAULT = UIDRange(1_000_000_000, 1_999_999_999, 10_000)
FIRST = Block(1_000_000_000, 1_000_009_999)


@pytest.mark.parametrize(
    "text,uid_range,count",
    [
        ("1000000000-1999999999/10000", DEFAULT, 100_000),
        ("10-20/2", UIDRange(10, 20, 2), 5),
        ("10-19/3", UIDRange(10, 19, 3), 3),
        ("0-10/10", UIDRange(0, 10, 10), 1),
        ("10-20/2x", UIDRange(10, 20, 2), 5),
        (" 10-\t20/ 2 ", UIDRange(10, 20, 2), 5),
        ("010-020/02", UIDRange(10, 20, 2), 5),
        ("0" * 60 + "10-20/2", UIDRange(10, 20, 2), 5),
        ("0-4294967295/10000", UIDRange(0, 4294967295, 10_000), 429_496),
    ],
)
def test_ranges(text: str, uid_range: UIDRange, count: int) -> None:
    """A range is scanned like OpenShift's and counted without overflow (spec/namespaces.md §3.1, §6.43)."""
    assert parse_range(text) == uid_range
    assert uid_range.count == count
    assert parse_range(str(uid_range)) == uid_range


@pytest.mark.parametrize(
    "text,says",
    [
        ("20-10/2", "ends before it starts"),
        ("10-20/0", "block size 0"),
        ("0-9/10", "not more than one block"),
        ("0-8/10", "not more than one block"),
        ("", "START-END/SIZE"),
        ("10-20", "START-END/SIZE"),
        ("10/20-2", "START-END/SIZE"),
        ("+10-20/2", "START-END/SIZE"),
        ("0x10-20/2", "START-END/SIZE"),
        ("1_0-20/2", "START-END/SIZE"),
        ("10 -20/2", "START-END/SIZE"),
        ("10-\n20/2", "START-END/SIZE"),
        ("10-4294967296/2", "START-END/SIZE"),
        ("10-" + "9" * 5000 + "/2", "START-END/SIZE"),
    ],
)
def test_bad_ranges(text: str, says: str) -> None:
    """A range that cannot be used is refused with the reason (spec/namespaces.md §3.1)."""
    with pytest.raises(InvalidRange, match=says):
        parse_range(text)


@pytest.mark.parametrize(
    "text,block,index",
    [
        ("1000000000/10000", FIRST, 0),
        ("1000000000-1000009999", FIRST, 0),
        ("1999990000/10000", Block(1_999_990_000, 1_999_999_999), 99_999),
        ("1000000000/10000,2000/10", FIRST, 0),
        ("1000000000/10000x", FIRST, 0),
        ("  1000000000/10000  ", FIRST, 0),
        ("1000000000/ 10000", FIRST, 0),
        ("1000005000/10000", Block(1_000_005_000, 1_000_014_999), None),
        ("1000000000/5000", Block(1_000_000_000, 1_000_004_999), None),
        ("1000000000/20000", Block(1_000_000_000, 1_000_019_999), None),
        ("2000000000/10000", Block(2_000_000_000, 2_000_009_999), None),
        ("0/10000", Block(0, 9_999), None),
        ("1000/0", Block(1_000, 999), None),
        ("5-3", Block(5, 3), None),
        ("4294967295/2", Block(4_294_967_295, 0), None),
        ("0/0", Block(0, 4_294_967_295), None),
        ("010/10", Block(10, 19), None),
        ("1- 5", Block(1, 5), None),
        ("\u30001/3", Block(1, 3), None),
    ],
)
def test_blocks(text: str, block: Block, index: int | None) -> None:
    """A block is scanned like OpenShift's and has an index where it is one of the range (spec/namespaces.md §3.2)."""
    assert parse_block(text) == block
    assert DEFAULT.index_of(block) == index


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "1000000000",
        "1000-",
        "-5/10",
        "+1000/10",
        "0x10/10",
        "1_000/10",
        "4294967296/1",
        "1000000000 /10000",
        "1000000000-1000009999/5",
        "1\n/3",
        "1/\n3",
        "\n1/3",
        "1\r\n/3",
        "1/",
        "1.5/3",
        "\uff11/3",
        "\x1c1/3",
    ],
)
def test_bad_blocks(text: str) -> None:
    """What OpenShift's scanner refuses is refused (spec/namespaces.md §3.2, spec/admission.md §3.4)."""
    with pytest.raises(InvalidBlock):
        parse_block(text)


def test_rest_of_a_block() -> None:
    """The text behind a block is handed back, so that it can be reported (spec/namespaces.md §6.50)."""
    assert scan_block("1000000000/10000,2000/10") == (FIRST, ",2000/10")


def test_lists_of_blocks() -> None:
    """Groups are blocks between commas, each of which must be one (spec/admission.md §3.4)."""
    assert parse_blocks("10/3, 20/2") == (Block(10, 12), Block(20, 21))
    for text in ("10/3,", ",10/3", "", "10/3,x"):
        with pytest.raises(InvalidBlock):
            parse_blocks(text)


def test_canonical_form() -> None:
    """A block prints as start and size, in 32-bit arithmetic."""
    assert [str(parse_block(text)) for text in ("5-9", "5-3", "1000/0")] == ["5/5", "5/4294967295", "1000/0"]


def test_no_such_block() -> None:
    """There is no block before the first or behind the last."""
    for index in (-1, 100_000):
        with pytest.raises(IndexError):
            DEFAULT.block(index)


@given(st.integers(0, 99_999))
def test_index_and_block_are_inverse(index: int) -> None:
    """Block and index determine each other."""
    assert DEFAULT.index_of(DEFAULT.block(index)) == index
    assert parse_block(str(DEFAULT.block(index))) == DEFAULT.block(index)


small = st.builds(Block, st.integers(0, 60), st.integers(0, 60))


@given(small, small)
def test_overlap_is_a_common_uid(one: Block, other: Block) -> None:
    """Blocks overlap where they share a UID; a block without UIDs overlaps nothing."""
    common = set(range(one.start, one.end + 1)) & set(range(other.start, other.end + 1))
    assert one.overlaps(other) is bool(common)


@given(small)
def test_overlapped_indices(block: Block) -> None:
    """The overlapped indices are those of all blocks of the range that share a UID."""
    uid_range = UIDRange(10, 52, 4)
    expected = [index for index in range(uid_range.count) if uid_range.block(index).overlaps(block)]
    assert list(uid_range.indices_overlapping(block)) == expected


@given(st.sets(st.integers(0, 300)))
def test_masks(indices: set[int]) -> None:
    """A mask has exactly the bits that it is made of."""
    assert mask_of(indices) == sum(1 << index for index in indices)


def test_masks_of_ranges() -> None:
    """A contiguous range gives the same mask as its members."""
    for numbers in (range(0), range(3), range(5, 9), range(5, 20, 3), range(7, 7)):
        assert mask_of(numbers) == mask_of(list(numbers))


@given(st.text(alphabet="0123456789-/, x\n", max_size=25))
def test_scanning_never_fails_otherwise(text: str) -> None:
    """Any text is a block of 32-bit numbers or refused."""
    try:
        block = parse_block(text)
    except InvalidBlock:
        return
    assert 0 <= block.start < UINT32
    assert 0 <= block.end < UINT32
