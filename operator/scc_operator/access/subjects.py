"""The identities for which access is asked, and the one that created a pod, as far as a cluster tells it."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from scc_operator import names

_SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"

# Controllers of kube-controller-manager create pods under service accounts of their own in kube-system.
_CONTROLLERS = {
    ("apps", "ReplicaSet"): "replicaset-controller",
    ("apps", "StatefulSet"): "statefulset-controller",
    ("apps", "DaemonSet"): "daemon-set-controller",
    ("batch", "Job"): "job-controller",
    ("", "ReplicationController"): "replication-controller",
}


class Identity(msgspec.Struct, frozen=True, cache_hash=True):
    """A user name and groups, as an authenticated request carries them.

    An empty name stands for somebody of whom only the groups are known; it equals no user.
    """

    name: str
    groups: tuple[str, ...] = ()


SOMEBODY = Identity("", (names.AUTHENTICATED,))
"""Whoever it was, of whom nothing is known but that the API server let them in."""


def service_account_name(namespace: str, name: str) -> str:
    """The user name of a service account."""
    return f"{_SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def service_account_group(namespace: str) -> str:
    """The group of all service accounts of a namespace."""
    return f"{names.SERVICE_ACCOUNTS}:{namespace}"


def service_account_identity(namespace: str, name: str) -> Identity:
    """A service account as SCC admission sees it: two groups, not `system:authenticated` (spec/admission.md §2.3)."""
    return Identity(service_account_name(namespace, name), (names.SERVICE_ACCOUNTS, service_account_group(namespace)))


def infer_requester(owner_references: Sequence[Mapping[str, Any]], *, mirror_node: str | None = None) -> Identity:
    """Who most likely created a pod; Kubernetes does not record it.

    Args:
        owner_references: `metadata.ownerReferences` of the pod. Only the controller's counts, and only if it is one
            of the controllers of Kubernetes itself; any other pod was created by `SOMEBODY`.
        mirror_node: the node of a mirror pod, whatever its owner; None for a pod that is none.
    """
    if mirror_node is not None:
        return Identity(f"system:node:{mirror_node}", (names.NODES, names.AUTHENTICATED))
    for owner in owner_references:
        if owner.get("controller") is True:
            group, slash, _version = str(owner.get("apiVersion", "")).partition("/")
            account = _CONTROLLERS.get((group if slash else "", str(owner.get("kind", ""))))
            return _controller(account) if account else SOMEBODY
    return SOMEBODY


def _controller(account: str) -> Identity:
    """A controller's service account as the API server authenticates it."""
    identity = service_account_identity("kube-system", account)
    return Identity(identity.name, (*identity.groups, names.AUTHENTICATED))
