"""What a user does with a cluster, by kubectl alone: installs, grants, upgrades; on kind as on the test cluster."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from scc_operator import names

ROOT = Path(__file__).parents[2]
PREVIOUS = Path(__file__).parent / "previous"
"""The manifests of the version before this one, rendered."""
INSTALL = (("apply", "-k", "crds"), ("apply", "-k", "manifests/audit"))
"""The README's commands, run where the README stands."""
IMAGE = "scc-operator"

_HERE = ["-n", "scc-samples"]
_TIMEOUT = 120.0


class JourneyError(Exception):
    """Something did not become as it should; the text says what was found."""


class Journey:
    """One cluster and one user with kubectl.

    Args:
        kubectl: the path of kubectl.
        kubeconfig: of the cluster's administrator.
        say: told every step.
    """

    def __init__(self, kubectl: Path, kubeconfig: Path, say: Callable[[str], object] = print) -> None:
        self._kubectl = kubectl
        self._kubeconfig = kubeconfig
        self.say = say

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl in the root of the repository and return what it prints."""
        login = ["--kubeconfig", self._kubeconfig, "--cache-dir", self._kubeconfig.parent / "kubectl-cache"]
        done = subprocess.run(
            [self._kubectl, *login, *args], cwd=ROOT, input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise JourneyError(f"$ kubectl {' '.join(args)}\n{done.stderr or done.stdout}")
        return done.stdout

    # --- steps ---------------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Install, or upgrade to, this version with the README's commands, and wait until it runs."""
        for command in INSTALL:
            self.say(f"$ kubectl {' '.join(command)}")
            self.kubectl(*command)
        self.rolled_out()

    def install_previous(self, image_tag: str) -> None:
        """Install the version before this one; its image is this one's, as only manifests are kept."""
        self.say("installing the previous version's manifests")
        self.kubectl("apply", "-f", str(PREVIOUS / "crds.yaml"))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        manifests = (PREVIOUS / "audit.yaml").read_text().replace(f"{IMAGE}:latest", f"{IMAGE}:{image_tag}")
        self.kubectl("apply", "-f", "-", stdin=manifests)

    def rolled_out(self) -> None:
        """Wait until every replica of this version is ready."""
        self.kubectl("rollout", "status", "deployment/scc-operator", "-n", "scc-operator", f"--timeout={_TIMEOUT:.0f}s")

    def grant(self) -> None:
        """Apply the samples: an SCC, an SCC binding, and a Deployment that needs both."""
        self.say("$ kubectl apply -k manifests/samples")
        self.kubectl("apply", "-k", "manifests/samples")

    def main_job(self) -> None:
        """Pods are judged; a grant changes the answer, and so does its end."""
        self.eventually("the sample runs under nfs-scc", lambda: self.sample() == ("nfs-scc", "fits-with-defaults"))
        self.say("$ kubectl delete sccbinding nfs-clients -n scc-samples")
        self.kubectl("delete", "sccbinding", "nfs-clients", *_HERE)
        self.eventually("without the grant the sample is denied", lambda: self.sample() == (None, "denied"))
        self.grant()
        self.eventually("granted again, it is nfs-scc again", lambda: self.sample()[0] == "nfs-scc")
        ranges = self.annotations("namespace", "scc-samples")
        if names.UID_RANGE not in ranges:
            raise JourneyError(f"namespace scc-samples has no ranges: {ranges}")

    # --- looking -------------------------------------------------------------------------------------------------

    def sample(self) -> tuple[str | None, str | None]:
        """SCC and verdict of the sample's pod."""
        pods = self.json("pods", *_HERE, "-l", "app.kubernetes.io/name=nfs-client")["items"]
        found = (pods[0]["metadata"].get("annotations") or {}) if pods else {}
        return found.get(names.SCC_ANNOTATION), found.get(names.VERDICT)

    def json(self, *args: str) -> Any:
        """`kubectl get ... -o json`."""
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    def annotations(self, kind: str, name: str) -> Mapping[str, str]:
        """The annotations of a cluster-scoped object."""
        return self.json(kind, name)["metadata"].get("annotations") or {}

    def eventually(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + _TIMEOUT
        while not holds():
            if time.monotonic() > deadline:
                raise JourneyError(f"not so after {_TIMEOUT:.0f} s: {what}; the sample has {self.sample()}")
            time.sleep(0.2)
        self.say(what)


def identities(manifests: str) -> set[tuple[str, str]]:
    """Kind and name of each object of a YAML stream."""
    return {(each["kind"], each["metadata"]["name"]) for each in yaml.safe_load_all(manifests) if each}
