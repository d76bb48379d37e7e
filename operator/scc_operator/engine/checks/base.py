"""What a check is: two verbs, *fill* and *objections*, on a pod or on a container.

A check is compiled from an SCC whose values are complete (the namespace's filled in). It looks at a draft: the pod as
this SCC has completed it so far. A check that has nothing to do under an SCC is not compiled at all.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

from scc_operator.engine.pod import Container, Place, Pod, SeccompProfile
from scc_operator.engine.scc import SecurityContextConstraints, SELinuxOptions
from scc_operator.engine.verdict import Fill, FillField, Objection, Value


class Terms(msgspec.Struct, frozen=True):
    """What checks are compiled from.

    Attributes:
        scc: the SCC, with the namespace's values filled in.
        safe_sysctls: the sysctls that count as safe.
    """

    scc: SecurityContextConstraints
    safe_sysctls: frozenset[str]


class PodDraft:
    """A pod as one SCC has completed it so far. The shape `pod` stays as it came."""

    __slots__ = (
        "fills",
        "fs_group",
        "pod",
        "root",
        "se_linux_options",
        "seccomp_annotation",
        "seccomp_profile",
        "supplemental_groups",
    )

    def __init__(self, pod: Pod, root: str) -> None:
        self.pod = pod
        self.root = root
        self.fills: list[Fill] = []
        self.supplemental_groups: tuple[int, ...] | None = pod.supplemental_groups
        self.fs_group: int | None = pod.fs_group
        self.se_linux_options: SELinuxOptions | None = pod.se_linux_options
        self.seccomp_annotation: str = pod.seccomp_annotation
        self.seccomp_profile: SeccompProfile | None = pod.seccomp_profile

    def filled(self, field: FillField, value: object) -> None:
        """Note that a value was filled in."""
        self.fills.append(Fill(field, value))

    def invalid(self, field: str, value: Value, detail: str, code: str) -> Objection:
        """An objection to a field of the pod's security context."""
        return Objection("Invalid", f"{self.root}.spec.securityContext.{field}", value, detail, code)


class ContainerDraft:
    """A container as one SCC has completed it so far; values inherited from the pod included."""

    __slots__ = (
        "allow_privilege_escalation",
        "capabilities_add",
        "container",
        "pod",
        "read_only_root_filesystem",
        "run_as_non_root",
        "run_as_user",
        "seccomp_profile",
    )

    def __init__(self, container: Container, pod: PodDraft) -> None:
        self.container = container
        self.pod = pod
        self.run_as_user: int | None = container.run_as_user
        self.run_as_non_root: bool | None = container.run_as_non_root
        self.capabilities_add: Sequence[str] = container.capabilities_add
        self.read_only_root_filesystem: bool | None = container.read_only_root_filesystem
        self.allow_privilege_escalation: bool | None = container.allow_privilege_escalation
        self.seccomp_profile: SeccompProfile | None = container.seccomp_profile

    def filled(self, field: FillField, value: object) -> None:
        """Note that a value was filled in."""
        self.pod.fills.append(Fill(field, value, self.container.place))

    def invalid(self, field: str, value: Value, detail: str, code: str) -> Objection:
        """An objection to a field of the container's security context."""
        place: Place = self.container.place
        return Objection("Invalid", f"{self.pod.root}.{place}.{field}", value, detail, code, place)


class PodCheck(ABC):
    """A constraint on the pod as a whole."""

    def fill(self, pod: PodDraft) -> None:  # noqa: B027  # not every check fills something in
        """Complete what the pod leaves open."""

    @abstractmethod
    def objections(self, pod: PodDraft) -> Sequence[Objection]:
        """What is wrong with the completed pod."""


class ContainerCheck(ABC):
    """A constraint on each container; the pod has been completed before."""

    def fill(self, container: ContainerDraft) -> None:  # noqa: B027  # not every check fills something in
        """Complete what the container leaves open."""

    @abstractmethod
    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """What is wrong with the completed container."""
