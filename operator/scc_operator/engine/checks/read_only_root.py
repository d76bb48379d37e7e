"""readOnlyRootFilesystem: whether a container can write to its own image.

Pod fields:  securityContext.readOnlyRootFilesystem of each container
SCC fields:  readOnlyRootFilesystem: true demands it, false demands nothing
Fills in:    true
Objects to:  ReadOnlyRootFilesystemRequired
Rule:        spec/admission.md §5.10
"""

from collections.abc import Sequence

from scc_operator.engine.checks.base import ContainerCheck, ContainerDraft, Terms
from scc_operator.engine.verdict import Objection


def container(terms: Terms) -> ContainerCheck | None:
    """The check under an SCC."""
    return ReadOnlyRoot() if terms.scc.read_only_root_filesystem else None


class ReadOnlyRoot(ContainerCheck):
    """No container writes to its root file system."""

    def fill(self, container: ContainerDraft) -> None:
        """Read-only where the container does not say."""
        if container.read_only_root_filesystem is None:
            container.read_only_root_filesystem = True
            container.filled("readOnlyRootFilesystem", value=True)

    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """An explicit false."""
        if container.read_only_root_filesystem:
            return ()
        detail = "ReadOnlyRootFilesystem must be set to true"
        return (container.invalid("readOnlyRootFilesystem", False, detail, "ReadOnlyRootFilesystemRequired"),)
