"""Creates the default SCCs, their ClusterRoles and bindings where they are missing; never touches one that exists.

An administrator may have edited `users` of a default SCC: applying the shipped values again would take that away.
"""

import logging
from collections.abc import Iterator
from functools import partial
from importlib import resources
from typing import Any

import yaml

from scc_operator.kube import paths
from scc_operator.kube.client import Api, retrying
from scc_operator.kube.errors import ApiError
from scc_operator.kube.paths import Resource

_log = logging.getLogger(__name__)

_RESOURCES: dict[str, Resource] = {
    "SecurityContextConstraints": paths.SCCS,
    "ClusterRole": paths.CLUSTER_ROLES,
    "ClusterRoleBinding": paths.CLUSTER_ROLE_BINDINGS,
}


def default_objects() -> Iterator[dict[str, Any]]:
    """The packaged SCCs, ClusterRoles and ClusterRoleBindings as plain objects, SCCs first."""
    folder = resources.files("scc_operator.data")
    for file in ("default_sccs.yaml", "default_scc_rbac.yaml"):
        yield from yaml.safe_load_all((folder / file).read_text(encoding="utf-8"))


async def create_missing(api: Api) -> list[str]:
    """Create what is missing and return its kinds and names.

    Raises:
        ApiError: an object was refused; what was created before stays, and a next start goes on.
    """
    created = [
        f"{manifest['kind']} {manifest['metadata']['name']}"
        for manifest in default_objects()
        if await retrying(partial(_create_missing, api, manifest))
    ]
    if created:
        _log.info("created defaults: %s", ", ".join(created))
    return created


async def _create_missing(api: Api, manifest: dict[str, Any]) -> bool:
    resource, name = _RESOURCES[manifest["kind"]], manifest["metadata"]["name"]
    if await api.find(resource.path(name=name)) is not None:
        return False
    try:
        await api.create(resource.path(), manifest)
    except ApiError as error:
        if error.status == 409:  # another operator was quicker
            return False
        text = f"default {manifest['kind']} {name}: {error.message}"
        raise ApiError(error.status, error.reason, text, error.retry_after) from error
    return True
