"""The command: which verbs there are, and how a run ends. A verb's module is imported when the verb is called."""

import importlib
import sys
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from scc_operator.cli.errors import CLIError, Exit


class Verb(NamedTuple):
    """A verb: its name, the module and function that do it, and what `--help` says of it."""

    name: str
    module: str
    function: str
    help: str


VERBS = (
    Verb("get", "get", "get", "SCCs in the order in which they are tried, and what each allows"),
    Verb("describe", "describe", "describe", "one SCC: its rules, and who may really use it"),
    Verb("review", "review", "review", "which SCC the pods of manifests would get, and what is denied and why"),
    Verb("explain", "explain", "explain", "why a pod gets its SCC or none, and the fix that costs least privilege"),
    Verb("who-can", "who_can", "who_can", "who may use an SCC, through which grant, and which grants nothing uses"),
    Verb("can", "can", "can", "which SCCs a user, group or service account may use, and through which grant"),
    Verb("grant", "grant", "grant", "let subjects use SCCs, with an SCC binding"),
    Verb("revoke", "grant", "revoke", "take subjects out of an SCC binding"),
    Verb("add-scc-to-user", "policy", "add_scc_to_user", "as in oc adm policy: let users or service accounts use an SCC"),
    Verb("add-scc-to-group", "policy", "add_scc_to_group", "as in oc adm policy: let groups use an SCC"),
    Verb("remove-scc-from-user", "policy", "remove_scc_from_user", "as in oc adm policy: take an SCC from users"),
    Verb("remove-scc-from-group", "policy", "remove_scc_from_group", "as in oc adm policy: take an SCC from groups"),
    Verb("snapshot", "snapshot", "snapshot", "write what the offline mode needs; no secrets in it"),
)
_BY_NAME = {verb.name: verb for verb in VERBS}
_HELP = "SecurityContextConstraints: which one every pod gets, why, and what would change."
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


class Verbs(TyperGroup):
    """The verbs, each loaded when it is called; a list of them loads none."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All verbs, in the order of the table."""
        del ctx
        return list(_BY_NAME)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a verb."""
        del ctx
        verb = _BY_NAME.get(cmd_name)
        return _loaded(verb) if verb else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that is called.

        Raises:
            CLIError: there is none of that name.
        """
        if args and args[0] not in _BY_NAME and not args[0].startswith("-") and not ctx.resilient_parsing:
            from scc_operator.cli.world import close_matches

            raise CLIError(f"unknown command {args[0]!r}{close_matches(args[0], _BY_NAME)}; see kubectl scc --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list in `--help`."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(verb.name, verb.help) for verb in VERBS])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The verbs that begin so."""
        from typer._click.shell_completion import CompletionItem  # noqa: PLC2701

        found = [CompletionItem(verb.name, help=verb.help) for verb in VERBS if verb.name.startswith(incomplete)]
        return found or super(TyperGroup, self).shell_complete(ctx, incomplete)


def command() -> Any:
    """The whole command line."""
    return Verbs(
        name="kubectl-scc",
        help=_HELP,
        no_args_is_help=True,
        context_settings=_SETTINGS,
        rich_markup_mode=None,
        callback=_version_or_nothing,
        params=[],
    )


def _version_or_nothing() -> None:
    """The group itself does nothing."""


def _loaded(verb: Verb) -> Any:
    function = getattr(importlib.import_module(f"scc_operator.cli.{verb.module}"), verb.function)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(verb.name, context_settings=_SETTINGS)(function)
    return typer.main.get_command(app)


def main() -> None:
    """Run the command and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command with these arguments and return its exit code."""
    try:
        result = command().main(arguments, prog_name="kubectl scc", standalone_mode=False)
    except CLIError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
        else:
            print(f"error: {error.format_message()}", file=sys.stderr)
        return Exit.ERROR
    except typer.Abort:
        return Exit.ERROR
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone, e.g. `| head`
        return Exit.OK
    return int(result or Exit.OK)
