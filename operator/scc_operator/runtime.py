"""The operator apart from Kopf: what is built, in which order it starts, and how it ends.

Start: wait for our kinds to be served, wait for the Lease, list everything, create what is missing, then work. Kopf
begins to watch only after that, so no handler ever meets an empty mirror that claims to be whole.

On OpenShift, SCCs, grants and ranges are in other hands: only the audit runs, and no kind of ours is needed.
"""

import asyncio
import logging
import os
import signal
import socket
import uuid
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from scc_operator.audit.auditor import Auditor
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.resync import Resync
from scc_operator.kube.client import Api, retrying
from scc_operator.kube.discovery import is_openshift, wait_until_served
from scc_operator.kube.events import Recorder
from scc_operator.kube.lease import Lease
from scc_operator.kube.paths import DEFAULT_SCCS, RANGES
from scc_operator.reconcile import default_sccs
from scc_operator.reconcile.bindings import BindingReconciler
from scc_operator.reconcile.constraints import ConstraintsWatch
from scc_operator.reconcile.ranges import RangeAllocator, check_configuration
from scc_operator.reports.metrics import Metrics
from scc_operator.reports.server import metrics, probes, serve
from scc_operator.settings import Settings, Switch

_log = logging.getLogger(__name__)
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Operator:
    """The controller: mirror, audit, ranges and bindings on one API server.

    Args:
        settings: every knob.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = _in_cluster(settings)
        self.metrics = Metrics()
        self.mirror = Mirror()
        self._api: Api | None = None
        self._lease: Lease | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._http: list[web.AppRunner] = []
        self._working = False

    async def start(self) -> None:
        """Start everything; returns when the mirror is whole and the side tasks run."""
        settings = self.settings
        if settings.ranges is not Switch.OFF:
            check_configuration(settings)
        await self._serve()
        api = self._api = await Api.connect()
        _log.info("talking to %s", api.server)
        openshift = await is_openshift(api)
        if openshift:
            _log.warning("this is OpenShift: SCCs, grants and ranges are its own, only the audit runs")
            self.mirror.kinds = tuple(kind for kind in Kind if not kind.ours)
        else:
            kinds = [kind.resource for kind in Kind if "." in kind.resource.group]
            await wait_until_served(api, [*kinds, RANGES, DEFAULT_SCCS])
        await self._lead(api)
        resync = Resync(api, self.mirror, self.metrics, page_size=settings.page_size, interval=settings.resync_interval)
        recorder = Recorder(api)
        auditor = Auditor(api, self.mirror, settings, self.metrics)
        constraints = ConstraintsWatch(self.mirror, recorder)
        self.metrics.watch_pods(auditor.counts)
        problems = [constraints.counts]
        work: list[Coroutine[Any, Any, None]] = [resync.run(), auditor.run(), constraints.run()]
        if not openshift:
            work.append(BindingReconciler(api, self.mirror, recorder, auditor).run())
        if settings.ranges is not Switch.OFF and not openshift:
            ranges = RangeAllocator(
                api, self.mirror, recorder, settings, self.metrics, partial(_refresh_ranges, resync)
            )
            problems.append(ranges.counts)
            work.append(ranges.run())
        self.metrics.watch_problems(lambda: [item for counts in problems for item in counts()])
        if settings.default_sccs is not Switch.OFF and not openshift:
            await default_sccs.create_missing(api)
            defaults = default_sccs.DefaultSCCWatch(api, self.mirror, recorder)
            self.metrics.watch_default_sccs(defaults.counts)
            work.append(defaults.run())
        for kind in self.mirror.kinds:
            await retrying(partial(resync.list, kind))
        self._tasks += [self._spawn(each) for each in work]
        self._working = True
        self.metrics.leading.set(1)
        _log.info("working: %d pods ask %d questions", len(self.mirror.pods), len(self.mirror.questions))

    async def stop(self) -> None:
        """End the side tasks, then give up the Lease: a successor starts at once and never beside our writes."""
        self._working = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._lease is not None:
            await self._lease.release()
        if self._api is not None:
            await self._api.close()
        for server in self._http:
            await server.cleanup()

    def missing(self) -> str:
        """What is missing before answers can be trusted; empty when ready.

        A replica that waits while another holds the Lease is ready too: for taking over. Were it not, no update and no
        drained node could tell a healthy spare from a broken one.
        """
        if not self._working:
            if self._lease is not None and self._lease.held_by_another:
                return ""
            return "starting: waiting for CustomResourceDefinitions, the Lease or the first lists"
        unsynced = self.mirror.unsynced
        return f"not listed yet: {', '.join(kind.value for kind in unsynced)}" if unsynced else ""

    def stuck(self) -> str:
        """Which task has ended that never should; empty while all work goes on."""
        ended = [task.get_name() for task in self._tasks if task.done()]
        return f"ended: {', '.join(ended)}" if ended and self._working else ""

    async def _serve(self) -> None:
        settings = self.settings
        ports = {settings.http_port: probes(ready=self.missing, alive=self.stuck)}
        ports.setdefault(settings.metrics_port or settings.http_port, []).extend(metrics(self.metrics.registry))
        self._http = [await serve(settings.http_host, port, pages) for port, pages in ports.items() if port]

    async def _lead(self, api: Api) -> None:
        if self.settings.lease is Switch.ON:
            self._lease = Lease(
                api,
                namespace=self.settings.namespace,
                name=self.settings.lease_name,
                identity=f"{socket.gethostname()}_{uuid.uuid4()}",
                duration=self.settings.lease_duration,
            )
            await self._lease.acquire()
            self._tasks.append(self._spawn(self._follow(self._lease)))

    async def _follow(self, lease: Lease) -> None:
        await lease.keep()
        # Somebody else leads, or soon will: whatever we still hold in memory may be old by now.
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        os.kill(os.getpid(), signal.SIGTERM)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=getattr(work, "__qualname__", "task"))
        task.add_done_callback(_report_failure)
        return task


async def _refresh_ranges(resync: Resync) -> None:
    """List what decides about ranges; the records second, so that they are not older than the namespaces."""
    await resync.list(Kind.NAMESPACES)
    await resync.list(Kind.HOLDINGS)


def _report_failure(task: asyncio.Task[None]) -> None:
    """A side task never ends by itself; if it does, the process ends: a restart is cheap, half an operator is not."""
    if task.cancelled() or (error := task.exception()) is None:
        return
    _log.critical("%s failed", task.get_name(), exc_info=error)
    os.kill(os.getpid(), signal.SIGTERM)


def _in_cluster(settings: Settings) -> Settings:
    """The settings with what a pod's own files tell."""
    inside = _OWN_NAMESPACE.exists()
    if inside:
        settings = msgspec.structs.replace(settings, namespace=_OWN_NAMESPACE.read_text(encoding="utf-8").strip())
    if settings.lease is Switch.AUTO:
        settings = msgspec.structs.replace(settings, lease=Switch.ON if inside else Switch.OFF)
    return settings
