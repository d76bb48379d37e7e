"""Section numbers in this file are those of spec/namespaces.md."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from scc_operator.allocation.census import NamespaceState
from scc_operator.allocation.holdings import Holding, State, claims, follow, holding_name
from scc_operator.allocation.ledger import Ledger
from scc_operator.allocation.mcs import label_plan, parse_mcs_range
from scc_operator.allocation.namespace_ranges import new_body, read_holding, status_of
from scc_operator.allocation.plan import Plan, plan
from scc_operator.allocation.reservations import Notes, Reservation, read_notes
from scc_operator.allocation.uid_blocks import Block, parse_block, parse_range
from scc_operator.names import MCS, NEXT_BLOCK, RESERVATIONS, SUPPLEMENTAL_GROUPS, UID_RANGE

RANGE = parse_range("0-99/10")
LABELS = label_plan(parse_mcs_range("s0:/2"), RANGE)
NOW = 1_000_000.0
DAY = 86_400.0


def block(index: int) -> Block:
    """A block of the range."""
    return RANGE.block(index)


def ns(name: str, index: int | None = None, text: str | None = None, **fields: Any) -> NamespaceState:
    """A namespace with a block, or with a text in its place."""
    return NamespaceState(name, f"uid-{name}", text if index is None else str(block(index)), **fields)


def bound(name: str, index: int, **fields: Any) -> Holding:
    """What is known of a block that a namespace has."""
    known = Holding(block(index), state=State.BOUND, namespace=name, uid=f"uid-{name}", since=1)
    return msgspec.structs.replace(known, **fields)


def released(name: str, index: int, at: float = NOW, **fields: Any) -> Holding:
    """What is known of a block whose namespace is gone."""
    return bound(name, index, state=State.RELEASED, released_at=int(at), **fields)


def live(*states: NamespaceState) -> Callable[[str], NamespaceState | None]:
    """Finds these namespaces by name."""
    return {state.name: state for state in states}.get


def after(known: Holding | None, *states: NamespaceState, index: int = 1) -> Holding | None:
    """What follows for a block from these namespaces."""
    carriers = [state for state in states if state.uid_range == str(block(index))]
    return follow(block(index), carriers, known, live(*states), RANGE, NOW)


def planned(
    *states: NamespaceState, holdings: tuple[Holding, ...] = (), taken: tuple[int, ...] = (), **more: Any
) -> Plan:
    """The plan for these namespaces and holdings."""
    return plan(Ledger(RANGE).mark(taken), LABELS, states, claims=claims(holdings, NOW, DAY), **more)


def given(found: Plan) -> dict[str, str]:
    """The blocks that namespaces get."""
    return {each.name: each.annotations[UID_RANGE] for each in found.patches if UID_RANGE in each.annotations}


# --- what becomes of a holding -----------------------------------------------------------------------------------


def test_a_namespace_with_a_block_is_bound() -> None:
    """A block that one namespace carries is bound to it, by name and uid."""
    found = after(None, ns("a", 1, mcs="s0:c1", groups="5/5"))
    assert found == bound("a", 1, since=int(NOW), mcs="s0:c1", groups="5/5")


def test_a_namespace_that_is_gone_leaves_a_released_block() -> None:
    """The block of a namespace that is gone is released, and says whose it was and since when."""
    found = after(bound("a", 1))
    assert found is not None
    assert (found.state, found.namespace, found.uid, found.released_at) == (State.RELEASED, "a", "uid-a", NOW)


def test_a_namesake_is_another_namespace() -> None:
    """A namespace of the same name and another uid has no part in the block (§6.24)."""
    found = after(bound("a", 1, uid="former"), ns("a"))
    assert found is not None
    assert found.state is State.RELEASED


def test_a_namespace_that_moved_leaves_a_released_block() -> None:
    """A namespace that carries another block by now has given the former one up (§6.21)."""
    found = after(bound("a", 1), ns("a", 2))
    assert found is not None
    assert found.state is State.RELEASED


def test_a_wiped_namespace_keeps_its_block() -> None:
    """A live namespace that lost its annotation is about to get it back (§6.17)."""
    assert after(bound("a", 1), ns("a")) == bound("a", 1)
    assert after(bound("a", 1), ns("a", terminating=True)) == bound("a", 1)


@pytest.mark.parametrize("text", ["garbage", "", "5-3"])
def test_an_overwritten_block_is_a_conflict(text: str) -> None:
    """Where garbage stands in place of the block the record says so and how to get out."""
    found = after(bound("a", 1), ns("a", text=text))
    assert found is not None
    assert found.state is State.CONFLICT
    assert f"{text!r}, which is no block. Write 10/10, or remove the annotation" in found.message


def test_two_carriers_are_a_conflict() -> None:
    """Of two namespaces with one block the one that had it first holds it, and the record names the other."""
    found = after(bound("b", 1), ns("a", 1), ns("b", 1))
    assert found is not None
    assert (found.state, found.namespace) == (State.CONFLICT, "b")
    assert "also carried by namespace a" in found.message
    assert after(found, ns("a", 1)) == bound("a", 1, since=int(NOW))


def test_pins() -> None:
    """A pin waits for its namespace, is bound to it, and outlives it."""
    pin = Holding(block(1), pinned_to="a")
    waiting = after(pin)
    assert waiting is not None
    assert (waiting.state, waiting.message) == (State.RESERVED, "kept for namespace a")
    held = after(waiting, ns("a", 1))
    assert held == bound("a", 1, pinned_to="a", since=int(NOW))
    again = after(held)
    assert again is not None
    assert (again.state, again.message) == (State.RESERVED, "kept for namespace a, held by namespace a before")


@pytest.mark.parametrize(
    "pin,states,part",
    [
        (Holding(block(1), pinned_to="a"), (ns("b", 1),), "pinned to a, but namespace b has it"),
        (Holding(block(1), pinned_to="a"), (ns("a", 2),), "namespace a has block 20/10 already"),
        (Holding(parse_block("5/10"), pinned_to="a"), (), "not a block of 0-99/10"),
    ],
)
def test_pins_that_contradict(pin: Holding, states: tuple[NamespaceState, ...], part: str) -> None:
    """A pin that cannot be honoured is a conflict that says why."""
    carriers = [state for state in states if state.uid_range == str(pin.block)]
    found = follow(pin.block, carriers, pin, live(*states), RANGE, NOW)
    assert found is not None
    assert found.state is State.CONFLICT
    assert part in found.message


def test_a_released_block_waits() -> None:
    """A released block is over when its quarantine is, but not while volumes of its namespace exist."""
    found = released("a", 1)
    assert not found.over(NOW + DAY - 1, DAY)
    assert found.over(NOW + DAY, DAY)
    assert not msgspec.structs.replace(found, volumes=("pv",)).over(NOW + 100 * DAY, DAY)
    assert not msgspec.structs.replace(found, pinned_to="a").over(NOW + 100 * DAY, DAY)
    assert not bound("a", 1).over(NOW + 100 * DAY, 0)
    assert Holding(block(1), state=State.RELEASED).over(NOW, DAY)


def test_since_moves_with_the_state_only() -> None:
    """The time of the last transition is kept while the state stays."""
    assert after(bound("a", 1, since=7), ns("a", 1, mcs="s0:c1")) == bound("a", 1, since=7, mcs="s0:c1")


def test_nothing_is_known_of_a_free_block() -> None:
    """A block that nobody carries and of which nothing was known needs no record."""
    assert after(None) is None


# --- what allocation makes of it ---------------------------------------------------------------------------------


def test_wiped_annotations_come_back() -> None:
    """A namespace that lost everything gets its own block, groups and label again, by its uid (§6.17, §6.18)."""
    before = bound("a", 4, groups="40/10,7/1", mcs="s0:c900")
    found = planned(ns("a"), ns("b"), holdings=(before,), taken=(4,))
    assert found.patches[0].annotations == {UID_RANGE: "40/10", SUPPLEMENTAL_GROUPS: "40/10,7/1", MCS: "s0:c900"}
    assert given(found) == {"a": "40/10", "b": "0/10"}
    assert found.unclaimed == 0


def test_a_foreign_block_comes_back() -> None:
    """Also a block that is not of the range is remembered, and what overlaps it is given to nobody meanwhile."""
    before = Holding(Block(5, 14), state=State.BOUND, namespace="a", uid="uid-a", mcs="s0:c900")
    assert given(planned(ns("a"), ns("b"), holdings=(before,))) == {"a": "5/10", "b": "20/10"}
    assert given(planned(ns("b"), holdings=(before,))) == {"b": "20/10"}


def test_a_label_that_another_has_does_not_come_back() -> None:
    """A remembered label that another namespace carries by now, or that is another block's, is not restored."""
    before = bound("a", 4, mcs="s0:c900")
    found = planned(ns("a"), ns("b", 0, mcs="s0:c900", groups="0/10"), holdings=(before,), taken=(4,))
    assert found.patches[0].annotations[MCS] == LABELS.label_of_block(4)
    before = bound("a", 4, mcs=LABELS.label_of_block(7))
    assert planned(ns("a"), holdings=(before,), taken=(4,)).patches[0].annotations[MCS] == LABELS.label_of_block(4)


def test_a_single_lost_annotation_is_made_anew() -> None:
    """Groups or label that are removed alone follow from the block: so one gets rid of wrong ones (§6.19, §6.20)."""
    before = bound("a", 4, mcs="s0:c900", groups="7/7")
    found = planned(ns("a", 4), holdings=(before,))
    assert found.patches[0].annotations == {SUPPLEMENTAL_GROUPS: "40/10", MCS: LABELS.label_of_block(4)}


def test_a_name_alone_inherits_nothing() -> None:
    """A new namespace of an old name gets another block while the old one is quarantined and after (§6.24)."""
    found = planned(ns("a"), holdings=(released("a", 0, uid="former"),), taken=(0,))
    assert given(found) == {"a": "10/10"}


def test_a_restored_backup_has_its_block() -> None:
    """A namespace that arrives with the annotations of a quarantined block has that block."""
    found = planned(ns("new", 0, groups="0/10", mcs=LABELS.label_of_block(0)), holdings=(released("a", 0),), taken=(0,))
    assert (found.patches, found.problems, found.unclaimed) == ((), (), 0)


def test_a_quarantined_block_is_never_given() -> None:
    """Where only quarantined blocks are left, new namespaces get none and are told so."""
    everything = tuple(released(f"n{index}", index) for index in range(10))
    found = planned(ns("a"), holdings=everything, taken=tuple(range(10)))
    assert (found.patches, [problem.code for problem in found.problems]) == ((), ["RangeExhausted"])
    assert given(planned(ns("a"), holdings=everything)) == {}


def test_a_block_is_given_after_its_quarantine() -> None:
    """A block whose quarantine is over is claimed by nobody: it may be freed."""
    found = planned(holdings=(released("a", 3, NOW - DAY), released("b", 4)), taken=(3, 4))
    assert found.unclaimed == 1 << 3
    assert found.ledger.bits == 0b11000


def test_a_pin_is_honoured() -> None:
    """A pinned block goes to the namespace of that name, even out of quarantine, and to no other (§6.18)."""
    pin = bound("a", 0, pinned_to="a", uid="former", state=State.RESERVED, released_at=int(NOW))
    assert given(planned(ns("a"), ns("b"), holdings=(pin,))) == {"a": "0/10", "b": "10/10"}
    assert given(planned(ns("b"), holdings=(pin,))) == {"b": "10/10"}


def test_a_pin_moves_a_namespace_whose_annotations_are_removed() -> None:
    """A pin counts more than what a namespace had before."""
    pin = Holding(block(7), pinned_to="a")
    assert given(planned(ns("a"), holdings=(pin, bound("a", 2)), taken=(2,))) == {"a": "70/10"}


def test_a_pin_takes_nothing_away() -> None:
    """A pinned block that another namespace carries stays there."""
    found = planned(ns("a"), ns("b", 7, groups="70/10", mcs="s0:c7"), holdings=(Holding(block(7), pinned_to="a"),))
    assert given(found) == {"a": "0/10"}


def test_two_pins_of_one_namespace() -> None:
    """Of several pins to one namespace the lowest block counts, and the others are kept from everybody else."""
    pins = (Holding(block(3), pinned_to="a"), Holding(block(0), pinned_to="a"))
    assert given(planned(ns("a"), ns("b"), holdings=pins)) == {"a": "0/10", "b": "10/10"}


def test_blocks_are_given_in_a_circle() -> None:
    """A freed block is reused last: the search goes on behind the block given last (deliberately not §6.1: W7)."""
    found = planned(ns("a"), ns("b"), taken=(0, 2), next_block=3)
    assert (given(found), found.next_block) == ({"a": "30/10", "b": "40/10"}, 5)
    found = planned(ns("a"), ns("b"), next_block=9)
    assert (given(found), found.next_block) == ({"a": "90/10", "b": "0/10"}, 1)
    assert given(planned(ns("a"), next_block=77)) == {"a": "0/10"}


def test_a_limit() -> None:
    """No more namespaces are given new blocks than asked for; the rest waits and is no problem."""
    found = planned(ns("a"), ns("b"), ns("c"), limit=2)
    assert (given(found), found.waiting, found.problems) == ({"a": "0/10", "b": "10/10"}, 1, ())
    assert planned(ns("a"), limit=-1).waiting == 1


def test_reservations_of_namespaces_that_are_gone_keep_their_blocks() -> None:
    """What was reserved for a namespace that is gone may have been used: it is not free before somebody says so."""
    found = planned(ns("a"), ns("t", terminating=True), taken=(0, 1, 2), reserved={"uid-gone": 0, "uid-t": 1})
    assert (given(found), found.unclaimed) == ({"a": "30/10"}, 0b100)


# --- how it is stored --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "holding",
    [
        bound("a", 1, mcs="s0:c1", groups="10/10"),
        released("a", 1, volumes=("pv-a", "pv-b"), message="why"),
        bound("a", 1, state=State.CONFLICT, message="no"),
    ],
)
def test_a_holding_survives_being_stored(holding: Holding) -> None:
    """What is written in a NamespaceRange is read back."""
    assert read_holding(new_body(holding)) == holding


def test_a_pin_is_the_spec() -> None:
    """What an administrator applies is a pin, without any status."""
    raw = {"metadata": {"name": "10-10"}, "spec": {"uidRange": "10/10", "pinnedTo": "a"}}
    assert read_holding(raw) == Holding(block(1), pinned_to="a")


@pytest.mark.parametrize(
    "raw", [{}, {"spec": {"uidRange": "x"}}, {"spec": {"uidRange": "20/10"}}, {"spec": {"uidRange": "0/0"}}]
)
def test_a_namespace_range_that_says_nothing(raw: dict[str, Any]) -> None:
    """One that is not named after its block is left out."""
    assert read_holding({"metadata": {"name": "10-10"}, **raw}) is None


def test_a_status_of_somebody_else() -> None:
    """Unknown states and unreadable times count as missing."""
    raw = {
        "metadata": {"name": "10-10"},
        "spec": {"uidRange": "10/10"},
        "status": {"state": "Odd", "releasedAt": "yesterday"},
    }
    assert read_holding(raw) == Holding(block(1))


def test_what_is_no_more_is_taken_away() -> None:
    """A merged status takes away the fields of the former state."""
    status = status_of(bound("a", 1))
    assert (status["releasedAt"], status["persistentVolumes"]) == (None, None)
    assert status["conditions"][0]["status"] == "True"


def test_names() -> None:
    """A record is named after its block, so the API server keeps it the only one."""
    assert holding_name(parse_block("1000670000/10000")) == "1000670000-10000"


def test_notes() -> None:
    """The ledger's annotations are read back; what is unreadable counts as missing."""
    notes = Notes({"u2": Reservation(7, "b"), "u1": Reservation(3, "a")}, 8)
    assert notes.annotations()[RESERVATIONS] == '{"u1":[3,"a"],"u2":[7,"b"]}'
    assert read_notes(notes.annotations()) == notes
    assert read_notes({}) == Notes()
    assert read_notes({RESERVATIONS: '{"u": 1}', NEXT_BLOCK: "-1"}) == Notes()
    assert read_notes({RESERVATIONS: "x", NEXT_BLOCK: "9" * 99}) == Notes()
