"""Whether one SCC is contained in another, table tests and the promise itself against the engine."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.engine.builders import PROJ, SCC, Json, container, pod, stock_sccs
from tests.unit.engine.builders import scc as permissive
from tests.unit.engine.test_properties import PODS, SCCS

from scc_operator.audit.compare import Extra, Relation, beyond, compare
from scc_operator.engine.admit import apply_fills
from scc_operator.engine.judge import evaluate
from scc_operator.engine.pod import parse_pod
from scc_operator.engine.provider import build_providers, complete
from scc_operator.engine.scc import GroupStrategy, RunAsUserStrategy, SELinuxStrategy, with_defaults

STOCK = {scc.name: scc for scc in stock_sccs()}


def scc(name: str = "s1", /, **fields: Any) -> SCC:
    """An SCC that allows everything but what `fields` say, after defaulting."""
    return with_defaults(permissive(name, **{"allowHostDirVolumePlugin": True, **fields}))


def more(left: SCC, right: SCC) -> list[str]:
    """What the left one allows and the right one does not; formal differences in parentheses."""
    return [f"({each.text})" if each.formal else each.text for each in beyond(left, right)]


@pytest.mark.parametrize("name", sorted(STOCK))
def test_an_scc_equals_itself(name: str) -> None:
    """An SCC allows nothing that it does not allow."""
    assert compare(STOCK[name], STOCK[name]).relation is Relation.EQUAL


@pytest.mark.parametrize(
    "inner, outer",
    [
        ("restricted-v2", "nonroot-v2"),
        ("restricted-v2", "restricted"),
        ("restricted-v2", "anyuid"),
        ("nonroot", "anyuid"),
        ("hostmount-anyuid", "privileged"),
        ("anyuid", "privileged"),
    ],
)
def test_default_sccs_are_ordered_as_their_descriptions_say(inner: str, outer: str) -> None:
    """The narrower default SCCs lie in the wider ones, but for spellings."""
    comparison = compare(STOCK[inner], STOCK[outer])
    assert comparison.relation is Relation.WIDER, comparison.more_in_first
    assert compare(STOCK[outer], STOCK[inner]).relation is Relation.NARROWER


def test_restricted_refuses_a_spelled_out_profile_that_it_grants_anyway() -> None:
    """An SCC without profiles refuses a pod that asks for the runtime's: formal, as it lets pods run with less."""
    assert more(STOCK["restricted-v2"], STOCK["restricted"]) == [
        "(adding NET_BIND_SERVICE)", "(asking for seccomp profile runtime/default)"
    ]  # fmt: skip
    assert "running without a seccomp profile" in more(STOCK["restricted"], STOCK["restricted-v2"])


def test_non_root_refuses_a_spelled_out_false() -> None:
    """MustRunAsNonRoot refuses runAsNonRoot: false also with a user that is not root."""
    assert more(STOCK["restricted-v2"], STOCK["nonroot-v2"]) == ["(an explicit runAsNonRoot: false)"]


RANGE: Json = {"type": "MustRunAsRange"}
NS_GROUP: Json = {"type": "MustRunAs"}


def ranges(*pairs: tuple[int, int]) -> Json:
    """A group strategy with these ranges."""
    return {"type": "MustRunAs", "ranges": [{"min": low, "max": high} for low, high in pairs]}


@pytest.mark.parametrize(
    "left, right, expected",
    [
        ({}, {"allowPrivilegedContainer": False}, ["privileged containers"]),
        ({}, {"allowHostPID": False, "allowHostIPC": False}, ["the node's processes", "the node's IPC"]),
        ({}, {"allowHostNetwork": False, "allowHostPorts": False}, ["the node's network", "ports of the node"]),
        ({}, {"userNamespaceLevel": "RequirePodLevel"}, ["the node's user namespace"]),
        ({}, {"allowPrivilegeEscalation": False}, ["privilege escalation"]),
        ({}, {"readOnlyRootFilesystem": True}, ["writing to the image's file system"]),
        ({}, {"runAsUser": RANGE}, ["any user, root included"]),
        ({}, {"runAsUser": {"type": "MustRunAsNonRoot"}}, ["root"]),
        ({"runAsUser": {"type": "MustRunAsNonRoot"}}, {"runAsUser": RANGE}, ["any user but root"]),
        ({"runAsUser": {"type": "MustRunAs", "uid": 0}}, {"runAsUser": {"type": "MustRunAsNonRoot"}}, ["root"]),
        ({"runAsUser": {"type": "MustRunAs", "uid": 7}}, {"runAsUser": RANGE}, ["user 7"]),
        ({"runAsUser": RANGE}, {"runAsUser": {"type": "MustRunAs", "uid": 7}}, ["the namespace's own users"]),
        (
            {"runAsUser": {**RANGE, "uidRangeMin": 5, "uidRangeMax": 9}},
            {"runAsUser": {**RANGE, "uidRangeMin": 6, "uidRangeMax": 8}},
            ["user 5, 9"],
        ),
        ({}, {"fsGroup": NS_GROUP}, ["any fsGroup"]),
        ({"fsGroup": NS_GROUP}, {"fsGroup": ranges((1, 2))}, ["the namespace's own fsGroups"]),
        ({"fsGroup": ranges((1, 2), (3, 9))}, {"fsGroup": ranges((2, 4))}, ["fsGroup 1, 5-9"]),
        ({"supplementalGroups": ranges((5, 6))}, {"supplementalGroups": NS_GROUP}, ["supplemental group 5-6"]),
        ({}, {"seLinuxContext": {"type": "MustRunAs"}}, ["any SELinux context"]),
        (
            {"seLinuxContext": {"type": "MustRunAs", "seLinuxOptions": {"type": "spc_t"}}},
            {"seLinuxContext": {"type": "MustRunAs"}},
            ["SELinux context: type spc_t, the namespace's level"],
        ),
        (
            {"seLinuxContext": {"type": "MustRunAs", "seLinuxOptions": {"level": "s0:c1,c2"}}},
            {"seLinuxContext": {"type": "MustRunAs", "seLinuxOptions": {"level": "s0:c2,c1"}}},
            [],
        ),
        ({}, {"allowedCapabilities": ["KILL"]}, ["adding any capability"]),
        (
            {"allowedCapabilities": ["KILL", "NET_RAW"], "defaultAddCapabilities": ["CHOWN"]},
            {"allowedCapabilities": ["CHOWN"]},
            ["adding NET_RAW", "(adding KILL)"],
        ),
        ({}, {"requiredDropCapabilities": ["ALL"]}, ["keeping capabilities that the runtime gives by default"]),
        ({"requiredDropCapabilities": ["all"]}, {"requiredDropCapabilities": ["KILL"]}, []),
        (
            {"requiredDropCapabilities": ["KILL"]},
            {"requiredDropCapabilities": ["MKNOD", "KILL"]},
            ["keeping MKNOD"],
        ),
        ({}, {"seccompProfiles": []}, ["any seccomp profile, or none"]),
        ({"seccompProfiles": ["docker/default"]}, {"seccompProfiles": ["runtime/default"]}, []),
        (
            {"seccompProfiles": ["runtime/default", "localhost/a"]},
            {"seccompProfiles": []},
            ["asking for seccomp profile localhost/a, runtime/default"],
        ),
        ({}, {"allowedUnsafeSysctls": []}, ["sysctls *"]),
        ({"allowedUnsafeSysctls": ["net.a"]}, {"allowedUnsafeSysctls": ["net.*"]}, []),
        ({"allowedUnsafeSysctls": []}, {"forbiddenSysctls": ["kernel.*"]}, ["sysctls kernel.shm_rmid_forced"]),
        (
            {"allowedUnsafeSysctls": ["net.*"], "forbiddenSysctls": ["kernel.*"]},
            {"allowedUnsafeSysctls": ["net.*"], "forbiddenSysctls": ["kernel.*", "net.core.*"]},
            ["sysctls net.core.*"],
        ),
        ({}, {"volumes": ["secret"]}, ["any volume type", "any flexVolume driver"]),
        ({"volumes": ["secret", "nfs"]}, {"volumes": ["secret"]}, ["volume types hostPath, nfs"]),
        (
            {"allowedFlexVolumes": [{"driver": "a"}, {"driver": "b"}]},
            {"allowedFlexVolumes": [{"driver": "b"}]},
            ["flexVolume drivers a"],
        ),
    ],
)
def test_what_one_allows_beyond_the_other(left: Json, right: Json, expected: list[str]) -> None:
    """Each constraint tells what is allowed in addition."""
    right = {"allowHostDirVolumePlugin": False, **right} if right.get("volumes") else right
    assert more(scc("a", **left), scc("b", **right)) == expected


def test_values_of_one_namespace_are_compared_as_numbers() -> None:
    """Completed with a namespace's values, an explicit range may hold what the namespace gives."""
    fixed = scc("fixed", runAsUser={**RANGE, "uidRangeMin": 1000680000, "uidRangeMax": 1000690000})
    own = scc("own", runAsUser=RANGE)
    assert more(own, fixed) == ["the namespace's own users"]
    assert more(complete(own, PROJ), complete(fixed, PROJ)) == []


def test_what_has_no_direction_is_told_apart() -> None:
    """Priority and defaults change results without allowing more."""
    left, right = scc("a"), scc("b", priority=5, defaultAddCapabilities=["KILL"], seccompProfiles=["unconfined", "*"])
    comparison = compare(left, right)
    assert comparison.relation is Relation.EQUAL
    assert [each.name for each in comparison.effects] == [
        "priority", "points", "defaultAddCapabilities", "default seccomp profile"
    ]  # fmt: skip


# --- the promise ---------------------------------------------------------------------------------------------------


def loosened(scc: SCC, fields: Json) -> SCC:
    """The SCC with some of its constraints taken away."""
    return msgspec.structs.replace(scc, **fields)


LOOSER = st.fixed_dictionaries(
    {},
    optional={
        "allowed_capabilities": st.just(("*",)),
        "required_drop_capabilities": st.just(()),
        "seccomp_profiles": st.just(("*",)),
        "allow_privilege_escalation": st.just(True),
        "allow_privileged_container": st.just(True),
        "read_only_root_filesystem": st.just(False),
        "allow_host_network": st.just(True),
        "fs_group": st.just(GroupStrategy("RunAsAny")),
        "supplemental_groups": st.just(GroupStrategy("RunAsAny")),
        "run_as_user": st.just(RunAsUserStrategy("RunAsAny")),
        "se_linux_context": st.just(SELinuxStrategy("RunAsAny")),
    },
)


@settings(max_examples=30, deadline=None)
@given(st.lists(PODS, min_size=5, max_size=5), SCCS, SCCS, LOOSER)
def test_what_the_contained_scc_admits_the_other_admits(pods: list[Json], scc: SCC, other: SCC, looser: Json) -> None:
    """A pod that satisfies an SCC as it runs is admitted under every SCC that contains it."""
    loosened = msgspec.structs.replace(scc, **looser)
    assert compare(scc, loosened).contained
    sccs = [scc, loosened, other, msgspec.structs.replace(other, **looser), *STOCK.values()]
    promised(pods, [provider.scc for provider in build_providers(sccs, PROJ)])


CONTEXTS: list[Json] = [
    {},
    {"runAsNonRoot": False, "runAsUser": 1000680000},
    {"runAsUser": 0},
    {"runAsUser": 5},
    {"runAsUser": 7, "runAsNonRoot": True},
    {"capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}},
    {"capabilities": {"add": ["NET_ADMIN"]}},
    {"privileged": True},
    {"allowPrivilegeEscalation": True},
    {"allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}},
    {"seccompProfile": {"type": "Unconfined"}},
    {"readOnlyRootFilesystem": False},
    {"seLinuxOptions": {"level": "s0:c1,c2"}},
]
SPECS: list[Json] = [
    {"hostNetwork": True},
    {"hostPID": True},
    {"hostIPC": True},
    {"hostUsers": False},
    {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]},
    {"volumes": [{"name": "a", "secret": {}}]},
    {"volumes": [{"name": "a", "nfs": {"server": "s", "path": "/"}}]},
    {"volumes": [{"name": "a", "flexVolume": {"driver": "one"}}]},
    {"volumes": [{"name": "a", "flexVolume": {"driver": "two"}}]},
    {"securityContext": {"fsGroup": 7}},
    {"securityContext": {"supplementalGroups": [7]}},
    {"securityContext": {"supplementalGroups": []}},
    {"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}},
    {"securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}},
    {"securityContext": {"seLinuxOptions": {"level": "s0", "type": "spc_t"}}},
    {"containers": [container(ports=[{"hostPort": 80}])]},
]
NARROWED: list[Json] = [
    {},
    {"allowPrivilegedContainer": False},
    {"allowHostPID": False},
    {"allowHostIPC": False},
    {"allowHostNetwork": False},
    {"allowHostPorts": False},
    {"userNamespaceLevel": "RequirePodLevel"},
    {"allowPrivilegeEscalation": False},
    {"readOnlyRootFilesystem": True},
    {"runAsUser": {"type": "MustRunAsNonRoot"}},
    {"runAsUser": RANGE},
    {"runAsUser": {**RANGE, "uidRangeMin": 5, "uidRangeMax": 9}},
    {"runAsUser": {"type": "MustRunAs", "uid": 5}},
    {"runAsUser": {"type": "MustRunAs", "uid": 0}},
    {"fsGroup": NS_GROUP},
    {"fsGroup": ranges((7, 9))},
    {"supplementalGroups": NS_GROUP},
    {"supplementalGroups": ranges((1, 6), (7, 7))},
    {"seLinuxContext": {"type": "MustRunAs"}},
    {"seLinuxContext": {"type": "MustRunAs", "seLinuxOptions": {"level": "s0:c2,c1"}}},
    {"allowedCapabilities": ["NET_ADMIN"]},
    {"allowedCapabilities": [], "defaultAddCapabilities": ["NET_BIND_SERVICE"]},
    {"requiredDropCapabilities": ["ALL"]},
    {"seccompProfiles": []},
    {"seccompProfiles": ["docker/default"]},
    {"seccompProfiles": ["unconfined"]},
    {"allowedUnsafeSysctls": []},
    {"allowedUnsafeSysctls": ["net.core.*"], "forbiddenSysctls": ["kernel.*"]},
    {"volumes": ["secret"], "allowHostDirVolumePlugin": False},
    {"volumes": ["hostPath", "nfs"]},
    {"allowedFlexVolumes": [{"driver": "one"}]},
]


def test_the_promise_holds_among_sccs_that_differ_in_one_constraint() -> None:
    """What an SCC with one constraint admits as it runs is admitted under each that contains it, default ones too."""
    pods = [pod(container(**context)) for context in CONTEXTS] + [pod(spec=spec) for spec in SPECS]
    narrowed = [scc(f"narrowed-{at}", **fields) for at, fields in enumerate(NARROWED)]
    promised(pods, [provider.scc for provider in build_providers([*narrowed, *STOCK.values()], PROJ)])


def promised(pods: list[Json], sccs: list[SCC]) -> None:
    """Check the promise for all pairs of SCCs (values filled in) and all these pods, completed under the first."""
    providers = build_providers(sccs, PROJ)
    for inner in providers:
        outers = [each for each in providers if compare(inner.scc, each.scc).contained]
        for raw in pods:
            shape = parse_pod(apply_fills(raw, evaluate(parse_pod(raw), inner)))
            first = evaluate(shape, inner)
            if first.fits and not first.fills:
                for outer in outers:
                    assert evaluate(shape, outer).objections == (), (inner.name, outer.name)


def test_a_difference_knows_its_words() -> None:
    """An extra is a text and whether it is formal."""
    assert beyond(STOCK["anyuid"], STOCK["nonroot"])[0] == Extra("root")
