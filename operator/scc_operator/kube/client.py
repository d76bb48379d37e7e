"""Raw requests to the API server: bytes in and out, the login of the official client.

The official client's models cost 149 KB and 1.4 ms a pod, so only its configuration, authentication and transport are
used. Everything else of the operator depends on the few methods of `Api`, so that another transport is one file away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import (
    ConfigException,
    load_incluster_config,
    load_kube_config,
)
from multidict import CIMultiDict

from scc_operator import __version__, names
from scc_operator.kube.errors import ApiError, ApiUnreachableError

MERGE_PATCH = "application/merge-patch+json"
_JSON = "application/json"
_REQUEST_TIMEOUT = 60.0
_CONNECT_TIMEOUT = 10.0


class _Status(msgspec.Struct):
    reason: str = ""
    message: str = ""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _ListHead(msgspec.Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)


class Page(msgspec.Struct, frozen=True):
    """One page of a list: the raw body and the resourceVersion at which the whole list was taken."""

    body: bytes
    resource_version: str


class Api:
    """An authenticated connection to one API server.

    Every method raises `ApiError` for an error status and `ApiUnreachableError` when no answer came.

    Args:
        client: the official client, logged in.
        impersonate: headers that every request carries to act as somebody else.
    """

    def __init__(self, client: ApiClient, impersonate: Sequence[tuple[str, str]] = ()) -> None:
        self._client = client
        self._impersonate = tuple(impersonate)

    @classmethod
    async def connect(cls, *, context: str | None = None) -> "Api":
        """Log in as Kopf does: with the pod's service account, else with the kubeconfig."""
        configuration = Configuration()
        configuration.connection_pool_maxsize = 100
        configuration.retries = None  # the callers pace and retry
        try:
            load_incluster_config(client_configuration=configuration)
        except ConfigException:
            await load_kube_config(context=context, client_configuration=configuration)
        return cls.of(configuration)

    @classmethod
    def of(cls, configuration: Configuration, impersonate: Sequence[tuple[str, str]] = ()) -> "Api":
        """A connection with a login that was loaded already."""
        client = ApiClient(configuration)
        client.user_agent = f"{names.FIELD_MANAGER}/{__version__}"
        return cls(client, impersonate)

    @property
    def server(self) -> str:
        """The API server's address, for messages."""
        return str(self._client.configuration.host)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = _JSON,
        timeout: float = _REQUEST_TIMEOUT,  # noqa: ASYNC109 - the transport's own time-out, not ours
    ) -> bytes:
        """Send one request and return the body of the answer."""
        headers: Any = {"Accept": _JSON, "Content-Type": content_type}
        method, url, headers, body, _ = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        if self._impersonate:
            headers = CIMultiDict([*headers.items(), *self._impersonate])  # groups repeat their header
        limits = aiohttp.ClientTimeout(total=timeout, connect=_CONNECT_TIMEOUT)
        try:
            response = await self._client.call_api(method, url, headers, body, _request_timeout=limits)
            data: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnreachableError(f"{method} {path}: {error or type(error).__name__}") from error
        if response.status >= 400:
            raise _error(response.status, response.reason, data, response.headers.get("Retry-After"))
        return data

    async def get(self, path: str, *, query: Mapping[str, str] | None = None) -> Any:
        """Read one object or a small list as plain JSON."""
        return msgspec.json.decode(await self.request("GET", path, query=query))

    async def find(self, path: str) -> Any:
        """Read one object as plain JSON; None where there is none."""
        try:
            return await self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, path: str, body: object) -> Any:
        """Create an object in the collection at `path`."""
        return msgspec.json.decode(await self.request("POST", path, query=_MANAGER, body=body))

    async def replace(self, path: str, body: object) -> Any:
        """Replace an object; its `metadata.resourceVersion`, where given, must be the stored one (else 409)."""
        return msgspec.json.decode(await self.request("PUT", path, query=_MANAGER, body=body))

    async def patch(self, path: str, body: object) -> Any:
        """Merge-patch an object; with `metadata.uid` in the body a namesake is never patched."""
        raw = await self.request("PATCH", path, query=_MANAGER, body=body, content_type=MERGE_PATCH)
        return msgspec.json.decode(raw)

    async def delete(self, path: str, *, uid: str | None = None) -> bool:
        """Delete an object, only the one with this uid where one is given; False where it is gone already."""
        body = {"preconditions": {"uid": uid}} if uid else None
        try:
            await self.request("DELETE", path, body=body)
        except ApiError as error:
            if error.status in {404, 409}:
                return False
            raise
        return True

    async def pages(self, path: str, *, limit: int, query: Mapping[str, str] | None = None) -> AsyncIterator[Page]:
        """List a collection in pages of raw bytes, all of one snapshot.

        A snapshot that expires between two pages (410) ends in an `ApiError`; the caller starts over.
        """
        parameters = {**(query or {}), "limit": str(limit)}
        while True:
            body = await self.request("GET", path, query=parameters)
            head = _HEAD.decode(body).metadata
            yield Page(body, head.resource_version)
            if not head.continue_:
                return
            parameters["continue"] = head.continue_


_MANAGER = {"fieldManager": names.FIELD_MANAGER}
_HEAD = msgspec.json.Decoder(_ListHead)


def _error(status: int, reason: str, data: bytes, retry_after: str | None) -> ApiError:
    try:
        answer = msgspec.json.decode(data, type=_Status)
    except msgspec.MsgspecError:  # a proxy's page, or nothing
        answer = _Status(reason=reason or "", message=data[:200].decode(errors="replace"))
    return ApiError(status, answer.reason, answer.message, _seconds(retry_after))


def _seconds(retry_after: str | None) -> float | None:
    try:
        return float(retry_after) if retry_after else None
    except ValueError:  # an HTTP date: rare, and our own back-off is as good
        return None


_T = TypeVar("_T")


async def retrying(attempt: Callable[[], Awaitable[_T]], *, first: float = 0.5, most: float = 30.0) -> _T:
    """Await `attempt()` until it goes through, backing off while the server is away or overloaded.

    Errors that no waiting mends (403, 404, 409, 422) are raised at once.
    """
    delay = first
    while True:
        try:
            return await attempt()
        except ApiUnreachableError:
            wait = delay
        except ApiError as error:
            if not error.transient:
                raise
            wait = error.retry_after or delay
        await asyncio.sleep(wait)
        delay = min(delay * 2, most)
