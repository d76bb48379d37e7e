"""From the RBAC that an SCC binding asks for and the RBAC that exists to the writes that make them agree.

Only objects that carry the labels of this binding are changed or deleted. An object of somebody else that has the name
of one of ours is a conflict: it stays as it is, and the SCC is not granted.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import msgspec

from scc_operator import names
from scc_operator.access.rbac import Owner, owner_of
from scc_operator.access.scc_bindings import Desired, Problem, is_exact_use_role

CONFLICTS = frozenset({"ClusterRoleConflict", "BindingConflict"})
"""The codes of problems that a foreign object causes."""


class ObjectReference(msgspec.Struct, frozen=True):
    """An object to delete; the uid is the precondition."""

    kind: str
    namespace: str
    name: str
    uid: str


class Changes(msgspec.Struct, frozen=True):
    """The writes, to be made in this order: deletions, creations, replacements; ClusterRoles come before bindings.

    `to_replace` holds whole objects with the resourceVersion that they replace.
    """

    to_create: tuple[dict[str, Any], ...] = ()
    to_replace: tuple[dict[str, Any], ...] = ()
    to_delete: tuple[ObjectReference, ...] = ()
    granted: tuple[str, ...] = ()
    """The SCCs that are granted once the writes are made."""
    standing: tuple[str, ...] = ()
    """Those of them that are granted already, without a write."""
    problems: tuple[Problem, ...] = ()
    """Those of `Desired` and the conflicts."""


def diff(desired: Desired, existing: Iterable[Mapping[str, Any]]) -> Changes:
    """The writes that turn what exists into what is desired.

    A binding whose role differs is deleted and created, since roleRef cannot be changed. Where the ClusterRole of an
    SCC grants something else and is not ours, the SCC is not granted, and a binding of ours to it goes.

    Args:
        desired: what the binding asks for.
        existing: all ClusterRoles and bindings with a name or the owner labels of `desired`, as stored, each with its
            `kind` (which items of a list lack); others may be among them and are left alone.
    """
    stored = {_key(obj): obj for obj in existing}
    writes: dict[_Step, list[dict[str, Any]]] = {step: [] for step in _Step}
    granted: list[str] = []
    standing: list[str] = []
    problems = list(desired.problems)
    for scc, role in desired.cluster_roles.items():
        binding = desired.bindings[scc]
        found_role, found_binding = stored.get(_key(role)), stored.get(_key(binding))
        role_step = _role_step(found_role, role, scc)
        binding_step = _binding_step(found_binding, binding, desired.owner)
        if role_step is _Step.CONFLICT:
            problems.append(_role_conflict(role, scc))
        elif binding_step is _Step.CONFLICT:
            problems.append(_binding_conflict(binding, scc))
        else:
            granted.append(scc)
            if role_step is binding_step is _Step.KEEP:
                standing.append(scc)
            writes[role_step].append(_in_place_of(found_role, role))
            writes[binding_step].append(_in_place_of(found_binding, binding))
    staying = {_key(obj) for step in (_Step.KEEP, _Step.REPLACE) for obj in writes[step]}
    return Changes(
        to_create=tuple(sorted(writes[_Step.CREATE] + writes[_Step.RECREATE], key=_key)),
        to_replace=tuple(sorted(writes[_Step.REPLACE], key=_key)),
        to_delete=tuple(
            ObjectReference(*key, obj["metadata"].get("uid", ""))
            for key, obj in sorted(stored.items())
            if obj["kind"] in _BINDING_KINDS and key not in staying and _is_ours(obj, desired.owner)
        ),
        granted=tuple(granted),
        standing=tuple(standing),
        problems=tuple(problems),
    )


class _Step(Enum):
    """What an object needs."""

    CREATE = "create"
    RECREATE = "recreate"
    REPLACE = "replace"
    KEEP = "keep"
    CONFLICT = "conflict"


def _role_step(found: Mapping[str, Any] | None, wanted: Mapping[str, Any], scc: str) -> _Step:
    """A ClusterRole of the right effect is used whoever made it; one of another effect is corrected if it is ours."""
    if found is None:
        return _Step.CREATE
    owner = owner_of(_labels(found))
    exact = is_exact_use_role(found, scc)
    if owner is None or owner.kind != names.SCC_KIND:
        return _Step.KEEP if exact else _Step.CONFLICT
    return _Step.KEEP if exact and _metadata_agrees(found, wanted) else _Step.REPLACE


def _binding_step(found: Mapping[str, Any] | None, wanted: Mapping[str, Any], owner: Owner) -> _Step:
    if found is None:
        return _Step.CREATE
    if not _is_ours(found, owner):
        return _Step.CONFLICT
    if _role_ref(found) != _role_ref(wanted):
        return _Step.RECREATE
    same = _subjects(found) == _subjects(wanted) and _metadata_agrees(found, wanted)
    return _Step.KEEP if same else _Step.REPLACE


_BINDING_KINDS = frozenset({"RoleBinding", "ClusterRoleBinding"})


def _key(obj: Mapping[str, Any]) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def _labels(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def _is_ours(obj: Mapping[str, Any], owner: Owner) -> bool:
    """Whether an object was generated for this binding, or for a namesake that was deleted."""
    found = owner_of(_labels(obj))
    return found is not None and (found.kind, found.namespace, found.name) == (owner.kind, owner.namespace, owner.name)


def _metadata_agrees(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    labels = _labels(found)
    references = {reference["uid"] for reference in found["metadata"].get("ownerReferences") or ()}
    return all(labels.get(key) == value for key, value in _labels(wanted).items()) and all(
        reference["uid"] in references for reference in wanted["metadata"]["ownerReferences"]
    )


def _role_ref(binding: Mapping[str, Any]) -> tuple[str, str]:
    return binding["roleRef"]["kind"], binding["roleRef"]["name"]


def _subjects(binding: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (subject["kind"], subject.get("namespace") or "", subject["name"]) for subject in binding.get("subjects") or ()
    }


def _in_place_of(found: Mapping[str, Any] | None, wanted: dict[str, Any]) -> dict[str, Any]:
    """The wanted object; where one is stored and not to be made anew, with its identity and what others added to it."""
    if found is None or (wanted["kind"] in _BINDING_KINDS and _role_ref(found) != _role_ref(wanted)):
        return wanted
    metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    metadata["labels"] = {**_labels(found), **wanted["metadata"]["labels"]}
    metadata["ownerReferences"] = wanted["metadata"]["ownerReferences"]
    return {**wanted, "metadata": metadata}


def _role_conflict(role: Mapping[str, Any], scc: str) -> Problem:
    name = role["metadata"]["name"]
    return Problem(
        "ClusterRoleConflict",
        f"ClusterRole {name} exists and grants something else than verb use on SCC {scc}: it is left alone and the SCC "
        "is not granted. Delete it or correct its rules",
    )


def _binding_conflict(binding: Mapping[str, Any], scc: str) -> Problem:
    kind, namespace, name = _key(binding)
    return Problem(
        "BindingConflict",
        f"{kind} {f'{namespace}/' if namespace else ''}{name} exists and was not made for this binding: it is left "
        f"alone and SCC {scc} is not granted. Delete it and grant what it grants under another name",
    )
