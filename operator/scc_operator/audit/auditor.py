"""Keeps the answers of all running pods true, and what is written on them equal to the answers.

The cost grows with questions and with changes, not with pods: a question is asked once for all pods that share it,
and a pod is only written when its annotations differ from its answer. Level-triggered: what is stale is remembered as
a set, what the answer is comes from the mirror at the moment of asking, so a burst of changes is one round of asking.

When the operator dies at any line, nothing is lost: the next start lists everything, asks everything and writes what
differs.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator

from scc_operator.audit.answer import Answer, Verdict, annotations
from scc_operator.audit.view import RANGES_MISSING, View
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.records import Question, RunningPod
from scc_operator.cluster.store import Entry, Key
from scc_operator.kube.client import Api
from scc_operator.kube.errors import ApiError
from scc_operator.kube.paths import PODS
from scc_operator.kube.queue import WorkQueue
from scc_operator.reports.metrics import Metrics
from scc_operator.settings import AdmissionRecord, Settings

_log = logging.getLogger(__name__)

_FOLD = 0.05
"""Seconds that changes are collected before asking: a Deployment's pods, an `apply` of many objects."""
_SLICE = 0.02
"""Seconds of asking after which other tasks get their turn."""


class Auditor:
    """Asks stale questions and writes answers.

    Args:
        api: where answers are written.
        mirror: what the questions and the cluster's state come from.
        settings: exemptions, admission records, pace.
        metrics: where work is counted.
    """

    def __init__(self, api: Api, mirror: Mirror, settings: Settings, metrics: Metrics) -> None:
        self._api = api
        self._mirror = mirror
        self._settings = settings
        self._metrics = metrics
        self._exempt = settings.exempt_namespaces | {settings.namespace}
        self._view: View | None = None
        self._stale: set[Question] = set()
        self._wake = asyncio.Event()
        self._waiting_for_ranges: dict[Question, float] = {}
        self.answers: dict[Question, Answer] = {}
        self.round = 0
        """Grows whenever an answer changed or a pod came or went."""
        self.writer: WorkQueue[Key] = WorkQueue("pods", self._write, workers=settings.write_concurrency)
        mirror.tell.everything.append(self._everything_stale)
        mirror.tell.question.append(self._question_stale)
        mirror.tell.forgotten.append(self._forget)
        mirror.tell.pod.append(self._pod_changed)

    @property
    def view(self) -> View:
        """The cluster as it stands, for asking."""
        if self._view is None:
            self._view = View(self._mirror, self._exempt)
        return self._view

    async def run(self) -> None:
        """Ask what is stale, whenever something is, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.writer.run())
            tasks.create_task(self._ask_for_ever())

    def answer_of(self, pod: RunningPod) -> Answer | None:
        """The pod's answer; None while its question was not asked yet."""
        if pod.question is None:
            return Answer(Verdict.UNKNOWN, reason="UnreadablePod")
        return self.answers.get(pod.question)

    def counts(self) -> Iterator[tuple[tuple[str, str], int]]:
        """How many pods have which verdict under which SCC."""
        totals: Counter[tuple[str, str]] = Counter()
        for question, pods in self._mirror.questions.items():
            if answer := self.answers.get(question):
                totals[answer.verdict.value, answer.scc] += len(pods)
        return iter(totals.items())

    # --- what becomes stale --------------------------------------------------------------------------------------

    def _everything_stale(self) -> None:
        self._view = None
        self._stale.update(self._mirror.questions)
        self._wake.set()

    def _question_stale(self, question: Question) -> None:
        self._stale.add(question)
        self._wake.set()

    def _pod_changed(self, key: Key) -> None:
        self.round += 1
        self.writer.add(key)

    def _forget(self, question: Question) -> None:
        self.round += 1
        self._stale.discard(question)
        self.answers.pop(question, None)
        self._waiting_for_ranges.pop(question, None)

    # --- asking --------------------------------------------------------------------------------------------------

    async def _ask_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            await asyncio.sleep(_FOLD)
            self._wake.clear()
            turn = loop.time()
            while self._stale:
                self._ask(self._stale.pop())
                if loop.time() - turn > _SLICE:
                    await asyncio.sleep(0)
                    turn = loop.time()

    def _ask(self, question: Question) -> None:
        entry = self._mirror.namespaces.get(("", question.namespace))
        view = self.view
        try:
            answer = view.answer(question, entry.value if entry else None)
        except Exception:  # noqa: BLE001 - whoever may create a pod must not be able to end the audit of all others
            _log.exception("a pod of namespace %s cannot be judged: %s", question.namespace, question)
            answer = Answer(Verdict.UNKNOWN, reason="InternalError")
        self._metrics.questions_asked.inc()
        if answer.reason != RANGES_MISSING:
            self._waiting_for_ranges.pop(question, None)
        elif not self._patience_is_over(question):
            return
        if self.answers.get(question) != answer:
            self.answers[question] = answer
            self.round += 1
            for key in self._mirror.questions[question]:
                self.writer.add(key)

    def _patience_is_over(self, question: Question) -> bool:
        """Whether the namespace stayed without ranges for so long that its pods are called `unknown`.

        A namespace and its first pods are often created together; admission, too, waits for the ranges that long.
        """
        loop = asyncio.get_running_loop()
        since = self._waiting_for_ranges.setdefault(question, loop.time())
        left = since + self._settings.ranges_grace - loop.time()
        if left <= 0:
            return True
        loop.call_later(left + 0.01, self._ask_again, question)
        return False

    def _ask_again(self, question: Question) -> None:
        if question in self._mirror.questions:
            self._question_stale(question)

    # --- writing -------------------------------------------------------------------------------------------------

    async def _write(self, key: Key) -> None:
        """Make the pod's annotations equal to its answer; the state of the moment counts, not that of the wake-up."""
        entry: Entry[RunningPod] | None = self._mirror.pods.get(key)
        if entry is None or entry.value.mirror:
            return
        answer = self.answer_of(entry.value)
        if answer is None:
            return
        patch = annotations(answer, entry.value, believe_record=self._believes_record(key, entry.value, answer))
        if not patch:
            return
        namespace, name = key
        # Through the status subresource: it takes annotations, drops spec changes, needs no right to patch pods, and
        # SCC admission ignores it. With the uid, so that a StatefulSet's next pod of the same name is never meant.
        body = {"metadata": {"uid": entry.uid, "annotations": patch}}
        try:
            written = await self._api.patch(PODS.path(namespace, name, "status"), body)
        except ApiError as error:
            if error.gone:
                self._metrics.pod_patches.labels("gone").inc()
                return
            self._metrics.pod_patches.labels("refused").inc()
            raise
        self._metrics.pod_patches.labels("written").inc()
        _log.debug("pod %s/%s: %s", namespace, name, answer)
        # The answer of the API server is newer than what the watch has shown, so the echo of this write finds the pod
        # as it should be and nothing is written twice.
        self._mirror.take(Kind.PODS, written)

    def _believes_record(self, key: Key, pod: RunningPod, answer: Answer) -> bool:
        return (
            self._settings.admission_record is AdmissionRecord.OPENSHIFT
            and pod.recorded
            and answer.verdict is not Verdict.EXEMPT
            and key[0] not in self._exempt
        )
