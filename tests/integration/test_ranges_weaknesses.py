"""The weaknesses of OpenShift's allocator (spec/namespaces.md §5), each looked for in ours; numbers are those there.

The operator talks through a proxy that holds or drops what a test wants to happen in between.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.cluster import launcher
from tests.integration.proxy import Proxy
from tests.integration.ranges import DEFAULT, FREED, KEYS, LABELS, WIPE, Ranges, whole
from tests.integration.rest import Rest
from tests.integration.support import AuditLog, Kubectl, OperatorProcess, eventually

from scc_operator import names
from scc_operator.kube.paths import NAMESPACES, RANGES

QUARANTINE = 2.0
SETTINGS = {"SCC_OPERATOR_RANGES_QUARANTINE": str(QUARANTINE), "SCC_OPERATOR_RANGES_LEAK_GRACE": "1"}
LARGEST_RESIDENT_MB = 137
"""Of OpenShift's controller with 450 namespaces."""


@pytest.fixture(scope="module")
def proxy(cluster: launcher.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that lets everything through."""
    with Proxy(cluster.kubeconfig, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def started(start_operator: Callable[..., OperatorProcess], proxy: Proxy) -> OperatorProcess:
    """An operator behind the proxy, with a short quarantine."""
    return start_operator(kubeconfig=proxy.kubeconfig, **SETTINGS)


@pytest.fixture(autouse=True)
def operator(started: OperatorProcess, proxy: Proxy) -> Iterator[OperatorProcess]:
    """The same at the start of a test: it runs, and nothing is broken."""
    assert started.process is not None
    if started.process.poll() is not None:
        started.start()
    eventually(lambda: proxy.watching("namespaces"))
    yield started
    proxy.clear()


@pytest.fixture
def ranges(rest: Rest) -> Iterator[Ranges]:
    """The cluster's ranges; namespaces made through it are deleted without waiting."""
    found = Ranges(rest)
    yield found
    for name in found.made:
        found.delete(name)


def burst(kubectl: Kubectl, ranges: Ranges, count: int) -> list[str]:
    """Create many namespaces with one command."""
    made = [f"burst-{time.monotonic_ns()}-{number}" for number in range(count)]
    bodies = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in made]
    kubectl("create", "--validate=false", "-f", "-", input=yaml.safe_dump_all(bodies))
    ranges.made += made
    return made


def all_annotated(ranges: Ranges, made: list[str]) -> bool:
    """Whether all of these namespaces have three annotations."""
    found = ranges.all()
    return all(len(found[name]) == len(KEYS) for name in made)


def test_w1_a_deleted_namespace_stays_deleted(ranges: Ranges, proxy: Proxy, audit_log: AuditLog) -> None:
    """A namespace that vanishes between plan and patch is not created by the patch, and its block is released."""
    audit_log.forget()
    with proxy.rule(r"^PATCH /api/v1/namespaces/w1\b", hold=True) as rule:
        ranges.create("w1")
        eventually(lambda: rule.hits)
        ranges.delete("w1")
        rule.release()

    def answers() -> set[int]:
        patches = audit_log.writes("namespaces", agent=names.FIELD_MANAGER)
        return {entry["responseStatus"]["code"] for entry in patches if entry["objectRef"]["name"] == "w1"}

    eventually(answers)
    assert answers() == {404}
    assert ranges.rest.get(NAMESPACES, "w1") is None
    eventually(lambda: ranges.taken() == ranges.carried(), FREED)


def test_w2_a_stuck_namespace_takes_one_block(ranges: Ranges) -> None:
    """Groups that somebody set beforehand cost one block, once, and are kept."""
    before = len(ranges.taken())
    name = ranges.create(annotations={names.SUPPLEMENTAL_GROUPS: "5000/10"})
    assert ranges.of(name)[names.SUPPLEMENTAL_GROUPS] == "5000/10"
    eventually(lambda: ranges.events("GroupsMismatch", name=name))
    for _ in range(3):
        ranges.annotate(name, {"example.com/touched": str(time.monotonic())})
    ranges.of(ranges.create())
    assert len(ranges.taken()) == before + 2


def test_w3_a_block_set_by_hand_is_not_given_again(ranges: Ranges) -> None:
    """The next free block, set by hand, is taken at once: the next namespace gets another one."""
    first = ranges.index(ranges.create())
    by_hand = ranges.create(annotations={names.UID_RANGE: str(DEFAULT.block(first + 1))})
    assert ranges.of(by_hand) == whole(first + 1)
    assert ranges.index(ranges.create()) == first + 2


def test_w4_block_and_label_stay_a_pair(ranges: Ranges) -> None:
    """A uid-range that is removed comes back as it was, so its label never goes to a second namespace."""
    name = ranges.create()
    before = ranges.of(name)
    ranges.annotate(name, {names.UID_RANGE: None})
    assert ranges.of(name) == before
    other = ranges.of(ranges.create())
    assert other[names.MCS] != before[names.MCS]
    assert LABELS.block_of_label(other[names.MCS]) == ranges.index(ranges.made[-1])


def test_w5_a_live_namespace_keeps_its_range(ranges: Ranges) -> None:
    """Software that replaces all annotations of a namespace does not change its range, not even while we are away."""
    name = ranges.create()
    before = ranges.of(name)
    stored = ranges.rest.get(NAMESPACES, name)
    stored["metadata"]["annotations"] = {"example.com/only": "mine"}
    ranges.rest.replace(NAMESPACES, name, stored)
    assert ranges.of(name) == before


def test_w5_a_range_is_remembered_over_a_restart(ranges: Ranges, operator: OperatorProcess) -> None:
    """What was wiped while no operator ran is restored from the NamespaceRange."""
    name = ranges.create()
    before = ranges.of(name)
    eventually(lambda: ranges.state(before[names.UID_RANGE]) == "Bound")
    with operator.away():
        ranges.annotate(name, WIPE)
    assert ranges.of(name) == before


def test_w6_nothing_is_freed_on_stale_data(ranges: Ranges, proxy: Proxy) -> None:
    """A block that another allocator gave, unseen by our watch, is not freed, while a leaked one is."""
    index, leaked = 90_000, 90_001
    taken = ranges.ledger().mark([index, leaked])
    with proxy.dropping("ADDED|MODIFIED", "namespaces") as dropped:
        ranges.rest.patch(RANGES, names.RANGE_NAME, taken.encode())
        name = ranges.create(annotations=whole(index))
        eventually(lambda: any(name in each for each in dropped))
        eventually(lambda: leaked not in ranges.taken(), FREED)
        assert index in ranges.taken()
    assert ranges.present(name) == whole(index)


def test_w7_a_released_block_is_reused_last(ranges: Ranges) -> None:
    """The block of a deleted namespace, freed after its quarantine, does not go to the next tenant."""
    name = ranges.create()
    index = ranges.index(name)
    ranges.delete(name)
    eventually(lambda: index not in ranges.taken(), FREED)
    assert ranges.index(ranges.create()) > index


def test_a_namespace_that_changes_meanwhile_costs_one_block(ranges: Ranges, proxy: Proxy) -> None:
    """A namespace modified between plan and patch is annotated at the next try with the same block (26)."""
    eventually(lambda: ranges.taken() == ranges.carried(), FREED)
    before = ranges.taken()
    with proxy.rule(r"^PATCH /api/v1/namespaces/changes\b", hold=True) as rule:
        ranges.create("changes")
        eventually(lambda: rule.hits)
        (index,) = ranges.taken() - before
        ranges.annotate("changes", {"example.com/changed": "yes"})
        rule.release()
        assert ranges.of("changes") == whole(index)
    assert ranges.taken() == before | {index}


@pytest.mark.parametrize("key", [names.SUPPLEMENTAL_GROUPS, names.MCS])
def test_w13_partial_annotations_are_completed(ranges: Ranges, key: str) -> None:
    """Groups or label that are removed alone come back from the block."""
    name = ranges.create()
    before = ranges.of(name)
    ranges.annotate(name, {key: None})
    assert ranges.of(name) == before


@pytest.mark.parametrize(
    "variable,value,part",
    [
        ("MCS_LABELS_PER_PROJECT", "6", "two namespaces would share a label"),
        ("MCS_RANGE", "s0:/-1", "-1 categories per label"),
    ],
)
def test_w14_labels_that_cannot_be_distinct_are_refused(
    start_operator: Callable[..., OperatorProcess], variable: str, value: str, part: str
) -> None:
    """A configuration that would give two namespaces one label ends the operator at once, and it says why."""
    operator = start_operator(wait=False, **{f"SCC_OPERATOR_{variable}": value})
    assert operator.process is not None
    assert operator.process.wait(30) != 0
    assert part in operator.log.read_text()


def test_w15_a_deleted_ledger_is_back_at_once(ranges: Ranges) -> None:
    """The ledger is made anew from the namespaces as soon as it is gone, although no namespace changes."""
    ranges.of(ranges.create())
    ranges.rest.delete(RANGES, names.RANGE_NAME)
    eventually(lambda: ranges.rest.get(RANGES, names.RANGE_NAME))
    eventually(lambda: ranges.carried() <= ranges.taken())
    assert ranges.events("LedgerRebuilt", names.RANGE_KIND)


@pytest.mark.parametrize("data", ["AQ", "_w==", "not base64!"])
def test_w16_an_undecodable_ledger_is_mended(ranges: Ranges, operator: OperatorProcess, data: str) -> None:
    """Data that cannot be decoded is replaced by the truth, in the same process, and said in an Event."""
    ranges.of(ranges.create())
    assert operator.process is not None
    pid = operator.process.pid
    ranges.rest.patch(RANGES, names.RANGE_NAME, {"data": data})

    def mended() -> bool:
        stored = ranges.rest.get(RANGES, names.RANGE_NAME)
        return stored["data"] != data and ranges.carried() <= ranges.taken()

    eventually(mended)
    assert operator.process.poll() is None
    assert operator.process.pid == pid
    eventually(lambda: any("base64" in event["message"] for event in ranges.events("LedgerRebuilt", names.RANGE_KIND)))


def test_w17_blocks_come_back_without_a_restart(ranges: Ranges) -> None:
    """A deleted namespace's block is free when its quarantine is over, in seconds and not in hours."""
    name = ranges.create()
    index, block = ranges.index(name), ranges.of(name)[names.UID_RANGE]
    eventually(lambda: ranges.state(block) == "Bound")
    ranges.delete(name)
    eventually(lambda: ranges.state(block) == "Released")
    assert index in ranges.taken()
    eventually(lambda: index not in ranges.taken(), FREED)
    eventually(lambda: not ranges.record(block))


def test_w23_a_crash_between_two_writes_leaks_nothing(ranges: Ranges, proxy: Proxy, operator: OperatorProcess) -> None:
    """Killed between ledger and namespace: the next start gives the namespace the very block that was taken for it."""
    eventually(lambda: ranges.taken() == ranges.carried(), FREED)
    before = ranges.taken()
    with proxy.rule(r"^PATCH /api/v1/namespaces/w23\b", hold=True, times=None) as rule:
        ranges.create("w23")
        eventually(lambda: rule.hits)
        (index,) = ranges.taken() - before
        operator.kill()
    operator.start()
    assert ranges.of("w23") == whole(index)
    assert ranges.taken() == before | {index}


def test_w24_a_successor_works_within_seconds(
    ranges: Ranges, operator: OperatorProcess, start_operator: Callable[..., OperatorProcess]
) -> None:
    """After a leader died without a word, a namespace waits for the length of a Lease, not for minutes."""
    lease = {
        "SCC_OPERATOR_LEASE": "on",
        "SCC_OPERATOR_NAMESPACE": "default",
        "SCC_OPERATOR_LEASE_NAME": "w24",
        "SCC_OPERATOR_LEASE_DURATION": "3",
    }
    with operator.away():
        leader = start_operator(**lease)
        successor = start_operator(wait=False, **lease)
        leader.kill()
        began = time.monotonic()
        ranges.of(ranges.create(), 30)
        assert time.monotonic() - began < 20
        successor.kill()


def test_w28_a_burst_is_annotated_before_admission_gives_up(ranges: Ranges, kubectl: Kubectl) -> None:
    """Eighty namespaces at once are annotated in less than the ten seconds that SCC admission waits."""
    began = time.monotonic()
    made = burst(kubectl, ranges, 80)
    created = time.monotonic()
    eventually(lambda: all_annotated(ranges, made), 10)
    assert time.monotonic() - created < 10
    assert time.monotonic() - began < 60
    ranges.assert_disjoint()


def test_w29_one_patch_for_each_namespace(ranges: Ranges, kubectl: Kubectl, audit_log: AuditLog) -> None:
    """A burst costs each namespace one patch and one record, and no read at all."""
    eventually(lambda: ranges.taken() == ranges.carried(), FREED)
    audit_log.forget()
    made = burst(kubectl, ranges, 30)
    eventually(lambda: all_annotated(ranges, made))
    eventually(lambda: all(ranges.state(ranges.present(name)[names.UID_RANGE]) == "Bound" for name in made))
    ours = [entry for entry in audit_log.entries() if entry.get("userAgent", "").startswith(names.FIELD_MANAGER)]
    named = [entry for entry in ours if (entry.get("objectRef") or {}).get("name") in made]
    assert {(entry["verb"], entry["objectRef"]["resource"]) for entry in named} == {("patch", "namespaces")}
    assert len(named) == len(made)
    records = audit_log.writes("namespaceranges", agent=names.FIELD_MANAGER)
    assert len([entry for entry in records if entry["verb"] == "create"]) == len(made)


def test_w30_one_ledger_write_reserves_for_many(
    ranges: Ranges, operator: OperatorProcess, kubectl: Kubectl, audit_log: AuditLog
) -> None:
    """Namespaces that wait together are reserved for by one write in twenty or less."""
    with operator.away():
        made = burst(kubectl, ranges, 60)
        audit_log.forget()
    eventually(lambda: all_annotated(ranges, made))
    writes = audit_log.writes("rangeallocations", agent=names.FIELD_MANAGER)
    assert 1 <= len(writes) <= len(made) / 20


def test_w32_memory(operator: OperatorProcess) -> None:
    """The whole operator, audit included, is smaller than OpenShift's allocator with PSA alone."""
    assert operator.process is not None
    status = Path(f"/proc/{operator.process.pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    assert int(resident.split()[1]) / 1024 < LARGEST_RESIDENT_MB


def test_w33_what_is_wrong_is_measured(ranges: Ranges, operator: OperatorProcess) -> None:
    """Free, bound, released and leaked blocks, duplicates, foreign blocks and the time to annotate are metrics."""
    seconds = operator.metric("scc_operator_namespace_ranges_seconds_count")
    first = ranges.create()
    block = ranges.of(first)[names.UID_RANGE]
    ranges.create(annotations={names.UID_RANGE: block})
    ranges.create(annotations={names.UID_RANGE: "70000/100"})
    ranges.create(annotations={names.UID_RANGE: "garbage"})
    for reason, count in (("DuplicateBlock", 2), ("ForeignBlock", 1), ("MalformedBlock", 1)):
        eventually(
            lambda reason=reason, count=count: (
                operator.metric("scc_operator_problems", kind="Namespace", reason=reason) >= count
            )
        )
    assert operator.metric("scc_operator_namespace_ranges_seconds_count") > seconds

    def blocks(state: str) -> float:
        return operator.metric("scc_operator_uid_blocks", state=state)

    eventually(lambda: blocks("free") == DEFAULT.count - len(ranges.taken()))
    assert blocks("bound") >= 1
    eventually(lambda: ranges.state(block) == "Conflict")
    ready = ranges.record(block)["status"]["conditions"][0]
    assert (ready["type"], ready["status"]) == ("Ready", "False")
