"""seccompProfile: which system calls are filtered; also said by legacy annotations, which win over the fields.

Pod fields:  spec.securityContext.seccompProfile, the same of each container, and the annotations
             seccomp.security.alpha.kubernetes.io/pod, container.seccomp.security.alpha.kubernetes.io/NAME
SCC fields:  seccompProfiles: texts such as runtime/default or localhost/audit.json; `*` allows any; none allows none
Fills in:    on the pod, annotation and field from each other, or the SCC's first profile;
             on a container, the field from its annotation
Objects to:  SeccompNotAllowed, SeccompProfileNotAllowed
Rule:        spec/admission.md §5.11
"""

from collections.abc import Sequence

from scc_operator.engine.checks.base import ContainerCheck, ContainerDraft, PodCheck, PodDraft, Terms
from scc_operator.engine.pod import DOCKER_DEFAULT, RUNTIME_DEFAULT, SeccompProfile
from scc_operator.engine.scc import ANY
from scc_operator.engine.verdict import Objection, go_list
from scc_operator.names import SECCOMP_CONTAINER_PREFIX, SECCOMP_POD


def pod(terms: Terms) -> PodCheck:
    """The check of the pod's profile; annotation and field are brought in line under every SCC."""
    return PodSeccomp(_Profiles(terms.scc.seccomp_profiles))


def container(terms: Terms) -> ContainerCheck:
    """The check of each container's profile; the field follows the annotation under every SCC."""
    return ContainerSeccomp(_Profiles(terms.scc.seccomp_profiles))


class _Profiles:
    """The profiles that an SCC allows."""

    def __init__(self, profiles: tuple[str, ...]) -> None:
        self.any = ANY in profiles
        self.named = tuple(profile for profile in profiles if profile != ANY)
        self.default = self.named[0] if self.named else ""
        self.allowed = set(self.named)
        if self.allowed & {RUNTIME_DEFAULT, DOCKER_DEFAULT}:
            self.allowed |= {RUNTIME_DEFAULT, DOCKER_DEFAULT}
        if not self.named:
            self.allowed.add("")

    def allows(self, profile: str) -> bool:
        return self.any or profile in self.allowed

    def objection(self, profile: str, key: str, where: ContainerDraft | None) -> Objection:
        if self.named:
            detail = f"{profile} is not an allowed seccomp profile. Valid values are {go_list(self.named)}"
            code = "SeccompProfileNotAllowed"
        else:
            detail, code = "seccomp may not be set", "SeccompNotAllowed"
        place = where.container.place if where else None
        return Objection("Forbidden", f"pod.metadata.annotations[{key}]", None, detail, code, place)


def _text(profile: SeccompProfile | None, annotation: str) -> str:
    return annotation if profile is None else profile.text


class PodSeccomp(PodCheck):
    """The pod asks for no profile that the SCC does not allow."""

    def __init__(self, profiles: _Profiles) -> None:
        self.profiles = profiles

    def fill(self, pod: PodDraft) -> None:
        """The annotation decides, else the field, else the SCC's first profile; both then say the same."""
        text = pod.seccomp_annotation
        if not text:
            text = self.profiles.default if pod.seccomp_profile is None else pod.seccomp_profile.text
        if not text:
            return
        profile = SeccompProfile.of_text(text)
        if text != pod.seccomp_annotation or profile != pod.seccomp_profile:
            pod.seccomp_annotation, pod.seccomp_profile = text, profile
            pod.filled("seccompProfile", text)

    def objections(self, pod: PodDraft) -> Sequence[Objection]:
        """A profile that is not allowed."""
        text = pod.seccomp_annotation or _text(pod.seccomp_profile, "")
        if self.profiles.allows(text):
            return ()
        return (self.profiles.objection(text, SECCOMP_POD, None),)


class ContainerSeccomp(ContainerCheck):
    """No container asks for, or inherits, a profile that the SCC does not allow."""

    def __init__(self, profiles: _Profiles) -> None:
        self.profiles = profiles

    def fill(self, container: ContainerDraft) -> None:
        """The field becomes what the container's annotation says, nothing if fields cannot say it."""
        annotation = container.container.seccomp_annotation
        if annotation is None:
            return
        profile = SeccompProfile.of_text(annotation)
        if profile != container.seccomp_profile:
            container.seccomp_profile = profile
            container.filled("seccompProfile", annotation)

    def objections(self, container: ContainerDraft) -> Sequence[Objection]:
        """A profile that is not allowed: the container's own, by field or annotation, else the pod's."""
        annotation = container.container.seccomp_annotation
        if annotation is None and container.seccomp_profile is None:
            text = _text(container.pod.seccomp_profile, container.pod.seccomp_annotation)
        else:
            text = _text(container.seccomp_profile, annotation or "")
        if self.profiles.allows(text):
            return ()
        return (self.profiles.objection(text, SECCOMP_CONTAINER_PREFIX + container.container.place.name, container),)
