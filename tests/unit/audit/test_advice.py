import copy
from typing import Any

import pytest
from hypothesis import given, settings
from tests.unit.engine.builders import PROJ, Json, stock_sccs
from tests.unit.engine.test_properties import PODS

from scc_operator.audit.advice import PodChanges, change_pod
from scc_operator.engine.api_defaults import with_api_defaults
from scc_operator.engine.judge import evaluate
from scc_operator.engine.pod import parse_pod
from scc_operator.engine.provider import Provider, build_providers

STOCK = {scc.name: scc for scc in stock_sccs()}


def provider(name: str = "restricted-v2") -> Provider:
    """A default SCC, ready to judge pods of namespace `proj`."""
    return build_providers([STOCK[name]], PROJ)[0]


def pod(*containers: Json, **spec: Any) -> Json:
    """A pod whose containers have these fields."""
    return {
        "metadata": {"name": "p", "namespace": "proj"},
        "spec": {"containers": [{"name": f"c{at}", **each} for at, each in enumerate(containers or ({},))], **spec},
    }


def context(**fields: Any) -> Json:
    """A container with this security context."""
    return {"securityContext": fields}


def told(changes: PodChanges | None) -> list[str]:
    """The changes as text, those that the application loses something by marked with a `!`."""
    assert changes is not None
    return [f"{'!' if change.loses else ''}{change}" for change in changes.changes]


def patched(document: Any, operations: list[Json]) -> Any:
    """The document after a JSON patch of additions to objects and removals."""
    document = copy.deepcopy(document)
    for operation in operations:
        *parents, last = [key.replace("~1", "/").replace("~0", "~") for key in operation["path"].split("/")[1:]]
        place = document
        for key in parents:
            place = place[int(key)] if isinstance(place, list) else place[key]
        at: Any = int(last) if isinstance(place, list) else last
        if operation["op"] == "remove":
            del place[at]
        else:
            place[at] = operation["value"]
    return document


@pytest.mark.parametrize(
    "asked, expected",
    [
        (pod(context(runAsUser=5)), ["remove spec.containers[0].securityContext.runAsUser (5)"]),
        (pod(context(runAsUser=0)), ["!remove spec.containers[0].securityContext.runAsUser (0)"]),
        (pod(securityContext={"runAsUser": 5}), ["remove spec.securityContext.runAsUser (5)"]),
        (pod(hostPID=True), ["!remove spec.hostPID (true)"]),
        (
            pod(context(allowPrivilegeEscalation=True)),
            ["set spec.containers[0].securityContext.allowPrivilegeEscalation to false"],
        ),
        (
            pod(context(capabilities={"add": ["NET_RAW", "NET_BIND_SERVICE"]})),
            ['!set spec.containers[0].securityContext.capabilities.add to ["NET_BIND_SERVICE"]'],
        ),
        (
            pod(context(capabilities={"add": ["NET_RAW"]})),
            ['!remove spec.containers[0].securityContext.capabilities.add (["NET_RAW"])'],
        ),
        (
            pod(context(seccompProfile={"type": "Unconfined"})),
            ['remove spec.containers[0].securityContext.seccompProfile ({"type":"Unconfined"})'],
        ),
        (
            pod(securityContext={"seLinuxOptions": {"level": "s0"}}),
            ['remove spec.securityContext.seLinuxOptions ({"level":"s0"})'],
        ),
        (pod(securityContext={"fsGroup": 7}), ["remove spec.securityContext.fsGroup (7)"]),
        (
            pod({"ports": [{"containerPort": 80}, {"containerPort": 90, "hostPort": 90}]}),
            ["!remove spec.containers[0].ports[1].hostPort (90)"],
        ),
    ],
)
def test_the_smallest_change_for_each_reason(asked: Json, expected: list[str]) -> None:
    """Leave out what is refused, or set what is demanded; what the application asked for is a loss."""
    assert told(change_pod(asked, provider())) == expected


def test_ports_that_the_api_fills_in_with_the_hosts_network_need_no_change() -> None:
    """Without hostNetwork the API no longer fills in a host port, so only hostNetwork is to be changed."""
    asked = pod({"ports": [{"containerPort": 80}]}, hostNetwork=True)
    assert told(change_pod(asked, provider(), with_api_defaults)) == ["!remove spec.hostNetwork (true)"]


def test_items_of_a_list_are_removed_from_its_end() -> None:
    """Two sysctls that are refused: both go, and the safe one between them stays."""
    names = ["kernel.a", "net.ipv4.tcp_syncookies", "kernel.b"]
    changes = change_pod(pod(securityContext={"sysctls": [{"name": name} for name in names]}), provider())
    assert changes is not None
    assert changes.pod["spec"]["securityContext"]["sysctls"] == [{"name": "net.ipv4.tcp_syncookies"}]


def test_no_single_field_gets_rid_of_a_volume() -> None:
    """What a volume is replaced by is for somebody who knows the application."""
    assert change_pod(pod(volumes=[{"name": "a", "hostPath": {"path": "/"}}]), provider()) is None


def test_a_patch_makes_the_objects_that_are_missing() -> None:
    """A value below an object that is not there comes with that object, below the template's path."""
    changes = change_pod(pod(), provider("restricted-v3"))
    assert changes is not None
    assert changes.json_patch(pod(), ("spec", "template")) == [
        {"op": "add", "path": "/spec/template/spec/hostUsers", "value": False}
    ]


@settings(max_examples=150, deadline=None)
@given(PODS)
def test_what_is_advised_fits(raw: Json) -> None:
    """The changed pod is admitted by the SCC, and the patch applied to the original makes just that pod."""
    for name in ("restricted-v2", "nonroot", "anyuid"):
        changes = change_pod(raw, provider(name))
        if changes is not None:
            assert not evaluate(parse_pod(changes.pod), provider(name)).objections
            assert patched(raw, changes.json_patch(raw)) == changes.pod
