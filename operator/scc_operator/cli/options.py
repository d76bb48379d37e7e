"""The options that commands share, written once: `@with_common` adds them and hands them over as one `Common`."""

import functools
from collections.abc import Callable
from typing import Any

import click
import msgspec

from scc_operator.cli import complete
from scc_operator.cli.errors import Exit
from scc_operator.kube.login import Login

OUTPUTS = ("table", "wide", "json", "yaml", "name")
COLORS = ("auto", "always", "never")


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for with the shared options; empty where nothing was said."""

    namespace: str = ""
    all_namespaces: bool = False
    selector: str = ""
    kubeconfig: str = ""
    context: str = ""
    as_user: str = ""
    as_groups: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    snapshot: str = ""
    offline: bool = False
    defaults: bool = False
    output: str = "table"
    no_headers: bool = False
    color: str = "auto"
    exit_zero: bool = False

    @property
    def login(self) -> Login:
        """How to reach a live cluster."""
        return Login(self.kubeconfig, self.context, self.as_user, self.as_groups)


_OPTIONS = (
    click.option("-n", "--namespace", default="", shell_complete=complete.namespaces, help="The namespace."),
    click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces."),
    click.option("-l", "--selector", default="", metavar="LABELS", help="Labels, as in KEY=VALUE,KEY!=VALUE,KEY,!KEY."),
    click.option(
        "-f", "--filename", "files", multiple=True, metavar="PATH", type=click.Path(),
        help="Manifests: a file, a folder, or - for standard input. May be repeated; laid over the cluster.",
    ),
    click.option(
        "--snapshot", default="", metavar="TAR.GZ", type=click.Path(), help="Read what `snapshot` wrote."
    ),
    click.option("--offline", is_flag=True, help="No cluster: the built-in default SCCs and the files alone."),
    click.option("--defaults", is_flag=True, help="Add default SCCs and example ranges where the cluster has none."),
    click.option("--kubeconfig", default="", metavar="FILE", type=click.Path(), help="The kubeconfig."),
    click.option("--context", default="", shell_complete=complete.contexts, help="A context of the kubeconfig."),
    click.option("--as", "as_user", default="", metavar="USER", help="Act as this user."),
    click.option("--as-group", "as_groups", multiple=True, metavar="GROUP", help="Act as a member; may be repeated."),
    click.option("-o", "--output", default="table", metavar="FORMAT", help=f"One of {', '.join(OUTPUTS)}."),
    click.option("--no-headers", is_flag=True, help="Tables without their first line."),
    click.option("--color", default="auto", type=click.Choice(COLORS), help="Colour; auto: only on a terminal."),
    click.option("--exit-zero", is_flag=True, help="End with 0 instead of 2 or 3."),
)  # fmt: skip


def with_common(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the shared options; it gets them as its argument `common`."""

    @functools.wraps(verb)
    def call(**given: Any) -> Any:
        shared = {name: given.pop(name) for name in Common.__struct_fields__}
        code = verb(common=Common(**shared), **given)
        return Exit.OK if shared["exit_zero"] and code in (Exit.FINDINGS, Exit.UNDECIDED) else code

    for option in reversed(_OPTIONS):
        option(call)
    return call
