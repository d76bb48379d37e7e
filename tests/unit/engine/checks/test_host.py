import pytest
from tests.unit.engine.builders import CONTAINER, POD, check, container, create, fills, objections, pod, scc, texts


def listening(*ports, name="c"):
    return container(name, ports=[{"containerPort": 80, "hostPort": port} for port in ports])


NO_PORTS = scc(allowHostPorts=False)
PORT_DETAIL = "Host ports are not allowed to be used"


def test_host_ports_are_reported_for_each_container():
    """With n containers and m host ports there are n times m objections (case 103)."""
    found = objections(NO_PORTS, pod(listening(1), listening(2, name="d")))
    assert found == [
        ("HostPortNotAllowed", f"provider s1: .containers[{at}].containers[{port}].hostPort", PORT_DETAIL)
        for at in (0, 1)
        for port in (0, 1)
    ]


def test_host_ports_of_all_kinds_of_containers_count():
    """Ports of init and ephemeral containers are host ports too."""
    spec = {"initContainers": [listening(7)], "containers": [], "ephemeralContainers": [listening(8)]}
    assert texts(NO_PORTS, pod(spec=spec)) == [
        f"provider s1: .{at}[0].{kind}[0].hostPort: Invalid value: {port}: {PORT_DETAIL}"
        for at in ("initContainers", "ephemeralContainers")
        for kind, port in (("initContainers", 7), ("ephemeralContainers", 8))
    ]


@pytest.mark.parametrize("port", [0, -3])
def test_only_ports_above_zero_are_host_ports(port):
    """Zero and negative ports are none (case 104)."""
    assert fills(NO_PORTS, pod(listening(port))) == {}


def test_equal_host_ports_are_one_text_in_the_mutating_pass_only():
    """The mutating pass drops duplicate texts, the validating one keeps them (case 104)."""
    asked = pod(listening(5, 5))
    text = f"{CONTAINER}.containers[0].hostPort: Invalid value: 5: {PORT_DETAIL}"
    assert create(asked, NO_PORTS).message.endswith(f"constraint: {text}")
    assert check(asked, NO_PORTS).message.endswith(f"constraint: [{text} {text}]")


@pytest.mark.parametrize(
    "field, allowing, code, label",
    [
        ("hostNetwork", "allowHostNetwork", "HostNetworkNotAllowed", "network"),
        ("hostPID", "allowHostPID", "HostPIDNotAllowed", "PID"),
        ("hostIPC", "allowHostIPC", "HostIPCNotAllowed", "IPC"),
    ],
)
def test_host_namespaces_are_reported_for_the_pod_and_each_container(field, allowing, code, label):
    """A namespace of the node is refused once for the pod and once for each container (case 105)."""
    asked = pod(container("c"), container("d"), spec={field: True})
    detail = f"Host {label} is not allowed to be used"
    assert objections(scc(**{allowing: False}), asked) == [
        (code, f"{POD}.{field}", detail),
        (code, f"{CONTAINER}.{field}", detail),
        (code, f"provider s1: .containers[1].{field}", detail),
    ]
    assert texts(scc(**{allowing: False}), asked)[0] == f"{POD}.{field}: Invalid value: true: {detail}"
    assert fills(scc(), asked) == {}


@pytest.mark.parametrize("spec, value", [({"hostUsers": True}, "true"), ({}, '"null"')])
def test_a_user_namespace_may_be_required(spec, value):
    """RequirePodLevel demands hostUsers: false; absence means the node's (cases 10, 106)."""
    under = scc(userNamespaceLevel="RequirePodLevel")
    assert texts(under, pod(spec=spec)) == [f"{POD}.hostUsers: Invalid value: {value}: Host Users must be set to false"]
    assert fills(under, pod(spec={"hostUsers": False})) == {}


@pytest.mark.parametrize("level", ["AllowHostLevel", "", "Foo"])
def test_no_other_level_demands_anything(level):
    """Unknown levels are not enforced (case 106)."""
    assert fills(scc(userNamespaceLevel=level), pod(spec={"hostUsers": True})) == {}
