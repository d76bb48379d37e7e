"""The options that commands share, written once.

A verb takes them as one parameter: `def get(..., common: Common)` under the decorator `with_common`, which puts the
options into the signature that typer reads.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import msgspec
import typer

from scc_operator.cli import complete
from scc_operator.kube.login import Login


OUTPUTS = ("table", "wide", "json", "yaml", "name")


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for with the shared options."""

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


_PARAMETERS: dict[str, tuple[Any, Any]] = {
    "namespace": (
        Annotated[str, typer.Option("--namespace", "-n", help="The namespace.", autocompletion=complete.namespaces)],
        "",
    ),
    "all_namespaces": (Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces.")], False),
    "selector": (Annotated[str, typer.Option("--selector", "-l", help="Labels, as in KEY=VALUE,KEY!=VALUE,KEY.")], ""),
    "files": (
        Annotated[
            list[str] | None,
            typer.Option("--filename", "-f", help="File, folder or - for manifests; laid over the rest.", metavar="PATH"),
        ],
        None,
    ),
    "snapshot": (
        Annotated[
            str, typer.Option("--snapshot", help="Read the cluster from a file that `snapshot` wrote.", metavar="TAR.GZ")
        ],
        "",
    ),
    "offline": (
        Annotated[bool, typer.Option("--offline", help="No cluster: the default SCCs and the files alone.")],
        False,
    ),
    "defaults": (
        Annotated[bool, typer.Option("--defaults", help="Add the default SCCs and ranges where the cluster has none.")],
        False,
    ),
    "kubeconfig": (Annotated[str, typer.Option("--kubeconfig", help="Path of a kubeconfig.", metavar="FILE")], ""),
    "context": (Annotated[str, typer.Option("--context", help="Context of the kubeconfig.")], ""),
    "as_user": (Annotated[str, typer.Option("--as", help="Act as this user.", metavar="USER")], ""),
    "as_groups": (
        Annotated[list[str] | None, typer.Option("--as-group", help="Act as a member of it.", metavar="GROUP")],
        None,
    ),
    "output": (Annotated[str, typer.Option("--output", "-o", help="One of " + ", ".join(OUTPUTS) + ".")], "table"),
    "no_headers": (Annotated[bool, typer.Option("--no-headers", help="Tables without their first line.")], False),
    "color": (Annotated[str, typer.Option("--color", help="auto, always or never.")], "auto"),
    "exit_zero": (Annotated[bool, typer.Option("--exit-zero", help="End with 0 also where something was found.")], False),
}


def with_common(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the shared options: its parameter `common` becomes all of them."""

    @functools.wraps(verb)
    def call(**given: Any) -> Any:
        shared = {name: given.pop(name) for name in _PARAMETERS}
        for name in ("files", "as_groups"):
            shared[name] = tuple(shared[name] or ())
        return verb(**given, common=Common(**shared))

    own = {name: each for name, each in inspect.signature(verb).parameters.items() if name != "common"}
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _PARAMETERS.items()
    ]
    hints = get_type_hints(verb, include_extras=True)
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name]) for name, each in own.items()]
    call.__signature__ = inspect.Signature([*parameters, *shared])  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in [*parameters, *shared]}
    return call
