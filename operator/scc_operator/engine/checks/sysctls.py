"""sysctls: kernel parameters that a pod sets.

Pod fields:  spec.securityContext.sysctls[].name; values are not looked at
SCC fields:  forbiddenSysctls, allowedUnsafeSysctls: names, or prefixes that end in `*`
Fills in:    nothing
Objects to:  SysctlForbidden, UnsafeSysctlNotAllowed
Rule:        spec/admission.md §5.12
"""

from collections.abc import Sequence

from scc_operator.engine.checks.base import PodCheck, PodDraft, Terms
from scc_operator.engine.scc import ANY
from scc_operator.engine.verdict import Objection, go_quote

SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
"""The sysctls that are safe on a kernel of 4.15 or newer."""


def pod(terms: Terms) -> PodCheck:
    """The check under an SCC."""
    return Sysctls(
        _Patterns(terms.scc.forbidden_sysctls), _Patterns(terms.scc.allowed_unsafe_sysctls), terms.safe_sysctls
    )


class _Patterns:
    """Names, and prefixes that end in `*`."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.names = frozenset(pattern for pattern in patterns if not pattern.endswith(ANY))
        self.prefixes = tuple(pattern.removesuffix(ANY) for pattern in patterns if pattern.endswith(ANY))

    def match(self, name: str) -> bool:
        return name in self.names or name.startswith(self.prefixes)


class Sysctls(PodCheck):
    """Each sysctl is safe or allowed, and not forbidden."""

    def __init__(self, forbidden: _Patterns, allowed: _Patterns, safe: frozenset[str]) -> None:
        self.forbidden = forbidden
        self.allowed = allowed
        self.safe = safe

    def objections(self, pod: PodDraft) -> Sequence[Objection]:
        """Each sysctl that is forbidden, or unsafe and not allowed."""
        found: list[Objection] = []
        for index, name in enumerate(pod.pod.sysctls):
            path = f"pod.spec.securityContext.sysctls[{index}]"
            if self.forbidden.match(name):
                found.append(
                    Objection("Forbidden", path, None, f"sysctl {go_quote(name)} is not allowed", "SysctlForbidden")
                )
            elif name not in self.safe and not self.allowed.match(name):
                detail = f"unsafe sysctl {go_quote(name)} is not allowed"
                found.append(Objection("Forbidden", path, None, detail, "UnsafeSysctlNotAllowed"))
        return found
