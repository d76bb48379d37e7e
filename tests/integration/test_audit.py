"""Running pods carry the answer that is true now."""

from tests.integration.support import Kubectl, OperatorProcess, binding, eventually, pod, scc


def test_a_pod_that_leaves_everything_open_fits_with_defaults(
    operator: OperatorProcess, kubectl: Kubectl, namespace: str
) -> None:
    """The normal case of plain Kubernetes: admission would only fill in what the pod left open."""
    kubectl.apply(pod("web", namespace))
    eventually(lambda: kubectl.audit("web", namespace) == ("restricted-v2", "fits-with-defaults", None))


def test_a_grant_moves_a_pod_and_its_end_moves_it_back(
    operator: OperatorProcess, kubectl: Kubectl, namespace: str
) -> None:
    """A pod with UID 65534 is denied, matches nfs-scc once it is granted, and is denied again when the grant ends."""
    name = f"nfs-scc-{namespace}"
    kubectl.apply(pod("nfs", namespace, container={"securityContext": {"runAsUser": 65534}}))
    eventually(lambda: kubectl.audit("nfs", namespace) == (None, "denied", "RunAsUserOutOfRange"))
    kubectl.apply(
        scc(name, priority=9, runAsUser={"type": "MustRunAsRange", "uidRangeMin": 65534, "uidRangeMax": 65534}),
        binding("nfs", namespace, [name], {"kind": "ServiceAccount", "name": "default"}),
    )
    eventually(lambda: kubectl.audit("nfs", namespace) == (name, "fits-with-defaults", None))
    kubectl("delete", "sccbinding", "nfs", "-n", namespace)
    eventually(lambda: kubectl.audit("nfs", namespace) == (None, "denied", "RunAsUserOutOfRange"))
    kubectl("delete", "scc", name)
