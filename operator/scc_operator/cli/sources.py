"""Where objects come from. A `World` lays these layers over each other.

Each layer answers for a batch of wanted lists at once, so that a live cluster is asked for all of them together.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import msgspec

from scc_operator import __version__
from scc_operator.cli import kinds
from scc_operator.cli.errors import CLIError
from scc_operator.cli.kinds import ObjectKind
from scc_operator.cli.manifests import Document

Raw = dict[str, Any]
Wanted = tuple[ObjectKind, str]
"""A kind and a namespace; an empty namespace means all of them."""

SNAPSHOT_VERSION = "snapshot.cli.scc-operator.io/v1"
_META = "snapshot.json"


class Unreadable(msgspec.Struct, frozen=True):
    """A list that cannot be had, and why, as a clause that follows the kind's name."""

    reason: str


class Layer(Protocol):
    """A source of objects."""

    title: str
    """What it is, for messages."""

    def read(self, wanted: Sequence[Wanted]) -> list[list[Raw] | Unreadable | None]:
        """The objects of each wanted list, in the same order; None where the layer does not know the kind at all."""

    def find(self, kind: ObjectKind, namespace: str, name: str) -> Raw | Unreadable | None:
        """One object; None where there is none."""


class Defaults:
    """The SCCs that are shipped, their roles, and the two bindings to everybody."""

    title = "built-in defaults"

    def __init__(self) -> None:
        self._objects: dict[ObjectKind, list[Raw]] | None = None

    def read(self, wanted: Sequence[Wanted]) -> list[list[Raw] | Unreadable | None]:
        """All of a kind, whatever the namespace: none of them is namespaced."""
        return [self._all().get(kind) for kind, _ in wanted]

    def find(self, kind: ObjectKind, namespace: str, name: str) -> Raw | Unreadable | None:
        """One of them."""
        del namespace
        return next((each for each in self._all().get(kind, ()) if each["metadata"]["name"] == name), None)

    def _all(self) -> dict[ObjectKind, list[Raw]]:
        if self._objects is None:
            self._objects = {}
            folder = resources.files("scc_operator.data")
            for file in ("default_sccs.yaml", "default_scc_rbac.yaml"):
                for raw in _yaml(folder.joinpath(file).read_text(encoding="utf-8")):
                    if kind := kinds.kind_of(raw):
                        self._objects.setdefault(kind, []).append(raw)
        return self._objects


def _yaml(text: str) -> Iterable[Raw]:
    import yaml

    return yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


class Files:
    """Objects of manifests."""

    title = "files"

    def __init__(self, documents: Iterable[Document], namespace: str) -> None:
        self._objects: dict[ObjectKind, list[Raw]] = {}
        for document in documents:
            kind = kinds.kind_of(document.raw)
            if kind is None or not _has_name(document.raw):
                continue
            raw = document.raw
            if kind.resource.namespaced and not raw["metadata"].get("namespace"):
                raw = raw | {"metadata": {**raw["metadata"], "namespace": namespace}}
            self._objects.setdefault(kind, []).append(raw)

    def holds(self, kind: ObjectKind) -> bool:
        """Whether any manifest is of this kind."""
        return kind in self._objects

    def read(self, wanted: Sequence[Wanted]) -> list[list[Raw] | Unreadable | None]:
        """Those of the kind, in file order."""
        return [_inside(self._objects.get(kind), namespace) for kind, namespace in wanted]

    def find(self, kind: ObjectKind, namespace: str, name: str) -> Raw | Unreadable | None:
        """The last of that name."""
        return _named(self._objects.get(kind, ()), namespace, name)


def _has_name(raw: Raw) -> bool:
    return isinstance(raw.get("metadata"), dict) and isinstance(raw["metadata"].get("name"), str)


def _inside(objects: list[Raw] | None, namespace: str) -> list[Raw] | None:
    if objects is None or not namespace:
        return objects
    return [each for each in objects if each["metadata"].get("namespace", "") in {"", namespace}]


def _named(objects: Iterable[Raw], namespace: str, name: str) -> Raw | None:
    found = None
    for each in objects:
        metadata = each["metadata"]
        if metadata["name"] == name and metadata.get("namespace", "") in {"", namespace}:
            found = each
    return found


class SnapshotInfo(msgspec.Struct, frozen=True, rename="camel"):
    """What a snapshot says about itself."""

    api_version: str
    server: str
    taken_at: str
    namespaces: tuple[str, ...]
    """The namespaces that it covers; empty for the whole cluster."""
    missing: dict[str, str] = {}
    """Kinds that could not be read, and why."""
    written_by: str = ""


class Snapshot:
    """A cluster as it was: a tar.gz with a JSON file for each kind.

    Raises:
        CLIError: the file cannot be read or is no snapshot.
    """

    def __init__(self, path: str) -> None:
        self.title = f"snapshot {path}"
        self._members: dict[str, bytes] = {}
        self._decoded: dict[ObjectKind, list[Raw]] = {}
        try:
            with tarfile.open(path, "r:*") as archive:
                for member in archive:
                    if member.isfile() and (stream := archive.extractfile(member)):
                        self._members[member.name] = stream.read()
        except (OSError, tarfile.TarError, EOFError) as error:
            raise CLIError(
                f"{path}: cannot be read as a snapshot: {error}; `kubectl scc snapshot` writes one"
            ) from error
        try:
            self.info = msgspec.json.decode(self._members.get(_META, b""), type=SnapshotInfo)
        except msgspec.MsgspecError as error:
            raise CLIError(f"{path}: has no readable {_META}; `kubectl scc snapshot` writes snapshots") from error
        if self.info.api_version != SNAPSHOT_VERSION:
            found = self.info.api_version
            raise CLIError(
                f"{path}: is a snapshot of version {found}, this program reads {SNAPSHOT_VERSION}; take it anew"
            )

    def read(self, wanted: Sequence[Wanted]) -> list[list[Raw] | Unreadable | None]:
        """Those of the kind, or why the snapshot has none."""
        return [self._read(kind, namespace) for kind, namespace in wanted]

    def find(self, kind: ObjectKind, namespace: str, name: str) -> Raw | Unreadable | None:
        """One object."""
        found = self._read(kind, namespace)
        return _named(found, namespace, name) if isinstance(found, list) else found

    def _read(self, kind: ObjectKind, namespace: str) -> list[Raw] | Unreadable | None:
        if kind.title in self.info.missing:
            return Unreadable(f"is not in the {self.title}: {self.info.missing[kind.title]}")
        if (
            kind.resource.namespaced
            and self.info.namespaces
            and (not namespace or namespace not in self.info.namespaces)
        ):
            asked = f"namespace {namespace}" if namespace else "all namespaces"
            has = ", ".join(self.info.namespaces)
            return Unreadable(f"was asked for {asked}, the {self.title} covers {has}: take one of {asked}")
        if kind not in self._decoded:
            if kind.file not in self._members:
                return None
            self._decoded[kind] = msgspec.json.decode(self._members[kind.file])["items"]
        return _inside(self._decoded[kind], namespace)


def write_snapshot(path: str, info: SnapshotInfo, objects: dict[ObjectKind, list[Raw]]) -> int:
    """Write a snapshot, objects ordered by namespace and name; returns its size in bytes."""
    info = msgspec.structs.replace(info, written_by=f"kubectl-scc {__version__}")
    members = {_META: msgspec.json.format(msgspec.json.encode(info), indent=2)}
    for kind, items in sorted(objects.items()):
        ordered = sorted(items, key=lambda raw: (raw["metadata"].get("namespace", ""), raw["metadata"]["name"]))
        members[kind.file] = json.dumps({"kind": f"{kind.kind}List", "items": ordered}, indent=1).encode()
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            header.mode = 0o600
            archive.addfile(header, io.BytesIO(data))
    return Path(path).stat().st_size
