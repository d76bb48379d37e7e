"""Objections in the words of the manifest that people edit: the field, what was found, what the SCC allows.

The engine's own texts are OpenShift's, kept to the letter; they name fields as OpenShift's code does. Here each code is
told with the field's path in the manifest and the SCC's terms with the namespace's values filled in.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from scc_operator.engine.scc import GroupStrategy, SecurityContextConstraints, SELinuxOptions
from scc_operator.engine.verdict import Fill, Objection

UNSET = "not set"


class Finding(msgspec.Struct, frozen=True):
    """Why an SCC refuses a pod, for people.

    Attributes:
        code: the stable reason.
        path: the keys that lead from the pod to the field.
        found: what stands there.
        allowed: what the SCC allows there.
        term: the SCC's field that says so.
    """

    code: str
    path: tuple[str | int, ...]
    found: str
    allowed: str
    term: str

    @property
    def field(self) -> str:
        """The path as people write it."""
        return path_text(self.path)

    def __str__(self) -> str:
        return f"{self.field}: {self.found}, allowed: {self.allowed}"


def findings(
    objections: Iterable[Objection], scc: SecurityContextConstraints, pod: Mapping[str, Any]
) -> tuple[Finding, ...]:
    """What the objections mean in the manifest; repeated ones once.

    Args:
        objections: as the engine gave them.
        scc: the SCC with the namespace's values filled in.
        pod: the pod that was evaluated, as JSON.
    """
    told = (_finding(objection, scc, pod) for objection in objections)
    return tuple({(each.field, each.found, each.code): each for each in told}.values())


def fill_text(fill: Fill) -> str:
    """What admission would write, e.g. `runAsUser=1000000000`."""
    value = fill.value
    if isinstance(value, SELinuxOptions):
        value = ":".join(part for part in (value.user, value.role, value.type, value.level) if part)
    elif isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, tuple):
        value = ",".join(map(str, value))
    return f"{fill.field}={value}"


def location(objection: Objection, pod: Mapping[str, Any]) -> tuple[str | int, ...]:
    """The keys that lead from the pod to the field that an objection means, also where nothing stands there yet.

    A container inherits some fields from its pod; the path leads to where the value stands.
    """
    if objection.code in _POD_FIELDS:
        return ("spec", _POD_FIELDS[objection.code])
    if objection.code == "HostPortNotAllowed":
        return _host_port(objection, pod)
    if objection.code in _VOLUME_CODES:
        index = objection.path.partition("volumes[")[2].partition("]")[0]
        return ("spec", "volumes", int(index))
    if objection.code in _SYSCTL_CODES:
        index = objection.path.partition("sysctls[")[2].partition("]")[0]
        return (*_POD_CONTEXT, "sysctls", int(index), "name")
    field = ("seccompProfile",) if objection.code in _SECCOMP_CODES else tuple(_field(objection).split("."))
    if objection.place is None:
        return (*_POD_CONTEXT, *field)
    own = ("spec", objection.place.kind, objection.place.index, "securityContext")
    inherited = field[0] in _INHERITED and value_at(pod, (*own, field[0])) is None
    return (
        (*_POD_CONTEXT, *field)
        if inherited and value_at(pod, (*_POD_CONTEXT, field[0])) is not None
        else (*own, *field)
    )


def value_at(pod: Any, path: Iterable[str | int]) -> Any:
    """What stands at a path; None where nothing does."""
    for key in path:
        if isinstance(pod, Mapping):
            pod = pod.get(key)
        elif isinstance(pod, list) and isinstance(key, int) and key < len(pod):
            pod = pod[key]
        else:
            return None
    return pod


def path_text(path: Iterable[str | int]) -> str:
    """A path as people write it: `spec.containers[0].securityContext`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


_POD_CONTEXT = ("spec", "securityContext")
_INHERITED = frozenset({"runAsUser", "runAsNonRoot", "seLinuxOptions", "seccompProfile"})
_POD_FIELDS = {
    "HostNetworkNotAllowed": "hostNetwork",
    "HostPIDNotAllowed": "hostPID",
    "HostIPCNotAllowed": "hostIPC",
    "HostUsersNotAllowed": "hostUsers",
}
_VOLUME_CODES = frozenset({"VolumeTypeNotAllowed", "UnknownVolumeType", "FlexVolumeDriverNotAllowed"})
_SYSCTL_CODES = frozenset({"SysctlForbidden", "UnsafeSysctlNotAllowed"})
_SECCOMP_CODES = frozenset({"SeccompNotAllowed", "SeccompProfileNotAllowed"})


def _finding(objection: Objection, scc: SecurityContextConstraints, pod: Mapping[str, Any]) -> Finding:
    path = location(objection, pod)
    term, allowed = _TERMS[objection.code](scc)
    return Finding(objection.code, path, _found(objection, pod, path), allowed, term)


def _found(objection: Objection, pod: Mapping[str, Any], path: tuple[str | int, ...]) -> str:
    if objection.code in _SECCOMP_CODES:
        profile = value_at(pod, path)
        if isinstance(profile, Mapping):
            return ": ".join(str(part) for part in (profile.get("type"), profile.get("localhostProfile")) if part)
        return UNSET if profile is None else str(profile)
    if objection.code in _SYSCTL_CODES:
        return str(value_at(pod, path))
    value = objection.value
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "an empty list"
    if isinstance(value, bool):
        return str(value).lower()
    return UNSET if value is None or value == "" else str(value)


def _field(objection: Objection) -> str:
    """The last part of the engine's path, below the security context."""
    if objection.place is not None:
        return objection.path.partition(f".{objection.place}.")[2]
    return objection.path.partition("securityContext.")[2]


def _host_port(objection: Objection, pod: Mapping[str, Any]) -> tuple[str | int, ...]:
    """The port itself: the engine's path names the container only."""
    spec = pod.get("spec") or {}
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            for at, port in enumerate(container.get("ports") or ()):
                if port.get("hostPort") == objection.value and objection.path.endswith(f"{kind}[{index}].hostPort"):
                    return ("spec", kind, index, "ports", at, "hostPort")
    return ("spec", "containers", 0, "ports")


def _groups(strategy: GroupStrategy) -> str:
    return ", ".join(f"{each.min}-{each.max}" if each.min != each.max else str(each.min) for each in strategy.ranges)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(values) or "none"


def _se_linux(part: str) -> Callable[[SecurityContextConstraints], tuple[str, str]]:
    def term(scc: SecurityContextConstraints) -> tuple[str, str]:
        options = scc.se_linux_context.se_linux_options or SELinuxOptions()
        return f"seLinuxContext.seLinuxOptions.{part}", getattr(options, part) or UNSET

    return term


def _capabilities(scc: SecurityContextConstraints) -> tuple[str, str]:
    return "allowedCapabilities", _listed(sorted({*scc.allowed_capabilities, *scc.default_add_capabilities}))


_TERMS: dict[str, Callable[[SecurityContextConstraints], tuple[str, str]]] = {
    "RunAsUserMismatch": lambda scc: ("runAsUser.uid", str(scc.run_as_user.uid)),
    "RunAsUserOutOfRange": lambda scc: (
        "runAsUser",
        f"{scc.run_as_user.uid_range_min}-{scc.run_as_user.uid_range_max}",
    ),
    "RunAsRootNotAllowed": lambda _: ("runAsUser.type", "any user but 0"),
    "RunAsNonRootRequired": lambda _: ("runAsUser.type", "true"),
    "SeccompNotAllowed": lambda _: ("seccompProfiles", UNSET),
    "SeccompProfileNotAllowed": lambda scc: ("seccompProfiles", _listed(scc.seccomp_profiles)),
    "SELinuxLevelMismatch": _se_linux("level"),
    "SELinuxRoleMismatch": _se_linux("role"),
    "SELinuxTypeMismatch": _se_linux("type"),
    "SELinuxUserMismatch": _se_linux("user"),
    "PrivilegedNotAllowed": lambda _: ("allowPrivilegedContainer", "false"),
    "CapabilityNotAllowed": _capabilities,
    "HostNetworkNotAllowed": lambda _: ("allowHostNetwork", "false"),
    "HostPIDNotAllowed": lambda _: ("allowHostPID", "false"),
    "HostIPCNotAllowed": lambda _: ("allowHostIPC", "false"),
    "HostPortNotAllowed": lambda _: ("allowHostPorts", "none"),
    "HostUsersNotAllowed": lambda _: ("userNamespaceLevel", "false"),
    "ReadOnlyRootFilesystemRequired": lambda _: ("readOnlyRootFilesystem", "true"),
    "PrivilegeEscalationNotAllowed": lambda _: ("allowPrivilegeEscalation", "false"),
    "SupplementalGroupNotAllowed": lambda scc: ("supplementalGroups", _groups(scc.supplemental_groups)),
    "SupplementalGroupsRequired": lambda scc: ("supplementalGroups", _groups(scc.supplemental_groups)),
    "FSGroupNotAllowed": lambda scc: ("fsGroup", _groups(scc.fs_group)),
    "SysctlForbidden": lambda scc: ("forbiddenSysctls", f"not {_listed(scc.forbidden_sysctls)}"),
    "UnsafeSysctlNotAllowed": lambda scc: (
        "allowedUnsafeSysctls",
        _listed(scc.allowed_unsafe_sysctls) if scc.allowed_unsafe_sysctls else "safe ones only",
    ),
    "VolumeTypeNotAllowed": lambda scc: ("volumes", _listed(scc.volumes or ())),
    "UnknownVolumeType": lambda scc: ("volumes", _listed(scc.volumes or ())),
    "FlexVolumeDriverNotAllowed": lambda scc: (
        "allowedFlexVolumes",
        _listed(each.driver for each in scc.allowed_flex_volumes),
    ),
}
