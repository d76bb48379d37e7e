"""Who gets which block again, who never does, and what an administrator sees and may decide.

Numbers are the corner cases of spec/namespaces.md §6.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.integration.ranges import DEFAULT, FREED, KEYS, WIPE, Ranges, whole
from tests.integration.rest import Rest
from tests.integration.support import AuditLog, Kubectl, OperatorProcess, eventually

from scc_operator import names
from scc_operator.allocation.ledger import Ledger
from scc_operator.allocation.uid_blocks import parse_range
from scc_operator.kube.paths import HOLDINGS, PERSISTENT_VOLUMES, RANGES

QUARANTINE = 4.0
SETTINGS = {"SCC_OPERATOR_RANGES_QUARANTINE": str(QUARANTINE), "SCC_OPERATOR_RANGES_LEAK_GRACE": "1"}
SMALL = parse_range("2000000000-2000000119/10")


@pytest.fixture(scope="module")
def operator(start_operator: Callable[..., OperatorProcess]) -> OperatorProcess:
    """An operator with a short quarantine."""
    return start_operator(**SETTINGS)


@pytest.fixture
def ranges(rest: Rest, operator: OperatorProcess) -> Iterator[Ranges]:
    """The cluster's ranges; namespaces made through it are deleted without waiting."""
    assert operator.process is not None
    assert operator.process.poll() is None
    found = Ranges(rest)
    yield found
    for name in found.made:
        found.delete(name)


def bound(ranges: Ranges, name: str) -> str:
    """The block of a namespace, once its record is written."""
    block = ranges.of(name)[names.UID_RANGE]
    eventually(lambda: ranges.state(block) == "Bound")
    return block


def pin(block: str, namespace: str) -> dict[str, Any]:
    """What an administrator applies."""
    return {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": names.HOLDING_KIND,
        "metadata": {"name": block.replace("/", "-")},
        "spec": {"uidRange": block, "pinnedTo": namespace},
    }


# --- the same block again ----------------------------------------------------------------------------------------


def test_a_namespace_created_anew_gets_another_block(ranges: Ranges) -> None:
    """A new namespace of an old name never inherits by its name (24)."""
    name = ranges.create()
    block = bound(ranges, name)
    ranges.delete(name)
    eventually(lambda: ranges.state(block) == "Released")
    assert ranges.record(block)["status"]["namespace"] == name
    ranges.create(name)
    assert ranges.of(name)[names.UID_RANGE] != block


def test_a_restored_backup_has_its_block_again(ranges: Ranges) -> None:
    """A namespace that arrives with its former annotations has the former block, out of quarantine, at once."""
    name = ranges.create()
    before = ranges.of(name)
    bound(ranges, name)
    ranges.delete(name)
    eventually(lambda: ranges.state(before[names.UID_RANGE]) == "Released")
    ranges.create(name, before)
    eventually(lambda: ranges.state(before[names.UID_RANGE]) == "Bound")
    assert ranges.of(name) == before
    assert not ranges.events("ReleasedBlockTaken", name=name)


def test_a_released_block_in_other_hands_is_told(ranges: Ranges) -> None:
    """A namespace of another name that arrives with a quarantined block keeps it, and an Event says whose it was."""
    name = ranges.create()
    before = ranges.of(name)
    bound(ranges, name)
    ranges.delete(name)
    eventually(lambda: ranges.state(before[names.UID_RANGE]) == "Released")
    other = ranges.create(annotations=before)
    (event,) = eventually(lambda: ranges.events("ReleasedBlockTaken", name=other))
    assert name in event["message"]
    assert ranges.of(other) == before


def test_a_wiped_foreign_namespace_is_restored(ranges: Ranges) -> None:
    """Block, groups and label come back as they were, also where they are not of the range (18)."""
    given = {names.UID_RANGE: "70000/100", names.SUPPLEMENTAL_GROUPS: "70000/100,5/5", names.MCS: "s0:c9,c8,c7"}
    name = ranges.create(annotations=given)
    eventually(lambda: ranges.record("70000/100").get("status", {}).get("mcs") == "s0:c9,c8,c7")
    ranges.annotate(name, WIPE)
    assert ranges.of(name) == given


def test_a_block_changed_by_hand_moves_the_reservation(ranges: Ranges) -> None:
    """The new block is taken at once, and the former one is quarantined, as files of its user IDs remain (21)."""
    name = ranges.create()
    block = bound(ranges, name)
    index = ranges.index(name)
    ranges.annotate(name, whole(index + 500))
    eventually(lambda: ranges.state(str(DEFAULT.block(index + 500))) == "Bound")
    eventually(lambda: ranges.state(block) == "Released")
    assert {index, index + 500} <= ranges.taken()
    eventually(lambda: index not in ranges.taken(), FREED)


# --- records -----------------------------------------------------------------------------------------------------


def test_records_are_rebuilt(ranges: Ranges) -> None:
    """The record of a live namespace that somebody deletes is written anew."""
    block = bound(ranges, ranges.create())
    before = ranges.record(block)["metadata"]["uid"]
    ranges.rest.delete(HOLDINGS, block.replace("/", "-"))
    eventually(lambda: ranges.state(block) == "Bound")
    assert ranges.record(block)["metadata"]["uid"] != before


def test_a_record_deleted_by_hand_ends_the_quarantine(
    ranges: Ranges, operator: OperatorProcess, start_operator: Callable[..., OperatorProcess]
) -> None:
    """A Released block is let go before its time by deleting its record."""
    settings = {**SETTINGS, "SCC_OPERATOR_RANGES_QUARANTINE": "3600"}
    with operator.replaced(start_operator, **settings):
        name = ranges.create()
        block = bound(ranges, name)
        index = ranges.index(name)
        ranges.delete(name)
        eventually(lambda: ranges.state(block) == "Released")
        ranges.rest.delete(HOLDINGS, block.replace("/", "-"))
        eventually(lambda: index not in ranges.taken(), FREED)


def test_a_block_waits_for_volumes(ranges: Ranges) -> None:
    """A block is not freed while a PersistentVolume exists that was bound in its namespace."""
    name = ranges.create()
    block = bound(ranges, name)
    index = ranges.index(name)
    volume = f"pv-{name}"
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/data"},
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": name, "name": "data"},
    }
    ranges.rest.create(PERSISTENT_VOLUMES, {"metadata": {"name": volume}, "spec": spec})
    try:
        ranges.delete(name)
        eventually(lambda: ranges.record(block)["status"].get("persistentVolumes") == [volume], 20)
        # An administrator makes the volume available again: it is still the one that was bound there.
        ranges.rest.patch(PERSISTENT_VOLUMES, volume, {"spec": {"claimRef": None}})
        released = ranges.record(block)["status"]["releasedAt"]
        probe = ranges.create()
        second = bound(ranges, probe)
        ranges.delete(probe)
        eventually(lambda: ranges.record(second) == {}, FREED)  # one that has no volume is freed meanwhile
        assert ranges.state(block) == "Released"
        assert ranges.record(block)["status"]["releasedAt"] == released
        assert index in ranges.taken()
    finally:
        ranges.rest.delete(PERSISTENT_VOLUMES, volume)
    eventually(lambda: index not in ranges.taken(), FREED)


def test_what_kubectl_shows(ranges: Ranges, kubectl: Kubectl) -> None:
    """`kubectl get` tells block, state, namespace and pin."""
    name = ranges.create()
    block = bound(ranges, name)
    header, line = kubectl("get", "nsr", block.replace("/", "-")).stdout.splitlines()
    assert header.split() == ["NAME", "BLOCK", "STATE", "NAMESPACE", "PINNED", "TO", "SINCE"]
    assert line.split()[1:4] == [block, "Bound", name]


# --- pins --------------------------------------------------------------------------------------------------------


def test_a_pin_gives_a_recreated_namespace_its_block(ranges: Ranges, kubectl: Kubectl) -> None:
    """A block pinned with `kubectl apply` waits for its namespace, again and again."""
    name = ranges.create()
    block = bound(ranges, name)
    ranges.delete(name)
    eventually(lambda: ranges.state(block) == "Released")
    # The record may just be deleted, as its quarantine is over: then the pin creates another one.
    eventually(lambda: kubectl.apply(pin(block, name)) is None)
    eventually(lambda: ranges.state(block) == "Reserved")
    ranges.create(name)
    assert ranges.of(name)[names.UID_RANGE] == block
    eventually(lambda: ranges.state(block) == "Bound")
    ranges.delete(name)
    eventually(lambda: ranges.state(block) == "Reserved")
    ranges.rest.delete(HOLDINGS, block.replace("/", "-"))


def test_a_pin_is_kept_from_others(ranges: Ranges, kubectl: Kubectl) -> None:
    """A pinned block is taken in the ledger and goes to nobody else; unpinned it is free again."""
    index = ranges.index(ranges.create()) + 1
    block = str(DEFAULT.block(index))
    kubectl.apply(pin(block, "somebody"))
    eventually(lambda: index in ranges.taken())
    assert ranges.index(ranges.create()) == index + 1
    kubectl.patch("nsr", block.replace("/", "-"), {"spec": {"pinnedTo": None}})
    eventually(lambda: ranges.record(block) == {}, FREED)
    eventually(lambda: index not in ranges.taken(), FREED)


def test_a_pin_moves_a_namespace(ranges: Ranges, kubectl: Kubectl) -> None:
    """A pin that contradicts what a namespace has is a Conflict that says how to move it, and that works."""
    name = ranges.create()
    former = bound(ranges, name)
    block = str(DEFAULT.block(ranges.index(name) + 700))
    kubectl.apply(pin(block, name))
    eventually(lambda: ranges.state(block) == "Conflict")
    assert "remove its three annotations" in ranges.record(block)["status"]["conditions"][0]["message"]
    ranges.annotate(name, WIPE)
    eventually(lambda: ranges.present(name).get(names.UID_RANGE) == block)
    eventually(lambda: (ranges.state(block), ranges.state(former)) == ("Bound", "Released"))
    ranges.rest.delete(HOLDINGS, block.replace("/", "-"))


@pytest.mark.parametrize(
    "body,part",
    [
        ({"metadata": {"name": "mine"}, "spec": {"uidRange": "1000000000/10000"}}, "must be 1000000000-10000"),
        ({"metadata": {"name": "5-x"}, "spec": {"uidRange": "5/x"}}, "spec.uidRange"),
        ({"metadata": {"name": "5-5"}, "spec": {"uidRange": "5/5", "pinnedTo": "A b"}}, "not the name of a namespace"),
    ],
)
def test_bad_pins_are_refused(ranges: Ranges, kubectl: Kubectl, body: dict[str, Any], part: str) -> None:
    """The API server refuses what cannot be a pin and says why."""
    with pytest.raises(AssertionError, match=part):
        kubectl.apply({**pin("5/5", "a"), **body})
    assert ranges.state("5/5") == ""


# --- a range that runs full --------------------------------------------------------------------------------------


def test_a_full_range(
    ranges: Ranges, operator: OperatorProcess, start_operator: Callable[..., OperatorProcess]
) -> None:
    """Foreseen at nine of ten, told when it happens, ended by a block that becomes free, never by a quarantined one.

    Corner cases 39 and 40; and 36: the changed range is adopted and the ledger rebuilt for it.
    """
    settings = {
        **SETTINGS,
        "SCC_OPERATOR_UID_RANGE": str(SMALL),
        "SCC_OPERATOR_MCS_RANGE": "s1:/2",  # the labels of other blocks are in use
        "SCC_OPERATOR_RANGES_QUARANTINE": "6",
    }
    with operator.replaced(start_operator, **settings) as small:
        eventually(lambda: ranges.ledger().uid_range == SMALL)
        made = [ranges.create() for _ in range(10)]
        for name in made:
            ranges.of(name)
        assert not ranges.events("RangeNearlyFull", names.RANGE_KIND)
        made += [ranges.create() for _ in range(2)]
        for name in made:
            ranges.of(name)
        assert ranges.taken() == set(range(SMALL.count))
        eventually(lambda: ranges.events("RangeNearlyFull", names.RANGE_KIND))
        eventually(lambda: small.metric("scc_operator_uid_blocks", state="bound") == SMALL.count)
        assert small.metric("scc_operator_uid_blocks", state="free") == 0

        late = ranges.create()
        (event,) = eventually(lambda: ranges.events("RangeExhausted", name=late))
        assert "larger range" in event["message"]
        assert ranges.present(late) == {}
        gone = ranges.of(made[0])
        ranges.delete(made[0])
        eventually(lambda: ranges.state(gone[names.UID_RANGE]) == "Released")
        assert ranges.present(late) == {}
        assert ranges.of(late, 30)[names.UID_RANGE] == gone[names.UID_RANGE]
        eventually(lambda: small.metric("scc_operator_problems", kind="Namespace", reason="RangeExhausted") == 0)
    eventually(lambda: ranges.ledger().uid_range == DEFAULT)


# --- the ledger --------------------------------------------------------------------------------------------------


def test_a_ledger_that_is_missing_at_the_start(ranges: Ranges, operator: OperatorProcess) -> None:
    """It is created from what namespaces carry and what is quarantined, in canonical form (31)."""
    ranges.of(ranges.create())
    name = ranges.create()
    block = bound(ranges, name)
    index = ranges.index(name)
    with operator.away():
        ranges.rest.delete(RANGES, names.RANGE_NAME)
    eventually(lambda: ranges.rest.get(RANGES, names.RANGE_NAME))
    assert ranges.state(block) == "Bound"
    assert index in ranges.taken()
    eventually(lambda: ranges.carried() <= ranges.taken())
    stored = ranges.rest.get(RANGES, names.RANGE_NAME)
    assert {key: stored[key] for key in ("range", "data")} == ranges.ledger().encode()


def test_a_ledger_that_is_full_of_leaks(ranges: Ranges) -> None:
    """All bits set and held by nobody: they are freed, then namespaces get theirs (38)."""
    full = Ledger(DEFAULT).mark(range(DEFAULT.count))
    ranges.rest.patch(RANGES, names.RANGE_NAME, full.encode())
    name = ranges.create()
    assert ranges.of(name, 30)
    eventually(lambda: ranges.taken() >= ranges.carried())
    eventually(lambda: len(ranges.taken()) < DEFAULT.count / 2, 20)


def test_a_range_edited_while_running(ranges: Ranges) -> None:
    """A ledger of another range is rebuilt for the configured one at once (37)."""
    ranges.rest.patch(RANGES, names.RANGE_NAME, {"range": "10-29/10", "data": "AQ=="})
    eventually(lambda: ranges.ledger().uid_range == DEFAULT)
    eventually(lambda: ranges.carried() <= ranges.taken())


def test_bits_beyond_the_range_are_dropped(ranges: Ranges) -> None:
    """Bits above the number of blocks are never given, and repair drops them (41)."""
    ledger = ranges.ledger()
    beyond = Ledger(DEFAULT, ledger.bits | 1 << (DEFAULT.count + 5))
    ranges.rest.patch(RANGES, names.RANGE_NAME, beyond.encode())
    eventually(lambda: ranges.ledger().bits >> DEFAULT.count == 0, FREED)


def test_a_restart_with_nothing_to_do(ranges: Ranges, operator: OperatorProcess, audit_log: AuditLog) -> None:
    """A restart writes neither ledger nor namespaces nor records (4, 30)."""
    bound(ranges, ranges.create())
    eventually(lambda: ranges.taken() == ranges.carried(), FREED)
    version = ranges.rest.get(RANGES, names.RANGE_NAME)["metadata"]["resourceVersion"]
    with operator.away():
        audit_log.forget()
    eventually(lambda: operator.metric("scc_operator_uid_blocks", state="bound"))
    ranges.rest.get(RANGES, names.RANGE_NAME)
    for resource in ("rangeallocations", "namespaces", "namespaceranges"):
        assert audit_log.writes(resource, agent=names.FIELD_MANAGER) == []
    assert ranges.rest.get(RANGES, names.RANGE_NAME)["metadata"]["resourceVersion"] == version


def test_openshift_allocates_on_our_ledger(ranges: Ranges, operator: OperatorProcess) -> None:
    """Another allocator that keeps to §1.9 takes the lowest clear bit of our object, and we take over from it (44)."""
    with operator.away():
        stored = ranges.rest.get(RANGES, names.RANGE_NAME)
        free = next(index for index in range(DEFAULT.count) if index not in ranges.taken())
        stored |= ranges.ledger().mark([free]).encode()
        ranges.rest.replace(RANGES, names.RANGE_NAME, stored)
        name = ranges.create(annotations=whole(free))
        waiting = ranges.create()
    assert ranges.present(name) == whole(free)
    assert ranges.index(waiting) != free
    assert ranges.carried() <= ranges.taken()


def test_two_operators_without_a_lease(
    ranges: Ranges, start_operator: Callable[..., OperatorProcess], operator: OperatorProcess
) -> None:
    """Two that work at once give every namespace one block and no block twice, and leak none (28)."""
    second = start_operator(**SETTINGS)
    made = [ranges.create() for _ in range(40)]
    for name in made:
        ranges.of(name)
    ranges.assert_disjoint()
    second.kill()
    eventually(lambda: ranges.taken() == ranges.carried(), FREED)
    assert operator.process is not None
    assert all(len(ranges.present(name)) == len(KEYS) for name in made)
