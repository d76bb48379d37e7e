"""RBAC as the API server's authorizer reads it, for one question: may this identity `use` that SCC in this namespace?

Asked is verb `use` on resource `securitycontextconstraints` of group `security.openshift.io`, without a subresource, in
the pod's namespace (spec/admission.md §2.3). So of a role only this matters: does it grant `use` on all SCCs, and on
which by name. Everything else is dropped when the role is read, and ten thousand roles stay small.

The rules of the authorizer (package `rbac` of Kubernetes):
- A rule must match verb, API group, resource and name at once. `*` matches every verb, group and resource.
- No `resourceNames` means every name. Among `resourceNames`, `*` is a name like any other.
- `securitycontextconstraints/status` and `*/status` are other resources; `*` is every resource.
- A ClusterRoleBinding counts everywhere, a RoleBinding in its namespace. A ClusterRoleBinding cannot refer to a Role,
  a RoleBinding refers to Roles of its own namespace. A role that does not exist grants nothing until it does.
- A ServiceAccount subject is the user name of that account. Without a namespace it is, in a RoleBinding, an account of
  the binding's namespace, and in a ClusterRoleBinding nobody.
- Aggregated ClusterRoles are read as stored: the control plane copies the rules into them.
- Members of `system:masters` may do everything; RBAC is not asked.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from scc_operator import names
from scc_operator.access.subjects import Identity, service_account_name
from scc_operator.engine.wire import convert

ALL = "*"
USER = "User"
GROUP = "Group"
SERVICE_ACCOUNT = "ServiceAccount"

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""

_Place = tuple[str, bool, str]
"""Scope (empty for the whole cluster), whether it is a group's name or a user's, and that name."""


class Subject(msgspec.Struct, frozen=True, order=True):
    """Whom a binding names. `namespace` is set for service accounts only."""

    kind: str
    name: str
    namespace: str = ""

    @property
    def username(self) -> str:
        """The user name that it stands for; empty for a group."""
        if self.kind == SERVICE_ACCOUNT:
            return service_account_name(self.namespace, self.name)
        return self.name if self.kind == USER else ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Owner(msgspec.Struct, frozen=True):
    """The SCC binding that a generated object belongs to, as its labels tell it.

    A name that is too long for a label is shortened (see `scc_bindings.label_value`); the uid is always exact.
    """

    kind: str
    namespace: str
    name: str
    uid: str


class Role(msgspec.Struct, frozen=True):
    """What a Role or (with an empty namespace) a ClusterRole grants on SCCs."""

    namespace: str
    name: str
    every: bool = False
    """It grants `use` on all SCCs."""
    sccs: frozenset[str] = frozenset()
    """The SCCs on which it grants `use` by name."""

    @property
    def key(self) -> Key:
        """Its place among all roles."""
        return (self.namespace, self.name)

    @property
    def kind(self) -> str:
        """`Role` or `ClusterRole`."""
        return "Role" if self.namespace else "ClusterRole"

    @property
    def matters(self) -> bool:
        """Whether it grants `use` on any SCC."""
        return self.every or bool(self.sccs)

    def grants(self, scc: str) -> bool:
        """Whether it grants `use` on this SCC."""
        return self.every or scc in self.sccs


class Binding(msgspec.Struct, frozen=True):
    """A RoleBinding or (with an empty namespace) a ClusterRoleBinding."""

    namespace: str
    name: str
    role: Key | None
    """The role that it refers to, which need not exist; None for a reference that can never be resolved."""
    subjects: tuple[Subject, ...] = ()
    owner: Owner | None = None

    @property
    def key(self) -> Key:
        """Its place among all bindings."""
        return (self.namespace, self.name)

    @property
    def kind(self) -> str:
        """`RoleBinding` or `ClusterRoleBinding`."""
        return "RoleBinding" if self.namespace else "ClusterRoleBinding"

    @property
    def matters(self) -> bool:
        """Whether it could grant anybody anything, if its role does."""
        return self.role is not None and bool(self.subjects)


class RBACGrant(msgspec.Struct, frozen=True):
    """One way to an SCC: this binding names that subject and refers to this role."""

    binding: Binding
    subject: Subject
    role: Role


def parse_role(raw: Mapping[str, Any] | bytes) -> Role:
    """Read a Role or ClusterRole of `rbac.authorization.k8s.io/v1`; one without a namespace is a ClusterRole.

    Raises:
        InvalidObject: a field has a wrong type.
    """
    value = _decoded(raw)
    wire = convert(value, _RoleWire, _kind(value, "Role", "ClusterRole"))
    every = False
    sccs: set[str] = set()
    for rule in wire.rules:
        if rule.grants_use():
            every = every or not rule.resource_names
            sccs.update(rule.resource_names)
    return Role(wire.metadata.namespace, wire.metadata.name, every, frozenset(sccs))


def parse_binding(raw: Mapping[str, Any] | bytes) -> Binding:
    """Read a RoleBinding or ClusterRoleBinding; one without a namespace is a ClusterRoleBinding.

    Subjects that can be nobody (of an unknown kind, or a service account of no namespace) are left out.

    Raises:
        InvalidObject: a field has a wrong type.
    """
    value = _decoded(raw)
    wire = convert(value, _BindingWire, _kind(value, "RoleBinding", "ClusterRoleBinding"))
    namespace = wire.metadata.namespace
    role: Key | None = None
    if wire.role_ref.kind == "ClusterRole":
        role = ("", wire.role_ref.name)
    elif wire.role_ref.kind == "Role" and namespace:
        role = (namespace, wire.role_ref.name)
    subjects = (_subject(subject, namespace) for subject in wire.subjects)
    return Binding(
        namespace=namespace,
        name=wire.metadata.name,
        role=role,
        subjects=tuple(subject for subject in subjects if subject),
        owner=owner_of(wire.metadata.labels),
    )


def owner_of(labels: Mapping[str, str]) -> Owner | None:
    """The SCC binding that an object with these labels was generated for; None for anybody else's object."""
    if labels.get(names.MANAGED_BY_LABEL) != names.MANAGED_BY or names.OWNER_UID_LABEL not in labels:
        return None
    return Owner(
        kind=labels.get(names.OWNER_KIND_LABEL, ""),
        namespace=labels.get(names.OWNER_NAMESPACE_LABEL, ""),
        name=labels.get(names.OWNER_NAME_LABEL, ""),
        uid=labels[names.OWNER_UID_LABEL],
    )


class Authorizer:
    """Roles and bindings at one moment, indexed by subject. Immutable.

    A question costs a few look-ups for each group of the identity and one for each binding found, however many bindings
    there are. `replace` makes the next moment from this one: it copies the outer dictionaries, not what is in them.
    """

    __slots__ = ("_bindings", "_by_subject", "_roles")

    def __init__(self, roles: Iterable[Role] = (), bindings: Iterable[Binding] = ()) -> None:
        self._roles: dict[Key, Role] = {}
        self._bindings: dict[Key, Binding] = {}
        self._by_subject: dict[_Place, tuple[tuple[Binding, Subject], ...]] = {}
        self._put_roles({role.key: role for role in roles})
        self._put_bindings({binding.key: binding for binding in bindings})

    def replace(
        self, *, roles: Mapping[Key, Role | None] | None = None, bindings: Mapping[Key, Binding | None] | None = None
    ) -> "Authorizer":
        """A new authorizer in which these roles and bindings are as given; None says that one is gone."""
        changed = Authorizer()
        changed._roles = self._roles.copy()
        changed._bindings = self._bindings.copy()
        changed._by_subject = self._by_subject.copy()
        changed._put_roles(roles or {})
        changed._put_bindings(bindings or {})
        return changed

    def usable_sccs(self, identity: Identity, namespace: str, scc_names: frozenset[str]) -> frozenset[str]:
        """Those of `scc_names` that the identity may use in the namespace."""
        if names.MASTERS in identity.groups:
            return scc_names
        found: set[str] = set()
        for binding, _subject in self._binding_of(identity, namespace):
            role = self._role_of(binding)
            if role is not None:
                if role.every:
                    return scc_names
                found |= role.sccs
        return scc_names & found

    def allows(self, identity: Identity, scc: str, namespace: str) -> bool:
        """Whether the identity may use the SCC in the namespace; an empty namespace asks for the whole cluster."""
        return bool(self.usable_sccs(identity, namespace, frozenset({scc})))

    def paths(self, identity: Identity, scc: str, namespace: str) -> tuple[RBACGrant, ...]:
        """All bindings through which `allows` holds: cluster-wide ones first, then by name and subject.

        Members of `system:masters` need none, so this may be empty where `allows` is true.
        """
        return self._grants(self._binding_of(identity, namespace), scc)

    def grants(self, scc: str, namespace: str | None = None) -> tuple[RBACGrant, ...]:
        """All bindings that grant the SCC to anybody, in the order of `paths`.

        Cluster-wide bindings and those of `namespace`; where that is None, those of all namespaces.
        """
        return self._grants(
            (
                (binding, subject)
                for binding in self._bindings.values()
                if namespace is None or binding.namespace in {"", namespace}
                for subject in binding.subjects
            ),
            scc,
        )

    def _grants(self, bound: Iterable[tuple[Binding, Subject]], scc: str) -> tuple[RBACGrant, ...]:
        found = {
            (binding.key, subject): RBACGrant(binding, subject, role)
            for binding, subject in bound
            if (role := self._role_of(binding)) is not None and role.grants(scc)
        }
        return tuple(found[place] for place in sorted(found))

    def _role_of(self, binding: Binding) -> Role | None:
        return None if binding.role is None else self._roles.get(binding.role)

    def _binding_of(self, identity: Identity, namespace: str) -> Iterable[tuple[Binding, Subject]]:
        places = [(False, identity.name)] if identity.name else []
        places.extend((True, group) for group in identity.groups)
        for scope in ("", namespace) if namespace else ("",):
            for is_group, name in places:
                yield from self._by_subject.get((scope, is_group, name), ())

    def _put_roles(self, roles: Mapping[Key, Role | None]) -> None:
        for key, role in roles.items():
            if role is not None and role.matters:
                self._roles[key] = role
            else:
                self._roles.pop(key, None)

    def _put_bindings(self, bindings: Mapping[Key, Binding | None]) -> None:
        stale: set[_Place] = set()
        added: defaultdict[_Place, list[tuple[Binding, Subject]]] = defaultdict(list)
        for key, binding in bindings.items():
            known = self._bindings.pop(key, None)
            if known is not None:
                stale.update(_place(known, subject) for subject in known.subjects)
            if binding is not None and binding.matters:
                self._bindings[key] = binding
                for subject in binding.subjects:
                    added[_place(binding, subject)].append((binding, subject))
        for place in stale | added.keys():
            kept = (bound for bound in self._by_subject.get(place, ()) if bound[0].key not in bindings)
            bound = (*kept, *added.get(place, ()))
            if bound:
                self._by_subject[place] = bound
            else:
                self._by_subject.pop(place, None)


def _place(binding: Binding, subject: Subject) -> _Place:
    is_group = subject.kind == GROUP
    return (binding.namespace, is_group, subject.name if is_group else subject.username)


class _ObjectMeta(msgspec.Struct, frozen=True):
    name: str
    namespace: str = ""
    labels: dict[str, str] = {}


class _PolicyRule(msgspec.Struct, frozen=True, rename="camel"):
    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()

    def grants_use(self) -> bool:
        return (
            _matches(self.verbs, names.USE_VERB)
            and _matches(self.api_groups, names.SECURITY_GROUP)
            and _matches(self.resources, names.SCC_RESOURCE)
        )


class _RoleWire(msgspec.Struct, frozen=True):
    metadata: _ObjectMeta
    rules: tuple[_PolicyRule, ...] = ()


class _RoleRef(msgspec.Struct, frozen=True):
    kind: str
    name: str


class _BindingWire(msgspec.Struct, frozen=True, rename="camel"):
    metadata: _ObjectMeta
    role_ref: _RoleRef
    subjects: tuple[Subject, ...] = ()


def _matches(allowed: tuple[str, ...], asked: str) -> bool:
    return asked in allowed or ALL in allowed


def _subject(subject: Subject, binding_namespace: str) -> Subject | None:
    """The subject with what the authorizer reads of it; None where it can be nobody."""
    if subject.kind in {USER, GROUP}:
        return Subject(subject.kind, subject.name)
    namespace = subject.namespace or binding_namespace
    return Subject(SERVICE_ACCOUNT, subject.name, namespace) if subject.kind == SERVICE_ACCOUNT and namespace else None


def _decoded(raw: Mapping[str, Any] | bytes) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", msgspec.json.decode(raw)) if isinstance(raw, bytes) else raw


def _kind(raw: Mapping[str, Any], namespaced: str, cluster: str) -> str:
    """The kind for error texts; items of a list do not say theirs."""
    metadata = raw.get("metadata") if isinstance(raw, Mapping) else None
    return namespaced if isinstance(metadata, Mapping) and metadata.get("namespace") else cluster
