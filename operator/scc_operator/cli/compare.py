"""`kubectl scc compare A B`: is one SCC contained in the other, and what does the wider one allow in addition."""

import click
import msgspec

from scc_operator.audit.compare import Comparison, Extra, Relation
from scc_operator.audit.compare import compare as compared
from scc_operator.cli import complete, kinds
from scc_operator.cli.errors import CLIError, Exit
from scc_operator.cli.get import scc_title
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import BAD, FAINT, GOOD, STRONG, WARN, Cell, Document, Printer, Table
from scc_operator.cli.sources import Defaults
from scc_operator.cli.world import World
from scc_operator.engine.errors import InvalidObject, ProviderError
from scc_operator.engine.provider import complete as completed
from scc_operator.engine.scc import SecurityContextConstraints, parse_scc, with_defaults

_SHIPPED = "shipped/"
_WORDS = {
    Relation.EQUAL: "allows the same as",
    Relation.WIDER: "allows more than",
    Relation.NARROWER: "allows less than",
    Relation.DIFFERENT: "allows more than, and less than,",
}
_STYLES = {Relation.EQUAL: FAINT, Relation.WIDER: WARN, Relation.NARROWER: GOOD, Relation.DIFFERENT: BAD}


class ComparedField(msgspec.Struct, frozen=True, rename="camel"):
    """One constraint of both SCCs; `relation` tells how the second stands to the first."""

    field: str
    first: str
    second: str
    relation: Relation
    more_in_first: tuple[Extra, ...]
    more_in_second: tuple[Extra, ...]


class ComparedEffect(msgspec.Struct, frozen=True):
    """A field that changes results without allowing more or less."""

    field: str
    first: str
    second: str


class SCCComparison(Document, kw_only=True):
    """Two SCCs. `contained`: whatever satisfies the first as it runs is admitted under the second."""

    kind: str = "SecurityContextConstraintsComparison"
    first: str
    second: str
    namespace: str
    relation: Relation
    contained: bool
    fields: tuple[ComparedField, ...]
    effects: tuple[ComparedEffect, ...]


@click.command()
@click.argument("first", metavar="A", shell_complete=complete.sccs)
@click.argument("second", metavar="B", shell_complete=complete.sccs)
@with_common
def compare(common: Common, first: str, second: str) -> int:
    """Compare two SCCs by what they allow: is A contained in B, and what does B allow in addition.

    A and B are names of SCCs; `shipped/NAME` is a default SCC as it is shipped. With -n they are compared as they are
    in that namespace, with its IDs filled in. Only fields that differ are shown; -o wide shows all. Ends with 0 where A
    is contained in B (spellings aside), with 2 where A allows something that B does not.
    """
    printer = Printer(common)
    with World(common) as world:
        pair = _scc(world, first), _scc(world, second)
        if common.namespace:
            pair = _inside(world, pair[0], common.namespace), _inside(world, pair[1], common.namespace)
        found = compared(*pair)
        document = _document(found, first, second, common.namespace, tuple(world.notes))
    code = Exit.OK if found.relation in {Relation.EQUAL, Relation.WIDER} else Exit.FINDINGS
    if not printer.emit(document, (scc_title(each) for each in (first, second))):
        _print(printer, document, found)
    return code


def _scc(world: World, name: str) -> SecurityContextConstraints:
    if not name.startswith(_SHIPPED):
        return world.scc(name)
    raw = Defaults().find(kinds.SCCS, "", name.removeprefix(_SHIPPED))
    if not isinstance(raw, dict):
        raise CLIError(f"{name}: no default SCC of this name is shipped; see kubectl scc get --offline")
    try:
        return with_defaults(parse_scc(raw))
    except InvalidObject as error:
        raise CLIError(str(error)) from error


def _inside(world: World, scc: SecurityContextConstraints, name: str) -> SecurityContextConstraints:
    """The SCC with a namespace's values."""
    namespace = world.namespace_of(name)
    if namespace is None:
        raise CLIError(f'namespaces "{name}" not found in {world.source}; leave out -n to compare without its ranges')
    try:
        return completed(scc, namespace.values)
    except ProviderError as error:
        raise CLIError(f"{error}; leave out -n to compare without the namespace's ranges", Exit.UNDECIDED) from error


def _document(found: Comparison, first: str, second: str, namespace: str, notes: tuple[str, ...]) -> SCCComparison:
    return SCCComparison(
        first=first,
        second=second,
        namespace=namespace,
        relation=found.relation,
        contained=found.contained,
        fields=tuple(
            ComparedField(each.name, each.first, each.second, each.relation, each.more_in_first, each.more_in_second)
            for each in found.fields
        ),
        effects=tuple(ComparedEffect(each.name, each.first, each.second) for each in found.effects),
        notes=notes,
    )


def _print(printer: Printer, document: SCCComparison, found: Comparison) -> None:
    style = _STYLES[document.relation]
    printer.line(Cell(f"{document.second} {_WORDS[document.relation]} {document.first}", style))
    for title, extras in (
        (f"{document.second} allows in addition", found.more_in_second),
        (f"{document.first} allows in addition", found.more_in_first),
    ):
        real = [each.text for each in extras if not each.formal]
        formal = [each.text for each in extras if each.formal]
        for heading, texts in ((title, real), (f"{title}, as a spelling only", formal)):
            if texts:
                printer.line("")
                printer.line(Cell(f"{heading}:", STRONG))
                for text in texts:
                    printer.line(f"  - {text}")
    table = Table("FIELD", document.first.upper(), document.second.upper(), "RELATION")
    for field in document.fields:
        if printer.wide or field.relation is not Relation.EQUAL:
            table.add(field.field, field.first, field.second, Cell(field.relation, _STYLES[field.relation]))
    for effect in document.effects:
        table.add(effect.field, effect.first, effect.second, Cell("no direction", FAINT))
    if table.rows:
        printer.line("")
        printer.table(table)
