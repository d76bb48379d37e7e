"""`kubectl scc ranges`: namespaces with their UID blocks and labels, what is wrong there, and quarantined blocks."""

from collections import defaultdict

import click
import msgspec

from scc_operator import names
from scc_operator.allocation.census import Census, NamespaceState, namespace_state
from scc_operator.allocation.holdings import Holding, State
from scc_operator.allocation.ledger import InvalidLedger, Ledger, decode
from scc_operator.allocation.mcs import InvalidMCSRange, label_plan, parse_mcs_range
from scc_operator.allocation.namespace_ranges import read_holding
from scc_operator.allocation.problems import Problem, problems_of
from scc_operator.allocation.uid_blocks import parse_range
from scc_operator.cli import complete, kinds
from scc_operator.cli.errors import CLIError, Exit
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import BAD, FAINT, GOOD, STRONG, WARN, Cell, Document, Printer, Table
from scc_operator.cli.world import World
from scc_operator.settings import Settings

_MISSING = "missing"
_OK = "ok"
_HOLDING_STYLES = {State.CONFLICT: BAD, State.RELEASED: WARN, State.RESERVED: "", State.BOUND: GOOD}


class NamespaceRanges(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A namespace and what its pods get their identity from.

    Attributes:
        uid_range: the annotation as it stands; None where it is absent; likewise `supplemental_groups` and `mcs`.
        state: `ok`, `missing` where it has no block or no label, or the codes of what is wrong.
        problems: what is wrong, in words.
    """

    namespace: str
    uid_range: str | None
    supplemental_groups: str | None
    mcs: str | None
    state: str
    problems: tuple[str, ...]
    terminating: bool = False


class HeldBlock(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A block that no namespace has, but that is kept: quarantined, pinned, or in conflict."""

    block: str
    state: State
    namespace: str
    pinned_to: str
    released_at: int | None
    persistent_volumes: tuple[str, ...]
    message: str


class Ranges(Document, kw_only=True):
    """The blocks of a cluster.

    Attributes:
        uid_range: the range that blocks come from; `taken` of its `blocks` are taken.
        recorded: the range comes from the cluster's own ledger; else it is this program's default.
    """

    kind: str = "Ranges"
    uid_range: str
    blocks: int
    taken: int
    recorded: bool
    namespaces: tuple[NamespaceRanges, ...]
    held: tuple[HeldBlock, ...]

    @property
    def code(self) -> Exit:
        """Something is wrong or missing: 2."""
        wrong = any(each.state != _OK and not each.terminating for each in self.namespaces)
        return Exit.FINDINGS if wrong or any(each.state is State.CONFLICT for each in self.held) else Exit.OK


@click.command()
@click.argument("only", nargs=-1, metavar="[NAMESPACE]...", shell_complete=complete.namespaces)
@with_common
def ranges(common: Common, only: tuple[str, ...]) -> int:
    """Show every namespace with its UID block, SELinux label and groups, and what is wrong with them.

    Blocks that are kept although no namespace has them follow: those of deleted namespaces in quarantine, those that an
    administrator pinned, and conflicts. Ends with 2 where something is wrong.
    """
    printer = Printer(common)
    with World(common) as world:
        document = _ranges(world, {*only, *([common.namespace] if common.namespace else [])})
    if not printer.emit(document, (f"namespace/{each.namespace}" for each in document.namespaces)):
        _print(printer, document)
    return document.code


def _ranges(world: World, only: set[str]) -> Ranges:
    world.need((kinds.NAMESPACES, ""), (kinds.RANGES, ""), (kinds.NAMESPACE_RANGES, ""))
    raws = world.objects(kinds.NAMESPACES)
    known = {raw["metadata"]["name"] for raw in raws}
    if missing := sorted(only - known):
        raise CLIError(f'namespaces "{missing[0]}" not found in {world.source}')
    states = [
        namespace_state(
            raw["metadata"]["name"],
            raw["metadata"].get("uid", ""),
            raw["metadata"].get("annotations") or {},
            "Terminating" if raw["metadata"].get("deletionTimestamp") else (raw.get("status") or {}).get("phase", ""),
        )
        for raw in raws
    ]
    ledger, recorded = _ledger(world)
    settings = Settings()
    try:
        labels = label_plan(parse_mcs_range(settings.mcs_range), ledger.uid_range, settings.mcs_labels_per_project)
    except InvalidMCSRange as error:
        raise CLIError(f"the blocks of {ledger.uid_range} cannot be told by their labels: {error}") from error
    census = Census(ledger, labels, states)
    found: defaultdict[str, list[Problem]] = defaultdict(list)
    for entry in census.entries:
        found[entry.state.name] = sorted(problems_of(census, entry, None))
    wanted = [state for state in sorted(states, key=lambda state: state.name) if not only or state.name in only]
    return Ranges(
        uid_range=str(ledger.uid_range),
        blocks=ledger.uid_range.count,
        taken=ledger.uid_range.count - census.ledger.free,
        recorded=recorded,
        namespaces=tuple(_namespace(state, found[state.name]) for state in wanted),
        held=tuple(_held(each) for each in _holdings(world) if not only or {each.namespace, each.pinned_to} & only),
        notes=tuple(world.notes),
    )


def _ledger(world: World) -> tuple[Ledger, bool]:
    """The cluster's ledger; an empty one of the default range where there is none."""
    found = [raw for raw in world.optional(kinds.RANGES) or () if raw["metadata"]["name"] == names.RANGE_NAME]
    if found:
        try:
            return decode(found[0]), True
        except InvalidLedger as error:
            world.note(str(error))
    return Ledger(parse_range(Settings().uid_range)), False


def _holdings(world: World) -> list[Holding]:
    """The blocks that are kept although no namespace has them, in the order of the blocks."""
    holdings = (read_holding(raw) for raw in world.optional(kinds.NAMESPACE_RANGES) or ())
    return sorted((each for each in holdings if each and each.state is not State.BOUND), key=lambda each: each.block)


def _namespace(state: NamespaceState, problems: list[Problem]) -> NamespaceRanges:
    codes = ",".join(dict.fromkeys(problem.code for problem in problems))
    missing = state.uid_range is None or state.mcs is None
    return NamespaceRanges(
        namespace=state.name,
        uid_range=state.uid_range,
        supplemental_groups=state.groups,
        mcs=state.mcs,
        state=codes or (_MISSING if missing else _OK),
        problems=tuple(problem.message for problem in problems),
        terminating=state.terminating,
    )


def _held(holding: Holding) -> HeldBlock:
    return HeldBlock(
        block=str(holding.block),
        state=holding.state,
        namespace=holding.namespace,
        pinned_to=holding.pinned_to,
        released_at=holding.released_at,
        persistent_volumes=holding.volumes,
        message=holding.message,
    )


def _print(printer: Printer, document: Ranges) -> None:
    table = Table("NAMESPACE", "UIDS", "LABEL", "GROUPS", "STATE", wide=("GROUPS",))
    for each in document.namespaces:
        style = FAINT if each.terminating else GOOD if each.state == _OK else WARN if each.state == _MISSING else BAD
        state = f"{each.state}, terminating" if each.terminating else each.state
        table.add(
            each.namespace, each.uid_range or "", each.mcs or "", each.supplemental_groups or "", Cell(state, style)
        )
    printer.table(table)
    for text in (problem for each in document.namespaces for problem in each.problems):
        printer.line("")
        printer.line(Cell(text, BAD))
    if document.held:
        printer.line("")
        printer.line(Cell("Blocks that no namespace has, and that are kept", STRONG))
        held = Table("UIDS", "STATE", "NAMESPACE", "PINNED TO", "VOLUMES", "WHY")
        for block in document.held:
            state = Cell(block.state, _HOLDING_STYLES[block.state])
            held.add(
                block.block, state, block.namespace, block.pinned_to, ",".join(block.persistent_volumes), block.message
            )
        printer.table(held)
    printer.line("")
    origin = "" if document.recorded else " (the default: no ledger is recorded in the cluster)"
    printer.line(f"{document.taken} of {document.blocks} blocks of {document.uid_range} are taken{origin}")
