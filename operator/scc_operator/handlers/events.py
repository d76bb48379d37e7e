"""What the watches see goes into the mirror; the mirror wakes the reconcilers.

Only `on.event` handlers, for every kind, our own included: every other kind of handler makes Kopf write finalizers or
annotations on the watched objects. Kopf neither retries such a handler nor waits for it, and writes a returned value
into the object's status; so a handler does next to nothing and returns None.
"""

from typing import Any

import kopf

from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.reports.metrics import Metrics


def register(registry: kopf.OperatorRegistry, mirror: Mirror, metrics: Metrics) -> None:
    """Watch every kind of the mirror; to be called when it is settled which these are, and before Kopf watches."""
    for kind in mirror.kinds:
        _watch(registry, kind, mirror, metrics)


def _watch(registry: kopf.OperatorRegistry, kind: Kind, mirror: Mirror, metrics: Metrics) -> None:
    seen = metrics.events.labels(kind.value)

    @kopf.on.event(kind.resource.group, kind.resource.version, kind.resource.plural, id=kind.value, registry=registry)
    async def observe(event: Any, **_: Any) -> None:
        seen.inc()
        mirror.observe(kind, event["type"], event["object"])
