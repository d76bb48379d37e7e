"""One moment of the mirror, prepared for many questions: who may use what, SCCs in order, providers by namespace.

A view is thrown away when an SCC or RBAC changes. Between such changes everything in it is shared by all questions.
"""

from itertools import chain

from scc_operator.access.grants import Grants
from scc_operator.access.rbac import Authorizer
from scc_operator.access.subjects import service_account_identity
from scc_operator.audit.answer import Answer, Verdict
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.records import Namespace, Question
from scc_operator.engine.errors import ProviderError
from scc_operator.engine.judge import Decision, Usable, decide, usable_through
from scc_operator.engine.namespace import NamespaceValues
from scc_operator.engine.order import order
from scc_operator.engine.pod import Pod, SeccompProfile
from scc_operator.engine.provider import Provider, build_providers
from scc_operator.engine.scc import SecurityContextConstraints
from scc_operator.engine.verdict import Fill

_RUN_LEVELS = frozenset({"0", "1"})


class View:
    """Answers questions as the cluster stands at one moment.

    Args:
        mirror: the cluster.
        exempt_namespaces: namespaces whose pods SCC admission would not look at.
    """

    def __init__(self, mirror: Mirror, exempt_namespaces: frozenset[str]) -> None:
        self._exempt = exempt_namespaces
        usable = [known.scc for known in mirror.sccs.values() if known.scc and not known.errors]
        self.broken = frozenset(key[1] for key, entry in mirror.sccs.items() if entry.value.errors)
        self.ordered = order(usable)
        self._by_name = {scc.name: scc for scc in usable}
        self.grants = Grants(
            [known.scc for known in mirror.sccs.values() if known.scc],
            Authorizer(
                chain(mirror.roles.values(), mirror.cluster_roles.values()),
                chain(mirror.role_bindings.values(), mirror.cluster_role_bindings.values()),
            ),
        )
        self._providers: dict[tuple[NamespaceValues, str], tuple[Provider, ...] | None] = {}

    def answer(self, question: Question, namespace: Namespace | None) -> Answer:
        """The answer to a question, asked in a namespace as it stands (None: the mirror has no such namespace)."""
        providers = self.candidates(question, namespace)
        if isinstance(providers, Answer):
            return providers
        return answer_of(decide(question.pod, providers, self.usable(question)), question.pod)

    def candidates(self, question: Question, namespace: Namespace | None) -> tuple[Provider, ...] | Answer:
        """What the question's pod may get, in order, usable or not; the answer itself where no SCC is tried."""
        required = question.pod.required_scc
        if exemption := self._exemption(question, namespace):
            return Answer(Verdict.EXEMPT, reason=exemption)
        if namespace is None:
            return Answer(Verdict.UNKNOWN, reason=NAMESPACE_NOT_FOUND)
        if namespace.values.missing():
            return Answer(Verdict.UNKNOWN, reason=RANGES_MISSING)
        if required:
            if required in self.broken:
                return Answer(Verdict.UNKNOWN, reason=UNUSABLE_SCC)
            if required not in self._by_name:
                return Answer(Verdict.DENIED, reason="RequiredSCCNotFound")
        elif self.broken:
            # One SCC that cannot be evaluated makes admission refuse every pod (spec/admission.md §3.6): the cluster is
            # in no state to judge from, and calling every pod denied would hide the one thing that is wrong.
            return Answer(Verdict.UNKNOWN, reason=UNUSABLE_SCC)
        providers = self._providers_of(namespace.values, required)
        return Answer(Verdict.UNKNOWN, reason=RANGES_MALFORMED) if providers is None else providers

    def _exemption(self, question: Question, namespace: Namespace | None) -> str:
        if question.namespace in self._exempt:
            return "ExemptNamespace"
        if namespace is not None and namespace.run_level in _RUN_LEVELS:
            return "RunLevel"
        return "WindowsPod" if question.pod.windows else ""

    def usable(self, question: Question) -> Usable:
        """The subject test for a question: its service account first, then its requester."""
        account, namespace = question.pod.service_account, question.namespace
        by_account: frozenset[str] = frozenset()
        if account:
            by_account = self.grants.usable(service_account_identity(namespace, account), namespace)
        return usable_through(by_account, self.grants.usable(question.requester, namespace))

    def _providers_of(self, values: NamespaceValues, required: str) -> tuple[Provider, ...] | None:
        key = (values, required)
        if key not in self._providers:
            candidates: tuple[SecurityContextConstraints, ...] = (
                (self._by_name[required],) if required else self.ordered
            )
            try:
                self._providers[key] = build_providers(candidates, values)
            except ProviderError:
                self._providers[key] = None
        return self._providers[key]


def answer_of(decision: Decision, pod: Pod) -> Answer:
    """What a walk means for a pod."""
    if decision.chosen is None:
        return Answer(Verdict.DENIED, reason=decision.code)
    filled = tuple(sorted({filled_name(fill, pod) for fill in decision.chosen.fills}))
    verdict = Verdict.FITS_WITH_DEFAULTS if filled else Verdict.FITS
    return Answer(verdict, decision.chosen.scc, decision.subject_type, filled)


def filled_name(fill: Fill, pod: Pod) -> str:
    """What a fill is called on a pod.

    Admission keeps the legacy seccomp annotation in step with the field. Where the field has the value already, only
    that annotation would be written, which changes nothing about how the pod runs; it is told apart.
    """
    text = fill.value
    if fill.field == "seccompProfile" and fill.place is None and isinstance(text, str):
        standing = pod.seccomp_profile
        if standing is not None and standing == SeccompProfile.of_text(text):
            return "seccompAnnotation"
    return fill.field


NAMESPACE_NOT_FOUND = "NamespaceNotFound"
RANGES_MISSING = "NamespaceRangesMissing"
RANGES_MALFORMED = "NamespaceRangesMalformed"
UNUSABLE_SCC = "UnusableSCC"
