"""The whole walk over the SCCs for one pod: who may use each, and what stands in its way, also below the winner.

The engine stops at the first SCC that fits. Whoever wants to know why another one did not win, or what a grant would
bring, needs every rung: this asks the engine the same question about each candidate by itself.
"""

from dataclasses import dataclass

from scc_operator import names
from scc_operator.access.grants import Grant
from scc_operator.access.rbac import GROUP
from scc_operator.access.subjects import service_account_identity
from scc_operator.audit.answer import Answer
from scc_operator.audit.view import View, answer_of
from scc_operator.cluster.records import Namespace, Question
from scc_operator.engine.judge import SERVICE_ACCOUNT, decide, evaluate
from scc_operator.engine.order import reason
from scc_operator.engine.provider import Provider
from scc_operator.engine.verdict import Attempt


@dataclass(frozen=True, slots=True)
class Rung:
    """One candidate.

    Attributes:
        position: its place in the order, from 1.
        provider: the SCC with the namespace's values filled in.
        usable_by: `serviceaccount`, `user` (whoever creates the pod), or empty: nobody's grant.
        grants: all grants of that identity.
        attempt: the pod under it, whether or not anybody may use it.
        before_next: why it is tried before the next one; empty for the last.
    """

    position: int
    provider: Provider
    usable_by: str
    grants: tuple[Grant, ...]
    attempt: Attempt
    before_next: str

    @property
    def scc(self) -> str:
        """The SCC's name."""
        return self.provider.name

    @property
    def fits(self) -> bool:
        """Whether the pod satisfies it, usable or not."""
        return self.attempt.fits

    @property
    def wins(self) -> bool:
        """Whether it would be chosen were it the first."""
        return bool(self.usable_by) and self.fits


@dataclass(frozen=True, slots=True)
class Ladder:
    """Every candidate of a pod in order, and the answer. There are no rungs where no SCC was tried."""

    answer: Answer
    rungs: tuple[Rung, ...] = ()

    @property
    def chosen(self) -> Rung | None:
        """The winner."""
        return next((rung for rung in self.rungs if rung.scc == self.answer.scc), None) if self.answer.scc else None

    def rung(self, scc: str) -> Rung | None:
        """The rung of an SCC; None where it is no candidate."""
        return next((rung for rung in self.rungs if rung.scc == scc), None)

    @property
    def refused(self) -> tuple[Rung, ...]:
        """The usable SCCs that refuse the pod, the nearest first: the one whose first reason is the answer's."""
        refused = [rung for rung in self.rungs if rung.usable_by and not rung.fits]
        nearest = min(refused, key=lambda rung: len({each.code for each in rung.attempt.objections}), default=None)
        return tuple(sorted(refused, key=lambda rung: rung is not nearest))


def climb(view: View, question: Question, namespace: Namespace | None) -> Ladder:
    """The ladder of a question, asked in a namespace as it stands (None: there is no such namespace)."""
    providers = view.candidates(question, namespace)
    if isinstance(providers, Answer):
        return Ladder(providers)
    usable = view.usable(question)
    rungs = tuple(
        Rung(
            position=position,
            provider=provider,
            usable_by=usable(provider.name) or "",
            grants=_grants(view, question, provider.name, usable(provider.name) or ""),
            attempt=evaluate(question.pod, provider),
            before_next=reason(provider.scc, following.scc) if following else "",
        )
        for position, (provider, following) in enumerate(
            zip(providers, [*providers[1:], None][: len(providers)], strict=True), start=1
        )
    )
    return Ladder(answer_of(decide(question.pod, providers, usable), question.pod), rungs)


def _grants(view: View, question: Question, scc: str, usable_by: str) -> tuple[Grant, ...]:
    if not usable_by:
        return ()
    by_account = usable_by == SERVICE_ACCOUNT
    account = service_account_identity(question.namespace, question.pod.service_account)
    return view.grants.paths(account if by_account else question.requester, scc, question.namespace)


def grant_text(grant: Grant, *, with_group: bool = True) -> str:
    """Where a grant stands, in a few words that name the object to look at.

    Args:
        grant: the grant.
        with_group: whether to say which group it is given to, where it is one.
    """
    group = f", group {grant.subject.name}" if with_group and grant.subject.kind == GROUP else ""
    match grant.kind:
        case "superuser":
            return f"group {names.MASTERS} may do everything"
        case "scc-users" | "scc-groups":
            return f"field {grant.kind.removeprefix('scc-')} of SCC {grant.scc}{group}"
        case _:
            kind = "ClusterRoleBinding" if grant.kind == "clusterrolebinding" else "RoleBinding"
            text = f"{kind} {f'{grant.namespace}/' if grant.namespace else ''}{grant.binding}"
            if grant.owner is not None:
                where = f"{grant.owner.namespace}/" if grant.owner.namespace else ""
                text = f"{grant.owner.kind} {where}{grant.owner.name}"
            wildcard = f", {grant.role_kind} {grant.role} grants every SCC" if grant.every_scc else ""
            return f"{text}{group}{wildcard}"
