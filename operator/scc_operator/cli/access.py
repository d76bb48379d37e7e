"""Grants as rows, and the identities that people name: shared by the verbs that tell who may use what."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from scc_operator import names
from scc_operator.access.grants import Grant, GrantKind
from scc_operator.access.rbac import GROUP, SERVICE_ACCOUNT, USER, Subject
from scc_operator.access.subjects import Identity, service_account_identity
from scc_operator.audit.ladder import grant_text
from scc_operator.audit.usage import usage
from scc_operator.cli.errors import CLIError
from scc_operator.cli.output import FAINT, WARN, Cell
from scc_operator.cli.world import ALL, World

_ACCOUNT_PREFIX = "system:serviceaccount:"
_WELL_KNOWN_GROUPS = frozenset(
    {
        names.AUTHENTICATED,
        "system:unauthenticated",
        names.MASTERS,
        names.NODES,
        names.SERVICE_ACCOUNTS,
        "system:cluster-admins",
        "system:cluster-readers",
    }
)
EVERYWHERE = "cluster"


class GrantRow(msgspec.Struct, frozen=True, rename="camel"):
    """One grant: who may use which SCC, where it holds and through what.

    Attributes:
        kind: `superuser`, `scc-users`, `scc-groups`, `clusterrolebinding` or `rolebinding`.
        scope: `cluster`, or the namespace in which it holds.
        through: the object that grants it.
        pods: how many running pods get their SCC through it; None where that is not known.
        by_creator: it is not the subject itself but whoever creates its pods that has the grant.
    """

    scc: str
    kind: GrantKind
    subject_kind: str
    subject: str
    scope: str
    through: str
    pods: int | None = None
    by_creator: bool = False

    @property
    def pods_cell(self) -> str:
        """The number of pods; unused grants stand out."""
        if self.pods is None:
            return Cell("?", FAINT)
        if not self.pods and self.kind == "superuser":
            return ""  # it cannot be taken from them
        return str(self.pods) if self.pods else Cell("unused", WARN)


def row(
    grant: Grant, used: Counter[Grant] | None = None, *, by_creator: bool = False, with_group: bool = False
) -> GrantRow:
    """A grant as a row; `with_group` for lists that do not show the grant's subject in a column of its own."""
    return GrantRow(
        scc=grant.scc,
        kind=grant.kind,
        subject_kind=grant.subject.kind,
        subject=f"{grant.subject.namespace}/{grant.subject.name}" if grant.subject.namespace else grant.subject.name,
        scope=grant.namespace or EVERYWHERE,
        through=grant_text(grant, with_group=with_group),
        pods=None if used is None else used[grant],
        by_creator=by_creator,
    )


def used_grants(world: World, namespace: str = ALL, account: Subject | None = None) -> Counter[Grant] | None:
    """How many running pods live on each grant; None, with a note, where pods may not be read.

    Args:
        world: the cluster.
        namespace: whose pods count.
        account: a service account, where only its pods count.
    """
    asked = world.questions(namespace)
    if asked is None:
        return None
    view, questions = asked
    if account is not None:
        meant = (account.namespace, account.name)
        questions = {
            each: pods for each, pods in questions.items() if (each.namespace, each.pod.service_account) == meant
        }
    return usage(view, questions, world.namespace_of)


def parse_subject(text: str, namespace: str) -> Subject:
    """The subject that a person means.

    `sa/NAME`, `sa/NS/NAME` and `system:serviceaccount:NS:NAME` are service accounts; `group/NAME` and the groups that
    Kubernetes itself knows are groups; everything else is a user, also written `user/NAME`.

    Raises:
        CLIError: a part of the name is missing.
    """
    head, slash, rest = text.partition("/")
    if text.startswith(_ACCOUNT_PREFIX):
        where, colon, name = text.removeprefix(_ACCOUNT_PREFIX).partition(":")
        if not (where and colon and name):
            raise CLIError(f"subject {text!r} is incomplete: write system:serviceaccount:NAMESPACE:NAME or sa/NAME")
        return Subject(SERVICE_ACCOUNT, name, where)
    if slash and head.lower() in {"sa", "serviceaccount", "serviceaccounts"}:
        where, inner, name = rest.partition("/")
        return Subject(SERVICE_ACCOUNT, name, where) if inner else Subject(SERVICE_ACCOUNT, rest, namespace)
    if slash and head.lower() == "group":
        return Subject(GROUP, rest)
    if slash and head.lower() == "user":
        return Subject(USER, rest)
    if text in _WELL_KNOWN_GROUPS or text.startswith(f"{names.SERVICE_ACCOUNTS}:"):
        return Subject(GROUP, text)
    return Subject(USER, text)


def identity_of(subject: Subject, groups: Iterable[str] = (), *, exact: bool = False) -> Identity:
    """The identity for which access is asked.

    A service account has its two groups, as SCC admission gives it (spec/admission.md §2.3). A user has the groups that
    are given and, unless `exact`, `system:authenticated`.
    """
    if subject.kind == SERVICE_ACCOUNT:
        return service_account_identity(subject.namespace, subject.name)
    if subject.kind == GROUP:
        return Identity("", (subject.name, *groups))
    return Identity(subject.name, tuple(dict.fromkeys([*groups, *(() if exact else (names.AUTHENTICATED,))])))
