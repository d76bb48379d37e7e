"""seLinuxOptions: the SELinux context of a pod and of its containers.

Pod fields:  spec.securityContext.seLinuxOptions and the same of each container, which replaces the pod's as a whole
SCC fields:  seLinuxContext.type (MustRunAs, RunAsAny), .seLinuxOptions
Fills in:    the SCC's four parts, the level often from the namespace, where the pod has no options at all
Objects to:  SELinuxLevelMismatch, SELinuxRoleMismatch, SELinuxTypeMismatch, SELinuxUserMismatch
Rule:        spec/admission.md §5.5
"""

from collections.abc import Callable, Sequence

from scc_operator.engine.checks.base import ContainerCheck, ContainerDraft, PodCheck, PodDraft, Terms
from scc_operator.engine.scc import MUST_RUN_AS, SELinuxOptions
from scc_operator.engine.verdict import Objection, Value


def pod(terms: Terms) -> PodCheck | None:
    """The check of the pod's own options."""
    context = _Context.of(terms)
    return PodSELinux(context) if context else None


def container(terms: Terms) -> ContainerCheck | None:
    """The check of each container's options, its own or the pod's."""
    context = _Context.of(terms)
    return ContainerSELinux(context) if context else None


def _categories(level: str) -> tuple[str, tuple[str, ...]] | str:
    """A level in a form that is equal for levels that differ only in the order of their categories.

    No range such as `c0.c3` is expanded and no space is trimmed.
    """
    sensitivity, colon, categories = level.partition(":")
    return (sensitivity, tuple(sorted(categories.split(",")))) if colon else level


class _Context:
    """The options that an SCC demands."""

    def __init__(self, wanted: SELinuxOptions) -> None:
        self.wanted = wanted
        self.categories = _categories(wanted.level)

    @classmethod
    def of(cls, terms: Terms) -> "_Context | None":
        strategy = terms.scc.se_linux_context
        return cls(strategy.se_linux_options or SELinuxOptions()) if strategy.type == MUST_RUN_AS else None

    def differences(
        self, found: SELinuxOptions, invalid: Callable[[str, Value, str, str], Objection]
    ) -> Sequence[Objection]:
        wanted = self.wanted
        if found == wanted:
            return ()
        parts = []
        if found.level != wanted.level and _categories(found.level) != self.categories:
            parts.append(("level", found.level, wanted.level, "SELinuxLevelMismatch"))
        if found.role != wanted.role:
            parts.append(("role", found.role, wanted.role, "SELinuxRoleMismatch"))
        if found.type != wanted.type:
            parts.append(("type", found.type, wanted.type, "SELinuxTypeMismatch"))
        if found.user != wanted.user:
            parts.append(("user", found.user, wanted.user, "SELinuxUserMismatch"))
        return [invalid(f"seLinuxOptions.{part}", has, f"must be {must}", code) for part, has, must, code in parts]


class PodSELinux(PodCheck):
    """The pod's options are those of the SCC."""

    def __init__(self, context: _Context) -> None:
        self.context = context

    def fill(self, pod: PodDraft) -> None:
        """All four parts, only where the pod has no options; even empty ones stay as they are."""
        if pod.se_linux_options is None:
            pod.se_linux_options = self.context.wanted
            pod.filled("seLinuxOptions", self.context.wanted)

    def objections(self, pod: PodDraft) -> Sequence[Objection]:
        """Each part that differs."""
        return self.context.differences(pod.se_linux_options or self.context.wanted, pod.invalid)


class ContainerSELinux(ContainerCheck):
    """Each container's options are those of the SCC; the pod has options by now, so nothing is filled in."""

    def __init__(self, context: _Context) -> None:
        self.context = context

    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """Each part that differs; what the container leaves out is not taken from the pod."""
        found = container.container.se_linux_options
        if found is None:
            return ()
        return self.context.differences(found, container.invalid)
