"""Kopf's settings, login, start and end."""

import asyncio
import logging
from typing import Any

import kopf

from scc_operator import names
from scc_operator.cluster.kinds import RUNNING_PODS
from scc_operator.handlers import events
from scc_operator.runtime import Operator


class _NoEssence(kopf.AnnotationsDiffBaseStorage):
    """Kopf computes what changed in each object for handlers that we do not have: half of its time, for nothing."""

    def build(self, **_: Any) -> Any:
        return {}


def configure(settings: kopf.OperatorSettings, *, page_size: int) -> None:
    """Kopf for large clusters, and without a trace on any object."""
    # Kopf says of each of ten thousand pods that its handler succeeded.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    # With the default name Kopf would take the finalizers of *other* Kopf operators off the objects that it sees.
    settings.persistence.finalizer = names.FINALIZER
    settings.persistence.diffbase_storage = _NoEssence(prefix=names.ANNOTATION_PREFIX)
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=names.ANNOTATION_PREFIX)
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.admission.managed = None
    settings.watching.chunk_size = page_size
    settings.watching.field_selectors["", "v1", "pods"] = RUNNING_PODS
    settings.queueing.idle_timeout = 0.3
    settings.queueing.worker_limit = None
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    # For a minute, as by default, but without its pauses of up to 21 s: the watches are back soon after the server.
    settings.networking.error_backoffs = (1, 1, 2, 3, *(5,) * 11)


def register(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    """Log in, start and end with Kopf."""

    @kopf.on.login(id="login", registry=registry)
    async def login(**kwargs: Any) -> Any:
        return await asyncio.to_thread(kopf.login_via_client, **kwargs)

    @kopf.on.startup(id="start", errors=kopf.ErrorsMode.PERMANENT, registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings, page_size=operator.settings.page_size)
        await operator.start()
        events.register(registry, operator.mirror, operator.metrics)

    @kopf.on.cleanup(id="end", registry=registry)
    async def end(**_: Any) -> None:
        await operator.stop()
