"""The walk: which of the candidate SCCs a pod gets (spec/admission.md §5.1, §6.1).

Nothing here words a message unless it is asked for: `Decision.texts` does.
"""

from collections.abc import Callable, Container, Sequence

import msgspec

from scc_operator.engine.checks.base import ContainerDraft, PodDraft
from scc_operator.engine.errors import RequiredSCCNotFound
from scc_operator.engine.pod import Pod
from scc_operator.engine.provider import Provider
from scc_operator.engine.scc import SecurityContextConstraints
from scc_operator.engine.verdict import Attempt, Objection, TextStyle, forbidden, go_quote
from scc_operator.names import SCC_RESOURCE, SECURITY_GROUP

SERVICE_ACCOUNT = "serviceaccount"
USER = "user"

RESTRICTED = "restricted"
RESTRICTED_V2 = "restricted-v2"

NO_USABLE_SCC = "NoUsableSCC"
CHANGES_NEEDED = "ChangesNeeded"

Usable = Callable[[str], str | None]
"""Whose grant makes the SCC of that name usable for the pod: `serviceaccount`, `user`, or None for nobody's."""


class NotUsable(msgspec.Struct, frozen=True, gc=False):
    """A candidate that neither the pod's service account nor the requester may use; it was not evaluated."""

    scc: str


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What a walk found.

    Attributes:
        chosen: the first attempt that was accepted; None for a denial.
        subject_type: whose grant made it usable, `serviceaccount` or `user`; empty for a denial.
        rejected: the candidates before it, or all of them, in order. An attempt without objections stands here when
            it would need changes that the request does not allow.
    """

    chosen: Attempt | None
    subject_type: str
    rejected: tuple[NotUsable | Attempt, ...]

    @property
    def not_usable(self) -> tuple[str, ...]:
        """The candidates that nobody's grant makes usable, in order."""
        return tuple(step.scc for step in self.rejected if isinstance(step, NotUsable))

    @property
    def failed(self) -> tuple[Attempt, ...]:
        """The usable candidates that were not accepted, in order."""
        return tuple(step for step in self.rejected if isinstance(step, Attempt))

    @property
    def code(self) -> str:
        """Why, as a CamelCase reason; empty where an SCC was chosen.

        It is the first objection of the usable candidate that comes nearest: the one with the fewest distinct kinds of
        objections, the earlier one of equals.
        """
        if self.chosen is not None:
            return ""
        failed = self.failed
        if not failed:
            return NO_USABLE_SCC
        nearest = min(failed, key=lambda attempt: len({objection.code for objection in attempt.objections}))
        return nearest.objections[0].code if nearest.objections else CHANGES_NEEDED

    def texts(self, style: TextStyle = TextStyle.GO) -> list[str]:
        """One message for each objection and each candidate that is not usable, in order (spec/admission.md §6.1)."""
        texts: list[str] = []
        for step in self.rejected:
            if isinstance(step, NotUsable):
                texts.append(forbidden(f"provider {go_quote(step.scc)}", "not usable by user or serviceaccount"))
            else:
                texts += [objection.text_in(style) for objection in step.objections]
        return texts


def candidates(
    required_scc: str, ordered_sccs: Sequence[SecurityContextConstraints]
) -> tuple[SecurityContextConstraints, ...]:
    """The SCCs that a pod may get: all of them, or just the one that it requires by annotation.

    Raises:
        RequiredSCCNotFound: there is no SCC of that name.
    """
    if not required_scc:
        return tuple(ordered_sccs)
    found = tuple(scc for scc in ordered_sccs if scc.name == required_scc)
    if not found:
        name = go_quote(required_scc)
        raise RequiredSCCNotFound(
            f"failed to retrieve the required SCC {name}: {SCC_RESOURCE}.{SECURITY_GROUP} {name} not found"
        )
    return found


def usable_through(service_account_sccs: Container[str], requester_sccs: Container[str]) -> Usable:
    """The subject test from the names that each identity may use: the service account's grant counts first (§2.3)."""

    def subject_type(scc: str) -> str | None:
        if scc in service_account_sccs:
            return SERVICE_ACCOUNT
        return USER if scc in requester_sccs else None

    return subject_type


def decide(pod: Pod, providers: Sequence[Provider], usable: Usable) -> Decision:
    """The answer for a pod that is being created: the first candidate that is usable and fits wins.

    Args:
        pod: the pod.
        providers: of the pod's candidates, in order.
        usable: the subject test.
    """
    return walk(pod, providers, usable, any_change)


def walk(pod: Pod, providers: Sequence[Provider], usable: Usable, accepts: Callable[[Attempt], bool]) -> Decision:
    """As `decide`, but an SCC under which the pod fits is taken only where `accepts` allows what it would fill in."""
    rejected: list[NotUsable | Attempt] = []
    for provider in providers:
        subject_type = usable(provider.scc.metadata.name)
        if subject_type is None:
            rejected.append(NotUsable(provider.scc.metadata.name))
            continue
        attempt = evaluate(pod, provider)
        if not attempt.objections and accepts(attempt):
            return Decision(attempt, subject_type, tuple(rejected))
        rejected.append(attempt)
    return Decision(None, "", tuple(rejected))


def any_change(attempt: Attempt) -> bool:
    """A pod that is being created may be completed in every way."""
    del attempt
    return True


def no_change(attempt: Attempt) -> bool:
    """A pod that exists may not be changed."""
    return not attempt.fills


def ephemeral_containers_only(attempt: Attempt) -> bool:
    """The ephemeralcontainers subresource may change nothing but ephemeral containers."""
    return all(fill.place is not None and fill.place.kind == "ephemeralContainers" for fill in attempt.fills)


def evaluate(pod: Pod, provider: Provider) -> Attempt:
    """One pod under one SCC: everything that it would fill in and everything that it objects to."""
    draft = PodDraft(pod, provider.root)
    objections: list[Objection] = []
    for pod_check in provider.pod_fillers:
        pod_check.fill(draft)
    for pod_check in provider.pod_checks:
        objections += pod_check.objections(draft)
    for shape in pod.containers:
        container = ContainerDraft(shape, draft)
        for container_check in provider.container_fillers:
            container_check.fill(container)
        for container_check in provider.container_checks:
            objections += container_check.objections(container)
    return Attempt(provider.scc.metadata.name, tuple(objections), tuple(draft.fills))
