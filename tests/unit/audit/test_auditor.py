import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.unit.cluster.builders import namespace, pod, scc

from scc_operator import names
from scc_operator.audit.answer import Answer, Verdict
from scc_operator.audit.auditor import Auditor
from scc_operator.audit.view import View
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.records import Question
from scc_operator.kube.errors import ApiError
from scc_operator.reports.metrics import Metrics
from scc_operator.settings import Settings


class Pods:
    """An API server that knows pods and takes patches of their status."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self.pods: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.patches: list[tuple[str, dict[str, Any]]] = []
        self.errors: list[Exception] = []

    def show(self, shown: dict[str, Any]) -> None:
        """Store a pod, and let the watch tell of it."""
        self.pods[shown["metadata"]["name"]] = shown
        self.mirror.observe(Kind.PODS, "ADDED", copy.deepcopy(shown))

    async def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Merge-patch a pod's metadata."""
        name = path.split("/")[-2]
        self.patches.append((name, body["metadata"]["annotations"]))
        if self.errors:
            raise self.errors.pop(0)
        stored = self.pods[name]["metadata"]
        if body["metadata"]["uid"] != stored["uid"]:
            raise ApiError(422, "Invalid", f'Pod "{name}" is invalid: metadata.uid: Invalid value: field is immutable')
        merged = {**stored.get("annotations", {}), **body["metadata"]["annotations"]}
        self.version += 1
        stored["annotations"] = {key: value for key, value in merged.items() if value is not None}
        stored["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.pods[name])


class Audited:
    """A cluster with one SCC and one namespace, and its auditor."""

    def __init__(self) -> None:
        self.mirror = Mirror()
        self.api = Pods(self.mirror)
        self.auditor = Auditor(self.api, self.mirror, Settings(ranges_grace=0.2), Metrics())  # type: ignore[arg-type]
        self.mirror.observe(Kind.SCCS, None, scc("wide"))
        self.mirror.observe(Kind.NAMESPACES, None, namespace("shop"))

    def verdict(self, name: str) -> str | None:
        """What stands on a pod."""
        found: str | None = self.api.pods[name]["metadata"].get("annotations", {}).get(names.VERDICT)
        return found


@pytest.fixture
async def audited() -> AsyncIterator[Audited]:
    """The auditor runs while the test does."""
    audited = Audited()
    task = asyncio.create_task(audited.auditor.run())
    yield audited
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(condition: Callable[[], bool]) -> None:
    """Let others work until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - whatever the condition is
            await asyncio.sleep(0.005)


async def test_a_question_is_asked_once_for_all_that_share_it(audited: Audited) -> None:
    """Each pod is written once; what was written is known and not written again when the watch shows it."""
    for number in range(20):
        audited.api.show(pod(f"web-{number}", number + 1))
    await until(lambda: all(audited.verdict(name) for name in audited.api.pods))
    for shown in audited.api.pods.values():
        audited.mirror.observe(Kind.PODS, "MODIFIED", copy.deepcopy(shown))
    await asyncio.sleep(0.1)
    assert audited.auditor._metrics.registry.get_sample_value("scc_operator_questions_asked_total") == 1
    assert len(audited.api.patches) == 20


async def test_a_patch_that_failed_is_made_again(audited: Audited) -> None:
    """The server's trouble costs time, not an answer."""
    audited.api.errors = [ApiError(504, "Timeout", "")]
    audited.api.show(pod("web"))
    await until(lambda: audited.verdict("web") == "fits-with-defaults")
    assert len(audited.api.patches) == 2


async def test_the_answer_of_the_moment_is_written(audited: Audited) -> None:
    """What became stale while a patch waited for its next try is never written."""
    audited.api.errors = [ApiError(504, "Timeout", "")]
    audited.api.show(pod("web"))
    await until(lambda: len(audited.api.patches) == 1)
    audited.mirror.observe(Kind.SCCS, "DELETED", scc("wide", 5))
    await until(lambda: audited.verdict("web") == "denied")
    assert [patch[names.VERDICT] for _, patch in audited.api.patches[1:]] == ["denied"]


async def test_a_namesake_is_not_patched_for_its_predecessor(audited: Audited) -> None:
    """The API server refuses a patch with another uid; the pod is left to what the watch will tell of it."""
    audited.api.show(pod("web", 1, uid="old"))
    audited.api.pods["web"] = pod("web", 50, user=5, uid="new")
    await until(lambda: len(audited.api.patches) == 1)
    await asyncio.sleep(0.02)
    assert audited.verdict("web") is None
    assert not len(audited.auditor.writer)
    audited.api.show(audited.api.pods["web"])
    await until(lambda: audited.verdict("web") == "denied")


async def test_a_pod_that_nobody_thought_of_ends_nothing(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is unknown, and all others have their answers."""
    honest = View.answer

    def stumbling(self: View, question: Question, *others: Any) -> Answer:
        if question.pod.containers[0].run_as_user == 666:
            raise RecursionError("deep")
        return honest(self, question, *others)

    monkeypatch.setattr(View, "answer", stumbling)
    audited.api.show(pod("odd", 1, user=666))
    audited.api.show(pod("web", 2))
    await until(lambda: (audited.verdict("odd"), audited.verdict("web")) == ("unknown", "fits-with-defaults"))


async def test_a_pod_that_cannot_be_read_is_unknown(audited: Audited) -> None:
    """It is no reason to keep silent about it."""
    broken = pod("web")
    broken["spec"]["containers"][0]["securityContext"]["runAsUser"] = "root"
    audited.api.show(broken)
    await until(lambda: audited.verdict("web") == "unknown")


async def test_mirror_pods_are_judged_and_never_patched(audited: Audited) -> None:
    """Their kubelet owns what stands on them."""
    audited.api.show(pod("static", annotations={names.MIRROR_POD: "hash"}))
    await until(lambda: len(audited.auditor.answers) == 1)
    await asyncio.sleep(0.02)
    assert not audited.api.patches


async def test_ranges_that_come_late_are_waited_for(audited: Audited) -> None:
    """A namespace and its first pods come together: nothing is said before the ranges are there."""
    audited.mirror.observe(Kind.NAMESPACES, "MODIFIED", namespace("shop", 2, annotations={}))
    audited.api.show(pod("web"))
    await asyncio.sleep(0.1)
    assert not audited.api.patches
    audited.mirror.observe(Kind.NAMESPACES, "MODIFIED", namespace("shop", 3))
    await until(lambda: audited.verdict("web") == "fits-with-defaults")
    assert len(audited.api.patches) == 1


async def test_ranges_that_never_come_are_told(audited: Audited) -> None:
    """After a while the pods of such a namespace are unknown."""
    audited.mirror.observe(Kind.NAMESPACES, "MODIFIED", namespace("shop", 2, annotations={}))
    audited.api.show(pod("web"))
    await until(lambda: audited.verdict("web") == "unknown")
    assert audited.auditor.answers.popitem()[1] == Answer(Verdict.UNKNOWN, reason="NamespaceRangesMissing")


async def test_ranges_that_are_gone_for_a_moment_rewrite_no_pod(audited: Audited) -> None:
    """Each time they go, a pod keeps its answer for the same patience; only then is it unknown."""
    audited.api.show(pod("web"))
    await until(lambda: audited.verdict("web") == "fits-with-defaults")
    for version in (10, 20):
        audited.mirror.observe(Kind.NAMESPACES, "MODIFIED", namespace("shop", version, annotations={}))
        await asyncio.sleep(0.12)  # longer than changes are collected, shorter than the patience; twice is longer
        audited.mirror.observe(Kind.NAMESPACES, "MODIFIED", namespace("shop", version + 1))
        await asyncio.sleep(0.12)
    assert len(audited.api.patches) == 1
    audited.mirror.observe(Kind.NAMESPACES, "MODIFIED", namespace("shop", 30, annotations={}))
    await until(lambda: audited.verdict("web") == "unknown")
