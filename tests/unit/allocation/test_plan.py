"""Section numbers in this file are those of spec/namespaces.md."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scc_operator.allocation.census import MAX_AVOIDED_BLOCKS, NamespaceState, namespace_state
from scc_operator.allocation.ledger import Ledger, rebuild
from scc_operator.allocation.mcs import label_plan, parse_mcs_range
from scc_operator.allocation.plan import Plan, plan
from scc_operator.allocation.uid_blocks import parse_block, parse_range
from scc_operator.names import MCS, SUPPLEMENTAL_GROUPS, UID_RANGE

DEFAULT = parse_range("1000000000-1999999999/10000")
LABELS = label_plan(parse_mcs_range("s0:/2"), DEFAULT)


def block(index: int) -> str:
    """The text of a block of the default range."""
    return str(DEFAULT.block(index))


def label(index: int) -> str:
    """The label that goes with it."""
    return LABELS.label_of_block(index)


def ns(
    name: str = "a", uid_range: str | None = None, groups: str | None = None, mcs: str | None = None, **fields: bool
) -> NamespaceState:
    """A namespace whose uid is derived from its name."""
    return NamespaceState(name, f"uid-{name}", uid_range, groups, mcs, **fields)


def complete(name: str, index: int) -> NamespaceState:
    """A namespace that has everything of a block."""
    return ns(name, block(index), block(index), label(index))


def planned(*states: NamespaceState, taken: tuple[int, ...] = (), reserved: Mapping[str, int] | None = None) -> Plan:
    """The plan for these namespaces and a ledger with these blocks taken."""
    return plan(Ledger(DEFAULT).mark(taken), LABELS, states, reserved)


def added(found: Plan) -> dict[str, dict[str, str]]:
    """The annotations that are added, by namespace."""
    return {patch.name: patch.annotations for patch in found.patches}


def codes(found: Plan) -> list[tuple[str, str]]:
    """Namespace and code of each problem."""
    return [(problem.namespace, problem.code) for problem in found.problems]


def bits(*indices: int) -> int:
    """A bitmap."""
    return Ledger(DEFAULT).mark(indices).bits


def all_of(index: int) -> dict[str, str]:
    """The three annotations of a block."""
    return {UID_RANGE: block(index), SUPPLEMENTAL_GROUPS: block(index), MCS: label(index)}


def test_new_namespace() -> None:
    """A namespace without annotations gets all three, of the lowest free block (§6.1)."""
    found = planned(ns(), taken=(0, 1, 3))
    assert added(found) == {"a": all_of(2)}
    assert found.patches[0].index == 2
    assert found.ledger.bits == bits(0, 1, 2, 3)
    assert found.problems == ()


def test_many_new_namespaces() -> None:
    """Namespaces that wait together get the lowest blocks in the order of their names (§6.2, §6.27)."""
    found = planned(*(ns(f"n{number:04}") for number in reversed(range(1000))))
    assert added(found) == {f"n{number:04}": all_of(number) for number in range(1000)}
    assert found.ledger.bits.bit_count() == 1000


def test_patch_body() -> None:
    """The patch carries the uid, so it cannot hit or make another namespace of the same name (§6.24, §6.25)."""
    (patch,) = planned(ns()).patches
    assert patch.merge_patch() == {"metadata": {"uid": "uid-a", "annotations": all_of(0)}}


def test_complete_namespace() -> None:
    """A namespace that has everything is left alone, and nothing is stored anew (§6.4, §6.30)."""
    found = planned(complete("a", 4), taken=(4,))
    assert (found.patches, found.problems, found.ledger.bits) == ((), (), bits(4))


def test_carried_blocks_are_taken() -> None:
    """A block that a namespace carries is taken although the ledger does not say so (§6.12)."""
    found = planned(complete("a", 0), ns("b"))
    assert added(found) == {"b": all_of(1)}
    assert found.ledger.bits == bits(0, 1)


def test_block_written_with_its_end() -> None:
    """`start-end` is as good as `start/size` (§6.5)."""
    found = planned(ns("a", "1000000000-1000009999", mcs=label(0)), ns("b"))
    assert added(found) == {"a": {SUPPLEMENTAL_GROUPS: block(0)}, "b": all_of(1)}
    assert found.problems == ()


@pytest.mark.parametrize(
    "state,expected",
    [
        (ns(uid_range=block(7)), {SUPPLEMENTAL_GROUPS: block(7), MCS: label(7)}),
        (ns(uid_range=block(7), groups=block(7)), {MCS: label(7)}),
        (ns(uid_range=block(7), mcs=label(7)), {SUPPLEMENTAL_GROUPS: block(7)}),
        (ns(uid_range=block(7), mcs="s0:c9"), {SUPPLEMENTAL_GROUPS: block(7)}),
    ],
)
def test_completing_a_block(state: NamespaceState, expected: dict[str, str]) -> None:
    """What is missing beside a block is added to match the block (§6.19, §6.20)."""
    found = planned(state)
    assert added(found) == {"a": expected}
    assert found.patches[0].index is None
    assert (found.ledger.bits, found.problems) == (bits(7), ())


def test_only_mcs() -> None:
    """A label given beforehand is kept, and a block is allocated (§6.6)."""
    found = planned(ns(mcs="s0:c500,c400,c300"), ns("b"))
    assert added(found) == {"a": {UID_RANGE: block(0), SUPPLEMENTAL_GROUPS: block(0)}, "b": all_of(1)}
    assert found.problems == ()


def test_only_mcs_of_a_free_block() -> None:
    """A label that goes with a free block brings that block, so that they stay a pair."""
    found = planned(ns("b", mcs=label(3)), ns("a"))
    assert added(found) == {"a": all_of(0), "b": {UID_RANGE: block(3), SUPPLEMENTAL_GROUPS: block(3)}}


def test_only_mcs_of_somebody_else() -> None:
    """A label that another namespace has is kept, and reported for both (§6.7)."""
    found = planned(complete("a", 0), ns("b", mcs=label(0)))
    assert added(found) == {"b": {UID_RANGE: block(1), SUPPLEMENTAL_GROUPS: block(1)}}
    assert codes(found) == [("a", "DuplicateMCS"), ("b", "DuplicateMCS")]


def test_same_label_in_another_order() -> None:
    """Labels that differ only in the order of categories are the same label."""
    assert codes(planned(complete("a", 1), ns("b", mcs="s0:c2,c3"))) == [("a", "DuplicateMCS"), ("b", "DuplicateMCS")]


@pytest.mark.parametrize("groups", ["5000/10", "1000/10,2000/10", "1000000000/20000"])
def test_only_groups(groups: str) -> None:
    """Groups given beforehand are kept and reported, and exactly one block is used, again and again (§6.8, §6.9)."""
    state = ns(groups=groups)
    found = planned(state, taken=(0, 1))
    assert added(found) == {"a": {UID_RANGE: block(2), MCS: label(2)}}
    assert found.ledger.bits == bits(0, 1, 2)
    assert codes(found) == [("a", "GroupsMismatch")]
    again = plan(found.ledger, LABELS, [msgspec.structs.replace(state, uid_range=block(2), mcs=label(2))])
    assert (again.patches, again.ledger) == ((), found.ledger)


def test_unreadable_groups() -> None:
    """Groups that cannot be read are kept and reported."""
    found = planned(ns(groups="staff"))
    assert added(found) == {"a": {UID_RANGE: block(0), MCS: label(0)}}
    assert codes(found) == [("a", "MalformedGroups")]


@pytest.mark.parametrize("text", ["", "garbage", "1000000000", "4294967296/1"])
def test_malformed_block(text: str) -> None:
    """A uid-range that cannot be read is left alone with its namespace, and reported once (§6.10, §6.11)."""
    found = planned(ns(uid_range=text), ns("b"))
    assert added(found) == {"b": all_of(0)}
    (problem,) = found.problems
    assert (problem.namespace, problem.code, problem.key, problem.value) == ("a", "MalformedBlock", UID_RANGE, text)
    assert "namespace a" in problem.message
    assert repr(text) in problem.message
    assert "1000000000/10000" in problem.message
    assert "remove the annotation" in problem.message


@pytest.mark.parametrize("text", ["4294967295/2", "5-3", "1000/0"])
def test_block_without_uids(text: str) -> None:
    """A uid-range that describes no UID is left alone and reported (§6.51)."""
    found = planned(ns(uid_range=text))
    assert (found.patches, codes(found), found.ledger.bits) == ((), [("a", "EmptyBlock")], 0)


def test_text_behind_the_block() -> None:
    """Text that readers ignore is reported; the first block is the block (§6.50)."""
    found = planned(ns(uid_range=f"{block(0)},2000/10", groups=block(0), mcs=label(0)))
    assert (codes(found), found.ledger.bits) == ([("a", "TrailingText")], bits(0))


def test_duplicate_block() -> None:
    """A block of two namespaces is reported for both, and nothing is changed (§6.13)."""
    found = planned(complete("a", 0), complete("b", 0))
    assert added(found) == {}
    assert codes(found) == [
        ("a", "DuplicateBlock"),
        ("a", "DuplicateMCS"),
        ("b", "DuplicateBlock"),
        ("b", "DuplicateMCS"),
    ]
    assert "namespace b" in found.problems[0].message


def test_many_duplicates() -> None:
    """A message names three of the others and how many more there are."""
    found = planned(*(ns(name, block(0), block(0), f"s0:c{number}") for number, name in enumerate("abcdefg")))
    assert "namespaces b, c, d and 3 more" in found.problems[0].message


@pytest.mark.parametrize(
    "text,overlapped",
    [
        ("0/10000", ()),
        ("2000000000/10000", ()),
        ("1000005000/10000", (0, 1)),
        ("1000000000/20000", (0, 1)),
        ("1000000000/5000", (0,)),
    ],
)
def test_foreign_block(text: str, overlapped: tuple[int, ...]) -> None:
    """A block that is not of the range sets no bit, and blocks that it overlaps are not given away (§6.14 to §6.16)."""
    found = planned(ns(uid_range=text), ns("b"))
    assert added(found)["b"] == all_of(len(overlapped))
    assert found.ledger.bits == bits(len(overlapped))
    assert codes(found) == [("a", "ForeignBlock")]


def test_foreign_block_is_completed() -> None:
    """A foreign block brings its own groups and a label that no block will ever have."""
    found = planned(ns(uid_range="5000-5099"), ns("b", uid_range="7000/100"))
    assert added(found)["a"][SUPPLEMENTAL_GROUPS] == "5000/100"
    offsets = [LABELS.mcs_range.offset_of(annotations[MCS]) for annotations in added(found).values()]
    assert len(set(offsets)) == 2
    assert all(offset in LABELS.spare for offset in offsets)
    assert found.ledger.bits == 0
    assert added(planned(ns("b", uid_range="7000/100"), ns("c")))["b"] == added(found)["b"]


def test_spare_labels_are_given_once() -> None:
    """A spare label that a live namespace carries is not given to another one."""
    first = planned(ns(uid_range="5000/100"))
    carried = added(first)["a"][MCS]
    found = planned(ns("other", uid_range="1/7", mcs=carried, groups="1/7"), ns(uid_range="5000/100"))
    assert added(found)["a"][MCS] != carried
    assert "DuplicateMCS" not in dict(codes(found)).values()


def test_no_spare_label() -> None:
    """Where no label is spare, a foreign block is completed without one, and that is reported."""
    labels = label_plan(parse_mcs_range("s0:/1,5"), parse_range("0-49/10"), 1)
    found = plan(Ledger(parse_range("0-49/10")), labels, [ns(uid_range="5000/100")])
    assert added(found) == {"a": {SUPPLEMENTAL_GROUPS: "5000/100"}}
    assert codes(found) == [("a", "ForeignBlock"), ("a", "NoSpareLabel")]


def test_huge_foreign_block() -> None:
    """One annotation cannot exhaust the range: only so many of the blocks that it overlaps are kept back."""
    found = planned(ns(uid_range="0/4294967295"), ns("b"))
    assert added(found)["b"] == all_of(MAX_AVOIDED_BLOCKS)
    assert "only the first 1000 of 100000" in found.problems[0].message


def test_overlapping_blocks() -> None:
    """Blocks of two namespaces that share UIDs are reported for both."""
    found = planned(complete("a", 0), ns("b", "1000005000/10000", "1000005000/10000", "s0:c7"), complete("c", 1))
    assert codes(found) == [
        ("a", "OverlappingBlock"),
        ("b", "ForeignBlock"),
        ("b", "OverlappingBlock"),
        ("c", "OverlappingBlock"),
    ]


def test_uid_range_removed() -> None:
    """A namespace that lost only its uid-range gets the same block again, although the ledger has it taken (§6.17)."""
    found = planned(ns(groups=block(5), mcs=label(5)), ns("b"), taken=(0, 5))
    assert added(found) == {"a": {UID_RANGE: block(5)}, "b": all_of(1)}
    assert found.problems == ()


def test_former_block_has_another_owner() -> None:
    """A former block that another namespace carries by now is not given a second time."""
    found = planned(ns(groups=block(5), mcs=label(5)), complete("b", 5))
    assert added(found)["a"] == {UID_RANGE: block(0)}
    assert codes(found) == [("a", "DuplicateMCS"), ("a", "GroupsMismatch"), ("b", "DuplicateMCS")]


def test_taken_block_of_nobody_is_not_restored_on_a_label_alone() -> None:
    """A block that is taken but not carried may be on its way to another namespace: a label alone is no proof."""
    found = planned(ns(mcs=label(5)), taken=(5,))
    assert added(found) == {"a": {UID_RANGE: block(0), SUPPLEMENTAL_GROUPS: block(0)}}
    assert codes(found) == [("a", "MCSMismatch")]


def test_kept_values_that_disagree() -> None:
    """Groups and label of two different blocks prove nothing: both are kept, and a fresh block is given."""
    found = planned(ns(groups=block(2), mcs=label(1)))
    assert added(found) == {"a": {UID_RANGE: block(0)}}
    assert codes(found) == [("a", "GroupsMismatch"), ("a", "MCSMismatch")]


@pytest.mark.parametrize(
    "keeper",
    [
        ns("a", block(9), block(9), label(0)),
        ns("a", block(9), block(0), label(9)),
        ns("a", block(9), f"{block(0)},5/5"),
    ],
)
def test_pairs_are_not_torn(keeper: NamespaceState) -> None:
    """A block is not given away while another live namespace carries its label or groups of its IDs."""
    assert added(planned(keeper, ns("b")))["b"] == all_of(1)


def test_two_wish_for_the_same_block() -> None:
    """A free block that two namespaces name is given to neither."""
    found = planned(ns("a", mcs=label(0)), ns("b", groups=block(0)), ns("c"))
    assert [annotations[UID_RANGE] for annotations in added(found).values()] == [block(1), block(2), block(3)]


def test_uid_range_changed_by_hand() -> None:
    """A uid-range that was changed by hand is taken over; what stayed of the old block is reported (§6.21)."""
    found = planned(ns("a", block(6), block(2), label(2)), taken=(2,))
    assert (found.patches, found.ledger.bits) == ((), bits(2, 6))
    assert codes(found) == [("a", "GroupsMismatch"), ("a", "MCSMismatch")]


def test_terminating_namespaces() -> None:
    """A terminating namespace gets nothing and is not reported, but keeps the block that it has (§6.22)."""
    found = planned(
        ns("a", terminating=True), ns("b", block(0), terminating=True), ns("c", "x", terminating=True), ns("d")
    )
    assert added(found) == {"d": all_of(1)}
    assert found.problems == ()


def test_unwanted_namespaces() -> None:
    """A namespace that is not to be completed gets nothing, and what it carries counts."""
    found = planned(ns("a", wanted=False), ns("b", block(0), wanted=False), ns("c"))
    assert added(found) == {"c": all_of(1)}


def test_empty_mcs() -> None:
    """An empty label is kept and reported: admission can use none."""
    found = planned(ns("a", block(0), block(0), ""))
    assert (found.patches, codes(found)) == ((), [("a", "MalformedMCS")])


def test_reserved_blocks() -> None:
    """A namespace that a block was reserved for gets it on every further try, and no second one (§6.26, §6.29)."""
    found = planned(ns("a"), ns("b"), taken=(0, 1, 7), reserved={"uid-b": 7, "uid-gone": 1})
    assert added(found) == {"a": all_of(2), "b": all_of(7)}
    assert found.ledger.bits == bits(0, 1, 2, 7)
    assert found.unclaimed == bits(0)


def test_reserved_block_is_lost() -> None:
    """A reservation that another namespace carries by now, that the ledger has lost, or that never was, is void."""
    found = planned(
        complete("a", 7), ns("b"), ns("c"), ns("d"), reserved={"uid-b": 7, "uid-c": 200_000, "uid-d": 9}, taken=(7,)
    )
    assert added(found) == {"b": all_of(0), "c": all_of(1), "d": all_of(2)}


def test_exhausted() -> None:
    """Where blocks run out the first get theirs and each of the others is reported (§6.39, §6.40)."""
    small = parse_range("10-20/2")
    labels = label_plan(parse_mcs_range("s0:/2"), small)
    found = plan(Ledger(small, 0b1), labels, [ns(name) for name in "abcdef"])
    assert [patch.annotations[UID_RANGE] for patch in found.patches] == ["12/2", "14/2", "16/2", "18/2"]
    assert codes(found) == [("e", "RangeExhausted"), ("f", "RangeExhausted")]
    assert "no block of 10-20/2 is free" in found.problems[0].message
    assert "kubectl get namespaceranges" in found.problems[0].message
    assert plan(found.ledger, labels, [ns("f")]).ledger == found.ledger


def test_reading_a_namespace() -> None:
    """Absent and empty annotations are told apart, and a terminating namespace by its phase."""
    assert namespace_state("a", "u", {UID_RANGE: ""}, "Terminating") == NamespaceState("a", "u", "", terminating=True)
    everything = namespace_state("a", "u", all_of(3) | {"other": "x"})
    assert everything == NamespaceState("a", "u", block(3), block(3), label(3))


TINY = parse_range("0-80/10")
TINY_LABELS = label_plan(parse_mcs_range("s0:/2,16"), TINY)
texts = st.none() | st.sampled_from(
    [*(str(TINY.block(index)) for index in range(8)), "5/10", "0/80", "10-19", "x", "", "5-3", "500/5", "0/10,20/10"]
)
label_texts = st.none() | st.sampled_from(
    [*(TINY_LABELS.label_of_block(index) for index in range(8)), "s0:c1", "", "x"]
)
states = st.builds(
    NamespaceState,
    name=st.sampled_from([f"n{number}" for number in range(12)]),
    uid=st.just(""),
    uid_range=texts,
    groups=texts,
    mcs=label_texts,
    terminating=st.booleans(),
)
clusters = st.lists(states, max_size=9, unique_by=lambda state: state.name).map(
    lambda found: [msgspec.structs.replace(state, uid=f"uid-{state.name}") for state in found]
)


def after(found: Plan, namespaces: list[NamespaceState]) -> list[NamespaceState]:
    """The namespaces once the patches are written."""
    patches = {patch.name: patch.annotations for patch in found.patches}
    result = []
    for state in namespaces:
        now = {UID_RANGE: state.uid_range, SUPPLEMENTAL_GROUPS: state.groups, MCS: state.mcs} | patches.get(
            state.name, {}
        )
        changed = msgspec.structs.replace(
            state, uid_range=now[UID_RANGE], groups=now[SUPPLEMENTAL_GROUPS], mcs=now[MCS]
        )
        result.append(changed)
    return result


@given(clusters, st.integers(0, 255))
def test_plans_are_safe(namespaces: list[NamespaceState], taken: int) -> None:
    """Whatever namespaces carry: nothing is overwritten, no new block or label is another's, and a plan is final."""
    found = plan(Ledger(TINY, taken), TINY_LABELS, namespaces)
    states = {state.name: state for state in namespaces}
    carried = [parse_block(text) for text in (state.uid_range for state in namespaces) if text and is_block(text)]
    given = [TINY.block(patch.index) for patch in found.patches if patch.index is not None]
    for patch in found.patches:
        state = states[patch.name]
        present = {UID_RANGE: state.uid_range, SUPPLEMENTAL_GROUPS: state.groups, MCS: state.mcs}
        assert all(present[key] is None for key in patch.annotations)
        assert not state.terminating
        if patch.index is not None:
            others = [block for block in given if block != TINY.block(patch.index)] + carried
            assert len(others) == len(given) + len(carried) - 1
            assert not any(TINY.block(patch.index).overlaps(block) for block in others)
        if MCS in patch.annotations and patch.index is not None:
            assert patch.annotations[MCS] == TINY_LABELS.label_of_block(patch.index)
            assert patch.annotations[MCS] not in {state.mcs for state in namespaces}
    assert found.ledger.bits & taken == taken
    final = after(found, namespaces)
    assert rebuild(TINY, carried + given).bits & ~found.ledger.bits == 0
    again = plan(found.ledger, TINY_LABELS, final)
    assert (again.patches, again.ledger) == ((), found.ledger)
    assert plan(Ledger(TINY, taken), TINY_LABELS, list(reversed(namespaces))) == found


def is_block(text: str) -> bool:
    """Whether a text is one of the blocks above that hold UIDs."""
    return text not in {"x", "5-3"}
