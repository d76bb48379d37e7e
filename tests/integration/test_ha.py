"""Two replicas: who is ready for what, what Prometheus sees of each, and how work goes over from one to the other.

When the Lease changes hands is in `test_lease.py`.
"""

import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from tests.integration.rest import Rest
from tests.integration.support import (
    SERVICE_ACCOUNT,
    Kubectl,
    OperatorProcess,
    binding,
    completed,
    eventually,
    expect,
    free_port,
    pod,
    scc,
)

from scc_operator.kube.paths import LEASES, NAMESPACES

NAMESPACE = "scc-operator-ha-test"
LEADING = "scc_operator_leading"


@pytest.fixture
def replica(start_operator: Callable[..., OperatorProcess], rest: Rest) -> Iterator[Callable[..., OperatorProcess]]:
    """Start a replica; all of them are ended after the test."""
    if rest.get(NAMESPACES, NAMESPACE) is None:
        rest.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    rest.delete(LEASES, "scc-operator", NAMESPACE)
    started: list[OperatorProcess] = []

    def start(**environment: str) -> OperatorProcess:
        mine = {"SCC_OPERATOR_LEASE": "on", "SCC_OPERATOR_NAMESPACE": NAMESPACE}
        started.append(start_operator(**mine, **environment))
        return started[-1]

    yield start
    for operator in started:
        operator.kill()


def test_a_replica_that_waits_is_ready(replica: Callable[..., OperatorProcess]) -> None:
    """Both replicas are ready, one to answer and one to take over; the metric tells which is which."""
    first, second = replica(), replica()
    assert [each.http("/readyz")[0] for each in (first, second)] == [200, 200]
    assert [each.http("/healthz")[0] for each in (first, second)] == [200, 200]
    assert [each.metric(LEADING) for each in (first, second)] == [1, 0]
    assert first.stop() == 0
    eventually(lambda: second.metric(LEADING) == 1)
    assert second.http("/readyz")[0] == 200


def test_metrics_have_a_port_of_their_own(replica: Callable[..., OperatorProcess]) -> None:
    """With a port for metrics they are there and not among the probes; that of a waiting replica answers, too."""
    ports = [free_port(), free_port()]
    for port in ports:
        operator = replica(SCC_OPERATOR_METRICS_PORT=str(port))
        assert operator.http("/metrics")[0] == 404
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert LEADING in answer.read().decode()
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)


def test_work_goes_over_after_a_death(
    replica: Callable[..., OperatorProcess], kubectl: Kubectl, rest: Rest, namespace: str
) -> None:
    """What changes while the leader lies dead is seen to within 15 seconds by the one that waited."""
    del rest
    name = f"one-{namespace}"
    kubectl.apply(scc(name, priority=9), pod("web", namespace))
    first, second = replica(), replica()
    expect(kubectl, namespace, {"web": completed("restricted-v2")})
    first.kill()
    died = time.monotonic()
    kubectl.apply(binding("team", namespace, [name], SERVICE_ACCOUNT))
    expect(kubectl, namespace, {"web": completed(name)})
    assert time.monotonic() - died < 15
    assert second.metric(LEADING) == 1
    kubectl("delete", "scc", name)
