"""Fixtures for tests on a real API server. One cluster serves the session; each test has a namespace of its own."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pykube
import pytest

from tests.cluster import launcher
from tests.integration.support import ROOT, Kubectl, OperatorProcess, eventually


@pytest.fixture(scope="session")
def cluster() -> Iterator[launcher.Cluster]:
    """A real control plane with our CRDs and policies installed."""
    with launcher.start(audit_policy=Path(__file__).parent / "audit-policy.yaml") as started:
        kubectl = Kubectl(started.kubeconfig)
        kubectl("apply", "-k", ROOT / "crds")
        kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        yield started
        started.check()


@pytest.fixture(scope="session")
def kubectl(cluster: launcher.Cluster) -> Kubectl:
    """Run kubectl as the cluster's administrator, or `as_user`."""
    return Kubectl(cluster.kubeconfig)


@pytest.fixture(scope="session")
def api(cluster: launcher.Cluster) -> pykube.HTTPClient:
    """A pykube client of the cluster's administrator."""
    return pykube.HTTPClient(pykube.KubeConfig.from_file(str(cluster.kubeconfig)))


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A new namespace with its default service account; deleted afterwards, without waiting."""
    name = f"t-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    eventually(lambda: kubectl("get", "serviceaccount", "default", "-n", name, check=False).returncode == 0)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def start_operator(
    cluster: launcher.Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., OperatorProcess]]:
    """Start operators with settings given as environment variables; whatever still runs at the end is killed."""
    started: list[OperatorProcess] = []

    def start(*, wait: bool = True, kubeconfig: Path | None = None, **environment: str) -> OperatorProcess:
        log = tmp_path_factory.mktemp("operator") / "log"
        started.append(OperatorProcess(kubeconfig or cluster.kubeconfig, log, environment))
        return started[-1].start(wait=wait)

    yield start
    for operator in started:
        operator.kill()


@pytest.fixture(scope="module")
def operator(start_operator: Callable[..., OperatorProcess]) -> OperatorProcess:
    """An operator with its default settings."""
    return start_operator()
