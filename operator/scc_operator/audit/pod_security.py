"""What Kubernetes' own Pod Security labels refuse, as far as it concerns what SCCs are about.

Pod Security admission stands beside SCC admission: a pod has to satisfy both. The levels follow the Pod Security
Standards of Kubernetes 1.30 and later; fields that no SCC knows (AppArmor profiles, procMount, Windows) are left out.
"""

from collections.abc import Callable, Iterator

from scc_operator.audit.exposure import STANDARD_VOLUMES
from scc_operator.engine.checks.sysctls import SAFE_SYSCTLS
from scc_operator.engine.pod import DOCKER_DEFAULT, LOCALHOST_PREFIX, RUNTIME_DEFAULT, UNCONFINED, Container, Pod
from scc_operator.engine.volume_types import HOST_PATH

PRIVILEGED = "privileged"
BASELINE = "baseline"
RESTRICTED = "restricted"
LEVELS = (PRIVILEGED, BASELINE, RESTRICTED)
"""From the widest to the narrowest."""

_BASELINE_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
_SELINUX_TYPES = frozenset({"", "container_engine_t", "container_init_t", "container_kvm_t", "container_t"})
_RESTRICTED_VOLUMES = frozenset(STANDARD_VOLUMES)


def violations(pod: Pod, level: str) -> tuple[str, ...]:
    """What a level refuses of a pod as it stands, in the order of the standards; empty where it admits it."""
    checks: tuple[_Check, ...] = ()
    if level in {BASELINE, RESTRICTED}:
        checks += _BASELINE_CHECKS
    if level == RESTRICTED:
        checks += _RESTRICTED_CHECKS
    return tuple(dict.fromkeys(text for check in checks for text in check(pod)))


def least_level(pod: Pod) -> str:
    """The narrowest level that admits a pod as it stands."""
    return next(level for level in reversed(LEVELS) if not violations(pod, level))


_Check = Callable[[Pod], Iterator[str]]


def _host(pod: Pod) -> Iterator[str]:
    for asked, field in ((pod.host_network, "hostNetwork"), (pod.host_pid, "hostPID"), (pod.host_ipc, "hostIPC")):
        if asked:
            yield f"{field}: true"
    for port in pod.host_ports:
        yield f"hostPort {port.port}"


def _privileged(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        if container.privileged:
            yield f"container {container.place.name}: privileged: true"


def _added(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        for name in container.capabilities_add:
            if name not in _BASELINE_CAPABILITIES:
                yield f"container {container.place.name}: capabilities.add {name}"


def _host_path(pod: Pod) -> Iterator[str]:
    if any(volume.type == HOST_PATH for volume in pod.volumes):
        yield "a hostPath volume"


def _se_linux(pod: Pod) -> Iterator[str]:
    for options in dict.fromkeys([pod.se_linux_options, *(each.se_linux_options for each in pod.containers)]):
        if options is None:
            continue
        if options.type not in _SELINUX_TYPES:
            yield f"seLinuxOptions.type {options.type}"
        if options.user:
            yield f"seLinuxOptions.user {options.user}"
        if options.role:
            yield f"seLinuxOptions.role {options.role}"


def _profile(pod: Pod, container: Container) -> str:
    own = container.seccomp_profile
    if own is not None:
        return own.text
    if container.seccomp_annotation:
        return container.seccomp_annotation
    return pod.seccomp_profile.text if pod.seccomp_profile is not None else pod.seccomp_annotation


def _unconfined(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        if _profile(pod, container) == UNCONFINED:
            yield f"container {container.place.name}: seccompProfile Unconfined"


def _sysctls(pod: Pod) -> Iterator[str]:
    for name in pod.sysctls:
        if name not in SAFE_SYSCTLS:
            yield f"sysctl {name}"


def _volumes(pod: Pod) -> Iterator[str]:
    for volume in pod.volumes:
        if volume.type not in {*_RESTRICTED_VOLUMES, HOST_PATH}:
            yield f"a volume of type {volume.type}"


def _escalation(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        if container.allow_privilege_escalation is not False:
            yield f"container {container.place.name}: allowPrivilegeEscalation is not false"


def _root(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        if container.run_as_non_root is not True:
            yield f"container {container.place.name}: runAsNonRoot is not true"
        if container.run_as_user == 0:
            yield f"container {container.place.name}: runAsUser 0"


def _confined(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        profile = _profile(pod, container)
        if profile not in {RUNTIME_DEFAULT, DOCKER_DEFAULT, UNCONFINED} and not profile.startswith(LOCALHOST_PREFIX):
            yield f"container {container.place.name}: seccompProfile is not set"


def _dropped(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        if "ALL" not in container.capabilities_drop:
            yield f"container {container.place.name}: capabilities.drop lacks ALL"
        for name in container.capabilities_add:
            if name != "NET_BIND_SERVICE":
                yield f"container {container.place.name}: capabilities.add {name}"


_BASELINE_CHECKS: tuple[_Check, ...] = (_host, _privileged, _added, _host_path, _se_linux, _unconfined, _sysctls)
_RESTRICTED_CHECKS: tuple[_Check, ...] = (_volumes, _escalation, _root, _confined, _dropped)
