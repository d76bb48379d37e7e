"""A progress bar on standard error, for lists that take more than one page; nothing where nobody watches."""

import sys
from types import TracebackType
from typing import Any, Self


class Progress:
    """Use it in a `with` statement and call `page` as objects come in."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown: Any = None
        self._task: Any = None
        self._count = 0
        self._pages = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    def page(self, count: int, total: int | None) -> None:
        """Some objects came; `total` is how many the current list has in all, where that is known."""
        self._count += count
        self._pages += 1
        if total is None or total <= count:
            total = None
        if self._shown is None and total is not None and sys.stderr.isatty():
            self._show()
        if self._shown is not None:
            self._shown.update(self._task, completed=self._count, total=max(total or 0, self._count))

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        self._shown = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._shown.add_task(self._what)
        self._shown.start()
