"""`kubectl scc describe SCC`: all of its rules, its place in the order, and its effective access."""

import click
import msgspec

from scc_operator.audit.exposure import exposure
from scc_operator.cli import complete, kinds
from scc_operator.cli.access import GrantRow, row
from scc_operator.cli.errors import Exit
from scc_operator.cli.get import Allowed, allows_cell, changed_fields, listed, origin, scc_title, shipped_scc
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import STRONG, Cell, Document, Printer, Table
from scc_operator.cli.world import World
from scc_operator.engine.order import reason
from scc_operator.engine.scc import GroupStrategy, SecurityContextConstraints, SELinuxOptions

_NONE = "<none>"
_LABEL_WIDTH = 34


class Described(msgspec.Struct, frozen=True, rename="camel"):
    """One SCC.

    Attributes:
        order: its place among those that can be evaluated, from 1; 0 for one that cannot.
        after: the SCC that is tried before it, and why; likewise `before`.
        changed: fields in which a default SCC differs from what is shipped.
        rules: the SCC after defaulting.
        access: everybody who may use it, each with the grant.
    """

    name: str
    description: str
    origin: str
    order: int
    of: int
    after: str
    before: str
    changed: tuple[str, ...]
    allows: tuple[Allowed, ...]
    rules: dict[str, object]
    access: tuple[GrantRow, ...]
    errors: tuple[str, ...] = ()


class SCCDescriptions(Document, kw_only=True):
    """What `describe` tells."""

    kind: str = "SecurityContextConstraintsDescription"
    items: tuple[Described, ...] = ()


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="SCC...", shell_complete=complete.sccs)
@with_common
def describe(common: Common, names: tuple[str, ...]) -> int:
    """Show everything about SCCs: rules, place in the order, and who may use them through which grant.

    Access is effective: the SCC's own users and groups and every role binding in the namespace, with -A in all
    namespaces. A name that does not exist is taken as a prefix.
    """
    printer = Printer(common)
    with World(common) as world:
        found = [name for wanted in names for name in _matching(world, wanted)]
        sccs = world.sccs()
        document = SCCDescriptions(
            items=tuple(_described(world, name) for name in dict.fromkeys(found)), notes=tuple(world.notes)
        )
    if printer.emit(document, (scc_title(each.name) for each in document.items)):
        return Exit.OK
    for at, each in enumerate(document.items):
        if at:
            printer.line("")
        _print(printer, each, sccs[each.name])
    return Exit.OK


def _matching(world: World, wanted: str) -> list[str]:
    known = world.constraints()
    if wanted in known:
        return [wanted]
    found = sorted(name for name in known if wanted and name.startswith(wanted))
    if not found:
        world.scc(wanted)  # says that there is none, and what comes close
    return found


def _described(world: World, name: str) -> Described:
    raw = world.find(kinds.SCCS, "", name) or {}
    scc = world.scc(name)
    items = listed(world, ()).items
    place = next(each for each in items if each.name == name)
    ordered = world.view(world.scope).ordered
    at = place.order - 1
    shipped = shipped_scc(name)
    return Described(
        name=name,
        description=(raw["metadata"].get("annotations") or {}).get("kubernetes.io/description", ""),
        origin=origin(raw),
        order=place.order,
        of=len(ordered),
        after=f"{ordered[at - 1].name} ({reason(ordered[at - 1], scc)})" if at > 0 else "",
        before=f"{ordered[at + 1].name} ({reason(scc, ordered[at + 1])})" if 0 <= at < len(ordered) - 1 else "",
        changed=tuple(changed_fields(raw, shipped)) if shipped else (),
        allows=tuple(Allowed(each.text, each.level.name.lower()) for each in exposure(scc)),
        rules=msgspec.to_builtins(scc),
        access=tuple(row(grant) for grant in world.view(world.scope).grants.who_can(name, world.scope or None)),
        errors=place.errors,
    )


def _print(printer: Printer, each: Described, scc: SecurityContextConstraints) -> None:
    def say(label: str, value: str, indent: int = 0) -> None:
        printer.line(f"{' ' * indent}{label}:".ljust(_LABEL_WIDTH), value)

    printer.line("Name:".ljust(_LABEL_WIDTH), Cell(each.name, STRONG))
    if each.description:
        say("Description", each.description)
    say("Origin", each.origin + (f" (changed: {', '.join(each.changed)})" if each.changed else ""))
    place = f"{each.order} of {each.of}" if each.order else f"never tried: {'; '.join(each.errors)}"
    say(
        "Order",
        "".join(
            (place, f", after {each.after}" if each.after else "", f", before {each.before}" if each.before else "")
        ),
    )
    say("Priority", _NONE if scc.priority is None else str(scc.priority))
    say("Allows beyond restricted-v2", allows_cell(exposure(scc)) or Cell("nothing"))
    printer.line("Settings:")
    for label, value in _settings(scc):
        say(label, value, 2)
    printer.line("Access:")
    table = Table("KIND", "SUBJECT", "SCOPE", "THROUGH")
    for grant in each.access:
        table.add(grant.subject_kind, grant.subject, grant.scope, grant.through)
    printer.table(table, indent=2)


def _settings(scc: SecurityContextConstraints) -> list[tuple[str, str]]:
    user, context = scc.run_as_user, scc.se_linux_context
    options = context.se_linux_options or SELinuxOptions()
    return [
        ("Allow Privileged", _bool(scc.allow_privileged_container)),
        ("Allow Privilege Escalation", _bool(scc.allow_privilege_escalation)),
        ("Default Privilege Escalation", _bool(scc.default_allow_privilege_escalation)),
        ("Default Add Capabilities", _listed(scc.default_add_capabilities)),
        ("Required Drop Capabilities", _listed(scc.required_drop_capabilities)),
        ("Allowed Capabilities", _listed(scc.allowed_capabilities)),
        ("Allowed Seccomp Profiles", _listed(scc.seccomp_profiles)),
        ("Allowed Volume Types", _listed(scc.volumes or ())),
        ("Allow Host Directories", _bool(scc.allow_host_dir_volume_plugin)),
        ("Allowed Flexvolumes", ",".join(each.driver for each in scc.allowed_flex_volumes) or "<all>"),
        ("Allowed Unsafe Sysctls", _listed(scc.allowed_unsafe_sysctls)),
        ("Forbidden Sysctls", _listed(scc.forbidden_sysctls)),
        ("Allow Host Network", _bool(scc.allow_host_network)),
        ("Allow Host Ports", _bool(scc.allow_host_ports)),
        ("Allow Host PID", _bool(scc.allow_host_pid)),
        ("Allow Host IPC", _bool(scc.allow_host_ipc)),
        ("User Namespace Level", scc.user_namespace_level or "AllowHostLevel"),
        ("Read Only Root Filesystem", _bool(scc.read_only_root_filesystem)),
        ("Run As User", _user(user.type, user.uid, user.uid_range_min, user.uid_range_max)),
        ("SELinux Context", _context(context.type, options)),
        ("FSGroup", _groups(scc.fs_group)),
        ("Supplemental Groups", _groups(scc.supplemental_groups)),
    ]  # fmt: skip


def _bool(value: bool | None) -> str:
    return _NONE if value is None else str(value).lower()


def _listed(values: object) -> str:
    return ",".join(values) or _NONE  # type: ignore[arg-type]


def _user(strategy: str, uid: int | None, low: int | None, high: int | None) -> str:
    match strategy:
        case "MustRunAs":
            return f"{strategy}, {uid}"
        case "MustRunAsRange":
            return f"{strategy}, the namespace's" if low is None and high is None else f"{strategy}, {low}-{high}"
        case _:
            return strategy


def _context(strategy: str, options: SELinuxOptions) -> str:
    if strategy != "MustRunAs":
        return strategy
    parts = [f"{name} {value}" for name, value in msgspec.to_builtins(options).items() if value]
    return ", ".join([strategy, *parts, *(() if options.level else ("the namespace's level",))])


def _groups(strategy: GroupStrategy) -> str:
    if strategy.type != "MustRunAs":
        return strategy.type
    ranges = ",".join(f"{each.min}-{each.max}" for each in strategy.ranges)
    return f"{strategy.type}, {ranges}" if ranges else f"{strategy.type}, the namespace's"
