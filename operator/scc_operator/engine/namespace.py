"""What a namespace carries for its pods: a UID block, an SELinux level, group blocks (spec/admission.md §3)."""

import string
from collections.abc import Mapping

import msgspec

from scc_operator.engine.errors import BlockError
from scc_operator.engine.scc import IDRange
from scc_operator.engine.verdict import go_quote
from scc_operator.names import MCS, SUPPLEMENTAL_GROUPS, UID_RANGE

UINT32_MAX = 2**32 - 1
UINT64_MAX = 2**64 - 1

_WHITE_SPACE = frozenset(
    "\t\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_DIGITS = frozenset(string.digits)


class NamespaceValues(msgspec.Struct, frozen=True, gc=False):
    """What pods of a namespace get where an SCC leaves a value to the namespace; None is a missing annotation."""

    name: str
    uid_range: str | None = None
    mcs: str | None = None
    supplemental_groups: str | None = None

    def missing(self) -> str | None:
        """Why no pod of this namespace can be evaluated, or None (spec/admission.md §3.2).

        The annotations must exist; what they hold is read only where an SCC needs it.
        """
        for key, value in ((UID_RANGE, self.uid_range), (MCS, self.mcs)):
            if value is None:
                return fetch_error(self.name, f"unable to find annotation {key}")
        return None


def from_annotations(name: str, annotations: Mapping[str, str] | None) -> NamespaceValues:
    """The values of the namespace `name`."""
    found = annotations or {}
    return NamespaceValues(name, found.get(UID_RANGE), found.get(MCS), found.get(SUPPLEMENTAL_GROUPS))


def not_found(name: str) -> str:
    """The text for a namespace that does not exist."""
    return fetch_error(name, f"namespace {go_quote(name)} not found")


def fetch_error(name: str, cause: str) -> str:
    """The text for a namespace whose values cannot be had."""
    return f"error fetching namespace {go_quote(name)}: {cause}"


def parse_blocks(text: str) -> tuple[IDRange, ...]:
    """Read blocks separated by commas, as in the supplemental-groups annotation.

    Raises:
        BlockError: one of them cannot be read.
    """
    return tuple(parse_block(piece) for piece in text.split(","))


def parse_block(text: str) -> IDRange:
    """Read `START/SIZE` or `START-END`; what follows the second number is ignored (spec/admission.md §3.4).

    A size may carry the end past 2^32, where it wraps, and an end may lie below its start: such a range is empty.

    Raises:
        BlockError: with the cause in the words of OpenShift.
    """
    separator = "/" if "/" in text else "-"
    start, rest = _read_number(text)
    if not rest:
        raise BlockError("unexpected EOF")
    if rest[0] != separator:
        raise BlockError("input does not match format")
    second, _ = _read_number(rest[1:])
    end = (start + second - 1) % (UINT32_MAX + 1) if separator == "/" else second
    return IDRange(start, end)


def _read_number(text: str) -> tuple[int, str]:
    at = 0
    while at < len(text) and text[at] in _WHITE_SPACE:
        at += 1
    if at == len(text):
        raise BlockError("EOF")
    if text[at] == "\n":
        raise BlockError("unexpected newline")
    first = at
    while at < len(text) and text[at] in _DIGITS:
        at += 1
    digits = text[first:at]
    if not digits:
        raise BlockError("expected integer")
    significant = digits.lstrip("0") or "0"
    if len(significant) > len(str(UINT64_MAX)) or int(significant) > UINT64_MAX:
        raise BlockError(f"strconv.ParseUint: parsing {go_quote(digits)}: value out of range")
    if int(significant) > UINT32_MAX:
        raise BlockError(f"unsigned integer overflow on token {digits}")
    return int(significant), text[at:]
