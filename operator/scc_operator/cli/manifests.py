"""Manifests from files, folders and standard input, with the lines on which things stand."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from scc_operator.cli.errors import CLIError

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
STDIN = "-"


class Document:
    """One object of a file."""

    def __init__(self, raw: dict[str, Any], file: str, node: yaml.Node | None = None) -> None:
        self.raw = raw
        self.file = file
        self._node = node

    def line(self, path: Sequence[str | int] = ()) -> int:
        """The line (from 1) of the deepest part of a path that the document has."""
        node, line = self._node, 1
        if node is None:
            return line
        line = node.start_mark.line + 1
        for key in path:
            found = _child(node, key)
            if found is None:
                break
            node, mark = found
            line = mark.line + 1
        return line


def load(places: Iterable[str]) -> list[Document]:
    """All objects of files, folders (searched for YAML and JSON) and `-`, in order; lists are unpacked.

    Raises:
        CLIError: a file cannot be read or holds something else than objects.
    """
    return [document for place in places for name, text in _texts(place) for document in _documents(name, text)]


def _texts(place: str) -> Iterator[tuple[str, str]]:
    if place == STDIN:
        yield "standard input", sys.stdin.read()
        return
    path = Path(place)
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
        if not files:
            raise CLIError(f"{place}: no .yaml, .yml or .json file in this folder")
    else:
        files = [path]
    for file in files:
        try:
            yield str(file), file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise CLIError(f"{file}: cannot be read: {reason}") from error


def _documents(file: str, text: str) -> Iterator[Document]:
    for raw, node in _parsed(file, text):
        if raw is None:
            continue
        if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str):
            found = (
                f"an object without kind: {', '.join(map(str, raw)) or 'empty'}"
                if isinstance(raw, dict)
                else f"{raw!r:.40}"
            )
            line = node.start_mark.line + 1 if node else 1
            raise CLIError(f"{file}:{line}: expected a Kubernetes object with apiVersion and kind, found {found}")
        yield from _unpacked(file, raw, node)


def _unpacked(file: str, raw: dict[str, Any], node: yaml.Node | None) -> Iterator[Document]:
    items = raw.get("items")
    if not (raw["kind"].endswith("List") and isinstance(items, list)):
        yield Document(raw, file, node)
        return
    nodes = _child(node, "items") if node else None
    for index, item in enumerate(items):
        child = _child(nodes[0], index) if nodes else None
        if isinstance(item, dict):
            # Items of a typed list, as the API gives them, do not say what they are.
            head = {"apiVersion": raw.get("apiVersion", ""), "kind": raw["kind"].removesuffix("List")}
            yield from _unpacked(file, head | item, child[0] if child else None)


def _parsed(file: str, text: str) -> Iterator[tuple[Any, yaml.Node | None]]:
    if text.lstrip().startswith("{") and not text.lstrip().startswith("{{"):
        try:
            yield msgspec.json.decode(text), None  # a hundred times faster than reading it as YAML
        except msgspec.DecodeError:
            pass
        else:
            return
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            yield loader.construct_document(node), node
    except yaml.YAMLError as error:
        raise CLIError(_yaml_error(file, text, error)) from error
    finally:
        loader.dispose()


def _yaml_error(file: str, text: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    problem = getattr(error, "problem", None) or "malformed"
    hint = ""
    if "{{" in text:
        hint = "; it looks like a template: render it first, e.g. helm template CHART | kubectl scc review -f -"
    return f"{file}:{line}: not valid YAML: {problem}{hint}"


def _child(node: yaml.Node, key: str | int) -> tuple[yaml.Node, yaml.Mark] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                return value, name.start_mark
    elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key].start_mark
    return None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads dates as the text that they are: no field of Kubernetes is anything else."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
