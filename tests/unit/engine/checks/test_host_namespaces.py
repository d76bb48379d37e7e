import pytest
from tests.unit.engine.builders import (
    CONTAINER,
    POD,
    container,
    fills,
    objections,
    pod,
    scc,
    texts,
)


@pytest.mark.parametrize(
    "field, allowing, code, label",
    [
        ("hostNetwork", "allowHostNetwork", "HostNetworkNotAllowed", "network"),
        ("hostPID", "allowHostPID", "HostPIDNotAllowed", "PID"),
        ("hostIPC", "allowHostIPC", "HostIPCNotAllowed", "IPC"),
    ],
)
def test_host_namespaces_are_reported_for_the_pod_and_each_container(
    field: str, allowing: str, code: str, label: str
) -> None:
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
