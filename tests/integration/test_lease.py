"""Two operators and one Lease: one works, the other is ready to."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pykube
import pytest
from tests.integration.rest import Rest
from tests.integration.support import OperatorProcess, eventually

from scc_operator.kube.paths import LEASES, NAMESPACES

NAMESPACE = "scc-operator-lease-test"
NAME = "scc-operator"


@pytest.fixture(scope="module")
def rest(api: pykube.HTTPClient) -> Iterator[Rest]:
    """The API server, with the namespace that the Lease lives in."""
    rest = Rest(api)
    rest.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    yield rest
    rest.delete(NAMESPACES, NAMESPACE)


Start = Callable[..., OperatorProcess]


@pytest.fixture
def start(start_operator: Start) -> Iterator[Callable[[], OperatorProcess]]:
    """Start an operator that waits for the Lease; all of them are ended after the test."""
    started: list[OperatorProcess] = []

    def one() -> OperatorProcess:
        environment = {"SCC_OPERATOR_LEASE": "on", "SCC_OPERATOR_NAMESPACE": NAMESPACE}
        started.append(start_operator(wait=False, **environment))
        return started[-1]

    yield one
    for operator in started:
        operator.kill()


@pytest.fixture
def pair(start: Callable[[], OperatorProcess], rest: Rest) -> tuple[OperatorProcess, OperatorProcess]:
    """A leader that works and a second operator that waits."""
    rest.delete(LEASES, NAME, NAMESPACE)
    leader = start()
    eventually(lambda: works(leader), timeout=30)
    standby = start()
    eventually(lambda: "waiting for Lease" in standby.log.read_text(), timeout=30)
    return leader, standby


def works(operator: OperatorProcess) -> bool:
    """Whether an operator has begun to work; one that only waits for the Lease is ready, too."""
    return "working:" in operator.log.read_text()


def test_the_second_operator_waits_and_follows_a_clean_end_at_once(
    pair: tuple[OperatorProcess, OperatorProcess], rest: Rest
) -> None:
    """Only the holder of the Lease works; on SIGTERM it gives the Lease up, so nobody waits for it to run out."""
    leader, standby = pair
    assert standby.http("/healthz")[0] == 200
    assert standby.http("/readyz")[0] == 200
    assert not works(standby)
    assert leader.stop() == 0
    ended = time.monotonic()
    eventually(lambda: works(standby))
    assert time.monotonic() - ended < 6
    spec = rest.get(LEASES, NAME, NAMESPACE)["spec"]
    assert spec["holderIdentity"]
    assert spec["leaseTransitions"] >= 1


def test_the_second_operator_takes_over_from_one_that_died(pair: tuple[OperatorProcess, OperatorProcess]) -> None:
    """A leader that falls silent keeps the Lease for its duration, 10 seconds, and not much longer."""
    leader, standby = pair
    leader.kill()
    died = time.monotonic()
    eventually(lambda: works(standby), timeout=20)
    assert time.monotonic() - died < 15


def test_a_leader_that_lost_its_lease_ends(pair: tuple[OperatorProcess, OperatorProcess], rest: Rest) -> None:
    """When somebody else holds the Lease the process ends, and does not take it away on its way out."""
    leader, _ = pair
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    thief = {"holderIdentity": "somebody-else", "leaseDurationSeconds": 3600, "renewTime": now}
    eventually(lambda: rest.patch(LEASES, NAME, {"spec": thief}, NAMESPACE))
    assert leader.process is not None
    leader.process.wait(15)
    assert "was lost" in leader.log.read_text()
    assert rest.get(LEASES, NAME, NAMESPACE)["spec"]["holderIdentity"] == "somebody-else"


def test_a_lease_needs_its_namespace(start_operator: Start) -> None:
    """Where the namespace of the Lease does not exist the operator ends, and says which to create."""
    environment = {"SCC_OPERATOR_LEASE": "on", "SCC_OPERATOR_NAMESPACE": "no-such-namespace"}
    operator = start_operator(wait=False, **environment)
    assert operator.process is not None
    assert operator.process.wait(30) != 0
    assert "the Lease needs namespace no-such-namespace; create it first" in operator.log.read_text()
