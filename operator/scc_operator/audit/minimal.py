"""The smallest SCC that admits given pods: the baseline, loosened where a pod demands it, proven by the engine.

Smallest means: every field as narrow as the pods allow, not that the pods will work under it. It drops all capabilities
that no pod adds, for example, also from containers that run as root and may count on the runtime's own set.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from scc_operator import names
from scc_operator.engine.checks.privilege_escalation import SYS_ADMIN
from scc_operator.engine.checks.sysctls import SAFE_SYSCTLS
from scc_operator.engine.judge import evaluate
from scc_operator.engine.namespace import NamespaceValues
from scc_operator.engine.pod import RUNTIME_DEFAULT, Container, Pod
from scc_operator.engine.provider import compile_provider, complete
from scc_operator.engine.scc import (
    ANY,
    MUST_RUN_AS,
    MUST_RUN_AS_RANGE,
    REQUIRE_POD_LEVEL,
    RUN_AS_ANY,
    AllowedFlexVolume,
    GroupStrategy,
    IDRange,
    ObjectMeta,
    RunAsUserStrategy,
    SecurityContextConstraints,
    SELinuxStrategy,
)
from scc_operator.engine.verdict import Objection
from scc_operator.engine.volume_types import HOST_PATH, NO_VOLUME, PROJECTED, SECRET

_ALL = "ALL"


class NoSmallestSCC(ValueError):
    """No SCC that this can write admits the pods; the text tells what remains in the way."""


class Wanted(msgspec.Struct, frozen=True):
    """A pod that the SCC has to admit, and the values of its namespace."""

    pod: Pod
    values: NamespaceValues


def smallest_scc(name: str, wanted: Sequence[Wanted]) -> SecurityContextConstraints:
    """The smallest SCC of this name that admits all these pods.

    Raises:
        NoSmallestSCC: a pod cannot be admitted by any, e.g. for a volume without a source.
        ProviderError: a namespace lacks a value that the SCC takes from it.
    """
    pods = [each.pod for each in wanted]
    scc = _baseline(name, pods)
    taken: set[_Step] = set()
    while True:
        objections = [objection for each in wanted for objection in _objections(scc, each)]
        if not objections:
            return scc
        steps = {step for objection in objections if (step := _STEPS.get(objection.code))}
        fresh = [step for step in _ORDER if step in steps and step not in taken]
        if not fresh:
            raise NoSmallestSCC("; ".join(dict.fromkeys(objection.text for objection in objections)))
        for step in fresh:
            taken.add(step)
            scc = step(scc, pods)


def manifest(scc: SecurityContextConstraints) -> dict[str, Any]:
    """The SCC as an object to apply: every field that says something, in the order in which people write them."""
    written = msgspec.to_builtins(scc)
    written.pop("metadata")
    head = {
        "apiVersion": f"{names.SECURITY_GROUP}/{names.SECURITY_VERSION}",
        "kind": names.SCC_KIND,
        "metadata": {"name": scc.name},
    }
    said = {key: _without_unset(value) for key, value in written.items() if key in _ALWAYS or not _unset(value)}
    return head | said


_ALWAYS = frozenset({"allowedCapabilities", "requiredDropCapabilities", "volumes"})


def _unset(value: Any) -> bool:
    return value is None or value in ("", [], ())


def _without_unset(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_unset(part) for key, part in value.items() if not _unset(part)}
    return [_without_unset(part) for part in value] if isinstance(value, (list, tuple)) else value


def _baseline(name: str, pods: Sequence[Pod]) -> SecurityContextConstraints:
    """Identity from the namespace, nothing of the host, and what all pods demand of themselves anyway."""
    containers = _containers(pods)
    return SecurityContextConstraints(
        metadata=ObjectMeta(name),
        required_drop_capabilities=(_ALL,),
        volumes=_volume_types(pods),
        allow_host_dir_volume_plugin=False,
        user_namespace_level=REQUIRE_POD_LEVEL if all(pod.host_users is False for pod in pods) else "AllowHostLevel",
        allow_privilege_escalation=False,
        se_linux_context=SELinuxStrategy(MUST_RUN_AS),
        run_as_user=RunAsUserStrategy(MUST_RUN_AS_RANGE),
        supplemental_groups=GroupStrategy(MUST_RUN_AS),
        fs_group=GroupStrategy(MUST_RUN_AS),
        read_only_root_filesystem=all(container.read_only_root_filesystem for container in containers),
        seccomp_profiles=(RUNTIME_DEFAULT,),
    )


def _objections(scc: SecurityContextConstraints, wanted: Wanted) -> tuple[Objection, ...]:
    return evaluate(wanted.pod, compile_provider(complete(scc, wanted.values))).objections


def _containers(pods: Iterable[Pod]) -> list[Container]:
    return [container for pod in pods for container in pod.containers]


def _volume_types(pods: Iterable[Pod]) -> tuple[str, ...]:
    volumes = [volume for pod in pods for volume in pod.volumes]
    types = {volume.type for volume in volumes if volume.type and not volume.only_service_account_token}
    if any(volume.only_service_account_token for volume in volumes) and not types & {SECRET, PROJECTED}:
        types.add(PROJECTED)  # an SCC that allows secrets allows a service account's token too
    return tuple(sorted(types - {HOST_PATH})) or (NO_VOLUME,)


# --- one step for each thing that pods may demand; each looks at all pods, so it is taken once ---------------------

_Step = Callable[[SecurityContextConstraints, Sequence[Pod]], SecurityContextConstraints]


def _run_as_user(scc: SecurityContextConstraints, pods: Sequence[Pod]) -> SecurityContextConstraints:
    users = [container.run_as_user for container in _containers(pods)]
    given = sorted({user for user in users if user is not None})
    if given[0] == 0 and None in users:
        # A range that begins with 0 would make root of every container that leaves its user open.
        strategy = RunAsUserStrategy(RUN_AS_ANY)
    elif len(given) == 1:
        strategy = RunAsUserStrategy(MUST_RUN_AS, uid=given[0])
    else:
        strategy = RunAsUserStrategy(MUST_RUN_AS_RANGE, uid_range_min=given[0], uid_range_max=given[-1])
    return msgspec.structs.replace(scc, run_as_user=strategy)


def _se_linux(scc: SecurityContextConstraints, pods: Sequence[Pod]) -> SecurityContextConstraints:
    given = {pod.se_linux_options for pod in pods} | {each.se_linux_options for each in _containers(pods)}
    given.discard(None)
    (options, *others) = sorted(given, key=str)
    # A level that is left open comes from the namespace, and then every pod has to name just that one.
    fixed = not others and options is not None and options.level
    strategy = SELinuxStrategy(MUST_RUN_AS, options) if fixed else SELinuxStrategy(RUN_AS_ANY)
    return msgspec.structs.replace(scc, se_linux_context=strategy)


def _fs_group(scc: SecurityContextConstraints, pods: Sequence[Pod]) -> SecurityContextConstraints:
    given = [pod.fs_group for pod in pods if pod.fs_group is not None]
    return msgspec.structs.replace(scc, fs_group=GroupStrategy(MUST_RUN_AS, _ranges(given)))


def _supplemental_groups(scc: SecurityContextConstraints, pods: Sequence[Pod]) -> SecurityContextConstraints:
    if any(pod.supplemental_groups == () for pod in pods):  # an explicit empty list satisfies no range
        return msgspec.structs.replace(scc, supplemental_groups=GroupStrategy(RUN_AS_ANY))
    given = [group for pod in pods for group in pod.supplemental_groups or ()]
    return msgspec.structs.replace(scc, supplemental_groups=GroupStrategy(MUST_RUN_AS, _ranges(given)))


def _ranges(ids: Iterable[int]) -> tuple[IDRange, ...]:
    """The fewest ranges that hold these ids and no other."""
    ranges: list[IDRange] = []
    for each in sorted(set(ids)):
        if ranges and ranges[-1].max == each - 1:
            ranges[-1] = IDRange(ranges[-1].min, each)
        else:
            ranges.append(IDRange(each, each))
    return tuple(ranges)


def _capabilities(scc: SecurityContextConstraints, pods: Sequence[Pod]) -> SecurityContextConstraints:
    added = sorted({capability for container in _containers(pods) for capability in container.capabilities_add})
    if {_ALL, ANY}.intersection(added):
        return msgspec.structs.replace(scc, allowed_capabilities=(ANY,), required_drop_capabilities=())
    scc = msgspec.structs.replace(scc, allowed_capabilities=tuple(added))
    # The API refuses a container that adds this one and may not escalate.
    return _escalation(scc, pods) if SYS_ADMIN in added else scc


def _privileged(scc: SecurityContextConstraints, pods: Sequence[Pod]) -> SecurityContextConstraints:
    # The API refuses a privileged container that may not escalate.
    return _escalation(msgspec.structs.replace(scc, allow_privileged_container=True), pods)


def _allowing(field: str) -> _Step:
    def allow(scc: SecurityContextConstraints, pods: Sequence[Pod]) -> SecurityContextConstraints:
        del pods
        return msgspec.structs.replace(scc, **{field: True})

    return allow


_escalation = _allowing("allow_privilege_escalation")


def _seccomp(scc: SecurityContextConstraints, pods: Sequence[Pod]) -> SecurityContextConstraints:
    profiles = [text for pod in pods for text in (_text(pod.seccomp_profile), pod.seccomp_annotation)]
    for container in _containers(pods):
        profiles += [_text(container.seccomp_profile), container.seccomp_annotation or ""]
    others = sorted({text for text in profiles if text} - {RUNTIME_DEFAULT})
    return msgspec.structs.replace(scc, seccomp_profiles=(RUNTIME_DEFAULT, *others))


def _text(profile: Any) -> str:
    return profile.text if profile is not None else ""


def _sysctls(scc: SecurityContextConstraints, pods: Sequence[Pod]) -> SecurityContextConstraints:
    unsafe = {name for pod in pods for name in pod.sysctls} - SAFE_SYSCTLS
    return msgspec.structs.replace(scc, allowed_unsafe_sysctls=tuple(sorted(unsafe)))


def _volumes(scc: SecurityContextConstraints, pods: Sequence[Pod]) -> SecurityContextConstraints:
    """What the baseline leaves out: the host's own files, and the drivers of flexVolumes."""
    volumes = [volume for pod in pods for volume in pod.volumes]
    drivers = sorted({volume.flex_driver for volume in volumes if volume.flex_driver})
    types = {volume.type for volume in volumes if volume.type}
    known = set(scc.volumes or ()) - {NO_VOLUME}
    return msgspec.structs.replace(
        scc,
        allow_host_dir_volume_plugin=HOST_PATH in types,
        volumes=tuple(sorted(known | (types & {HOST_PATH}))),
        allowed_flex_volumes=tuple(AllowedFlexVolume(driver) for driver in drivers),
    )


_STEPS: dict[str, _Step] = {
    "RunAsUserMismatch": _run_as_user,
    "RunAsUserOutOfRange": _run_as_user,
    "SeccompProfileNotAllowed": _seccomp,
    "SELinuxLevelMismatch": _se_linux,
    "SELinuxRoleMismatch": _se_linux,
    "SELinuxTypeMismatch": _se_linux,
    "SELinuxUserMismatch": _se_linux,
    "PrivilegedNotAllowed": _privileged,
    "PrivilegeEscalationNotAllowed": _escalation,
    "CapabilityNotAllowed": _capabilities,
    "HostNetworkNotAllowed": _allowing("allow_host_network"),
    "HostPIDNotAllowed": _allowing("allow_host_pid"),
    "HostIPCNotAllowed": _allowing("allow_host_ipc"),
    "HostPortNotAllowed": _allowing("allow_host_ports"),
    "SupplementalGroupNotAllowed": _supplemental_groups,
    "SupplementalGroupsRequired": _supplemental_groups,
    "FSGroupNotAllowed": _fs_group,
    "UnsafeSysctlNotAllowed": _sysctls,
    "VolumeTypeNotAllowed": _volumes,
}
_ORDER = tuple(dict.fromkeys(_STEPS.values()))
