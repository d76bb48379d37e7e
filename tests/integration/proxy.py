"""A reverse proxy in front of the real API server that breaks what passes through it, as a test tells it to.

It listens with plain HTTP on the loopback interface and speaks to the API server with the kubeconfig's own
certificates, so whoever uses `Proxy.kubeconfig` is who the kubeconfig is, or somebody else through `impersonate`.
It runs in a thread of its own; its methods may be called from tests that know nothing of asyncio.
"""

import asyncio
import base64
import json
import logging
import re
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Self, TypeVar

import aiohttp
import yaml
from aiohttp import web

_T = TypeVar("_T")
_HOP_BY_HOP = frozenset({"connection", "content-length", "host", "accept-encoding", "transfer-encoding", "keep-alive"})
_TIMEOUT = 20.0


class Cut(Enum):
    """When a connection is cut."""

    BEFORE = "before the API server sees the request"
    AFTER = "after the API server has done what was asked, before it can say so"


@dataclass
class Rule:
    """What happens to requests whose `METHOD /path?query` matches; it is over after `times` of them.

    Attributes:
        pattern: a regular expression that is searched for.
        agent: the beginning of the User-Agent of requests that are meant; empty for all.
        times: how many requests are broken; None for all.
        skip: how many matching requests go through untouched first.
        status: answer this instead of asking the API server.
        reason: the Kubernetes reason of that answer.
        message: its text.
        retry_after: its header Retry-After, in seconds.
        cut: cut the connection.
        hold: wait before anything else until `release()`.
        hold_answer: the same, with the API server's answer already in hand.
    """

    pattern: str
    agent: str = ""
    times: int | None = 1
    skip: int = 0
    status: int = 0
    reason: str = "Broken"
    message: str = "the fault proxy says so"
    retry_after: int | None = None
    cut: Cut | None = None
    hold: bool = False
    hold_answer: bool = False
    hits: int = 0
    holding: int = 0
    """How many requests wait for the release now."""
    _released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let held requests go on."""
        self._released.set()

    def takes(self, request: str, agent: str) -> bool:
        """Whether this request is one to break; counts it."""
        if self.hits == self.times or not agent.startswith(self.agent) or not re.search(self.pattern, request):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.hits += 1
        return True

    async def held(self) -> None:
        """Wait for the release."""
        self.holding += 1
        while not self._released.is_set():  # noqa: ASYNC110 - it is released in another thread
            await asyncio.sleep(0.01)
        self.holding -= 1


@dataclass(frozen=True)
class Seen:
    """One request that came by: when (monotonic seconds), what, and how it was answered (0: not at all)."""

    at: float
    request: str
    status: int


class _Watch:
    """A watch stream that is open now."""

    def __init__(self, request: str, response: web.StreamResponse) -> None:
        self.request = request
        self.response = response
        self.over = asyncio.Event()


class Proxy:
    """The proxy; as a context manager it listens while the block runs.

    Args:
        kubeconfig: of the API server to stand in front of.
        folder: where the proxy's own kubeconfig is written.
        impersonate: the user whom every request is made as, e.g. `system:serviceaccount:ns:name`.
    """

    def __init__(self, kubeconfig: Path, folder: Path, *, impersonate: str = "") -> None:
        self.kubeconfig = folder / "kubeconfig"
        self.seen: list[Seen] = []
        self.dropped: list[str] = []
        """`TYPE namespace/name` of the watch events that were dropped."""
        self._rules: list[Rule] = []
        self._drop: tuple[str, str] | None = None
        self._watches: list[_Watch] = []
        self._headers = _impersonation(impersonate)
        self._server, self._tls = _login(kubeconfig)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        port = self._await(self._start())
        self.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(port)))
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        self._await(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT)
        self._loop.close()

    # --- what tests say ------------------------------------------------------------------------------------------

    @contextmanager
    def rule(self, pattern: str, **options: Any) -> Iterator[Rule]:
        """Break requests while the block runs; see `Rule`."""
        rule = Rule(pattern, **options)
        self._rules.append(rule)
        try:
            yield rule
        finally:
            rule.release()
            self._rules.remove(rule)

    @contextmanager
    def dropping(self, types: str, resource: str) -> Iterator[list[str]]:
        """Keep watch events of these types (a pattern) of this plural from whoever watches; yields what was kept."""
        self._drop = (types, resource)
        del self.dropped[:]
        try:
            yield self.dropped
        finally:
            self._drop = None

    def break_watches(self, resource: str, code: int, reason: str = "Expired") -> int:
        """End all watches of this plural with an event ERROR; how many there were."""
        return self._await(self._break_watches(resource, code, reason))

    def watching(self, resource: str) -> int:
        """How many watches of this plural are open."""
        return len([watch for watch in self._watches if _watches(watch.request, resource)])

    def count(self, pattern: str, *, since: float = 0.0) -> int:
        """How many requests came by that match `METHOD /path?query`."""
        return len([seen for seen in self.seen if seen.at >= since and re.search(pattern, seen.request)])

    def clear(self) -> None:
        """Let everything through again."""
        for rule in self._rules:
            rule.release()
        self._rules.clear()
        self._drop = None

    # --- how it works --------------------------------------------------------------------------------------------

    def _await(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT)

    async def _start(self) -> int:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=5)
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=limits, auto_decompress=False, read_bufsize=2**20
        )
        application = web.Application(client_max_size=2**26)
        application.router.add_route("*", "/{path:.*}", self._handle)
        silent = logging.getLogger("fault-proxy")
        silent.addHandler(logging.NullHandler())
        silent.propagate = False
        self._runner = web.AppRunner(application, access_log=None, logger=silent, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _stop(self) -> None:
        for watch in self._watches:
            watch.over.set()
        await self._session.close()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        line = f"{request.method} {request.path_qs}"
        agent = request.headers.get("User-Agent", "")
        arrived = time.monotonic()
        rule = next((rule for rule in self._rules if rule.takes(line, agent)), None)
        response = None
        try:
            response = await self._answer(request, line, rule)
        except (aiohttp.ClientError, OSError):
            pass  # the API server is away: so are we
        finally:
            self.seen.append(Seen(arrived, line, response.status if response is not None else 0))
        if response is None:
            return _cut(request)
        return response

    async def _answer(self, request: web.Request, line: str, rule: Rule | None) -> web.StreamResponse | None:
        if rule is not None:
            if rule.hold:
                await rule.held()
            if rule.status:
                return _refusal(rule)
            if rule.cut is Cut.BEFORE:
                return None
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP}
        body = await request.read()
        url = self._server + request.path_qs
        async with self._session.request(
            request.method, url, headers={**headers, **self._headers, "Accept-Encoding": "identity"}, data=body or None
        ) as upstream:
            if request.query.get("watch") in {"true", "1"} and upstream.status == 200:
                return await self._stream(request, line, upstream)
            data = await upstream.read()
            if rule is not None and rule.hold_answer:
                await rule.held()
            if rule is not None and rule.cut is Cut.AFTER:
                return None
            return web.Response(status=upstream.status, body=data, headers=_kept(upstream))

    async def _stream(self, request: web.Request, line: str, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=upstream.status, headers=_kept(upstream))
        await response.prepare(request)
        watch = _Watch(line, response)
        self._watches.append(watch)
        pump = asyncio.create_task(self._pump(watch, upstream))
        over = asyncio.create_task(watch.over.wait())
        try:
            await asyncio.wait({pump, over}, return_when=asyncio.FIRST_COMPLETED)
            with suppress(ConnectionError):
                await response.write_eof()
        finally:
            self._watches.remove(watch)
            for task in (pump, over):
                task.cancel()
            await asyncio.gather(pump, over, return_exceptions=True)
        return response

    async def _pump(self, watch: _Watch, upstream: aiohttp.ClientResponse) -> None:
        async for event in _lines(upstream):
            if not self._drops(watch.request, event):
                await watch.response.write(event)

    def _drops(self, request: str, line: bytes) -> bool:
        if self._drop is None or not _watches(request, self._drop[1]):
            return False
        event = json.loads(line)
        if not re.fullmatch(self._drop[0], event["type"]):
            return False
        metadata = event["object"]["metadata"]
        self.dropped.append(f"{event['type']} {metadata.get('namespace', '')}/{metadata['name']}")
        return True

    async def _break_watches(self, resource: str, code: int, reason: str) -> int:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
        line = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
        watches = [watch for watch in self._watches if _watches(watch.request, resource)]
        for watch in watches:
            with suppress(ConnectionError):
                await watch.response.write(line)
            watch.over.set()
        return len(watches)


def _watches(request: str, resource: str) -> bool:
    return re.search(rf"/{resource}\?", request) is not None


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _refusal(rule: Rule) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": rule.status,
        "reason": rule.reason,
        "message": rule.message,
    }
    headers = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
    return web.json_response(status, status=rule.status, headers=headers)


def _kept(upstream: aiohttp.ClientResponse) -> dict[str, str]:
    return {key: upstream.headers[key] for key in ("Content-Type", "Retry-After", "Warning") if key in upstream.headers}


async def _lines(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in upstream.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"


def _impersonation(user: str) -> dict[str, str]:
    return {"Impersonate-User": user} if user else {}


def _login(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    """The server's address, and TLS with the client certificate of the current context."""
    config = yaml.safe_load(kubeconfig.read_text())
    named: Callable[[str, str], Any] = lambda kind, name: next(  # noqa: E731 - a lookup that is used twice
        entry[kind] for entry in config[f"{kind}s"] if entry["name"] == name
    )
    context = named("context", config["current-context"])
    cluster, user = named("cluster", context["cluster"]), named("user", context["user"])
    tls = ssl.create_default_context()
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    else:
        tls.load_verify_locations(cadata=_pem(kubeconfig, cluster, "certificate-authority").decode())
    with NamedTemporaryFile() as pem:
        pem.write(_pem(kubeconfig, user, "client-certificate") + b"\n" + _pem(kubeconfig, user, "client-key"))
        pem.flush()
        tls.load_cert_chain(pem.name)
    return cluster["server"].rstrip("/"), tls


def _pem(kubeconfig: Path, entry: dict[str, str], key: str) -> bytes:
    if data := entry.get(f"{key}-data"):
        return base64.b64decode(data)
    return (kubeconfig.parent / entry[key]).read_bytes()


def _kubeconfig(port: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "proxy",
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        "clusters": [{"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "proxy", "user": {}}],
    }
