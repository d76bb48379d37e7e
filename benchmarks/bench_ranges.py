"""How long a burst of namespaces waits for its ranges, and what that costs: `python benchmarks/bench_ranges.py`.

A real control plane is started, four kubectl create the namespaces at once, and the API server's audit log is read: the
time of a namespace is that from the answer to its creation to the answer to the patch that annotates it, and every
request of the allocator is counted. Beside it the same for a strawman that does what OpenShift's controller does: one
namespace after the other, for each one write of the ledger, one apply and one Event, at five requests a second with a
burst of ten for each of its three clients (spec/namespaces.md §5.3, §7). Reports, and asserts nothing.

    --bursts 200,1000   sizes
    --only NAME         `operator` or `strawman`
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

from tests.cluster import launcher  # noqa: E402
from tests.integration.support import Kubectl, OperatorProcess, eventually  # noqa: E402

from scc_operator import names  # noqa: E402
from scc_operator.allocation.ledger import Ledger, decode  # noqa: E402
from scc_operator.allocation.mcs import label_plan, parse_mcs_range  # noqa: E402
from scc_operator.allocation.uid_blocks import parse_range  # noqa: E402
from scc_operator.kube.client import Api  # noqa: E402
from scc_operator.kube.paths import EVENTS, NAMESPACES, RANGES  # noqa: E402

CLIENTS = 4
AGENTS = {"operator": names.FIELD_MANAGER, "strawman": "strawman"}
SETTLE = 5.0
"""Seconds after the last annotation in which what is written off the path is still counted."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bursts", default="200,1000")
    parser.add_argument("--only", choices=AGENTS)
    parser.add_argument("--be-strawman", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be_strawman:
        asyncio.run(strawman())
        return
    arms = [options.only] if options.only else list(AGENTS)
    print(f"{os.cpu_count()} cores; one run each; seconds from create to annotate, as the API server saw them")
    print(f"{'':10}{'burst':>6}{'all':>8}{'p50':>8}{'p99':>8}{'ns/s':>8}{'CPU s':>8}   requests per namespace")
    for size in map(int, options.bursts.split(",")):
        for arm in arms:
            print(line(arm, size), flush=True)


def line(arm: str, size: int) -> str:
    """Run one burst on a new control plane."""
    with launcher.start(audit_policy=ROOT / "tests/integration/audit-policy.yaml") as cluster:
        kubectl = Kubectl(cluster.kubeconfig)
        kubectl("apply", "-k", ROOT / "crds")
        kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        folder = Path(tempfile.mkdtemp(prefix="bench-ranges-"))
        with allocator(arm, cluster.kubeconfig, folder / "log") as process:
            eventually(lambda: annotated(kubectl, "kube-system"), 30)
            time.sleep(2)
            assert cluster.audit_log is not None
            mark = cluster.audit_log.stat().st_size
            before = cpu(process)
            burst(cluster.kubeconfig, size)
            created, written, requests = {}, {}, Counter()  # type: ignore[var-annotated]
            deadline = time.monotonic() + 600
            while len(written) < size and time.monotonic() < deadline:
                time.sleep(0.5)
                created, written, _ = read(cluster.audit_log, mark, AGENTS[arm])
            time.sleep(SETTLE)
            spent = cpu(process) - before
            created, written, requests = read(cluster.audit_log, mark, AGENTS[arm])
    times = sorted(written[name] - created[name] for name in written)
    total = max(written.values()) - min(created.values())
    cost = ", ".join(f"{what} {count / size:.3f}" for what, count in sorted(requests.items()) if count / size >= 0.001)
    p99 = statistics.quantiles(times, n=100)[98]
    p50 = statistics.median(times)
    return f"{arm:10}{size:6}{total:8.2f}{p50:8.3f}{p99:8.3f}{size / total:8.0f}{spent:8.1f}   {cost}"


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class allocator:  # noqa: N801 - a context manager is named like a function
    """The operator or the strawman as a process, while the block runs."""

    def __init__(self, arm: str, kubeconfig: Path, log: Path) -> None:
        self._arm, self._kubeconfig, self._log = arm, kubeconfig, log

    def __enter__(self) -> int:
        if self._arm == "operator":
            self._operator = OperatorProcess(self._kubeconfig, self._log).start()
            self._process = self._operator.process
        else:
            command = [sys.executable, __file__, "--be-strawman"]
            environment = {**os.environ, "KUBECONFIG": str(self._kubeconfig)}
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        assert self._process is not None
        return self._process.pid

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


def burst(kubeconfig: Path, size: int) -> None:
    """Create namespaces with several kubectl at once."""
    kubectl = launcher.kubectl_path()
    clients = []
    for client in range(CLIENTS):
        bodies = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"burst-{number:05}"}}
            for number in range(client, size, CLIENTS)
        ]
        command = [kubectl, "--kubeconfig", kubeconfig, "create", "--validate=false", "-o", "name", "-f", "-"]
        clients.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL))
        stdin = clients[-1].stdin
        assert stdin is not None
        stdin.write(json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}).encode())
        stdin.close()
    assert [client.wait() for client in clients] == [0] * CLIENTS


def annotated(kubectl: Kubectl, name: str) -> bool:
    """Whether a namespace has its ranges."""
    return names.MCS in kubectl.annotations("namespace", name)


def read(log: Path, mark: int, agent: str) -> tuple[dict[str, float], dict[str, float], Counter[str]]:
    """When each namespace was created and annotated, and what the allocator asked for, since `mark`."""
    created: dict[str, float] = {}
    written: dict[str, float] = {}
    requests: Counter[str] = Counter()
    for entry in entries(log, mark):
        target = entry.get("objectRef") or {}
        name, resource = target.get("name", ""), target.get("resource", "")
        done = datetime.fromisoformat(entry["stageTimestamp"]).timestamp()
        good = entry.get("responseStatus", {}).get("code", 500) < 300
        if resource == "namespaces" and entry["verb"] == "create" and good:
            created[name] = done
        if not entry.get("userAgent", "").startswith(agent) or entry["verb"] == "watch":
            continue
        requests[f"{entry['verb']} {resource}{'' if good else ' refused'}"] += 1
        if resource == "namespaces" and entry["verb"] == "patch" and good and name.startswith("burst-"):
            written.setdefault(name, done)
    return created, written, requests


def entries(log: Path, mark: int) -> Iterator[Any]:
    """The lines of the audit log behind a position."""
    with log.open("rb") as file:
        file.seek(mark)
        for text in file:
            if text.endswith(b"\n"):
                yield json.loads(text)


# --- the strawman ------------------------------------------------------------------------------------------------


class Bucket:
    """Five requests a second, ten at once."""

    def __init__(self) -> None:
        self._tokens, self._at = 10.0, time.monotonic()

    async def take(self) -> None:
        """Wait for a turn."""
        while True:
            now = time.monotonic()
            self._tokens, self._at = min(10.0, self._tokens + (now - self._at) * 5), now
            if self._tokens >= 1:
                self._tokens -= 1
                return
            await asyncio.sleep((1 - self._tokens) / 5)


async def strawman() -> None:
    """Allocate as OpenShift's controller does."""
    api = await Api.connect()
    api._client.user_agent = AGENTS["strawman"]  # noqa: SLF001 - the audit log tells the two apart by it
    uid_range = parse_range("1000000000-1999999999/10000")
    labels = label_plan(parse_mcs_range("s0:/2"), uid_range)
    ledger_turn, namespace_turn, event_turn = Bucket(), Bucket(), Bucket()
    path = RANGES.path(name=names.RANGE_NAME)
    kind = {"apiVersion": f"{names.RANGE_GROUP}/{names.RANGE_VERSION}", "kind": names.RANGE_KIND}
    body = {**kind, "metadata": {"name": names.RANGE_NAME}, **Ledger(uid_range).encode()}
    stored = await api.create(RANGES.path(), body)
    while True:
        listed = await api.get(NAMESPACES.path())  # stands for its watch, which costs nothing
        waiting = [
            item for item in listed["items"] if names.UID_RANGE not in (item["metadata"].get("annotations") or {})
        ]
        for item in waiting:
            ledger, (index,) = decode(stored).reserve(1)
            await ledger_turn.take()
            stored = await api.replace(path, {**stored, **ledger.encode()})
            block = str(uid_range.block(index))
            annotations = {
                names.UID_RANGE: block,
                names.SUPPLEMENTAL_GROUPS: block,
                names.MCS: labels.label_of_block(index),
            }
            name, version = item["metadata"]["name"], item["metadata"]["resourceVersion"]
            metadata = {"name": name, "resourceVersion": version, "annotations": annotations}
            await namespace_turn.take()
            await api.request(
                "PATCH",
                NAMESPACES.path(name=name),
                query={"fieldManager": "strawman", "force": "false"},
                body={"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
                content_type="application/apply-patch+yaml",
            )
            await event_turn.take()
            event = {
                "metadata": {"generateName": "created-scc-ranges-", "namespace": "default"},
                "involvedObject": {"kind": "Namespace", "name": name},
                "reason": "CreatedSCCRanges",
                "message": "created SCC ranges",
            }
            await api.create(EVENTS.path("default"), event)
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    main()
