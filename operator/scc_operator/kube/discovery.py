"""What the API server serves: whether our kinds are there, and whether this is OpenShift."""

import asyncio
import logging
from collections.abc import Iterable

from scc_operator import names
from scc_operator.kube.client import Api, retrying
from scc_operator.kube.errors import ApiError
from scc_operator.kube.paths import API_SERVICES, CRDS, Resource

_log = logging.getLogger(__name__)
_OPENSHIFT_ANNOTATION = "include.release.openshift.io/"
_REMIND = 30.0


async def wait_until_served(api: Api, resources: Iterable[Resource], *, pause: float = 1.0) -> None:
    """Return once the API server serves all these resources; says from time to time which are missing.

    Kopf never notices a CustomResourceDefinition that comes after its start, so the operator waits before it.
    """
    loop = asyncio.get_running_loop()
    reminded = -_REMIND
    missing = list(resources)
    while missing:
        missing = [resource for resource in missing if not await _served(api, resource)]
        if missing:
            if loop.time() - reminded >= _REMIND:
                listed = ", ".join(f"{resource.plural}.{resource.group}" for resource in missing)
                _log.warning("waiting for CustomResourceDefinitions: %s; install them: kubectl apply -k crds", listed)
                reminded = loop.time()
            await asyncio.sleep(pause)


async def _served(api: Api, resource: Resource) -> bool:
    async def listed() -> bool:
        try:
            await api.request("GET", resource.path(), query={"limit": "1"})
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    return await retrying(listed)


async def is_openshift(api: Api) -> bool:
    """Whether this is a real OpenShift cluster, where SCCs and ranges are somebody else's (spec/resources.md §1.8)."""
    crd = await retrying(lambda: api.find(CRDS.path(name=f"{names.SCC_RESOURCE}.{names.SECURITY_GROUP}")))
    annotations = ((crd or {}).get("metadata") or {}).get("annotations") or {}
    if any(key.startswith(_OPENSHIFT_ANNOTATION) for key in annotations):
        return True
    name = f"{names.SECURITY_VERSION}.{names.SECURITY_GROUP}"
    service = await retrying(lambda: api.find(API_SERVICES.path(name=name)))
    # The API server registers an APIService without a service for each CRD group; OpenShift's has one.
    return bool(((service or {}).get("spec") or {}).get("service"))
