"""`kubectl scc snapshot`: write what the offline mode needs into one file; no secrets in it."""

from datetime import UTC, datetime

import click

from scc_operator.access.scc_bindings import format_time
from scc_operator.cli import kinds
from scc_operator.cli.errors import CLIError, Exit
from scc_operator.cli.kinds import ObjectKind
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.output import Document, Printer
from scc_operator.cli.prune import pruned
from scc_operator.cli.sources import SNAPSHOT_VERSION, Raw, SnapshotInfo, Unreadable, write_snapshot
from scc_operator.cli.world import ALL, World


class Written(Document, kw_only=True):
    """What a snapshot holds: objects by kind, and the kinds that could not be read, with the reason."""

    kind: str = "SnapshotWritten"
    path: str
    bytes: int
    objects: dict[str, int]
    missing: dict[str, str]


@click.command()
@click.argument("path", default="cluster.tar.gz", type=click.Path())
@with_common
def snapshot(common: Common, path: str) -> int:
    """Write the cluster as these commands see it to PATH (cluster.tar.gz), for --snapshot.

    Namespaces, SCCs, RBAC, SCC bindings, ranges, service accounts, pods, workloads and persistent volumes; the whole
    cluster, or with -n what concerns one namespace. Never Secrets or ConfigMaps, and of pods no environment variables,
    commands, arguments or foreign annotations. Kinds that you may not read are left out, and named (exit code 3).
    """
    printer = Printer(common)
    with World(common) as world:
        live = world.live
        where = common.namespace or ALL
        wanted = [(kind, where if kind.resource.namespaced else ALL) for kind in kinds.SNAPSHOT]
        objects: dict[ObjectKind, list[Raw]] = {}
        missing: dict[str, str] = {}
        for (kind, _), found in zip(wanted, live.read(wanted), strict=True):
            if isinstance(found, Unreadable):
                missing[kind.title] = found.reason
            elif found is not None:
                objects[kind] = [pruned(kind, raw) for raw in found]
        server = live.session.server
    now = format_time(datetime.now(UTC))
    info = SnapshotInfo(SNAPSHOT_VERSION, server, now, (common.namespace,) if common.namespace else (), missing)
    try:
        size = write_snapshot(path, info, objects)
    except OSError as error:
        raise CLIError(f"{path}: cannot be written: {error.strerror}") from error
    counts = {kind.title: len(found) for kind, found in sorted(objects.items())}
    document = Written(path=path, bytes=size, objects=counts, missing=missing)
    code = Exit.UNDECIDED if missing else Exit.OK
    if printer.emit(document, [path]):
        return code
    told = ", ".join(f"{count} {title.partition('.')[0]}" for title, count in counts.items() if count)
    printer.line(f"{path}: {size} bytes: {told}")
    for title, why in missing.items():
        printer.line(f"left out: {title} {why}")
    return code
