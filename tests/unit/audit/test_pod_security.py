"""What Pod Security labels refuse of what SCCs are about."""

import pytest
from tests.unit.engine.builders import Json, container, pod

from scc_operator.audit.pod_security import least_level, violations
from scc_operator.engine.pod import parse_pod

HARDENED: Json = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def refused(level: str, *containers: Json, **fields: Json) -> tuple[str, ...]:
    """What a level refuses of a pod with these containers and these fields of its spec."""
    return violations(parse_pod(pod(*containers, spec=fields)), level)


def test_a_hardened_pod_satisfies_restricted() -> None:
    """No level refuses it."""
    hardened = pod(container(**HARDENED))
    assert violations(parse_pod(hardened), "restricted") == ()
    assert least_level(parse_pod(hardened)) == "restricted"


def test_what_restricted_demands() -> None:
    """An ordinary pod leaves all of it open; baseline has nothing against that."""
    assert refused("restricted", container()) == (
        "container c: allowPrivilegeEscalation is not false",
        "container c: runAsNonRoot is not true",
        "container c: seccompProfile is not set",
        "container c: capabilities.drop lacks ALL",
    )
    assert refused("baseline", container()) == ()
    assert least_level(parse_pod(pod())) == "baseline"


@pytest.mark.parametrize(
    "context, expected",
    [
        ({"privileged": True}, "container c: privileged: true"),
        ({"capabilities": {"add": ["NET_ADMIN"]}}, "container c: capabilities.add NET_ADMIN"),
        ({"seccompProfile": {"type": "Unconfined"}}, "container c: seccompProfile Unconfined"),
        ({"seLinuxOptions": {"type": "spc_t"}}, "seLinuxOptions.type spc_t"),
        ({"seLinuxOptions": {"user": "u"}}, "seLinuxOptions.user u"),
        ({"seLinuxOptions": {"role": "r"}}, "seLinuxOptions.role r"),
    ],
)
def test_what_baseline_refuses_of_a_container(context: Json, expected: str) -> None:
    """It refuses what reaches the node or takes a layer of defence away."""
    assert refused("baseline", container(**context)) == (expected,)
    assert least_level(parse_pod(pod(container(**context)))) == "privileged"


@pytest.mark.parametrize(
    "spec, expected",
    [
        ({"hostNetwork": True}, "hostNetwork: true"),
        ({"hostPID": True}, "hostPID: true"),
        ({"hostIPC": True}, "hostIPC: true"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "a hostPath volume"),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "sysctl kernel.msgmax"),
        ({"containers": [container(ports=[{"hostPort": 80}])]}, "hostPort 80"),
    ],
)
def test_what_baseline_refuses_of_a_pod(spec: Json, expected: str) -> None:
    """The node's namespaces, ports, files and kernel parameters."""
    assert violations(parse_pod(pod(spec=spec)), "baseline") == (expected,)


def test_what_the_pod_says_counts_for_its_containers() -> None:
    """Values that containers inherit are theirs; annotations count as fields."""
    escalation = container(allowPrivilegeEscalation=False, capabilities={"drop": ["ALL"]})
    raw = pod(escalation, runAsNonRoot=True, seccompProfile={"type": "Localhost", "localhostProfile": "a"})
    assert violations(parse_pod(raw), "restricted") == ()
    raw = pod(
        escalation, runAsNonRoot=True, annotations={"seccomp.security.alpha.kubernetes.io/pod": "runtime/default"}
    )
    assert violations(parse_pod(raw), "restricted") == ()


def test_more_of_restricted() -> None:
    """Only some volume types, only one capability, and never user 0."""
    raw = pod(
        container(
            **{**HARDENED, "runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "NET_BIND_SERVICE"]}}
        ),
        spec={"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]},
    )
    assert violations(parse_pod(raw), "restricted") == (
        "a volume of type nfs",
        "container c: runAsUser 0",
        "container c: capabilities.add CHOWN",
    )


def test_privileged_refuses_nothing() -> None:
    """Whatever the pod asks for."""
    assert refused("privileged", container(privileged=True)) == ()
