import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from scc_operator.kube.client import Api, retrying
from scc_operator.kube.errors import ApiError, ApiUnreachableError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
POD = "/api/v1/namespaces/shop/pods/druid-0"


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[Api]]]:
    """Start a server that answers everything with one handler; returns a client of it."""
    opened: list[tuple[web.AppRunner, Api]] = []

    async def start(handler: Handler) -> Api:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
        configuration.retries = None
        opened.append((runner, Api(ApiClient(configuration))))
        return opened[-1][1]

    yield start
    for runner, api in opened:
        await api.close()
        await runner.cleanup()


def refusing(status: int, reason: str = "", message: str = "", **headers: str) -> Handler:
    """A handler that answers with a Status object."""

    async def handle(_: web.Request) -> web.Response:
        body = {"kind": "Status", "reason": reason, "message": message, "code": status}
        return web.json_response(body, status=status, headers=headers)

    return handle


async def test_an_error_status_carries_what_the_server_says(serve: Callable[[Handler], Awaitable[Api]]) -> None:
    """Status, reason, text and Retry-After of a Status object come through."""
    handler = refusing(429, "TooManyRequests", "please wait", **{"Retry-After": "7"})
    api = await serve(handler)
    with pytest.raises(ApiError) as caught:
        await api.patch(POD, {})
    error = caught.value
    assert (error.status, error.reason, error.message) == (429, "TooManyRequests", "please wait")
    assert error.retry_after == 7
    assert error.transient
    assert not error.gone


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"", b"[]", b'{"message": 1}'])
async def test_an_error_page_of_somebody_in_between_is_told_too(
    serve: Callable[[Handler], Awaitable[Api]], body: bytes
) -> None:
    """A proxy answers what it likes; that is no reason for another error."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=502, body=body, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})

    api = await serve(handle)
    with pytest.raises(ApiError) as caught:
        await api.get(POD)
    assert caught.value.status == 502
    assert caught.value.transient
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    "status, message, gone",
    [
        (404, 'pods "druid-0" not found', True),
        (422, 'Pod "druid-0" is invalid: metadata.uid: Invalid value: "a": field is immutable', True),
        (409, 'Operation cannot be fulfilled on Pod "druid-0": the UID in the precondition (a) does not match', True),
        (409, "Precondition failed: UID in precondition: a, UID in object meta: b", True),
        (409, 'Operation cannot be fulfilled on pods "druid-0": the object has been modified', False),
        (409, 'Operation cannot be fulfilled on pods "metadata.uid": the object has been modified', False),
        (422, 'Pod "druid-0" is invalid: metadata.annotations: Invalid value: "x y"', False),
        (500, "metadata.uid: UID in", False),
    ],
)
def test_gone_means_this_object_and_nothing_else(status: int, message: str, gone: bool) -> None:
    """A pod that is called druid or fluid is not gone because something else is wrong."""
    assert ApiError(status, "", message).gone is gone


@pytest.mark.parametrize(
    "status, transient",
    [
        *((status, False) for status in (400, 401, 403, 404, 409, 410, 422)),
        *((status, True) for status in (408, 429, 500, 503, 504)),
    ],
)
def test_only_what_waiting_mends_is_transient(status: int, transient: bool) -> None:
    """The server's state passes, a missing right or a malformed request does not."""
    assert ApiError(status, "", "").transient is transient


async def test_a_missing_object_is_none_where_it_is_looked_for(serve: Callable[[Handler], Awaitable[Api]]) -> None:
    """`find` says None, `get` raises."""
    api = await serve(refusing(404, "NotFound"))
    assert await api.find(POD) is None
    with pytest.raises(ApiError, match="404"):
        await api.get(POD)


@pytest.mark.parametrize("status", [404, 409])
async def test_deleting_what_is_gone_is_no_error(serve: Callable[[Handler], Awaitable[Api]], status: int) -> None:
    """Nor is deleting one whose name another object has by now."""
    api = await serve(refusing(status))
    assert await api.delete(POD, uid="a") is False


async def test_a_deletion_names_the_uid_it_means(serve: Callable[[Handler], Awaitable[Api]]) -> None:
    """With a uid a namesake is never deleted."""
    bodies = []

    async def handle(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.json_response({})

    api = await serve(handle)
    assert await api.delete(POD, uid="a") is True
    assert bodies == [{"preconditions": {"uid": "a"}}]


async def test_a_patch_is_a_merge_patch_with_our_name_on_it(serve: Callable[[Handler], Awaitable[Api]]) -> None:
    """The field manager tells our writes from others'."""
    seen = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.method, request.content_type, request.query.get("fieldManager"), await request.json()))
        return web.json_response({"done": True})

    api = await serve(handle)
    assert await api.patch(POD, {"metadata": {"annotations": {"a": None}}}) == {"done": True}
    body = {"metadata": {"annotations": {"a": None}}}
    assert seen == [("PATCH", "application/merge-patch+json", "scc-operator", body)]


async def test_a_list_goes_on_until_there_are_no_more_pages(serve: Callable[[Handler], Awaitable[Api]]) -> None:
    """Each page is asked for with the token of the one before, the selector with every one."""
    queries = []

    async def handle(request: web.Request) -> web.Response:
        queries.append(dict(request.query))
        more = {"continue": str(len(queries))} if len(queries) < 3 else {}
        return web.json_response({"metadata": {"resourceVersion": "9", **more}, "items": []})

    api = await serve(handle)
    pages = [page async for page in api.pages("/api/v1/pods", limit=2, query={"fieldSelector": "a=b"})]
    assert [page.resource_version for page in pages] == ["9", "9", "9"]
    assert [json.loads(page.body)["items"] for page in pages] == [[], [], []]
    assert [query.get("continue") for query in queries] == [None, "1", "2"]
    assert {(query["limit"], query["fieldSelector"]) for query in queries} == {("2", "a=b")}


async def test_a_connection_that_breaks_is_no_answer(serve: Callable[[Handler], Awaitable[Api]]) -> None:
    """Refused, cut or too slow: the caller cannot know whether the request was carried out."""

    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    api = await serve(cut)
    with pytest.raises(ApiUnreachableError, match=f"PATCH {POD}"):
        await api.patch(POD, {})

    async def sleep(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    api = await serve(sleep)
    with pytest.raises(ApiUnreachableError, match=f"GET {POD}"):
        await api.request("GET", POD, timeout=0.05)


async def test_retrying_goes_on_until_it_goes_through() -> None:
    """Errors that pass are waited for."""
    errors: list[Exception] = [ApiUnreachableError("away"), ApiError(503, "", ""), ApiError(429, "", "", 0.001)]

    async def attempt() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert await retrying(attempt, first=0.001) == "done"


async def test_retrying_gives_up_on_what_does_not_pass() -> None:
    """A missing right is told at once."""
    tries = 0

    async def attempt() -> None:
        nonlocal tries
        tries += 1
        raise ApiError(403, "Forbidden", "no right")

    with pytest.raises(ApiError, match="no right"):
        await retrying(attempt, first=0.001)
    assert tries == 1
