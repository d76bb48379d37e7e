"""What allocation reads of the mirror."""

from collections.abc import Iterator

from scc_operator.allocation.census import NamespaceState
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.records import Namespace


def state_of(name: str, uid: str, namespace: Namespace) -> NamespaceState:
    """One namespace as allocation sees it."""
    return NamespaceState(
        name=name,
        uid=uid,
        uid_range=namespace.values.uid_range,
        groups=namespace.values.supplemental_groups,
        mcs=namespace.values.mcs,
        terminating=namespace.terminating,
    )


def states(mirror: Mirror) -> Iterator[NamespaceState]:
    """All namespaces."""
    for key, entry in mirror.namespaces.items():
        yield state_of(key[1], entry.uid, entry.value)
