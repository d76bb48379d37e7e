"""The demo does what it promises, by itself, and cleans up: `make demo`, `make demo KEEP=1`, `make cluster-down`."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from demo.expected import NFS_DENIED, unmet, unmet_ranges
from demo.world import AuditedPod, Ranges
from tests.cluster import launcher
from tests.integration.support import ROOT, eventually

LAUNCHER = ROOT / "tests" / "cluster" / "launcher.py"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which clusters are written down in a folder of this test's own, with the binaries at hand."""
    folder = tmp_path / "assets"
    folder.mkdir()
    for name, path in launcher.binaries().items():
        (folder / name).symlink_to(path)
    kubectl = launcher.kubectl_path().parent
    unwanted = {"COLUMNS", "FORCE_COLOR", "KUBECONFIG", "SCC_TEST_KUBECONFIG"}
    environment = {
        **{key: value for key, value in os.environ.items() if key not in unwanted},
        "KUBEBUILDER_ASSETS": str(folder),
        "SCC_TEST_CACHE": str(tmp_path),
        "PATH": os.pathsep.join([str(kubectl), os.environ["PATH"]]),
    }
    yield environment
    run([str(LAUNCHER), "down", "--all"], environment)
    shutil.rmtree(folder)


def run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Python in the repository and return what it printed."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)


def processes(environment: dict[str, str]) -> list[str]:
    """Command lines of all processes that descend from this environment, however they were started."""
    mark = f"SCC_TEST_CACHE={environment['SCC_TEST_CACHE']}\0".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


def test_the_demo_shows_the_main_job_and_leaves_nothing(environment: dict[str, str]) -> None:
    """Plain text in a log, every answer as it must be, exit code 0 within 90 s, no process and no cluster left."""
    began = time.monotonic()
    done = run(["-m", "demo"], environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 90
    text = done.stdout + done.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for wanted in (
        r"Ready after .*; it created the 13 default SCCs\.",
        r"shop 10000\d0000/10000 s0:c\d+,c\d+ 10000\d0000/10000",
        r"billing 1000680000/10000 s0:c26,c15 1000680000/10000",
        r"billing invoices-\S+ restricted-v2 fits",
        r"files nfs-client - denied RunAsUserOutOfRange",
        r"kube-system dns-\S+ - exempt ExemptNamespace",
        r"monitoring log-shipper-\S+ - denied VolumeTypeNotAllowed",
        r"node-agent-\S+ privileged fits",
        r"shop catalog-\S+ - denied RunAsUserOutOfRange",
        r"orders-db-0 nonroot-v2 fits-with-defaults .*",
        r"storefront-\S+ restricted-v2 fits-with-defaults .*",
        r"\d+\.\d s files/nfs-client denied RunAsUserOutOfRange → fits-with-defaults nfs-scc",
        r"\d+\.\d s files/nfs-client fits-with-defaults nfs-scc → denied RunAsUserOutOfRange",
        r"Done in .*",
    ):
        assert any(re.fullmatch(wanted, line) for line in lines), f"{wanted}\n{done.stdout}"
    assert [line for line in lines if line in {"yes", "no"}] == ["no", "yes", "no"]
    eventually(lambda: not processes(environment), 10)
    assert "no clusters" in run([str(LAUNCHER), "status"], environment).stderr


def test_a_kept_demo_goes_on_until_the_cluster_is_taken_down(environment: dict[str, str]) -> None:
    """With --keep the cluster and the operator outlive the demo; taking down the cluster ends the operator too."""
    done = run(["-m", "demo", "--keep"], environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "make cluster-down NAME=demo" in done.stdout
    assert "export KUBECONFIG=" in done.stdout
    assert any("kopf run" in command for command in processes(environment))
    again = run(["-m", "demo", "--keep"], environment)
    assert again.returncode == 1
    assert "exists already" in again.stdout
    assert run([str(LAUNCHER), "down", "--name", "demo"], environment).returncode == 0
    eventually(lambda: not processes(environment), 15)


def test_a_wrong_answer_is_told_with_what_was_expected() -> None:
    """Who sees the demo fail learns which pod carries which answer instead of which."""
    pod = AuditedPod("files", "nfs-client", "nfs-client", "anyuid", "fits", "", ())
    assert list(unmet([pod], [NFS_DENIED])) == [
        "files/nfs-client: expected denied RunAsUserOutOfRange, found fits under anyuid"
    ]
    assert list(unmet([], [NFS_DENIED])) == ["files/nfs-client: expected pods: 1, found: 0"]


def test_shared_and_missing_ranges_are_told() -> None:
    """A block that two namespaces hold, and a namespace without values, are failures of the demo."""
    found = [Ranges(name, "1000000000/10000", "s0:c1,c0", "1000000000/10000") for name in ("billing", "files", "shop")]
    told = "\n".join(unmet_ranges([*found[:2], Ranges("shop", "", "", "")]))
    assert "namespace monitoring: not found" in told
    assert "namespace files: UID range 1000000000/10000 is also that of namespace billing" in told
    assert "namespace shop: " in told
