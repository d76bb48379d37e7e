"""Writes the annotations of namespaces: one merge patch each, many at a time."""

from collections.abc import Callable

from scc_operator.allocation.plan import NamespacePatch
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.kube.client import Api
from scc_operator.kube.errors import ApiError
from scc_operator.kube.paths import NAMESPACES
from scc_operator.kube.queue import WorkQueue


class Annotator:
    """Brings planned annotations to their namespaces, or asks for another plan where a namespace has changed since.

    Args:
        api: the API server.
        mirror: the namespaces.
        concurrency: patches in flight at most.
        replan: called when a plan has become void.
    """

    def __init__(self, api: Api, mirror: Mirror, concurrency: int, replan: Callable[[], None]) -> None:
        self._api = api
        self._mirror = mirror
        self._replan = replan
        self._wanted: dict[str, NamespacePatch] = {}
        self._queue: WorkQueue[str] = WorkQueue("namespaces", self._annotate, workers=concurrency, first=0.05)

    async def run(self) -> None:
        """Write, until cancelled."""
        await self._queue.run()

    @property
    def busy(self) -> bool:
        """Whether namespaces wait for their annotations."""
        return bool(self._wanted)

    def want(self, patch: NamespacePatch, delay: float = 0.0) -> None:
        """Write this patch after `delay` seconds; a later one for the same namespace takes its place."""
        self._wanted[patch.name] = patch
        self._queue.add(patch.name, delay)

    def forget(self) -> None:
        """Write nothing of what is planned: the ledger that stood behind it is gone."""
        self._wanted.clear()

    async def _annotate(self, name: str) -> None:
        patch = self._wanted.pop(name, None)
        entry = self._mirror.namespaces.get(("", name))
        if patch is None or entry is None or entry.uid != patch.uid:
            return
        present = entry.value.annotations
        if patch.annotations.keys() & present.keys():
            if patch.annotations.keys() - present.keys():
                self._replan()  # somebody wrote a part of it
            return
        body = patch.merge_patch()
        # With the version too: whoever annotated this namespace since it was read keeps what was written.
        body["metadata"]["resourceVersion"] = str(entry.version)  # type: ignore[index]
        path = NAMESPACES.path(name=name)
        try:
            written = await self._api.patch(path, body)
        except ApiError as error:
            if error.gone:
                return
            if error.status not in {409, 422}:
                self._wanted.setdefault(name, patch)
                raise
            written = await self._api.find(path)
            if written is None:
                return
            self._replan()
        except BaseException:
            self._wanted.setdefault(name, patch)
            raise
        self._mirror.take(Kind.NAMESPACES, written)
