"""`kubectl scc explain`: why a pod gets its SCC or none, and the fix that costs least privilege."""

import shlex
from typing import Any

import click
import msgspec

from scc_operator import names
from scc_operator.audit.advice import Advice, Change, GrantAdvice, NewSCC, advise
from scc_operator.audit.answer import Verdict
from scc_operator.audit.exposure import Level, Permission, cost
from scc_operator.audit.ladder import Ladder, Rung, climb, grant_text
from scc_operator.audit.minimal import manifest
from scc_operator.audit.wording import findings, path_text
from scc_operator.cli import complete, kinds
from scc_operator.cli.access import identity_of, parse_subject
from scc_operator.cli.errors import CLIError, Exit
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import BAD, FAINT, GOOD, STRONG, WARN, Cell, Document, Printer, Table, to_yaml
from scc_operator.cli.review import FieldProblem, WouldSet, example_values, reason_text, would_set
from scc_operator.cli.workloads import Workload
from scc_operator.cli.world import World
from scc_operator.cluster.records import Question
from scc_operator.engine.errors import InvalidObject
from scc_operator.engine.judge import SERVICE_ACCOUNT
from scc_operator.engine.order import reason
from scc_operator.engine.scc import with_defaults

_MAY_USE = {SERVICE_ACCOUNT: "account", "user": "creator"}


class Candidate(msgspec.Struct, frozen=True, rename="camel"):
    """One SCC of the ladder.

    Attributes:
        usable_by: `serviceaccount`, `user` (whoever creates the pod) or empty.
        through: the grants of that identity.
        problems: every field that it refuses; empty where the pod fits.
    """

    order: int
    scc: str
    usable_by: str
    through: tuple[str, ...]
    fits: bool
    wins: bool
    problems: tuple[FieldProblem, ...]
    before_next: str


class WayOut(msgspec.Struct, frozen=True, rename="camel"):
    """One way to get the pod admitted.

    Attributes:
        kind: `change-pod`, `grant` or `new-scc`.
        recommended: it costs least privilege, and nothing that the application asked for.
        text: what to do, in a sentence.
        costs: what it gives away, or takes from the application.
        commands: ready to run.
        manifest: ready to apply before the commands; empty where there is nothing to apply.
    """

    kind: str
    recommended: bool
    text: str
    costs: tuple[str, ...]
    commands: tuple[str, ...]
    manifest: str = ""


class Explanation(Document, kw_only=True):
    """The answer for one pod, with every candidate in the order in which they are tried."""

    kind: str = "Explanation"
    workload: str
    namespace: str
    service_account: str
    creator: str
    verdict: str
    scc: str
    reason: str
    nearest: str
    """The SCC that may be used and comes nearest to admitting a pod that is denied."""
    recorded: str
    """The SCC that stands on a running pod."""
    would_set: tuple[WouldSet, ...]
    candidates: tuple[Candidate, ...]
    why_not: tuple[str, ...]
    ways_out: tuple[WayOut, ...]


@click.command()
@click.argument("name", default="", metavar="[TYPE/NAME]", shell_complete=complete.pods)
@click.option("--scc", "expected", default="", shell_complete=complete.sccs, help="The SCC that you expected.")
@click.option("-z", "--serviceaccount", default="", shell_complete=complete.service_accounts, help="As this account.")
@click.option("-u", "--user", default="", help="As if this user created the pod.")
@click.option("-g", "--group", "groups", multiple=True, help="A group that the user is in; may be repeated.")
@click.option("--uid-range", default="", metavar="START/SIZE", help="UIDs of a namespace that has no range.")
@click.option("--mcs", default="", metavar="LEVEL", help="SELinux level of a namespace that has none.")
@with_common
def explain(
    common: Common, name: str, expected: str, serviceaccount: str, user: str, groups: tuple[str, ...],
    uid_range: str, mcs: str,
) -> int:  # fmt: skip
    """Explain a pod's SCC: explain pod/NAME, explain deployment/NAME, or explain -f FILE [KIND/NAME].

    Every SCC is shown in the order in which they are tried: whether it may be used and through which grant, and the
    first field that it refuses. For a pod that is denied the ways out follow, cheapest in privilege first: each was
    proven by asking the same engine again. Ends with 2 for denied, 3 for undecidable.
    """
    printer = Printer(common)
    with World(common, example=example_values(uid_range, mcs)) as world:
        workload = _workload(world, name)
        if serviceaccount:
            workload = _as_account(workload, serviceaccount)
        requester = identity_of(parse_subject(f"user/{user}", ""), groups) if user else workload.requester
        try:
            question = world.question(workload.pod, requester)
        except InvalidObject as error:
            raise CLIError(str(error), Exit.FINDINGS) from error
        if expected:
            world.scc(expected)
        document = _explained(world, workload, question, expected)
    code = {Verdict.DENIED: Exit.FINDINGS, Verdict.UNKNOWN: Exit.UNDECIDED}.get(Verdict(document.verdict), Exit.OK)
    if not printer.emit(document, [document.scc] if document.scc else []):
        _print(printer, document)
    return code


def _workload(world: World, name: str) -> Workload:
    if not world.common.files:
        if not name:
            raise CLIError("name a pod or a workload (pod/NAME, deployment/NAME), or a manifest with -f FILE")
        name = name if "/" in name else f"pod/{name}"
        return world.stored_workloads([name])[0]
    found = [each for each, _ in world.workloads() if not name or each.title.lower() == name.lower()]
    if len(found) != 1:
        titles = ", ".join(each.title for each, _ in world.workloads()) or "none"
        which = f"{name!r} is" if name else "the pod template to explain is"
        raise CLIError(f"{which} not clear: the files hold {titles}; add one KIND/NAME")
    return found[0]


def _as_account(workload: Workload, account: str) -> Workload:
    spec = {**workload.pod["spec"], "serviceAccountName": account, "serviceAccount": account}
    return msgspec.structs.replace(workload, pod={**workload.pod, "spec": spec})


def _explained(world: World, workload: Workload, question: Question, expected: str) -> Explanation:
    namespace = world.namespace_of(workload.namespace)
    ladder = climb(world.view(workload.namespace), question, namespace)
    prepared = world.prepare(workload.pod)
    ways: tuple[WayOut, ...] = ()
    if ladder.answer.verdict is Verdict.DENIED and namespace is not None and ladder.rungs:
        name = f"{workload.namespace}-{question.pod.service_account}"
        advice = advise(ladder, workload.pod, namespace.values, world.sccs(), new_name=name, prepare=world.prepare)
        ways = _ways_out(world, workload, question, advice)
    chosen = ladder.chosen
    recorded = (workload.pod["metadata"].get("annotations") or {}).get(names.SCC_ANNOTATION, "")
    return Explanation(
        workload=workload.title,
        namespace=workload.namespace,
        service_account=question.pod.service_account,
        creator=question.requester.name or "any authenticated user",
        verdict=ladder.answer.verdict.value,
        scc=ladder.answer.scc,
        reason=reason_text(world, ladder.answer, question.pod.required_scc),
        nearest=ladder.refused[0].scc if ladder.answer.verdict is Verdict.DENIED and ladder.refused else "",
        recorded=recorded if workload.kind == "Pod" else "",
        would_set=tuple(would_set(fill) for fill in chosen.attempt.fills) if chosen else (),
        candidates=tuple(_candidate(rung, ladder, workload, prepared) for rung in ladder.rungs),
        why_not=tuple(_why_not(ladder, expected, workload, prepared)),
        ways_out=ways,
        notes=tuple(world.notes),
    )


def _candidate(rung: Rung, ladder: Ladder, workload: Workload, prepared: Any) -> Candidate:
    return Candidate(
        order=rung.position,
        scc=rung.scc,
        usable_by=rung.usable_by,
        through=tuple(grant_text(grant) for grant in rung.grants),
        fits=rung.fits,
        wins=rung is ladder.chosen,
        problems=_problems(rung, workload, prepared),
        before_next=rung.before_next,
    )


def _problems(rung: Rung, workload: Workload, prepared: Any) -> tuple[FieldProblem, ...]:
    return tuple(
        FieldProblem(each.code, path_text((*workload.path, *each.path)), each.found, each.allowed, each.term)
        for each in findings(rung.attempt.objections, rung.provider.scc, prepared)
    )


def _why_not(ladder: Ladder, expected: str, workload: Workload, prepared: Any) -> list[str]:
    """Why not the SCC that was expected; where none was named, those that lose although they may be used and fit."""
    chosen = ladder.chosen
    losers = [rung for rung in ladder.rungs if rung.wins and rung is not chosen]
    wanted = [rung for rung in ladder.rungs if rung.scc == expected] if expected else losers if chosen else []
    return [_why_not_this(rung, chosen, workload, prepared) for rung in wanted]


def _why_not_this(rung: Rung, chosen: Rung | None, workload: Workload, prepared: Any) -> str:
    if rung is chosen:
        return f"{rung.scc} is what it gets"
    texts = []
    if not rung.fits:
        first = _problems(rung, workload, prepared)[0]
        texts.append(f"it refuses {first.field} ({first.found}, allowed: {first.allowed})")
    if not rung.usable_by:
        texts.append("neither the service account nor the creator may use it")
    if not texts and chosen is not None:
        why = reason(chosen.provider.scc, rung.provider.scc)
        return (
            f"not {rung.scc}: it fits and may be used, but {chosen.scc} is tried first ({why}) and fits too; "
            f"to insist, annotate the pod with {names.REQUIRED_SCC}: {rung.scc}"
        )
    return f"not {rung.scc}: {', and '.join(texts)}"


# --- ways out ----------------------------------------------------------------------------------------------------


def _ways_out(world: World, workload: Workload, question: Question, advice: Advice) -> tuple[WayOut, ...]:
    changes = advice.pod
    harmless = changes is not None and not changes.loses
    grant_is_cheaper = (
        advice.grant is not None
        and advice.new is not None
        and cost(world.sccs()[advice.grant.scc]) <= cost(with_defaults(advice.new.scc))
    )
    ways: list[WayOut] = []
    if changes is not None:
        text = f"change the pod so that {changes.scc}, which it may use, admits it"
        costs = tuple(_change_text(each, workload) for each in changes.changes)
        patch = changes.json_patch(workload.pod, workload.path)
        ways.append(
            WayOut("change-pod", harmless, text, costs, _patch_commands(world, workload, patch), _patch_file(patch))
        )
    grants = [_grant_way(world, question, advice.grant, not harmless and grant_is_cheaper)] if advice.grant else []
    news = [_new_way(world, question, advice.new, not harmless and not grant_is_cheaper)] if advice.new else []
    return (*ways, *(grants + news if grant_is_cheaper else news + grants))


def _change_text(change: Change, workload: Workload) -> str:
    moved = msgspec.structs.replace(change, path=(*workload.path, *change.path))
    return f"{moved}: {'LOSES: ' if change.loses else ''}{change.effect}"


def _patch_commands(world: World, workload: Workload, patch: list[dict[str, Any]]) -> tuple[str, ...]:
    if world.common.files:
        return ()
    if workload.kind == "Pod":
        owner = next(
            (each for each in workload.raw["metadata"].get("ownerReferences") or () if each.get("controller")), None
        )
        if owner is None:
            return ("# a pod's security context cannot be changed: delete it and create it anew with these changes",)
        return (
            f"kubectl scc explain {owner['kind'].lower()}/{owner['name']} -n {workload.namespace}  # made this pod",
        )
    text = shlex.quote(msgspec.json.encode(patch).decode())
    return (f"kubectl patch {workload.title.lower()} -n {workload.namespace} --type=json -p {text}",)


def _patch_file(patch: list[dict[str, Any]]) -> str:
    return to_yaml(patch)


def _grant_way(world: World, question: Question, grant: GrantAdvice, recommended: bool) -> WayOut:
    account = f"service account {question.pod.service_account}"
    costs = [f"allows beyond restricted-v2: {_allowed(grant.allows)}"]
    if grant.takes_over:
        costs.append(f"{grant.scc} is tried before what the account uses now: its other pods may change to it")
    command = grant_command(world, grant.scc, question.pod.service_account, question.namespace)
    costs += _shared_account(question)
    return WayOut("grant", recommended, f"let {account} use {grant.scc}, which admits it", tuple(costs), (command,))


def _new_way(world: World, question: Question, new: NewSCC, recommended: bool) -> WayOut:
    costs = (f"allows beyond restricted-v2: {_allowed(new.allows)}", *_shared_account(question))
    command = grant_command(world, new.scc.name, question.pod.service_account, question.namespace)
    text = "create the smallest SCC that admits it, for this service account alone"
    return WayOut("new-scc", recommended, text, costs, (command,), to_yaml(manifest(new.scc)))


def _shared_account(question: Question) -> list[str]:
    if question.pod.service_account != "default":
        return []
    return ["default is the account of all pods that name none: give this workload a service account of its own first"]


def _allowed(permissions: tuple[Permission, ...]) -> str:
    return ", ".join(each.text for each in permissions if each.level > Level.MINOR) or "nothing"


def grant_command(world: World, scc: str, account: str, namespace: str) -> str:
    """The command that lets a service account use an SCC, the way that works in this cluster."""
    verb = "grant" if world.serves(kinds.SCC_BINDINGS) else "add-scc-to-user"
    return f"kubectl scc {verb} {scc} -z {account} -n {namespace}"


# --- text --------------------------------------------------------------------------------------------------------


def _print(printer: Printer, document: Explanation) -> None:
    style = {Verdict.DENIED: BAD, Verdict.UNKNOWN: WARN}.get(Verdict(document.verdict), GOOD)
    printer.line(Cell(document.workload, STRONG), f" in namespace {document.namespace}")
    printer.line(f"  service account: {document.service_account}")
    printer.line(f"  created by:      {document.creator}")
    answer = f"{document.scc} ({document.verdict})" if document.scc else document.verdict
    why = _why_denied(document) or document.reason
    printer.line("  answer:          ", Cell(answer, style), f": {why}" if why else "")
    if document.recorded and document.recorded != document.scc:
        printer.line("  ", Cell(f"the pod carries {document.recorded}: its answer has changed since", WARN))
    if document.would_set:
        printer.line(f"  would set:       {', '.join(_fills(document.would_set))}")
    if document.candidates:
        printer.line("")
        printer.table(_table(document))
    for text in document.why_not:
        printer.line("")
        printer.line(text)
    for at, way in enumerate(document.ways_out, start=1):
        printer.line("")
        _print_way(printer, at, way)


def _why_denied(document: Explanation) -> str:
    nearest = next((each for each in document.candidates if each.scc == document.nearest), None)
    if nearest is None:
        return ""
    first = nearest.problems[0]
    return f"{nearest.scc} comes nearest, and allows {first.allowed} for {first.field}, not {first.found}"


def _fills(fills: tuple[WouldSet, ...]) -> list[str]:
    """Each value once, whatever the number of containers."""
    return list(dict.fromkeys(f"{each.field}={each.value}" for each in fills))


def _table(document: Explanation) -> Table:
    table = Table("ORDER", "SCC", "MAY USE", "THROUGH", "FITS", "FIRST PROBLEM", "BEFORE NEXT", wide=("BEFORE NEXT",))
    for each in document.candidates:
        first = each.problems[0] if each.problems else None
        more = f" (+{len(each.problems) - 1})" if len(each.problems) > 1 else ""
        table.add(
            str(each.order),
            Cell(each.scc, GOOD if each.wins else ""),
            Cell(_MAY_USE.get(each.usable_by, "no"), "" if each.usable_by else FAINT),
            each.through[0] if each.through else "",
            Cell("wins", GOOD) if each.wins else Cell("yes" if each.fits else "no", "" if each.fits else FAINT),
            f"{first.field}: {first.found}, allowed: {_short(first.allowed)}{more}" if first else "",
            each.before_next,
        )
    return table


def _short(text: str, longest: int = 40) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _print_way(printer: Printer, at: int, way: WayOut) -> None:
    best = Cell("  (recommended)", GOOD) if way.recommended else ""
    printer.line(Cell(f"Way out {at}: {way.text}", STRONG), best)
    for each in way.costs:
        printer.line(f"  - {each}")
    if way.manifest and way.kind == "new-scc":
        printer.block(f"kubectl apply -f - <<'EOF'\n{way.manifest}EOF", indent=0)
    for command in way.commands:
        printer.block(command)
