"""A change of the cluster that is only imagined: objects created, changed or deleted, and the RBAC that follows.

SCC bindings count as the RBAC that the operator would make of them, and aggregated ClusterRoles as the control plane
would fill them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from scc_operator import names
from scc_operator.access.scc_bindings import desired, label_value, parse_scc_binding
from scc_operator.cli import kinds
from scc_operator.cli.errors import CLIError
from scc_operator.cli.kinds import ObjectKind
from scc_operator.cli.sources import Raw
from scc_operator.engine.errors import InvalidObject

Key = tuple[str, str]
Objects = dict[ObjectKind, dict[Key, Raw]]

BINDINGS = (kinds.SCC_BINDINGS, kinds.CLUSTER_SCC_BINDINGS)
CHANGEABLE = (*kinds.ACCESS, *BINDINGS, kinds.NAMESPACES)
"""Kinds whose change can change an answer."""
_GENERATED = (kinds.ROLE_BINDINGS, kinds.CLUSTER_ROLE_BINDINGS)


class Edit(msgspec.Struct, frozen=True):
    """One object of a change: `action` is `create`, `change`, `delete` or `none`, where it stands so already."""

    action: str
    kind: str
    namespace: str
    name: str

    @property
    def title(self) -> str:
        """What is done to what."""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.action} {self.kind}/{self.name}{where}"


class Target(msgspec.Struct, frozen=True):
    """An object that a change is about: as it shall be, or None for one that shall go."""

    kind: ObjectKind
    key: Key
    wanted: Raw | None


class Imagined(msgspec.Struct, frozen=True):
    """The cluster after a change.

    Attributes:
        objects: all objects that decide about answers.
        edits: what was done to which object.
        problems: what of the change would take no effect.
    """

    objects: Objects
    edits: tuple[Edit, ...]
    problems: tuple[str, ...]


def imagine(objects: Mapping[ObjectKind, Mapping[Key, Raw]], targets: Iterable[Target]) -> Imagined:
    """The cluster after a change.

    Args:
        objects: the cluster now, of all kinds of `CHANGEABLE`.
        targets: what the change is about.

    Raises:
        CLIError: an object is to be deleted and does not exist, or an SCC binding is malformed.
    """
    after: Objects = {kind: dict(objects.get(kind, {})) for kind in CHANGEABLE}
    edits = tuple(_apply(after, target) for target in targets)
    problems = _follow_bindings(after, edits)
    if any(edit.kind == kinds.CLUSTER_ROLES.kind for edit in edits):
        _follow_aggregation(after[kinds.CLUSTER_ROLES])
    return Imagined(after, edits, tuple(problems))


def _apply(objects: Objects, target: Target) -> Edit:
    present = objects[target.kind].get(target.key)
    namespace, name = target.key
    if target.wanted is None:
        if present is None:
            where = f" in namespace {namespace}" if namespace else ""
            raise CLIError(f'{target.kind.resource.plural} "{name}" not found{where}: it cannot be deleted')
        del objects[target.kind][target.key]
        return Edit("delete", target.kind.kind, namespace, name)
    wanted = _laid_over(present, target.wanted) if target.kind is kinds.NAMESPACES and present else target.wanted
    if present is not None and _meaning(target.kind, present) == _meaning(target.kind, wanted):
        return Edit("none", target.kind.kind, namespace, name)
    objects[target.kind][target.key] = wanted
    return Edit("create" if present is None else "change", target.kind.kind, namespace, name)


def _laid_over(present: Raw, wanted: Raw) -> Raw:
    """A namespace after `kubectl apply`: labels and annotations that the manifest does not name stay."""
    metadata = {**present["metadata"]}
    for part in ("labels", "annotations"):
        metadata[part] = {**(metadata.get(part) or {}), **(wanted["metadata"].get(part) or {})}
    return {**present, "metadata": metadata}


def _meaning(kind: ObjectKind, raw: Raw) -> dict[str, Any]:
    """What of an object can change an answer; bookkeeping left out."""
    rest = {key: value for key, value in raw.items() if key not in {"apiVersion", "kind", "metadata", "status"}}
    metadata = raw["metadata"]
    parts = (
        {"labels", "annotations"} if kind is kinds.NAMESPACES else {"labels"} if kind is kinds.CLUSTER_ROLES else set()
    )
    return {key: value for key, value in rest.items() if value is not None} | {
        part: metadata.get(part) or {} for part in sorted(parts)
    }


# --- what follows from it ------------------------------------------------------------------------------------------


def _follow_bindings(objects: Objects, edits: Sequence[Edit]) -> list[str]:
    """Make anew the RBAC of SCC bindings that changed, or that name an SCC that came or went."""
    sccs = {edit.name for edit in edits if edit.kind == names.SCC_KIND and edit.action in {"create", "delete"}}
    changed = {(edit.kind, edit.namespace, edit.name) for edit in edits if edit.action != "none"}
    for owner in sorted(changed):
        if owner[0] in {each.kind for each in BINDINGS}:
            _forget_generated(objects, *owner)
    problems: list[str] = []
    existing = {key[1]: "" for key in objects[kinds.SCCS]}
    for kind in BINDINGS:
        for (namespace, name), raw in sorted(objects[kind].items()):
            if (kind.kind, namespace, name) in changed or sccs.intersection((raw.get("spec") or {}).get("sccs") or ()):
                _forget_generated(objects, kind.kind, namespace, name)
                problems += _generate(objects, raw, existing)
    return problems


def _forget_generated(objects: Objects, kind: str, namespace: str, name: str) -> None:
    owner = (names.MANAGED_BY, kind, namespace, label_value(name))
    for generated in _GENERATED:
        objects[generated] = {key: raw for key, raw in objects[generated].items() if _owner(raw) != owner}


def _owner(raw: Raw) -> tuple[str, str, str, str]:
    labels = raw["metadata"].get("labels") or {}
    keys = (names.MANAGED_BY_LABEL, names.OWNER_KIND_LABEL, names.OWNER_NAMESPACE_LABEL, names.OWNER_NAME_LABEL)
    manager, kind, namespace, name = (labels.get(key, "") for key in keys)
    return manager, kind, namespace, name


def _generate(objects: Objects, raw: Raw, existing: Mapping[str, str]) -> list[str]:
    try:
        wanted = desired(parse_scc_binding(raw), existing, datetime.now(UTC))
    except InvalidObject as error:
        raise CLIError(str(error)) from error
    for made in (*wanted.cluster_roles.values(), *wanted.bindings.values()):
        kind = kinds.kind_of(made)
        if kind is not None:
            metadata = made["metadata"]
            objects[kind][metadata.get("namespace", ""), metadata["name"]] = made
    return [problem.message for problem in wanted.problems]


def _follow_aggregation(roles: dict[Key, Raw]) -> None:
    """Fill aggregated ClusterRoles from those that they select."""
    for key, role in sorted(roles.items()):
        selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
        if not selectors:
            continue
        rules = [
            rule
            for other_key, other in sorted(roles.items())
            if other_key != key
            and any(_selects(selector, other["metadata"].get("labels") or {}) for selector in selectors)
            for rule in other.get("rules") or ()
        ]
        roles[key] = {**role, "rules": rules}


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels") or {}
    return wanted.items() <= labels.items() and all(
        _expression(each, labels) for each in selector.get("matchExpressions") or ()
    )


def _expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
