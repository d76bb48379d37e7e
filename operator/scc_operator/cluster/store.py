"""One kind's objects as the cluster has them: fed by watch events, made whole by lists.

A watch alone is not to be trusted: after a gap (410, a pause) Kopf replays what exists and never says what vanished, so
a store that is only fed by events would keep a deleted RoleBinding for ever. Therefore a list *replaces* the store.
While a list is under way events go on, so replacing keeps what is newer than the list, and what was deleted since
stays deleted: neither a list nor the late answer to a write of our own brings it back. resourceVersions are comparable
numbers within a kind (guaranteed since Kubernetes 1.35, true of etcd before).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

import msgspec

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""

_T = TypeVar("_T")


class Entry(msgspec.Struct, Generic[_T], frozen=True):
    """An object's identity, version and what we keep of it."""

    uid: str
    version: int
    value: _T


class Store(Generic[_T]):
    """The objects of one kind by key.

    `on_change(key, old, new)` is called after each change that matters: old or new is None for objects that came or
    went. An object of another uid under the same key counts as gone and come.
    """

    def __init__(self, on_change: Callable[[Key, Entry[_T] | None, Entry[_T] | None], None]) -> None:
        self._entries: dict[Key, Entry[_T]] = {}
        self._on_change = on_change
        self._listed = 0
        self._deleted: dict[Key, int] = {}
        self.synced = False

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def get(self, key: Key) -> Entry[_T] | None:
        """The object under this key."""
        return self._entries.get(key)

    def items(self) -> Iterator[tuple[Key, Entry[_T]]]:
        """All objects, in no order of meaning."""
        return iter(self._entries.items())

    def keys(self) -> Iterator[Key]:
        """The keys of all objects."""
        return iter(self._entries)

    def values(self) -> Iterator[_T]:
        """What is kept of all objects."""
        return (entry.value for entry in self._entries.values())

    def upsert(self, key: Key, entry: Entry[_T]) -> bool:
        """Take in an event that shows the object; False where it is older than what is known."""
        known = self._entries.get(key)
        if known is None:
            # Not in a list that is newer than the event: the object was deleted before that list.
            if entry.version <= max(self._listed, self._deleted.get(key, 0)):
                return False
        elif entry.version < known.version or (entry.version == known.version and entry.uid == known.uid):
            return False
        self._put(key, known, entry)
        return True

    def remove(self, key: Key, version: int) -> bool:
        """Take in an event that the object was deleted at this version; False where a newer namesake is known."""
        known = self._entries.get(key)
        if known is not None and known.version > version:
            return False
        self._deleted[key] = max(version, self._deleted.get(key, 0))
        if known is None:
            return False
        del self._entries[key]
        self._on_change(key, known, None)
        return True

    def replace(self, listed: Mapping[Key, Entry[_T]], version: int) -> None:
        """Make the store equal to a list that was taken at `version`, keeping whatever is newer than that.

        Of two lists the older one must not come second.
        """
        self._listed = max(self._listed, version)
        # What was deleted before the list is not in it, and from now on `_listed` keeps it away.
        self._deleted = {key: at for key, at in self._deleted.items() if at > version}
        for key in [key for key, entry in self._entries.items() if key not in listed and entry.version <= version]:
            gone = self._entries.pop(key)
            self._on_change(key, gone, None)
        for key, entry in listed.items():
            if self._deleted.get(key, 0) >= entry.version:
                continue
            known = self._entries.get(key)
            if known is None or entry.version > known.version or entry.uid != known.uid:
                if known is not None and known.version > version:
                    continue
                self._put(key, known, entry)
        self.synced = True

    def _put(self, key: Key, known: Entry[_T] | None, entry: Entry[_T]) -> None:
        self._entries[key] = entry
        self._deleted.pop(key, None)
        if known is not None and known.uid != entry.uid:
            self._on_change(key, known, None)
            known = None
        self._on_change(key, known, entry)
