"""`kubectl scc grant` and `revoke`: who may use which SCC, as SCC bindings that the operator turns into RBAC."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import click

from scc_operator import names
from scc_operator.access.rbac import GROUP, SERVICE_ACCOUNT, USER, Subject
from scc_operator.access.scc_bindings import MAX_SUBJECTS, NAMESPACE, format_time
from scc_operator.access.subjects import service_account_group
from scc_operator.cli import complete, kinds
from scc_operator.cli.errors import CLIError, Exit, ServerError
from scc_operator.cli.kinds import ObjectKind
from scc_operator.cli.options import Common, with_common
from scc_operator.cli.sources import Raw
from scc_operator.cli.world import World
from scc_operator.cli.writes import (
    Writer,
    check_reach,
    check_scc,
    comma_separated,
    dry_run_option,
    force_option,
    remaining,
    title_of,
    until_no_conflict,
    yes_option,
)

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

_subject_options = (
    click.option(
        "-z", "--serviceaccount", "accounts", multiple=True, shell_complete=complete.service_accounts,
        help="A service account, NAME or NAMESPACE/NAME; may be repeated or hold commas.",
    ),
    click.option("--user", "users", multiple=True, help="A user; may be repeated."),
    click.option("--group", "groups", multiple=True, help="A group; may be repeated."),
    click.option(
        "--all-serviceaccounts-of", "namespaces", multiple=True, shell_complete=complete.namespaces,
        metavar="NAMESPACE", help="All service accounts of a namespace; may be repeated.",
    ),
    click.option("--cluster", is_flag=True, help="In the whole cluster, with a ClusterSCCBinding."),
    click.option("--name", default="", help="Name of the binding; the SCC's name where none is given."),
    dry_run_option,
)  # fmt: skip


def _with_subjects(verb: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(_subject_options):
        verb = option(verb)
    return verb


@click.command()
@click.argument("sccs", nargs=-1, required=True, metavar="SCC...", shell_complete=complete.sccs)
@click.option(
    "--expires", default="", metavar="DURATION|TIME", help="When it ends: 90m, 8h, 7d or 2030-01-31T18:00:00Z."
)
@_with_subjects
@yes_option
@force_option
@with_common
def grant(
    common: Common, sccs: tuple[str, ...], expires: str, accounts: tuple[str, ...], users: tuple[str, ...],
    groups: tuple[str, ...], namespaces: tuple[str, ...], cluster: bool, name: str, dry_run: str, yes: bool,
    force: bool,
) -> int:  # fmt: skip
    """Let subjects use SCCs in a namespace: writes an SCCBinding for each SCC, or adds to it.

    The operator turns it into RBAC, and takes it back when it expires or is deleted. Where no operator runs use
    add-scc-to-user. Nobody can grant what they may not use themselves.
    """
    until = _time(expires) if expires else ""
    with World(common) as world:
        kind = _kind(world, cluster=cluster)
        subjects = _subjects(world, accounts, users, groups, namespaces, cluster=cluster)
        for scc in sccs:
            check_scc(world, scc, force=force)
            check_reach(world, scc, [_as_rbac(each, world.namespace) for each in subjects], yes=yes)

        def attempt(writer: Writer) -> None:
            for scc in sccs:
                _grant(
                    writer,
                    kind,
                    "" if cluster else world.namespace,
                    _binding_name(name, scc, sccs),
                    scc,
                    subjects,
                    until,
                )

        until_no_conflict(world, dry_run, attempt).print()
    return Exit.OK


@click.command()
@click.argument("sccs", nargs=-1, required=True, metavar="SCC...", shell_complete=complete.sccs)
@_with_subjects
@with_common
def revoke(
    common: Common, sccs: tuple[str, ...], accounts: tuple[str, ...], users: tuple[str, ...],
    groups: tuple[str, ...], namespaces: tuple[str, ...], cluster: bool, name: str, dry_run: str,
) -> int:  # fmt: skip
    """Take subjects out of SCC bindings; a binding that has none left is deleted. Says what still gives access."""
    with World(common) as world:
        kind = _kind(world, cluster=cluster)
        subjects = _subjects(world, accounts, users, groups, namespaces, cluster=cluster)
        where = "" if cluster else world.namespace

        def attempt(writer: Writer) -> None:
            for scc in sccs:
                _revoke(writer, kind, where, _binding_name(name, scc, sccs), scc, subjects)

        writer = until_no_conflict(world, dry_run, attempt)
        for scc in sccs:
            taken = f"{kind.kind} {f'{where}/' if where else ''}{_binding_name(name, scc, sccs)}"
            for subject in subjects:
                meant = _as_rbac(subject, world.namespace)
                for left in remaining(world, scc, meant, where or meant.namespace):
                    if not left.startswith(taken):
                        writer.tell(f"{meant} may still use {scc}: {left}")
        writer.print()
    return Exit.OK


def _kind(world: World, *, cluster: bool) -> ObjectKind:
    kind = kinds.CLUSTER_SCC_BINDINGS if cluster else kinds.SCC_BINDINGS
    if cluster and world.common.namespace:
        raise CLIError("--cluster and --namespace contradict each other: name one")
    if not world.live.serves(kind):
        raise CLIError(
            f"{world.source} has no {kind.kind}: its definitions come with the operator (kubectl apply -k crds); "
            "without it use kubectl scc add-scc-to-user"
        )
    return kind


def _subjects(
    world: World, accounts: Sequence[str], users: Sequence[str], groups: Sequence[str], namespaces: Sequence[str], *,
    cluster: bool,
) -> list[Raw]:  # fmt: skip
    """The subjects as SCC bindings have them."""
    found: list[Raw] = []
    for account in comma_separated(accounts):
        where, slash, short = account.rpartition("/")
        subject = {"kind": SERVICE_ACCOUNT, "name": short}
        if slash or cluster:
            subject["namespace"] = where or world.namespace
        found.append(subject)
        home = where or world.namespace
        if world.find(kinds.SERVICE_ACCOUNTS, home, short) is None:
            world.note(f"service account {home}/{short} does not exist (yet)")
    found += [{"kind": USER, "name": user} for user in users]
    found += [{"kind": GROUP, "name": group} for group in groups]
    found += [{"kind": NAMESPACE, "name": namespace} for namespace in namespaces]
    if not found:
        raise CLIError(
            "name at least one subject: -z SERVICEACCOUNT, --user, --group or --all-serviceaccounts-of NAMESPACE"
        )
    return found


def _as_rbac(subject: Raw, namespace: str) -> Subject:
    """Whom a subject of an SCC binding means in RBAC."""
    match subject["kind"]:
        case "ServiceAccount":
            return Subject(SERVICE_ACCOUNT, subject["name"], subject.get("namespace") or namespace)
        case "Namespace":
            return Subject(GROUP, service_account_group(subject["name"]))
        case kind:
            return Subject(kind, subject["name"])


def _binding_name(name: str, scc: str, sccs: Sequence[str]) -> str:
    if name and len(sccs) > 1:
        raise CLIError(
            "--name is for one SCC; each SCC has a binding of its own, so that a subject can be taken out of one"
        )
    return name or scc


def _grant(
    writer: Writer, kind: ObjectKind, namespace: str, name: str, scc: str, subjects: list[Raw], until: str
) -> None:
    found = writer.find(kind, namespace, name)
    if found is None:
        spec: Raw = {"sccs": [scc], "subjects": subjects} | ({"expiresAt": until} if until else {})
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        writer.create(
            kind,
            {"apiVersion": f"{names.GROUP}/{names.VERSION}", "kind": kind.kind, "metadata": metadata, "spec": spec},
        )
        _say(writer, "created", namespace)
        return
    spec = found["spec"]
    if spec["sccs"] != [scc]:
        raise CLIError(
            f"{kind.kind} {name} grants {', '.join(spec['sccs'])}, and would grant all of it to the new subjects: "
            "choose another binding with --name"
        )
    if until and spec.get("expiresAt") != until:
        raise CLIError(
            f"{kind.kind} {name} ends {spec.get('expiresAt', 'never')}, not {until}: choose another binding with --name"
        )
    missing = [each for each in subjects if not _has(spec["subjects"], each, namespace)]
    if not missing:
        writer.objects.append(found)
        _say(writer, "unchanged", namespace)
        return
    if len(spec["subjects"]) + len(missing) > MAX_SUBJECTS:
        raise CLIError(
            f"{kind.kind} {name} would have more than {MAX_SUBJECTS} subjects: choose another binding with --name"
        )
    writer.replace(kind, {**found, "spec": {**spec, "subjects": [*spec["subjects"], *missing]}})
    _say(writer, "configured", namespace)


def _revoke(writer: Writer, kind: ObjectKind, namespace: str, name: str, scc: str, subjects: list[Raw]) -> None:
    found = writer.find(kind, namespace, name)
    if found is None:
        raise ServerError("NotFound", f'{kind.title} "{name}" not found')
    spec = found["spec"]
    if scc not in spec["sccs"]:
        raise CLIError(
            f"{kind.kind} {name} grants {', '.join(spec['sccs'])}, not {scc}: choose another one with --name"
        )
    kept = [each for each in spec["subjects"] if not _has(subjects, each, namespace)]
    if len(kept) == len(spec["subjects"]):
        raise CLIError(f"{kind.kind} {name} has none of these subjects: {', '.join(each['name'] for each in subjects)}")
    if len(spec["sccs"]) > 1:
        others = ", ".join(each for each in spec["sccs"] if each != scc)
        raise CLIError(
            f"{kind.kind} {name} also grants {others} to the same subjects: split it with kubectl edit first"
        )
    if kept:
        writer.replace(kind, {**found, "spec": {**spec, "subjects": kept}})
    else:
        writer.delete(kind, found)
    _say(writer, "configured" if kept else "deleted", namespace)


def _say(writer: Writer, what: str, namespace: str) -> None:
    where = f" in namespace {namespace}" if namespace else ""
    writer.say(f"{title_of(writer.objects[-1])} {what}{where}")


def _has(subjects: Sequence[Raw], subject: Raw, namespace: str) -> bool:
    return any(_meaning(each, namespace) == _meaning(subject, namespace) for each in subjects)


def _meaning(subject: Raw, namespace: str) -> tuple[str, str, str]:
    own = subject.get("namespace") or namespace
    return subject["kind"], subject["name"], own if subject["kind"] == SERVICE_ACCOUNT else ""


def _time(text: str) -> str:
    """An end as the API wants it."""
    unit = _UNITS.get(text[-1:])
    if unit and text[:-1].isdigit():
        return format_time(datetime.now(UTC) + int(text[:-1]) * unit)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise CLIError(f"--expires {text}: expected a duration (90m, 8h, 7d) or a time like 2030-01-31T18:00:00Z")
    return format_time(found)
