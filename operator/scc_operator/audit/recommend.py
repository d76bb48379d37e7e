"""The least SCC for a service account: what its pods need, what its grants allow beyond that, and the proof.

Needs are what pods ask for in their manifests. What an image counts on without a word in the manifest, such as running
as root, is not seen: whoever applies a recommendation looks at what admission would fill in.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum

import msgspec

from scc_operator.access.grants import Grant
from scc_operator.access.rbac import SERVICE_ACCOUNT, Subject
from scc_operator.access.subjects import service_account_identity
from scc_operator.audit.exposure import Level, Permission, cost, exposure
from scc_operator.audit.impact import Change, Side, outcome, running_with
from scc_operator.audit.minimal import NoSmallestSCC, Wanted, smallest_scc
from scc_operator.audit.view import View, filled_name
from scc_operator.cluster.records import Namespace, Question
from scc_operator.engine.errors import ProviderError
from scc_operator.engine.judge import Usable, decide, evaluate, usable_through
from scc_operator.engine.namespace import NamespaceValues
from scc_operator.engine.order import order
from scc_operator.engine.provider import build_providers
from scc_operator.engine.scc import SecurityContextConstraints, with_defaults


class Choice(StrEnum):
    """What is to be done for a service account."""

    NOTHING = "nothing"
    """Its pods need no more than what any pod of the namespace may use."""
    KEEP = "keep"
    """It has a grant of the SCC already."""
    GRANT = "grant"
    """An existing SCC is to be granted."""
    NEW = "new"
    """A new SCC is to be made and granted: every existing one allows much more."""
    NONE = "none"
    """No SCC can admit its pods."""


class Needless(msgspec.Struct, frozen=True):
    """A grant of the account, and what it allows that no pod of the account needs.

    Attributes:
        grant: the grant.
        pods: how many pods of the account get their SCC through it; they get the recommended one when it goes.
        allows: what its SCC allows beyond what the account's pods need.
    """

    grant: Grant
    pods: int
    allows: tuple[str, ...]

    @property
    def own(self) -> bool:
        """Whether it is given to this account and not to a group."""
        return self.grant.subject.kind == SERVICE_ACCOUNT


class Required(msgspec.Struct, frozen=True):
    """An SCC that pods demand by annotation, which no other can stand in for.

    Attributes:
        name: the SCC.
        choice: `keep`, `grant`, `new` where it does not exist, or `none` where it exists and refuses such a pod.
        new: the SCC to make.
    """

    name: str
    choice: Choice
    new: SecurityContextConstraints | None = None


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """What is recommended for one service account.

    Attributes:
        account: the service account.
        pods: how many running pods, or templates, were looked at.
        uses: the SCCs that they get now.
        denied: how many of them no SCC admits now.
        choice: what is to be done.
        scc: the SCC to use; None where there is none, or every pod demands one by annotation.
        allows: what it allows beyond the baseline.
        existing: the least existing SCC that admits the pods, also where a new one is better; empty where none does.
        excess: what that one allows beyond what the pods need.
        required: SCCs that pods demand by annotation; what else is said is about the other pods.
        would_set: what admission under the SCC would fill in.
        changes: what the pods that have an SCC now would run with instead.
        needless: its grants of other SCCs that allow more than its pods need.
        why: why nothing can be recommended.
        proven: the engine admits all pods when the account may use this SCC and nothing else of its own.
    """

    account: Subject
    pods: int
    uses: tuple[str, ...]
    denied: int
    choice: Choice
    scc: SecurityContextConstraints | None = None
    allows: tuple[Permission, ...] = ()
    existing: str = ""
    excess: tuple[str, ...] = ()
    required: tuple[Required, ...] = ()
    would_set: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    needless: tuple[Needless, ...] = ()
    why: str = ""
    proven: bool = False


def recommend(
    account: Subject, asked: Mapping[Question, int], namespace: Namespace, view: View, *, new_name: str
) -> Recommendation:
    """The least SCC for a service account.

    Args:
        account: the service account.
        asked: what its pods ask, and how many ask it; all in the account's namespace.
        namespace: that namespace.
        view: the cluster.
        new_name: the name for a new SCC.
    """
    answers = {question: view.answer(question, namespace) for question in asked}
    pods = sum(asked.values())
    uses = tuple(sorted({answer.scc for answer in answers.values() if answer.scc}))
    denied = sum(count for question, count in asked.items() if not answers[question].scc)
    free = [question for question in asked if not question.pod.required_scc]
    try:
        needed = _smallest(new_name, asked, namespace.values)
        smallest = _smallest(new_name, free, namespace.values) if free else None
        required = tuple(_required(account, asked, namespace.values, view))
        providers = build_providers(view.ordered, namespace.values)
    except (NoSmallestSCC, ProviderError) as error:
        return Recommendation(account=account, pods=pods, uses=uses, denied=denied, choice=Choice.NONE, why=str(error))
    fitting = {provider.name for provider in providers if all(evaluate(each.pod, provider).fits for each in free)}
    existing = min(
        (scc for scc in view.ordered if scc.name in fitting), key=lambda scc: (cost(scc), scc.name), default=None
    )
    chosen = None
    if smallest is not None:
        chosen = existing if existing is not None and _good_enough(existing, smallest) else smallest
    keep = {each.name for each in required} | ({chosen.name} if chosen else set())
    return Recommendation(
        account=account,
        pods=pods,
        uses=uses,
        denied=denied,
        choice=_choice(chosen, free, account, view),
        scc=chosen,
        allows=exposure(chosen) if chosen else (),
        existing=existing.name if existing and chosen else "",
        excess=_excess(existing, smallest) if existing and smallest else (),
        required=required,
        would_set=_would_set(chosen, free, namespace.values) if chosen else (),
        changes=_changes(chosen, free, namespace, view) if chosen else (),
        needless=tuple(_needless(account, asked, namespace, view, needed, keep)),
        proven=_proven([chosen, *(each.new for each in required)], required, asked, namespace.values, view),
    )


def _smallest(name: str, questions: Iterable[Question], values: NamespaceValues) -> SecurityContextConstraints:
    return with_defaults(smallest_scc(name, [Wanted(each.pod, values) for each in questions]))


def _required(account: Subject, asked: Iterable[Question], values: NamespaceValues, view: View) -> Iterator[Required]:
    """The SCCs that pods demand by annotation."""
    by_name = {scc.name: scc for scc in view.ordered}
    identity = service_account_identity(account.namespace, account.name)
    for name in sorted({question.pod.required_scc for question in asked} - {""}):
        questions = [question for question in asked if question.pod.required_scc == name]
        if name not in by_name:
            yield Required(name, Choice.NEW, _smallest(name, questions, values))
            continue
        (provider,) = build_providers([by_name[name]], values)
        if not all(evaluate(each.pod, provider).fits for each in questions):
            yield Required(name, Choice.NONE)
        elif all(name in view.grants.usable(each.requester, account.namespace) for each in questions):
            yield Required(name, Choice.NOTHING)
        else:
            granted = name in view.grants.usable(identity, account.namespace)
            yield Required(name, Choice.KEEP if granted else Choice.GRANT)


def _good_enough(existing: SecurityContextConstraints, smallest: SecurityContextConstraints) -> bool:
    """Whether an existing SCC takes away no layer of defence and reaches nothing of the node that is not needed."""
    needed = {each.text for each in exposure(smallest)}
    return all(each.level < Level.HIGH or each.text in needed for each in exposure(existing))


def _choice(
    chosen: SecurityContextConstraints | None, free: Iterable[Question], account: Subject, view: View
) -> Choice:
    if chosen is None:
        return Choice.NOTHING
    if chosen.name not in {scc.name for scc in view.ordered}:
        return Choice.NEW
    if all(chosen.name in view.grants.usable(each.requester, account.namespace) for each in free):
        return Choice.NOTHING
    identity = service_account_identity(account.namespace, account.name)
    return Choice.KEEP if chosen.name in view.grants.usable(identity, account.namespace) else Choice.GRANT


def _excess(scc: SecurityContextConstraints, smallest: SecurityContextConstraints) -> tuple[str, ...]:
    """What an SCC allows that the smallest one does not, but for what hardly matters."""
    needed = {each.text for each in exposure(smallest)}
    return tuple(each.text for each in exposure(scc) if each.level > Level.MINOR and each.text not in needed)


def _would_set(
    scc: SecurityContextConstraints, questions: Iterable[Question], values: NamespaceValues
) -> tuple[str, ...]:
    (provider,) = build_providers([scc], values)
    fills = ((fill, each.pod) for each in questions for fill in evaluate(each.pod, provider).fills)
    return tuple(sorted({filled_name(fill, pod) for fill, pod in fills}))


def _changes(
    scc: SecurityContextConstraints, questions: Iterable[Question], namespace: Namespace, view: View
) -> tuple[Change, ...]:
    """What pods would run with under an SCC, where that is not what they run with under the one that they get now."""
    (provider,) = build_providers([scc], namespace.values)
    now = Side(view, lambda _: namespace)
    found: set[Change] = set()
    for question in questions:
        before = outcome(question, now).runs_with
        after = running_with(question.pod, evaluate(question.pod, provider))
        found |= {Change(field, value, after[field]) for field, value in before.items() if value != after[field]}
    return tuple(sorted(found, key=lambda each: (each.field, each.before, each.after)))


def _needless(
    account: Subject,
    asked: Mapping[Question, int],
    namespace: Namespace,
    view: View,
    smallest: SecurityContextConstraints,
    keep: AbstractSet[str],
) -> list[Needless]:
    """The account's other grants that allow more than its pods need; in the order in which the SCCs are tried."""
    identity = service_account_identity(account.namespace, account.name)
    usable = view.grants.usable(identity, account.namespace)
    used: dict[str, int] = {}
    for question, pods in asked.items():
        answer = view.answer(question, namespace)
        if answer.subject == "serviceaccount":
            used[answer.scc] = used.get(answer.scc, 0) + pods
    found: list[Needless] = []
    for scc in view.ordered:
        allows = _excess(scc, smallest) if scc.name in usable - keep else ()
        if allows:
            grants = view.grants.paths(identity, scc.name, account.namespace)
            found += [Needless(grant, used.get(scc.name, 0), allows) for grant in grants]
    return found


def _proven(
    recommended: Iterable[SecurityContextConstraints | None],
    required: Iterable[Required],
    asked: Iterable[Question],
    values: NamespaceValues,
    view: View,
) -> bool:
    """Whether the engine admits every pod when the account may use just what is recommended."""
    made = {scc.name: scc for scc in recommended if scc is not None}
    sccs = order([*(scc for scc in view.ordered if scc.name not in made), *made.values()])
    providers = build_providers(sccs, values)
    granted = frozenset({*made, *(each.name for each in required)})

    def admitted(question: Question) -> bool:
        wanted = question.pod.required_scc
        candidates = [each for each in providers if each.name == wanted] if wanted else providers
        usable: Usable = usable_through(granted, view.grants.usable(question.requester, question.namespace))
        return decide(question.pod, candidates, usable).chosen is not None

    return all(admitted(question) for question in asked)
