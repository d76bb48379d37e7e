"""hostNetwork, hostPID, hostIPC: the node's own namespaces.

Pod fields:  spec.hostNetwork, spec.hostPID, spec.hostIPC
SCC fields:  allowHostNetwork, allowHostPID, allowHostIPC
Fills in:    nothing
Objects to:  HostNetworkNotAllowed, HostPIDNotAllowed, HostIPCNotAllowed: once for the pod and once for each container
Rule:        spec/admission.md §5.13
"""

from collections.abc import Callable, Sequence

from scc_operator.engine.checks.base import ContainerCheck, ContainerDraft, PodCheck, PodDraft, Terms
from scc_operator.engine.pod import Pod
from scc_operator.engine.scc import SecurityContextConstraints
from scc_operator.engine.verdict import Objection, Value


class HostNamespace:
    """One of the three; offers its check of the pod and of the containers."""

    def __init__(
        self,
        field: str,
        label: str,
        asked: Callable[[Pod], bool],
        allowed: Callable[[SecurityContextConstraints], bool],
    ) -> None:
        self.field = field
        self.detail = f"Host {label} is not allowed to be used"
        self.code = f"{field[0].upper()}{field[1:]}NotAllowed"
        self.asked = asked
        self.allowed = allowed

    def pod(self, terms: Terms) -> PodCheck | None:
        """The check of the pod."""
        return None if self.allowed(terms.scc) else PodHostNamespace(self)

    def container(self, terms: Terms) -> ContainerCheck | None:
        """The check of each container, which repeats that of the pod."""
        return None if self.allowed(terms.scc) else ContainerHostNamespace(self)

    def objections(self, pod: Pod, invalid: Callable[[str, Value, str, str], Objection]) -> Sequence[Objection]:
        """The pod shares the namespace."""
        return (invalid(self.field, True, self.detail, self.code),) if self.asked(pod) else ()


NETWORK = HostNamespace("hostNetwork", "network", lambda pod: pod.host_network, lambda scc: scc.allow_host_network)
PID = HostNamespace("hostPID", "PID", lambda pod: pod.host_pid, lambda scc: scc.allow_host_pid)
IPC = HostNamespace("hostIPC", "IPC", lambda pod: pod.host_ipc, lambda scc: scc.allow_host_ipc)


class PodHostNamespace(PodCheck):
    """The pod does not share a namespace of the node."""

    def __init__(self, namespace: HostNamespace) -> None:
        self.namespace = namespace

    def objections(self, pod: PodDraft) -> Sequence[Objection]:
        """The pod shares it."""
        return self.namespace.objections(pod.pod, pod.invalid)


class ContainerHostNamespace(ContainerCheck):
    """No container shares a namespace of the node."""

    def __init__(self, namespace: HostNamespace) -> None:
        self.namespace = namespace

    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """The pod shares it."""
        return self.namespace.objections(container.pod.pod, container.invalid)
