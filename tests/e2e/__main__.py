"""`make e2e`: kind, the image, the README's install, the main job, and an upgrade. Needs a Docker engine.

kind is built from its Go module like the test cluster's parts; only Docker must be there.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import launcher
from tests.e2e.journey import IMAGE, ROOT, Journey, JourneyError

from scc_operator import __version__

CLUSTER = "scc-operator-e2e"
NO_ENGINE = 1


def say(text: str) -> None:
    """Tell the person who waits."""
    print(f"e2e: {text}", flush=True)


def run(command: Sequence[str | Path]) -> None:
    """Run a command whose output the person sees."""
    say(f"$ {' '.join(map(str, command))}")
    subprocess.run(command, cwd=ROOT, check=True)


def missing_engine() -> str:
    """Why there is no Docker engine to work with; empty where there is one."""
    docker = shutil.which("docker")
    if docker is None:
        return "there is no command docker"
    done = subprocess.run([docker, "info"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"docker info: {(done.stderr or done.stdout).strip().splitlines()[-1]}"


@contextmanager
def kind_cluster(folder: Path) -> Iterator[Path]:
    """A kind cluster of this run; yields its kubeconfig."""
    kind, kubeconfig = launcher.tool("kind"), folder / "kubeconfig"
    run([kind, "create", "cluster", "--name", CLUSTER, "--kubeconfig", kubeconfig, "--wait", "120s"])
    try:
        yield kubeconfig
    finally:
        run([kind, "delete", "cluster", "--name", CLUSTER, "--kubeconfig", kubeconfig])


def travel(journey: Journey) -> None:
    """The previous version, what a user makes on it, the upgrade, and the main job."""
    journey.install_previous(__version__)
    journey.grant()
    kept = journey.json("sccbinding", "nfs-clients", "-n", "scc-samples")["metadata"]["uid"]
    journey.install()
    if journey.json("sccbinding", "nfs-clients", "-n", "scc-samples")["metadata"]["uid"] != kept:
        raise JourneyError("the upgrade replaced an SCCBinding")
    journey.main_job()
    journey.say("$ kubectl rollout restart deployment/scc-operator -n scc-operator")
    journey.kubectl("rollout", "restart", "deployment/scc-operator", "-n", "scc-operator")
    journey.rolled_out()
    journey.main_job()


def main() -> int:
    """Run it; 1 where something is wrong, or where there is no engine and E2E_OPTIONAL is not set."""
    if why := missing_engine():
        optional = os.environ.get("E2E_OPTIONAL", "") not in {"", "0"}
        way_out = "skipped, as E2E_OPTIONAL is set" if optional else "start one, or set E2E_OPTIONAL=1 to skip this"
        say(f"no Docker engine: {why}; {way_out}")
        return 0 if optional else NO_ENGINE
    image = f"{IMAGE}:{__version__}"
    try:
        run(["docker", "build", "--tag", image, "."])
        with tempfile.TemporaryDirectory() as folder, kind_cluster(Path(folder)) as kubeconfig:
            run([launcher.tool("kind"), "load", "docker-image", image, "--name", CLUSTER])
            travel(Journey(launcher.kubectl_path(), kubeconfig, say))
    except (JourneyError, launcher.ClusterError, subprocess.CalledProcessError) as error:
        say(f"failed: {error}")
        return 1
    say("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
