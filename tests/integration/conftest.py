"""Fixtures for tests on a real API server. One cluster serves the session; each test has a namespace of its own."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pykube
import pytest
import yaml
from tests.cluster import launcher
from tests.integration.rest import Rest
from tests.integration.support import ROOT, AuditLog, Kubectl, OperatorProcess, eventually


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
def installed(kubectl: Kubectl) -> None:
    """Everything of `manifests/audit` but the Deployment: rights, roles and policies as users install them."""
    rendered = kubectl("kustomize", ROOT / "manifests/audit").stdout
    kubectl.apply(*(each for each in yaml.safe_load_all(rendered) if each["kind"] != "Deployment"))


@pytest.fixture(scope="session")
def kubectl(cluster: launcher.Cluster) -> Kubectl:
    """Run kubectl as the cluster's administrator, or `as_user`."""
    return Kubectl(cluster.kubeconfig)


@pytest.fixture(scope="session")
def api(cluster: launcher.Cluster) -> pykube.HTTPClient:
    """A pykube client of the cluster's administrator."""
    return pykube.HTTPClient(pykube.KubeConfig.from_file(str(cluster.kubeconfig)))


@pytest.fixture(scope="session")
def rest(api: pykube.HTTPClient) -> Rest:
    """The API server in single calls, as the cluster's administrator."""
    return Rest(api)


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A new namespace with its default service account; deleted afterwards, without waiting."""
    name = f"t-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    eventually(lambda: kubectl("get", "serviceaccount", "default", "-n", name, check=False).returncode == 0)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def new_namespace(kubectl: Kubectl) -> Iterator[Callable[..., str]]:
    """Create namespaces that have annotations and labels from their first moment; deleted afterwards."""
    made: list[str] = []

    def make(*, annotations: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None) -> str:
        name = f"t-{secrets.token_hex(4)}"
        metadata = {"name": name, "annotations": dict(annotations or {}), "labels": dict(labels or {})}
        made.append(name)
        # Not applied: that would leave an annotation of kubectl's beside ours.
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        kubectl("create", "-f", "-", input=yaml.safe_dump(body))
        eventually(lambda: kubectl("get", "serviceaccount", "default", "-n", name, check=False).returncode == 0)
        return name

    yield make
    if made:
        kubectl("delete", "namespace", *made, "--wait=false", "--ignore-not-found")


@pytest.fixture
def temporary(kubectl: Kubectl) -> Iterator[Callable[..., None]]:
    """Apply cluster-scoped objects and delete them when the test is over, so that no other test meets them."""
    applied: list[dict[str, Any]] = []

    def apply(*objects: dict[str, Any]) -> None:
        applied.extend(objects)
        kubectl.apply(*objects)

    yield apply
    if applied:
        kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", input=yaml.safe_dump_all(applied))


@pytest.fixture(scope="session")
def audit_log(cluster: launcher.Cluster) -> AuditLog:
    """What the API server was asked."""
    assert cluster.audit_log is not None, "the test cluster runs without an audit policy"
    return AuditLog(cluster.audit_log)


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The demo comes last: it brings a cluster of its own, and what breaks it has broken something else before."""
    items.sort(key=lambda item: item.path.name == "test_demo.py")
