"""Turns SCC bindings into RBAC, keeps it so, and takes it away again.

What exists is read from the API server at the moment of work, found by name and by owner labels: so a grant whose
binding vanished while nobody watched is removed at the next start, and drift is repaired when the watch shows it. Owner
references are only a backstop; the operator deletes what it made itself. What was said about a binding stands in its
status, so a restart says nothing twice.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from scc_operator import names
from scc_operator.access.binding_status import REASONS, REFUSED, Outcome, status
from scc_operator.access.rbac import Owner, owner_of
from scc_operator.access.reconciliation import Changes, diff
from scc_operator.access.scc_bindings import (
    Desired,
    Problem,
    SCCBinding,
    desired,
    grants_nothing,
    label_value,
    labels_of,
    parse_scc_binding,
)
from scc_operator.access.subjects import service_account_identity
from scc_operator.audit.auditor import Auditor
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.store import Key
from scc_operator.engine.errors import InvalidObject
from scc_operator.kube.client import Api
from scc_operator.kube.errors import ApiError
from scc_operator.kube.events import Recorder, Subject
from scc_operator.kube.paths import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, Resource
from scc_operator.kube.queue import WorkQueue

_COUNT_INTERVAL = 5.0
"""Seconds between two looks at how many pods run through each binding."""
_LONGEST_SLEEP = 3600.0

_KINDS = {Kind.BINDINGS: names.BINDING_KIND, Kind.CLUSTER_BINDINGS: names.CLUSTER_BINDING_KIND}
_RBAC: dict[str, Resource] = {
    "ClusterRole": CLUSTER_ROLES,
    "ClusterRoleBinding": CLUSTER_ROLE_BINDINGS,
    "RoleBinding": ROLE_BINDINGS,
}


class Target(msgspec.Struct, frozen=True):
    """Whose RBAC to reconcile: kind and namespace of a binding, and its name as labels tell it; or an SCC's name."""

    kind: Kind
    namespace: str
    label: str


class BindingReconciler:
    """Reconciles SCCBindings and ClusterSCCBindings.

    Args:
        api: where RBAC and status are written.
        mirror: bindings, SCCs and the generated RBAC.
        recorder: where problems of bindings are told.
        auditor: how many pods run through a binding.
        now: the time, with a zone.
    """

    def __init__(
        self,
        api: Api,
        mirror: Mirror,
        recorder: Recorder,
        auditor: Auditor,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._mirror = mirror
        self._recorder = recorder
        self._auditor = auditor
        self._now = now
        self._queue: WorkQueue[Target] = WorkQueue("bindings", self._reconcile, workers=4)
        mirror.tell.binding.append(self._binding_changed)
        mirror.tell.scc.append(self._scc_changed)
        mirror.tell.rbac.append(self._rbac_changed)

    async def run(self) -> None:
        """Reconcile all bindings and all that was generated for bindings that are gone, then whatever changes."""
        self._sweep()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queue.run())
            tasks.create_task(self._count_for_ever())

    # --- who is woken --------------------------------------------------------------------------------------------

    def _binding_changed(self, kind: Kind, key: Key) -> None:
        self._queue.add(Target(kind, key[0], label_value(key[1])))

    def _scc_changed(self, scc: str) -> None:
        if ("", scc) not in self._mirror.sccs and ("", names.SCC_ROLE_PREFIX + scc) in self._mirror.cluster_roles:
            self._queue.add(Target(Kind.SCCS, "", scc))
        for kind, key, raw in self._bindings():
            if scc in ((raw.get("spec") or {}).get("sccs") or ()):
                self._binding_changed(kind, key)

    def _rbac_changed(self, kind: Kind, key: Key) -> None:
        namespace, name = key
        if kind is Kind.CLUSTER_ROLES and name.startswith(names.SCC_ROLE_PREFIX):
            self._scc_changed(name.removeprefix(names.SCC_ROLE_PREFIX))
        elif kind in _GENERATED and name.startswith(names.GENERATED_PREFIX):
            for binding_kind, binding_key, _ in self._bindings():
                if binding_kind is _GENERATED[kind] and binding_key[0] == namespace:
                    self._binding_changed(binding_kind, binding_key)
            self._sweep_one(kind, key)

    def _sweep(self) -> None:
        for _, name in self._mirror.cluster_roles.keys():  # noqa: SIM118 - a store is no dict
            if name.startswith(names.SCC_ROLE_PREFIX):
                self._scc_changed(name.removeprefix(names.SCC_ROLE_PREFIX))
        for kind in _GENERATED:
            for key in self._mirror.store(kind).keys():  # noqa: SIM118 - a store is no dict
                self._sweep_one(kind, key)

    def _sweep_one(self, kind: Kind, key: Key) -> None:
        """Wake the owner of a generated binding, whether it still exists or not."""
        entry = self._mirror.store(kind).get(key)
        owner: Owner | None = entry.value.owner if entry else None
        if owner is not None and owner.kind == _KINDS[_GENERATED[kind]]:
            self._queue.add(Target(_GENERATED[kind], owner.namespace, owner.name))

    def _bindings(self) -> Iterator[tuple[Kind, Key, Any]]:
        for kind in _KINDS:
            for key, entry in self._mirror.store(kind).items():
                yield kind, key, entry.value

    # --- the work ------------------------------------------------------------------------------------------------

    async def _reconcile(self, target: Target) -> None:
        if target.kind is Kind.SCCS:
            await self._remove_role(target.label)
            return
        namespace = self._mirror.namespaces.get(("", target.namespace))
        if namespace is not None and namespace.value.terminating:
            return  # it takes the binding and what was made for it along, and lets nothing in any more
        raw = self._find(target)
        if raw is None:
            await self._apply(grants_nothing(Owner(_KINDS[target.kind], target.namespace, target.label, "")), target)
            return
        try:
            binding = parse_scc_binding(raw)
        except InvalidObject as error:
            binding = _unreadable(raw)
            wanted = grants_nothing(binding.owner, Problem("InvalidBinding", str(error)))
        else:
            wanted = desired(binding, self._scc_uids(), self._now())
        try:
            changes = await self._apply(wanted, target)
        except ApiError as error:
            if error.transient or error.status == 409:
                raise
            # A policy of the cluster, most likely: waiting helps seldom, so the binding itself says it.
            problem = Problem(REFUSED, f"{binding}: the API server refuses its RBAC: {error}")
            standing = diff(wanted, await self._existing(wanted, target))
            problems = (*standing.problems, problem)
            await self._tell(target, raw, binding, Changes(granted=standing.standing, problems=problems))
            raise
        await self._tell(target, raw, binding, changes)
        if (turn := binding.next_turn(self._now())) is not None:
            self._queue.add(target, min((turn - self._now()).total_seconds() + 0.05, _LONGEST_SLEEP))

    def _find(self, target: Target) -> Any:
        store = self._mirror.store(target.kind)
        entry = store.get((target.namespace, target.label))
        if entry is None:  # the label holds a shortened name
            shortened = (
                found
                for (namespace, name), found in store.items()
                if namespace == target.namespace and label_value(name) == target.label
            )
            entry = next(shortened, None)
        return entry.value if entry else None

    def _scc_uids(self) -> dict[str, str]:
        return {key[1]: entry.uid for key, entry in self._mirror.sccs.items()}

    async def _remove_role(self, scc: str) -> None:
        """Delete the ClusterRole that was generated for an SCC that is gone; nobody else's."""
        path = CLUSTER_ROLES.path(name=names.SCC_ROLE_PREFIX + scc)
        role = await self._api.find(path)
        owner = owner_of(role["metadata"].get("labels") or {}) if role else None
        if owner is not None and owner.kind == names.SCC_KIND and ("", scc) not in self._mirror.sccs:
            await self._api.delete(path, uid=role["metadata"]["uid"])

    async def _apply(self, wanted: Desired, target: Target) -> Changes:
        changes = diff(wanted, await self._existing(wanted, target))
        for reference in changes.to_delete:
            path = _RBAC[reference.kind].path(reference.namespace, reference.name)
            await self._api.delete(path, uid=reference.uid)
        for body in changes.to_create:
            await self._api.create(_RBAC[body["kind"]].path(body["metadata"].get("namespace", "")), body)
        for body in changes.to_replace:
            metadata = body["metadata"]
            await self._api.replace(_RBAC[body["kind"]].path(metadata.get("namespace", ""), metadata["name"]), body)
        return changes

    async def _existing(self, wanted: Desired, target: Target) -> list[dict[str, Any]]:
        """Everything that has a name that is wanted, or the labels of this binding."""
        kind = "RoleBinding" if target.kind is Kind.BINDINGS else "ClusterRoleBinding"
        labels = labels_of(wanted.owner)
        del labels[names.OWNER_UID_LABEL]  # a namesake that was deleted counts too
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        listed = await self._api.get(_RBAC[kind].path(target.namespace), query={"labelSelector": selector})
        found = [{**item, "kind": kind} for item in listed["items"]]
        seen = {item["metadata"]["name"] for item in found}
        for body in (*wanted.cluster_roles.values(), *wanted.bindings.values()):
            metadata = body["metadata"]
            if body["kind"] == "ClusterRole" or metadata["name"] not in seen:
                path = _RBAC[body["kind"]].path(metadata.get("namespace", ""), metadata["name"])
                if stored := await self._api.find(path):
                    found.append({**stored, "kind": body["kind"]})
        return found

    # --- telling -------------------------------------------------------------------------------------------------

    async def _tell(self, target: Target, raw: Any, binding: SCCBinding, changes: Changes) -> None:
        subject = Subject(
            f"{names.GROUP}/{names.VERSION}", _KINDS[target.kind], binding.name, binding.uid, binding.namespace
        )
        outcome = Outcome(changes.granted, changes.problems, self._pods_through(binding, changes.granted), self._now())
        soon = outcome.soon(binding)
        problems = (*outcome.problems, soon) if soon else outcome.problems
        said = next((each.get("message", "") for each in binding.conditions if each.get("type") == "Ready"), "")
        for problem in problems:
            if problem.message not in said:
                await self._recorder.warn(subject, problem.code, problem.message)
        for settled in REASONS - {problem.code for problem in problems}:
            self._recorder.settled(subject, settled)
        wanted = status(binding, outcome)
        if raw.get("status") == wanted:
            return
        path = target.kind.resource.path(binding.namespace, binding.name, "status")
        try:
            written = await self._api.patch(path, {"metadata": {"uid": binding.uid}, "status": wanted})
        except ApiError as error:
            if not error.gone:
                raise
        else:
            self._mirror.take(target.kind, written)

    async def _count_for_ever(self) -> None:
        """Keep `status.pods` roughly true without a write for every pod that comes and goes."""
        counted = -1
        while True:
            await asyncio.sleep(_COUNT_INTERVAL)
            if counted != self._auditor.round:
                counted = self._auditor.round
                for kind, key, raw in list(self._bindings()):
                    stored = raw.get("status") or {}
                    if self._pods_through(_unreadable(raw), tuple(stored.get("sccs") or ())) != stored.get("pods"):
                        self._binding_changed(kind, key)

    def _pods_through(self, binding: SCCBinding, granted: tuple[str, ...]) -> int:
        """How many running pods have their answer through this binding."""
        total = 0
        grants = self._auditor.view.grants
        for question, pods in self._mirror.questions.items():
            answer = self._auditor.answers.get(question)
            if answer is None or answer.scc not in granted or binding.namespace not in {"", question.namespace}:
                continue
            identity = (
                service_account_identity(question.namespace, question.pod.service_account)
                if answer.subject == "serviceaccount"
                else question.requester
            )
            paths = grants.paths(identity, answer.scc, question.namespace)
            if any(grant.owner is not None and grant.owner.uid == binding.uid for grant in paths):
                total += len(pods)
        return total


_GENERATED = {Kind.ROLE_BINDINGS: Kind.BINDINGS, Kind.CLUSTER_ROLE_BINDINGS: Kind.CLUSTER_BINDINGS}


def _unreadable(raw: Any) -> SCCBinding:
    """Identity and conditions of a binding, without its spec."""
    metadata = raw["metadata"]
    return SCCBinding(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        sccs=(),
        subjects=(),
        conditions=tuple((raw.get("status") or {}).get("conditions") or ()),
    )
