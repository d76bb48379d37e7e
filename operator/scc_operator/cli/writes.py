"""Writing to the cluster: dry runs that cover every object, and what is printed about them."""

from collections.abc import Callable, Iterable
from typing import Any

import click
import msgspec

from scc_operator import names
from scc_operator.access.rbac import GROUP, SERVICE_ACCOUNT, Subject
from scc_operator.access.subjects import SOMEBODY
from scc_operator.audit.exposure import Level, exposure
from scc_operator.audit.ladder import grant_text
from scc_operator.cli import kinds
from scc_operator.cli.access import identity_of
from scc_operator.cli.errors import CLIError, ServerError, close_matches
from scc_operator.cli.kinds import ObjectKind
from scc_operator.cli.options import OUTPUTS
from scc_operator.cli.output import to_yaml
from scc_operator.cli.sources import Raw
from scc_operator.cli.world import World
from scc_operator.kube.errors import ApiError

DRY_RUNS = ("none", "server", "client")
_SUFFIXES = {"none": "", "client": " (dry run)", "server": " (server dry run)"}
_WIDE_GROUPS = frozenset({names.AUTHENTICATED, "system:unauthenticated", names.SERVICE_ACCOUNTS})
_CONFLICT = 409
_ATTEMPTS = 5

dry_run_option = click.option(
    "--dry-run", is_flag=False, flag_value="client", default="none", metavar="none|client|server",
    help="client: write nothing; server: let the server check everything and store nothing.",
)  # fmt: skip
yes_option = click.option("--yes", is_flag=True, help="Grant also what is far-reaching, without being asked.")
force_option = click.option("--force", is_flag=True, help="Also for an SCC that does not exist (yet).")


class Writer:
    """Writes objects, or only says what it would write.

    Raises:
        CLIError: the kind of dry run is unknown, or the output format.
    """

    def __init__(self, world: World, dry_run: str) -> None:
        if dry_run not in DRY_RUNS:
            raise CLIError(f'Invalid dry-run value ({dry_run}). Must be "none", "server", or "client".')
        if world.common.output not in OUTPUTS:
            raise CLIError(f"--output {world.common.output} is unknown here, allowed are {', '.join(OUTPUTS)}")
        self._live = world.live
        self._common = world.common
        self.dry_run = dry_run
        self.objects: list[Raw] = []
        """What was written, as the server stored it."""
        self.lines: list[str] = []

    def find(self, kind: ObjectKind, namespace: str, name: str) -> Raw | None:
        """The object as the server has it now."""
        found: Raw | None = self._told(lambda: self._live.session.find(kind.resource.path(namespace, name)))
        return found if found is None else {**found, "kind": kind.kind}

    def create(self, kind: ObjectKind, body: Raw) -> None:
        """Create an object."""
        self._write("POST", kind.resource.path(body["metadata"].get("namespace", "")), body)

    def replace(self, kind: ObjectKind, body: Raw) -> None:
        """Replace an object, which must still be the one that was read."""
        metadata = body["metadata"]
        self._write("PUT", kind.resource.path(metadata.get("namespace", ""), metadata["name"]), body)

    def delete(self, kind: ObjectKind, body: Raw) -> None:
        """Delete an object, which must still be the one that was read."""
        metadata = body["metadata"]
        preconditions = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        path = kind.resource.path(metadata.get("namespace", ""), metadata["name"])
        if self.dry_run != "client":
            self._told(lambda: self._live.write("DELETE", path, {"preconditions": preconditions}, dry_run=self._server))
        self.objects.append(body)

    def say(self, text: str) -> None:
        """Tell what was done, with the kind of dry run."""
        self.lines.append(f"{text}{_SUFFIXES[self.dry_run]}")

    def tell(self, text: str) -> None:
        """Tell something else."""
        self.lines.append(text)

    def print(self) -> None:
        """Print what was asked for: the lines, or the objects as one stream that can be applied again."""
        match self._common.output:
            case "json":
                items = {"apiVersion": "v1", "kind": "List", "items": [_clean(each) for each in self.objects]}
                click.echo(msgspec.json.format(msgspec.json.encode(items), indent=2).decode())
            case "yaml":
                click.echo(to_yaml(*(_clean(each) for each in self.objects)), nl=False)
            case "name":
                for each in self.objects:
                    click.echo(title_of(each))
            case _:
                for line in self.lines:
                    click.echo(line)

    @property
    def _server(self) -> bool:
        return self.dry_run == "server"

    def _write(self, method: str, path: str, body: Raw) -> None:
        written = body
        if self.dry_run != "client":
            written = self._told(lambda: self._live.write(method, path, body, dry_run=self._server))
        self.objects.append({"apiVersion": body["apiVersion"], "kind": body["kind"], **written})

    def _told(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ApiError as error:
            if error.status == _CONFLICT:
                raise
            raise ServerError(error.reason or str(error.status), error.message) from error


def until_no_conflict(world: World, dry_run: str, attempt: Callable[[Writer], None]) -> Writer:
    """Run an attempt, from the reading on, again where somebody else wrote in between.

    Raises:
        CLIError: somebody else writes all the time.
    """
    for _ in range(_ATTEMPTS):
        writer = Writer(world, dry_run)
        try:
            attempt(writer)
        except ApiError:
            continue
        return writer
    raise CLIError(f"somebody else changed the same objects {_ATTEMPTS} times in a row: try again")


def title_of(raw: Raw) -> str:
    """An object as `-o name` prints it: `kind.group/name`."""
    group, slash, _ = str(raw["apiVersion"]).partition("/")
    return f"{raw['kind'].lower()}{f'.{group}' if slash else ''}/{raw['metadata']['name']}"


def _clean(raw: Raw) -> Raw:
    metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    return {**raw, "metadata": metadata}


def check_scc(world: World, scc: str, *, force: bool) -> None:
    """Refuse to grant an SCC that does not exist.

    Raises:
        CLIError: there is none of that name.
    """
    known = {raw["metadata"]["name"] for raw in world.objects(kinds.SCCS)}
    if scc not in known and not force:
        close = close_matches(scc, known)
        raise CLIError(f'securitycontextconstraints "{scc}" not found{close}; --force grants it all the same')


def check_reach(world: World, scc: str, subjects: Iterable[Subject], *, yes: bool) -> None:
    """Warn of an SCC that reaches the node; refuse one that is more than the baseline for a group of nearly everybody.

    Raises:
        CLIError: the group is wide and `--yes` was not given.
    """
    known = world.sccs().get(scc)
    reach = [each for each in exposure(known) if each.level > Level.MINOR] if known else []
    if not reach:
        return
    told = ", ".join(each.text for each in reach[:4])
    wide = [each.name for each in subjects if each.kind == GROUP and each.name in _WIDE_GROUPS]
    if wide and not yes:
        raise CLIError(f"group {wide[0]} is nearly everybody, and {scc} allows {told}: grant it to fewer, or add --yes")
    if reach[0].level is Level.NODE:
        world.note(f"{scc} reaches the node: it allows {told}")


def remaining(world: World, scc: str, subject: Subject, namespace: str, without: Iterable[str] = ()) -> list[str]:
    """The grants through which a subject may still use an SCC, for people; empty where it may not.

    Args:
        world: the cluster as it was read before the writes.
        scc: the SCC.
        subject: the subject.
        namespace: where it is asked; empty for the whole cluster.
        without: grants that were just taken, as `grant_text` tells them.
    """
    grants = world.view(namespace).grants
    identity = identity_of(subject)
    found = [grant_text(each) for each in grants.paths(identity, scc, namespace)]
    if subject.kind == SERVICE_ACCOUNT:
        found += [
            f"{grant_text(each)}, for whoever creates the pods" for each in grants.paths(SOMEBODY, scc, namespace)
        ]
    return [text for text in found if text not in set(without)]


def rbac_subject(subject: Subject) -> Raw:
    """A subject as RBAC objects have it."""
    if subject.kind == SERVICE_ACCOUNT:
        return {"kind": SERVICE_ACCOUNT, "name": subject.name, "namespace": subject.namespace}
    return {"apiGroup": names.RBAC_GROUP, "kind": subject.kind, "name": subject.name}


def same_subject(raw: Raw, subject: Subject, namespace: str) -> bool:
    """Whether a stored subject is this one; service accounts without a namespace are of the binding's."""
    if raw.get("kind") == SERVICE_ACCOUNT:
        return subject == Subject(SERVICE_ACCOUNT, raw.get("name", ""), raw.get("namespace") or namespace)
    return subject == Subject(raw.get("kind", ""), raw.get("name", ""))


def comma_separated(values: Iterable[str]) -> list[str]:
    """The names given with an option that may be repeated or hold commas."""
    return [name for value in values for name in value.split(",") if name]
