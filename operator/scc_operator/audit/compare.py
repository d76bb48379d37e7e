"""Whether one SCC is contained in another: field by field, what each allows that the other does not.

"A is contained in B" promises: whatever satisfies A as it runs is admitted under B. Some differences are formal: B
refuses a spelling that gives the pod nothing that B would not let it have anyway, such as an explicit
`runAsNonRoot: false` with a user that is not root. They are told apart, because who compares SCCs by what they risk may
ignore them.

Where an SCC leaves a value to the namespace, it is compared as "the namespace's", which equals only itself; `complete`
both SCCs first to compare them in one namespace. A namespace's own users are taken not to include root.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum

import msgspec

from scc_operator.engine.checks.sysctls import SAFE_SYSCTLS
from scc_operator.engine.order import points
from scc_operator.engine.pod import DOCKER_DEFAULT, RUNTIME_DEFAULT
from scc_operator.engine.scc import (
    ANY,
    MUST_RUN_AS,
    MUST_RUN_AS_NON_ROOT,
    MUST_RUN_AS_RANGE,
    REQUIRE_POD_LEVEL,
    RUN_AS_ANY,
    GroupStrategy,
    IDRange,
    SecurityContextConstraints,
    SELinuxOptions,
)
from scc_operator.engine.volume_types import FLEX_VOLUME, NO_VOLUME

NAMESPACE = "the namespace's"
NOBODY = "nothing"
_ALL = "ALL"
RUNTIME_CAPABILITIES = frozenset(
    {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID"}
)
"""What every common container runtime gives a container that drops nothing."""


class Extra(msgspec.Struct, frozen=True):
    """Something that one SCC allows and the other does not.

    Attributes:
        text: in a few words.
        formal: a spelling that gives a pod nothing that the other SCC would not let it have.
    """

    text: str
    formal: bool = False


class Relation(StrEnum):
    """How the second SCC stands to the first, in one field or as a whole."""

    EQUAL = "equal"
    """Each allows what the other allows."""
    WIDER = "wider"
    """The second allows more, and all that the first allows."""
    NARROWER = "narrower"
    """The first allows more, and all that the second allows."""
    DIFFERENT = "different"
    """Each allows something that the other does not."""


class Field(msgspec.Struct, frozen=True):
    """One field, or group of fields that are one constraint.

    Attributes:
        name: the SCC's field.
        first: what the first SCC says, for people.
        second: likewise the second.
        more_in_first: what the first allows that the second does not.
        more_in_second: the other way round.
    """

    name: str
    first: str
    second: str
    more_in_first: tuple[Extra, ...]
    more_in_second: tuple[Extra, ...]

    @property
    def relation(self) -> Relation:
        """How the second stands to the first."""
        return _relation(self.more_in_first, self.more_in_second)


class Effect(msgspec.Struct, frozen=True):
    """A field that changes what pods get without allowing more or less, where the two SCCs differ in it."""

    name: str
    first: str
    second: str


class Comparison(msgspec.Struct, frozen=True):
    """Two SCCs, the first against the second."""

    first: str
    second: str
    fields: tuple[Field, ...]
    effects: tuple[Effect, ...]

    @property
    def more_in_first(self) -> tuple[Extra, ...]:
        """All that the first allows and the second does not."""
        return tuple(extra for field in self.fields for extra in field.more_in_first)

    @property
    def more_in_second(self) -> tuple[Extra, ...]:
        """All that the second allows and the first does not."""
        return tuple(extra for field in self.fields for extra in field.more_in_second)

    @property
    def contained(self) -> bool:
        """Whether whatever satisfies the first as it runs is admitted under the second."""
        return not self.more_in_first

    @property
    def relation(self) -> Relation:
        """How the second stands to the first, formal differences set aside."""
        return _relation(_real(self.more_in_first), _real(self.more_in_second))


def compare(first: SecurityContextConstraints, second: SecurityContextConstraints) -> Comparison:
    """Compare two SCCs, both after defaulting."""
    return Comparison(
        first.name,
        second.name,
        tuple(
            Field(name, show(first), show(second), tuple(beyond(first, second)), tuple(beyond(second, first)))
            for name, show, beyond in _AREAS
        ),
        tuple(Effect(name, show(first), show(second)) for name, show in _EFFECTS if show(first) != show(second)),
    )


def beyond(scc: SecurityContextConstraints, other: SecurityContextConstraints) -> tuple[Extra, ...]:
    """What an SCC allows that another does not, both after defaulting; empty where it is contained in it."""
    return tuple(extra for _, _, each in _AREAS for extra in each(scc, other))


def _relation(more_in_first: Iterable[Extra], more_in_second: Iterable[Extra]) -> Relation:
    if tuple(more_in_first):
        return Relation.DIFFERENT if tuple(more_in_second) else Relation.NARROWER
    return Relation.WIDER if tuple(more_in_second) else Relation.EQUAL


def _real(extras: Iterable[Extra]) -> tuple[Extra, ...]:
    return tuple(extra for extra in extras if not extra.formal)


# --- one pair for each constraint: how it is shown, and what the first allows beyond the second --------------------

_Show = Callable[[SecurityContextConstraints], str]
_Beyond = Callable[[SecurityContextConstraints, SecurityContextConstraints], Iterator[Extra]]


def _allows(text: str, allowed: Callable[[SecurityContextConstraints], bool]) -> tuple[_Show, _Beyond]:
    """A constraint that is a yes or a no."""

    def show(scc: SecurityContextConstraints) -> str:
        return "allowed" if allowed(scc) else "forbidden"

    def more(scc: SecurityContextConstraints, other: SecurityContextConstraints) -> Iterator[Extra]:
        if allowed(scc) and not allowed(other):
            yield Extra(text)

    return show, more


# --- users ---------------------------------------------------------------------------------------------------------


def _show_user(scc: SecurityContextConstraints) -> str:
    if scc.run_as_user.type == RUN_AS_ANY:
        return "any, or the image's"
    if scc.run_as_user.type == MUST_RUN_AS_NON_ROOT:
        return "any but root"
    ids = _users(scc)
    return NAMESPACE if ids is None else _ids_text(ids)


def _users(scc: SecurityContextConstraints) -> Sequence[IDRange] | None:
    """The users of a strategy that fixes them; None for the namespace's."""
    strategy = scc.run_as_user
    if strategy.type == MUST_RUN_AS_RANGE:
        if strategy.uid_range_min is None or strategy.uid_range_max is None:
            return None
        return [IDRange(strategy.uid_range_min, strategy.uid_range_max)]
    return [] if strategy.uid is None else [IDRange(strategy.uid, strategy.uid)]


def _more_users(scc: SecurityContextConstraints, other: SecurityContextConstraints) -> Iterator[Extra]:
    mine, its = scc.run_as_user.type, other.run_as_user.type
    if its == RUN_AS_ANY or (mine == its == MUST_RUN_AS_NON_ROOT):
        return
    if mine == RUN_AS_ANY:
        yield Extra("any user, root included" if its != MUST_RUN_AS_NON_ROOT else "root")
        return
    if mine == MUST_RUN_AS_NON_ROOT:
        yield Extra("any user but root")
        return
    if its == MUST_RUN_AS_NON_ROOT:
        root = any(0 in each for each in _users(scc) or ())
        yield Extra("root") if root else Extra("an explicit runAsNonRoot: false", formal=True)
        return
    yield from _more_ids("user", _users(scc), _users(other))


def _more_ids(what: str, mine: Sequence[IDRange] | None, its: Sequence[IDRange] | None) -> Iterator[Extra]:
    if mine is None:
        if its is not None:
            yield Extra(f"{NAMESPACE} own {what}s")
        return
    left = _minus(mine, its or ())
    if left:
        yield Extra(f"{what} {_ids_text(left)}")


def _minus(ranges: Iterable[IDRange], others: Iterable[IDRange]) -> list[IDRange]:
    """The ids of some ranges without those of others, in order."""
    left = _merged(ranges)
    for other in others:
        if other.min <= other.max:
            left = [piece for each in left for piece in _cut(each, other)]
    return left


def _merged(ranges: Iterable[IDRange]) -> list[IDRange]:
    merged: list[IDRange] = []
    for each in sorted((each for each in ranges if each.min <= each.max), key=lambda each: (each.min, each.max)):
        if merged and each.min <= merged[-1].max + 1:
            merged[-1] = IDRange(merged[-1].min, max(merged[-1].max, each.max))
        else:
            merged.append(each)
    return merged


def _cut(whole: IDRange, out: IDRange) -> Iterator[IDRange]:
    below = IDRange(whole.min, min(whole.max, out.min - 1))
    above = IDRange(max(whole.min, out.max + 1), whole.max)
    yield from (piece for piece in (below, above) if piece.min <= piece.max)


def _ids_text(ranges: Iterable[IDRange]) -> str:
    texts = [str(each.min) if each.min == each.max else f"{each.min}-{each.max}" for each in _merged(ranges)]
    return ", ".join(texts) or NOBODY


# --- groups --------------------------------------------------------------------------------------------------------


def _groups(what: str, strategy_of: Callable[[SecurityContextConstraints], GroupStrategy]) -> tuple[_Show, _Beyond]:
    def show(scc: SecurityContextConstraints) -> str:
        strategy = strategy_of(scc)
        if strategy.type != MUST_RUN_AS:
            return "any, or none"
        return _ids_text(strategy.ranges) if strategy.ranges else NAMESPACE

    def more(scc: SecurityContextConstraints, other: SecurityContextConstraints) -> Iterator[Extra]:
        mine, its = strategy_of(scc), strategy_of(other)
        if its.type != MUST_RUN_AS:
            return
        if mine.type != MUST_RUN_AS:
            yield Extra(f"any {what}")
            return
        yield from _more_ids(what, mine.ranges or None, its.ranges or None)

    return show, more


# --- SELinux -------------------------------------------------------------------------------------------------------


def _context(scc: SecurityContextConstraints) -> tuple[str, str, str, tuple[str, ...]]:
    options = scc.se_linux_context.se_linux_options or SELinuxOptions()
    sensitivity, _, categories = options.level.partition(":")
    return options.user, options.role, options.type, (sensitivity, *sorted(categories.split(",")))


def _show_context(scc: SecurityContextConstraints) -> str:
    if scc.se_linux_context.type != MUST_RUN_AS:
        return "any, or the runtime's"
    options = scc.se_linux_context.se_linux_options or SELinuxOptions()
    parts = [f"{name} {value}" for name, value in msgspec.to_builtins(options).items() if value and name != "level"]
    return ", ".join([*parts, f"level {options.level}" if options.level else f"{NAMESPACE} level"])


def _more_contexts(scc: SecurityContextConstraints, other: SecurityContextConstraints) -> Iterator[Extra]:
    if other.se_linux_context.type != MUST_RUN_AS:
        return
    if scc.se_linux_context.type != MUST_RUN_AS:
        yield Extra("any SELinux context")
    elif _context(scc) != _context(other):
        yield Extra(f"SELinux context: {_show_context(scc)}")


# --- capabilities --------------------------------------------------------------------------------------------------


def _addable(scc: SecurityContextConstraints) -> set[str]:
    return {*scc.allowed_capabilities, *scc.default_add_capabilities}


def _show_addable(scc: SecurityContextConstraints) -> str:
    return "any" if ANY in _addable(scc) else ", ".join(sorted(_addable(scc))) or NOBODY


def _more_capabilities(scc: SecurityContextConstraints, other: SecurityContextConstraints) -> Iterator[Extra]:
    its = _addable(other)
    if ANY in its:
        return
    if ANY in _addable(scc):
        yield Extra("adding any capability")
        return
    more = sorted(_addable(scc) - its)
    # Who may keep what the runtime gives by default gains nothing by asking for it.
    kept = set() if _drops_all(other) else RUNTIME_CAPABILITIES - set(other.required_drop_capabilities)
    for formal, names in (
        (False, [each for each in more if each not in kept]),
        (True, [each for each in more if each in kept]),
    ):
        if names:
            yield Extra(f"adding {', '.join(names)}", formal=formal)


def _drops_all(scc: SecurityContextConstraints) -> bool:
    return any(capability.upper() == _ALL for capability in scc.required_drop_capabilities)


def _show_dropped(scc: SecurityContextConstraints) -> str:
    return ", ".join(sorted(scc.required_drop_capabilities)) or NOBODY


def _more_kept(scc: SecurityContextConstraints, other: SecurityContextConstraints) -> Iterator[Extra]:
    if _drops_all(scc):
        return
    if _drops_all(other):
        yield Extra("keeping capabilities that the runtime gives by default")
    elif more := sorted(set(other.required_drop_capabilities) - set(scc.required_drop_capabilities)):
        yield Extra(f"keeping {', '.join(more)}")


# --- seccomp -------------------------------------------------------------------------------------------------------


def _profiles(scc: SecurityContextConstraints) -> set[str]:
    """The profiles by name; the two names of the runtime's own are one."""
    named = {profile for profile in scc.seccomp_profiles if profile != ANY}
    return {RUNTIME_DEFAULT if profile == DOCKER_DEFAULT else profile for profile in named}


def _show_profiles(scc: SecurityContextConstraints) -> str:
    if ANY in scc.seccomp_profiles:
        return "any, or none"
    return ", ".join(sorted(_profiles(scc))) or "none may be asked for"


def _more_profiles(scc: SecurityContextConstraints, other: SecurityContextConstraints) -> Iterator[Extra]:
    if ANY in other.seccomp_profiles:
        return
    its = _profiles(other)
    if ANY in scc.seccomp_profiles:
        yield Extra("any seccomp profile, or none")
    elif not _profiles(scc):
        if its:
            yield Extra("running without a seccomp profile")
    elif more := sorted(_profiles(scc) - its):
        # Who lets a pod run without a profile gives it more than the runtime's own one would.
        yield Extra(f"asking for seccomp profile {', '.join(more)}", formal=not its and more == [RUNTIME_DEFAULT])


# --- sysctls: names, and prefixes that end in `*` ------------------------------------------------------------------


def _covers(pattern: str, name: str) -> bool:
    """Whether all names that `name` stands for are among those of `pattern`."""
    return name.removesuffix(ANY).startswith(pattern.removesuffix(ANY)) if pattern.endswith(ANY) else pattern == name


def _covered(name: str, patterns: Iterable[str]) -> bool:
    return any(_covers(pattern, name) for pattern in patterns)


def _common(left: str, right: str) -> str | None:
    """The names that two patterns share, as a pattern; None where there are none."""
    return right if _covers(left, right) else left if _covers(right, left) else None


def _show_sysctls(scc: SecurityContextConstraints) -> str:
    allowed = ["safe ones", *sorted(scc.allowed_unsafe_sysctls)]
    forbidden = sorted(scc.forbidden_sysctls)
    return ", ".join(allowed) + (f", but not {', '.join(forbidden)}" if forbidden else "")


def _more_sysctls(scc: SecurityContextConstraints, other: SecurityContextConstraints) -> Iterator[Extra]:
    more: list[str] = []
    for name in (*sorted(SAFE_SYSCTLS), *sorted(scc.allowed_unsafe_sysctls)):
        if _covered(name, scc.forbidden_sysctls):
            continue
        if name not in SAFE_SYSCTLS and not _covered(name, other.allowed_unsafe_sysctls):
            more.append(name)
            continue
        shared = (_common(name, pattern) for pattern in other.forbidden_sysctls)
        more += [each for each in shared if each is not None and not _covered(each, scc.forbidden_sysctls)]
    if more:
        yield Extra(f"sysctls {', '.join(dict.fromkeys(more))}")


# --- volumes -------------------------------------------------------------------------------------------------------


def _volumes(scc: SecurityContextConstraints) -> set[str]:
    return set(scc.volumes or ()) - {NO_VOLUME}


def _show_volumes(scc: SecurityContextConstraints) -> str:
    return "any" if ANY in _volumes(scc) else ", ".join(sorted(_volumes(scc))) or NOBODY


def _more_volumes(scc: SecurityContextConstraints, other: SecurityContextConstraints) -> Iterator[Extra]:
    its = _volumes(other)
    if ANY in its:
        return
    if ANY in _volumes(scc):
        yield Extra("any volume type")
    elif more := sorted(_volumes(scc) - its):
        yield Extra(f"volume types {', '.join(more)}")


def _drivers(scc: SecurityContextConstraints) -> set[str] | None:
    """The flexVolume drivers that are allowed; None for all of them."""
    if not _volumes(scc) & {FLEX_VOLUME, ANY}:
        return set()
    return {each.driver for each in scc.allowed_flex_volumes} or None


def _show_drivers(scc: SecurityContextConstraints) -> str:
    drivers = _drivers(scc)
    return "any" if drivers is None else ", ".join(sorted(drivers)) or NOBODY


def _more_drivers(scc: SecurityContextConstraints, other: SecurityContextConstraints) -> Iterator[Extra]:
    mine, its = _drivers(scc), _drivers(other)
    if its is None or mine == set():
        return
    if mine is None:
        yield Extra("any flexVolume driver")
    elif more := sorted(mine - its):
        yield Extra(f"flexVolume drivers {', '.join(more)}")


_AREAS: tuple[tuple[str, _Show, _Beyond], ...] = (
    ("allowPrivilegedContainer", *_allows("privileged containers", lambda scc: scc.allow_privileged_container)),
    ("allowHostPID", *_allows("the node's processes", lambda scc: scc.allow_host_pid)),
    ("allowHostIPC", *_allows("the node's IPC", lambda scc: scc.allow_host_ipc)),
    ("allowHostNetwork", *_allows("the node's network", lambda scc: scc.allow_host_network)),
    ("allowHostPorts", *_allows("ports of the node", lambda scc: scc.allow_host_ports)),
    (
        "userNamespaceLevel",
        *_allows("the node's user namespace", lambda scc: scc.user_namespace_level != REQUIRE_POD_LEVEL),
    ),
    ("volumes", _show_volumes, _more_volumes),
    ("allowedFlexVolumes", _show_drivers, _more_drivers),
    ("runAsUser", _show_user, _more_users),
    ("fsGroup", *_groups("fsGroup", lambda scc: scc.fs_group)),
    ("supplementalGroups", *_groups("supplemental group", lambda scc: scc.supplemental_groups)),
    ("seLinuxContext", _show_context, _more_contexts),
    ("allowedCapabilities", _show_addable, _more_capabilities),
    ("requiredDropCapabilities", _show_dropped, _more_kept),
    (
        "allowPrivilegeEscalation",
        *_allows("privilege escalation", lambda scc: scc.allow_privilege_escalation is not False),
    ),
    ("seccompProfiles", _show_profiles, _more_profiles),
    ("sysctls", _show_sysctls, _more_sysctls),
    (
        "readOnlyRootFilesystem",
        *_allows("writing to the image's file system", lambda scc: not scc.read_only_root_filesystem),
    ),
)

_EFFECTS: tuple[tuple[str, _Show], ...] = (
    ("priority", lambda scc: str(scc.priority or 0)),
    ("points", lambda scc: str(points(scc))),
    ("defaultAddCapabilities", lambda scc: ", ".join(sorted(scc.default_add_capabilities)) or NOBODY),
    (
        "defaultAllowPrivilegeEscalation",
        lambda scc: (
            "not set"
            if scc.default_allow_privilege_escalation is None
            else str(scc.default_allow_privilege_escalation).lower()
        ),
    ),
    ("default seccomp profile", lambda scc: next((each for each in scc.seccomp_profiles if each != ANY), "not set")),
)
