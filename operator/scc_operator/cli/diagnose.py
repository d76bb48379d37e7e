"""`kubectl scc diagnose pod/NAME`: a checklist of what goes wrong around SCCs, with the facts that were found."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from scc_operator import names
from scc_operator.audit.diagnose import GROUP_ANNOTATION, Case, Check, Status, VolumeFacts, is_persistent
from scc_operator.audit.diagnose import diagnose as diagnosed
from scc_operator.audit.ladder import climb
from scc_operator.cli import complete, kinds
from scc_operator.cli.audit_pods import workload_of
from scc_operator.cli.errors import CLIError, Exit
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import BAD, FAINT, GOOD, STRONG, WARN, Cell, Document, Printer
from scc_operator.cli.sources import Raw
from scc_operator.cli.world import World
from scc_operator.cluster.records import RunningPod
from scc_operator.engine.volume_types import SOURCE_RANK, VOLUME_TYPES

_STYLES = {Status.OK: GOOD, Status.PROBLEM: BAD, Status.LOOK: WARN, Status.UNKNOWN: WARN}
_MARKS = {Status.OK: "[ok]     ", Status.PROBLEM: "[problem]", Status.LOOK: "[look]   ", Status.UNKNOWN: "[unknown]"}


class Diagnosis(Document, kw_only=True):
    """The checklist of a pod."""

    kind: str = "Diagnosis"
    pod: str
    namespace: str
    workload: str
    service_account: str
    checks: tuple[Check, ...]

    @property
    def code(self) -> Exit:
        """A problem: 2; something that could not be judged: 3."""
        found = {check.status for check in self.checks}
        if Status.PROBLEM in found:
            return Exit.FINDINGS
        return Exit.UNDECIDED if Status.UNKNOWN in found else Exit.OK


@click.command()
@click.argument("name", metavar="pod/NAME", shell_complete=complete.pods)
@with_common
def diagnose(common: Common, name: str) -> int:
    """Find out why a pod does not start, or may not read its volumes.

    Asked are: does an SCC admit it; has its SCC changed since; do runAsNonRoot and the image's user go together; do the
    namespace's Pod Security labels admit it; may its user and groups use its volumes; is its SELinux level the
    namespace's. Each answer comes with the facts, what helps, and what does not; `look` is for what only the node, the
    image or the storage knows. Ends with 2 where a problem was found.
    """
    printer = Printer(common)
    with World(common) as world:
        document = _diagnosis(world, name)
    if not printer.emit(document, (check.code for check in document.checks if check.status is not Status.OK)):
        _print(printer, document)
    return document.code


def _diagnosis(world: World, title: str) -> Diagnosis:
    word, slash, name = title.rpartition("/")
    if slash and kinds.kind_called(word) is not kinds.PODS:
        raise CLIError(
            f"{title!r}: only pods are diagnosed, write pod/NAME; for workloads see kubectl scc explain {title}"
        )
    raw = world.find(kinds.PODS, world.namespace, name)
    if raw is None:
        raise CLIError(f'pods "{name}" not found in namespace {world.namespace} of {world.source}')
    raw = world.as_stored(raw)
    record = RunningPod.read(raw)
    if record is None:
        raise CLIError(f"pod {name} is finished or being deleted: there is nothing to diagnose")
    if record.question is None:
        raise CLIError(record.problem, Exit.FINDINGS)
    namespace = world.namespace_of(world.namespace)
    namespace_raw = world.find(kinds.NAMESPACES, "", world.namespace) or {}
    case = Case(
        name=name,
        where=world.namespace,
        raw=raw,
        pod=record.question.pod,
        ladder=climb(world.view(world.namespace), record.question, namespace),
        namespace=namespace,
        labels=(namespace_raw.get("metadata") or {}).get("labels") or {},
        carries=(raw["metadata"].get("annotations") or {}).get(names.SCC_ANNOTATION, ""),
        recorded=record.recorded,
        volumes=tuple(_volumes(world, raw)),
        statuses=tuple((raw.get("status") or {}).get("containerStatuses") or ()),
    )
    return Diagnosis(
        pod=name,
        namespace=world.namespace,
        workload=workload_of(raw),
        service_account=record.question.pod.service_account,
        checks=diagnosed(case),
        notes=tuple(world.notes),
    )


# --- volumes -------------------------------------------------------------------------------------------------------


def _volumes(world: World, pod: Raw) -> Iterator[VolumeFacts]:
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        source = _source(volume)
        if not is_persistent(VOLUME_TYPES.get(source, "")):
            continue
        name = str(volume.get("name", ""))
        paths = tuple(dict.fromkeys(_paths(pod, name)))
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
        if claim:
            yield _claimed(world, pod["metadata"]["namespace"], name, claim, paths)
        else:
            yield VolumeFacts(name=name, type=VOLUME_TYPES[source], paths=paths)


def _source(volume: Mapping[str, Any]) -> str:
    found = (key for key in volume if key in SOURCE_RANK and volume[key] is not None)
    return min(found, key=SOURCE_RANK.__getitem__, default="")


def _paths(pod: Raw, volume: str) -> Iterator[str]:
    spec = pod.get("spec") or {}
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        for mount in container.get("volumeMounts") or ():
            if mount.get("name") == volume:
                yield str(mount.get("mountPath", ""))


def _claimed(world: World, namespace: str, name: str, claim: str, paths: tuple[str, ...]) -> VolumeFacts:
    """A claimed volume, with what its PersistentVolume says where that may be read."""
    found = _readable(world, kinds.PERSISTENT_VOLUME_CLAIMS, namespace, claim)
    spec = found.get("spec") or {}
    volume = _readable(world, kinds.PERSISTENT_VOLUMES, "", str(spec.get("volumeName", ""))) if spec else {}
    volume_spec = volume.get("spec") or {}
    source = _source(volume_spec)
    annotation = ((volume.get("metadata") or {}).get("annotations") or {}).get(GROUP_ANNOTATION, "")
    return VolumeFacts(
        name=name,
        type=VOLUME_TYPES.get(source, "persistentVolumeClaim"),
        claim=claim,
        phase=str((found.get("status") or {}).get("phase", "")),
        driver=str((volume_spec.get("csi") or {}).get("driver", "")),
        group=int(annotation) if annotation.isdecimal() else None,
        paths=paths,
    )


def _readable(world: World, kind: kinds.ObjectKind, namespace: str, name: str) -> Raw:
    """An object, empty where there is none or it may not be read: it only adds facts."""
    if not name:
        return {}
    try:
        return world.find(kind, namespace, name) or {}
    except CLIError as error:
        world.note(str(error))
        return {}


# --- text ----------------------------------------------------------------------------------------------------------


def _print(printer: Printer, document: Diagnosis) -> None:
    made = "" if document.workload == f"Pod/{document.pod}" else f", made by {document.workload}"
    printer.line(Cell(f"Pod/{document.pod}", STRONG), f" in namespace {document.namespace}{made}")
    printer.line(f"  service account: {document.service_account}")
    for check in document.checks:
        printer.line("")
        printer.line(Cell(_MARKS[check.status], _STYLES[check.status]), " ", Cell(check.title, STRONG))
        for fact in check.facts:
            printer.line(f"    {fact}")
        for heading, texts, style in (("what helps:", check.fixes, GOOD), ("in vain:", check.in_vain, FAINT)):
            if texts:
                printer.line("  ", Cell(heading, style))
                for text in texts:
                    printer.line(f"    - {text}")
