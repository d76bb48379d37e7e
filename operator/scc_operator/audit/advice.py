"""What to do about a pod that an SCC refuses, cheapest in privilege first; every advice is proven by the engine.

Three kinds: change fields of the pod so that an SCC that it may use admits it; grant an existing SCC; write the
smallest SCC that admits it. The first gives away nothing, but may take from the application what it asked for.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from scc_operator.audit.exposure import Permission, cost, exposure
from scc_operator.audit.ladder import Ladder, Rung
from scc_operator.audit.minimal import NoSmallestSCC, Wanted, smallest_scc
from scc_operator.audit.wording import location, path_text, value_at
from scc_operator.engine.judge import evaluate
from scc_operator.engine.namespace import NamespaceValues
from scc_operator.engine.pod import parse_pod
from scc_operator.engine.provider import Provider
from scc_operator.engine.scc import SecurityContextConstraints, with_defaults
from scc_operator.engine.verdict import Objection

Json = dict[str, Any]
Path = tuple[str | int, ...]
Prepare = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What the API does to a manifest before admission sees it."""

_ROUNDS = 8


class Change(msgspec.Struct, frozen=True):
    """One field to change.

    Attributes:
        path: the keys that lead to it, from the pod on.
        old: what stands there.
        new: what to write; None to remove the field.
        effect: what that means for the application.
        loses: the application loses something that it asked for, so whoever knows it has to decide.
    """

    path: Path
    old: Any
    new: Any
    effect: str
    loses: bool

    def __str__(self) -> str:
        field = path_text(self.path)
        return f"remove {field} ({_json(self.old)})" if self.new is None else f"set {field} to {_json(self.new)}"


class PodChanges(msgspec.Struct, frozen=True):
    """Changes after which an SCC admits the pod, and the pod with them."""

    scc: str
    changes: tuple[Change, ...]
    pod: Json

    def json_patch(self, original: Mapping[str, Any], prefix: Path = ()) -> list[Json]:
        """The changes as a JSON patch (RFC 6902).

        Args:
            original: the pod before them.
            prefix: the keys that lead from the patched object to the pod.
        """
        operations: list[Json] = []
        made: set[Path] = set()
        for change in self.changes:
            path, value = change.path, change.new
            if value is None:
                operations.append({"op": "remove", "path": _pointer((*prefix, *path))})
                continue
            # A patch cannot write below an object that is not there: then the missing parents come with it.
            while len(path) > 1 and path[:-1] not in made and value_at(original, path[:-1]) is None:
                value, path = {path[-1]: value}, path[:-1]
            made.add(path)
            operations.append({"op": "add", "path": _pointer((*prefix, *path)), "value": value})
        return operations

    @property
    def loses(self) -> int:
        """How many changes take something from the application."""
        return sum(change.loses for change in self.changes)


class GrantAdvice(msgspec.Struct, frozen=True):
    """An existing SCC that admits the pod and that its service account may not use.

    Attributes:
        scc: its name.
        allows: what it allows beyond the baseline.
        takes_over: it is tried before the SCCs that the account uses now, so all its other pods may change to it.
    """

    scc: str
    allows: tuple[Permission, ...]
    takes_over: bool


class NewSCC(msgspec.Struct, frozen=True):
    """The smallest SCC that admits the pod, and what it allows beyond the baseline."""

    scc: SecurityContextConstraints
    allows: tuple[Permission, ...]


class Advice(msgspec.Struct, frozen=True):
    """The ways out for one pod. Each part may be missing where there is none of its kind."""

    pod: PodChanges | None
    grants: tuple[GrantAdvice, ...]
    new: NewSCC | None

    @property
    def grant(self) -> GrantAdvice | None:
        """The existing SCC that costs least privilege."""
        return self.grants[0] if self.grants else None


def advise(
    ladder: Ladder,
    pod: Mapping[str, Any],
    values: NamespaceValues,
    sccs: Mapping[str, SecurityContextConstraints],
    *,
    new_name: str,
    prepare: Prepare = dict,
) -> Advice:
    """The ways out for a pod that was refused.

    Args:
        ladder: of the pod.
        pod: the pod as its author wrote it.
        values: the namespace's.
        sccs: all SCCs after defaulting, by name.
        new_name: the name for a new SCC.
        prepare: completes the pod as the API does before admission sees it.
    """
    usable = [change_pod(pod, rung.provider, prepare) for rung in ladder.rungs if rung.usable_by and not rung.fits]
    changes = min(
        (each for each in usable if each),
        key=lambda each: (each.loses, cost(sccs[each.scc]), len(each.changes)),
        default=None,
    )
    shape = parse_pod(prepare(pod))
    try:
        smallest = smallest_scc(new_name, [Wanted(shape, values)])
    except NoSmallestSCC:
        new = None
    else:
        new = NewSCC(smallest, exposure(with_defaults(smallest)))
    return Advice(changes, grantable(ladder, sccs), new)


def grantable(ladder: Ladder, sccs: Mapping[str, SecurityContextConstraints]) -> tuple[GrantAdvice, ...]:
    """The existing SCCs that admit the pod and are not usable for it, the least privilege first."""
    used = [rung.position for rung in ladder.rungs if rung.usable_by]
    found = [rung for rung in ladder.rungs if rung.fits and not rung.usable_by]
    return tuple(
        GrantAdvice(rung.scc, exposure(sccs[rung.scc]), _takes_over(rung, used))
        for rung in sorted(found, key=lambda rung: (cost(sccs[rung.scc]), rung.position))
    )


def _takes_over(rung: Rung, used: list[int]) -> bool:
    return any(rung.position < position for position in used)


def change_pod(pod: Mapping[str, Any], provider: Provider, prepare: Prepare = dict) -> PodChanges | None:
    """The changes after which this SCC admits the pod; None where no change of single fields does it.

    The engine is asked again after each round of changes, so what is returned fits.
    """
    changed: Json = copy.deepcopy(dict(pod))
    changes: dict[Path, Change] = {}
    for _ in range(_ROUNDS):
        ready = prepare(changed)
        objections = evaluate(parse_pod(ready), provider).objections
        if not objections:
            return PodChanges(provider.name, tuple(changes.values()), changed)
        before = len(changes)
        wanted: dict[Path, Change] = {}
        for objection in objections:
            advice = _ADVICE.get(objection.code)
            if advice is None:
                return None
            change = advice(objection, ready, provider.scc)
            wanted.setdefault(change.path, change)
        # Items of a list from the end on: removing one moves those behind it.
        for change in sorted(wanted.values(), key=_index, reverse=True):
            if change.path not in changes and _apply(changed, change):
                changes[change.path] = change
        if len(changes) == before:
            return None
    return None


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _pointer(path: Path) -> str:
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in path)


def _index(change: Change) -> int:
    last = change.path[-1]
    return last if isinstance(last, int) else -1


def _apply(pod: Json, change: Change) -> bool:
    """Make the change; False where it changes nothing, e.g. a host port that the API fills in with hostNetwork."""
    parents, last = change.path[:-1], change.path[-1]
    parent: Any = value_at(pod, parents)
    if change.new is None:
        present = parent is not None and value_at(pod, change.path) is not None
        if present:
            del parent[last]
        return present
    if parent is None:
        parent = pod
        for key in parents:
            parent = parent.setdefault(key, {}) if isinstance(key, str) else parent[key]
    parent[last] = change.new
    return True


# --- for each reason the smallest change that takes it away --------------------------------------------------------

_Advise = Callable[[Objection, Mapping[str, Any], SecurityContextConstraints], Change]


def _remove(effect: str, *, loses: bool = False, whole: str = "") -> _Advise:
    """Leave the field out; `whole` names the object to leave out where the objection is about a part of it."""

    def advise_removal(objection: Objection, pod: Mapping[str, Any], scc: SecurityContextConstraints) -> Change:
        del scc
        path = location(objection, pod)
        if whole:
            path = path[: path.index(whole) + 1]
        return Change(path, value_at(pod, path), None, effect, loses)

    return advise_removal


def _set(value: Any, effect: str, *, loses: bool = False) -> _Advise:
    def advise_value(objection: Objection, pod: Mapping[str, Any], scc: SecurityContextConstraints) -> Change:
        del scc
        path = location(objection, pod)
        return Change(path, value_at(pod, path), value, effect, loses)

    return advise_value


def _user(objection: Objection, pod: Mapping[str, Any], scc: SecurityContextConstraints) -> Change:
    path = location(objection, pod)
    strategy = scc.run_as_user
    assigned = strategy.uid if strategy.uid_range_min is None else strategy.uid_range_min
    effect = f"the SCC assigns UID {assigned}: image and volumes have to work with it"
    return Change(path, objection.value, None, effect, loses=objection.value == 0)


def _capability(objection: Objection, pod: Mapping[str, Any], scc: SecurityContextConstraints) -> Change:
    path = location(objection, pod)
    added = value_at(pod, path) or []
    allowed = {*scc.allowed_capabilities, *scc.default_add_capabilities}
    kept = [capability for capability in added if capability in allowed]
    lost = ", ".join(capability for capability in added if capability not in allowed)
    return Change(path, added, kept or None, f"the container runs without {lost}", True)


def _sysctl(objection: Objection, pod: Mapping[str, Any], scc: SecurityContextConstraints) -> Change:
    del scc
    path = location(objection, pod)[:-1]
    return Change(path, value_at(pod, path), None, "the kernel parameter keeps its value", True)


_NO_HOST = "the pod is cut off from the node's own namespace"
_CONTEXT = "the SCC assigns the SELinux context, its level from the namespace"
_GROUP = "the SCC assigns the group: volumes have to be accessible to it"

_ADVICE: dict[str, _Advise] = {
    "RunAsUserMismatch": _user,
    "RunAsUserOutOfRange": _user,
    "RunAsRootNotAllowed": _remove("the image's own user applies, and must not be root", loses=True),
    "RunAsNonRootRequired": _set(True, "the kubelet refuses an image whose user is root"),
    "SeccompNotAllowed": _remove("the runtime decides about system calls", whole="seccompProfile"),
    "SeccompProfileNotAllowed": _remove("the SCC's own profile applies", whole="seccompProfile"),
    "SELinuxLevelMismatch": _remove(_CONTEXT, whole="seLinuxOptions"),
    "SELinuxRoleMismatch": _remove(_CONTEXT, whole="seLinuxOptions"),
    "SELinuxTypeMismatch": _remove(_CONTEXT, whole="seLinuxOptions"),
    "SELinuxUserMismatch": _remove(_CONTEXT, whole="seLinuxOptions"),
    "PrivilegedNotAllowed": _remove("the container loses the node's devices and all capabilities", loses=True),
    "PrivilegeEscalationNotAllowed": _set(False, "setuid programs in the image gain no rights"),
    "CapabilityNotAllowed": _capability,
    "HostNetworkNotAllowed": _remove(_NO_HOST, loses=True),
    "HostPIDNotAllowed": _remove(_NO_HOST, loses=True),
    "HostIPCNotAllowed": _remove(_NO_HOST, loses=True),
    "HostPortNotAllowed": _remove("the port is reached through a Service instead", loses=True),
    "HostUsersNotAllowed": _set(False, "the pod gets a user namespace, which nodes have to support"),
    "ReadOnlyRootFilesystemRequired": _set(True, "writing outside of volumes fails"),
    "SupplementalGroupNotAllowed": _remove(_GROUP),
    "SupplementalGroupsRequired": _remove(_GROUP),
    "FSGroupNotAllowed": _remove(_GROUP),
    "UnsafeSysctlNotAllowed": _sysctl,
    "SysctlForbidden": _sysctl,
}
