"""Shell completion: what may follow, and `kubectl_complete-scc`, which kubectl asks.

Completion never fails aloud: a cluster that does not answer quickly means no suggestions.
"""

import contextlib
import io
import os
import sys
from typing import Any

_NO_FILES = ":4"
_FILES = ":0"


def sccs(context: Any, incomplete: str) -> list[str]:
    """Names of SCCs."""
    return _names(context, "SecurityContextConstraints", incomplete)


def namespaces(context: Any, incomplete: str) -> list[str]:
    """Names of namespaces."""
    return _names(context, "Namespace", incomplete)


def service_accounts(context: Any, incomplete: str) -> list[str]:
    """Names of the namespace's service accounts."""
    return _names(context, "ServiceAccount", incomplete)


def pods(context: Any, incomplete: str) -> list[str]:
    """The namespace's pods as `pod/NAME`."""
    return [f"pod/{name}" for name in _names(context, "Pod", incomplete.removeprefix("pod/"))]


def _names(context: Any, kind: str, incomplete: str) -> list[str]:
    try:
        from scc_operator.cli import kinds
        from scc_operator.cli.options import Common
        from scc_operator.cli.world import ALL, World

        given = {name: context.params.get(name) for name in ("namespace", "context", "kubeconfig", "snapshot", "offline")}
        common = Common(**{name: value for name, value in given.items() if value})
        wanted = next(each for each in kinds.SNAPSHOT if each.kind == kind)
        with World(common) as world:
            namespace = world.namespace if wanted.resource.namespaced else ALL
            names = [raw["metadata"]["name"] for raw in world.objects(wanted, namespace)]
    except Exception:  # noqa: BLE001 - whatever it was, the user is typing
        return []
    return [name for name in names if name.startswith(incomplete)]


def main() -> None:
    """Answer kubectl: the words after `kubectl scc`, the last of them incomplete; then a line with a directive."""
    words = sys.argv[1:] or [""]
    found = suggestions(words)
    for each in found:
        print(each)
    print(_NO_FILES if found or words[-1].startswith("-") else _FILES)


def suggestions(words: list[str]) -> list[str]:
    """What may stand in place of the last word, each with a description after a tab where there is one."""
    from scc_operator.cli.app import command

    variable = "_KUBECTL_SCC_COMPLETE"
    quoted = [f"'{word}'" if word else "" for word in words]
    asked = {variable: "complete_fish", "_TYPER_COMPLETE_ARGS": " ".join(["kubectl-scc", *quoted])}
    asked["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    if words[-1]:
        asked["_TYPER_COMPLETE_ARGS"] = " ".join(["kubectl-scc", *quoted[:-1], words[-1]])
    before = {name: os.environ.get(name) for name in asked}
    os.environ.update(asked)
    answer = io.StringIO()
    try:
        from typer.completion import completion_init

        completion_init()
        with contextlib.redirect_stdout(answer), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
            command().main(["--help"], prog_name="kubectl-scc", complete_var=variable, standalone_mode=False)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return [line for line in answer.getvalue().splitlines() if line]
