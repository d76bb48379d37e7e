"""Paths of the API: where each kind lives."""

from typing import NamedTuple

from scc_operator import names


class Resource(NamedTuple):
    """A resource of the API: its group, version and plural, and whether its objects live in namespaces."""

    group: str
    version: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The collection's path, or an object's; without a namespace the whole cluster's."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{scope}/{self.plural}{tail}"


PODS = Resource("", "v1", "pods", namespaced=True)
NAMESPACES = Resource("", "v1", "namespaces", namespaced=False)
PERSISTENT_VOLUMES = Resource("", "v1", "persistentvolumes", namespaced=False)
EVENTS = Resource("", "v1", "events", namespaced=True)
LEASES = Resource("coordination.k8s.io", "v1", "leases", namespaced=True)
ROLES = Resource(names.RBAC_GROUP, "v1", "roles", namespaced=True)
ROLE_BINDINGS = Resource(names.RBAC_GROUP, "v1", "rolebindings", namespaced=True)
CLUSTER_ROLES = Resource(names.RBAC_GROUP, "v1", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(names.RBAC_GROUP, "v1", "clusterrolebindings", namespaced=False)
SCCS = Resource(names.SECURITY_GROUP, names.SECURITY_VERSION, names.SCC_RESOURCE, namespaced=False)
RANGES = Resource(names.RANGE_GROUP, names.RANGE_VERSION, names.RANGE_RESOURCE, namespaced=False)
HOLDINGS = Resource(names.GROUP, names.VERSION, names.HOLDING_RESOURCE, namespaced=False)
BINDINGS = Resource(names.GROUP, names.VERSION, names.BINDING_RESOURCE, namespaced=True)
CLUSTER_BINDINGS = Resource(names.GROUP, names.VERSION, names.CLUSTER_BINDING_RESOURCE, namespaced=False)
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
API_SERVICES = Resource("apiregistration.k8s.io", "v1", "apiservices", namespaced=False)
DEFAULT_SCCS = Resource(names.GROUP, names.VERSION, names.DEFAULT_SCC_RESOURCE, namespaced=False)
