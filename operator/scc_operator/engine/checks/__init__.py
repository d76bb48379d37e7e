"""The checks in the order in which they run, which is the order of objections (spec/admission.md §5.14).

To add a constraint area, write one file with the two verbs and add its line here.
"""

from collections.abc import Callable

from scc_operator.engine.checks import (
    capabilities,
    fs_group,
    host_namespaces,
    host_ports,
    privilege_escalation,
    privileged,
    read_only_root,
    run_as_user,
    seccomp,
    selinux,
    supplemental_groups,
    sysctls,
    user_namespace,
    volumes,
)
from scc_operator.engine.checks.base import ContainerCheck, PodCheck, Terms

POD_CHECKS: tuple[Callable[[Terms], PodCheck | None], ...] = (
    fs_group.pod,
    supplemental_groups.pod,
    seccomp.pod,
    selinux.pod,
    host_namespaces.NETWORK.pod,
    host_namespaces.PID.pod,
    host_namespaces.IPC.pod,
    user_namespace.pod,
    sysctls.pod,
    volumes.pod,
)

CONTAINER_CHECKS: tuple[Callable[[Terms], ContainerCheck | None], ...] = (
    run_as_user.container,
    selinux.container,
    seccomp.container,
    privileged.container,
    capabilities.container,
    host_namespaces.NETWORK.container,
    host_ports.container,
    host_namespaces.PID.container,
    host_namespaces.IPC.container,
    read_only_root.container,
    privilege_escalation.container,
)
