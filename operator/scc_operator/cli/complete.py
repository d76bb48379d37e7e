"""Shell completion: what may follow, and `kubectl_complete-scc`, which kubectl asks.

Completion never fails aloud: a cluster that does not answer means no suggestions.
"""

import sys
from typing import Any

import click
from click.shell_completion import CompletionItem, ShellComplete

# What kubectl reads on the last line (the directives of the library that it is built with).
_NO_FILES = ":4"
_FILES = ":0"


def sccs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of SCCs."""
    del param
    return _names(ctx, "SecurityContextConstraints", incomplete)


def namespaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of namespaces."""
    del param
    return _names(ctx, "Namespace", incomplete)


def service_accounts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the namespace's service accounts."""
    del param
    return _names(ctx, "ServiceAccount", incomplete)


def pods(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The namespace's pods as `pod/NAME`."""
    del param
    return _names(ctx, "Pod", incomplete, "pod/")


def contexts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Contexts of the kubeconfig."""
    del param
    from scc_operator.kube.login import Login, contexts_of

    try:
        found = contexts_of(Login(ctx.params.get("kubeconfig") or ""))
    except Exception:  # noqa: BLE001 - whatever it was, the user is typing
        return []
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def _names(ctx: click.Context, kind: str, incomplete: str, prefix: str = "") -> list[CompletionItem]:
    try:
        found = _objects(ctx, kind)
    except Exception:  # noqa: BLE001 - whatever it was, the user is typing
        return []
    return [CompletionItem(prefix + name) for name in found if (prefix + name).startswith(incomplete)]


def _objects(ctx: click.Context, kind: str) -> list[str]:
    from scc_operator.cli import kinds
    from scc_operator.cli.options import Common
    from scc_operator.cli.world import ALL, World

    sources = ("namespace", "context", "kubeconfig", "snapshot", "offline", "as_user", "as_groups")
    common = Common(**{name: value for name in sources if (value := ctx.params.get(name))})
    wanted = next(each for each in kinds.SNAPSHOT if each.kind == kind)
    with World(common) as world:
        namespace = world.namespace if wanted.resource.namespaced else ALL
        return [raw["metadata"]["name"] for raw in world.objects(wanted, namespace)]


def main() -> None:
    """Answer kubectl: the words after `kubectl scc`, the last of them incomplete; then a line with a directive."""
    words = sys.argv[1:] or [""]
    found = suggestions(words)
    for each in found:
        print(each)
    print(_FILES if not found and not words[-1].startswith("-") else _NO_FILES)


def suggestions(words: list[str]) -> list[str]:
    """What may stand in place of the last word, with a description after a tab where there is one."""
    from scc_operator.cli.app import command

    shell: Any = ShellComplete(command, {}, "kubectl-scc", "_KUBECTL_SCC_COMPLETE")
    items = shell.get_completions(words[:-1], words[-1])
    return [f"{item.value}\t{item.help}" if item.help else str(item.value) for item in items if item.type == "plain"]
