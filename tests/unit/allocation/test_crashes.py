"""Allocators that share one ledger, see the cluster late, and die between any two writes.

The API server is a dictionary with versions; everything that decides is the real thing. What an allocator does between
two writes is one step here, so a test run may stop it, kill it, or let another one go first at every one of them.
"""

import itertools
from collections.abc import Iterator
from copy import deepcopy
from enum import Enum
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scc_operator.allocation.census import NamespaceState
from scc_operator.allocation.holdings import Holding, State, claims, follow, last_known
from scc_operator.allocation.leaks import Suspects
from scc_operator.allocation.ledger import Ledger, rebuild
from scc_operator.allocation.mcs import label_plan, parse_mcs_range
from scc_operator.allocation.plan import NamespacePatch, Plan, plan
from scc_operator.allocation.reservations import Notes, Reservation, still_open
from scc_operator.allocation.uid_blocks import Block, parse_block, parse_range
from scc_operator.names import MCS, SUPPLEMENTAL_GROUPS, UID_RANGE

RANGE = parse_range("0-399/10")
LABELS = label_plan(parse_mcs_range("s0:/2"), RANGE)
QUARANTINE = 100.0
GRACE = 10.0
NAMES = st.sampled_from("abcd")
ALLOCATORS = st.sampled_from([0, 1])


class Namespace(msgspec.Struct):
    """A stored namespace."""

    state: NamespaceState
    version: int


class Cluster:
    """What the API server holds."""

    def __init__(self) -> None:
        self.ledger: tuple[int, Ledger, Notes] | None = None
        self.namespaces: dict[str, Namespace] = {}
        self.holdings: dict[Block, Holding] = {}
        self.version = 0

    def next(self) -> int:
        """A new resourceVersion."""
        self.version += 1
        return self.version

    def put_ledger(self, version: int | None, ledger: Ledger, notes: Notes) -> bool:
        """Replace the ledger of this version, or create it where there was none; False for a conflict."""
        if version != (self.ledger[0] if self.ledger else None):
            return False
        self.ledger = (self.next(), ledger, notes)
        return True

    def patch(self, patch: NamespacePatch, version: int) -> bool:
        """Merge annotations into the namespace with this uid and version."""
        found = self.namespaces.get(patch.name)
        if found is None or found.state.uid != patch.uid or found.version != version:
            return False
        self.set(patch.name, patch.annotations)
        return True

    def set(self, name: str, annotations: dict[str, str | None]) -> None:
        """Change annotations."""
        fields = {UID_RANGE: "uid_range", SUPPLEMENTAL_GROUPS: "groups", MCS: "mcs"}
        found = self.namespaces[name]
        found.state = msgspec.structs.replace(found.state, **{fields[key]: text for key, text in annotations.items()})
        found.version = self.next()


class Step(Enum):
    """What an allocator does between two moments at which it may be stopped."""

    OBSERVE = "the watch catches up"
    THINK = "a plan is made on what was seen last, however old that is"
    WRITE = "the ledger of the plan is written"
    ANNOTATE = "one namespace is patched"
    RECORD = "records are brought up to date with what was seen"
    READ = "for a repair the ledger is read, then namespaces and records are listed"
    FREE = "what may be freed is freed"


class Allocator:
    """What one allocator has in memory."""

    def __init__(self) -> None:
        self.steps: Iterator[Step] = itertools.cycle(Step)
        self.listed = False
        self.view: dict[str, Namespace] = {}
        self.holdings: dict[Block, Holding] = {}
        self.planned: tuple[int | None, Plan, Notes] | None = None
        self.patches: list[tuple[NamespacePatch, int]] = []
        self.freeing: tuple[int, Ledger, Notes, list[Block]] | None = None
        self.suspects = Suspects()


def block_of(state: NamespaceState) -> Block | None:
    """The block that a namespace carries."""
    return parse_block(state.uid_range) if state.uid_range else None


class Allocation(RuleBasedStateMachine):
    """Steps in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        self.allocators = [Allocator(), Allocator()]
        self.now = 1000.0
        self.first_block: dict[str, str] = {}
        self.births = 0
        self.foreign: tuple[float, int, str, int] | None = None
        self._do = {
            Step.OBSERVE: self._observe,
            Step.THINK: self._think,
            Step.WRITE: self._write_ledger,
            Step.ANNOTATE: self._annotate,
            Step.RECORD: self._record,
            Step.READ: self._begin_repair,
            Step.FREE: self._finish_repair,
        }

    # --- people ----------------------------------------------------------------------------------------------

    @rule(name=NAMES)
    def create(self, name: str) -> None:
        """Somebody creates a namespace; a former one of that name has nothing to do with it."""
        if name not in self.cluster.namespaces:
            self.births += 1
            state = NamespaceState(name, f"{name}{self.births}")
            self.cluster.namespaces[name] = Namespace(state, self.cluster.next())

    @rule(order=st.permutations("abcd"), turns=st.lists(ALLOCATORS, min_size=12, max_size=40))
    def storm(self, order: list[str], turns: list[int]) -> None:
        """Many namespaces come one upon the other while both work."""
        share = len(turns) // len(order)
        for number, name in enumerate(order):
            self.create(name)
            self.race(turns[number * share :][:share], late=False)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        """A namespace is deleted."""
        self.cluster.namespaces.pop(name, None)

    @rule(name=NAMES)
    def wipe(self, name: str) -> None:
        """Software that knows no better takes all annotations of a namespace away."""
        found = self.cluster.namespaces.get(name)
        if found is not None:
            if not self._known(found.state.uid):  # OpenShift's controller gave it, and none of ours has seen it
                self.first_block.pop(found.state.uid, None)
            self.cluster.set(name, {UID_RANGE: None, SUPPLEMENTAL_GROUPS: None, MCS: None})

    @rule(seconds=st.sampled_from([1.0, GRACE, QUARANTINE]))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.now += seconds

    @rule()
    def lose_ledger(self) -> None:
        """Somebody deletes the ledger; what was sent arrives, and what is recorded stays, before it is rebuilt."""
        for allocator in self.allocators:
            while allocator.patches:
                self._annotate(allocator)
            allocator.planned = None
            self._observe(allocator)
            self._record(allocator)
        self.foreign = None
        self.cluster.ledger = None
        for found in self.cluster.namespaces.values():  # wiped before it was recorded, and now the last trace is lost
            if found.state.uid_range is None and not self._known(found.state.uid):
                self.first_block.pop(found.state.uid, None)

    # --- an allocator that leaves no reservations ------------------------------------------------------------

    @precondition(lambda self: self.foreign is None and self.cluster.ledger is not None)
    @rule(name=NAMES)
    def foreign_takes(self, name: str) -> None:
        """OpenShift's controller takes a block for a namespace."""
        found = self.cluster.namespaces.get(name)
        assert self.cluster.ledger is not None
        version, ledger, notes = self.cluster.ledger
        if found is not None and found.state.uid_range is None and ledger.free and not self._known(found.state.uid):
            ledger, (index,) = ledger.reserve(1)
            self.cluster.put_ledger(version, ledger, notes)
            self.foreign = (self.now, index, name, found.version)

    @precondition(lambda self: self.foreign is not None)
    @rule(dies=st.booleans())
    def foreign_annotates(self, dies: bool) -> None:
        """It annotates soon, or has died and never does."""
        assert self.foreign is not None
        (began, index, name, version), self.foreign = self.foreign, None
        found = self.cluster.namespaces.get(name)
        if not dies and self.now - began < GRACE and found is not None and found.version == version:
            self.cluster.set(name, {UID_RANGE: str(RANGE.block(index))})

    def _known(self, uid: str) -> bool:
        reserved = self.cluster.ledger[2].reserved if self.cluster.ledger else {}
        return uid in reserved or any(holding.uid == uid for holding in self.cluster.holdings.values())

    # --- our allocators --------------------------------------------------------------------------------------

    @rule(which=ALLOCATORS, steps=st.integers(1, 9), late=st.booleans())
    def work(self, which: int, steps: int, late: bool) -> None:
        """An allocator goes on with what it was at; one that is late has not seen what changed since it last looked."""
        for _ in range(steps):
            self._step(self.allocators[which], late=late)

    @rule(turns=st.lists(ALLOCATORS, min_size=4, max_size=24), late=st.booleans())
    def race(self, turns: list[int], late: bool) -> None:
        """Both work at the same time."""
        for which in turns:
            self._step(self.allocators[which], late=late)

    @rule(which=ALLOCATORS)
    def kill(self, which: int) -> None:
        """An allocator loses all that it knew, wherever it was."""
        self.allocators[which] = Allocator()

    # --- how they work ---------------------------------------------------------------------------------------

    def _step(self, allocator: Allocator, *, late: bool) -> None:
        step = next(allocator.steps)
        if step is Step.ANNOTATE and allocator.patches:
            allocator.steps = itertools.chain([Step.ANNOTATE], allocator.steps)
        # One that has just started lists everything before it does anything.
        if not (late and allocator.listed and step is Step.OBSERVE):
            self._do[step](allocator)

    def _observe(self, allocator: Allocator) -> None:
        allocator.listed = True
        allocator.view = deepcopy(self.cluster.namespaces)
        allocator.holdings = dict(self.cluster.holdings)

    def _is_recorded(self, allocator: Allocator, block: Block, uid: str) -> bool:
        return block in allocator.holdings and allocator.holdings[block].uid == uid

    def _plan(self, allocator: Allocator, ledger: Ledger, notes: Notes, holdings: list[Holding]) -> tuple[Plan, Any]:
        reserved = still_open(notes, RANGE, lambda block, uid: self._is_recorded(allocator, block, uid))
        states = [found.state for found in allocator.view.values()]
        indices = {uid: reservation.index for uid, reservation in reserved.items()}
        kept = claims(holdings, self.now, QUARANTINE)
        return plan(ledger, LABELS, states, indices, kept, notes.next_block), reserved

    def _think(self, allocator: Allocator) -> None:
        if self.cluster.ledger is None:
            self._observe(allocator)
            kept = claims(allocator.holdings.values(), self.now, QUARANTINE).kept
            carried = [block_of(found.state) for found in allocator.view.values()]
            blocks = [*(block for block in carried if block), *(holding.block for holding in kept)]
            self.cluster.put_ledger(None, rebuild(RANGE, blocks), Notes())
        assert self.cluster.ledger is not None
        version, ledger, notes = self.cluster.ledger
        found, reserved = self._plan(allocator, ledger, notes, list(allocator.holdings.values()))
        given = {
            patch.uid: Reservation(patch.index, patch.name)
            for patch in found.patches
            if patch.index is not None
            and (patch.uid not in reserved or reserved[patch.uid].index != patch.index)
            and not self._is_recorded(allocator, RANGE.block(patch.index), patch.uid)
        }
        write = bool(given) or found.ledger != ledger
        allocator.planned = (version if write else None, found, Notes({**reserved, **given}, found.next_block))

    def _write_ledger(self, allocator: Allocator) -> None:
        if allocator.planned is None:
            return
        (version, found, notes), allocator.planned = allocator.planned, None
        if version is None or self.cluster.put_ledger(version, found.ledger, notes):
            allocator.patches = [(patch, allocator.view[patch.name].version) for patch in found.patches]

    def _annotate(self, allocator: Allocator) -> None:
        if allocator.patches:
            self.cluster.patch(*allocator.patches.pop(0))

    def _record(self, allocator: Allocator) -> None:
        states = {name: found.state for name, found in sorted(allocator.view.items())}
        notes = self.cluster.ledger[2] if self.cluster.ledger else Notes()
        blocks = {block for state in states.values() if (block := block_of(state))} | set(self.cluster.holdings)
        left = {
            RANGE.block(reservation.index): Holding(
                RANGE.block(reservation.index), state=State.BOUND, namespace=reservation.namespace, uid=uid
            )
            for uid, reservation in notes.reserved.items()
            if reservation.namespace not in states or states[reservation.namespace].uid != uid
        }
        for block in sorted(blocks | set(left)):
            stored = self.cluster.holdings.get(block)
            if stored != allocator.holdings.get(block):
                continue  # its version is another one than was seen
            carriers = [state for state in states.values() if block_of(state) == block]
            wanted = follow(block, carriers, last_known(stored, left.get(block)), states.get, RANGE, self.now)
            if wanted is not None and wanted.released_at is not None and wanted != stored and self._still_there(wanted):
                continue
            if wanted is not None:
                self.cluster.holdings[block] = allocator.holdings[block] = wanted

    def _still_there(self, holding: Holding) -> bool:
        """Whether the namespace, asked for directly, has the block or is about to get it back."""
        found = self.cluster.namespaces.get(holding.namespace)
        return found is not None and found.state.uid == holding.uid and block_of(found.state) in {None, holding.block}

    def _begin_repair(self, allocator: Allocator) -> None:
        if self.cluster.ledger is None:
            return
        version, ledger, notes = self.cluster.ledger
        self._observe(allocator)
        holdings = list(allocator.holdings.values())
        over = [holding for holding in holdings if holding.over(self.now, QUARANTINE)]
        found, _ = self._plan(allocator, ledger, notes, [holding for holding in holdings if holding not in over])
        allocator.suspects, confirmed = allocator.suspects.look(found.unclaimed, self.now, GRACE)
        ended = sum(1 << index for holding in over if (index := RANGE.index_of(holding.block)) is not None)
        freed = found.unclaimed & (ended | confirmed)
        if freed:
            allocator.freeing = (version, ledger.without(freed), notes, [holding.block for holding in over])

    def _finish_repair(self, allocator: Allocator) -> None:
        if allocator.freeing is None:
            return
        (version, ledger, notes, over), allocator.freeing = allocator.freeing, None
        if self.cluster.put_ledger(version, ledger, notes):
            for block in over:
                if self.cluster.holdings.get(block) == allocator.holdings.get(block):
                    self.cluster.holdings.pop(block, None)
                    allocator.holdings.pop(block, None)

    # --- what must always be so ------------------------------------------------------------------------------

    @invariant()
    def no_block_is_shared(self) -> None:
        """No two namespaces carry one block, or one label."""
        states = [found.state for found in self.cluster.namespaces.values()]
        carried = [state.uid_range for state in states if state.uid_range]
        assert len(set(carried)) == len(carried)
        labels = [state.mcs for state in states if state.mcs]
        assert len(set(labels)) == len(labels)

    @invariant()
    def a_namespace_keeps_its_block(self) -> None:
        """Whatever is wiped and whoever dies: what a namespace gets is what it had first."""
        for found in self.cluster.namespaces.values():
            if found.state.uid_range:
                first = self.first_block.setdefault(found.state.uid, found.state.uid_range)
                assert found.state.uid_range == first

    def teardown(self) -> None:
        """Once it is quiet, every namespace has its ranges, and the ledger holds what is carried or quarantined."""
        self.foreign = None
        survivor = self.allocators[0]
        for _ in range(4):
            self.now += GRACE
            self._observe(survivor)
            survivor.patches = []
            self._think(survivor)
            self._write_ledger(survivor)
            while survivor.patches:
                self._annotate(survivor)
            self._observe(survivor)
            self._record(survivor)
            self._begin_repair(survivor)
            self._finish_repair(survivor)
        self.no_block_is_shared()
        self.a_namespace_keeps_its_block()
        states = [found.state for found in self.cluster.namespaces.values()]
        assert self.cluster.ledger is not None
        complete = all(state.uid_range and state.groups and state.mcs for state in states)
        assert complete or self.cluster.ledger[1].free == 0
        carried = {RANGE.index_of(parse_block(state.uid_range)) for state in states if state.uid_range}
        quarantined = {
            RANGE.index_of(holding.block)
            for holding in self.cluster.holdings.values()
            if holding.state is State.RELEASED and not holding.over(self.now, QUARANTINE)
        }
        taken = {index for index in range(RANGE.count) if self.cluster.ledger[1].is_taken(index)}
        assert taken == carried | quarantined


Allocation.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestAllocation = Allocation.TestCase
