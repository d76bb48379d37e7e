"""The command: which verbs there are, and how a run ends. A verb's module is imported when the verb is called."""

import importlib
import sys
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from scc_operator.cli.errors import CLIError, Exit, close_matches


class Verb(NamedTuple):
    """A verb: its name, the module and the name in it that is its command, and what `--help` says of it."""

    name: str
    module: str
    command: str
    help: str


VERBS = (
    Verb("get", "get", "get", "SCCs in the order in which they are tried, and what each allows"),
    Verb("describe", "describe", "describe", "an SCC's rules, and who may really use it"),
    Verb("review", "review", "review", "which SCC the pods of manifests would get, what is denied and why"),
    Verb("explain", "explain", "explain", "why a pod gets its SCC or none, and the cheapest fix"),
    Verb("who-can", "who_can", "who_can", "who may use an SCC, through which grant, and which are unused"),
    Verb("can", "can", "can", "which SCCs a user, group or service account may use, and why"),
    Verb("grant", "grant", "grant", "let subjects use SCCs, with an SCC binding"),
    Verb("revoke", "grant", "revoke", "take subjects out of SCC bindings"),
    Verb(
        "add-scc-to-user", "policy", "add_scc_to_user", "as in oc adm policy: let users or service accounts use an SCC"
    ),
    Verb("add-scc-to-group", "policy", "add_scc_to_group", "as in oc adm policy: let groups use an SCC"),
    Verb("remove-scc-from-user", "policy", "remove_scc_from_user", "as in oc adm policy: take an SCC from users"),
    Verb("remove-scc-from-group", "policy", "remove_scc_from_group", "as in oc adm policy: take an SCC from groups"),
    Verb("audit", "audit", "audit", "the running pods by SCC, verdict and namespace; --lint for the SCCs themselves"),
    Verb("compare", "compare", "compare", "is one SCC contained in another, and what does the wider one allow more"),
    Verb("impact", "impact", "impact", "which running pods a change of SCCs, grants or namespaces would move"),
    Verb("recommend", "recommend", "recommend", "the least SCC for each service account, and grants that nothing uses"),
    Verb("ranges", "ranges", "ranges", "namespaces with their UID blocks, conflicts, and quarantined blocks"),
    Verb("diagnose", "diagnose", "diagnose", "what stands in a pod's way beside SCCs: users, volumes, SELinux, labels"),
    Verb("snapshot", "snapshot", "snapshot", "write what the offline mode needs; no secrets in it"),
)
_BY_NAME = {verb.name: verb for verb in VERBS}
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


class _Verbs(click.Group):
    """The verbs, each loaded when it is called; a list of them loads none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of the table."""
        del ctx
        return list(_BY_NAME)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb."""
        verb = _BY_NAME.get(cmd_name)
        if verb is None:
            return None
        module = importlib.import_module(f"scc_operator.cli.{verb.module}")
        found: click.Command = getattr(module, verb.command)
        found.context_settings = {**ctx.command.context_settings, **found.context_settings}
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The verb that is called; one that does not exist gets close matches."""
        if args[0] not in _BY_NAME and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise CLIError(f"unknown command {args[0]!r}{close_matches(args[0], _BY_NAME)}; see kubectl scc --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(verb.name, verb.help) for verb in VERBS])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The verbs that begin so."""
        found = [CompletionItem(verb.name, help=verb.help) for verb in VERBS if verb.name.startswith(incomplete)]
        return found or click.Command.shell_complete(self, ctx, incomplete)


command = _Verbs(
    name="kubectl scc",
    help="SecurityContextConstraints: which one every pod gets, why, and what would change.\n\n"
    "Exit codes: 0 yes or nothing found, 1 usage or run-time error, 2 denied or findings, 3 undecidable.",
    no_args_is_help=True,
    context_settings=_SETTINGS,
)
click.version_option(package_name="scc-operator", prog_name="kubectl scc")(command)


def main() -> None:
    """Run the command and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command with these arguments and return its exit code."""
    try:
        result = command.main(arguments, prog_name="kubectl scc", standalone_mode=False)
        sys.stdout.flush()
    except CLIError as error:
        print(f"{error.prefix}{error}", file=sys.stderr)
        return error.code
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return Exit.ERROR
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"\nsee {context.command_path} --help" if context else ""
        print(f"error: {error.format_message()}{hint}", file=sys.stderr)
        return Exit.ERROR
    except click.Abort:
        print("error: interrupted", file=sys.stderr)
        return Exit.ERROR
    except BrokenPipeError:
        sys.stdout = None  # the reader has gone, e.g. `| head`
        return Exit.OK
    return int(result or Exit.OK)
