"""Which grants running pods live on, and which nothing uses."""

from collections import Counter
from collections.abc import Callable, Mapping

from scc_operator.access.grants import Grant
from scc_operator.access.subjects import service_account_identity
from scc_operator.audit.view import View
from scc_operator.cluster.records import Namespace, Question
from scc_operator.engine.judge import SERVICE_ACCOUNT


def usage(
    view: View, questions: Mapping[Question, int], namespace_of: Callable[[str], Namespace | None]
) -> Counter[Grant]:
    """How many pods get their SCC through each grant.

    A pod that gets its SCC through several grants counts for each of them; one that is denied counts for none.

    Args:
        view: the cluster.
        questions: what the pods ask, and how many ask it.
        namespace_of: a namespace as it stands.
    """
    used: Counter[Grant] = Counter()
    for question, pods in questions.items():
        answer = view.answer(question, namespace_of(question.namespace))
        if not answer.scc:
            continue
        by_account = answer.subject == SERVICE_ACCOUNT
        account = service_account_identity(question.namespace, question.pod.service_account)
        identity = account if by_account else question.requester
        for grant in view.grants.paths(identity, answer.scc, question.namespace):
            used[grant] += pods
    return used
