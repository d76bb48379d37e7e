"""`kubectl scc who-can use SCC`: who may use an SCC, with the path of each grant, and which grants nothing uses."""

import click

from scc_operator.cli import complete
from scc_operator.cli.access import GrantRow, row, used_grants
from scc_operator.cli.errors import CLIError, Exit
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import FAINT, Cell, Document, Printer, Table
from scc_operator.cli.world import World


class WhoCan(Document, kw_only=True):
    """Who may use an SCC: superusers, its own users and groups, cluster-wide bindings, bindings of namespaces."""

    kind: str = "WhoCan"
    scc: str
    items: tuple[GrantRow, ...] = ()


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[use] SCC", shell_complete=complete.sccs)
@click.option("--usage/--no-usage", default=True, help="Count the running pods that live on each grant.")
@with_common
def who_can(common: Common, words: tuple[str, ...], usage: bool) -> int:
    """Show who may use an SCC, and through which grant.

    Grants that hold in the namespace are shown, cluster-wide ones included; -A shows those of all namespaces. Groups
    are not resolved to members. PODS counts the running pods that get this SCC through the grant; `unused` is a grant
    that could go.
    """
    printer = Printer(common)
    name = _scc_of(words)
    with World(common) as world:
        scope = world.scope
        world.scc(name)
        used = used_grants(world, scope) if usage else None
        grants = world.view(scope).grants.who_can(name, scope or None)
        document = WhoCan(scc=name, items=tuple(row(grant, used) for grant in grants), notes=tuple(world.notes))
    if printer.emit(document, (f"{each.subject_kind.lower()}/{each.subject}" for each in document.items)):
        return Exit.OK
    table = Table("KIND", "SUBJECT", "SCOPE", "PODS", "THROUGH")
    for each in document.items:
        style = FAINT if each.kind == "superuser" else ""
        table.add(Cell(each.subject_kind, style), Cell(each.subject, style), each.scope, each.pods_cell, each.through)
    printer.table(table)
    return Exit.OK


def _scc_of(words: tuple[str, ...]) -> str:
    """The SCC of `use SCC`, `use scc SCC`, `use scc/SCC` or just `SCC`."""
    rest = [word for word in words if word not in {"use", "scc"}] or list(words[-1:])
    if len(rest) != 1:
        raise CLIError(f"expected one SCC, found {len(rest)}: {' '.join(rest)}; write kubectl scc who-can use SCC")
    return rest[0].removeprefix("scc/")
