"""The kinds of objects that commands read, wherever they come from."""

from typing import Any, NamedTuple

from scc_operator import names
from scc_operator.kube import paths
from scc_operator.kube.paths import Resource


class ObjectKind(NamedTuple):
    """A kind and where the API serves it."""

    kind: str
    resource: Resource

    @property
    def file(self) -> str:
        """The name of its file in a snapshot."""
        return f"{self.title}.json"

    @property
    def title(self) -> str:
        """The resource as kubectl writes it in full, e.g. `roles.rbac.authorization.k8s.io`."""
        return f"{self.resource.plural}.{self.resource.group}" if self.resource.group else self.resource.plural


NAMESPACES = ObjectKind("Namespace", paths.NAMESPACES)
SCCS = ObjectKind(names.SCC_KIND, paths.SCCS)
ROLES = ObjectKind("Role", paths.ROLES)
CLUSTER_ROLES = ObjectKind("ClusterRole", paths.CLUSTER_ROLES)
ROLE_BINDINGS = ObjectKind("RoleBinding", paths.ROLE_BINDINGS)
CLUSTER_ROLE_BINDINGS = ObjectKind("ClusterRoleBinding", paths.CLUSTER_ROLE_BINDINGS)
SCC_BINDINGS = ObjectKind(names.BINDING_KIND, paths.BINDINGS)
CLUSTER_SCC_BINDINGS = ObjectKind(names.CLUSTER_BINDING_KIND, paths.CLUSTER_BINDINGS)
RANGES = ObjectKind(names.RANGE_KIND, paths.RANGES)
NAMESPACE_RANGES = ObjectKind(names.HOLDING_KIND, paths.HOLDINGS)
PODS = ObjectKind("Pod", paths.PODS)
SERVICE_ACCOUNTS = ObjectKind("ServiceAccount", Resource("", "v1", "serviceaccounts", namespaced=True))
PERSISTENT_VOLUMES = ObjectKind("PersistentVolume", Resource("", "v1", "persistentvolumes", namespaced=False))
PERSISTENT_VOLUME_CLAIMS = ObjectKind(
    "PersistentVolumeClaim", Resource("", "v1", "persistentvolumeclaims", namespaced=True)
)
REPLICATION_CONTROLLERS = ObjectKind(
    "ReplicationController", Resource("", "v1", "replicationcontrollers", namespaced=True)
)
DEPLOYMENTS = ObjectKind("Deployment", Resource("apps", "v1", "deployments", namespaced=True))
REPLICA_SETS = ObjectKind("ReplicaSet", Resource("apps", "v1", "replicasets", namespaced=True))
STATEFUL_SETS = ObjectKind("StatefulSet", Resource("apps", "v1", "statefulsets", namespaced=True))
DAEMON_SETS = ObjectKind("DaemonSet", Resource("apps", "v1", "daemonsets", namespaced=True))
JOBS = ObjectKind("Job", Resource("batch", "v1", "jobs", namespaced=True))
CRON_JOBS = ObjectKind("CronJob", Resource("batch", "v1", "cronjobs", namespaced=True))

WORKLOADS = (
    REPLICATION_CONTROLLERS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    DAEMON_SETS,
    JOBS,
    CRON_JOBS,
)
"""Kinds that hold pod templates and that the API serves."""
ACCESS = (SCCS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS)
"""What decides about who may use which SCC."""
SNAPSHOT = (
    NAMESPACES,
    *ACCESS,
    SCC_BINDINGS,
    CLUSTER_SCC_BINDINGS,
    RANGES,
    NAMESPACE_RANGES,
    SERVICE_ACCOUNTS,
    PODS,
    *WORKLOADS,
    PERSISTENT_VOLUMES,
    PERSISTENT_VOLUME_CLAIMS,
)
"""What a snapshot holds; never Secrets and ConfigMaps."""
OPTIONAL = frozenset({SCC_BINDINGS, CLUSTER_SCC_BINDINGS, RANGES, NAMESPACE_RANGES, SCCS})
"""Kinds that a cluster need not serve."""

_BY_KIND = {(each.resource.group, each.kind): each for each in SNAPSHOT}
_ALIASES = {
    "po": PODS,
    "rc": REPLICATION_CONTROLLERS,
    "deploy": DEPLOYMENTS,
    "rs": REPLICA_SETS,
    "sts": STATEFUL_SETS,
    "ds": DAEMON_SETS,
    "cj": CRON_JOBS,
    "sa": SERVICE_ACCOUNTS,
}


def kind_of(raw: dict[str, Any]) -> ObjectKind | None:
    """The kind of a manifest; None for one that commands do not read."""
    group, slash, _ = str(raw.get("apiVersion", "")).partition("/")
    return _BY_KIND.get((group if slash else "", str(raw.get("kind", ""))))


def kind_called(word: str) -> ObjectKind | None:
    """The kind that a person means by `pod`, `deployments`, `sts`, as kubectl reads it."""
    word = word.lower().partition(".")[0]
    if word in _ALIASES:
        return _ALIASES[word]
    return next((each for each in SNAPSHOT if word in {each.kind.lower(), each.resource.plural}), None)
