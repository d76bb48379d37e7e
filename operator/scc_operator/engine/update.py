"""Updates that concern no SCC, and when two pods count as equal (spec/admission.md §2.1, §0.5).

The comparison works on v1 JSON. JSON does not tell maps from structures, so the names whose empty value means the same
as absence are listed here.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from scc_operator.names import POD_NETWORKS

_HOUSEKEEPING = frozenset({"annotations", "ownerReferences", "finalizers", "selfLink", "managedFields"})
_EMPTY_IS_ABSENT = frozenset(
    {
        "allocatedResources",
        "annotations",
        "labels",
        "lastState",
        "limits",
        "matchLabels",
        "metadata",
        "nodeSelector",
        "options",
        "overhead",
        "requests",
        "resources",
        "spec",
        "state",
        "status",
        "volumeAttributes",
    }
)
_QUANTITIES = frozenset({"divisor", "sizeLimit"})
_QUANTITY_MAPS = frozenset({"allocatedResources", "limits", "overhead", "requests"})
_SUFFIXES = MappingProxyType(
    {
        **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
        **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
        **{suffix: Decimal(1000) ** -power for power, suffix in enumerate(("m", "u", "n"), 1)},
    }
)


def is_harmless(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether an update changes nothing that could concern an SCC."""
    if not equal(_part(old, "spec"), _part(new, "spec")):
        return False
    before = _part(_part(old, "metadata"), "annotations")
    after = _part(_part(new, "metadata"), "annotations")
    changed = {key for key, _ in before.items() ^ after.items()}
    return changed <= {POD_NETWORKS} and equal(_without_housekeeping(old), _without_housekeeping(new))


def _without_housekeeping(pod: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in _part(pod, "metadata").items() if key not in _HOUSEKEEPING}
    return {**pod, "metadata": metadata}


def _part(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return value.get(key) or {}


def equal(left: Any, right: Any) -> bool:
    """Whether two v1 objects, or parts of them, are the same."""
    return bool(_canonical(left) == _canonical(right))


def _canonical(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        members = {}
        for name, member in value.items():
            quantity = name in _QUANTITIES or key in _QUANTITY_MAPS
            canonical = _number(member) if quantity and isinstance(member, str | int) else _canonical(member, name)
            if canonical is not None and not (name == "divisor" and canonical == 0):
                members[name] = canonical
        return members if members or key not in _EMPTY_IS_ABSENT else None
    if isinstance(value, list):
        return [_canonical(member) for member in value] or None
    return value


def _number(quantity: str | int) -> Decimal | str | int:
    """The number that a resource quantity stands for; what is no quantity stays as it is."""
    text = str(quantity)
    for suffix, factor in _SUFFIXES.items():
        if text.endswith(suffix):
            text, scale = text.removesuffix(suffix), factor
            break
    else:
        scale = Decimal(1)
    try:
        return Decimal(text) * scale
    except InvalidOperation:
        return quantity
