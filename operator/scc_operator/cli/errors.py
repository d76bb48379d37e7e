"""How a command ends."""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes that scripts can use."""

    OK = 0
    """Yes, or nothing found."""
    ERROR = 1
    """Wrong usage, or something failed."""
    FINDINGS = 2
    """Denied, findings, a difference."""
    UNDECIDED = 3
    """It cannot be decided: data is missing, or the right to read it."""


class CLIError(Exception):
    """A command cannot go on; the text names the object, what was found and the way out.

    Attributes:
        code: how the process ends.
        prefix: what is printed before the text; kubectl and oc have another one for what a server said.
    """

    prefix = "error: "

    def __init__(self, message: str, code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.code = code


class ServerError(CLIError):
    """The API server refused a request; told as kubectl and oc tell it."""

    prefix = "Error from server "

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"({reason}): {message}")


def close_matches(name: str, known: Iterable[str]) -> str:
    """A clause that names what may have been meant; empty where nothing comes close."""
    found = difflib.get_close_matches(name, sorted(known), n=3)
    return f"; did you mean {' or '.join(found)}?" if found else ""
