"""privileged: a container with nearly all rights of the node's root.

Pod fields:  securityContext.privileged of each container
SCC fields:  allowPrivilegedContainer
Fills in:    nothing
Objects to:  PrivilegedNotAllowed
Rule:        spec/admission.md §5.8
"""

from collections.abc import Sequence

from scc_operator.engine.checks.base import ContainerCheck, ContainerDraft, Terms
from scc_operator.engine.verdict import Objection


def container(terms: Terms) -> ContainerCheck | None:
    """The check under an SCC."""
    return None if terms.scc.allow_privileged_container else Privileged()


class Privileged(ContainerCheck):
    """No container is privileged."""

    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """A privileged container."""
        if not container.container.privileged:
            return ()
        return (container.invalid("privileged", True, "Privileged containers are not allowed", "PrivilegedNotAllowed"),)
