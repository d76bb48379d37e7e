"""The whole walk over the SCCs for one pod: who may use each, and what stands in its way, also below the winner.

The engine stops at the first SCC that fits. Whoever wants to know why another one did not win, or what a grant would
bring, needs every rung: this asks the engine the same question about each candidate by itself.
"""

from dataclasses import dataclass

from scc_operator import names
from scc_operator.access.grants import Grant
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
    def nearest(self) -> Rung | None:
        """The usable SCC that refuses the pod for the fewest reasons, whose first reason is the answer's."""
        refused = [rung for rung in self.rungs if rung.usable_by and not rung.fits]
        return min(refused, key=lambda rung: len({each.code for each in rung.attempt.objections}), default=None)


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
        for position, (provider, following) in enumerate(zip(providers, [*providers[1:], None], strict=True), start=1)
    )
    return Ladder(answer_of(decide(question.pod, providers, usable), question.pod), rungs)


def _grants(view: View, question: Question, scc: str, usable_by: str) -> tuple[Grant, ...]:
    if not usable_by:
        return ()
    by_account = usable_by == SERVICE_ACCOUNT
    account = service_account_identity(question.namespace, question.pod.service_account)
    return view.grants.paths(account if by_account else question.requester, scc, question.namespace)


def grant_text(grant: Grant) -> str:
    """Where a grant stands, in a few words that name the object to look at."""
    match grant.kind:
        case "superuser":
            return f"group {names.MASTERS} may do everything"
        case "scc-users":
            return f"users of SCC {grant.scc}"
        case "scc-groups":
            return f"groups of SCC {grant.scc} name {grant.subject.name}"
        case _:
            binding = "ClusterRoleBinding" if grant.kind == "clusterrolebinding" else "RoleBinding"
            where = f"{grant.namespace}/" if grant.namespace else ""
            if grant.owner is not None:
                source = f"{grant.owner.kind} {grant.owner.namespace}/{grant.owner.name}".replace(" /", " ")
                text = f"{source} ({binding} {where}{grant.binding})"
            else:
                text = f"{binding} {where}{grant.binding}"
            group = f", group {grant.subject.name}" if grant.subject.kind == "Group" else ""
            return text + group + (f", {grant.role_kind} {grant.role} grants every SCC" if grant.every_scc else "")
