from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scc_operator.cluster.store import Entry, Key, Store

A, B = ("shop", "a"), ("shop", "b")


def entry(version: int, uid: str = "u1", value: str = "") -> Entry[str]:
    """An object as of a version."""
    return Entry(uid, version, value)


@dataclass
class Watched:
    """A store that notes what it tells."""

    told: list[tuple[Key, int | None, int | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store: Store[str] = Store(self._note)

    def _note(self, key: Key, old: Entry[str] | None, new: Entry[str] | None) -> None:
        self.told.append((key, old.version if old else None, new.version if new else None))

    def content(self) -> dict[Key, int]:
        """Versions by key."""
        return {key: found.version for key, found in self.store.items()}


@pytest.fixture
def watched() -> Watched:
    """An empty store."""
    return Watched()


def test_events_come_and_go(watched: Watched) -> None:
    """Additions, changes and deletions are taken in and told, with what was before and what is now."""
    assert watched.store.upsert(A, entry(1))
    assert watched.store.upsert(A, entry(2))
    assert watched.store.remove(A, 3)
    assert watched.told == [(A, None, 1), (A, 1, 2), (A, 2, None)]
    assert not watched.content()


def test_an_event_that_is_older_than_what_is_known_changes_nothing(watched: Watched) -> None:
    """Kopf replays objects from an old list; the mirror has newer ones by then."""
    watched.store.upsert(A, entry(5))
    assert not watched.store.upsert(A, entry(4))
    assert not watched.store.upsert(A, entry(5))
    assert watched.content() == {A: 5}
    assert len(watched.told) == 1


def test_a_late_deletion_leaves_a_newer_namesake_alone(watched: Watched) -> None:
    """The object that was deleted is not the one that bears the name now."""
    watched.store.upsert(A, entry(5, "u2"))
    assert not watched.store.remove(A, 4)
    assert watched.content() == {A: 5}


def test_a_namesake_is_one_gone_and_one_come(watched: Watched) -> None:
    """Whoever keeps something by object must hear of both, also where the deletion was missed."""
    watched.store.upsert(A, entry(1, "u1"))
    watched.store.upsert(A, entry(2, "u2"))
    assert watched.told == [(A, None, 1), (A, 1, None), (A, None, 2)]


def test_a_list_replaces_what_was_there(watched: Watched) -> None:
    """What the list lacks has vanished while nobody watched."""
    watched.store.upsert(A, entry(1))
    assert not watched.store.synced
    watched.store.replace({B: entry(2)}, 3)
    assert watched.store.synced
    assert watched.content() == {B: 2}
    assert watched.told[1:] == [(A, 1, None), (B, None, 2)]


def test_an_empty_list_empties_the_store(watched: Watched) -> None:
    """Nothing left is a state like any other."""
    watched.store.upsert(A, entry(1))
    watched.store.replace({}, 3)
    assert watched.store.synced
    assert not watched.content()


def test_a_list_keeps_what_is_newer_than_it(watched: Watched) -> None:
    """Objects that came or changed while the list was under way stay as they are."""
    watched.store.upsert(A, entry(12))
    watched.store.upsert(B, entry(11))
    watched.store.replace({B: entry(4)}, 10)
    assert watched.content() == {A: 12, B: 11}


def test_a_list_does_not_bring_back_what_was_deleted_meanwhile(watched: Watched) -> None:
    """A RoleBinding that was deleted during a slow list grants nothing when the list has come."""
    watched.store.upsert(A, entry(4))
    watched.store.remove(A, 11)
    watched.store.replace({A: entry(4)}, 10)
    assert not watched.content()


def test_a_deletion_of_what_was_not_known_counts_too(watched: Watched) -> None:
    """Before the first list the store is empty, and a deletion may be the first thing that it hears of an object."""
    watched.store.remove(A, 11)
    watched.store.replace({A: entry(4)}, 10)
    assert not watched.content()


def test_the_late_answer_to_a_write_does_not_bring_back_what_was_deleted(watched: Watched) -> None:
    """The watch may tell of a deletion before the answer to an earlier patch has been read."""
    watched.store.upsert(A, entry(4))
    watched.store.remove(A, 6)
    assert not watched.store.upsert(A, entry(5))
    watched.store.replace({}, 10)
    assert not watched.store.upsert(A, entry(5))
    assert not watched.content()


def test_a_name_can_be_used_again_after_its_deletion(watched: Watched) -> None:
    """What keeps old versions away lets newer ones in."""
    watched.store.upsert(A, entry(4))
    watched.store.remove(A, 6)
    assert watched.store.upsert(A, entry(7, "u2"))
    watched.store.replace({A: entry(4)}, 5)
    assert watched.content() == {A: 7}


def test_deletions_are_forgotten_once_a_list_covers_them(watched: Watched) -> None:
    """A cluster whose pods come and go for months keeps no trace of each."""
    for version in range(1, 100):
        watched.store.remove(("shop", str(version)), version)
    watched.store.replace({}, 90)
    assert len(watched.store._deleted) == 9


KEYS = st.sampled_from([("shop", name) for name in "abc"])
State = tuple[int, Entry[str] | None]
"""An object's state at a version; None where there was none."""


class AnyOrder(RuleBasedStateMachine):
    """Events, lost events, slow lists and late answers in any order: for each object the newest that was told holds."""

    def __init__(self) -> None:
        super().__init__()
        self.version = 0
        self.server: dict[Key, Entry[str]] = {}
        self.events: deque[tuple[int, Key, Entry[str] | None]] = deque()
        self.answers: list[tuple[Key, Entry[str]]] = []
        self.snapshot: tuple[int, dict[Key, Entry[str]]] | None = None
        self.store = Watched().store
        self.told: dict[Key, State] = {}

    def tell(self, key: Key, version: int, state: Entry[str] | None) -> None:
        """Note what the store is about to hear."""
        self.told[key] = max(self.told.get(key, (0, None)), (version, state), key=lambda known: known[0])

    @rule(key=KEYS)
    def write(self, key: Key) -> None:
        """Somebody creates or changes an object; the answer to him may come at any time."""
        self.version += 1
        known = self.server.get(key)
        self.server[key] = Entry(known.uid if known else f"u{self.version}", self.version, "")
        self.events.append((self.version, key, self.server[key]))
        self.answers.append((key, self.server[key]))

    @precondition(lambda self: self.server)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Somebody deletes an object."""
        self.version += 1
        key = data.draw(st.sampled_from(sorted(self.server)))
        del self.server[key]
        self.events.append((self.version, key, None))

    @precondition(lambda self: self.events)
    @rule(lost=st.booleans())
    def event(self, lost: bool) -> None:
        """The watch tells of the next change, or does not."""
        version, key, state = self.events.popleft()
        if lost:
            return
        self.tell(key, version, state)
        if state is None:
            self.store.remove(key, version)
        else:
            self.store.upsert(key, state)

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """The answer to an earlier write comes."""
        key, state = data.draw(st.sampled_from(self.answers))
        self.tell(key, state.version, state)
        self.store.upsert(key, state)

    @precondition(lambda self: self.snapshot is None)
    @rule()
    def begin_list(self) -> None:
        """The server takes the snapshot for a list."""
        self.snapshot = self.version, dict(self.server)

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def end_list(self) -> None:
        """The list comes."""
        assert self.snapshot is not None
        version, listed = self.snapshot
        self.snapshot = None
        for key in {key for key, _ in self.answers}:
            self.tell(key, version, listed.get(key))
        self.store.replace(listed, version)

    @invariant()
    def the_newest_holds(self) -> None:
        """The store holds exactly what the newest news of each object say."""
        expected = {key: state for key, (_, state) in self.told.items() if state is not None}
        assert dict(self.store.items()) == expected


def test_the_newest_that_was_told_of_an_object_is_what_is_known() -> None:
    """Whatever comes late, twice, or not at all, the store is never behind what it was told."""
    run_state_machine_as_test(AnyOrder, settings=settings(max_examples=100, stateful_step_count=30, deadline=None))
