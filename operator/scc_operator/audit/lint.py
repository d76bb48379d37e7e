"""What is wrong with SCC objects themselves: mistakes that no schema refuses, each with the command that repairs it."""

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any

import msgspec

from scc_operator import names
from scc_operator.access.grants import Grant
from scc_operator.access.rbac import GROUP, SERVICE_ACCOUNT
from scc_operator.access.subjects import SOMEBODY, Identity, service_account_identity
from scc_operator.audit.compare import beyond
from scc_operator.audit.ladder import grant_text
from scc_operator.audit.view import View
from scc_operator.engine.order import reason
from scc_operator.engine.scc import ANY, SecurityContextConstraints, with_defaults
from scc_operator.engine.volume_types import HOST_PATH, NO_VOLUME, VOLUME_TYPES

_ACCOUNT_PREFIX = "system:serviceaccount:"
_CAPABILITY_PREFIX = "CAP_"
_ALL = "ALL"
EVERYBODY = frozenset({names.AUTHENTICATED, names.SERVICE_ACCOUNTS, "system:unauthenticated"})
"""Groups that stand for all users or all pods of a cluster."""
RESTRICTED_FAMILY = frozenset({"restricted", "restricted-v2", "restricted-v3"})
"""Default SCCs that may be granted to everybody."""


class Severity(IntEnum):
    """How much a finding matters."""

    INFO = 0
    """It does nothing, or less than it seems to."""
    WARNING = 1
    """It does something else than its author most likely meant."""
    ERROR = 2
    """It endangers the cluster: everybody may do too much, or no pod can be judged."""


class Lint(msgspec.Struct, frozen=True):
    """One finding.

    Attributes:
        code: a stable CamelCase name.
        severity: how much it matters.
        scc: the SCC.
        field: its field; empty where the SCC as a whole is meant.
        text: what was found and what that means.
        commands: what repairs it, ready to run.
    """

    code: str
    severity: Severity
    scc: str
    field: str
    text: str
    commands: tuple[str, ...]


def lint(
    written: Mapping[str, SecurityContextConstraints],
    errors: Mapping[str, tuple[str, ...]],
    shipped: Mapping[str, SecurityContextConstraints],
    view: View,
) -> tuple[Lint, ...]:
    """All findings, the gravest first, then by SCC.

    Args:
        written: the SCCs as their authors wrote them, before defaulting.
        errors: why some of them cannot be evaluated.
        shipped: the default SCCs as they are shipped.
        view: who may use which SCC, and the order in which they are tried.
    """
    found = [*_broken(errors)]
    for name in sorted(written):
        scc = written[name]
        found += [each for check in _CHECKS for each in check(scc)]
        if name in shipped:
            found += _default_changed(scc, shipped[name])
        if name not in RESTRICTED_FAMILY:
            found += _everybody(scc, shipped, view)
        found += _priority(scc, view)
        if name not in shipped:
            found += _never_wins(scc, view)
    return tuple(sorted(found, key=lambda each: (-each.severity, each.scc, each.code, each.field, each.text)))


def changed_fields(scc: SecurityContextConstraints, shipped: SecurityContextConstraints) -> dict[str, Any]:
    """The fields in which a default SCC means something else than what is shipped, with the values to write.

    Who may use it is no part of it.
    """
    left, right = (msgspec.to_builtins(_comparable(each)) for each in (scc, shipped))
    return {key: right[key] for key in sorted(right) if left[key] != right[key]}


def _comparable(scc: SecurityContextConstraints) -> SecurityContextConstraints:
    scc = with_defaults(scc)
    return msgspec.structs.replace(
        scc,
        users=(),
        groups=(),
        user_namespace_level=scc.user_namespace_level or "AllowHostLevel",
        allowed_capabilities=tuple(sorted(scc.allowed_capabilities)),
        required_drop_capabilities=tuple(sorted(scc.required_drop_capabilities)),
        default_add_capabilities=tuple(sorted(scc.default_add_capabilities)),
    )


def _patch(scc: str, body: Mapping[str, Any]) -> str:
    text = shlex.quote(json.dumps(body, separators=(",", ":")))
    return f"kubectl patch scc {scc} --type=merge -p {text}"


def _without(scc: str, field: str, values: Sequence[str], value: str) -> str:
    """Take one value out of a list; refused by the server where the list has changed meanwhile."""
    path = f"/{field}/{values.index(value)}"
    patch = [{"op": "test", "path": path, "value": value}, {"op": "remove", "path": path}]
    return f"kubectl patch scc {scc} --type=json -p {shlex.quote(json.dumps(patch, separators=(',', ':')))}"


# --- the object by itself ------------------------------------------------------------------------------------------


def _broken(errors: Mapping[str, tuple[str, ...]]) -> Iterator[Lint]:
    for name, texts in sorted(errors.items()):
        text = f"cannot be evaluated ({'; '.join(texts)}), so admission would refuse every pod"
        yield Lint("NotEvaluable", Severity.ERROR, name, "", text, (f"kubectl edit scc {name}",))


def _accounts_among_groups(scc: SecurityContextConstraints) -> Iterator[Lint]:
    for group in scc.groups:
        if group.startswith(_ACCOUNT_PREFIX):
            text = f"{group} is the user name of a service account: as a group it grants nothing"
            commands = (_without(scc.name, "groups", scc.groups, group), *_grant(scc.name, group))
            yield Lint("ServiceAccountAsGroup", Severity.WARNING, scc.name, "groups", text, commands)


def _grant(scc: str, account: str) -> tuple[str, ...]:
    namespace, colon, name = account.removeprefix(_ACCOUNT_PREFIX).partition(":")
    return (f"kubectl scc add-scc-to-user {scc} -z {name} -n {namespace}",) if colon and name else ()


def _groups_among_users(scc: SecurityContextConstraints) -> Iterator[Lint]:
    for user in scc.users:
        if user in EVERYBODY or user.startswith(f"{names.SERVICE_ACCOUNTS}:"):
            text = f"{user} is the name of a group: as a user it grants nothing"
            repair = (_without(scc.name, "users", scc.users, user),)
            yield Lint("GroupAsUser", Severity.WARNING, scc.name, "users", text, repair)


_CAPABILITY_FIELDS: dict[str, Callable[[SecurityContextConstraints], tuple[str, ...]]] = {
    "allowedCapabilities": lambda scc: scc.allowed_capabilities,
    "defaultAddCapabilities": lambda scc: scc.default_add_capabilities,
    "requiredDropCapabilities": lambda scc: scc.required_drop_capabilities,
}


def _capability_spelling(scc: SecurityContextConstraints) -> Iterator[Lint]:
    for field, values_of in _CAPABILITY_FIELDS.items():
        values = values_of(scc)
        prefixed = [each for each in values if each.startswith(_CAPABILITY_PREFIX)]
        if prefixed:
            right = [each.removeprefix(_CAPABILITY_PREFIX) for each in values]
            text = f"{', '.join(prefixed)}: pods write capabilities without {_CAPABILITY_PREFIX}, so it matches none"
            yield Lint("CapabilityPrefix", Severity.WARNING, scc.name, field, text, (_patch(scc.name, {field: right}),))
        odd = [each for each in values if each.upper() == _ALL and each != _ALL]
        if odd:
            right = [_ALL if each.upper() == _ALL else each for each in values]
            text = f"{', '.join(odd)}: capabilities are compared to the letter, write {_ALL}"
            yield Lint("AllSpelling", Severity.WARNING, scc.name, field, text, (_patch(scc.name, {field: right}),))


def _host_path(scc: SecurityContextConstraints) -> Iterator[Lint]:
    if scc.volumes is None:
        return
    effective = list(with_defaults(scc).volumes or ())
    repair = (_patch(scc.name, {"volumes": effective}),)
    allowed = scc.allow_host_dir_volume_plugin
    if HOST_PATH in scc.volumes and not allowed:
        text = "lists hostPath, but allowHostDirVolumePlugin is false and wins: hostPath is not allowed"
        yield Lint("HostPathIgnored", Severity.INFO, scc.name, "volumes", text, repair)
    elif ANY in scc.volumes and not allowed:
        text = "* does not mean hostPath here: allowHostDirVolumePlugin is false and wins"
        yield Lint("HostPathIgnored", Severity.INFO, scc.name, "volumes", text, repair)
    elif allowed and not {HOST_PATH, ANY}.intersection(scc.volumes):
        text = "does not list hostPath, but allowHostDirVolumePlugin is true and wins: hostPath is allowed"
        forbid = _patch(scc.name, {"allowHostDirVolumePlugin": False})
        yield Lint("HostPathImplied", Severity.WARNING, scc.name, "volumes", text, (forbid,))


def _volume_types(scc: SecurityContextConstraints) -> Iterator[Lint]:
    known = {*VOLUME_TYPES.values(), ANY, NO_VOLUME}
    unknown = [each for each in scc.volumes or () if each not in known]
    if unknown:
        right = [each for each in scc.volumes or () if each in known]
        text = f"{', '.join(unknown)}: there is no such volume type, so it allows nothing"
        repair = (_patch(scc.name, {"volumes": right}),)
        yield Lint("UnknownVolumeType", Severity.WARNING, scc.name, "volumes", text, repair)


_CHECKS: tuple[Callable[[SecurityContextConstraints], Iterable[Lint]], ...] = (
    _accounts_among_groups,
    _groups_among_users,
    _capability_spelling,
    _host_path,
    _volume_types,
)


def _default_changed(scc: SecurityContextConstraints, shipped: SecurityContextConstraints) -> Iterator[Lint]:
    changed = changed_fields(scc, shipped)
    if not changed:
        return
    looser = [each.text for each in beyond(with_defaults(scc), with_defaults(shipped)) if not each.formal]
    more = f", and now allows {'; '.join(looser)}" if looser else ""
    text = f"is a default SCC and differs from what is shipped in {', '.join(changed)}{more}; make an SCC of your own"
    repair = (_patch(scc.name, changed),)
    yield Lint("DefaultChanged", Severity.ERROR if looser else Severity.WARNING, scc.name, "", text, repair)


# --- the object among others ---------------------------------------------------------------------------------------


def _grants_to_everybody(scc: str, view: View) -> list[Grant]:
    return [
        grant
        for grant in view.grants.who_can(scc)
        if not grant.namespace and grant.subject.kind == GROUP and grant.subject.name in EVERYBODY
    ]


def _everybody(
    scc: SecurityContextConstraints, shipped: Mapping[str, SecurityContextConstraints], view: View
) -> Iterator[Lint]:
    """Granted to everybody, unless it allows no more than the default that everybody may use anyway."""
    extras = beyond(with_defaults(scc), with_defaults(shipped["restricted-v2"]))
    more = [each.text for each in extras if not each.formal]
    if not more:
        return
    for grant in _grants_to_everybody(scc.name, view):
        text = f"everybody may use it ({grant_text(grant)}): any pod may have {'; '.join(more[:3])}"
        text += f" and {len(more) - 3} more" if len(more) > 3 else ""  # noqa: PLR2004
        yield Lint("GrantedToEverybody", Severity.ERROR, scc.name, "", text, (_withdraw(scc, grant),))


def _withdraw(scc: SecurityContextConstraints, grant: Grant) -> str:
    if grant.kind == "scc-groups":
        return _without(scc.name, "groups", scc.groups, grant.subject.name)
    if grant.owner is not None:
        return f"kubectl scc revoke {scc.name} --group {grant.subject.name} --cluster --name {grant.owner.name}"
    if grant.binding == names.SCC_ROLE_PREFIX + scc.name:
        return f"kubectl scc remove-scc-from-group {scc.name} {grant.subject.name} --cluster"
    return f"kubectl edit clusterrolebinding {grant.binding}"


def _priority(scc: SecurityContextConstraints, view: View) -> Iterator[Lint]:
    if (scc.priority or 0) <= 0:
        return
    for grant in _grants_to_everybody(scc.name, view):
        text = (
            f"priority {scc.priority} and usable by everybody ({grant_text(grant)}): it takes over the pods of the "
            "whole cluster that fit it"
        )
        repair = (_patch(scc.name, {"priority": None}),)
        yield Lint("PriorityForEverybody", Severity.ERROR, scc.name, "priority", text, repair)
        return


def _never_wins(scc: SecurityContextConstraints, view: View) -> Iterator[Lint]:
    place = next((at for at, each in enumerate(view.ordered) if each.name == scc.name), None)
    if place is None:
        return
    completed = view.ordered[place]
    grants = [grant for grant in view.grants.who_can(scc.name) if grant.kind != "superuser"]
    if not grants:
        yield Lint(
            "NobodyMayUse", Severity.INFO, scc.name, "", "nobody may use it", (f"kubectl delete scc {scc.name}",)
        )
        return
    for earlier in view.ordered[:place]:
        if not beyond(completed, earlier) and all(_may_use(grant, earlier.name, view) for grant in grants):
            why = reason(earlier, completed)
            text = (
                f"can never win: {earlier.name} is tried before it ({why}), admits all that it admits, and everybody "
                "who may use it may use that one too"
            )
            yield Lint("NeverWins", Severity.WARNING, scc.name, "", text, (f"kubectl delete scc {scc.name}",))
            return


def _may_use(grant: Grant, scc: str, view: View) -> bool:
    """Whether whoever has this grant may use another SCC as well; every pod has a creator, who is authenticated."""
    subject = grant.subject
    if subject.kind == SERVICE_ACCOUNT:
        identity = service_account_identity(subject.namespace, subject.name)
    elif subject.kind == GROUP:
        identity = Identity("", (subject.name,))
    else:
        identity = Identity(subject.name)
    return any(scc in view.grants.usable(each, grant.namespace) for each in (identity, SOMEBODY))
