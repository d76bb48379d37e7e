"""`kubectl scc get`: SCCs in the order in which they are tried, and what makes each more or less restrictive."""

from collections.abc import Sequence

import click
import msgspec

from scc_operator import names
from scc_operator.audit.exposure import Level, Permission, exposure
from scc_operator.audit.lint import changed_fields as differences
from scc_operator.cli import complete, kinds
from scc_operator.cli.errors import Exit
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import BAD, FAINT, WARN, Cell, Document, Printer, Table
from scc_operator.cli.sources import Defaults, Raw
from scc_operator.cli.world import World
from scc_operator.cluster.records import Constraints
from scc_operator.engine.order import order, points, reason
from scc_operator.engine.scc import SecurityContextConstraints, SELinuxOptions, parse_scc

_DEFAULTS = Defaults()
_STYLES = {Level.NODE: BAD, Level.HIGH: WARN, Level.LOW: "", Level.MINOR: FAINT}


class Allowed(msgspec.Struct, frozen=True):
    """Something that an SCC allows beyond the baseline."""

    text: str
    level: str


class Listed(msgspec.Struct, frozen=True, rename="camel"):
    """One SCC of the list."""

    order: int
    name: str
    priority: int | None
    points: int
    origin: str
    tried_before_next_because: str
    allows: tuple[Allowed, ...]
    errors: tuple[str, ...] = ()


class SCCList(Document, kw_only=True):
    """The SCCs in order; those that cannot be evaluated have order 0 and stand at the end."""

    kind: str = "SecurityContextConstraintsOrder"
    items: tuple[Listed, ...] = ()


@click.command()
@click.argument("sccs", nargs=-1, shell_complete=complete.sccs, metavar="[SCC]...")
@with_common
def get(common: Common, sccs: tuple[str, ...]) -> int:
    """List SCCs in the order in which they are tried.

    ALLOWS tells what an SCC permits beyond restricted-v2, the furthest-reaching first: what reaches the node, what
    takes away a layer of defence, the rest. ORIGIN is default (as shipped), default* (changed), platform or custom.
    """
    printer = Printer(common)
    with World(common) as world:
        for name in sccs:
            world.scc(name)
        document = listed(world, sccs)
    if printer.emit(document, (scc_title(each.name) for each in document.items)):
        return Exit.OK
    printer.table(_table(document, world.sccs()))
    return Exit.OK


def listed(world: World, only: Sequence[str]) -> SCCList:
    """The SCCs of a world in order, or those of the given names with their place among all."""
    known = world.constraints()
    ordered = order(each.scc for each in known.values() if each.scc and not each.errors)
    following = [*ordered[1:], None][: len(ordered)]
    raws = {raw["metadata"]["name"]: raw for raw in world.objects(kinds.SCCS)}
    items = [
        Listed(
            order=place,
            name=each.name,
            priority=each.priority,
            points=points(each),
            origin=origin(raws[each.name]),
            tried_before_next_because=reason(each, after) if after else "",
            allows=tuple(Allowed(one.text, one.level.name.lower()) for one in exposure(each)),
        )
        for place, (each, after) in enumerate(zip(ordered, following, strict=True), start=1)
    ]
    items += [_broken(name, each, raws[name]) for name, each in sorted(known.items()) if each.errors]
    return SCCList(notes=tuple(world.notes), items=tuple(each for each in items if not only or each.name in only))


def _broken(name: str, known: Constraints, raw: Raw) -> Listed:
    scc = known.scc
    return Listed(0, name, scc.priority if scc else None, points(scc) if scc else 0, origin(raw), "", (), known.errors)


def origin(raw: Raw) -> str:
    """Where an SCC comes from: `default`, `default*` (a default SCC that was changed), `platform` or `custom`."""
    shipped = shipped_scc(raw["metadata"]["name"])
    if shipped is not None:
        return "default*" if changed_fields(raw, shipped) else "default"
    annotations = raw["metadata"].get("annotations") or {}
    return "platform" if any(key.startswith(names.PLATFORM_ANNOTATION) for key in annotations) else "custom"


def shipped_scc(name: str) -> Raw | None:
    """The default SCC of this name as it is shipped."""
    found = _DEFAULTS.find(kinds.SCCS, "", name)
    return found if isinstance(found, dict) else None


def changed_fields(raw: Raw, shipped: Raw) -> list[str]:
    """The fields in which a default SCC differs from what is shipped, by meaning; access lists are no part of it."""
    return list(differences(parse_scc(raw), parse_scc(shipped)))


def scc_title(name: str) -> str:
    """An SCC as `-o name` prints it."""
    return f"{names.SCC_RESOURCE}.{names.SECURITY_GROUP}/{name}"


def _table(document: SCCList, sccs: dict[str, SecurityContextConstraints]) -> Table:
    wide = ("POINTS", "HOST", "CAPS", "SECCOMP", "USER", "SELINUX", "FSGROUP", "SUPGROUP", "BEFORE NEXT")
    table = Table(
        "ORDER", "NAME", "PRIORITY", "POINTS", "USER", "SELINUX", "FSGROUP", "SUPGROUP", "HOST", "CAPS", "SECCOMP",
        "BEFORE NEXT", "ORIGIN", "ALLOWS", wide=wide,
    )  # fmt: skip
    for each in document.items:
        scc = sccs.get(each.name)
        fields = _fields(scc) if scc else ("",) * 7
        allows = Cell("; ".join(each.errors), BAD) if each.errors else allows_cell(exposure(sccs[each.name]))
        table.add(
            str(each.order) if each.order else "",
            each.name,
            "" if each.priority is None else str(each.priority),
            str(each.points),
            *fields,
            each.tried_before_next_because,
            Cell(each.origin, WARN if each.origin == "default*" else ""),
            allows,
        )
    return table


def allows_cell(permissions: tuple[Permission, ...]) -> Cell:
    """What an SCC allows, without the minor things, coloured by the worst of it."""
    told = [each for each in permissions if each.level > Level.MINOR]
    return Cell(", ".join(each.text for each in told), _STYLES[told[0].level]) if told else Cell("", FAINT)


def _fields(scc: SecurityContextConstraints) -> tuple[str, ...]:
    options = scc.se_linux_context.se_linux_options or SELinuxOptions()
    host = "".join(
        letter
        for letter, allowed in (
            ("d", scc.allow_host_dir_volume_plugin),
            ("n", scc.allow_host_network),
            ("p", scc.allow_host_pid),
            ("i", scc.allow_host_ipc),
            ("P", scc.allow_host_ports),
        )
        if allowed
    )
    capabilities = [f"+{name}" for name in scc.allowed_capabilities] + [
        f"-{name}" for name in scc.required_drop_capabilities
    ]
    return (
        scc.run_as_user.type,
        " ".join(part for part in (scc.se_linux_context.type, options.type) if part),
        scc.fs_group.type,
        scc.supplemental_groups.type,
        host,
        ",".join(capabilities),
        ",".join(scc.seccomp_profiles),
    )
