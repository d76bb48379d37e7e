import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from scc_operator.kube.errors import ApiError, ApiUnreachableError
from scc_operator.kube.queue import WorkQueue


@asynccontextmanager
async def running(
    process: Callable[[str], Awaitable[None]], *, workers: int = 1, first: float = 0.001, most: float = 0.002
) -> AsyncIterator[WorkQueue[str]]:
    """A queue that works while the block runs."""
    queue: WorkQueue[str] = WorkQueue("test", process, workers=workers, first=first, most=most)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    """Let others work until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - whatever the condition is
            await asyncio.sleep(0.001)


class Worker:
    """Processes keys: notes them, and fails with what it was given for as long as there is something."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.seen: list[str] = []
        self.times: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.busy = 0
        self.most_busy = 0

    async def __call__(self, key: str) -> None:
        """Process a key."""
        self.seen.append(key)
        self.times.append(asyncio.get_running_loop().time())
        self.busy += 1
        self.most_busy = max(self.busy, self.most_busy)
        try:
            await self.gate.wait()
        finally:
            self.busy -= 1
        if self.errors:
            raise self.errors.pop(0)


async def test_a_key_that_waits_is_one_piece_of_work() -> None:
    """However often a key is added before its turn, it is processed once."""
    worker = Worker()
    async with running(worker) as queue:
        for _ in range(3):
            queue.add("a")
        queue.add("b")
        assert len(queue) == 2
        await until(lambda: not len(queue))
    assert worker.seen == ["a", "b"]


async def test_a_key_that_is_added_while_it_is_worked_on_is_worked_on_again() -> None:
    """What changed during the work would be missed otherwise; once more is enough for any number of changes."""
    worker = Worker()
    worker.gate.clear()
    async with running(worker, workers=2) as queue:
        queue.add("a")
        await until(lambda: worker.busy == 1)
        queue.add("a")
        queue.add("a")
        assert worker.most_busy == 1
        worker.gate.set()
        await until(lambda: not len(queue))
    assert worker.seen == ["a", "a"]


async def test_no_more_keys_are_in_flight_than_there_are_workers() -> None:
    """The number of workers bounds what is processed at a time."""
    worker = Worker()
    worker.gate.clear()
    async with running(worker, workers=3) as queue:
        for number in range(10):
            queue.add(str(number))
        await until(lambda: worker.busy == 3)
        worker.gate.set()
        await until(lambda: not len(queue))
    assert worker.most_busy == 3
    assert sorted(worker.seen) == [str(number) for number in range(10)]


@pytest.mark.parametrize(
    "error",
    [
        ApiError(409, "Conflict", "the object has been modified"),
        ApiError(403, "Forbidden", "no right"),
        ApiError(504, "Timeout", "too slow"),
        ApiUnreachableError("connection refused"),
        ValueError("a bug"),
    ],
    ids=str,
)
async def test_a_failed_key_is_tried_again(error: Exception) -> None:
    """Nothing is ever dropped, whatever went wrong."""
    worker = Worker(error, error)
    async with running(worker) as queue:
        queue.add("a")
        await until(lambda: not len(queue))
    assert worker.seen == ["a", "a", "a"]


async def test_what_waiting_cannot_mend_is_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A missing right is told loudly, an overloaded server or a conflict is not."""
    caplog.set_level(logging.INFO)
    worker = Worker(ApiError(403, "Forbidden", "cannot patch pods/status"), ApiError(409, "Conflict", "modified"))
    async with running(worker) as queue:
        queue.add("a")
        await until(lambda: not len(queue))
    assert [(record.levelname, "cannot patch" in record.message) for record in caplog.records] == [
        ("ERROR", True),
        ("INFO", False),
    ]


async def test_pauses_between_tries_double() -> None:
    """A key that keeps failing is tried ever less often, up to a longest pause."""
    worker = Worker(*[ApiError(500, "InternalError", "")] * 5)
    async with running(worker, first=0.02, most=0.08) as queue:
        queue.add("a")
        await until(lambda: not len(queue))
    pauses = [later - earlier for earlier, later in zip(worker.times, worker.times[1:], strict=False)]
    assert all(pause >= least for pause, least in zip(pauses, (0.02, 0.04, 0.08, 0.08, 0.08), strict=True))


async def test_a_key_that_keeps_failing_is_scheduled_once() -> None:
    """Being asked for again and again while it fails must not multiply its tries."""
    worker = Worker(*[ApiError(500, "InternalError", "")] * 1000)
    async with running(worker, first=10, most=10) as queue:
        for expected in range(1, 6):
            queue.add("a")
            await until(lambda: len(worker.seen) == expected)  # noqa: B023 - awaited in this turn
        await until(lambda: not worker.busy)
        assert len(queue) == 1


async def test_too_many_requests_rest_the_whole_queue() -> None:
    """Retry-After is obeyed by all keys: others would get the same answer."""
    worker = Worker(ApiError(429, "TooManyRequests", "", retry_after=0.05))
    async with running(worker) as queue:
        queue.add("a")
        queue.add("b")
        await until(lambda: not len(queue))
    assert worker.seen[0] == "a"
    assert sorted(worker.seen[1:]) == ["a", "b"]
    assert worker.times[1] - worker.times[0] >= 0.05


async def test_a_delayed_key_waits_and_others_do_not() -> None:
    """A delay is the key's own."""
    worker = Worker()
    async with running(worker) as queue:
        queue.add("later", 0.03)
        queue.add("now")
        await until(lambda: not len(queue))
    assert worker.seen == ["now", "later"]
    assert worker.times[1] - worker.times[0] >= 0.02


async def test_of_several_delays_the_first_to_end_counts() -> None:
    """A longer delay does not put off a shorter one, nor add work to it."""
    worker = Worker()
    async with running(worker) as queue:
        queue.add("a", 100)
        queue.add("a", 0.01)
        queue.add("a", 50)
        await until(lambda: not len(queue))
    assert worker.seen == ["a"]


async def test_work_in_flight_ends_with_the_queue() -> None:
    """Cancelling the queue cancels what is being processed, and nothing goes on behind its back."""
    worker = Worker()
    worker.gate.clear()
    async with running(worker, workers=2) as queue:
        queue.add("a")
        queue.add("b")
        await until(lambda: worker.busy == 2)
    assert worker.busy == 0
