"""How answers are shown: tables for people, documents for programs.

Off a terminal a table has a fixed plain layout: columns as wide as their longest cell, three spaces between them, no
colour. On a terminal it follows the window's width and uses colour. Documents have a version of their own
(`cli.scc-operator.io/v1`) and change only by additions.
"""

import io
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Self, TextIO

import msgspec

from scc_operator.audit.answer import Verdict
from scc_operator.cli.errors import CLIError
from scc_operator.cli.options import OUTPUTS, Common

API_VERSION = "cli.scc-operator.io/v1"
_GAP = 3
_SHORT = 24
"""Cells up to this length are not wrapped on a terminal."""

GOOD = "green"
BAD = "bold red"
WARN = "yellow"
FAINT = "dim"
STRONG = "bold"

VERDICT_STYLES = {
    Verdict.FITS: GOOD,
    Verdict.FITS_WITH_DEFAULTS: GOOD,
    Verdict.DENIED: BAD,
    Verdict.UNKNOWN: WARN,
    Verdict.EXEMPT: FAINT,
}


class Cell(str):  # noqa: SLOT000 - a few cells need no slots, and mypy knows none in str
    """A cell that is coloured on a terminal."""

    style: str

    def __new__(cls, text: str, style: str = "") -> Self:
        """A cell of this style."""
        cell = super().__new__(cls, text)
        cell.style = style
        return cell


class Table:
    """Rows under headers.

    Args:
        headers: as printed.
        wide: headers of columns that only `-o wide` shows.
    """

    def __init__(self, *headers: str, wide: Sequence[str] = ()) -> None:
        self.headers = headers
        self.wide = frozenset(wide)
        self.rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        """Add a row; empty cells are shown as `-`."""
        if len(cells) != len(self.headers):
            raise ValueError(f"{len(cells)} cells for {len(self.headers)} columns")
        self.rows.append(cells)

    def shown(self, *, wide: bool) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """The headers and rows to print."""
        at = [index for index, header in enumerate(self.headers) if wide or header not in self.wide]
        rows = [tuple(row[index] or "-" for index in at) for row in self.rows]
        return tuple(self.headers[index] for index in at), rows


class Document(msgspec.Struct, rename="camel", kw_only=True):
    """What `-o json` and `-o yaml` print; each verb has a kind of its own."""

    api_version: str = API_VERSION
    kind: str = ""
    notes: tuple[str, ...] = ()


class Printer:
    """Prints an answer as the user asked for it.

    Raises:
        CLIError: the output or colour is unknown.
    """

    def __init__(self, common: Common, *, more: Sequence[str] = (), stream: TextIO | None = None) -> None:
        allowed = (*OUTPUTS, *more)
        if common.output not in allowed:
            raise CLIError(f"--output {common.output} is unknown here, allowed are {', '.join(allowed)}")
        if common.color not in {"auto", "always", "never"}:
            raise CLIError(f"--color {common.color} is unknown, allowed are auto, always, never")
        self._stream = stream or sys.stdout
        self._headers = not common.no_headers
        self.output = common.output
        terminal = self._stream.isatty()
        self._color = common.color == "always" or (common.color == "auto" and terminal and "NO_COLOR" not in os.environ)
        self._rich = terminal or self._color

    @property
    def wide(self) -> bool:
        """Whether more columns are shown."""
        return self.output == "wide"

    def emit(self, document: Document, names: Iterable[str]) -> bool:
        """Print the document or the names where one of these was asked for; False where text was."""
        match self.output:
            case "json":
                self._write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
            case "yaml":
                self._write(to_yaml(msgspec.to_builtins(document)).rstrip("\n"))
            case "name":
                for name in dict.fromkeys(names):
                    self._write(name)
            case _:
                return False
        return True

    def table(self, table: Table, *, indent: int = 0) -> None:
        """Print a table; nothing where it has no rows."""
        headers, rows = table.shown(wide=self.wide)
        if not rows:
            return
        if self._rich:
            self._rich_table(headers, rows, indent)
            return
        lines = [headers, *rows] if self._headers else rows
        widths = [max(len(line[at]) for line in lines) for at in range(len(headers))]
        for line in lines:
            padded = (" " * _GAP).join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self._write(" " * indent + padded.rstrip())

    def line(self, *parts: str) -> None:
        """Print a line made of parts, some of them cells with a style."""
        if self._rich:
            from rich.text import Text

            self._console().print(
                Text.assemble(*((str(part), getattr(part, "style", "")) for part in parts)), soft_wrap=True
            )
        else:
            self._write("".join(parts))

    def block(self, text: str, indent: int = 2) -> None:
        """Print text to copy, such as YAML or a command, unwrapped."""
        for line in text.rstrip("\n").splitlines():
            self._write(" " * indent + line if line else "")

    def _rich_table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], indent: int) -> None:
        from rich.padding import Padding
        from rich.table import Table as RichTable
        from rich.text import Text

        shown = RichTable(
            box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=self._headers, header_style="bold"
        )
        for at, header in enumerate(headers):
            short = max(len(row[at]) for row in rows) <= _SHORT
            shown.add_column(header, overflow="fold", no_wrap=short)
        for row in rows:
            shown.add_row(*(Text(str(cell), style=getattr(cell, "style", "")) for cell in row))
        self._console().print(Padding(shown, (0, 0, 0, indent)))

    def _console(self) -> Any:
        from rich.console import Console

        return Console(
            file=self._stream,
            force_terminal=self._color or None,
            no_color=not self._color,
            highlight=False,
            markup=False,
        )

    def _write(self, text: str) -> None:
        print(text, file=self._stream)


def to_yaml(*documents: Any) -> str:
    """YAML that `kubectl apply` reads: one stream, keys in the order given."""
    import yaml

    stream = io.StringIO()
    yaml.dump_all(
        documents,
        stream,
        Dumper=_dumper(),
        sort_keys=False,
        default_flow_style=False,
        explicit_start=len(documents) > 1,
        width=1000,
    )
    return stream.getvalue()


def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes equal objects out instead of pointing from one to the other."""

        def ignore_aliases(self, data: Any) -> bool:
            """Never."""
            del data
            return True

    return Dumper
