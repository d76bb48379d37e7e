"""The mirror: what the cluster holds, in memory, and who is told about which change.

Handlers tell it what a watch saw, resyncs make it whole, and reconcilers read it. It never talks to an API server.
"""

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary, ref

import msgspec

from scc_operator import names
from scc_operator.access.rbac import Binding, Role, parse_binding, parse_role
from scc_operator.allocation.holdings import Holding
from scc_operator.allocation.namespace_ranges import read_holding
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.records import Constraints, Namespace, Question, RunningPod
from scc_operator.cluster.store import Entry, Key, Store

Raw = Mapping[str, Any]


class Listeners(msgspec.Struct):
    """Whom a change is told to. Each is a plain call that wakes somebody; none may do the work itself."""

    question: list[Callable[[Question], None]] = msgspec.field(default_factory=list)
    """A question is asked for the first time, or its namespace changed."""
    everything: list[Callable[[], None]] = msgspec.field(default_factory=list)
    """SCCs or RBAC changed: every answer may be another one."""
    pod: list[Callable[[Key], None]] = msgspec.field(default_factory=list)
    """A pod came or its annotations changed."""
    forgotten: list[Callable[[Question], None]] = msgspec.field(default_factory=list)
    """No pod asks this question any more."""
    namespace: list[Callable[[str], None]] = msgspec.field(default_factory=list)
    """A namespace came, changed or went."""
    scc: list[Callable[[str], None]] = msgspec.field(default_factory=list)
    """An SCC came, changed or went."""
    binding: list[Callable[[Kind, Key], None]] = msgspec.field(default_factory=list)
    """An SCCBinding or ClusterSCCBinding came, changed or went."""
    ledger: list[Callable[[], None]] = msgspec.field(default_factory=list)
    """The RangeAllocation `scc-uid` came, changed or went."""
    holding: list[Callable[[str], None]] = msgspec.field(default_factory=list)
    """A NamespaceRange came, changed or went."""
    rbac: list[Callable[[Kind, Key], None]] = msgspec.field(default_factory=list)
    """A role or a binding came, changed in any way, also in one that means nothing for SCCs, or went."""
    replay: list[Callable[[Kind], None]] = msgspec.field(default_factory=list)
    """The watch of a kind was interrupted: what was deleted meanwhile is unknown until the kind is listed."""


class Mirror:
    """Namespaces, SCCs, RBAC, SCC bindings and running pods, and the pods of each question.

    Attributes:
        kinds: what is watched; all kinds unless somebody leaves some out before the first list.
        tell: whom changes are told to.
    """

    def __init__(self) -> None:
        self.tell = Listeners()
        self.kinds: tuple[Kind, ...] = tuple(Kind)
        self.namespaces: Store[Namespace] = Store(self._namespace_changed)
        self.sccs: Store[Constraints] = Store(self._scc_changed)
        self.roles: Store[Role] = Store(self._rbac(Kind.ROLES))
        self.cluster_roles: Store[Role] = Store(self._rbac(Kind.CLUSTER_ROLES))
        self.role_bindings: Store[Binding] = Store(self._rbac(Kind.ROLE_BINDINGS))
        self.cluster_role_bindings: Store[Binding] = Store(self._rbac(Kind.CLUSTER_ROLE_BINDINGS))
        self.bindings: Store[Raw] = Store(self._binding(Kind.BINDINGS))
        self.cluster_bindings: Store[Raw] = Store(self._binding(Kind.CLUSTER_BINDINGS))
        self.ledgers: Store[Raw] = Store(self._ledger_changed)
        self.holdings: Store[Holding] = Store(self._holding_changed)
        self.pods: Store[RunningPod] = Store(self._pod_changed)
        self.questions: dict[Question, set[Key]] = {}
        self._asked_in: dict[str, set[Question]] = {}
        self._same: WeakKeyDictionary[Question, ref[Question]] = WeakKeyDictionary()
        self._announced: dict[Kind, set[Key]] = {kind: set() for kind in Kind}
        self._stores: dict[Kind, Store[Any]] = {
            Kind.NAMESPACES: self.namespaces,
            Kind.SCCS: self.sccs,
            Kind.ROLES: self.roles,
            Kind.CLUSTER_ROLES: self.cluster_roles,
            Kind.ROLE_BINDINGS: self.role_bindings,
            Kind.CLUSTER_ROLE_BINDINGS: self.cluster_role_bindings,
            Kind.BINDINGS: self.bindings,
            Kind.CLUSTER_BINDINGS: self.cluster_bindings,
            Kind.LEDGERS: self.ledgers,
            Kind.HOLDINGS: self.holdings,
            Kind.PODS: self.pods,
        }

    def store(self, kind: Kind) -> Store[Any]:
        """The objects of a kind."""
        return self._stores[kind]

    @property
    def unsynced(self) -> list[Kind]:
        """The kinds that were never listed to the end: until that is empty, no answer can be trusted."""
        return [kind for kind in self.kinds if not self._stores[kind].synced]

    # --- what comes in -----------------------------------------------------------------------------------------------

    def observe(self, kind: Kind, event_type: str | None, raw: Raw) -> None:
        """Take in one watch event: its type (None for an object of a list) and the whole object."""
        metadata = raw["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        announced = self._announced[kind]
        if event_type == "DELETED":
            announced.discard(key)
            self._stores[kind].remove(key, int(metadata["resourceVersion"]))
            return
        if event_type is None and key in announced:
            announced.clear()  # one replay is told once, not once an object
            for tell in self.tell.replay:
                tell(kind)
        announced.add(key)
        self.take(kind, raw)

    def take(self, kind: Kind, raw: Raw) -> None:
        """Take in an object as the API server holds it: from an event, or the answer to a write of our own."""
        key, entry = self.read(kind, raw)
        if entry.value is None:
            self._stores[kind].remove(key, entry.version)
        else:
            self._stores[kind].upsert(key, entry)

    def read(self, kind: Kind, raw: Raw) -> tuple[Key, Entry[Any]]:
        """An object's key and what is kept of it; a value of None says that it is left out."""
        metadata = raw["metadata"]
        value = _READERS[kind](raw)
        if isinstance(value, RunningPod) and value.question is not None:
            value = msgspec.structs.replace(value, question=self._intern(value.question))
        key = (metadata.get("namespace", ""), metadata["name"])
        return key, Entry(metadata.get("uid", ""), int(metadata["resourceVersion"]), value)

    def _intern(self, question: Question) -> Question:
        """The equal question that is known already: ten thousand replicas keep one, not ten thousand equal ones."""
        known = self._same.get(question)
        same = known() if known else None
        if same is None:
            self._same[question] = ref(question)
            return question
        return same

    # --- what follows from it ----------------------------------------------------------------------------------------

    def _namespace_changed(self, key: Key, old: Entry[Namespace] | None, new: Entry[Namespace] | None) -> None:
        if old and new and old.value == new.value:
            return
        for tell in self.tell.namespace:
            tell(key[1])
        for question in self._asked_in.get(key[1], ()):
            for ask in self.tell.question:
                ask(question)

    def _scc_changed(self, key: Key, old: Entry[Constraints] | None, new: Entry[Constraints] | None) -> None:
        if old and new and old.value == new.value:
            return
        for tell in self.tell.scc:
            tell(key[1])
        self._everything()

    def _rbac(self, kind: Kind) -> Callable[[Key, Entry[Any] | None, Entry[Any] | None], None]:
        def changed(key: Key, old: Entry[Any] | None, new: Entry[Any] | None) -> None:
            for tell in self.tell.rbac:
                tell(kind, key)
            if old and new and old.value == new.value:
                return
            if any(entry is not None and self._grants(entry.value) for entry in (old, new)):
                self._everything()

        return changed

    def _grants(self, rbac: Role | Binding) -> bool:
        """Whether this role, or the role of this binding, says anything about SCCs: most say nothing."""
        if isinstance(rbac, Role) or rbac.role is None:
            return rbac.matters
        role = (self.roles if rbac.role[0] else self.cluster_roles).get(rbac.role)
        return role is not None and role.value.matters

    def _binding(self, kind: Kind) -> Callable[[Key, Entry[Raw] | None, Entry[Raw] | None], None]:
        def changed(key: Key, old: Entry[Raw] | None, new: Entry[Raw] | None) -> None:
            if old and new and _meaning(old.value) == _meaning(new.value):
                return  # our own status, or a label
            for tell in self.tell.binding:
                tell(kind, key)

        return changed

    def _ledger_changed(self, key: Key, _old: Entry[Raw] | None, _new: Entry[Raw] | None) -> None:
        if key[1] == names.RANGE_NAME:
            for tell in self.tell.ledger:
                tell()

    def _holding_changed(self, key: Key, old: Entry[Holding] | None, new: Entry[Holding] | None) -> None:
        if old and new and old.value == new.value:
            return
        for tell in self.tell.holding:
            tell(key[1])

    def _everything(self) -> None:
        for tell in self.tell.everything:
            tell()

    def _pod_changed(self, key: Key, old: Entry[RunningPod] | None, new: Entry[RunningPod] | None) -> None:
        before = old.value.question if old else None
        after = new.value.question if new else None
        if before is not None and before != after:
            self._leave(before, key)
        if after is not None and before != after:
            self._join(after, key)
        if new is not None:
            for tell in self.tell.pod:
                tell(key)

    def _join(self, question: Question, key: Key) -> None:
        pods = self.questions.get(question)
        if pods is not None:
            pods.add(key)
            return
        self.questions[question] = {key}
        self._asked_in.setdefault(question.namespace, set()).add(question)
        for ask in self.tell.question:
            ask(question)

    def _leave(self, question: Question, key: Key) -> None:
        pods = self.questions[question]
        pods.discard(key)
        if pods:
            return
        del self.questions[question]
        asked = self._asked_in[question.namespace]
        asked.discard(question)
        if not asked:
            del self._asked_in[question.namespace]
        for forget in self.tell.forgotten:
            forget(question)


_READERS: dict[Kind, Callable[[Raw], Any]] = {
    Kind.NAMESPACES: Namespace.read,
    Kind.SCCS: Constraints.read,
    Kind.ROLES: parse_role,
    Kind.CLUSTER_ROLES: parse_role,
    Kind.ROLE_BINDINGS: parse_binding,
    Kind.CLUSTER_ROLE_BINDINGS: parse_binding,
    Kind.BINDINGS: lambda raw: raw,
    Kind.CLUSTER_BINDINGS: lambda raw: raw,
    Kind.LEDGERS: lambda raw: raw,
    Kind.HOLDINGS: read_holding,
    Kind.PODS: RunningPod.read,
}


def _meaning(binding: Raw) -> tuple[Any, ...]:
    metadata = binding["metadata"]
    return metadata.get("generation"), metadata.get("deletionTimestamp")
