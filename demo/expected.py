"""What the demo's workloads are, and what the audit must say of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from demo.world import AuditedPod, Ranges

NAMESPACES = ("billing", "files", "monitoring", "shop")
"""The namespaces that the demo makes."""


@dataclass(frozen=True)
class Workload:
    """A workload of the demo: how many pods it has, and their answer."""

    namespace: str
    name: str
    story: str
    verdict: str
    scc: str = ""
    reason: str = ""
    pods: int = 1

    @property
    def answer(self) -> tuple[str, str, str]:
        """SCC, verdict and reason as they must stand on its pods."""
        return self.scc, self.verdict, self.reason


NFS_DENIED = Workload("files", "nfs-client", "runs as UID 65534, for NFS", "denied", reason="RunAsUserOutOfRange")
NFS_GRANTED = Workload("files", "nfs-client", NFS_DENIED.story, "fits-with-defaults", "nfs-scc")

WORKLOADS = (
    Workload("billing", "invoices", "moved here from OpenShift", "fits", "restricted-v2"),
    NFS_DENIED,
    Workload("kube-system", "dns", "part of the cluster itself", "exempt", reason="ExemptNamespace"),
    Workload("monitoring", "log-shipper", "mounts the node's /var/log", "denied", reason="VolumeTypeNotAllowed"),
    Workload("monitoring", "node-agent", "privileged, with a grant", "fits", "privileged"),
    Workload("shop", "catalog", "insists on root", "denied", reason="RunAsUserOutOfRange"),
    Workload("shop", "orders-db", "has its own user, with a grant", "fits-with-defaults", "nonroot-v2"),
    Workload("shop", "storefront", "says nothing about security", "fits-with-defaults", "restricted-v2", pods=2),
)


def story_of(pod: AuditedPod) -> str:
    """What a pod's workload is about; empty for one that is not the demo's."""
    return next((each.story for each in WORKLOADS if (each.namespace, each.name) == (pod.namespace, pod.workload)), "")


def answer_of(pod: AuditedPod) -> tuple[str, str, str]:
    """SCC, verdict and reason as they stand on a pod."""
    return pod.scc, pod.verdict, pod.reason


def unmet(pods: Sequence[AuditedPod], workloads: Sequence[Workload]) -> Iterator[str]:
    """Say of each workload whose pods are too few or carry another answer what was expected and what was found."""
    for workload in workloads:
        found = [pod for pod in pods if (pod.namespace, pod.workload) == (workload.namespace, workload.name)]
        where = f"{workload.namespace}/{workload.name}"
        if len(found) != workload.pods:
            yield f"{where}: expected pods: {workload.pods}, found: {len(found)}"
        for pod in found:
            if answer_of(pod) != workload.answer:
                yield f"{pod.namespace}/{pod.name}: expected {_told(workload.answer)}, found {_told(answer_of(pod))}"


def unmet_ranges(found: Sequence[Ranges]) -> Iterator[str]:
    """Say what is wrong with the namespaces' values: missing ones, and blocks that two of them share."""
    missing = set(NAMESPACES) - {ranges.namespace for ranges in found}
    yield from (f"namespace {name}: not found" for name in sorted(missing))
    holders: dict[str, str] = {}
    for ranges in found:
        if not ranges.complete:
            yield f"namespace {ranges.namespace}: incomplete: {ranges}"
        elif other := holders.get(ranges.uid_range):
            yield f"namespace {ranges.namespace}: UID range {ranges.uid_range} is also that of namespace {other}"
        holders[ranges.uid_range] = ranges.namespace


def _told(answer: tuple[str, str, str]) -> str:
    scc, verdict, reason = answer
    return " ".join(part for part in (verdict or "no verdict", f"under {scc}" if scc else "", reason) if part)
