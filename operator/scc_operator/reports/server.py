"""The HTTP servers for probes and Prometheus: `/healthz`, `/readyz`, `/metrics`."""

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST


async def serve(host: str, port: int, pages: Iterable[web.RouteDef]) -> web.AppRunner:
    """Start answering; the caller ends it with `await runner.cleanup()`."""
    application = web.Application()
    application.router.add_routes(pages)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


def probes(*, ready: Callable[[], str], alive: Callable[[], str]) -> list[web.RouteDef]:
    """`/healthz` and `/readyz`; the functions return what is missing, or an empty text."""
    return [web.get("/healthz", _probe(alive)), web.get("/readyz", _probe(ready))]


def metrics(registry: CollectorRegistry) -> list[web.RouteDef]:
    """`/metrics`."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [web.get("/metrics", answer)]


def _probe(check: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        missing = check()
        return web.Response(text=(missing or "ok") + "\n", status=503 if missing else 200)

    return answer
