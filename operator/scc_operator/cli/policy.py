"""`add-scc-to-user|group` and `remove-scc-from-user|group`: oc's arguments and messages, without its traps.

What is done otherwise than by oc: the SCC has to exist; a service account is granted in its own namespace, users and
groups where the caller says (oc grants both in the whole cluster as soon as -n is missing, and ignores it for
groups); a ClusterRole of the right name that grants something else is refused; a dry run covers every object; `-o`
prints what was written and never keeps it from being written; a second line says which binding was written, and for a
removal what still gives access.
"""

from collections.abc import Sequence

import click

from scc_operator import names
from scc_operator.access.rbac import GROUP, SERVICE_ACCOUNT, Subject
from scc_operator.access.scc_bindings import is_exact_use_role
from scc_operator.cli import complete, kinds
from scc_operator.cli.access import parse_subject
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
    rbac_subject,
    remaining,
    same_subject,
    until_no_conflict,
    yes_option,
)

_ROLE_TITLE = "clusterrole.rbac.authorization.k8s.io"
_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_API_VERSION = f"{names.RBAC_GROUP}/v1"

_account_option = click.option(
    "-z", "--serviceaccount", "accounts", multiple=True, shell_complete=complete.service_accounts,
    help="A service account of the namespace; may be repeated or hold commas.",
)  # fmt: skip
_cluster_option = click.option("--cluster", is_flag=True, help="In the whole cluster, not in one namespace.")


@click.command("add-scc-to-user")
@click.argument("words", nargs=-1, metavar="SCC [USER]...", shell_complete=complete.sccs)
@_account_option
@_cluster_option
@dry_run_option
@yes_option
@force_option
@with_common
def add_scc_to_user(
    common: Common,
    words: tuple[str, ...],
    accounts: tuple[str, ...],
    cluster: bool,
    dry_run: str,
    yes: bool,
    force: bool,
) -> int:
    """Let users or service accounts use an SCC, as oc adm policy add-scc-to-user does, through RBAC.

    A service account is granted in its own namespace. A user needs -n NAMESPACE or --cluster.
    """
    with World(common) as world:
        scc, subjects = _users(words, accounts, world)
        _add(world, scc, subjects, cluster=cluster, dry_run=dry_run, yes=yes, force=force)
    return Exit.OK


@click.command("add-scc-to-group")
@click.argument("words", nargs=-1, metavar="SCC GROUP...", shell_complete=complete.sccs)
@_cluster_option
@dry_run_option
@yes_option
@force_option
@with_common
def add_scc_to_group(
    common: Common, words: tuple[str, ...], cluster: bool, dry_run: str, yes: bool, force: bool
) -> int:
    """Let groups use an SCC, as oc adm policy add-scc-to-group does, through RBAC; needs -n NAMESPACE or --cluster."""
    with World(common) as world:
        scc, subjects = _groups(words)
        _add(world, scc, subjects, cluster=cluster, dry_run=dry_run, yes=yes, force=force)
    return Exit.OK


@click.command("remove-scc-from-user")
@click.argument("words", nargs=-1, metavar="SCC [USER]...", shell_complete=complete.sccs)
@_account_option
@_cluster_option
@dry_run_option
@with_common
def remove_scc_from_user(
    common: Common, words: tuple[str, ...], accounts: tuple[str, ...], cluster: bool, dry_run: str
) -> int:
    """Take an SCC from users or service accounts, as oc adm policy remove-scc-from-user does.

    Says what still gives them access: bindings of other names, other scopes, and the SCC's own users and groups.
    """
    with World(common) as world:
        scc, subjects = _users(words, accounts, world)
        _remove(world, scc, subjects, cluster=cluster, dry_run=dry_run)
    return Exit.OK


@click.command("remove-scc-from-group")
@click.argument("words", nargs=-1, metavar="SCC GROUP...", shell_complete=complete.sccs)
@_cluster_option
@dry_run_option
@with_common
def remove_scc_from_group(common: Common, words: tuple[str, ...], cluster: bool, dry_run: str) -> int:
    """Take an SCC from groups, as oc adm policy remove-scc-from-group does."""
    with World(common) as world:
        scc, subjects = _groups(words)
        _remove(world, scc, subjects, cluster=cluster, dry_run=dry_run)
    return Exit.OK


# --- whom ----------------------------------------------------------------------------------------------------------


def _users(words: Sequence[str], accounts: Sequence[str], world: World) -> tuple[str, list[Subject]]:
    if not words:
        raise CLIError("you must specify a scc")
    scc, *users = words
    found = [
        parse_subject(f"user/{user}" if not user.startswith("system:serviceaccount:") else user, "") for user in users
    ]
    for account in comma_separated(accounts):
        if ":" in account or "/" in account:
            raise CLIError(f"-z {account}: expected the short name of a service account; give the long one as USER")
        found.append(Subject(SERVICE_ACCOUNT, account, world.namespace))
    if not found:
        raise CLIError("you must specify at least one user or service account")
    return scc, list(dict.fromkeys(found))


def _groups(words: Sequence[str]) -> tuple[str, list[Subject]]:
    if len(words) < 2:
        raise CLIError("you must specify at least two arguments: <scc> <group> [group]...")
    return words[0], [Subject(GROUP, group) for group in dict.fromkeys(words[1:])]


def _scopes(
    world: World, subjects: Sequence[Subject], *, cluster: bool, widest: bool = False
) -> dict[str, list[Subject]]:
    """The subjects by the namespace in which they are meant; an empty one is the whole cluster.

    Args:
        world: where we are.
        subjects: whom.
        cluster: the caller wants the whole cluster.
        widest: users and groups of which nothing was said are meant cluster-wide, as a removal takes them.
    """
    named = world.common.namespace
    if cluster and named:
        raise CLIError("--cluster and --namespace contradict each other: name one")
    scopes: dict[str, list[Subject]] = {}
    for subject in subjects:
        if cluster:
            scope = ""
        elif named:
            scope = named
        elif subject.kind == SERVICE_ACCOUNT:
            scope = subject.namespace
        elif widest:
            scope = ""
        else:
            raise CLIError(
                f"{subject} needs a place: -n NAMESPACE, or --cluster for the whole cluster, which is what oc takes"
            )
        scopes.setdefault(scope, []).append(subject)
    return scopes


# --- what ----------------------------------------------------------------------------------------------------------


def _add(
    world: World, scc: str, subjects: list[Subject], *, cluster: bool, dry_run: str, yes: bool, force: bool
) -> None:
    scopes = _scopes(world, subjects, cluster=cluster)
    check_scc(world, scc, force=force)
    check_reach(world, scc, subjects, yes=yes)

    def attempt(writer: Writer) -> None:
        _ensure_role(writer, scc, subjects)
        changed = [_add_in(writer, scc, scope, wanted) for scope, wanted in scopes.items()]
        verb = "added" if any(changed) else "unchanged"
        if dry_run == "none":
            writer.lines.insert(0, f"{_ROLE_TITLE}/{names.SCC_ROLE_PREFIX}{scc} {verb}: {_quoted(subjects)}")

    until_no_conflict(world, dry_run, attempt).print()


def _ensure_role(writer: Writer, scc: str, subjects: list[Subject]) -> None:
    name = names.SCC_ROLE_PREFIX + scc
    found = writer.find(kinds.CLUSTER_ROLES, "", name)
    if found is not None:
        if not is_exact_use_role(found, scc):
            raise CLIError(
                f"clusterrole {name} exists and grants something else than use of {scc}: "
                "look at it with kubectl describe, and correct or delete it first"
            )
        return
    rule = {
        "apiGroups": [names.SECURITY_GROUP],
        "resources": [names.SCC_RESOURCE],
        "resourceNames": [scc],
        "verbs": [names.USE_VERB],
    }
    role = {"apiVersion": _API_VERSION, "kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule]}
    writer.create(kinds.CLUSTER_ROLES, role)
    if writer.dry_run != "none":
        writer.say(f"{_ROLE_TITLE}/{name} added: {_quoted(subjects)}")


def _add_in(writer: Writer, scc: str, scope: str, subjects: list[Subject]) -> bool:
    """Add subjects to the binding of one scope; False where they all were there."""
    kind, found = _binding(
        writer, scc, scope, "found for role {found}, not {role}", 'found for "{kind}", not "ClusterRole"'
    )
    if found is None:
        body = _new_binding(kind, scc, scope, subjects)
        writer.create(kind, body)
    else:
        missing = [
            each for each in subjects if not any(same_subject(raw, each, scope) for raw in found.get("subjects") or ())
        ]
        if not missing:
            writer.tell(f"{_where(kind, scc, scope)} has them already: {_named(subjects)}")
            return False
        _refuse_platform(found, kind)
        all_subjects = [*(found.get("subjects") or ()), *map(rbac_subject, missing)]
        writer.replace(kind, {"apiVersion": _API_VERSION, **found, "subjects": all_subjects})
    if writer.dry_run != "none":
        writer.say(f"{_title(kind)}/{names.SCC_ROLE_PREFIX}{scc} added: {_quoted(subjects)}")
    writer.tell(f"{_where(kind, scc, scope)}: {_named(subjects)}")
    return True


def _remove(world: World, scc: str, subjects: list[Subject], *, cluster: bool, dry_run: str) -> None:
    scopes = _scopes(world, subjects, cluster=cluster, widest=True)

    def attempt(writer: Writer) -> None:
        for scope, wanted in scopes.items():
            _remove_in(writer, scc, scope, wanted)

    writer = until_no_conflict(world, dry_run, attempt)
    for scope, wanted in scopes.items():
        taken = "ClusterRoleBinding" if not scope else f"RoleBinding {scope}"
        text = f"{taken}{'/' if scope else ' '}{names.SCC_ROLE_PREFIX}{scc}"
        for subject in wanted:
            where = scope or (subject.namespace if subject.kind == SERVICE_ACCOUNT else "")
            for left in remaining(world, scc, subject, where):
                if not left.startswith(text):
                    writer.tell(f"{subject} may still use {scc}: {left}")
    writer.print()


def _remove_in(writer: Writer, scc: str, scope: str, subjects: list[Subject]) -> None:
    name = names.SCC_ROLE_PREFIX + scc
    kind, found = _binding(
        writer,
        scc,
        scope,
        "contains role {found}, instead of role {role}",
        'contains role of kind "{kind}", not "ClusterRole"',
    )
    if found is None:
        raise ServerError("NotFound", f'{kind.resource.plural}.{names.RBAC_GROUP} "{name}" not found')
    stored = found.get("subjects") or []
    taken = [each for each in subjects if any(same_subject(raw, each, scope) for raw in stored)]
    kept = [raw for raw in stored if not any(same_subject(raw, each, scope) for each in taken)]
    if not taken:
        raise CLIError(f"unable to find target [{' '.join(each.name for each in subjects)}]")
    _refuse_platform(found, kind)
    keeps = (found["metadata"].get("annotations") or {}).get(_AUTOUPDATE) == "false"
    if kept or keeps:
        writer.replace(kind, {"apiVersion": _API_VERSION, **found, "subjects": kept})
    else:
        writer.delete(kind, {"apiVersion": _API_VERSION, **found})
    writer.say(f"{_ROLE_TITLE}/{name} removed: {_quoted(taken)}")
    writer.tell(f"{_where(kind, scc, scope)}{'' if kept or keeps else ' deleted'}: {_named(taken)}")
    for each in subjects:
        if each not in taken:
            writer.tell(f"{_where(kind, scc, scope)} did not have {each}")


def _binding(writer: Writer, scc: str, scope: str, other: str, other_kind: str) -> tuple[ObjectKind, Raw | None]:
    """The binding that oc would use in this scope.

    Raises:
        CLIError: it exists and refers to another role, which cannot be changed.
    """
    name = names.SCC_ROLE_PREFIX + scc
    kind = kinds.ROLE_BINDINGS if scope else kinds.CLUSTER_ROLE_BINDINGS
    found = writer.find(kind, scope, name)
    if found is not None:
        role = found.get("roleRef") or {}
        if role.get("kind") != "ClusterRole":
            raise CLIError(f"{kind.kind.lower()} {name} {other_kind.format(kind=role.get('kind'))}")
        if role.get("name") != name:
            raise CLIError(f"{kind.kind.lower()} {name} {other.format(found=role.get('name'), role=name)}")
    return kind, found


def _refuse_platform(found: Raw, kind: ObjectKind) -> None:
    if any(key.startswith(names.PLATFORM_ANNOTATION) for key in found["metadata"].get("annotations") or {}):
        name = found["metadata"]["name"]
        raise CLIError(
            f"{kind.kind.lower()} {name} belongs to the platform, which would revert the change: use kubectl scc grant"
        )


def _new_binding(kind: ObjectKind, scc: str, scope: str, subjects: list[Subject]) -> Raw:
    name = names.SCC_ROLE_PREFIX + scc
    return {
        "apiVersion": _API_VERSION,
        "kind": kind.kind,
        "metadata": {"name": name, **({"namespace": scope} if scope else {})},
        "roleRef": {"apiGroup": names.RBAC_GROUP, "kind": "ClusterRole", "name": name},
        "subjects": [rbac_subject(each) for each in subjects],
    }


def _title(kind: ObjectKind) -> str:
    return f"{kind.kind.lower()}.{names.RBAC_GROUP}"


def _where(kind: ObjectKind, scc: str, scope: str) -> str:
    place = f"in namespace {scope}" if scope else "in the whole cluster"
    return f"{kind.kind.lower()} {names.SCC_ROLE_PREFIX}{scc} {place}"


def _named(subjects: Sequence[Subject]) -> str:
    return ", ".join(map(str, subjects))


def _quoted(subjects: Sequence[Subject]) -> str:
    """Short names as oc prints them: one plain, several in brackets."""
    quoted = " ".join(f'"{each.name}"' for each in subjects)
    return quoted if len(subjects) == 1 else f"[{quoted}]"
