"""How a default SCC, its ClusterRole and its binding differ from what is shipped (spec/resources.md §3, §4).

Compared is what they mean: the order of a list that is a set, explicit nulls and values that defaulting fills in are no
difference. Nobody reverts one: an administrator may want it, so it is told and stays.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from scc_operator import names
from scc_operator.access.scc_bindings import is_exact_use_role
from scc_operator.engine.scc import SecurityContextConstraints

_LONGEST = 200
_ORDERED = frozenset({"seccompProfiles"})
"""Lists whose order means something: the first profile is the default."""


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field that differs (empty: the whole object); values as compact JSON, cut where they are long."""

    object: str
    field: str
    shipped: str = ""
    found: str = ""

    def __str__(self) -> str:
        if not self.field:
            return f"{self.object} is {self.found}"
        return f"{self.object}: {self.field} is {self.found}, shipped is {self.shipped}"


class Shipped(msgspec.Struct, frozen=True):
    """A default SCC as it is shipped."""

    scc: SecurityContextConstraints
    """With defaults."""
    binding: Mapping[str, Any] | None = None
    """The ClusterRoleBinding; most have none."""

    @property
    def role_name(self) -> str:
        """The name of its ClusterRole and, where there is one, its ClusterRoleBinding."""
        return names.SCC_ROLE_PREFIX + self.scc.name


def differences(
    shipped: Shipped,
    scc: SecurityContextConstraints | None,
    role: Mapping[str, Any] | None,
    binding: Mapping[str, Any] | None,
) -> tuple[Difference, ...]:
    """Everything in which the stored objects differ, by object and field; empty where all is as shipped.

    Args:
        shipped: what they are compared with.
        scc: the SCC with defaults; None where it is missing or unreadable.
        role: the ClusterRole as stored; None where it is missing.
        binding: the ClusterRoleBinding as stored; only looked at where one is shipped.
    """
    return (
        *_of_scc(shipped.scc, scc),
        *_of_role(shipped, role),
        *_of_binding(shipped, binding),
    )


def _of_scc(shipped: SecurityContextConstraints, found: SecurityContextConstraints | None) -> Iterator[Difference]:
    obj = f"{names.SCC_KIND} {shipped.name}"
    if found is None:
        yield Difference(obj, "", found="missing or unreadable")
        return
    wanted, given = msgspec.to_builtins(shipped), msgspec.to_builtins(found)
    for field in sorted(wanted.keys() - {"metadata"}):
        if _meaning(field, wanted[field]) != _meaning(field, given[field]):
            yield Difference(obj, field, _text(wanted[field]), _text(given[field]))


def _of_role(shipped: Shipped, role: Mapping[str, Any] | None) -> Iterator[Difference]:
    obj = f"ClusterRole {shipped.role_name}"
    if role is None:
        yield Difference(obj, "", found="missing")
    elif not is_exact_use_role(role, shipped.scc.name):
        wanted = f"verb {names.USE_VERB} on {names.SCC_RESOURCE} {shipped.scc.name} and nothing else"
        yield Difference(obj, "rules", wanted, _text(role.get("rules")))


def _of_binding(shipped: Shipped, binding: Mapping[str, Any] | None) -> Iterator[Difference]:
    if shipped.binding is None:
        return
    obj = f"ClusterRoleBinding {shipped.role_name}"
    if binding is None:
        yield Difference(obj, "", found="missing")
        return
    wanted, found = _subjects(shipped.binding), _subjects(binding)
    if wanted != found:
        yield Difference(obj, "subjects", _text(wanted), _text(found))
    if binding["roleRef"]["name"] != shipped.role_name:
        yield Difference(obj, "roleRef.name", shipped.role_name, binding["roleRef"]["name"])


def _subjects(binding: Mapping[str, Any]) -> list[str]:
    subjects: Iterable[Mapping[str, str]] = binding.get("subjects") or ()
    return sorted("/".join(filter(None, (each["kind"], each.get("namespace", ""), each["name"]))) for each in subjects)


def _meaning(field: str, value: Any) -> Any:
    # A strategy that is absent, a missing enumeration and null mean what defaulting makes of them: nothing more.
    if field == "userNamespaceLevel":
        return value or "AllowHostLevel"
    if isinstance(value, list | tuple) and field not in _ORDERED:
        return sorted(msgspec.json.encode(item) for item in value)
    return value


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
