"""The HTTP server for probes and Prometheus: `/healthz`, `/readyz`, `/metrics`."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST


async def serve(
    host: str, port: int, *, registry: CollectorRegistry, ready: Callable[[], str], alive: Callable[[], str]
) -> web.AppRunner:
    """Start answering; `ready` and `alive` return what is missing, or an empty text.

    The caller ends it with `await runner.cleanup()`.
    """

    def probe(check: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(_: web.Request) -> web.StreamResponse:
            missing = check()
            return web.Response(text=(missing or "ok") + "\n", status=503 if missing else 200)

        return answer

    async def metrics(_: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/healthz", probe(alive))
    application.router.add_get("/readyz", probe(ready))
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
