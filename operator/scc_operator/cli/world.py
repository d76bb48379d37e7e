"""The cluster as a command sees it: layers laid over each other, read lazily, judged by the engine.

From the bottom: the built-in defaults (only where asked for or nothing else has SCCs), a live cluster or a snapshot,
files. An object of an upper layer replaces its namesake below. SCC bindings of files count as the RBAC that the
operator would make of them.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import msgspec

from scc_operator import names
from scc_operator.access.scc_bindings import desired, parse_scc_binding
from scc_operator.access.subjects import Identity
from scc_operator.audit.view import View
from scc_operator.cli import kinds
from scc_operator.cli.errors import CLIError, Exit, close_matches
from scc_operator.cli.kinds import ObjectKind
from scc_operator.cli.manifests import Document, load
from scc_operator.cli.options import Common
from scc_operator.cli.sources import Defaults, Files, Layer, Raw, Snapshot, Unreadable, Wanted
from scc_operator.cli.workloads import Workload, workloads_of
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.records import Constraints, Namespace, Question
from scc_operator.engine.api_defaults import with_api_defaults, with_service_account
from scc_operator.engine.errors import InvalidObject
from scc_operator.engine.namespace import NamespaceValues
from scc_operator.engine.pod import parse_pod
from scc_operator.engine.scc import SecurityContextConstraints
from scc_operator.kube.login import has_cluster
from scc_operator.settings import Settings

ALL = ""
"""In place of a namespace: all of them."""
EXAMPLE = NamespaceValues("", "1000000000/10000", "s0:c26,c5", "1000000000/10000")
"""Ranges that are assumed where a namespace has none and nobody would give it any."""

Key = tuple[str, str]

_MIRRORED = {
    kinds.NAMESPACES: Kind.NAMESPACES,
    kinds.SCCS: Kind.SCCS,
    kinds.ROLES: Kind.ROLES,
    kinds.CLUSTER_ROLES: Kind.CLUSTER_ROLES,
    kinds.ROLE_BINDINGS: Kind.ROLE_BINDINGS,
    kinds.CLUSTER_ROLE_BINDINGS: Kind.CLUSTER_ROLE_BINDINGS,
    kinds.PODS: Kind.PODS,
}


class World:
    """What a command reads. Use it in a `with` statement.

    Args:
        common: the shared options, which say where objects come from.
        example: ranges for namespaces that have none; None: only where nobody would give them any.

    Raises:
        CLIError: no source was named and there is no cluster, or a source cannot be read.
    """

    def __init__(self, common: Common, *, example: NamespaceValues | None = None) -> None:
        self.common = common
        self.notes: list[str] = []
        """What the user has to know about the answers; printed on standard error, and part of documents."""
        self.documents: list[Document] = load(common.files)
        self._example = example
        self._lists: dict[Wanted, dict[Key, Raw] | Unreadable] = {}
        self._found: dict[tuple[ObjectKind, str, str], Raw | Unreadable | None] = {}
        self._constraints: dict[str, Constraints] | None = None
        self._views: dict[tuple[str, ...], View] = {}
        self._defaults = Defaults()
        self._base, assumed = self._open_base(common)
        self._with_defaults = assumed or common.defaults
        self._assume_ranges = assumed or common.defaults or example is not None
        self._files = Files(self.documents, self.namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if session := getattr(self._base, "session", None):
            session.close()
        for note in self.notes:
            print(f"note: {note}", file=sys.stderr)

    def _open_base(self, common: Common) -> tuple[Layer | None, bool]:
        """The cluster or snapshot, and whether the defaults stand in for it."""
        if common.snapshot:
            return Snapshot(common.snapshot), False
        if common.offline:
            return None, True
        if not has_cluster(common.login, os.environ):
            if not common.files:
                raise CLIError(
                    "there is no kubeconfig and nothing else to read: name one (--kubeconfig, KUBECONFIG), "
                    "or use --snapshot FILE, -f FILE or --offline"
                )
            self.note("no kubeconfig: judged against the built-in default SCCs and the files alone")
            return None, True
        from scc_operator.cli.live import Live

        return Live(common.login), False

    # --- where we are --------------------------------------------------------------------------------------------

    @property
    def live(self) -> Any:
        """The live cluster.

        Raises:
            CLIError: the command works without one.
        """
        if not hasattr(self._base, "session"):
            raise CLIError("this needs a live cluster: leave out --snapshot and --offline, and name a kubeconfig")
        return self._base

    @property
    def source(self) -> str:
        """Where the answers come from, for messages."""
        return self._base.title if self._base else self._defaults.title

    @property
    def namespace(self) -> str:
        """The namespace that is meant where none is said: -n, else the context's."""
        session = getattr(self._base, "session", None)
        return self.common.namespace or (session.namespace if session else "default")

    @property
    def scope(self) -> str:
        """The namespace that a listing command covers, or ALL."""
        return ALL if self.common.all_namespaces else self.namespace

    def note(self, text: str) -> None:
        """Tell the user once."""
        if text not in self.notes:
            self.notes.append(text)

    # --- objects -------------------------------------------------------------------------------------------------

    def need(self, *wanted: Wanted) -> None:
        """Read these lists together, where they were not read yet: faster than one after another."""
        if any(kind in kinds.ACCESS for kind, _ in wanted):
            wanted = ((kinds.SCCS, ALL), *wanted)  # whether the cluster has any decides about the defaults
        fresh = [
            each for each in dict.fromkeys(wanted) if each not in self._lists and (each[0], ALL) not in self._lists
        ]
        if not fresh:
            return
        found = self._base.read(fresh) if self._base else [None] * len(fresh)
        for each, objects in zip(fresh, found, strict=True):
            if each[0] is kinds.SCCS and objects is None and self._base is not None:
                self._no_sccs()
        for each, objects in zip(fresh, found, strict=True):
            self._lists[each] = objects if isinstance(objects, Unreadable) else self._merged(each, objects or [])
            if each[0] is kinds.SCCS and not self._lists[each]:
                self.note(
                    f"{self.source} has no SCC yet: the operator creates the default ones; --defaults adds them here"
                )

    def objects(self, kind: ObjectKind, namespace: str = ALL) -> list[Raw]:
        """All objects of a kind, ordered by namespace and name.

        Raises:
            CLIError: they may not be read (exit code 3).
        """
        found = self._list(kind, namespace)
        if isinstance(found, Unreadable):
            raise CLIError(f"{kind.title} {found.reason}{_way_out(kind)}", Exit.UNDECIDED)
        return [found[key] for key in sorted(found)]

    def optional(self, kind: ObjectKind, namespace: str = ALL) -> list[Raw] | None:
        """As `objects`, but None with a note where they may not be read."""
        found = self._list(kind, namespace)
        if isinstance(found, Unreadable):
            self.note(f"{kind.title} {found.reason}")
            return None
        return [found[key] for key in sorted(found)]

    def serves(self, kind: ObjectKind) -> bool:
        """Whether a live cluster has a kind; without one it may be assumed."""
        serves = getattr(self._base, "serves", None)
        return serves is None or bool(serves(kind))

    def find(self, kind: ObjectKind, namespace: str, name: str) -> Raw | None:
        """One object; None where there is none.

        Raises:
            CLIError: it may not be read (exit code 3).
        """
        found = self._find(kind, namespace, name)
        if isinstance(found, Unreadable):
            raise CLIError(f"{kind.title} {name} {found.reason}", Exit.UNDECIDED)
        return found

    def _find(self, kind: ObjectKind, namespace: str, name: str) -> Raw | Unreadable | None:
        for wanted in ((kind, namespace), (kind, ALL)):
            known = self._lists.get(wanted)
            if isinstance(known, dict):
                return known.get((namespace if kind.resource.namespaced else "", name))
        place = (kind, namespace, name)
        if place not in self._found:
            layers = (self._files, self._base, self._defaults if self._with_defaults else None)
            answers = (layer.find(kind, namespace, name) for layer in layers if layer is not None)
            self._found[place] = next((found for found in answers if found is not None), None)
        return self._found[place]

    def _list(self, kind: ObjectKind, namespace: str) -> dict[Key, Raw] | Unreadable:
        self.need((kind, namespace))
        if (kind, namespace) in self._lists:
            return self._lists[kind, namespace]
        everywhere = self._lists[kind, ALL]
        if isinstance(everywhere, Unreadable):
            return everywhere
        return {key: raw for key, raw in everywhere.items() if key[0] in {"", namespace}}

    def _merged(self, wanted: Wanted, base: list[Raw]) -> dict[Key, Raw]:
        merged: dict[Key, Raw] = {}
        defaults = self._defaults.read([wanted])[0] if self._with_defaults else None
        files = self._files.read([wanted])[0]
        for objects in (defaults, base, files):
            for raw in objects if isinstance(objects, list) else ():
                merged[raw["metadata"].get("namespace", ""), raw["metadata"]["name"]] = raw
        return merged

    def _no_sccs(self) -> None:
        self._with_defaults = self._assume_ranges = True
        self.note(f"{self.source} has no SecurityContextConstraints: judged against the built-in default SCCs")

    # --- the engine's side ---------------------------------------------------------------------------------------

    def mirror(self, namespaces: Iterable[str] = (ALL,), *, pods: bool = False) -> Mirror:
        """SCCs, roles and bindings (those of these namespaces), and with `pods` their running pods and questions.

        Raises:
            CLIError: something may not be read (exit code 3), or is malformed.
        """
        wanted: list[Wanted] = [(kinds.SCCS, ALL), (kinds.CLUSTER_ROLES, ALL), (kinds.CLUSTER_ROLE_BINDINGS, ALL)]
        for namespace in namespaces:
            wanted += [(kinds.ROLES, namespace), (kinds.ROLE_BINDINGS, namespace)]
            wanted += [(kinds.PODS, namespace)] if pods else []
        self.need(*wanted)
        mirror = Mirror()
        for kind, namespace in wanted:
            for raw in self.objects(kind, namespace):
                _take(mirror, _MIRRORED[kind], self.as_stored(raw) if kind is kinds.PODS else raw)
        for raw in self._granted_by_files():
            binding = "RoleBinding" if raw["metadata"].get("namespace") else "ClusterRoleBinding"
            role = raw["kind"] not in {"RoleBinding", "ClusterRoleBinding"}
            into = kinds.CLUSTER_ROLES if role else next(each for each in kinds.ACCESS if each.kind == binding)
            _take(mirror, _MIRRORED[into], raw)
        return mirror

    def view(self, *namespaces: str) -> View:
        """Who may use what and in which order, for pods of these namespaces (none: of all)."""
        key = tuple(sorted(set(namespaces))) or (ALL,)
        if key not in self._views:
            self._views[key] = View(self.mirror(key), Settings().exempt_namespaces)
        return self._views[key]

    def questions(self, namespace: str = ALL) -> tuple[View, dict[Question, int]] | None:
        """What the running pods of a namespace ask, each with how many ask it, and whom to ask.

        None where there are no pods to read, with a note where they may not be read.
        """
        if self._base is None and not self._files.holds(kinds.PODS):
            return None
        self.need((kinds.PODS, namespace), (kinds.NAMESPACES, ALL))
        if self.optional(kinds.PODS, namespace) is None:
            return None
        mirror = self.mirror((namespace,), pods=True)
        view = View(mirror, Settings().exempt_namespaces)
        return view, {question: len(pods) for question, pods in mirror.questions.items()}

    def constraints(self) -> dict[str, Constraints]:
        """All SCCs by name, read and defaulted, also those that cannot be evaluated."""
        if self._constraints is None:
            self._constraints = {raw["metadata"]["name"]: Constraints.read(raw) for raw in self.objects(kinds.SCCS)}
        return self._constraints

    def sccs(self) -> dict[str, SecurityContextConstraints]:
        """All SCCs that can be read, by name, after defaulting."""
        return {name: known.scc for name, known in self.constraints().items() if known.scc is not None}

    def scc(self, name: str) -> SecurityContextConstraints:
        """One SCC after defaulting.

        Raises:
            CLIError: there is none of that name, or it cannot be read.
        """
        known = self.constraints()
        if name not in known:
            raise CLIError(
                f'securitycontextconstraints "{name}" not found in {self.source}{close_matches(name, known)}'
            )
        scc = known[name].scc
        if scc is None:
            raise CLIError("; ".join(known[name].errors))
        return scc

    def namespace_of(self, name: str) -> Namespace | None:
        """A namespace with its ranges; with assumed ones where it has none and may be given none.

        None where it does not exist and nothing is assumed.
        """
        raw = self.find(kinds.NAMESPACES, "", name)
        found = Namespace.read(raw) if raw else None
        if not self._assume_ranges and found is not None:
            return found
        if found is None and not (self._assume_ranges or self.documents):
            return None
        found = found or Namespace(NamespaceValues(name), "", terminating=False)
        if found.values.missing() is None:
            return found
        example = self._example or EXAMPLE
        values = NamespaceValues(
            name,
            found.values.uid_range or example.uid_range,
            found.values.mcs or example.mcs,
            found.values.supplemental_groups or example.supplemental_groups,
        )
        why = "has no ranges" if raw else "does not exist"
        self.note(
            f"namespace {name} {why} in {self.source}: UIDs {values.uid_range} and level {values.mcs} are assumed"
        )
        return msgspec.structs.replace(found, values=values)

    def prepare(self, pod: Mapping[str, Any]) -> Raw:
        """A pod as SCC admission would see it: with the API's defaults, a service account and its token."""
        namespace = pod["metadata"]["namespace"]
        spec = pod.get("spec") or {}
        account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        found = self._find(kinds.SERVICE_ACCOUNTS, namespace, account)
        automount = not isinstance(found, dict) or found.get("automountServiceAccountToken") is not False
        return with_service_account(with_api_defaults(pod), automount=automount)

    def as_stored(self, pod: Raw) -> Raw:
        """A pod as the API server would have stored it; one that comes from there, or from a node, is as it is."""
        metadata, spec = pod["metadata"], pod.get("spec") or {}
        if spec.get("serviceAccountName") or names.MIRROR_POD in (metadata.get("annotations") or {}):
            return pod
        return self.prepare(pod)

    def question(self, pod: Mapping[str, Any], requester: Identity) -> Question:
        """What is asked for a pod.

        Raises:
            InvalidObject: a field of the pod has a wrong type.
        """
        return Question(pod["metadata"]["namespace"], requester, parse_pod(self.prepare(pod)))

    def workloads(self) -> list[tuple[Workload, Document]]:
        """The pods that the manifests of the files would make, in file order."""
        found = [(each, document) for document in self.documents for each in workloads_of(document.raw, self.namespace)]
        return [(each, document) for each, document in found if self.selected(each.pod)]

    def stored_workloads(self, names: Iterable[str] = ()) -> list[Workload]:
        """The workloads of the scope that no other workload made, or those that are named as `TYPE/NAME`.

        Raises:
            CLIError: a name is no workload, or there is none of that name.
        """
        if names:
            return [each for name in names for each in self._stored(name)]
        wanted = [(kind, self.scope) for kind in (*kinds.WORKLOADS, kinds.PODS)]
        self.need(*wanted)
        found = []
        for kind, namespace in wanted:
            for raw in self.optional(kind, namespace) or ():
                if not _is_made(raw) and self.selected(raw):
                    found += workloads_of({**raw, "kind": kind.kind}, self.namespace)
        return sorted(found, key=lambda each: (each.namespace, each.kind, each.name))

    def _stored(self, title: str) -> list[Workload]:
        word, _, name = title.partition("/")
        kind = kinds.kind_called(word)
        if kind is None or not name or kind not in (*kinds.WORKLOADS, kinds.PODS):
            allowed = ", ".join(each.kind.lower() for each in (kinds.PODS, *kinds.WORKLOADS))
            raise CLIError(f"{title!r} is no workload: write TYPE/NAME with TYPE one of {allowed}")
        raw = self.find(kind, self.namespace, name)
        if raw is None:
            raise CLIError(f'{kind.resource.plural} "{name}" not found in namespace {self.namespace} of {self.source}')
        return workloads_of({**raw, "kind": kind.kind}, self.namespace)

    def selected(self, raw: Mapping[str, Any]) -> bool:
        """Whether an object's labels match the selector."""
        labels = (raw.get("metadata") or {}).get("labels") or {}
        return all(_matches(labels, term) for term in self.common.selector.split(",") if term)

    def _granted_by_files(self) -> list[Raw]:
        """The RBAC of SCC bindings in files."""
        granted: list[Raw] = []
        existing = dict.fromkeys(self.constraints(), "")
        for kind in (kinds.SCC_BINDINGS, kinds.CLUSTER_SCC_BINDINGS):
            for raw in self._files.read([(kind, ALL)])[0] or ():  # type: ignore[union-attr]
                try:
                    wanted = desired(parse_scc_binding(raw), existing, datetime.now(UTC))
                except InvalidObject as error:
                    raise CLIError(str(error)) from error
                for problem in wanted.problems:
                    self.note(problem.message)
                granted += [*wanted.cluster_roles.values(), *wanted.bindings.values()]
        return granted


def _is_made(raw: Raw) -> bool:
    """Whether a controller made it."""
    return any(owner.get("controller") for owner in raw["metadata"].get("ownerReferences") or ())


def _take(mirror: Mirror, kind: Kind, raw: Raw) -> None:
    """Objects of files have no resourceVersion yet."""
    metadata = {"resourceVersion": "1", **raw["metadata"]}
    try:
        mirror.take(kind, raw | {"metadata": metadata})
    except InvalidObject as error:
        raise CLIError(str(error)) from error


def _matches(labels: Mapping[str, str], term: str) -> bool:
    term = term.strip()
    if "!=" in term:
        key, _, value = term.partition("!=")
        return labels.get(key) != value
    if "=" in term:
        key, _, value = term.replace("==", "=").partition("=")
        return labels.get(key) == value
    return term[1:] not in labels if term.startswith("!") else term in labels


def _way_out(kind: ObjectKind) -> str:
    if kind in kinds.ACCESS:
        return (
            ". Who may use which SCC cannot be told without it: ask for a role that reads it, "
            "limit the command to a namespace with -n, or use a --snapshot of somebody who may"
        )
    return ""
