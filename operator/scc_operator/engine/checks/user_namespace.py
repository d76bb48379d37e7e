"""hostUsers: whether the pod runs in the node's user namespace.

Pod fields:  spec.hostUsers
SCC fields:  userNamespaceLevel: RequirePodLevel demands a user namespace of the pod's own; all else demands nothing
Fills in:    nothing, so such an SCC needs an explicit hostUsers: false
Objects to:  HostUsersNotAllowed
Rule:        spec/admission.md §5.13
"""

from collections.abc import Sequence

from scc_operator.engine.checks.base import PodCheck, PodDraft, Terms
from scc_operator.engine.scc import REQUIRE_POD_LEVEL
from scc_operator.engine.verdict import Objection


def pod(terms: Terms) -> PodCheck | None:
    """The check under an SCC."""
    return UserNamespace() if terms.scc.user_namespace_level == REQUIRE_POD_LEVEL else None


class UserNamespace(PodCheck):
    """The pod has a user namespace of its own."""

    def objections(self, pod: PodDraft) -> Sequence[Objection]:
        """An absent field means the node's user namespace."""
        if pod.pod.host_users is False:
            return ()
        return (pod.invalid("hostUsers", pod.pod.host_users, "Host Users must be set to false", "HostUsersNotAllowed"),)
