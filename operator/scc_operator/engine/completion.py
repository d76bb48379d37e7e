"""Writing what an SCC fills in into a whole pod."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from scc_operator.engine.pod import Place, SeccompProfile
from scc_operator.engine.scc import SELinuxOptions
from scc_operator.engine.verdict import Attempt, Fill
from scc_operator.names import SECCOMP_POD


def apply_fills(pod: Mapping[str, Any], attempt: Attempt) -> dict[str, Any]:
    """The pod with everything that the SCC would fill in; a new object, which shares with the given one what is equal.

    Every field that the engine does not know stays as it is.
    """
    completed = dict(pod)
    completed["metadata"] = dict(pod.get("metadata") or {})
    completed["spec"] = dict(pod.get("spec") or {})
    for place, fills in _by_place(attempt.fills).items():
        if place is None:
            _complete_pod(completed, fills)
        else:
            _complete_container(completed["spec"], place, fills)
    return completed


def _by_place(fills: Sequence[Fill]) -> dict[Place | None, list[Fill]]:
    places: dict[Place | None, list[Fill]] = {}
    for fill in fills:
        places.setdefault(fill.place, []).append(fill)
    return places


def _complete_pod(pod: dict[str, Any], fills: Sequence[Fill]) -> None:
    pod["spec"]["securityContext"] = context = dict(pod["spec"].get("securityContext") or {})
    for fill in fills:
        if fill.field == "seccompProfile":
            metadata = pod["metadata"]
            metadata["annotations"] = {**(metadata.get("annotations") or {}), SECCOMP_POD: fill.value}
        _set(context, fill)


def _complete_container(spec: dict[str, Any], place: Place, fills: Sequence[Fill]) -> None:
    containers = list(spec[place.kind])
    container = dict(containers[place.index])
    container["securityContext"] = context = dict(container.get("securityContext") or {})
    for fill in fills:
        if fill.field in ("capabilities.add", "capabilities.drop"):
            context["capabilities"] = _completed_capabilities(context.get("capabilities"), fill)
        else:
            _set(context, fill)
    containers[place.index] = container
    spec[place.kind] = containers


def _completed_capabilities(capabilities: Mapping[str, Any] | None, fill: Fill) -> dict[str, Any]:
    """Where one list changes both are written anew, sorted and without duplicates (spec/admission.md §5.9)."""
    changed = {**(capabilities or {}), fill.field.removeprefix("capabilities."): fill.value}
    return {key: sorted(set(values)) for key, values in changed.items() if values}


def _set(context: dict[str, Any], fill: Fill) -> None:
    value: Any = fill.value
    if isinstance(value, SELinuxOptions):
        value = {key: part for key, part in msgspec.to_builtins(value).items() if part}
    elif fill.field == "seccompProfile":
        profile = SeccompProfile.of_text(str(value))
        if profile is None:
            context.pop("seccompProfile", None)
            return
        value = {key: part for key, part in msgspec.to_builtins(profile).items() if part is not None}
    elif isinstance(value, tuple):
        value = list(value)
    context[fill.field] = value
