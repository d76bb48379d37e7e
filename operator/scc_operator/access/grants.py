"""All ways to an SCC together: its own `users` and `groups`, and RBAC (spec/admission.md §2.3)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import msgspec

from scc_operator import names
from scc_operator.access.rbac import GROUP, USER, Authorizer, Owner, RBACGrant, Subject
from scc_operator.access.subjects import Identity

GrantKind = Literal["superuser", "scc-users", "scc-groups", "clusterrolebinding", "rolebinding"]

# Questions about running pods repeat within a snapshot; those of an admission webhook need not, so there is a bound.
_REMEMBERED_ANSWERS = 100_000


class GrantingSCC(Protocol):
    """What access reads of an SCC."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def users(self) -> Sequence[str]:
        """User names; compared literally."""

    @property
    def groups(self) -> Sequence[str]:
        """Group names; compared literally."""


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """One way in which a subject may use an SCC."""

    kind: GrantKind
    scc: str
    subject: Subject
    namespace: str = ""
    """Where it holds; empty for the whole cluster. That of the RoleBinding."""
    binding: str = ""
    """The name of the RoleBinding or ClusterRoleBinding."""
    role_kind: str = ""
    role: str = ""
    every_scc: bool = False
    """The role grants all SCCs, by `*` or by naming none."""
    owner: Owner | None = None
    """The SCC binding that the RBAC binding was generated for."""


class Grants:
    """Who may use which SCC at one moment. Immutable but for its memory of answers.

    It is a thin layer over an `Authorizer`, which holds what is large: after a change of RBAC make one with the
    replaced authorizer, after a change of an SCC one with the new SCCs and the same authorizer. Either costs one pass
    over the SCCs.
    """

    __slots__ = ("_answers", "_authorizer", "_by_group", "_by_user", "_names")

    def __init__(self, sccs: Iterable[GrantingSCC], authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._by_user: defaultdict[str, set[str]] = defaultdict(set)
        self._by_group: defaultdict[str, set[str]] = defaultdict(set)
        found = set()
        for scc in sccs:
            found.add(scc.name)
            for user in scc.users:
                self._by_user[user].add(scc.name)
            for group in scc.groups:
                self._by_group[group].add(scc.name)
        self._names = frozenset(found)
        self._answers: dict[tuple[Identity, str], frozenset[str]] = {}

    def usable(self, identity: Identity, namespace: str) -> frozenset[str]:
        """The names of the existing SCCs that the identity may use for pods of the namespace."""
        question = (identity, namespace)
        known = self._answers.get(question)
        if known is None:
            if len(self._answers) >= _REMEMBERED_ANSWERS:
                self._answers.clear()
            known = self._answers[question] = self._usable(identity, namespace)
        return known

    def paths(self, identity: Identity, scc: str, namespace: str) -> tuple[Grant, ...]:
        """All ways in which the identity may use the SCC in the namespace; empty where it may not."""
        superuser = [_SUPERUSER] if names.MASTERS in identity.groups else []
        named = [subject for subject in self._named_in(scc) if _is(identity, subject)]
        bound = self._authorizer.paths(identity, scc, namespace)
        return _together(scc, superuser, named, bound)

    def who_can(self, scc: str, namespace: str | None = None) -> tuple[Grant, ...]:
        """All ways in which anybody may use the SCC.

        Those that hold in `namespace`; where that is None, in any namespace: see `Grant.namespace`. Groups are not
        resolved to members.
        """
        return _together(scc, [_SUPERUSER], self._named_in(scc), self._authorizer.grants(scc, namespace))

    def _usable(self, identity: Identity, namespace: str) -> frozenset[str]:
        found = self._authorizer.usable_sccs(identity, namespace, self._names)
        by_name = self._by_user.get(identity.name) if identity.name else None
        return found.union(by_name or (), *(self._by_group.get(group, ()) for group in identity.groups))

    def _named_in(self, scc: str) -> list[Subject]:
        """The users and groups that the SCC itself names."""
        users = [Subject(USER, user) for user, sccs in sorted(self._by_user.items()) if scc in sccs]
        return users + [Subject(GROUP, group) for group, sccs in sorted(self._by_group.items()) if scc in sccs]


_SUPERUSER = Subject(GROUP, names.MASTERS)


def _is(identity: Identity, subject: Subject) -> bool:
    if subject.kind == GROUP:
        return subject.name in identity.groups
    return bool(identity.name) and subject.name == identity.name


def _together(
    scc: str, superusers: Iterable[Subject], named: Iterable[Subject], bound: Iterable[RBACGrant]
) -> tuple[Grant, ...]:
    """One order for all grants: superusers, the SCC's users and groups, then bindings in the authorizer's order."""
    return (
        *(Grant("superuser", scc, subject) for subject in superusers),
        *(Grant("scc-groups" if subject.kind == GROUP else "scc-users", scc, subject) for subject in named),
        *(
            Grant(
                kind="rolebinding" if grant.binding.namespace else "clusterrolebinding",
                scc=scc,
                subject=grant.subject,
                namespace=grant.binding.namespace,
                binding=grant.binding.name,
                role_kind=grant.role.kind,
                role=grant.role.name,
                every_scc=grant.role.every,
                owner=grant.binding.owner,
            )
            for grant in bound
        ),
    )
