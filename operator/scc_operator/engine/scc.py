"""SecurityContextConstraints as data, and the defaulting that OpenShift applies when one is stored.

An SCC is read as its author wrote it (`parse_scc`); `with_defaults` gives what OpenShift would have stored.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from scc_operator.engine.volume_types import HOST_PATH, NO_VOLUME, VOLUME_TYPES
from scc_operator.engine.wire import Int64, convert, describe, invalid
from scc_operator.names import SCC_KIND

MUST_RUN_AS: Final = "MustRunAs"
MUST_RUN_AS_RANGE: Final = "MustRunAsRange"
MUST_RUN_AS_NON_ROOT: Final = "MustRunAsNonRoot"
RUN_AS_ANY: Final = "RunAsAny"
REQUIRE_POD_LEVEL: Final = "RequirePodLevel"
ANY: Final = "*"


class IDRange(msgspec.Struct, frozen=True, gc=False):
    """Ids from min to max, both included; an absent bound is 0."""

    min: Int64 = 0
    max: Int64 = 0

    def __contains__(self, value: int) -> bool:
        return self.min <= value <= self.max


class SELinuxOptions(msgspec.Struct, frozen=True, gc=False):
    """The four parts of an SELinux context; an empty string is an absent part."""

    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class RunAsUserStrategy(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """How an SCC constrains the user id of containers."""

    type: str = ""
    uid: Int64 | None = None
    uid_range_min: Int64 | None = None
    uid_range_max: Int64 | None = None


class SELinuxStrategy(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """How an SCC constrains SELinux contexts."""

    type: str = ""
    se_linux_options: SELinuxOptions | None = None


class GroupStrategy(msgspec.Struct, frozen=True, gc=False):
    """How an SCC constrains fsGroup or supplementalGroups."""

    type: str = ""
    ranges: tuple[IDRange, ...] = ()


class AllowedFlexVolume(msgspec.Struct, frozen=True, gc=False):
    """A flexVolume driver that an SCC allows."""

    driver: str = ""


class ObjectMeta(msgspec.Struct, frozen=True, gc=False):
    """The part of an SCC's metadata that matters."""

    name: str = ""


class SecurityContextConstraints(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """An SCC: `security.openshift.io/v1`, cluster-scoped, fields at top level (spec/admission.md §1.1).

    Null lists are read as empty ones, except `volumes`, where the two default differently.
    """

    metadata: ObjectMeta = ObjectMeta()
    priority: int | None = None
    allow_privileged_container: bool = False
    default_add_capabilities: tuple[str, ...] = ()
    required_drop_capabilities: tuple[str, ...] = ()
    allowed_capabilities: tuple[str, ...] = ()
    allow_host_dir_volume_plugin: bool = False
    volumes: tuple[str, ...] | None = None
    allowed_flex_volumes: tuple[AllowedFlexVolume, ...] = ()
    allow_host_network: bool = False
    allow_host_ports: bool = False
    allow_host_pid: bool = msgspec.field(default=False, name="allowHostPID")
    allow_host_ipc: bool = msgspec.field(default=False, name="allowHostIPC")
    user_namespace_level: str = ""
    default_allow_privilege_escalation: bool | None = None
    allow_privilege_escalation: bool | None = None
    se_linux_context: SELinuxStrategy = SELinuxStrategy()
    run_as_user: RunAsUserStrategy = RunAsUserStrategy()
    supplemental_groups: GroupStrategy = GroupStrategy()
    fs_group: GroupStrategy = GroupStrategy()
    read_only_root_filesystem: bool = False
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    seccomp_profiles: tuple[str, ...] = ()
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    forbidden_sysctls: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name


def parse_scc(raw: Mapping[str, Any] | bytes) -> SecurityContextConstraints:
    """Read an SCC as its author wrote it, from JSON text or from what JSON or YAML decoded to.

    Fields that the engine does not know are ignored.

    Raises:
        InvalidObject: a field has a wrong type, or the text is no JSON.
    """
    if isinstance(raw, bytes):
        try:
            raw = msgspec.json.decode(raw, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise invalid(describe(None, SCC_KIND), str(error)) from error
    return convert(raw, SecurityContextConstraints, SCC_KIND)


def with_defaults(scc: SecurityContextConstraints) -> SecurityContextConstraints:
    """The SCC as OpenShift would have stored it (spec/admission.md §1.2)."""
    return msgspec.structs.replace(
        scc,
        fs_group=_with_default_type(scc.fs_group),
        supplemental_groups=_with_default_type(scc.supplemental_groups),
        volumes=_default_volumes(scc.volumes, scc.allow_host_dir_volume_plugin),
        allow_privilege_escalation=scc.allow_privilege_escalation is not False,
    )


def _with_default_type(strategy: GroupStrategy) -> GroupStrategy:
    return strategy if strategy.type else msgspec.structs.replace(strategy, type=RUN_AS_ANY)


def _default_volumes(volumes: tuple[str, ...] | None, host_dir: bool) -> tuple[str, ...]:
    if volumes is None:
        types = {ANY}
    elif volumes:
        types = set(volumes)
    else:
        types = {HOST_PATH if host_dir else NO_VOLUME}
    if host_dir and ANY not in types:
        types.add(HOST_PATH)
    if not host_dir:
        if ANY in types:
            types |= set(VOLUME_TYPES.values())
        types -= {ANY, HOST_PATH}
    return tuple(sorted(types))


def evaluation_errors(scc: SecurityContextConstraints) -> tuple[str, ...]:
    """Why this SCC cannot be evaluated in any namespace, in the order of spec/admission.md §3.5; empty when it can.

    What a namespace supplies may be absent: a whole UID range, an SELinux level, group ranges. One such SCC makes
    admission refuse every pod for which it is a candidate.
    """
    errors = (
        _run_as_user_error(scc.run_as_user),
        _strategy_error("SELinuxContext", scc.se_linux_context.type),
        _strategy_error("FSGroup", scc.fs_group.type),
        _strategy_error("SupplementalGroups", scc.supplemental_groups.type),
    )
    return tuple(error for error in errors if error)


def _run_as_user_error(strategy: RunAsUserStrategy) -> str | None:
    match strategy.type:
        case "MustRunAsNonRoot" | "RunAsAny":
            return None
        case "MustRunAs":
            return "MustRunAs requires a UID" if strategy.uid is None else None
        case "MustRunAsRange":
            absent = [
                bound
                for bound, value in (("UIDRangeMin", strategy.uid_range_min), ("UIDRangeMax", strategy.uid_range_max))
                if value is None
            ]
            return f"MustRunAsRange requires a {absent[0]}" if len(absent) == 1 else None
        case other:
            return f"Unrecognized RunAsUser strategy type {other}"


def _strategy_error(label: str, strategy: str) -> str | None:
    return None if strategy in (MUST_RUN_AS, RUN_AS_ANY) else f"Unrecognized {label} strategy type {strategy}"
