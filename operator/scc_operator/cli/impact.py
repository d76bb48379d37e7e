"""`kubectl scc impact -f change.yaml`: which running pods a change would move, deny, or give another identity."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import click
import msgspec

from scc_operator.audit.impact import EPHEMERAL_VOLUMES, IDENTITY, Move, Side, moves
from scc_operator.audit.view import NAMESPACE_NOT_FOUND, View
from scc_operator.cli import complete, kinds
from scc_operator.cli.audit_pods import Running, State, running
from scc_operator.cli.errors import CLIError, Exit
from scc_operator.cli.impact_change import CHANGEABLE, Edit, Imagined, Key, Objects, Target, imagine
from scc_operator.cli.kinds import ObjectKind
from scc_operator.cli.manifests import Document as Manifest
from scc_operator.cli.manifests import load
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import BAD, FAINT, GOOD, STRONG, WARN, Cell, Document, Printer, Table
from scc_operator.cli.sources import Raw
from scc_operator.cli.workloads import workloads_of
from scc_operator.cli.world import World
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.records import Namespace, Question
from scc_operator.engine.errors import InvalidObject
from scc_operator.engine.volume_types import SOURCE_RANK, VOLUME_TYPES
from scc_operator.settings import Settings

_SHORT = {"scc": kinds.SCCS, "sccb": kinds.SCC_BINDINGS, "csccb": kinds.CLUSTER_SCC_BINDINGS, "ns": kinds.NAMESPACES}
_MIRRORED = {
    kinds.SCCS: Kind.SCCS,
    kinds.ROLES: Kind.ROLES,
    kinds.CLUSTER_ROLES: Kind.CLUSTER_ROLES,
    kinds.ROLE_BINDINGS: Kind.ROLE_BINDINGS,
    kinds.CLUSTER_ROLE_BINDINGS: Kind.CLUSTER_ROLE_BINDINGS,
}
_OWNERS = (
    kinds.REPLICA_SETS, kinds.STATEFUL_SETS, kinds.DAEMON_SETS, kinds.JOBS, kinds.REPLICATION_CONTROLLERS
)  # fmt: skip
_PLACES = ("denied", "identity-and-volumes", "identity", "other")
_GONE = "gone"


class ChangedField(msgspec.Struct, frozen=True):
    """A field that pods would run with another value of."""

    field: str
    before: str
    after: str


class PersistentVolume(msgspec.Struct, frozen=True):
    """A volume whose files outlive the pod; `claim` is set for a PersistentVolumeClaim."""

    name: str
    type: str
    claim: str = ""


class Moved(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Pods of one workload that a change touches in the same way.

    Attributes:
        effect: `denied` on the next start, `identity-and-volumes` (another user, group or SELinux label, and volumes
            whose files outlive the pod), `identity`, or `other`.
        before: the SCC, or the verdict where there is none; likewise `after`.
        reason: why there is none after the change.
        changes: what the pods would run with instead.
        volumes: their volumes whose files outlive them.
        pods: their names.
    """

    effect: str
    namespace: str
    workload: str
    before: str
    after: str
    reason: str
    changes: tuple[ChangedField, ...]
    volumes: tuple[PersistentVolume, ...]
    pods: tuple[str, ...]


class Impact(Document, kw_only=True):
    """What a change would do to the running pods.

    Attributes:
        edits: the objects of the change, and what it does to each.
        pods: how many pods were looked at; `questions` how many different ones.
        moved: how many of them are touched.
        denied: of these: denied on their next start.
        identity: of these: another user, group or SELinux label.
        with_volumes: of those: with volumes whose files outlive them.
    """

    kind: str = "Impact"
    edits: tuple[Edit, ...]
    pods: int
    questions: int
    moved: int
    denied: int
    identity: int
    with_volumes: int
    items: tuple[Moved, ...] = ()


@click.command()
@click.argument("names", nargs=-1, metavar="[TYPE/NAME]...", shell_complete=complete.sccs)
@click.option("--delete", is_flag=True, help="The objects of the files, or those that are named, are deleted.")
@with_common
def impact(common: Common, names: tuple[str, ...], delete: bool) -> int:
    """Tell which running pods a change would touch, without making it: -f change.yaml, or --delete scc/NAME.

    The files hold SCCs, SCC bindings, roles, role bindings and namespaces as they shall be; the rest of the cluster
    stays. Every pod of the cluster (with -n: of that namespace) is judged as it would be on its next start; a pod that
    an admission plugin has completed by the template that it was made from.

    Ends with 0 where nothing moves and with 2 where something does.
    """
    printer = Printer(common)
    if names and not delete:
        raise CLIError(f"{names[0]}: objects are named to be deleted; use --delete, or -f FILE for what shall be")
    if not (names or common.files):
        raise CLIError("say what changes: -f FILE, or --delete with -f FILE or TYPE/NAME")
    documents = load(common.files)
    scope = common.namespace
    with World(msgspec.structs.replace(common, files=())) as world:
        now = _objects(world, scope)
        imagined = imagine(now, _targets(world, documents, names, delete=delete))
        for problem in imagined.problems:
            world.note(problem)
        document = _impact(world, running(world, scope), imagined)
    if not printer.emit(document, (f"{each.workload.lower()}" for each in document.items)):
        _print(printer, document)
    return Exit.FINDINGS if document.moved else Exit.OK


# --- the change ----------------------------------------------------------------------------------------------------


def _objects(world: World, scope: str) -> dict[ObjectKind, dict[Key, Raw]]:
    """What decides about answers, as the cluster is now."""
    namespaced = {kinds.ROLES, kinds.ROLE_BINDINGS, kinds.SCC_BINDINGS}
    wanted = [(kind, scope if kind in namespaced else "") for kind in CHANGEABLE]
    world.need(*wanted, (kinds.PODS, scope))
    return {
        kind: {(raw["metadata"].get("namespace", ""), raw["metadata"]["name"]): raw for raw in world.objects(kind, at)}
        for kind, at in wanted
    }


def _targets(world: World, documents: Sequence[Manifest], titles: Sequence[str], *, delete: bool) -> list[Target]:
    targets: list[Target] = []
    for document in documents:
        kind = kinds.kind_of(document.raw)
        name = (document.raw.get("metadata") or {}).get("name")
        if kind not in CHANGEABLE or kind is None or not name:
            world.note(f"{document.file}: {document.raw['kind']} {name or ''} decides about no SCC: left out")
            continue
        raw = document.raw
        namespace = raw["metadata"].get("namespace") or world.namespace if kind.resource.namespaced else ""
        if namespace:
            raw = {**raw, "metadata": {**raw["metadata"], "namespace": namespace}}
        targets.append(Target(kind, (namespace, name), None if delete else raw))
    targets += [_named(world, title) for title in titles]
    if not targets:
        allowed = ", ".join(kind.kind for kind in CHANGEABLE)
        raise CLIError(f"the files hold nothing that decides about SCCs; expected one of {allowed}")
    return targets


def _named(world: World, title: str) -> Target:
    word, slash, name = title.partition("/")
    kind = _SHORT.get(word.lower()) or kinds.kind_called(word)
    if kind not in CHANGEABLE or kind is None or not slash or not name:
        allowed = ", ".join(["scc", *(each.kind.lower() for each in CHANGEABLE[1:])])
        raise CLIError(f"{title!r}: write TYPE/NAME with TYPE one of {allowed}")
    return Target(kind, (world.namespace if kind.resource.namespaced else "", name), None)


# --- the pods ------------------------------------------------------------------------------------------------------


def _impact(world: World, state: State, imagined: Imagined) -> Impact:
    pods: defaultdict[Question, list[Running]] = defaultdict(list)
    templates = _Templates(world, state)
    for pod in state.pods:
        question = templates.question(pod)
        if question is not None:
            pods[question].append(pod)
    before = Side(state.view, state.namespace)
    after = Side(_view(imagined.objects), _namespaces(state, imagined))
    items: list[Moved] = []
    for move in moves(pods, before, after):
        items += _moved(move, pods[move.question])
    items.sort(key=lambda each: (_PLACES.index(each.effect), each.namespace, each.workload, each.before, each.after))
    return Impact(
        edits=imagined.edits,
        pods=len(state.pods),
        questions=len(pods),
        moved=_pods(items),
        denied=_pods(each for each in items if each.effect == "denied"),
        identity=_pods(each for each in items if each.effect.startswith("identity")),
        with_volumes=_pods(each for each in items if each.effect == "identity-and-volumes"),
        items=tuple(items),
        notes=tuple(world.notes),
    )


def _pods(items: Iterable[Moved]) -> int:
    return sum(len(each.pods) for each in items)


def _view(objects: Objects) -> View:
    mirror = Mirror()
    for kind, mirrored in _MIRRORED.items():
        for raw in objects[kind].values():
            try:
                mirror.take(mirrored, {**raw, "metadata": {"resourceVersion": "1", **raw["metadata"]}})
            except InvalidObject as error:
                raise CLIError(str(error)) from error
    return View(mirror, Settings().exempt_namespaces)


def _namespaces(state: State, imagined: Imagined) -> Callable[[str], Namespace | None]:
    """Namespaces after the change; those that it does not name stay as they are."""
    edited = {edit.name for edit in imagined.edits if edit.kind == kinds.NAMESPACES.kind and edit.action != "none"}

    def namespace_of(name: str) -> Namespace | None:
        if name not in edited:
            return state.namespace(name)
        raw = imagined.objects[kinds.NAMESPACES].get(("", name))
        return Namespace.read(raw) if raw else None

    return namespace_of


class _Templates:
    """What pods ask on their next start.

    A pod that an admission plugin has completed carries values that its template does not have: it would ask another
    question when it is made anew. Templates are read only where such a pod runs.
    """

    def __init__(self, world: World, state: State) -> None:
        self._world = world
        self._owners: dict[tuple[str, str, str], Raw] = {}
        self._asked: dict[tuple[str, str, str], Question | None] = {}
        if any(pod.record.recorded for pod in state.pods):
            scope = world.common.namespace
            world.need(*((kind, scope) for kind in _OWNERS))
            for kind in _OWNERS:
                for raw in world.optional(kind, scope) or ():
                    metadata = raw["metadata"]
                    self._owners[kind.kind, metadata["namespace"], metadata["name"]] = {**raw, "kind": kind.kind}

    def question(self, pod: Running) -> Question | None:
        """What the pod asks; None where it cannot be read."""
        if not pod.record.recorded:
            return pod.record.question
        owner = next(
            (each for each in pod.raw["metadata"].get("ownerReferences") or () if each.get("controller")), None
        )
        if owner is None:
            return pod.record.question
        key = (str(owner.get("kind")), pod.namespace, str(owner.get("name")))
        if key not in self._asked:
            self._asked[key] = self._template(key)
        return self._asked[key] or pod.record.question

    def _template(self, key: tuple[str, str, str]) -> Question | None:
        raw = self._owners.get(key)
        if raw is None:
            return None
        try:
            return next((self._world.question(each.pod, each.requester) for each in workloads_of(raw, key[1])), None)
        except InvalidObject:
            return None


def _moved(move: Move, pods: Sequence[Running]) -> list[Moved]:
    groups: defaultdict[tuple[str, str], list[Running]] = defaultdict(list)
    for pod in pods:
        groups[pod.namespace, pod.workload].append(pod)
    return [
        Moved(
            effect=_PLACES[move.gravity],
            namespace=namespace,
            workload=workload,
            before=move.before.title,
            after=_GONE if move.after.answer.reason == NAMESPACE_NOT_FOUND else move.after.title,
            reason=move.after.answer.reason,
            changes=tuple(ChangedField(each.field, each.before, each.after) for each in move.changes),
            volumes=_volumes(group),
            pods=tuple(pod.name for pod in group),
        )
        for (namespace, workload), group in groups.items()
    ]


def _volumes(pods: Iterable[Running]) -> tuple[PersistentVolume, ...]:
    found: dict[PersistentVolume, None] = {}
    for pod in pods:
        for volume in (pod.raw.get("spec") or {}).get("volumes") or ():
            source = min((key for key in volume if key in SOURCE_RANK), key=SOURCE_RANK.__getitem__, default="")
            kind = VOLUME_TYPES.get(source, "")
            if kind and kind not in EPHEMERAL_VOLUMES:
                claim = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
                found[PersistentVolume(str(volume.get("name", "")), kind, claim)] = None
    return tuple(found)


# --- text ----------------------------------------------------------------------------------------------------------

_HEADINGS = {
    "denied": ("Denied on their next start", BAD),
    "identity-and-volumes": ("Another user, group or SELinux label, and volumes with files of the old one", BAD),
    "identity": ("Another user, group or SELinux label", WARN),
    "other": ("Other changes", STRONG),
}


def _print(printer: Printer, document: Impact) -> None:
    for edit in document.edits:
        printer.line(Cell(edit.title if edit.action != "none" else f"no change of {edit.kind}/{edit.name}", STRONG))
    for effect in _PLACES:
        items = [each for each in document.items if each.effect == effect]
        if not items:
            continue
        heading, style = _HEADINGS[effect]
        printer.line("")
        printer.line(Cell(f"{heading}: {_count(_pods(items))}", style))
        _print_table(printer, items, effect)
    printer.line("")
    stay = document.pods - document.moved
    if not document.moved:
        printer.line(Cell(f"nothing moves: {_count(document.pods)} stay as they are", GOOD))
        return
    parts = [f"{_count(document.moved)} of {document.pods} move"]
    parts += [f"{document.denied} denied"] if document.denied else []
    parts += [f"{document.identity} with another identity"] if document.identity else []
    parts += [f"{document.with_volumes} of them with persistent files"] if document.with_volumes else []
    style = BAD if document.denied or document.with_volumes else WARN
    printer.line(Cell(", ".join(parts), style), f"; {stay} stay{'s' if stay == 1 else ''}")


def _print_table(printer: Printer, items: Sequence[Moved], effect: str) -> None:
    last = ("REASON",) if effect == "denied" else ("RUNS WITH",)
    volumes = ("VOLUMES",) if effect in {"denied", "identity-and-volumes"} else ()
    table = Table("NAMESPACE", "WORKLOAD", "PODS", "BEFORE", "AFTER", *last, *volumes)
    for each in items:
        cells = [each.namespace, each.workload, str(len(each.pods)), each.before, _after(each)]
        cells.append(each.reason if effect == "denied" else _changes(each, wide=printer.wide))
        cells += [", ".join(_volume(volume) for volume in each.volumes)] if volumes else []
        table.add(*cells)
    printer.table(table, indent=2)


def _after(each: Moved) -> Cell:
    style = BAD if each.effect == "denied" else FAINT if each.before == each.after else WARN
    return Cell(each.after, style)


def _changes(each: Moved, *, wide: bool) -> str:
    """What changes; where the identity does, the rest is only counted unless there is room."""
    if not each.changes:
        return "" if each.after == _GONE else each.reason
    identity = [change for change in each.changes if change.field in IDENTITY]
    rest = [change for change in each.changes if change.field not in IDENTITY]
    shown = each.changes if wide or not identity else identity
    texts = [f"{change.field} {change.before} -> {change.after}" for change in shown]
    if shown is identity and rest:
        texts.append(f"{len(rest)} more field{'s' if len(rest) > 1 else ''}")
    return "; ".join(texts)


def _volume(volume: PersistentVolume) -> str:
    return f"claim {volume.claim}" if volume.claim else f"{volume.type} {volume.name}"


def _count(pods: int) -> str:
    return f"{pods} pod{'' if pods == 1 else 's'}"
