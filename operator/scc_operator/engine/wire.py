"""From JSON to structs, with errors that name the object and the field."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from scc_operator.engine.errors import InvalidObject

T = TypeVar("T")

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_MISMATCH = re.compile(
    r"Expected `(?P<allowed>[^`]*)`(?P<bound>[^`]*?)(?:, got `(?P<found>[^`]*)`)?(?: - at `(?P<path>.*)`)?$"
)
_TYPES = {
    "array": "a list",
    "bool": "a boolean",
    "bytes": "bytes",
    "float": "a decimal number",
    "int": "an integer",
    "null": "null",
    "object": "an object",
    "str": "a string",
}


def convert(raw: object, to: type[T], kind: str, *, within: object = None, path: str = "") -> T:
    """Read `raw`, already decoded from JSON, as `to`; members that are null count as absent.

    Args:
        raw: the JSON value.
        to: a type that msgspec can convert to.
        kind: the kind of the object, for error texts.
        within: the whole object where `raw` is only a part of it.
        path: the path of that part.

    Raises:
        InvalidObject: something in it has a wrong type.
    """
    try:
        return msgspec.convert(raw, to)
    except msgspec.ValidationError:
        pass  # nulls are rare: they cost a second attempt
    try:
        return msgspec.convert(without_nulls(raw), to)
    except msgspec.ValidationError as error:
        raise invalid(describe(within or raw, kind), str(error), path) from error


def describe(raw: object, kind: str) -> str:
    """Kind and name of an object that may be malformed, for error texts."""
    metadata = raw.get("metadata") if isinstance(raw, Mapping) else None
    if not isinstance(metadata, Mapping):
        metadata = {}
    name = metadata.get("name") or metadata.get("generateName") or "without a name"
    namespace = metadata.get("namespace")
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def invalid(obj: str, message: str, path: str = "") -> InvalidObject:
    """The error for what msgspec says about a value below `path`."""
    match = _MISMATCH.search(message)
    if match is None:
        return InvalidObject(obj, path, f"malformed ({message})", "valid JSON of its kind")
    allowed = " or ".join(_TYPES.get(name, name) for name in match["allowed"].split(" | "))
    found = _TYPES.get(match["found"], match["found"]) if match["found"] else "out of range"
    field = path + (match["path"] or "").removeprefix("$")
    return InvalidObject(obj, field.removeprefix("."), found, allowed + match["bound"])


def without_nulls(raw: Any) -> Any:
    """The same JSON value without members that are null: absent and null mean the same (spec/admission.md §0.2)."""
    if isinstance(raw, Mapping):
        return {key: without_nulls(value) for key, value in raw.items() if value is not None}
    if isinstance(raw, list):
        return [without_nulls(value) for value in raw]
    return raw
