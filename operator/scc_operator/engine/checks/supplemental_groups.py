"""supplementalGroups: further groups of every container's processes.

Pod fields:  spec.securityContext.supplementalGroups
SCC fields:  supplementalGroups.type (MustRunAs, RunAsAny), supplementalGroups.ranges
Fills in:    one group, the lowest id of the first range; an empty list counts as given
Objects to:  SupplementalGroupNotAllowed, SupplementalGroupsRequired
Rule:        spec/admission.md §5.3
"""

from collections.abc import Sequence

from scc_operator.engine.checks.base import PodCheck, PodDraft, Terms
from scc_operator.engine.scc import MUST_RUN_AS, IDRange
from scc_operator.engine.verdict import Objection


def pod(terms: Terms) -> PodCheck | None:
    """The check under an SCC."""
    strategy = terms.scc.supplemental_groups
    return SupplementalGroups(strategy.ranges) if strategy.type == MUST_RUN_AS else None


class SupplementalGroups(PodCheck):
    """There are groups, and each lies in one of the ranges."""

    def __init__(self, ranges: tuple[IDRange, ...]) -> None:
        self.ranges = ranges

    def fill(self, pod: PodDraft) -> None:
        """The lowest id of the first range, even where that range itself does not hold it."""
        if pod.supplemental_groups is None:
            pod.supplemental_groups = (self.ranges[0].min,)
            pod.filled("supplementalGroups", pod.supplemental_groups)

    def objections(self, pod: PodDraft) -> Sequence[Objection]:
        """An empty list, or each group outside all ranges; the value shown is the whole list."""
        groups = pod.supplemental_groups
        if not groups:
            detail = "unable to validate empty groups against required ranges"
            return (pod.invalid("supplementalGroups", (), detail, "SupplementalGroupsRequired"),)
        return [
            pod.invalid("supplementalGroups", groups, f"{group} is not an allowed group", "SupplementalGroupNotAllowed")
            for group in groups
            if not any(group in allowed for allowed in self.ranges)
        ]
