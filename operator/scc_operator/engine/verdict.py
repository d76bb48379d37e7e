"""What evaluation finds, as data, and its wording.

Checks produce objections and fills; every text that users, logs and vectors see is assembled here
(spec/admission.md appendix A).
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Literal

import msgspec

from scc_operator.engine.pod import Place

FillField = Literal[
    "supplementalGroups",
    "fsGroup",
    "seLinuxOptions",
    "seccompProfile",
    "runAsUser",
    "runAsNonRoot",
    "capabilities.add",
    "capabilities.drop",
    "readOnlyRootFilesystem",
    "allowPrivilegeEscalation",
]
"""The names of what admission fills in; they stand in annotations of pods, so they never change."""

Value = bool | int | str | tuple[int, ...] | None
"""A rejected value: a boolean, a number, a string, a list of numbers, or absent."""


class TextStyle(Enum):
    """How rejected values are printed: as Go does (Kubernetes up to 1.33) or as JSON (from 1.34 on)."""

    GO = "go"
    JSON = "json"


class Objection(msgspec.Struct, frozen=True, gc=False):
    """Why a pod does not satisfy an SCC.

    Attributes:
        kind: `Invalid` shows the value that was found, `Forbidden` does not.
        path: the field, as OpenShift's messages name it.
        value: what stands there.
        detail: what is wrong with it.
        code: a stable CamelCase reason, e.g. `RunAsUserOutOfRange`.
        place: the container; None where the pod itself is meant.
    """

    kind: Literal["Invalid", "Forbidden"]
    path: str
    value: Value
    detail: str
    code: str
    place: Place | None = None

    @property
    def text(self) -> str:
        """The message in the style of OpenShift up to Kubernetes 1.33."""
        return self.text_in(TextStyle.GO)

    def text_in(self, style: TextStyle) -> str:
        """The message as OpenShift words it."""
        if self.kind == "Forbidden":
            return forbidden(self.path, self.detail)
        return f"{self.path}: Invalid value: {_format(self.value, style)}: {self.detail}"


class Fill(msgspec.Struct, frozen=True, gc=False):
    """A value that admission would write.

    Attributes:
        field: what is written.
        value: as the field holds it. For seccompProfile the text of an annotation (spec/admission.md §5.11): on a pod
            it goes into the annotation and, converted, into the field; on a container into the field alone.
        place: the container; None for the pod itself.
    """

    field: FillField
    value: object
    place: Place | None = None


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One pod under one SCC: what it objects to and what it would fill in."""

    scc: str
    objections: tuple[Objection, ...]
    fills: tuple[Fill, ...]

    @property
    def fits(self) -> bool:
        """Whether the pod satisfies the SCC once everything is filled in."""
        return not self.objections


def forbidden(path: str, detail: str) -> str:
    """The message for something that is not allowed whatever its value."""
    return f"{path}: Forbidden: {detail}"


def aggregate(texts: Iterable[str]) -> str:
    """Several messages as one: exact duplicates once, brackets only around more than one."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return "<nil>"
    return distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]"


def go_list(values: Sequence[str]) -> str:
    """Strings as Go prints a list of them with %v."""
    return f"[{' '.join(values)}]"


def go_quote(text: str) -> str:
    r"""A string as Go quotes it: `"`, `\` and what cannot be printed escaped, printable Unicode kept."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{"".join(map(_go_character, text))}"'


def _go_character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:  # noqa: PLR2004  # ASCII
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004  # the basic plane


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def _format(value: Value, style: TextStyle) -> str:
    if value is None:
        return '"null"' if style is TextStyle.GO else "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return go_quote(value)
    if style is TextStyle.GO:
        return f"[]int64{{{', '.join(map(str, value))}}}"
    return f"[{','.join(map(str, value))}]"
