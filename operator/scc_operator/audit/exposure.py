"""What an SCC lets a pod do beyond the baseline, and how much that is: what makes one SCC wider than another.

The order in which SCCs are tried says little about risk: its points ignore host PID and IPC, privilege escalation and
seccomp, and a priority overrides them. Whoever chooses an SCC by least privilege compares `cost` instead. The baseline
is `restricted-v2`: identity from the namespace, all capabilities dropped, no escalation, the runtime's seccomp profile.
"""

from collections.abc import Iterator
from enum import IntEnum

import msgspec

from scc_operator.engine.order import points
from scc_operator.engine.pod import RUNTIME_DEFAULT
from scc_operator.engine.scc import (
    ANY,
    MUST_RUN_AS,
    MUST_RUN_AS_NON_ROOT,
    MUST_RUN_AS_RANGE,
    RUN_AS_ANY,
    SecurityContextConstraints,
)
from scc_operator.engine.volume_types import HOST_PATH

ALL_CAPABILITIES = "ALL"
STANDARD_VOLUMES = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
)
"""The volume types that every default SCC allows."""

_NODE_CAPABILITIES = frozenset(
    {
        "BPF",
        "CHECKPOINT_RESTORE",
        "DAC_READ_SEARCH",
        "MKNOD",
        "NET_ADMIN",
        "PERFMON",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_CHROOT",
        "SYS_MODULE",
        "SYS_PTRACE",
        "SYS_RAWIO",
        "SYS_TIME",
        "SYSLOG",
    }
)
_BASELINE_CAPABILITIES = frozenset({"NET_BIND_SERVICE"})


class Level(IntEnum):
    """How far a permission reaches."""

    MINOR = 0
    """Identity within the container world, such as any group."""
    LOW = 1
    """More than the baseline, no known way out of the container by itself."""
    HIGH = 2
    """Takes away a layer of defence: root, escalation, no seccomp filter, any SELinux context."""
    NODE = 3
    """Reaches the node or its other workloads."""


class Permission(msgspec.Struct, frozen=True):
    """One thing that an SCC allows beyond the baseline."""

    text: str
    """In a few words without a comma, to be listed."""
    level: Level


def exposure(scc: SecurityContextConstraints) -> tuple[Permission, ...]:
    """What an SCC (after defaulting) allows beyond the baseline, the furthest-reaching first."""
    return tuple(sorted(_permissions(scc), key=lambda permission: -permission.level))


def cost(scc: SecurityContextConstraints) -> tuple[int, ...]:
    """How much an SCC allows, to be compared: how many permissions of each level, the worst first, then points."""
    levels = [permission.level for permission in _permissions(scc)]
    return (*(levels.count(level) for level in sorted(Level, reverse=True)), points(scc))


def _permissions(scc: SecurityContextConstraints) -> Iterator[Permission]:
    yield from _host(scc)
    yield from _capabilities(scc)
    yield from _user(scc)
    yield from _confinement(scc)
    yield from _volumes(scc)
    for field, strategy in (("fsGroup", scc.fs_group), ("supplemental group", scc.supplemental_groups)):
        if strategy.type == RUN_AS_ANY:
            yield Permission(f"any {field}", Level.MINOR)
        elif strategy.ranges:
            ranges = " ".join(
                f"{each.min}-{each.max}" if each.min != each.max else f"{each.min}" for each in strategy.ranges
            )
            yield Permission(f"{field} {ranges}", Level.MINOR)


def _host(scc: SecurityContextConstraints) -> Iterator[Permission]:
    for allowed, text, level in (
        (scc.allow_privileged_container, "privileged containers", Level.NODE),
        (scc.allow_host_pid, "host PIDs", Level.NODE),
        (scc.allow_host_network, "host network", Level.NODE),
        (scc.allow_host_ipc, "host IPC", Level.NODE),
        (scc.allow_host_ports, "host ports", Level.LOW),
    ):
        if allowed:
            yield Permission(text, level)


def _capabilities(scc: SecurityContextConstraints) -> Iterator[Permission]:
    added = {*scc.allowed_capabilities, *scc.default_add_capabilities}
    if added & {ANY, ALL_CAPABILITIES}:
        yield Permission("every capability", Level.NODE)
    else:
        for capability in sorted(added - _BASELINE_CAPABILITIES):
            reaches = capability.removeprefix("CAP_") in _NODE_CAPABILITIES
            yield Permission(f"capability {capability}", Level.NODE if reaches else Level.LOW)
    if not any(capability.upper() == ALL_CAPABILITIES for capability in scc.required_drop_capabilities):
        yield Permission("default capabilities", Level.LOW)


def _user(scc: SecurityContextConstraints) -> Iterator[Permission]:
    strategy = scc.run_as_user
    if strategy.type == RUN_AS_ANY:
        yield Permission("any user or root", Level.HIGH)
    elif strategy.type == MUST_RUN_AS_NON_ROOT:
        yield Permission("any user but root", Level.LOW)
    elif strategy.type == MUST_RUN_AS and strategy.uid is not None:
        yield Permission(f"user {strategy.uid}", Level.LOW if strategy.uid else Level.HIGH)
    elif strategy.type == MUST_RUN_AS_RANGE and strategy.uid_range_min is not None:
        low, high = strategy.uid_range_min, strategy.uid_range_max
        text = f"user {low}" if low == high else f"users {low}-{high}"
        yield Permission(text, Level.LOW if low > 0 else Level.HIGH)


def _confinement(scc: SecurityContextConstraints) -> Iterator[Permission]:
    options = scc.se_linux_context.se_linux_options
    if scc.se_linux_context.type == RUN_AS_ANY:
        yield Permission("any SELinux context", Level.HIGH)
    elif options and (options.type or options.user or options.role or options.level):
        parts = ":".join(part for part in (options.user, options.role, options.type, options.level) if part)
        yield Permission(f"SELinux {parts}", Level.LOW)
    if scc.allow_privilege_escalation is not False:
        yield Permission("privilege escalation", Level.HIGH)
    if ANY in scc.seccomp_profiles:
        yield Permission("any or no seccomp profile", Level.HIGH)
    elif not scc.seccomp_profiles:
        yield Permission("no seccomp profile", Level.HIGH)
    else:
        for profile in scc.seccomp_profiles:
            if profile not in {RUNTIME_DEFAULT, "docker/default"}:
                yield Permission(f"seccomp {profile}", Level.LOW)
    if scc.allowed_unsafe_sysctls:
        yield Permission(f"unsafe sysctls {' '.join(scc.allowed_unsafe_sysctls)}", Level.HIGH)


def _volumes(scc: SecurityContextConstraints) -> Iterator[Permission]:
    volumes = set(scc.volumes or ())
    if volumes & {ANY, HOST_PATH}:
        yield Permission("hostPath volumes", Level.NODE)
    if ANY in volumes:
        yield Permission("every volume type", Level.LOW)
    elif more := sorted(volumes - {*STANDARD_VOLUMES, HOST_PATH, "none"}):
        for volume in more:
            yield Permission(f"{volume} volumes", Level.LOW)
