"""The cluster, the operator and kubectl: what the demo acts upon."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.cluster import launcher

from scc_operator import names

ROOT = Path(__file__).resolve().parent.parent
KEPT_NAME = "demo"
OPERATOR = ("kopf", "run", "--all-namespaces", "--standalone", "-m", "scc_operator.app")

_READY = 60.0
_LOOK = 0.1
_END = 15.0


class DemoError(Exception):
    """Something did not go as it must; the text says what."""


@dataclass(frozen=True)
class AuditedPod:
    """A pod as the audit describes it, by the annotations on it."""

    namespace: str
    name: str
    workload: str
    scc: str
    verdict: str
    reason: str
    would_set: tuple[str, ...]

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """Read a v1 Pod; a missing annotation is an empty text."""
        metadata = raw["metadata"]
        annotations = metadata.get("annotations") or {}
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            workload=(metadata.get("labels") or {}).get("app.kubernetes.io/name", ""),
            scc=annotations.get(names.SCC_ANNOTATION, ""),
            verdict=annotations.get(names.VERDICT, ""),
            reason=annotations.get(names.REASON, ""),
            would_set=tuple(part for part in annotations.get(names.WOULD_SET, "").split(",") if part),
        )


@dataclass(frozen=True)
class Ranges:
    """What a namespace carries for its pods."""

    namespace: str
    uid_range: str
    mcs: str
    groups: str

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """Read a v1 Namespace; a missing annotation is an empty text."""
        metadata = raw["metadata"]
        annotations = metadata.get("annotations") or {}
        values = (annotations.get(key, "") for key in (names.UID_RANGE, names.MCS, names.SUPPLEMENTAL_GROUPS))
        return cls(metadata["name"], *values)

    @property
    def complete(self) -> bool:
        """Whether all three are there."""
        return bool(self.uid_range and self.mcs and self.groups)


class World:
    """A control plane of the demo's own, and an operator that works on it.

    Args:
        keep: the cluster is called `demo` and stays when the demo ends.
    """

    def __init__(self, *, keep: bool) -> None:
        self.keep = keep
        self._cluster: launcher.Cluster | None = None
        self._operator: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def cluster(self) -> launcher.Cluster:
        """The cluster, once it was started."""
        if self._cluster is None:
            raise DemoError("the cluster was not started")
        return self._cluster

    @property
    def kubeconfig(self) -> Path:
        """How to reach the cluster."""
        return self.cluster.kubeconfig

    @property
    def operator_log(self) -> Path:
        """Where the operator writes; it goes away together with the cluster."""
        return self.cluster.workdir / "logs" / "scc-operator.log"

    # --- begin and end -------------------------------------------------------------------------------------------

    def start_cluster(self) -> str:
        """Start the control plane, building what is missing, and return its version.

        Raises:
            DemoError: it cannot be started, or a kept one of an earlier demo still runs.
        """
        # The demo leaves traces all over a cluster, so it takes none but its own.
        os.environ.pop("SCC_TEST_KUBECONFIG", None)
        if self.keep and launcher.State.read(KEPT_NAME) is not None:
            raise DemoError(
                f"a cluster called {KEPT_NAME} exists already. To use it, make cluster-up NAME={KEPT_NAME} prints its "
                f"kubeconfig; to stop it, make cluster-down NAME={KEPT_NAME}"
            )
        name = KEPT_NAME if self.keep else None
        try:
            self._cluster = launcher.start(name, ephemeral=not self.keep)
        except launcher.ClusterError as error:
            raise DemoError(str(error)) from error
        return str(json.loads(self.kubectl("get", "--raw", "/version"))["gitVersion"])

    def start_operator(self) -> None:
        """Start the operator as the README says, with a port that is free, and wait until it is ready.

        Raises:
            DemoError: it ended or did not become ready.
        """
        self._port = _free_port()
        settings = {"SCC_OPERATOR_HTTP_HOST": "127.0.0.1", "SCC_OPERATOR_HTTP_PORT": str(self._port)}
        keeper = [sys.executable, "-m", "demo.keeper", self.cluster.name]
        kopf = str(Path(sys.executable).with_name(OPERATOR[0]))
        with self.operator_log.open("wb") as log:
            # In a session of its own, so that Ctrl-C comes to the demo alone, which then ends everything in order.
            self._operator = subprocess.Popen(  # noqa: S603 - our own commands
                [*keeper, kopf, *OPERATOR[1:]],
                cwd=ROOT,
                env=self._environment() | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait("the operator is ready", self._operator_ready, lambda: "/readyz does not answer 200")

    def release(self) -> None:
        """Let a kept world go on without us."""
        if self._operator is not None:
            self._operator.returncode = 0  # it outlives us: nobody will wait for it, and Python need not warn
            self._operator = None
        self._cluster = None

    def stop(self) -> None:
        """End the operator, then the cluster; does nothing for what was not started."""
        if self._operator is not None:
            self._operator.terminate()
            try:
                self._operator.wait(_END)
            except subprocess.TimeoutExpired:
                self._operator.kill()
                self._operator.wait()
            self._operator = None
        if self._cluster is not None:
            self._cluster.stop()
            self._cluster = None

    # --- looking and acting --------------------------------------------------------------------------------------

    def kubectl(self, *args: str, check: bool = True) -> str:
        """Run kubectl in the repository and return what it prints.

        Raises:
            DemoError: it failed, and with `check` that matters; the text is what it said.
        """
        # A cache of its own: kubectl's remembers by port what some earlier cluster served.
        cache = str(self.kubeconfig.parent / "kubectl-cache")
        done = subprocess.run(  # noqa: S603 - our own arguments
            [str(launcher.kubectl_path()), "--cache-dir", cache, *args],
            cwd=ROOT,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and check:
            raise DemoError(f"$ kubectl {shlex.join(args)}\n{done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def pods(self) -> list[AuditedPod]:
        """All pods, by namespace and name."""
        items = json.loads(self.kubectl("get", "pods", "--all-namespaces", "-o", "json"))["items"]
        return sorted(map(AuditedPod.read, items), key=lambda pod: (pod.namespace, pod.name))

    def ranges(self) -> list[Ranges]:
        """What all namespaces carry, by name."""
        items = json.loads(self.kubectl("get", "namespaces", "-o", "json"))["items"]
        return sorted(map(Ranges.read, items), key=lambda found: found.namespace)

    def wait(self, what: str, holds: Callable[[], bool], missing: Callable[[], str], timeout: float = _READY) -> None:
        """Wait until a condition holds.

        Raises:
            DemoError: it does not hold in time, or the operator ended; the text names what is missing.
        """
        deadline = time.monotonic() + timeout
        while not holds():
            if self._operator is not None and self._operator.poll() is not None:
                raise DemoError(f"the operator ended with exit code {self._operator.returncode}\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise DemoError(f"not so after {timeout:.0f} s: {what}\n{missing()}\n{self.log_tail()}")
            time.sleep(_LOOK)

    def log_tail(self, lines: int = 15) -> str:
        """The end of the operator's log."""
        text = self.operator_log.read_text(errors="replace") if self.operator_log.exists() else ""
        return "\n".join(["the operator's log ends with", *text.splitlines()[-lines:]])

    def _operator_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)  # noqa: PLR2004 - OK
        except OSError:
            return False

    def _environment(self) -> dict[str, str]:
        """The user's, without settings that would make it another demo."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("SCC_OPERATOR_")}
        return inherited | {"KUBECONFIG": str(self.kubeconfig)}


def how_to_talk(kubeconfig: Path, operator_log: Path) -> list[str]:
    """The commands for a person who wants to look at a kept world."""
    kubectl = launcher.kubectl_path()
    path = [] if shutil.which("kubectl") else [f'export PATH="{kubectl.parent}:$PATH"']
    return [
        f"export KUBECONFIG={shlex.quote(str(kubeconfig))}",
        *path,
        f"kubectl get pods --all-namespaces -o custom-columns={shlex.quote(','.join(_COLUMNS))}",
        "kubectl get scc",
        "kubectl get sccbindings --all-namespaces",
        f"tail -f {shlex.quote(str(operator_log))}",
    ]


_COLUMNS = (
    "NAMESPACE:.metadata.namespace",
    "POD:.metadata.name",
    r"SCC:.metadata.annotations.openshift\.io/scc",
    r"VERDICT:.metadata.annotations.scc-operator\.io/verdict",
    r"REASON:.metadata.annotations.scc-operator\.io/reason",
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
