"""Kubernetes Events about objects that need somebody's attention."""

import hashlib
import logging
from datetime import UTC, datetime
from typing import Any

import msgspec

from scc_operator import names
from scc_operator.kube.client import Api
from scc_operator.kube.errors import ApiError, ApiUnreachableError
from scc_operator.kube.paths import EVENTS

_log = logging.getLogger(__name__)
_LONGEST_MESSAGE = 1024
_REMEMBERED = 10_000


class Subject(msgspec.Struct, frozen=True):
    """The object that an Event is about."""

    api_version: str
    kind: str
    name: str
    uid: str
    namespace: str = ""


class Recorder:
    """Writes an Event once for each thing that is said about an object, and logs it.

    Events are advice: losing one when the API server is away is better than stopping work, so errors are only logged.
    """

    def __init__(self, api: Api, *, component: str = names.FIELD_MANAGER) -> None:
        self._api = api
        self._component = component
        self._said: dict[tuple[str, str], str] = {}

    async def warn(self, subject: Subject, reason: str, message: str) -> None:
        """Say `message` about the object, unless it is what was last said under this reason."""
        await self._say("Warning", subject, reason, message)

    async def tell(self, subject: Subject, reason: str, message: str) -> None:
        """Like `warn`, for news that need no action."""
        await self._say("Normal", subject, reason, message)

    def settled(self, subject: Subject, reason: str) -> None:
        """The matter is settled: should it come back, it is said again."""
        self._said.pop((subject.uid, reason), None)

    async def _say(self, kind: str, subject: Subject, reason: str, message: str) -> None:
        if self._said.get((subject.uid, reason)) == message:
            return
        if len(self._said) >= _REMEMBERED:  # of objects long gone, mostly
            self._said.clear()
        self._said[subject.uid, reason] = message
        where = f"{subject.namespace}/{subject.name}" if subject.namespace else subject.name
        _log.log(logging.WARNING if kind == "Warning" else logging.INFO, "%s %s: %s", subject.kind, where, message)
        namespace = subject.namespace or "default"  # where Kubernetes keeps Events of cluster-scoped objects
        try:
            await self._api.create(EVENTS.path(namespace), self._event(kind, subject, reason, message, namespace))
        except (ApiError, ApiUnreachableError) as error:
            if not (isinstance(error, ApiError) and error.status == 409):
                _log.warning("Event %s about %s %s was not written: %s", reason, subject.kind, where, error)

    def _event(self, kind: str, subject: Subject, reason: str, message: str, namespace: str) -> dict[str, Any]:
        now = datetime.now(UTC)
        digest = hashlib.sha256(f"{subject.uid}{reason}{message}{now.timestamp()}".encode()).hexdigest()[:16]
        involved = {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "name": subject.name,
            "namespace": subject.namespace,
            "uid": subject.uid,
        }
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{subject.name[:200]}.{digest}", "namespace": namespace},
            "involvedObject": {key: value for key, value in involved.items() if value},
            "type": kind,
            "reason": reason,
            "message": message[:_LONGEST_MESSAGE],
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
