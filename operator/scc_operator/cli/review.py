"""`kubectl scc review`: which SCC the pods of manifests would get, what would be changed, what is denied and why."""

from collections.abc import Iterable, Iterator

import click
import msgspec

from scc_operator.access.subjects import Identity
from scc_operator.audit.advice import grantable
from scc_operator.audit.answer import Answer, Verdict
from scc_operator.audit.ladder import Rung, climb, grant_text
from scc_operator.audit.wording import Finding, fill_text, findings, path_text
from scc_operator.cli import complete, kinds
from scc_operator.cli.access import identity_of, parse_subject
from scc_operator.cli.errors import CLIError, Exit
from scc_operator.cli.manifests import Document as Manifest
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import BAD, FAINT, VERDICT_STYLES, Cell, Document, Printer, Table
from scc_operator.cli.workloads import Workload
from scc_operator.cli.world import World
from scc_operator.engine.errors import InvalidObject
from scc_operator.engine.judge import USER
from scc_operator.engine.namespace import NamespaceValues
from scc_operator.engine.verdict import Fill

MACHINE_FORMATS = ("junit", "sarif")
INVALID = "invalid"


class FieldProblem(msgspec.Struct, frozen=True, rename="camel"):
    """Why an SCC refuses a pod: a field, what was found and what is allowed."""

    code: str
    field: str
    found: str
    allowed: str
    scc_field: str
    line: int = 0


class Refusal(msgspec.Struct, frozen=True):
    """An SCC that may be used and refuses the pod."""

    scc: str
    problems: tuple[FieldProblem, ...]


class WouldSet(msgspec.Struct, frozen=True):
    """A value that admission would write; `where` is the container, or `pod`."""

    field: str
    where: str
    value: str


class Reviewed(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The answer for one pod template and one service account.

    Attributes:
        result: `fits`, `fits-with-defaults`, `denied`, `exempt`, `unknown`, or `invalid` for an object that is
        malformed. by: whose grant makes the SCC usable: `serviceaccount` or `user`, which is whoever creates the pod.
        via: that grant. reason: why it is denied, exempt, unknown or invalid. would_set: what admission would fill
        in. refusals: the SCCs that may be used and refuse the pod, the nearest first. would_fit: SCCs that admit the
        pod and may not be used, the least privilege first.
    """

    workload: str
    namespace: str
    service_account: str
    result: str
    scc: str = ""
    by: str = ""
    via: str = ""
    reason: str = ""
    would_set: tuple[WouldSet, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    would_fit: tuple[str, ...] = ()
    file: str = ""
    line: int = 0

    @property
    def failed(self) -> bool:
        """Whether the pod would not be admitted."""
        return self.result in {Verdict.DENIED, INVALID}

    @property
    def why(self) -> str:
        """Through which grant it gets its SCC."""
        return f"pod's creator: {self.via}" if self.by == USER else self.via

    @property
    def problem(self) -> str:
        """The one thing to say first about a workload that is not admitted."""
        if not self.refusals:
            return self.reason
        first = self.refusals[0].problems[0]
        return f"{first.field}: {first.found}, {self.refusals[0].scc} allows {first.allowed}"


class Review(Document, kw_only=True):
    """The answers, in the order of the manifests."""

    kind: str = "Review"
    items: tuple[Reviewed, ...] = ()

    @property
    def code(self) -> Exit:
        """Denied or malformed: 2; undecidable: 3."""
        if any(each.failed for each in self.items):
            return Exit.FINDINGS
        return Exit.UNDECIDED if any(each.result == Verdict.UNKNOWN for each in self.items) else Exit.OK


@click.command()
@click.argument("names", nargs=-1, metavar="[TYPE/NAME]...", shell_complete=complete.pods)
@click.option(
    "-z",
    "--serviceaccount",
    "accounts",
    multiple=True,
    shell_complete=complete.service_accounts,
    help="Ask for this service account instead of the template's; may be repeated.",
)
@click.option("-u", "--user", default="", help="Ask as if this user created the pods, not the kind's controller.")
@click.option("-g", "--group", "groups", multiple=True, help="A group that the user is in; may be repeated.")
@click.option("--uid-range", default="", metavar="START/SIZE", help="UIDs of namespaces that have no range.")
@click.option("--mcs", default="", metavar="LEVEL", help="SELinux level of namespaces that have none.")
@with_common
def review(
    common: Common, names: tuple[str, ...], accounts: tuple[str, ...], user: str, groups: tuple[str, ...],
    uid_range: str, mcs: str,
) -> int:  # fmt: skip
    """Review the pods that manifests would make: -f deploy.yaml, or helm template CHART | kubectl scc review -f -

    Every kind that holds a pod template is understood, known or not. Other objects in the files (SCCs, roles,
    bindings, SCC bindings, namespaces, service accounts) count as if they were applied. Without -f the workloads of
    the namespace are reviewed, or those that are named.

    Formats besides the usual ones: -o junit and -o sarif. Ends with 2 where something is denied, with 3 where something
    cannot be decided.
    """  # noqa: D415
    printer = Printer(common, more=MACHINE_FORMATS)
    with World(common, example=example_values(uid_range, mcs)) as world:
        requester = identity_of(parse_subject(f"user/{user}" if user else "", ""), groups) if user or groups else None
        items = tuple(reviewed(world, _wanted(world, names), accounts, requester))
        if not items:
            where = ", ".join(common.files) if common.files else f"namespace {world.scope or '(all)'} of {world.source}"
            raise CLIError(f"found no pod and no pod template in {where}")
        document = Review(items=items, notes=tuple(world.notes))
    if common.output in MACHINE_FORMATS:
        from scc_operator.cli import ci

        click.echo((ci.junit if common.output == "junit" else ci.sarif)(document.items), nl=False)
        return document.code
    if not printer.emit(document, (f"{each.workload.lower()}" for each in document.items)):
        _print(printer, document)
    return document.code


def example_values(uid_range: str, mcs: str) -> NamespaceValues | None:
    """The ranges that the user gave for namespaces without any."""
    from scc_operator.cli.world import EXAMPLE

    if not (uid_range or mcs):
        return None
    return NamespaceValues("", uid_range or EXAMPLE.uid_range, mcs or EXAMPLE.mcs, uid_range or EXAMPLE.uid_range)


def _wanted(world: World, names: tuple[str, ...]) -> list[tuple[Workload, Manifest | None]]:
    if names or not world.common.files:
        return [(each, None) for each in world.stored_workloads(names)]
    return list(world.workloads())


def reviewed(
    world: World,
    workloads: Iterable[tuple[Workload, Manifest | None]],
    accounts: Iterable[str] = (),
    requester: Identity | None = None,
) -> Iterator[Reviewed]:
    """The answers for workloads, each for its own service account or for each of those that are given."""
    found = list(workloads)
    namespaces = sorted({workload.namespace for workload, _ in found})
    if len(namespaces) > 1:
        world.need((kinds.NAMESPACES, ""))
    for workload, manifest in found:
        for account in accounts or ("",):
            yield _reviewed(world, workload, manifest, account, requester, namespaces)


def _reviewed(
    world: World,
    workload: Workload,
    manifest: Manifest | None,
    account: str,
    requester: Identity | None,
    namespaces: list[str],
) -> Reviewed:
    pod = workload.pod
    if account:
        pod = pod | {"spec": {**pod["spec"], "serviceAccountName": account, "serviceAccount": account}}
    line = manifest.line(workload.path) if manifest else 0
    file = manifest.file if manifest else ""
    try:
        prepared = world.prepare(pod)
        question = world.question(pod, requester or workload.requester)
    except (InvalidObject, AttributeError, TypeError, KeyError) as error:
        text = str(error) if isinstance(error, InvalidObject) else f"malformed: {type(error).__name__} {error}"
        return Reviewed(
            workload=workload.title, namespace=workload.namespace, service_account=account, result=INVALID, reason=text,
            file=file, line=line,
        )  # fmt: skip
    ladder = climb(world.view(*namespaces), question, world.namespace_of(workload.namespace))
    answer, chosen = ladder.answer, ladder.chosen

    def problems(rung: Rung) -> tuple[FieldProblem, ...]:
        told = findings(rung.attempt.objections, rung.provider.scc, prepared)
        return tuple(_problem(each, workload, manifest) for each in told)

    return Reviewed(
        workload=workload.title,
        namespace=workload.namespace,
        service_account=question.pod.service_account,
        result=answer.verdict.value,
        scc=answer.scc,
        by=answer.subject,
        via=grant_text(chosen.grants[0]) if chosen and chosen.grants else "",
        reason=reason_text(world, answer, question.pod.required_scc),
        would_set=tuple(would_set(fill) for fill in chosen.attempt.fills) if chosen else (),
        refusals=tuple(Refusal(rung.scc, problems(rung)) for rung in ladder.refused)
        if answer.verdict is Verdict.DENIED
        else (),
        would_fit=tuple(each.scc for each in grantable(ladder, world.sccs()))
        if answer.verdict is Verdict.DENIED
        else (),
        file=file,
        line=line,
    )


def _problem(finding: Finding, workload: Workload, manifest: Manifest | None) -> FieldProblem:
    path = (*workload.path, *finding.path)
    line = manifest.line(path) if manifest else 0
    return FieldProblem(finding.code, path_text(path), finding.found, finding.allowed, finding.term, line)


def would_set(fill: Fill) -> WouldSet:
    """A value that admission would write."""
    where = fill.place.name if fill.place else "pod"
    return WouldSet(fill.field, where, fill_text(fill).partition("=")[2])


def reason_text(world: World, answer: Answer, required: str) -> str:
    """Why there is no SCC, for people; the code alone where it says enough."""
    match answer.reason:
        case "NoUsableSCC":
            return "neither the service account nor the creator may use any SCC"
        case "RequiredSCCNotFound":
            return f"the required SCC {required} does not exist"
        case "UnusableSCC":
            broken = {name: known.errors for name, known in world.constraints().items() if known.errors}
            told = "; ".join(f"SCC {name}: {errors[0]}" for name, errors in broken.items())
            return f"an SCC cannot be evaluated, so admission would refuse every pod: {told}"
        case "NamespaceRangesMissing":
            return "the namespace has no ranges; assume some with --uid-range START/SIZE or --defaults"
        case "NamespaceRangesMalformed":
            return "the namespace's ranges are malformed; see kubectl get namespace -o yaml"
        case "NamespaceNotFound":
            return "the namespace does not exist; assume ranges with --defaults"
        case code:
            return code


# --- tables ------------------------------------------------------------------------------------------------------


def _print(printer: Printer, document: Review) -> None:
    table = Table("WORKLOAD", "NAMESPACE", "ACCOUNT", "RESULT", "SCC", "WHY", "WOULD SET")
    for each in document.items:
        style = BAD if each.result == INVALID else VERDICT_STYLES[Verdict(each.result)]
        table.add(
            each.workload,
            each.namespace,
            each.service_account,
            Cell(each.result, style),
            each.scc,
            each.why if each.scc else Cell(each.problem, style),
            _changes(each.would_set, values=printer.wide),
        )
    printer.table(table)
    for each in document.items:
        if each.failed:
            _print_denied(printer, each)


def _changes(fills: tuple[WouldSet, ...], *, values: bool) -> str:
    texts = [f"{each.field}={each.value}" if values else each.field for each in fills]
    return ", ".join(sorted(dict.fromkeys(texts)))


def _print_denied(printer: Printer, each: Reviewed) -> None:
    where = f" ({each.file}:{each.line})" if each.file else ""
    printer.line("")
    printer.line(Cell(f"{each.workload} in namespace {each.namespace} is {each.result}", BAD), Cell(where, FAINT))
    if each.reason and not each.refusals:
        printer.line(f"  {each.reason}")
    for refusal in each.refusals:
        printer.line(f"  {refusal.scc} refuses it:")
        for problem in refusal.problems:
            line = f"  ({each.file}:{problem.line})" if problem.line else ""
            text = f"    {problem.field}: {problem.found}, allowed: {problem.allowed}"
            printer.line(text, Cell(line, FAINT))
    if each.would_fit:
        printer.line(f"  would fit but may not be used: {', '.join(each.would_fit)}")
    if each.result == Verdict.DENIED:
        printer.line(f"  ways out: kubectl scc explain {explain_arguments(each)}")


def explain_arguments(each: Reviewed) -> str:
    """How to ask `explain` about the same workload."""
    return (
        f"-f {each.file} {each.workload} -n {each.namespace}"
        if each.file
        else f"{each.workload.lower()} -n {each.namespace}"
    )
