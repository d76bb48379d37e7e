"""capabilities: the Linux capabilities that a container adds and drops.

Pod fields:  securityContext.capabilities.add and .drop of each container
SCC fields:  defaultAddCapabilities, requiredDropCapabilities, allowedCapabilities (`*` = any); spelling is exact
Fills in:    capabilities.add with the defaults that the container does not drop, capabilities.drop with the required
Objects to:  CapabilityNotAllowed
Rule:        spec/admission.md §5.9
"""

from collections.abc import Sequence

from scc_operator.engine.checks.base import ContainerCheck, ContainerDraft, Terms
from scc_operator.engine.scc import ANY
from scc_operator.engine.verdict import Objection


def container(terms: Terms) -> ContainerCheck:
    """The check under an SCC."""
    scc = terms.scc
    return Capabilities(
        frozenset(scc.default_add_capabilities),
        frozenset(scc.required_drop_capabilities),
        frozenset(scc.allowed_capabilities),
    )


class Capabilities(ContainerCheck):
    """Only default and allowed capabilities are added; after filling in, the required ones are always dropped."""

    def __init__(self, default_add: frozenset[str], required_drop: frozenset[str], allowed: frozenset[str]) -> None:
        self.default_add = default_add
        self.required_drop = required_drop
        self.addable = None if ANY in allowed else default_add | allowed

    def fill(self, container: ContainerDraft) -> None:
        """What is missing in either list; both lists are then sorted and without duplicates."""
        shape = container.container
        add = self.default_add.difference(shape.capabilities_drop, shape.capabilities_add)
        drop = self.required_drop.difference(shape.capabilities_drop)
        if not add and not drop:
            return
        container.capabilities_add = sorted(add.union(shape.capabilities_add))
        if add:
            container.filled("capabilities.add", tuple(container.capabilities_add))
        if drop:
            container.filled("capabilities.drop", tuple(sorted(drop.union(shape.capabilities_drop))))

    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """Each added capability that is neither default nor allowed."""
        if self.addable is None:
            return ()
        return [
            container.invalid("capabilities.add", capability, "capability may not be added", "CapabilityNotAllowed")
            for capability in container.capabilities_add
            if capability not in self.addable
        ]
