from typing import Any

import pytest
from tests.unit.engine.builders import Json, container, pod

from scc_operator.engine.api_defaults import TOKEN_MOUNT_PATH, with_api_defaults, with_service_account
from scc_operator.engine.errors import InvalidObject
from scc_operator.engine.pod import parse_pod


def spec_of(**spec: Any) -> Json:
    """The completed spec of a pod."""
    return dict(with_api_defaults({"spec": spec})["spec"])


def test_a_volume_without_a_source_becomes_an_empty_dir() -> None:
    """Only a volume that names nothing at all; a source that is not known stays (spec appendix C 2)."""
    volumes = [{"name": "a"}, {"name": "b", "secret": None}, {"name": "c", "future": {}}, {"name": "d", "secret": {}}]
    completed = parse_pod({"spec": spec_of(volumes=volumes)}).volumes
    assert [volume.type for volume in completed] == ["emptyDir", "emptyDir", "", "secret"]


def test_the_hosts_network_makes_ports_host_ports() -> None:
    """Ports of init and normal containers, not of ephemeral ones (spec appendix C 3)."""
    ports: list[Json] = [{"containerPort": 80}, {"containerPort": 81, "hostPort": 9}, {"name": "x"}]
    kinds = {kind: [container(ports=ports)] for kind in ("initContainers", "containers", "ephemeralContainers")}
    found = parse_pod({"spec": spec_of(hostNetwork=True, **kinds)}).host_ports
    assert [(port.path, port.port) for port in found] == [
        ("initContainers[0].hostPort", 80),
        ("initContainers[0].hostPort", 9),
        ("containers[0].hostPort", 80),
        ("containers[0].hostPort", 9),
        ("ephemeralContainers[0].hostPort", 9),
    ]
    assert len(parse_pod({"spec": spec_of(**kinds)}).host_ports) == 3


def test_field_references_get_their_version() -> None:
    """Without it a projected namespace would not count as part of a token volume (spec appendix C 4)."""
    item = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    others = [{"secret": {"name": "s"}}, {"downwardAPI": {"items": [{"path": "x"}]}}]
    for sources, only_token in (([], True), (others, False)):
        projected = {"sources": [{"downwardAPI": {"items": [item]}}, *sources]}
        (volume,) = parse_pod({"spec": spec_of(volumes=[{"name": "v", "projected": projected}])}).volumes
        assert volume.only_service_account_token is only_token
    assert "apiVersion" not in item["fieldRef"]


@pytest.mark.parametrize("spec", [{"serviceAccount": "a"}, {"serviceAccountName": "a"}])
def test_both_names_of_the_service_account_agree(spec: Json) -> None:
    """The deprecated field and the name mirror each other (spec appendix C 6)."""
    completed = spec_of(**spec)
    assert (completed["serviceAccount"], completed["serviceAccountName"]) == ("a", "a")


def test_defaults_applied_twice_change_nothing() -> None:
    """A pod that was read from an API server stays as it is."""
    raw = pod(container(ports=[{"containerPort": 80}]), spec={"hostNetwork": True, "volumes": [{"name": "v"}]})
    once = with_service_account(with_api_defaults(raw))
    assert with_service_account(with_api_defaults(once)) == once


def test_the_service_account_plugin_gives_account_and_token() -> None:
    """A pod without an account gets `default` and a token volume that an SCC allows as a secret (spec appendix C 5)."""
    shape = parse_pod(with_service_account({"spec": {"containers": [container()]}}))
    assert shape.service_account == "default"
    (volume,) = shape.volumes
    assert (volume.type, volume.only_service_account_token) == ("projected", True)


@pytest.mark.parametrize(
    "spec, automount, mounted",
    [
        ({}, True, True),
        ({}, False, False),
        ({"automountServiceAccountToken": True}, False, True),
        ({"automountServiceAccountToken": False}, True, False),
        ({"containers": [{"name": "c", "volumeMounts": [{"mountPath": TOKEN_MOUNT_PATH}]}]}, True, False),
    ],
)
def test_the_token_is_mounted_unless_told_otherwise(spec: Json, automount: bool, mounted: bool) -> None:
    """The pod's word counts before the account's, and containers that bring their own mount need none."""
    shape = parse_pod(with_service_account(pod(spec=spec), automount=automount))
    assert bool(shape.volumes) is mounted


@pytest.mark.parametrize(
    "spec, field",
    [
        ({"volumes": "x"}, "spec.volumes"),
        ({"containers": [{"ports": [{"containerPort": "80"}]}]}, "spec.containers[0].ports[0].containerPort"),
        ({"containers": [{"volumeMounts": ["x"]}]}, "spec.containers[0].volumeMounts[0]"),
    ],
)
def test_wrong_types_are_named(spec: Json, field: str) -> None:
    """A manifest that no API server would accept is refused with the field that is wrong."""
    for complete in (with_api_defaults, with_service_account):
        with pytest.raises(InvalidObject) as error:
            complete(pod(spec=spec))
        assert (error.value.object, error.value.field) == ("Pod proj/p", field)
