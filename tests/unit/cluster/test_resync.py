import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from tests.unit.cluster.builders import namespace, pod

from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.resync import Resync
from scc_operator.kube.client import Page
from scc_operator.kube.errors import ApiError, ApiUnreachableError
from scc_operator.reports.metrics import Metrics


class Lists:
    """An API server that can only list: what `pages` yields is what a test put there, errors included."""

    def __init__(self, *pages: list[dict[str, Any]] | Exception | None, version: int = 100) -> None:
        self.answer = list(pages)
        self.version = version
        self.asked = 0
        self.open = 0
        self.most_open = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def pages(self, _: str, **__: Any) -> AsyncIterator[Page]:
        """One list."""
        self.asked += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        version = self.version
        try:
            for page in self.answer:
                await self.gate.wait()
                if isinstance(page, Exception):
                    raise page
                yield Page(json.dumps({"items": page}).encode(), str(version))
        finally:
            self.open -= 1


def resync(lists: Lists, mirror: Mirror, **options: float) -> Resync:
    """A resync of this mirror from these lists."""
    settings: dict[str, Any] = {"page_size": 2, "interval": 1800.0, "settle": 0.001, **options}
    return Resync(lists, mirror, Metrics(), **settings)  # type: ignore[arg-type]


async def test_all_pages_make_one_list() -> None:
    """Objects of every page are there, finished pods are not, and null is an empty page."""
    mirror = Mirror()
    finished = {**pod("done"), "status": {"phase": "Failed"}}
    await resync(Lists([pod("a"), finished], [pod("b")], None), mirror).list(Kind.PODS)
    assert sorted(key[1] for key in mirror.pods.keys()) == ["a", "b"]  # noqa: SIM118 - a store is no dict
    assert mirror.pods.synced


@pytest.mark.parametrize(
    "error", [ApiError(500, "InternalError", ""), ApiUnreachableError("away"), ValueError("a bug")], ids=str
)
async def test_half_a_list_replaces_nothing(error: Exception) -> None:
    """A list that breaks off leaves the mirror as it was, says so and is counted."""
    mirror = Mirror()
    mirror.observe(Kind.NAMESPACES, None, namespace("old"))
    tried = resync(Lists([namespace("new")], error), mirror)
    with pytest.raises(type(error)):
        await tried.list(Kind.NAMESPACES)
    assert [key[1] for key in mirror.namespaces.keys()] == ["old"]  # noqa: SIM118 - a store is no dict
    assert not mirror.namespaces.synced
    failed = tried._metrics.registry.get_sample_value(
        "scc_operator_resyncs_total", {"kind": "namespaces", "outcome": "failed"}
    )
    assert failed == 1


async def test_an_expired_snapshot_may_be_tried_again() -> None:
    """A 410 means that the list was too slow; beginning anew mends it, so it counts as transient."""
    with pytest.raises(ApiError) as caught:
        await resync(Lists([], ApiError(410, "Expired", "")), Mirror()).list(Kind.PODS)
    assert caught.value.transient


async def test_a_kind_is_listed_once_at_a_time() -> None:
    """Of two lists the older one must not come second."""
    lists = Lists([namespace("a")])
    lists.gate.clear()
    tried = resync(lists, Mirror())
    both = asyncio.gather(tried.list(Kind.NAMESPACES), tried.list(Kind.NAMESPACES))
    await asyncio.sleep(0)
    lists.gate.set()
    await both
    assert (lists.asked, lists.most_open) == (2, 1)


async def test_an_interruption_is_followed_by_a_list() -> None:
    """What Kopf shows again may be all that is left: what is not in the list is gone."""
    mirror = Mirror()
    lists = Lists([namespace("a", 50)])
    task = asyncio.create_task(resync(lists, mirror).run())
    for name in ("a", "b"):
        mirror.observe(Kind.NAMESPACES, None, namespace(name, 50))
    mirror.observe(Kind.NAMESPACES, None, namespace("a", 50))
    async with asyncio.timeout(5):
        while ("", "b") in mirror.namespaces:  # noqa: ASYNC110 - the store tells nobody but its mirror
            await asyncio.sleep(0.001)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert lists.asked == 1


async def test_small_kinds_are_listed_more_often() -> None:
    """Where all objects of a kind vanish in a gap nobody is told; a kind that fits one page costs nothing to list."""
    mirror = Mirror()
    mirror.store(Kind.NAMESPACES).replace(dict([mirror.read(Kind.NAMESPACES, namespace(n)) for n in "abc"]), 1)
    tried = resync(Lists(), mirror)
    now = asyncio.get_running_loop().time()
    for kind in (Kind.NAMESPACES, Kind.BINDINGS):
        tried._later(kind)
    due = {kind: at - now for kind, at in tried._queue._due.items()}
    assert due[Kind.NAMESPACES] > 1000
    assert due[Kind.BINDINGS] < 30
