"""fsGroup: the group that owns a pod's volumes and that every container gets.

Pod fields:  spec.securityContext.fsGroup
SCC fields:  fsGroup.type (MustRunAs, RunAsAny), fsGroup.ranges
Fills in:    the lowest id of the first range
Objects to:  FSGroupNotAllowed
Rule:        spec/admission.md §5.4
"""

from collections.abc import Sequence

from scc_operator.engine.checks.base import PodCheck, PodDraft, Terms
from scc_operator.engine.scc import MUST_RUN_AS, IDRange
from scc_operator.engine.verdict import Objection


def pod(terms: Terms) -> PodCheck | None:
    """The check under an SCC."""
    strategy = terms.scc.fs_group
    return FSGroup(strategy.ranges) if strategy.type == MUST_RUN_AS else None


class FSGroup(PodCheck):
    """The group lies in one of the ranges."""

    def __init__(self, ranges: tuple[IDRange, ...]) -> None:
        self.ranges = ranges

    def fill(self, pod: PodDraft) -> None:
        """The lowest id of the first range."""
        if pod.fs_group is None:
            pod.fs_group = self.ranges[0].min
            pod.filled("fsGroup", pod.fs_group)

    def objections(self, pod: PodDraft) -> Sequence[Objection]:
        """A group outside all ranges."""
        group = pod.fs_group
        if group is None or any(group in allowed for allowed in self.ranges):
            return ()
        return (pod.invalid("fsGroup", (group,), f"{group} is not an allowed group", "FSGroupNotAllowed"),)
