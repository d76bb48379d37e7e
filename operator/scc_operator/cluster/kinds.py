"""The kinds that are watched, and where the API serves them."""

from enum import Enum

from scc_operator import names
from scc_operator.kube import paths
from scc_operator.kube.paths import Resource


class Kind(Enum):
    """A watched kind; the value is its plural, with `clusterroles` and the like telling the scopes apart."""

    NAMESPACES = "namespaces"
    SCCS = "securitycontextconstraints"
    ROLES = "roles"
    CLUSTER_ROLES = "clusterroles"
    ROLE_BINDINGS = "rolebindings"
    CLUSTER_ROLE_BINDINGS = "clusterrolebindings"
    BINDINGS = "sccbindings"
    CLUSTER_BINDINGS = "clustersccbindings"
    LEDGERS = "rangeallocations"
    HOLDINGS = "namespaceranges"
    PODS = "pods"

    @property
    def ours(self) -> bool:
        """Whether OpenShift has nothing to do with it: a kind of our own, or the ledger, which is its own there."""
        return self.resource.group in {names.GROUP, names.RANGE_GROUP}

    @property
    def resource(self) -> Resource:
        """Where the API serves it."""
        return _RESOURCES[self]

    @property
    def query(self) -> dict[str, str]:
        """What a list asks for: all objects, of pods only those that still run or will."""
        return {"fieldSelector": RUNNING_PODS} if self is Kind.PODS else {}


RUNNING_PODS = "status.phase!=Succeeded,status.phase!=Failed"

_RESOURCES = {
    Kind.NAMESPACES: paths.NAMESPACES,
    Kind.SCCS: paths.SCCS,
    Kind.ROLES: paths.ROLES,
    Kind.CLUSTER_ROLES: paths.CLUSTER_ROLES,
    Kind.ROLE_BINDINGS: paths.ROLE_BINDINGS,
    Kind.CLUSTER_ROLE_BINDINGS: paths.CLUSTER_ROLE_BINDINGS,
    Kind.BINDINGS: paths.BINDINGS,
    Kind.CLUSTER_BINDINGS: paths.CLUSTER_BINDINGS,
    Kind.LEDGERS: paths.RANGES,
    Kind.HOLDINGS: paths.HOLDINGS,
    Kind.PODS: paths.PODS,
}
