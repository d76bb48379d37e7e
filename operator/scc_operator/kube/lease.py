"""Leadership through a Lease, as other controllers use it.

A leader is there for thrift: two operators at once are correct (every write has a precondition), only wasteful. The
official client's elector measures with wall clocks and never releases; this one measures with monotonic time, as a
holder's and as a waiter's clock need not agree, and releases on a clean exit so that a successor starts at once.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from scc_operator.kube.client import Api
from scc_operator.kube.errors import ApiError, ApiUnreachableError
from scc_operator.kube.paths import LEASES

_log = logging.getLogger(__name__)


class Lease:
    """One candidate for one Lease.

    Args:
        api: the API server.
        namespace: where the Lease lives.
        name: the Lease's name.
        identity: who we are, unique among the candidates.
        duration: seconds of silence after which others may take over.
    """

    def __init__(self, api: Api, *, namespace: str, name: str, identity: str, duration: float) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._path = LEASES.path(namespace, name)
        self._identity = identity
        self._duration = duration
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0
        self._acquired = ""

    @property
    def held_by_another(self) -> bool:
        """Whether somebody else was seen to hold the Lease when it was last looked at."""
        return self._seen is not None and self._seen[0] != self._identity

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        _log.info("waiting for Lease %s/%s as %s", self._namespace, self._name, self._identity)
        while not await self._try():  # noqa: ASYNC110 - the other side is a server, no Event of ours
            await asyncio.sleep(self._duration / 5)
        _log.info("leading: Lease %s/%s is held by %s", self._namespace, self._name, self._identity)

    async def keep(self) -> None:
        """Renew until renewing has failed for two thirds of the duration, or somebody else holds the Lease."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while loop.time() - renewed < self._duration * 2 / 3:
            await asyncio.sleep(self._duration / 5)
            started = loop.time()
            try:
                async with asyncio.timeout(self._duration / 3):
                    ours = await self._try()
            except TimeoutError:
                ours = False
            if ours:
                renewed = started
            elif self.held_by_another:
                break
        _log.error("Lease %s/%s was lost", self._namespace, self._name)

    async def release(self) -> None:
        """Give the Lease up, so that a successor need not wait."""
        try:
            lease = await self._api.find(self._path)
            if lease and lease.get("spec", {}).get("holderIdentity") == self._identity:
                lease["spec"]["holderIdentity"] = ""
                lease["spec"]["leaseDurationSeconds"] = 1
                await self._api.replace(self._path, lease)
        except (ApiError, ApiUnreachableError) as error:
            _log.info("Lease %s/%s was not released: %s", self._namespace, self._name, error)

    async def _try(self) -> bool:
        try:
            return await self._take()
        except ApiUnreachableError as error:
            _log.info("Lease %s/%s: %s", self._namespace, self._name, error)
        except ApiError as error:
            if error.status == 404:
                raise ApiError(
                    404, error.reason, f"{error.message}: the Lease needs namespace {self._namespace}; create it first"
                ) from error
            level = logging.INFO if error.transient or error.status == 409 else logging.ERROR
            _log.log(level, "Lease %s/%s: %s", self._namespace, self._name, error)
        return False

    async def _take(self) -> bool:
        lease = await self._api.find(self._path)
        if lease is None:
            metadata = {"name": self._name, "namespace": self._namespace}
            await self._api.create(LEASES.path(self._namespace), self._lease(metadata, transitions=0))
            return True
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in {"", self._identity} and not self._expired(holder, spec):
            return False
        self._acquired = self._acquired if holder == self._identity else ""
        transitions = spec.get("leaseTransitions") or 0
        body = self._lease(lease["metadata"], transitions=transitions + (holder != self._identity))
        await self._api.replace(self._path, body)
        self._seen = (self._identity, "")
        return True

    def _expired(self, holder: str, spec: dict[str, Any]) -> bool:
        """Whether the holder's record stood still, on our clock, for as long as it asked to be trusted."""
        now = asyncio.get_running_loop().time()
        record = (holder, str(spec.get("renewTime")))
        if record != self._seen:
            self._seen, self._seen_at = record, now
        return now - self._seen_at >= float(spec.get("leaseDurationSeconds") or self._duration)

    def _lease(self, metadata: dict[str, Any], *, transitions: int) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._acquired = self._acquired or now
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": max(1, round(self._duration)),
                "acquireTime": self._acquired,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }
