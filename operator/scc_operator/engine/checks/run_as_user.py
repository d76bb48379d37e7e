"""runAsUser and runAsNonRoot: the user id of a container's processes.

Pod fields:  spec.securityContext.runAsUser, .runAsNonRoot and the same of each container, whose own values win
SCC fields:  runAsUser.type: MustRunAs (uid), MustRunAsRange (uidRangeMin, uidRangeMax), MustRunAsNonRoot, RunAsAny
Fills in:    the SCC's uid or the lowest of its range; runAsNonRoot where the user is known not to be root
Objects to:  RunAsUserMismatch, RunAsUserOutOfRange, RunAsRootNotAllowed, RunAsNonRootRequired
Rule:        spec/admission.md §5.6, §5.7
"""

from collections.abc import Sequence

from scc_operator.engine.checks.base import ContainerCheck, ContainerDraft, Terms
from scc_operator.engine.scc import MUST_RUN_AS, MUST_RUN_AS_NON_ROOT, MUST_RUN_AS_RANGE, IDRange
from scc_operator.engine.verdict import Objection


def container(terms: Terms) -> ContainerCheck:
    """The check under an SCC; RunAsAny too fills in runAsNonRoot."""
    strategy = terms.scc.run_as_user
    if strategy.type == MUST_RUN_AS_NON_ROOT:
        return MustRunAsNonRoot()
    if strategy.type == MUST_RUN_AS and strategy.uid is not None:
        return MustRunAs(strategy.uid)
    if strategy.type == MUST_RUN_AS_RANGE and strategy.uid_range_min is not None and strategy.uid_range_max is not None:
        return MustRunAsRange(strategy.uid_range_min, strategy.uid_range_max)
    return RunAsAny()


class RunAsAny(ContainerCheck):
    """Any user will do."""

    def fill(self, container: ContainerDraft) -> None:
        """A known user other than root makes runAsNonRoot true, under every strategy."""
        if container.run_as_non_root is None and container.run_as_user is not None and container.run_as_user > 0:
            container.run_as_non_root = True
            container.filled("runAsNonRoot", value=True)

    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """None at all."""
        del container
        return ()


class MustRunAs(RunAsAny):
    """Exactly one user."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.detail = f"must be: {uid}"

    def fill(self, container: ContainerDraft) -> None:
        """The one user."""
        if container.run_as_user is None:
            container.run_as_user = self.uid
            container.filled("runAsUser", self.uid)
        super().fill(container)

    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """Every other user."""
        if container.run_as_user == self.uid:
            return ()
        return (container.invalid("runAsUser", container.run_as_user, self.detail, "RunAsUserMismatch"),)


class MustRunAsRange(RunAsAny):
    """A user of a range."""

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.range = IDRange(low, high)
        self.detail = f"must be in the ranges: [{low}, {high}]"

    def fill(self, container: ContainerDraft) -> None:
        """The lowest of the range."""
        if container.run_as_user is None:
            container.run_as_user = self.low
            container.filled("runAsUser", self.low)
        super().fill(container)

    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """A user outside the range."""
        user = container.run_as_user
        if user is not None and user in self.range:
            return ()
        return (container.invalid("runAsUser", user, self.detail, "RunAsUserOutOfRange"),)


class MustRunAsNonRoot(RunAsAny):
    """Any user but root."""

    def fill(self, container: ContainerDraft) -> None:
        """RunAsNonRoot also where no user is known, so that the kubelet looks at the image's user."""
        if container.run_as_non_root is None and container.run_as_user is None:
            container.run_as_non_root = True
            container.filled("runAsNonRoot", value=True)
        super().fill(container)

    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """An explicit false wins over any user; root is refused whatever runAsNonRoot says."""
        if container.run_as_non_root is False:
            return (container.invalid("runAsNonRoot", False, "must be true", "RunAsNonRootRequired"),)
        if container.run_as_user == 0:
            detail = "running with the root UID is forbidden"
            return (container.invalid("runAsUser", 0, detail, "RunAsRootNotAllowed"),)
        return ()
