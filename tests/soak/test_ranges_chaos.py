"""A thousand namespaces while everything dies: whoever survives, every namespace has ranges that nobody else has."""

import random
import threading
import time
from collections.abc import Callable
from itertools import cycle

import pykube
import requests
from tests.cluster import launcher
from tests.integration.ranges import KEYS, Ranges, indices
from tests.integration.rest import Rest
from tests.integration.support import OperatorProcess, eventually

from scc_operator.kube.paths import HOLDINGS, NAMESPACES

COUNT = 1000
CLIENTS = 4
KILL_EVERY = 3.0
DELETED = 50
SETTINGS = {"SCC_OPERATOR_RANGES_QUARANTINE": "3600", "SCC_OPERATOR_RANGES_LEAK_GRACE": "5"}


def test_a_thousand_namespaces_while_everything_dies(
    cluster: launcher.Cluster, api: pykube.HTTPClient, start_operator: Callable[..., OperatorProcess]
) -> None:
    """Two operators, one of them killed every few seconds, the API server restarted, namespaces deleted in between.

    At the end all have their ranges, all are disjoint, and the ledger holds what is carried or quarantined, not one
    block more.
    """
    operators = [start_operator(**SETTINGS) for _ in range(2)]
    creators = [threading.Thread(target=create, args=(cluster, client)) for client in range(CLIENTS)]
    began = time.monotonic()
    for creator in creators:
        creator.start()
    kills = restarts = 0
    victims = cycle(operators)
    ranges = Ranges(Rest(api))
    while any(creator.is_alive() for creator in creators) or not complete(ranges):
        assert time.monotonic() - began < 240, "namespaces are still without ranges"
        time.sleep(KILL_EVERY)
        victim = next(victims)
        victim.kill()
        kills += 1
        if kills == 2:
            cluster.restart_component("kube-apiserver")
            restarts += 1
            delete_some(cluster)
        for operator in operators:  # the restarted API server may have ended the other one too
            if operator.process is None or operator.process.poll() is not None:
                operator.start(wait=False)
    took = time.monotonic() - began
    assert kills >= 2
    assert restarts == 1
    for operator in operators:
        if operator.process is None or operator.process.poll() is not None:
            operator.start(wait=False)
        operator.wait_ready(60)
    eventually(lambda: complete(ranges), 60, 1)
    ranges.assert_disjoint()
    eventually(lambda: equal_to_truth(ranges), 90, 1)
    ranges.assert_disjoint()
    print(f"{COUNT} namespaces in {took:.0f} s, {kills} kills, {restarts} restart of the API server")


def create(cluster: launcher.Cluster, client: int) -> None:
    """Create a share of the namespaces, however often the API server is away."""
    rest = Rest(pykube.HTTPClient(pykube.KubeConfig.from_file(str(cluster.kubeconfig))))
    for number in range(client, COUNT, CLIENTS):
        persistently(lambda number=number: rest.create(NAMESPACES, {"metadata": {"name": f"chaos-{number:04}"}}))


def delete_some(cluster: launcher.Cluster) -> None:
    """Delete some of the namespaces that exist and create them anew."""
    rest = Rest(pykube.HTTPClient(pykube.KubeConfig.from_file(str(cluster.kubeconfig))))
    ranges = Ranges(rest)
    present = [name for name in ranges.all() if name.startswith("chaos-")]
    for name in random.Random(7).sample(sorted(present), min(DELETED, len(present))):
        ranges.delete(name)
        rest.create(NAMESPACES, {"metadata": {"name": name}})


def persistently(call: Callable[[], object]) -> None:
    """Call until it goes through, or has gone through without saying so."""
    while True:
        try:
            call()
        except requests.RequestException:
            time.sleep(0.2)
        except AssertionError as refusal:
            if ": 409 " in str(refusal):
                return
            time.sleep(0.2)
        else:
            return


def complete(ranges: Ranges) -> bool:
    """Whether all namespaces are there and have their three annotations."""
    try:
        found = ranges.all()
    except (requests.RequestException, AssertionError):
        return False
    chaos = [values for name, values in found.items() if name.startswith("chaos-")]
    return len(chaos) == COUNT and all(len(values) == len(KEYS) for values in found.values())


def equal_to_truth(ranges: Ranges) -> bool:
    """Whether the ledger holds exactly what namespaces carry and what is quarantined."""
    records = ranges.rest.list(HOLDINGS)
    quarantined = indices(
        ranges.ledger().uid_range,
        (record["spec"]["uidRange"] for record in records if record["status"]["state"] == "Released"),
    )
    bound = {record["status"]["namespace"] for record in records if record["status"]["state"] == "Bound"}
    taken, carried = ranges.taken(), ranges.carried()
    assert taken == carried | quarantined, (
        f"{len(taken - carried - quarantined)} leaked, {len(carried - taken)} missing"
    )
    assert bound == set(ranges.all())
    return True
