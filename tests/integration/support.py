"""What the integration tests share: a running operator, kubectl, and waiting for what must become true."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from tests.cluster import launcher

from scc_operator import names

ROOT = Path(__file__).parents[2]
_T = TypeVar("_T")


def eventually(check: Callable[[], _T], timeout: float = 15.0, pause: float = 0.1) -> _T:
    """Call `check` until it returns something true without an AssertionError, and return that.

    The last failure is raised when the time is over, so that a test tells what it saw and not just that it waited.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            result = check()
        except (AssertionError, KeyError, IndexError) as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"still not so after {timeout} s: {error!r}") from error
        else:
            if result or time.monotonic() > deadline:
                assert result, f"still {result!r} after {timeout} s"
                return result
        time.sleep(pause)


Outcome = tuple[str | None, str | None, str | None]
"""What the audit wrote on a pod: SCC, verdict, reason; None for an annotation that is absent."""


def denied(reason: str) -> Outcome:
    """No SCC lets the pod in."""
    return (None, "denied", reason)


def completed(scc: str) -> Outcome:
    """The SCC lets the pod in after filling in what it left open."""
    return (scc, "fits-with-defaults", None)


def _outcome(pod: Mapping[str, Any]) -> Outcome:
    found = pod["metadata"].get("annotations") or {}
    return found.get(names.SCC_ANNOTATION), found.get(names.VERDICT), found.get(names.REASON)


@dataclass(frozen=True)
class Kubectl:
    """kubectl against the test cluster, as its administrator or as somebody else."""

    kubeconfig: Path

    def __call__(
        self,
        *args: str | Path,
        input: str | None = None,  # noqa: A002 - as subprocess calls it
        as_user: str | None = None,
        as_groups: Iterable[str] = (),
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl; with `check` a failure raises with what it printed."""
        # A cache of its own: kubectl's remembers by port what some earlier cluster served.
        cache = self.kubeconfig.parent / "kubectl-cache"
        connection = ["--kubeconfig", self.kubeconfig, "--cache-dir", cache]
        command: list[str | Path] = [launcher.kubectl_path(), *connection, *args]
        if as_user:
            command += ["--as", as_user, *(f"--as-group={group}" for group in as_groups)]
        done = subprocess.run(command, input=input, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(map(str, args))}: {done.stderr or done.stdout}")
        return done

    def apply(self, *objects: Mapping[str, Any], **options: Any) -> None:
        """Apply objects given as plain data."""
        self("apply", "-f", "-", input=yaml.safe_dump_all(objects), **options)

    def json(self, *args: str) -> Any:
        """`kubectl get … -o json`."""
        return json.loads(self("get", *args, "-o", "json").stdout)

    def patch(self, kind: str, name: str, body: Mapping[str, Any], *args: str) -> None:
        """Merge-patch an object; further arguments go to `kubectl patch`."""
        self("patch", kind, name, "--type=merge", "-p", json.dumps(body), *args)

    def annotations(self, kind: str, name: str, namespace: str | None = None) -> dict[str, str]:
        """The annotations of an object."""
        where = ["-n", namespace] if namespace else []
        return self.json(kind, name, *where)["metadata"].get("annotations") or {}

    def audit(self, pod: str, namespace: str) -> Outcome:
        """SCC, verdict and reason as they stand on a pod."""
        return _outcome(self.json("pod", pod, "-n", namespace))

    def audits(self, namespace: str) -> dict[str, Outcome]:
        """SCC, verdict and reason of each pod of a namespace, by name."""
        return {item["metadata"]["name"]: _outcome(item) for item in self.json("pods", "-n", namespace)["items"]}


@dataclass
class OperatorProcess:
    """`kopf run` as a process of its own, as a user starts it."""

    kubeconfig: Path
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> "OperatorProcess":
        """Start it, and wait until it is ready."""
        self.port = free_port()
        settings = {"SCC_OPERATOR_HTTP_HOST": "127.0.0.1", "SCC_OPERATOR_HTTP_PORT": str(self.port)}
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("SCC_OPERATOR_")},
            "KUBECONFIG": str(self.kubeconfig),
            **settings,
            **self.environment,
        }
        command = [sys.executable, "-m", "kopf", "run", "-A", "--standalone", "-m", "scc_operator.app"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Wait for `/readyz`."""

        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"the operator ended: {self.tail()}"
            return self.http("/readyz")[0] == 200

        eventually(ready, timeout)

    def http(self, path: str) -> tuple[int, str]:
        """GET a path of the operator's own server: status (0: no answer) and text."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """The value of one series of `/metrics`; 0 where there is none."""
        wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        prefix = f"{name}{{{wanted}}} " if labels else f"{name} "
        for line in self.http("/metrics")[1].splitlines():
            if line.startswith(prefix):
                return float(line.removeprefix(prefix))
        return 0.0

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, timeout: float = 20.0) -> int:
        """End it as a kubelet does and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    @contextmanager
    def away(self) -> Iterator[None]:
        """It is down for a while."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def replaced(self, start: Callable[..., "OperatorProcess"], **environment: str) -> Iterator["OperatorProcess"]:
        """One with other settings, started by the fixture `start_operator`, works in its place for a while."""
        with self.away():
            other = start(**environment)
            try:
                yield other
            finally:
                other.kill()

    def kill(self) -> None:
        """End it as a power failure does."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()


def expect(kubectl: Kubectl, namespace: str, outcomes: Mapping[str, Outcome]) -> None:
    """Wait until the audit has written these outcomes, by pod, in a namespace; other pods do not matter."""

    def written() -> bool:
        found = kubectl.audits(namespace)
        assert {pod: found.get(pod) for pod in outcomes} == outcomes
        return True

    eventually(written)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class AuditLog:
    """The requests that the API server answered since some moment, as its audit log tells them."""

    path: Path
    _read: int = 0

    def forget(self) -> None:
        """Look only at what comes from now on."""
        self._read = self.path.stat().st_size

    def entries(self) -> list[dict[str, Any]]:
        """All requests."""
        with self.path.open("rb") as log:
            log.seek(self._read)
            return [json.loads(line) for line in log if line.endswith(b"\n")]

    def writes(self, resource: str, *, agent: str = "") -> list[dict[str, Any]]:
        """Requests that changed objects of a resource such as `pods` or `pods/status`, by clients of that name."""
        wanted, _, subresource = resource.partition("/")
        return [
            entry
            for entry in self.entries()
            if entry["verb"] not in {"get", "list", "watch"}
            and (entry.get("objectRef") or {}).get("resource") == wanted
            and entry["objectRef"].get("subresource", "") == subresource
            and entry.get("userAgent", "").startswith(agent)
        ]


def pod(
    name: str,
    namespace: str,
    *,
    container: Mapping[str, Any] | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A Pod with one container; further arguments are fields of its spec."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": dict(annotations or {})},
        "spec": {"containers": [{"name": "main", "image": "registry.example/app", **(container or {})}], **spec},
    }


def scc(name: str, **fields: Any) -> dict[str, Any]:
    """An SCC like `restricted-v2`, without the capabilities and seccomp of it, with some fields otherwise."""
    return {
        "apiVersion": f"{names.SECURITY_GROUP}/{names.SECURITY_VERSION}",
        "kind": names.SCC_KIND,
        "metadata": {"name": name},
        "allowPrivilegedContainer": False,
        "runAsUser": {"type": "MustRunAsRange"},
        "seLinuxContext": {"type": "MustRunAs"},
        "fsGroup": {"type": "RunAsAny"},
        "supplementalGroups": {"type": "RunAsAny"},
        "volumes": ["configMap", "downwardAPI", "emptyDir", "nfs", "persistentVolumeClaim", "projected", "secret"],
        **fields,
    }


SERVICE_ACCOUNT = {"kind": "ServiceAccount", "name": "default"}
"""The subject that most tests grant to: the service account that pods have where they name none."""


def use_rule(*sccs: str) -> dict[str, Any]:
    """A rule of RBAC that grants `use` on these SCCs."""
    return {
        "apiGroups": [names.SECURITY_GROUP],
        "resources": [names.SCC_RESOURCE],
        "resourceNames": list(sccs),
        "verbs": [names.USE_VERB],
    }


def rbac(kind: str, name: str, namespace: str | None = None, **fields: Any) -> dict[str, Any]:
    """A Role, ClusterRole, RoleBinding or ClusterRoleBinding."""
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": f"{names.RBAC_GROUP}/v1", "kind": kind, "metadata": metadata, **fields}


def role_ref(kind: str, name: str) -> dict[str, str]:
    """What a binding refers to."""
    return {"apiGroup": names.RBAC_GROUP, "kind": kind, "name": name}


def binding(name: str, namespace: str, sccs: Iterable[str], *subjects: Mapping[str, str]) -> dict[str, Any]:
    """An SCCBinding."""
    return {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": names.BINDING_KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"sccs": list(sccs), "subjects": list(subjects)},
    }
