"""The API server in single calls, as its administrator: quicker than a kubectl process for each."""

from collections.abc import Mapping
from typing import Any

import pykube
from tests.integration.support import pod

from scc_operator.kube.paths import PODS, Resource

MERGE_PATCH = "application/merge-patch+json"


class Rest:
    """Create, read, patch and delete objects of a `Resource`; raises where the API server refuses."""

    def __init__(self, api: pykube.HTTPClient) -> None:
        self._api = api

    def create(self, resource: Resource, body: Mapping[str, Any], namespace: str = "") -> Any:
        """Create an object."""
        return self._call("POST", resource.path(namespace), body)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Any:
        """Read an object; None where there is none."""
        return self._call("GET", resource.path(namespace, name), absent={404})

    def list(self, resource: Resource, namespace: str = "") -> list[Any]:
        """All objects of a namespace, or of the cluster."""
        found: list[Any] = self._call("GET", resource.path(namespace))["items"]
        return found

    def patch(self, resource: Resource, name: str, body: Mapping[str, Any], namespace: str = "") -> Any:
        """Merge-patch an object."""
        return self._call("PATCH", resource.path(namespace, name), body, MERGE_PATCH)

    def replace(self, resource: Resource, name: str, body: Mapping[str, Any], namespace: str = "") -> Any:
        """Replace an object."""
        return self._call("PUT", resource.path(namespace, name), body)

    def annotate(self, resource: Resource, name: str, annotations: Mapping[str, str | None]) -> None:
        """Set annotations of a cluster-scoped object, or remove those that are None."""
        self.patch(resource, name, {"metadata": {"annotations": annotations}})

    def delete(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Delete an object at once."""
        self._call("DELETE", resource.path(namespace, name), {"gracePeriodSeconds": 0}, absent={404})

    def run_pod(self, name: str, namespace: str, **security: Any) -> Any:
        """Create a pod whose container has this securityContext."""
        return self.create(PODS, pod(name, namespace, container={"securityContext": security}), namespace)

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        absent: frozenset[int] | set[int] = frozenset(),
    ) -> Any:
        headers = {"Content-Type": content_type}
        response = self._api.session.request(method, self._api.url + path, json=body, headers=headers, timeout=30)
        if response.status_code in absent:
            return None
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()
