from itertools import combinations, islice
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scc_operator.allocation.mcs import InvalidMCSRange, MCSRange, label_plan, parse_mcs_range
from scc_operator.allocation.uid_blocks import parse_range

DEFAULT_UIDS = parse_range("1000000000-1999999999/10000")
DEFAULT = parse_mcs_range("s0:/2")


@pytest.mark.parametrize(
    "text,first,count",
    [
        ("s0:/2", "s0:c1,c0", 523_776),
        ("s0/2", "s0:c1,c0", 523_776),
        ("s0,/2", "s0,c1,c0", 523_776),
        ("/2", "c1,c0", 523_776),
        ("system_u:object_r:container_file_t:s0:/2", "system_u:object_r:container_file_t:s0:c1,c0", 523_776),
        ("s0:/1", "s0:c0", 1_024),
        ("s0:/3", "s0:c2,c1,c0", 178_433_024),
        ("s0:/5", "s0:c4,c3,c2,c1,c0", 9_291_185_992_704),
        ("s0:/+2", "s0:c1,c0", 523_776),
        ("s0:/02", "s0:c1,c0", 523_776),
        ("s0:/2,512", "s0:c1,c0", 130_816),
        ("s0:/2,2", "s0:c1,c0", 1),
    ],
)
def test_ranges(text: str, first: str, count: int) -> None:
    """A range is read and completed like OpenShift's (spec/namespaces.md §2.1)."""
    mcs_range = parse_mcs_range(text)
    assert (mcs_range.label(0), mcs_range.count) == (first, count)
    assert mcs_range.offset_of(first) == 0
    assert parse_mcs_range(str(mcs_range)) == mcs_range


@pytest.mark.parametrize(
    "text",
    [
        "s0:/6",
        "s0:/0",
        "s0:/2,1025",
        "s0:/2,0",
        "s0:",
        "s0:/x",
        "s0:/2,",
        "s0:/ 2",
        "s0:/2/3",
        "s0:/",
        "",
        "s0:/\u0662",
        "s0:/2,1",
        "s0:/2,-3",
        "s0:/-1",
    ],
)
def test_bad_ranges(text: str) -> None:
    """What OpenShift refuses is refused, and so are the ranges that make it loop or hold no label."""
    with pytest.raises(InvalidMCSRange, match=r"MCS range"):
        parse_mcs_range(text)


@pytest.mark.parametrize(
    "block,label",
    [
        (0, "s0:c1,c0"),
        (1, "s0:c3,c2"),
        (2, "s0:c5,c0"),
        (3, "s0:c6,c0"),
        (4, "s0:c6,c5"),
        (5, "s0:c7,c4"),
        (6, "s0:c8,c2"),
        (7, "s0:c8,c7"),
        (8, "s0:c9,c4"),
        (9, "s0:c10,c0"),
        (10, "s0:c10,c5"),
        (11, "s0:c11,c0"),
        (12, "s0:c11,c5"),
        (13, "s0:c11,c10"),
        (99, "s0:c31,c30"),
        (100, "s0:c32,c4"),
        (255, "s0:c51,c0"),
        (1_000, "s0:c100,c50"),
        (10_000, "s0:c316,c230"),
        (50_000, "s0:c707,c429"),
        (99_998, "s0:c1000,c490"),
        (99_999, "s0:c1000,c495"),
    ],
)
def test_labels_of_blocks(block: int, label: str) -> None:
    """Blocks of the default range get OpenShift's labels, and the label tells the block (spec/namespaces.md §2.3)."""
    plan = label_plan(DEFAULT, DEFAULT_UIDS)
    assert plan.label_of_block(block) == label
    assert plan.block_of_label(label) == block


@pytest.mark.parametrize(
    "text,offset,label",
    [
        ("s0:/2", 0, "s0:c1,c0"),
        ("s0:/2", 1, "s0:c2,c0"),
        ("s0:/2", 2, "s0:c2,c1"),
        ("s0:/2", 5, "s0:c3,c2"),
        ("s0:/2", 9, "s0:c4,c3"),
        ("s0:/2", 523_774, "s0:c1023,c1021"),
        ("s0:/2", 523_775, "s0:c1023,c1022"),
        ("s0:/3", 0, "s0:c2,c1,c0"),
        ("s0:/3", 5, "s0:c4,c2,c0"),
        ("s0:/3", 50, "s0:c7,c6,c0"),
    ],
)
def test_offsets(text: str, offset: int, label: str) -> None:
    """Labels are numbered in colexicographic order (spec/namespaces.md §2.3)."""
    assert parse_mcs_range(text).label(offset) == label
    assert parse_mcs_range(text).offset_of(label) == offset


def test_no_label_beyond_the_range() -> None:
    """A label outside of the range is refused, where OpenShift emits one (spec/namespaces.md §6.45, §6.46)."""
    for mcs_range, offset in ((DEFAULT, 523_776), (DEFAULT, -1), (parse_mcs_range("s0:/2,10"), 45)):
        with pytest.raises(IndexError):
            mcs_range.label(offset)
    assert parse_mcs_range("s0:/2,10").label(44) == "s0:c9,c8"


@given(st.integers(1, 5), st.integers(5, 40), st.data())
def test_label_and_offset_are_inverse(per_label: int, categories: int, data: st.DataObject) -> None:
    """Number and label determine each other."""
    mcs_range = MCSRange("s0:", per_label, categories)
    offset = data.draw(st.integers(0, mcs_range.count - 1))
    assert mcs_range.offset_of(mcs_range.label(offset)) == offset


def test_order_is_colexicographic() -> None:
    """The numbering is that of subsets ordered by their largest category first."""
    subsets = sorted(combinations(range(9), 3), key=lambda subset: subset[::-1])
    expected = ["s0:" + ",".join(f"c{category}" for category in reversed(subset)) for subset in subsets]
    mcs_range = MCSRange("s0:", 3, 9)
    assert [mcs_range.label(offset) for offset in range(comb(9, 3))] == expected
    wide = MCSRange("s0:", 3)
    assert [wide.label(offset) for offset in range(84)] == list(islice(expected, 84))


@pytest.mark.parametrize(
    "label,offset",
    [
        ("s0:c0,c1", 0),
        ("s0:c1,c1", None),
        ("s0:c1", None),
        ("s0:c2,c1,c0", None),
        ("s0:c1024,c0", None),
        ("s0:c70000,c1", None),
        ("s0:c1.c5", None),
        ("s0:c-1,c0", None),
        ("s0:c1, c0", None),
        ("s1:c1,c0", None),
        ("s0", None),
        ("s0:", None),
        ("", None),
        ("s0:c1,c0,", None),
        ("s0:c\u0661,c0", None),
    ],
)
def test_reading_labels(label: str, offset: int | None) -> None:
    """The order of categories is free; whatever is no label of the range has no number (spec/namespaces.md §2.5)."""
    assert DEFAULT.offset_of(label) == offset


def test_labels_per_block() -> None:
    """0 labels per block means 5, a negative number 1 (spec/namespaces.md §2.2, §6.48)."""
    assert label_plan(DEFAULT, DEFAULT_UIDS, 0) == label_plan(DEFAULT, DEFAULT_UIDS, 5)
    assert label_plan(DEFAULT, DEFAULT_UIDS, 1).label_of_block(1) == "s0:c2,c0"
    assert label_plan(DEFAULT, DEFAULT_UIDS, -3).per_block == 1


def test_which_labels_belong_to_blocks() -> None:
    """A block's label is the first of its five; the other four, and those behind the last block, are no block's."""
    plan = label_plan(DEFAULT, DEFAULT_UIDS)
    assert [plan.block_of_label(DEFAULT.label(offset)) for offset in (0, 1, 4, 5, 499_995, 500_000)] == [
        0,
        None,
        None,
        1,
        99_999,
        None,
    ]
    assert plan.block_of_label("s0:c0") is None
    assert plan.spare == range(500_000, 523_776)


@pytest.mark.parametrize(
    "mcs,uids,per_block,fits",
    [
        ("s0:/2", "0-1047559999/10000", 5, True),
        ("s0:/2", "0-1047569999/10000", 5, False),
        ("s0:/2", "1000000000-1999999999/10000", 6, False),
        ("s0:/2,10", "0-99/10", 5, False),
        ("s0:/2,10", "0-89/10", 5, True),
        ("s0:/1", "0-10239/10", 1, True),
        ("s0:/1", "0-10249/10", 1, False),
    ],
)
def test_more_blocks_than_labels(mcs: str, uids: str, per_block: int, fits: bool) -> None:
    """A configuration that cannot give every block a label of its own is refused (spec/namespaces.md §2.4)."""
    mcs_range, uid_range = parse_mcs_range(mcs), parse_range(uids)
    if fits:
        plan = label_plan(mcs_range, uid_range, per_block)
        assert mcs_range.offset_of(plan.label_of_block(uid_range.count - 1)) is not None
    else:
        with pytest.raises(InvalidMCSRange, match="two namespaces would share a label"):
            label_plan(mcs_range, uid_range, per_block)
