"""What goes wrong between the operator and the API server, and inside the objects that it reads.

The operator talks through a proxy that breaks what passes (`proxy.py`); what is asserted is the state of the real API
server in the end, and that it comes about in seconds.
"""

import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pykube
import pytest
import yaml
from tests.cluster import launcher
from tests.integration.proxy import Cut, Proxy
from tests.integration.rest import Rest
from tests.integration.support import ROOT, Kubectl, OperatorProcess, binding, eventually, scc

from scc_operator import names
from scc_operator.allocation.ledger import decode
from scc_operator.allocation.uid_blocks import parse_block
from scc_operator.kube.paths import (
    BINDINGS,
    CLUSTER_BINDINGS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    EVENTS,
    NAMESPACES,
    PODS,
    RANGES,
    ROLE_BINDINGS,
    SCCS,
)

pytestmark = pytest.mark.usefixtures("operator")

LEDGER = r"^PUT .*/rangeallocations/scc-uid\?"
NFS = {"type": "MustRunAsRange", "uidRangeMin": 65534, "uidRangeMax": 65534}
DENIED = (None, "denied", "RunAsUserOutOfRange")
FITS = ("restricted-v2", "fits-with-defaults", None)


@pytest.fixture(scope="module")
def proxy(cluster: launcher.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that lets everything through."""
    with Proxy(cluster.kubeconfig, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def started(start_operator: Callable[..., OperatorProcess], proxy: Proxy) -> OperatorProcess:
    """An operator behind the proxy; lists have several pages."""
    return start_operator(kubeconfig=proxy.kubeconfig, SCC_OPERATOR_PAGE_SIZE="20")


@pytest.fixture
def operator(started: OperatorProcess, proxy: Proxy) -> Iterator[OperatorProcess]:
    """The same at the start of a test: it runs and watches, and nothing is broken."""
    assert started.process is not None
    if started.process.poll() is not None:
        started.start()
    eventually(lambda: proxy.watching("pods") and proxy.watching("rolebindings"))
    yield started
    proxy.clear()


@pytest.fixture(scope="module")
def rest(api: pykube.HTTPClient) -> Rest:
    """The API server, past the proxy."""
    return Rest(api)


@pytest.fixture
def audit(rest: Rest, namespace: str) -> Callable[[str], tuple[str | None, str | None, str | None]]:
    """SCC, verdict and reason as they stand on a pod of the test's namespace."""

    def read(name: str) -> tuple[str | None, str | None, str | None]:
        found = rest.get(PODS, name, namespace)["metadata"].get("annotations") or {}
        return found.get(names.SCC_ANNOTATION), found.get(names.VERDICT), found.get(names.REASON)

    return read


@pytest.fixture
def nfs(rest: Rest, namespace: str) -> Iterator[str]:
    """An SCC that is granted to nobody; without it a pod with UID 65534 is denied."""
    name = f"nfs-{namespace}"
    rest.create(SCCS, scc(name, priority=9, runAsUser=NFS))
    yield name
    rest.delete(SCCS, name)


def role_binding(name: str, scc_name: str) -> dict[str, Any]:
    """A RoleBinding that lets the namespace's default service account use an SCC, through a ClusterRole of its own."""
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": names.RBAC_GROUP, "kind": "ClusterRole", "name": f"use-{scc_name}"},
        "subjects": [{"kind": "ServiceAccount", "name": "default"}],
    }


def use_role(scc_name: str) -> dict[str, Any]:
    """The ClusterRole of `role_binding`."""
    rule = {
        "apiGroups": [names.SECURITY_GROUP],
        "resources": [names.SCC_RESOURCE],
        "resourceNames": [scc_name],
        "verbs": [names.USE_VERB],
    }
    return {"metadata": {"name": f"use-{scc_name}"}, "rules": [rule]}


@pytest.fixture
def granted(rest: Rest, namespace: str, nfs: str) -> Iterator[str]:
    """The name of a RoleBinding through which a pod with UID 65534 fits `nfs`."""
    rest.create(CLUSTER_ROLES, use_role(nfs))
    account = [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]
    rest.create(ROLE_BINDINGS, {**role_binding("nfs", nfs), "subjects": account}, namespace)
    yield "nfs"
    rest.delete(CLUSTER_ROLES, f"use-{nfs}")


def new_namespaces(rest: Rest, prefix: str, count: int) -> list[str]:
    """Create namespaces."""
    created = [f"{prefix}-{number}" for number in range(count)]
    for name in created:
        rest.create(NAMESPACES, {"metadata": {"name": name}})
    return created


def blocks(rest: Rest) -> dict[str, str]:
    """The uid-range of each namespace that has one."""
    return {
        item["metadata"]["name"]: found
        for item in rest.list(NAMESPACES)
        if (found := (item["metadata"].get("annotations") or {}).get(names.UID_RANGE))
    }


def all_have_ranges(rest: Rest, wanted: list[str]) -> bool:
    """Whether all these namespaces have a UID block; no two namespaces of the cluster ever share UIDs."""
    found = blocks(rest)
    assert len(set(found.values())) == len(found), f"a block was given twice: {sorted(found.items())}"
    stored = rest.get(RANGES, names.RANGE_NAME)
    assert stored, "there is no ledger yet"
    taken = decode(stored)
    for block in found.values():
        index = taken.uid_range.index_of(parse_block(block))
        assert index is None or taken.is_taken(index), f"the ledger does not know of {block}"
    return all(name in found for name in wanted)


def taken_blocks(rest: Rest) -> int:
    """How many blocks the ledger holds."""
    return decode(rest.get(RANGES, names.RANGE_NAME)).bits.bit_count()


# --- the ledger ---------------------------------------------------------------------------------------------------


def test_conflicts_on_the_ledger_delay_ranges_and_nothing_else(proxy: Proxy, rest: Rest, namespace: str) -> None:
    """However often somebody else was quicker, every namespace gets a block of its own in the end."""
    with proxy.rule(LEDGER, status=409, reason="Conflict", message="the object has been modified", times=4) as storm:
        wanted = new_namespaces(rest, namespace, 5)
        eventually(lambda: all_have_ranges(rest, wanted))
        assert storm.hits == 4


def test_a_ledger_write_without_an_answer_gives_no_block_twice(proxy: Proxy, rest: Rest, namespace: str) -> None:
    """The connection breaks once the API server has stored a reservation: at most that block is reserved for nobody."""
    eventually(lambda: all_have_ranges(rest, [namespace]))
    before = taken_blocks(rest)
    with proxy.rule(LEDGER, cut=Cut.AFTER) as cut:
        wanted = new_namespaces(rest, namespace, 1)
        eventually(lambda: all_have_ranges(rest, wanted))
        assert cut.hits == 1
    assert taken_blocks(rest) - before <= 2


# --- gaps in the watch ----------------------------------------------------------------------------------------------


def test_a_role_binding_that_vanished_in_a_gap_grants_nothing(
    proxy: Proxy,
    rest: Rest,
    namespace: str,
    nfs: str,
    granted: str,
    audit: Callable[..., Any],
) -> None:
    """A deletion that no event tells of (410 in the stream) ends a grant within seconds all the same."""
    rest.run_pod("nfs", namespace, runAsUser=65534)
    eventually(lambda: audit("nfs")[0] == nfs)
    with proxy.dropping("DELETED", "rolebindings") as dropped:
        rest.delete(ROLE_BINDINGS, granted, namespace)
        eventually(lambda: f"DELETED {namespace}/{granted}" in dropped)
        assert audit("nfs")[0] == nfs
        assert proxy.break_watches("rolebindings", 410) == 1
        eventually(lambda: audit("nfs") == DENIED, timeout=10)


def test_the_only_scc_binding_that_vanished_in_a_gap_grants_nothing(
    cluster: launcher.Cluster, proxy: Proxy, rest: Rest, namespace: str, nfs: str, audit: Callable[..., Any]
) -> None:
    """Where nothing is left of a kind, Kopf's replay is empty and tells nothing; the RBAC is withdrawn all the same.

    The garbage collector, which would do it too, stands still meanwhile.
    """
    rest.create(BINDINGS, binding("nfs", namespace, [nfs], {"kind": "ServiceAccount", "name": "default"}), namespace)
    rest.run_pod("nfs", namespace, runAsUser=65534)
    eventually(lambda: audit("nfs")[0] == nfs)
    cluster.kill_component("kube-controller-manager", signal.SIGSTOP)
    try:
        with proxy.dropping("DELETED", "sccbindings") as dropped:
            rest.delete(BINDINGS, "nfs", namespace)
            eventually(lambda: dropped)
            proxy.break_watches("sccbindings", 410)
            eventually(lambda: audit("nfs") == DENIED, timeout=30)
    finally:
        cluster.kill_component("kube-controller-manager", signal.SIGCONT)
    generated = [item["metadata"]["name"] for item in rest.list(ROLE_BINDINGS, namespace)]
    assert not [name for name in generated if name.startswith(names.GENERATED_PREFIX)]


@pytest.mark.usefixtures("granted")
def test_a_pod_that_vanished_in_a_gap_is_forgotten(
    operator: OperatorProcess, proxy: Proxy, rest: Rest, namespace: str, nfs: str
) -> None:
    """Pods that were deleted while nobody watched are counted no longer."""

    def counted() -> float:
        return operator.metric("scc_operator_pods", verdict="fits-with-defaults", scc=nfs)

    for name in ("stays", "goes"):
        rest.run_pod(name, namespace, runAsUser=65534)
    eventually(lambda: counted() == 2)
    with proxy.dropping("MODIFIED|DELETED", "pods") as dropped:
        rest.delete(PODS, "goes", namespace)
        eventually(lambda: f"DELETED {namespace}/goes" in dropped)
        proxy.break_watches("pods", 410)
        eventually(lambda: counted() == 1)


def test_a_list_does_not_bring_back_what_was_deleted_meanwhile(
    operator: OperatorProcess,
    proxy: Proxy,
    rest: Rest,
    namespace: str,
    nfs: str,
    granted: str,
    audit: Callable[..., Any],
) -> None:
    """A list that was taken before a deletion and arrives after it must not restore the grant."""
    rest.run_pod("nfs", namespace, runAsUser=65534)
    eventually(lambda: audit("nfs")[0] == nfs)
    lists = r"^GET .*/rolebindings\?limit="
    with proxy.rule(lists, agent=names.FIELD_MANAGER, hold_answer=True) as slow:
        proxy.break_watches("rolebindings", 410)
        eventually(lambda: slow.holding and proxy.watching("rolebindings"))
        rest.delete(ROLE_BINDINGS, granted, namespace)
        eventually(lambda: audit("nfs") == DENIED)
        released = time.monotonic()
        done = operator.metric("scc_operator_resyncs_total", kind="rolebindings", outcome="done")
        slow.release()
        eventually(lambda: operator.metric("scc_operator_resyncs_total", kind="rolebindings", outcome="done") > done)
    # The audit answers 50 ms after a change; a pod that was patched twice tells of a grant that came back for a moment.
    with pytest.raises(AssertionError):
        eventually(lambda: proxy.count(rf"^PATCH .*/{namespace}/pods/nfs/", since=released), timeout=0.5)


def test_a_list_whose_snapshot_expired_is_begun_again(operator: OperatorProcess, proxy: Proxy) -> None:
    """A 410 on a page behind the first is no reason to end, nor to keep half a list."""

    def lists(outcome: str) -> float:
        return operator.metric("scc_operator_resyncs_total", kind="clusterroles", outcome=outcome)

    failed, done = lists("failed"), lists("done")
    expired = {"status": 410, "reason": "Expired", "message": "The provided continue parameter is too old"}
    with proxy.rule(r"^GET .*/clusterroles\?.*continue=", agent=names.FIELD_MANAGER, skip=1, **expired) as rule:
        proxy.break_watches("clusterroles", 410)
        eventually(lambda: lists("failed") == failed + 1 and lists("done") == done + 1)
        assert rule.hits == 1


def test_an_error_event_ends_the_process_and_a_restart_makes_good(
    operator: OperatorProcess,
    proxy: Proxy,
    rest: Rest,
    namespace: str,
    nfs: str,
    granted: str,
    audit: Callable[..., Any],
) -> None:
    """Kopf gives up on an ERROR event other than 410; what changed until the restart is made good by it."""
    rest.run_pod("nfs", namespace, runAsUser=65534)
    eventually(lambda: audit("nfs")[0] == nfs)
    assert operator.process is not None
    proxy.break_watches("rolebindings", 500, "InternalError")
    assert operator.process.wait(20) != 0
    rest.delete(ROLE_BINDINGS, granted, namespace)
    operator.start()
    eventually(lambda: audit("nfs") == DENIED)


# --- answers that are slow, refused or lost -------------------------------------------------------------------------

STATUS = r"^PATCH .*/{namespace}/pods/[^/]+/status\?"


def test_too_many_requests_slow_the_audit_down_and_lose_nothing(
    proxy: Proxy, rest: Rest, namespace: str, audit: Callable[..., Any]
) -> None:
    """After a 429 no pod is patched until Retry-After is over; then all of them are."""
    eventually(lambda: all_have_ranges(rest, [namespace]))
    pattern = STATUS.format(namespace=namespace)
    pods = [f"web-{number}" for number in range(10)]
    with proxy.rule(pattern, status=429, reason="TooManyRequests", retry_after=1, times=3) as busy:
        for name in pods:
            rest.run_pod(name, namespace)
        eventually(lambda: all(audit(name) == FITS for name in pods))
        assert busy.hits == 3
    patches = [seen for seen in proxy.seen if re.search(pattern, seen.request)]
    refused = min(seen.at for seen in patches if seen.status == 429)
    early = [seen for seen in patches if refused + 0.25 < seen.at < refused + 1]
    assert not early, f"patched although the server asked for a rest: {early}"


def test_timeouts_of_the_api_server_lose_no_answer(
    proxy: Proxy, rest: Rest, namespace: str, audit: Callable[..., Any]
) -> None:
    """A 504 is tried again, as often as it comes."""
    with proxy.rule(STATUS.format(namespace=namespace), status=504, reason="Timeout", times=3) as overloaded:
        rest.run_pod("web", namespace)
        eventually(lambda: audit("web") == FITS)
        assert overloaded.hits == 3


def test_a_patch_without_an_answer_is_made_at_most_twice(
    operator: OperatorProcess, proxy: Proxy, rest: Rest, namespace: str, audit: Callable[..., Any]
) -> None:
    """Whether the lost patch went through is told by the watch or by the second try; both end in the same pod."""
    pattern = STATUS.format(namespace=namespace)
    with proxy.rule(pattern, cut=Cut.AFTER) as cut:
        rest.run_pod("web", namespace)
        eventually(lambda: audit("web") == FITS and cut.hits)
    done = operator.metric("scc_operator_pod_patches_total", outcome="written")
    rest.run_pod("next", namespace)
    eventually(lambda: audit("next") == FITS)
    eventually(lambda: operator.metric("scc_operator_pod_patches_total", outcome="written") > done)
    assert proxy.count(pattern.replace("[^/]+", "web")) <= 2


def test_the_api_server_goes_away_and_comes_back(
    operator: OperatorProcess,
    cluster: launcher.Cluster,
    rest: Rest,
    namespace: str,
    nfs: str,
    granted: str,
    audit: Callable[..., Any],
) -> None:
    """A restart of the API server costs time; grants, ranges and answers are right soon after."""
    rest.run_pod("nfs", namespace, runAsUser=65534)
    eventually(lambda: audit("nfs")[0] == nfs)
    cluster.restart_component("kube-apiserver")
    rest.delete(ROLE_BINDINGS, granted, namespace)
    wanted = new_namespaces(rest, namespace, 2)
    eventually(lambda: audit("nfs") == DENIED, timeout=30)
    eventually(lambda: all_have_ranges(rest, wanted), timeout=30)
    assert operator.process is not None
    assert operator.process.poll() is None, operator.tail()


# --- the operator dies ----------------------------------------------------------------------------------------------


def test_deaths_in_a_burst_of_namespaces_cost_no_correctness(
    operator: OperatorProcess, rest: Rest, namespace: str
) -> None:
    """Killed at any moment, again and again: every namespace has a block of its own, every pod its answer."""
    moments = random.Random(1)
    wanted: list[str] = []
    lives = 4
    for life in range(lives):
        created = new_namespaces(rest, f"{namespace}-{life}", 6)
        wanted += created
        for name in created:
            rest.create(PODS, _pod_without_account(name), name)
        time.sleep(moments.uniform(0, 0.4))  # the moment of death is what varies
        operator.kill()
        operator.start(wait=life == lives - 1)
        if life < lives - 1:
            eventually(lambda: "working:" in operator.log.read_text().split("talking to")[-1], timeout=30, pause=0.02)
    eventually(lambda: all_have_ranges(rest, wanted))

    def verdicts() -> set[str | None]:
        found = [item for item in rest.list(PODS) if item["metadata"]["namespace"] in wanted]
        assert len(found) == len(wanted)
        return {(item["metadata"].get("annotations") or {}).get(names.VERDICT) for item in found}

    eventually(lambda: verdicts() == {"fits-with-defaults"})


def _pod_without_account(namespace: str) -> dict[str, Any]:
    """A pod that need not wait for its namespace's service account: the API server creates no token for it."""
    return {
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": "registry.example/app"}], "serviceAccountName": "default"},
    }


# --- namesakes ------------------------------------------------------------------------------------------------------


def test_a_pod_of_the_same_name_is_not_taken_for_its_predecessor(
    operator: OperatorProcess, proxy: Proxy, rest: Rest, namespace: str, audit: Callable[..., Any]
) -> None:
    """A patch that waits while its pod is replaced by another one of the same name does not reach that one."""
    with proxy.rule(STATUS.format(namespace=namespace), hold=True) as slow:
        rest.run_pod("web", namespace, runAsUser=65534)
        eventually(lambda: slow.holding)
        rest.delete(PODS, "web", namespace)
        rest.run_pod("web", namespace)
        gone = operator.metric("scc_operator_pod_patches_total", outcome="gone")
        slow.release()
        eventually(lambda: operator.metric("scc_operator_pod_patches_total", outcome="gone") == gone + 1)
    eventually(lambda: audit("web") == FITS)


def test_a_namespace_of_the_same_name_gets_ranges_of_its_own(proxy: Proxy, rest: Rest, namespace: str) -> None:
    """A patch that waits while its namespace is replaced by another one of the same name does not reach that one."""
    name = f"{namespace}-again"
    with proxy.rule(rf"^PATCH /api/v1/namespaces/{name}\?", hold=True) as slow:
        first = rest.create(NAMESPACES, {"metadata": {"name": name}})
        eventually(lambda: slow.holding)
        rest.delete(NAMESPACES, name)
        eventually(lambda: rest.get(NAMESPACES, name) is None)
        second = rest.create(NAMESPACES, {"metadata": {"name": name}})
        assert first["metadata"]["uid"] != second["metadata"]["uid"]
        slow.release()
        eventually(lambda: all_have_ranges(rest, [name]))


def test_an_scc_that_is_created_again_is_granted_again(
    rest: Rest, namespace: str, nfs: str, audit: Callable[..., Any]
) -> None:
    """The ClusterRole of an SCC belongs to it and is collected with it; a namesake gets one that is its own."""
    rest.create(BINDINGS, binding("nfs", namespace, [nfs], {"kind": "ServiceAccount", "name": "default"}), namespace)
    rest.run_pod("nfs", namespace, runAsUser=65534)
    eventually(lambda: audit("nfs")[0] == nfs)
    rest.delete(SCCS, nfs)
    again = rest.create(SCCS, scc(nfs, priority=9, runAsUser=NFS))["metadata"]["uid"]

    def owners() -> set[str]:
        role = rest.get(CLUSTER_ROLES, names.SCC_ROLE_PREFIX + nfs)
        return {reference["uid"] for reference in role["metadata"]["ownerReferences"]} if role else set()

    eventually(lambda: owners() == {again})
    eventually(lambda: audit("nfs")[0] == nfs)


# --- malformed objects ----------------------------------------------------------------------------------------------


def test_malformed_ranges_leave_pods_undecided_and_are_told(
    operator: OperatorProcess, rest: Rest, namespace: str, audit: Callable[..., Any]
) -> None:
    """A uid-range that cannot be read is never overwritten; pods keep their SCC, and an Event says what to write."""
    eventually(lambda: all_have_ranges(rest, [namespace]))
    right = blocks(rest)[namespace]
    rest.run_pod("web", namespace)
    eventually(lambda: audit("web") == FITS)
    rest.annotate(NAMESPACES, namespace, {names.UID_RANGE: "1000650000+10000"})
    eventually(lambda: audit("web") == ("restricted-v2", "unknown", "NamespaceRangesMalformed"))
    eventually(lambda: operator.metric("scc_operator_problems", kind="Namespace", reason="MalformedBlock") == 1)
    text = eventually(lambda: events(rest, "MalformedBlock", namespace))
    assert "'1000650000+10000'" in text
    assert f"remove the annotation {names.UID_RANGE}" in text
    assert blocks(rest)[namespace] == "1000650000+10000"
    rest.annotate(NAMESPACES, namespace, {names.UID_RANGE: right})
    eventually(lambda: audit("web") == FITS)
    eventually(lambda: operator.metric("scc_operator_problems", kind="Namespace", reason="MalformedBlock") == 0)


def test_an_scc_that_cannot_be_evaluated_leaves_pods_as_they_are(
    operator: OperatorProcess, kubectl: Kubectl, rest: Rest, namespace: str, audit: Callable[..., Any]
) -> None:
    """One broken SCC would make admission refuse every pod: the audit says unknown, keeps the SCC, and tells of it."""
    rest.run_pod("web", namespace)
    eventually(lambda: audit("web") == FITS)
    name = f"broken-{namespace}"
    kubectl("delete", "validatingadmissionpolicybinding", "scc-evaluable.scc-operator.io")
    try:
        # The API server takes a moment to notice that the policy does not apply any more.
        eventually(lambda: _created(rest, scc(name, runAsUser={"type": "MustRunAs"})))
        eventually(lambda: audit("web") == ("restricted-v2", "unknown", "UnusableSCC"))
        assert operator.metric("scc_operator_problems", kind=names.SCC_KIND, reason="UnusableSCC") == 1
        assert "until it is corrected or deleted" in eventually(lambda: events(rest, "UnusableSCC", name))
        rest.patch(SCCS, name, {"runAsUser": {"uid": 1000}})
        eventually(lambda: audit("web") == FITS)
        assert operator.metric("scc_operator_problems", kind=names.SCC_KIND, reason="UnusableSCC") == 0
    finally:
        rest.delete(SCCS, name)
        kubectl("apply", "-k", ROOT / "crds")


def _created(rest: Rest, body: dict[str, Any]) -> bool:
    rest.create(SCCS, body)
    return True


def test_a_binding_to_an_scc_that_does_not_exist_waits_for_it(
    rest: Rest, namespace: str, audit: Callable[..., Any]
) -> None:
    """It grants nothing and says so in its status and an Event; once the SCC comes it takes effect."""
    name = f"later-{namespace}"
    rest.create(BINDINGS, binding("nfs", namespace, [name], {"kind": "ServiceAccount", "name": "default"}), namespace)
    rest.run_pod("nfs", namespace, runAsUser=65534)

    def ready() -> str:
        status = rest.get(BINDINGS, "nfs", namespace).get("status") or {}
        return next(each["status"] for each in status["conditions"] if each["type"] == "Ready")

    eventually(lambda: ready() == "False")
    assert name in eventually(lambda: events(rest, "SCCNotFound", "nfs", namespace))
    eventually(lambda: audit("nfs") == DENIED)
    rest.create(SCCS, scc(name, priority=9, runAsUser=NFS))
    try:
        eventually(lambda: audit("nfs")[0] == name and ready() == "True")
    finally:
        rest.delete(SCCS, name)


def events(rest: Rest, reason: str, name: str, namespace: str = "default") -> str:
    """The text of the Events about an object; those about cluster-scoped objects are in namespace default."""
    return "\n".join(
        event["message"]
        for event in rest.list(EVENTS, namespace)
        if event["reason"] == reason and event["involvedObject"]["name"] == name
    )


# --- rights ---------------------------------------------------------------------------------------------------------


ACCOUNT = "system:serviceaccount:scc-operator:scc-operator"


def test_an_operator_without_rights_says_which_it_lacks(
    operator: OperatorProcess,
    start_operator: Callable[..., OperatorProcess],
    cluster: launcher.Cluster,
    rest: Rest,
    namespace: str,
    tmp_path: Path,
    audit: Callable[..., Any],
) -> None:
    """Without a right to read it ends; for one to write it waits; either way it names verb and resource."""
    eventually(lambda: all_have_ranges(rest, [namespace]))
    operator.kill()
    user = f"operator-{namespace}"
    with Proxy(cluster.kubeconfig, tmp_path, impersonate=user) as proxy:
        limited = start_operator(kubeconfig=proxy.kubeconfig, wait=False, SCC_OPERATOR_RANGES="off")
        assert limited.process is not None
        assert limited.process.wait(20) != 0
        assert f'User "{user}" cannot get resource' in limited.log.read_text()

        # "write" on verdicts: a test before this one may have left the policy against forged annotations installed.
        everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch", "use", "write"]}
        patch = {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]}
        role_ref = {"apiGroup": names.RBAC_GROUP, "kind": "ClusterRole", "name": user}
        rest.create(CLUSTER_ROLES, {"metadata": {"name": user}, "rules": [everything]})
        subjects = [{"kind": "User", "name": user}]
        rest.create(CLUSTER_ROLE_BINDINGS, {"metadata": {"name": user}, "roleRef": role_ref, "subjects": subjects})
        try:
            limited.start()
            rest.run_pod("web", namespace)
            lacking = f'User "{user}" cannot patch resource "pods/status"'
            eventually(lambda: lacking in limited.log.read_text())
            rest.patch(CLUSTER_ROLES, user, {"rules": [everything, patch]})
            eventually(lambda: audit("web") == FITS)
        finally:
            limited.kill()
            rest.delete(CLUSTER_ROLE_BINDINGS, user)
            rest.delete(CLUSTER_ROLES, user)


def test_the_rights_of_the_manifests_are_enough(
    operator: OperatorProcess,
    start_operator: Callable[..., OperatorProcess],
    cluster: launcher.Cluster,
    kubectl: Kubectl,
    rest: Rest,
    namespace: str,
    nfs: str,
    tmp_path: Path,
    audit: Callable[..., Any],
) -> None:
    """With the rights that `manifests/audit` gives and no others, everything that it does is allowed."""
    operator.kill()
    shipped = list(yaml.safe_load_all(kubectl("kustomize", ROOT / "manifests/audit").stdout))
    rights = [each for each in shipped if each["kind"].startswith(("ClusterRole", "Role", "Namespace"))]
    kubectl.apply(*rights)
    rest.delete(RANGES, names.RANGE_NAME)
    with Proxy(cluster.kubeconfig, tmp_path, impersonate=ACCOUNT) as proxy:
        limited = start_operator(kubeconfig=proxy.kubeconfig, SCC_OPERATOR_LEASE="on")
        rest.create(BINDINGS, binding("nfs", namespace, [nfs, "no-such-scc"], DEFAULT_ACCOUNT), namespace)
        rest.create(CLUSTER_BINDINGS, cluster_binding(namespace, nfs))
        rest.run_pod("nfs", namespace, runAsUser=65534)
        eventually(lambda: audit("nfs")[0] == nfs)
        eventually(lambda: all_have_ranges(rest, [namespace]))
        role, made = names.SCC_ROLE_PREFIX + nfs, f"{names.GENERATED_PREFIX}nfs:{nfs}"
        rest.patch(CLUSTER_ROLES, role, {"metadata": {"labels": {names.OWNER_UID_LABEL: "other"}}})
        rest.patch(ROLE_BINDINGS, made, {"subjects": []}, namespace)
        eventually(lambda: (rest.get(ROLE_BINDINGS, made, namespace) or {}).get("subjects"))
        rest.delete(CLUSTER_BINDINGS, namespace)
        rest.delete(BINDINGS, "nfs", namespace)
        eventually(lambda: audit("nfs") == DENIED)
        limited.stop()
        refused = [seen.request for seen in proxy.seen if seen.status == 403]
        assert not refused, f"without the right to: {refused}"
    kubectl("delete", "--wait=false", "-f", "-", input=yaml.safe_dump_all(rights))


DEFAULT_ACCOUNT = {"kind": "ServiceAccount", "name": "default"}


def cluster_binding(namespace: str, scc_name: str) -> dict[str, Any]:
    """A ClusterSCCBinding for all service accounts of a namespace, and named after it."""
    return {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": names.CLUSTER_BINDING_KIND,
        "metadata": {"name": namespace},
        "spec": {"sccs": [scc_name], "subjects": [{"kind": "Namespace", "name": namespace}]},
    }
