"""`kubectl scc recommend`: the least SCC for each service account, and what its grants allow that nothing uses."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import click
import msgspec

from scc_operator import names
from scc_operator.access.rbac import SERVICE_ACCOUNT, Subject
from scc_operator.access.scc_bindings import cluster_role
from scc_operator.audit.answer import Verdict
from scc_operator.audit.exposure import Level
from scc_operator.audit.impact import Change
from scc_operator.audit.ladder import grant_text
from scc_operator.audit.minimal import manifest
from scc_operator.audit.recommend import Choice, Needless, Recommendation
from scc_operator.audit.recommend import recommend as recommended
from scc_operator.audit.view import View
from scc_operator.cli import complete, kinds
from scc_operator.cli.audit_pods import running
from scc_operator.cli.errors import CLIError, Exit
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import BAD, FAINT, GOOD, STRONG, WARN, Cell, Document, Printer, Table, to_yaml
from scc_operator.cli.world import World
from scc_operator.cluster.records import Question
from scc_operator.engine.errors import InvalidObject

MANIFESTS = "manifests"
_STYLES = {Choice.NOTHING: FAINT, Choice.KEEP: GOOD, Choice.GRANT: WARN, Choice.NEW: WARN, Choice.NONE: BAD}
_MAX_NAME = 63


class NeedlessGrant(msgspec.Struct, frozen=True):
    """A grant that allows more than the account's pods need; `command` takes it away, where it is the account's own."""

    scc: str
    through: str
    pods: int
    allows: tuple[str, ...]
    command: str


class RequiredSCC(msgspec.Struct, frozen=True):
    """An SCC that pods demand by annotation."""

    scc: str
    choice: Choice


class RecommendedSCC(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What is recommended for one service account.

    Attributes:
        choice: `nothing`, `keep`, `grant`, `new`, or `none` where no SCC can admit its pods.
        uses: the SCCs that its pods get now; `denied`: how many get none.
        allows: what the recommended SCC allows beyond restricted-v2.
        least_existing: the least existing SCC that admits its pods, and `excess`: what it allows that they do not need.
        required: SCCs that pods demand by annotation, each with what is to be done; the rest is about the other pods.
        would_set: what admission would fill in.
        changes: what pods that have an SCC now would run with instead.
        proven: the engine admits all pods with just this SCC granted.
        commands: what grants existing SCCs.
        manifests: what to apply, to the same effect.
    """

    namespace: str
    service_account: str
    pods: int
    uses: tuple[str, ...]
    denied: int
    choice: Choice
    scc: str
    allows: tuple[str, ...]
    least_existing: str
    excess: tuple[str, ...]
    required: tuple[RequiredSCC, ...]
    would_set: tuple[str, ...]
    changes: tuple[Change, ...]
    needless: tuple[NeedlessGrant, ...]
    why: str
    proven: bool
    commands: tuple[str, ...]
    manifests: tuple[dict[str, Any], ...]

    @property
    def choices(self) -> set[Choice]:
        """All that is to be done."""
        return {self.choice, *(each.choice for each in self.required)}


class Recommendations(Document, kw_only=True):
    """The recommendations, by namespace and service account."""

    kind: str = "Recommendations"
    items: tuple[RecommendedSCC, ...] = ()

    @property
    def code(self) -> Exit:
        """Something is to be done: 2; undecidable: 3."""
        if any(each.manifests or any(one.command for one in each.needless) for each in self.items):
            return Exit.FINDINGS
        return Exit.UNDECIDED if any(Choice.NONE in each.choices for each in self.items) else Exit.OK


@click.command()
@click.argument("accounts", nargs=-1, metavar="[SERVICEACCOUNT]...", shell_complete=complete.service_accounts)
@with_common
def recommend(common: Common, accounts: tuple[str, ...]) -> int:
    """Recommend the least SCC for each service account of a namespace, or for the workloads of -f FILE.

    An existing SCC where one reaches no further than the pods need, else a new one that allows just that, with its
    binding. Each recommendation is proven: the engine admits all of the account's pods with that SCC and no other grant
    of its own. Other grants that allow more than the pods need are listed with the command that takes them away.

    -o manifests prints what to apply. Ends with 2 where something is to be done, with 3 where no SCC can admit the
    pods.
    """
    printer = Printer(common, more=(MANIFESTS,))
    with World(common) as world:
        view, asked = _of_files(world) if common.files else _of_pods(world)
        wanted = {key: value for key, value in asked.items() if not accounts or key[1] in accounts}
        if not wanted:
            where = ", ".join(common.files) or f"namespace {world.scope or '(all)'} of {world.source}"
            named = f" of service account {', '.join(accounts)}" if accounts else ""
            raise CLIError(f"found no pods{named} to recommend an SCC for in {where}")
        bindings = world.serves(kinds.SCC_BINDINGS)
        items = tuple(_item(world, view, key, wanted[key], bindings=bindings) for key in sorted(wanted))
        document = Recommendations(items=items, notes=tuple(world.notes))
    if common.output == MANIFESTS:
        objects = [each for item in document.items for each in item.manifests]
        click.echo(to_yaml(*objects) if objects else "# nothing to apply", nl=not objects)
    elif not printer.emit(document, (f"serviceaccount/{each.service_account}" for each in document.items)):
        _print(printer, document)
    return document.code


_Asked = dict[tuple[str, str], Counter[Question]]


def _of_pods(world: World) -> tuple[View, _Asked]:
    """What the running pods ask, by namespace and service account; those that no SCC is asked for are left out."""
    state = running(world, world.scope)
    asked: _Asked = defaultdict(Counter)
    for pod in state.pods:
        question = pod.record.question
        if question is None:
            world.note(pod.record.problem)
        elif state.view.answer(question, state.namespace(pod.namespace)).verdict is not Verdict.EXEMPT:
            asked[pod.namespace, question.pod.service_account][question] += 1
    return state.view, asked


def _of_files(world: World) -> tuple[View, _Asked]:
    """Likewise what the workloads of the files would ask."""
    asked: _Asked = defaultdict(Counter)
    workloads = world.workloads()
    view = world.view(*sorted({each.namespace for each, _ in workloads}))
    for workload, document in workloads:
        try:
            question = world.question(workload.pod, workload.requester)
        except (InvalidObject, AttributeError, TypeError, KeyError) as error:
            world.note(f"{document.file}: {workload.title} cannot be read: {error}")
            continue
        if view.answer(question, world.namespace_of(workload.namespace)).verdict is not Verdict.EXEMPT:
            asked[workload.namespace, question.pod.service_account][question] += 1
    return view, asked


def _item(
    world: World, view: View, key: tuple[str, str], asked: Mapping[Question, int], *, bindings: bool
) -> RecommendedSCC:
    account = Subject(SERVICE_ACCOUNT, key[1], key[0])
    namespace = world.namespace_of(account.namespace)
    if namespace is None or namespace.values.missing():
        pods = sum(asked.values())
        what = "does not exist" if namespace is None else "has no ranges yet"
        why = f"namespace {account.namespace} {what}; assume some with --defaults"
        found = Recommendation(account=account, pods=pods, uses=(), denied=pods, choice=Choice.NONE, why=why)
    else:
        found = recommended(account, asked, namespace, view, new_name=_name(account))
    return RecommendedSCC(
        namespace=account.namespace,
        service_account=account.name,
        pods=found.pods,
        uses=found.uses,
        denied=found.denied,
        choice=found.choice,
        scc=found.scc.name if found.scc else "",
        allows=tuple(each.text for each in found.allows if each.level > Level.MINOR),
        least_existing=found.existing,
        excess=found.excess,
        required=tuple(RequiredSCC(each.name, each.choice) for each in found.required),
        would_set=found.would_set,
        changes=found.changes if found.choice in {Choice.GRANT, Choice.NEW} else (),
        needless=tuple(_needless(each, account) for each in found.needless),
        why=found.why,
        proven=found.proven,
        commands=tuple(_grant(name, account, bindings=bindings) for name in _granted(found)),
        manifests=tuple(_manifests(found, bindings=bindings)),
    )


def _name(account: Subject) -> str:
    """A name that an object may have, also where a manifest leaves its namespace to be filled in."""
    return re.sub(r"[^a-z0-9.-]+", "-", f"{account.namespace}-{account.name}".lower()).strip("-.")


def _granted(found: Recommendation) -> list[str]:
    """The existing SCCs to grant."""
    own = [found.scc.name] if found.scc and found.choice is Choice.GRANT else []
    return [*own, *(each.name for each in found.required if each.choice is Choice.GRANT)]


def _grant(scc: str, account: Subject, *, bindings: bool) -> str:
    return f"kubectl scc {'grant' if bindings else 'add-scc-to-user'} {scc} -z {account.name} -n {account.namespace}"


def _manifests(found: Recommendation, *, bindings: bool) -> Iterator[dict[str, Any]]:
    """The SCCs that are new, and what grants these and the existing ones."""
    new = [found.scc] if found.scc and found.choice is Choice.NEW else []
    new += [each.new for each in found.required if each.new]
    for scc in new:
        yield manifest(scc)
        yield from _binding(scc.name, scc.name, found.account, bindings=bindings)
    for name in _granted(found):
        yield from _binding(name, f"{found.account.name}-{name}", found.account, bindings=bindings)


def _binding(scc: str, name: str, account: Subject, *, bindings: bool) -> Iterator[dict[str, Any]]:
    """What grants an SCC; of a name that no binding of somebody else's has, as it is applied as a whole."""
    subject = {"kind": SERVICE_ACCOUNT, "name": account.name}
    if bindings:
        yield {
            "apiVersion": f"{names.GROUP}/{names.VERSION}",
            "kind": names.BINDING_KIND,
            "metadata": {"name": name[:_MAX_NAME].rstrip("-."), "namespace": account.namespace},
            "spec": {"sccs": [scc], "subjects": [subject]},
        }
        return
    role = cluster_role(scc, "")
    role["metadata"] = {"name": role["metadata"]["name"]}
    yield role
    yield {
        "apiVersion": role["apiVersion"],
        "kind": "RoleBinding",
        "metadata": {"name": f"{role['metadata']['name']}:{account.name}", "namespace": account.namespace},
        "roleRef": {"apiGroup": names.RBAC_GROUP, "kind": "ClusterRole", "name": role["metadata"]["name"]},
        "subjects": [{**subject, "namespace": account.namespace}],
    }


def _needless(each: Needless, account: Subject) -> NeedlessGrant:
    command = _withdraw(each, account) if each.own else ""
    return NeedlessGrant(each.grant.scc, grant_text(each.grant), each.pods, each.allows, command)


def _withdraw(each: Needless, account: Subject) -> str:
    """The command that takes away a grant of the account's own."""
    grant = each.grant
    where = f"-n {account.namespace}" if grant.namespace else "--cluster"
    who = account.name if grant.namespace else f"{account.namespace}/{account.name}"
    if grant.owner is not None:
        return f"kubectl scc revoke {grant.scc} -z {who} {where} --name {grant.owner.name}"
    if grant.binding == names.SCC_ROLE_PREFIX + grant.scc:
        return f"kubectl scc remove-scc-from-user {grant.scc} {account.username} {where}"
    kind = "rolebinding" if grant.namespace else "clusterrolebinding"
    return f"kubectl edit {kind} {grant.binding}{f' -n {grant.namespace}' if grant.namespace else ''}"


# --- text ----------------------------------------------------------------------------------------------------------


def _print(printer: Printer, document: Recommendations) -> None:
    table = Table(
        "NAMESPACE", "ACCOUNT", "PODS", "USES", "RECOMMENDED", "DO", "ALLOWS", "NEEDLESS GRANTS", "WOULD SET",
        wide=("WOULD SET",),
    )  # fmt: skip
    for each in document.items:
        uses = ",".join([*each.uses, *(["denied"] if each.denied else [])])
        head = (each.namespace, each.service_account, str(each.pods), Cell(uses, BAD if each.denied else ""))
        needless = ", ".join(dict.fromkeys(one.scc for one in each.needless))
        if each.scc or each.why:
            choice = Cell(each.choice, _STYLES[each.choice])
            table.add(*head, each.scc, choice, ", ".join(each.allows), needless, ",".join(each.would_set))
        for one in each.required:
            table.add(*head, one.scc, Cell(one.choice, _STYLES[one.choice]), "demanded by annotation", needless, "")
    printer.table(table)
    for each in document.items:
        if each.manifests or each.needless or Choice.NONE in each.choices:
            printer.line("")
            _print_details(printer, each)


def _print_details(printer: Printer, each: RecommendedSCC) -> None:
    printer.line(Cell(f"Service account {each.namespace}/{each.service_account}", STRONG))
    if each.why:
        printer.line("  ", Cell("nothing can be recommended", BAD), f": {each.why}")
    for one in each.required:
        if one.choice is Choice.NONE:
            printer.line("  ", Cell(f"pods demand {one.scc}, which refuses them", BAD), ": see kubectl scc explain")
    if each.choice is Choice.NEW and each.least_existing:
        printer.line(f"  the least existing SCC is {each.least_existing}; it also allows {', '.join(each.excess)}")
    proof = "proven: the engine admits all of its pods" if each.proven else "not proven"
    if each.commands:
        printer.line(f"  grant what its pods need ({proof}):")
    for command in each.commands:
        printer.block(command, indent=4)
    if Choice.NEW in each.choices:
        printer.line(f"  create an SCC that allows just what its pods need ({proof}):")
        printer.block(f"kubectl apply -f - <<'EOF'\n{to_yaml(*each.manifests)}EOF", indent=0)
    if each.changes:
        texts = (f"{change.field} {change.before} -> {change.after}" for change in each.changes)
        printer.line("  ", Cell("its pods would then run with", WARN), f": {'; '.join(texts)}")
    for grant in each.needless:
        _print_needless(printer, grant)


def _print_needless(printer: Printer, grant: NeedlessGrant) -> None:
    used = f"its pods use it ({grant.pods})" if grant.pods else "none of its pods uses it"
    needs = f"{used}, and none needs {', '.join(grant.allows)}"
    printer.line("  ", Cell(grant.scc, WARN), f" ({grant.through}): {needs}")
    if grant.command:
        printer.block(grant.command, indent=4)
