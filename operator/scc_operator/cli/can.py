"""`kubectl scc can SUBJECT`: which SCCs a user, a group or a service account may use, and through which grant."""

from collections import Counter

import click

from scc_operator.access.grants import Grant
from scc_operator.access.rbac import SERVICE_ACCOUNT, Subject
from scc_operator.access.subjects import SOMEBODY, Identity
from scc_operator.audit.view import View
from scc_operator.cli import complete
from scc_operator.cli.access import GrantRow, identity_of, parse_subject, row, used_grants
from scc_operator.cli.errors import CLIError, Exit
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import FAINT, Cell, Document, Printer, Table
from scc_operator.cli.world import ALL, World


class Can(Document, kw_only=True):
    """What a subject may use: SCCs in the order in which they are tried, with every grant of each."""

    kind: str = "Can"
    subject_kind: str
    subject: str
    groups: tuple[str, ...]
    items: tuple[GrantRow, ...] = ()


@click.command()
@click.argument("subject", default="", metavar="[SUBJECT]")
@click.option("-z", "--serviceaccount", default="", shell_complete=complete.service_accounts, help="A service account.")
@click.option("-g", "--group", "groups", multiple=True, help="A group that the user is in; may be repeated.")
@click.option("--exact-groups", is_flag=True, help="Without system:authenticated, which every user is in.")
@click.option("--usage/--no-usage", default=True, help="Count the running pods that live on each grant.")
@with_common
def can(
    common: Common, subject: str, serviceaccount: str, groups: tuple[str, ...], exact_groups: bool, usage: bool
) -> int:
    """Show which SCCs a subject may use, and through which grant.

    SUBJECT is a user, `group/NAME`, `sa/NAME` or `system:serviceaccount:NAMESPACE:NAME`. Pods of a service account may
    also use what whoever creates them may use; those lines say `pod's creator`. Ends with 2 where it may use nothing.
    """
    printer = Printer(common)
    with World(common) as world:
        meant = _subject(subject, serviceaccount, world)
        identity = identity_of(meant, groups, exact=exact_groups)
        inside = meant.namespace if meant.kind == SERVICE_ACCOUNT and not common.namespace else world.scope
        scope = ALL if common.all_namespaces else inside
        account = meant if meant.kind == SERVICE_ACCOUNT else None
        used = used_grants(world, scope, account) if usage else None
        view = world.view(scope)
        items = _rows(view, identity, scope, used, by_creator=False)
        if meant.kind == SERVICE_ACCOUNT:
            items += _rows(view, SOMEBODY, scope, used, by_creator=True)
        place = {scc.name: at for at, scc in enumerate(view.ordered)}
        items.sort(key=lambda each: (place.get(each.scc, len(place)), each.by_creator))
        document = Can(
            subject_kind=meant.kind,
            subject=f"{meant.namespace}/{meant.name}" if meant.namespace else meant.name,
            groups=identity.groups,
            items=tuple(items),
            notes=tuple(world.notes),
        )
    code = Exit.OK if document.items else Exit.FINDINGS
    if printer.emit(document, (each.scc for each in document.items)):
        return code
    if not document.items:
        printer.line(f"{meant} may use no SCC {f'in namespace {scope}' if scope else 'in any namespace'}")
        return code
    table = Table("SCC", "SCOPE", "PODS", "THROUGH")
    for each in document.items:
        through = Cell(f"pod's creator: {each.through}", FAINT) if each.by_creator else each.through
        table.add(each.scc, each.scope, each.pods_cell, through)
    printer.table(table)
    return code


def _subject(text: str, account: str, world: World) -> Subject:
    if bool(text) == bool(account):
        raise CLIError("name one subject: USER, group/NAME, sa/NAME, or -z NAME for a service account")
    return parse_subject(text or f"sa/{account}", world.namespace)


def _rows(
    view: View, identity: Identity, scope: str, used: Counter[Grant] | None, *, by_creator: bool
) -> list[GrantRow]:
    found: dict[Grant, None] = {}
    for scc in view.ordered:
        everywhere = {grant.namespace for grant in view.grants.who_can(scc.name)} | {""}
        for namespace in [scope] if scope else sorted(everywhere):
            found.update(dict.fromkeys(view.grants.paths(identity, scc.name, namespace)))
    return [row(grant, used, by_creator=by_creator, with_group=True) for grant in found]
