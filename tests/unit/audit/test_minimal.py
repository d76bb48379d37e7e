from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from tests.unit.engine.builders import PROJ
from tests.unit.engine.test_properties import PODS

from scc_operator.audit.exposure import cost
from scc_operator.audit.minimal import NoSmallestSCC, Wanted, manifest, smallest_scc
from scc_operator.engine.judge import evaluate
from scc_operator.engine.pod import parse_pod
from scc_operator.engine.provider import build_providers
from scc_operator.engine.scc import IDRange, SecurityContextConstraints, parse_scc, with_defaults


def small(*containers: dict[str, Any], **spec: Any) -> SecurityContextConstraints:
    """The smallest SCC for one pod whose containers have these security contexts."""
    made = [{"name": f"c{at}", "securityContext": context} for at, context in enumerate(containers or ({},))]
    return smallest_scc("small", [Wanted(parse_pod({"spec": {"containers": made, **spec}}), PROJ)])


def test_a_pod_that_asks_for_nothing_needs_the_baseline() -> None:
    """Identity from the namespace, all capabilities dropped, no escalation, the runtime's seccomp profile."""
    scc = small()
    assert (scc.run_as_user.type, scc.required_drop_capabilities, scc.allow_privilege_escalation) == (
        "MustRunAsRange",
        ("ALL",),
        False,
    )
    assert scc.volumes == ("none",)


@pytest.mark.parametrize(
    "users, expected",
    [
        ([5], ("MustRunAs", 5, None, None)),
        ([5, 9], ("MustRunAsRange", None, 5, 9)),
        ([5, None], ("MustRunAs", 5, None, None)),
        ([0], ("MustRunAs", 0, None, None)),
        ([0, None], ("RunAsAny", None, None, None)),
    ],
)
def test_users(users: list[int | None], expected: tuple[Any, ...]) -> None:
    """One user is that user, several are the range that holds them; root never becomes the default of another one."""
    found = small(*({"runAsUser": user} if user is not None else {} for user in users)).run_as_user
    assert (found.type, found.uid, found.uid_range_min, found.uid_range_max) == expected


def test_groups_are_ranges_without_gaps() -> None:
    """Neighbouring ids are one range, others are ranges of their own."""
    scc = small(securityContext={"supplementalGroups": [3, 1, 2, 7], "fsGroup": 4})
    assert scc.supplemental_groups.ranges == (IDRange(1, 3), IDRange(7, 7))
    assert scc.fs_group.ranges == (IDRange(4, 4),)


def test_only_what_is_used_is_allowed() -> None:
    """Capabilities, volume types, sysctls and host namespaces of the pod, and no others."""
    scc = small(
        {"capabilities": {"add": ["NET_RAW"]}},
        hostNetwork=True,
        volumes=[{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "nfs": {}}],
        securityContext={"sysctls": [{"name": "kernel.sem"}, {"name": "net.ipv4.tcp_syncookies"}]},
    )
    assert (scc.allowed_capabilities, scc.volumes, scc.allowed_unsafe_sysctls) == (
        ("NET_RAW",),
        ("hostPath", "nfs"),
        ("kernel.sem",),
    )
    assert (scc.allow_host_network, scc.allow_host_pid, scc.allow_host_dir_volume_plugin) == (True, False, True)


def test_what_the_api_would_refuse_is_not_filled_in() -> None:
    """A privileged container, and one that adds CAP_SYS_ADMIN, may escalate: the API refuses them with a false."""
    assert small({"privileged": True}).allow_privilege_escalation is True
    assert small({"capabilities": {"add": ["CAP_SYS_ADMIN"]}}).allow_privilege_escalation is True


def test_what_all_containers_do_by_themselves_is_demanded() -> None:
    """A read-only root file system and a user namespace of its own cost nothing where every pod has them."""
    scc = small({"readOnlyRootFilesystem": True}, hostUsers=False)
    assert (scc.read_only_root_filesystem, scc.user_namespace_level) == (True, "RequirePodLevel")
    assert small({"readOnlyRootFilesystem": True}, {}).read_only_root_filesystem is False


def test_a_pod_that_no_scc_admits() -> None:
    """A volume without a known source is refused by every SCC that names its types, and the text says so."""
    with pytest.raises(NoSmallestSCC, match="unknown volume type"):
        small(volumes=[{"name": "odd", "newSource": {}}])


@settings(max_examples=150, deadline=None)
@given(PODS)
def test_the_smallest_scc_admits_its_pod(raw: dict[str, Any]) -> None:
    """Whatever a pod asks for: the SCC that is written, applied and read back admits it."""
    pod = parse_pod(raw)
    try:
        scc = smallest_scc("small", [Wanted(pod, PROJ)])
    except NoSmallestSCC:
        return
    stored = with_defaults(parse_scc(msgspec.to_builtins(manifest(scc))))
    (provider,) = build_providers([stored], PROJ)
    assert not evaluate(pod, provider).objections
    assert cost(stored) == cost(with_defaults(scc))
