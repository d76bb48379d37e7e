import pytest
from tests.unit.engine.builders import (
    CONTAINER,
    Json,
    check,
    container,
    create,
    fills,
    objections,
    pod,
    scc,
    texts,
)


def listening(*ports: int, name: str = "c") -> Json:
    """A container with these host ports."""
    return container(name, ports=[{"containerPort": 80, "hostPort": port} for port in ports])


NO_PORTS = scc(allowHostPorts=False)
PORT_DETAIL = "Host ports are not allowed to be used"


def test_host_ports_are_reported_for_each_container() -> None:
    """With n containers and m host ports there are n times m objections (case 103)."""
    found = objections(NO_PORTS, pod(listening(1), listening(2, name="d")))
    assert found == [
        ("HostPortNotAllowed", f"provider s1: .containers[{at}].containers[{port}].hostPort", PORT_DETAIL)
        for at in (0, 1)
        for port in (0, 1)
    ]


def test_host_ports_of_all_kinds_of_containers_count() -> None:
    """Ports of init and ephemeral containers are host ports too."""
    spec = {"initContainers": [listening(7)], "containers": [], "ephemeralContainers": [listening(8)]}
    assert texts(NO_PORTS, pod(spec=spec)) == [
        f"provider s1: .{at}[0].{kind}[0].hostPort: Invalid value: {port}: {PORT_DETAIL}"
        for at in ("initContainers", "ephemeralContainers")
        for kind, port in (("initContainers", 7), ("ephemeralContainers", 8))
    ]


@pytest.mark.parametrize("port", [0, -3])
def test_only_ports_above_zero_are_host_ports(port: int) -> None:
    """Zero and negative ports are none (case 104)."""
    assert fills(NO_PORTS, pod(listening(port))) == {}


def test_equal_host_ports_are_one_text_in_the_mutating_pass_only() -> None:
    """The mutating pass drops duplicate texts, the validating one keeps them (case 104)."""
    asked = pod(listening(5, 5))
    text = f"{CONTAINER}.containers[0].hostPort: Invalid value: 5: {PORT_DETAIL}"
    assert create(asked, NO_PORTS).message.endswith(f"constraint: {text}")
    assert check(asked, NO_PORTS).message.endswith(f"constraint: [{text} {text}]")
