"""hostPort: ports of the node.

Pod fields:  ports[].hostPort above zero of containers of every kind
SCC fields:  allowHostPorts
Fills in:    nothing
Objects to:  HostPortNotAllowed: each port of the pod, once for each container
Rule:        spec/admission.md §5.13
"""

from collections.abc import Sequence

from scc_operator.engine.checks.base import ContainerCheck, ContainerDraft, Terms
from scc_operator.engine.verdict import Objection


def container(terms: Terms) -> ContainerCheck | None:
    """The check under an SCC."""
    return None if terms.scc.allow_host_ports else HostPorts()


class HostPorts(ContainerCheck):
    """No container asks for a port of the node."""

    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """Every host port of the whole pod, as OpenShift repeats them for each container."""
        return [
            container.invalid(
                host_port.path, host_port.port, "Host ports are not allowed to be used", "HostPortNotAllowed"
            )
            for host_port in container.pod.pod.host_ports
        ]
