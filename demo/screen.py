"""How the demo looks: on a terminal of any width, and as plain text in a log."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from demo.expected import story_of
from demo.world import AuditedPod, Ranges

_LOG_WIDTH = 120
_WIDE = 108
"""Columns from which on every fact has a column of its own."""

_COLOURS = {"fits": "green", "fits-with-defaults": "cyan", "denied": "bold red", "exempt": "dim", "unknown": "yellow"}
_MEANINGS = {
    "fits": "it satisfies the SCC as it runs",
    "fits-with-defaults": "admission would only fill in what it leaves open",
    "denied": "no SCC that it may use allows it; this is an audit, so it runs on",
    "exempt": "SCC admission would not look at it",
}


class Screen:
    """Writes to standard output.

    Args:
        picture: record everything, for `save`, in a width of its own.
    """

    def __init__(self, *, picture: bool = False) -> None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show an arrow is no reason to fail
        fits_itself = sys.stdout.isatty() or "COLUMNS" in os.environ
        width = None if fits_itself and not picture else _LOG_WIDTH
        self.console = Console(highlight=False, record=picture, width=width)

    def title(self, text: str) -> None:
        """Begin a part."""
        self.console.print()
        self.console.print(Text(text, style="bold"))

    def say(self, text: str, style: str = "") -> None:
        """Say something to the person who watches."""
        self.console.print(Text(text, style=style))

    def command(self, text: str) -> None:
        """Show a command as a user would type it."""
        self.console.print(Text.assemble(("$ ", "dim"), (text, "bold yellow")), soft_wrap=True)

    def to_copy(self, text: str) -> None:
        """Show a command for a user to take over, so without a prompt and in one piece."""
        self.console.print(Text(text, style="bold yellow"), soft_wrap=True)

    def output(self, text: str) -> None:
        """Show what a command printed."""
        self.console.print(Text(text.rstrip(), style="dim"))

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show on a terminal that something goes on."""
        if not sys.stdout.isatty():
            yield
            return
        with self.console.status(Text(text)):
            yield

    def namespaces(self, found: Sequence[Ranges]) -> None:
        """Show what each namespace carries."""
        table = self._table("Namespace", "UID range", "MCS label", "Supplemental groups")
        for ranges in found:
            table.add_row(ranges.namespace, ranges.uid_range, ranges.mcs, ranges.groups)
        self.console.print(table)

    def pods(self, found: Sequence[AuditedPod]) -> None:
        """Show the answer of each pod."""
        wide = self.console.width >= _WIDE
        last = "Reason, or what would be set"
        table = self._table(*(("Namespace", "Pod", "SCC", "Verdict", last) if wide else ("Pod", "SCC", "Verdict")))
        for namespace, group in groupby(found, key=lambda pod: pod.namespace):
            for number, pod in enumerate(group):
                story = Text(story_of(pod), style="italic dim")
                verdict, would_set = _verdict(pod), ", ".join(pod.would_set)
                if wide:
                    name = Text("\n").join([Text(pod.name), story])
                    table.add_row("" if number else namespace, name, pod.scc or "-", verdict, pod.reason or would_set)
                else:
                    name = Text("\n").join([Text(f"{pod.namespace}/{pod.name}"), story])
                    why = pod.reason or (would_set and f"would set {would_set}")
                    table.add_row(name, pod.scc or "-", Text("\n").join([verdict, Text(why)] if why else [verdict]))
        self.console.print(table)
        for word, meaning in _MEANINGS.items():
            self.console.print(Text.assemble((word, _COLOURS[word]), f": {meaning}"))

    def change(self, pod: AuditedPod, before: AuditedPod, seconds: float) -> None:
        """Show how the answer of a pod changed, and how long that took."""
        self.console.print(
            Text.assemble(
                (f"{seconds:.1f} s", "bold"),
                f"  {pod.namespace}/{pod.name}  ",
                _short(before),
                "  →  ",
                _short(pod),
            )
        )

    def save(self, path: Path, title: str) -> None:
        """Save what was shown as a picture."""
        drawn = self.console.export_svg(title=title)
        # A picture that fetches its fonts from somewhere shows nothing but boxes where it may not.
        drawn = re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
        path.write_text(drawn, encoding="utf-8")

    def _table(self, *headings: str) -> Table:
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
        for heading in headings:
            table.add_column(heading, overflow="fold")
        return table


def _verdict(pod: AuditedPod) -> Text:
    return Text(pod.verdict or "(none)", style=_COLOURS.get(pod.verdict, ""))


def _short(pod: AuditedPod) -> Text:
    parts = [_verdict(pod), *(Text(part) for part in (pod.scc, pod.reason) if part)]
    return Text(" ").join(parts)
