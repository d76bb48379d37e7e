"""allowPrivilegeEscalation: whether a process may gain more rights than its parent, e.g. through setuid.

Pod fields:  securityContext.allowPrivilegeEscalation of each container
SCC fields:  allowPrivilegeEscalation (absent = true), defaultAllowPrivilegeEscalation
Fills in:    the SCC's default, except for containers that need escalation; then false where the SCC forbids it
Objects to:  PrivilegeEscalationNotAllowed
Rule:        spec/admission.md §5.10
"""

from collections.abc import Sequence

from scc_operator.engine.checks.base import ContainerCheck, ContainerDraft, Terms
from scc_operator.engine.verdict import Objection

SYS_ADMIN = "CAP_SYS_ADMIN"
"""Only this spelling exempts a container from the SCC's default."""


def container(terms: Terms) -> ContainerCheck | None:
    """The check under an SCC; it stands after capabilities, whose completed list it reads."""
    default, forbidden = terms.scc.default_allow_privilege_escalation, terms.scc.allow_privilege_escalation is False
    return PrivilegeEscalation(default, forbidden=forbidden) if forbidden or default is not None else None


class PrivilegeEscalation(ContainerCheck):
    """Where the SCC forbids escalation, every container says so."""

    def __init__(self, default: bool | None, *, forbidden: bool) -> None:
        self.default = default
        self.forbidden = forbidden

    def fill(self, container: ContainerDraft) -> None:
        """The default, else false where escalation is forbidden, also for privileged containers."""
        if container.allow_privilege_escalation is not None:
            return
        value = self.default
        if container.container.privileged or SYS_ADMIN in container.capabilities_add:
            value = None
        if value is None and self.forbidden:
            value = False
        if value is not None:
            container.allow_privilege_escalation = value
            container.filled("allowPrivilegeEscalation", value)

    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """An explicit true, or a default of true that contradicts the SCC itself."""
        if not self.forbidden or not container.allow_privilege_escalation:
            return ()
        detail = "Allowing privilege escalation for containers is not allowed"
        return (container.invalid("allowPrivilegeEscalation", True, detail, "PrivilegeEscalationNotAllowed"),)
