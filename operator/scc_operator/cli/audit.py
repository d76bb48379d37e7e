"""`kubectl scc audit`: the running pods by SCC, verdict and namespace; `--lint` looks at the SCC objects themselves."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

import click
import msgspec

from scc_operator import names
from scc_operator.audit.answer import Answer, Verdict
from scc_operator.audit.lint import Severity
from scc_operator.audit.lint import lint as linted
from scc_operator.cli import kinds
from scc_operator.cli.audit_pods import Running, State, running
from scc_operator.cli.errors import CLIError, Exit
from scc_operator.cli.get import scc_title
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import BAD, FAINT, STRONG, VERDICT_STYLES, WARN, Cell, Document, Printer, Table
from scc_operator.cli.sources import Defaults
from scc_operator.cli.world import World
from scc_operator.engine.errors import InvalidObject
from scc_operator.engine.scc import SecurityContextConstraints, parse_scc

GROUPINGS = ("scc", "verdict", "namespace", "workload")
_WRITTEN = dict(enumerate(names.POD_ANNOTATIONS))
_SEVERITY_STYLES = {Severity.ERROR: BAD, Severity.WARNING: WARN, Severity.INFO: FAINT}


class AuditedWorkload(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Pods of one workload that have the same answer.

    Attributes:
        pods: how many.
        pod: one of them.
        carries: the SCC that stands on the pods, where it is another one than today's.
        from_annotations: the operator wrote the answer on the pods; else it was computed now.
    """

    namespace: str
    workload: str
    pods: int
    pod: str
    verdict: Verdict
    scc: str = ""
    reason: str = ""
    would_set: tuple[str, ...] = ()
    carries: str = ""
    from_annotations: bool = False


class Audit(Document, kw_only=True):
    """The running pods of a scope."""

    kind: str = "Audit"
    scope: str
    pods: int
    verdicts: dict[str, int]
    sccs: dict[str, int]
    items: tuple[AuditedWorkload, ...] = ()

    @property
    def code(self) -> Exit:
        """Denied: 2; undecidable: 3."""
        if Verdict.DENIED in self.verdicts:
            return Exit.FINDINGS
        return Exit.UNDECIDED if Verdict.UNKNOWN in self.verdicts else Exit.OK


class LintFinding(msgspec.Struct, frozen=True):
    """Something wrong with an SCC, and what repairs it."""

    code: str
    severity: str
    scc: str
    field: str
    text: str
    commands: tuple[str, ...]


class LintReport(Document, kw_only=True):
    """What is wrong with the SCC objects."""

    kind: str = "SecurityContextConstraintsLint"
    items: tuple[LintFinding, ...] = ()

    @property
    def code(self) -> Exit:
        """Findings that matter: 2."""
        return Exit.FINDINGS if any(each.severity != Severity.INFO.name.lower() for each in self.items) else Exit.OK


@click.command()
@click.option("--by", default="scc", type=click.Choice(GROUPINGS), help="What a line stands for.")
@click.option("--computed", is_flag=True, help="Judge every pod now, also where the operator wrote its answer on it.")
@click.option("--lint", is_flag=True, help="Look at the SCC objects instead of the pods.")
@with_common
def audit(common: Common, by: str, computed: bool, lint: bool) -> int:
    """Show what the running pods of a namespace (-A: of all) run under.

    Answers that the operator wrote on the pods are shown as they are; pods without are judged on the spot. Ends with 2
    where a pod is denied, with 3 where one cannot be judged.

    With --lint the SCCs themselves are checked for mistakes that no schema refuses, each with the command that repairs
    it; that ends with 2 where something was found.
    """
    printer = Printer(common)
    with World(common) as world:
        if lint:
            report = _lint(world)
            if not printer.emit(report, (scc_title(each.scc) for each in report.items)):
                _print_lint(printer, report)
            return report.code
        document = _audit(world, computed=computed)
    titles = (f"{each.workload.lower()}" for each in document.items)
    if not printer.emit(document, titles):
        _TABLES[by](printer, document)
        _print_trouble(printer, document)
    return document.code


# --- pods ----------------------------------------------------------------------------------------------------------


def _audit(world: World, *, computed: bool) -> Audit:
    state = running(world, world.scope)
    groups: defaultdict[tuple[str, str, Answer, str, bool], list[Running]] = defaultdict(list)
    answers: dict[object, Answer] = {}
    for pod in state.pods:
        written = None if computed else _written(pod)
        answer = written or _answer(state, pod, answers)
        standing = pod.record.written[0] or ""
        carries = standing if standing != answer.scc else ""
        groups[pod.namespace, pod.workload, answer, carries, written is not None].append(pod)
    items = [
        AuditedWorkload(
            namespace=namespace,
            workload=workload,
            pods=len(pods),
            pod=pods[0].name,
            verdict=answer.verdict,
            scc=answer.scc,
            reason=answer.reason,
            would_set=answer.would_set,
            carries=carries,
            from_annotations=written,
        )
        for (namespace, workload, answer, carries, written), pods in groups.items()
    ]
    items.sort(key=lambda each: (each.namespace, each.workload, each.verdict, each.scc, each.reason))
    open_questions = sum(each.pods for each in items if not each.from_annotations)
    if not computed and 0 < open_questions < len(state.pods):
        world.note(f"{open_questions} of {len(state.pods)} pods carry no answer of the operator yet: judged now")
    return Audit(
        scope=world.scope,
        pods=len(state.pods),
        verdicts=_count(items, lambda each: each.verdict.value),
        sccs=_count((each for each in items if each.scc), lambda each: each.scc),
        items=tuple(items),
        notes=tuple(world.notes),
    )


def _count(items: Iterable[AuditedWorkload], key: Callable[[AuditedWorkload], str]) -> dict[str, int]:
    counter: Counter[str] = Counter()
    for each in items:
        counter[key(each)] += each.pods
    return dict(sorted(counter.items()))


def _written(pod: Running) -> Answer | None:
    """The answer that the operator wrote on a pod; None where there is none."""
    found = {_WRITTEN[at]: value for at, value in enumerate(pod.record.written)}
    verdict = found[names.VERDICT]
    if verdict not in set(Verdict):
        return None
    return Answer(
        Verdict(verdict),
        (found[names.WOULD_MATCH] or found[names.SCC_ANNOTATION] or "") if verdict != Verdict.UNKNOWN else "",
        would_set=tuple(filter(None, (found[names.WOULD_SET] or "").split(","))),
        reason=found[names.REASON] or "",
    )


def _answer(state: State, pod: Running, answers: dict[object, Answer]) -> Answer:
    question = pod.record.question
    if question is None:
        return Answer(Verdict.UNKNOWN, reason="UnreadablePod")
    if question not in answers:
        # Whose right it is does not matter here, and the operator does not write it down.
        found = state.view.answer(question, state.namespace(question.namespace))
        answers[question] = msgspec.structs.replace(found, subject="")
    return answers[question]


# --- SCCs ----------------------------------------------------------------------------------------------------------


def shipped_sccs() -> dict[str, SecurityContextConstraints]:
    """The default SCCs as they are shipped, by name, before defaulting."""
    raws = Defaults().read([(kinds.SCCS, "")])[0]
    return {raw["metadata"]["name"]: parse_scc(raw) for raw in raws} if isinstance(raws, list) else {}


def _lint(world: World) -> LintReport:
    written: dict[str, SecurityContextConstraints] = {}
    for raw in world.objects(kinds.SCCS):
        try:
            written[raw["metadata"]["name"]] = parse_scc(raw)
        except InvalidObject as error:
            world.note(str(error))
    if not written:
        raise CLIError(f"{world.source} has no SecurityContextConstraints to look at")
    errors = {name: known.errors for name, known in world.constraints().items() if known.errors}
    found = linted(written, errors, shipped_sccs(), world.view())
    items = tuple(
        LintFinding(each.code, each.severity.name.lower(), each.scc, each.field, each.text, each.commands)
        for each in found
    )
    return LintReport(items=items, notes=tuple(world.notes))


def _print_lint(printer: Printer, report: LintReport) -> None:
    if not report.items:
        printer.line("nothing found")
    for at, each in enumerate(report.items):
        if at:
            printer.line("")
        style = _SEVERITY_STYLES[Severity[each.severity.upper()]]
        field = f", {each.field}" if each.field else ""
        printer.line(Cell(f"{each.severity} {each.code}", style), ": SCC ", Cell(each.scc, STRONG), field)
        printer.line(f"  {each.text}")
        for command in each.commands:
            printer.block(command)


# --- tables --------------------------------------------------------------------------------------------------------


def _verdict(verdict: Verdict) -> Cell:
    return Cell(verdict.value, VERDICT_STYLES[verdict])


def _by_scc(printer: Printer, document: Audit) -> None:
    table = Table("SCC", "VERDICT", "PODS", "WORKLOADS", "NAMESPACES")
    groups: defaultdict[tuple[str, Verdict], list[AuditedWorkload]] = defaultdict(list)
    for each in document.items:
        groups[each.scc, each.verdict].append(each)
    for (scc, verdict), items in sorted(groups.items(), key=lambda item: (not item[0][0], item[0])):
        table.add(scc, _verdict(verdict), *_counts(items))
    printer.table(table)


def _counts(items: list[AuditedWorkload]) -> tuple[str, str, str]:
    workloads = {(each.namespace, each.workload) for each in items}
    return str(sum(each.pods for each in items)), str(len(workloads)), str(len({each.namespace for each in items}))


def _by_verdict(printer: Printer, document: Audit) -> None:
    table = Table("VERDICT", "REASON", "WOULD SET", "PODS", "WORKLOADS", "NAMESPACES")
    groups: defaultdict[tuple[Verdict, str, str], list[AuditedWorkload]] = defaultdict(list)
    for each in document.items:
        groups[each.verdict, each.reason, ",".join(each.would_set)].append(each)
    for (verdict, reason, would_set), items in sorted(groups.items()):
        table.add(_verdict(verdict), reason, would_set, *_counts(items))
    printer.table(table)


def _by_namespace(printer: Printer, document: Audit) -> None:
    table = Table("NAMESPACE", "PODS", *(verdict.value.upper() for verdict in Verdict), "SCCS")
    groups: defaultdict[str, list[AuditedWorkload]] = defaultdict(list)
    for each in document.items:
        groups[each.namespace].append(each)
    for namespace, items in sorted(groups.items()):
        pods = _count(items, lambda each: each.verdict.value)
        cells = (Cell(str(pods[verdict]), VERDICT_STYLES[verdict]) if verdict in pods else "" for verdict in Verdict)
        sccs = sorted({each.scc for each in items if each.scc})
        table.add(namespace, str(sum(pods.values())), *cells, ",".join(sccs))
    printer.table(table)


def _by_workload(printer: Printer, document: Audit) -> None:
    table = Table(
        "NAMESPACE", "WORKLOAD", "PODS", "VERDICT", "SCC", "CARRIES", "REASON", "WOULD SET", wide=("WOULD SET",)
    )
    for each in document.items:
        table.add(
            each.namespace, each.workload, str(each.pods), _verdict(each.verdict), each.scc, Cell(each.carries, WARN),
            each.reason, ",".join(each.would_set),
        )  # fmt: skip
    printer.table(table)


_TABLES: dict[str, Callable[[Printer, Audit], None]] = {
    "scc": _by_scc,
    "verdict": _by_verdict,
    "namespace": _by_namespace,
    "workload": _by_workload,
}


def _print_trouble(printer: Printer, document: Audit) -> None:
    """What to look at first: pods that would not be admitted, and pods whose SCC has changed since."""
    if not document.items:
        printer.line(f"no running pods in {f'namespace {document.scope}' if document.scope else 'any namespace'}")
    denied = [each for each in document.items if each.verdict is Verdict.DENIED]
    drifted = [each for each in document.items if each.carries and each.scc]
    if denied:
        printer.line("")
        printer.line(Cell("Denied: no SCC that they may use admits them", BAD))
    for each in denied:
        explain = f"kubectl scc explain pod/{each.pod} -n {each.namespace}"
        printer.line(f"  {each.namespace}/{each.workload} ({_pods(each.pods)}): {each.reason}; {explain}")
    if drifted:
        printer.line("")
        printer.line(Cell("Changed: these would get another SCC than the one that they carry", WARN))
    for each in drifted:
        printer.line(f"  {each.namespace}/{each.workload} ({_pods(each.pods)}): {each.carries}, now {each.scc}")


def _pods(count: int) -> str:
    return f"{count} pod{'s' if count > 1 else ''}"
