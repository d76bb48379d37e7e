"""Why a pod does not work: one check for each thing that goes wrong around SCCs, with the facts that were found.

Each check tells what helps, and what people try that does not. What only the node or the storage knows (who owns an NFS
export, what user an image has) is asked for with the command that shows it.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from scc_operator import names
from scc_operator.audit.answer import Answer, Verdict
from scc_operator.audit.impact import EPHEMERAL_VOLUMES, IDENTITY, running_with
from scc_operator.audit.ladder import Ladder, Rung, grant_text
from scc_operator.audit.pod_security import LEVELS, PRIVILEGED, least_level, violations
from scc_operator.audit.wording import findings
from scc_operator.cluster.records import Namespace
from scc_operator.engine.judge import SERVICE_ACCOUNT
from scc_operator.engine.pod import Container, Pod
from scc_operator.engine.scc import MUST_RUN_AS_NON_ROOT
from scc_operator.engine.verdict import Attempt
from scc_operator.engine.volume_types import HOST_PATH

ENFORCE_LABEL = "pod-security.kubernetes.io/enforce"
GROUP_ANNOTATION = "pv.beta.kubernetes.io/gid"

_AS_IT_RUNS = Attempt("", (), ())
_SHARED_FILES = frozenset({"nfs", "glusterfs", "cephFS", "azureFile", "quobyte"})
"""File systems whose owners the server decides: the kubelet changes none."""
_CONFIG_ERROR = "CreateContainerConfigError"


class Status(StrEnum):
    """What a check found."""

    OK = "ok"
    PROBLEM = "problem"
    LOOK = "look"
    """Something that can be right or wrong: only the node, the image or the storage knows."""
    UNKNOWN = "unknown"


class Check(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One line of the checklist.

    Attributes:
        code: a stable name.
        title: the question.
        status: the answer.
        facts: what was found.
        fixes: what helps; commands where there are such.
        in_vain: what people try and what does not help, with the reason.
    """

    code: str
    title: str
    status: Status
    facts: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    in_vain: tuple[str, ...] = ()


class VolumeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of the pod whose files outlive it.

    Attributes:
        name: the volume.
        type: its source, as SCCs name volume types; of the PersistentVolume where it is claimed.
        claim: the claim; empty for none.
        phase: the claim's phase; empty where there is none, or it is not known.
        driver: the CSI driver, where there is one.
        group: the group of the files, where the PersistentVolume says so.
        paths: where containers mount it.
    """

    name: str
    type: str
    claim: str = ""
    phase: str = ""
    driver: str = ""
    group: int | None = None
    paths: tuple[str, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether the server decides who owns its files."""
        return self.type in _SHARED_FILES or "nfs" in self.driver or "efs" in self.driver or "smb" in self.driver

    @property
    def title(self) -> str:
        """What it is."""
        claim = f" (claim {self.claim})" if self.claim else ""
        return f"volume {self.name}{claim} of type {self.driver or self.type}"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A pod and all that is known around it.

    Attributes:
        name: of the pod.
        where: its namespace's name.
        raw: the pod as the API holds it.
        pod: its shape.
        ladder: what the engine says of it now.
        namespace: its namespace as it stands; None where there is none.
        labels: that namespace's labels.
        carries: the SCC that stands on the pod; empty for none.
        recorded: an admission plugin wrote that, so it says what the pod was admitted under.
        volumes: its volumes whose files outlive it.
        statuses: `status.containerStatuses` of the pod.
    """

    name: str
    where: str
    raw: Mapping[str, Any]
    pod: Pod
    ladder: Ladder
    namespace: Namespace | None
    labels: Mapping[str, str]
    carries: str
    recorded: bool
    volumes: tuple[VolumeFacts, ...]
    statuses: tuple[Mapping[str, Any], ...]


def diagnose(case: Case) -> tuple[Check, ...]:
    """The checklist, in the order in which one would ask."""
    return (
        _admitted(case),
        _changed(case),
        _root(case),
        _pod_security(case),
        _volumes(case),
        _level(case),
    )


def _ok(code: str, title: str, *facts: str) -> Check:
    return Check(code=code, title=title, status=Status.OK, facts=facts)


# --- does an SCC admit it ------------------------------------------------------------------------------------------


def _admitted(case: Case) -> Check:
    code, title = "Admitted", "Does an SCC that it may use admit the pod?"
    answer = case.ladder.answer
    if answer.verdict is Verdict.UNKNOWN:
        fix = "kubectl scc ranges" if "Ranges" in answer.reason else "kubectl scc audit --lint"
        fact = f"it cannot be judged: {answer.reason}"
        return Check(code=code, title=title, status=Status.UNKNOWN, facts=(fact,), fixes=(fix,))
    if answer.verdict is Verdict.EXEMPT:
        return _ok(code, title, f"SCC admission would not look at it: {answer.reason}")
    if answer.verdict is not Verdict.DENIED:
        return _ok(code, title, _through(case.ladder.chosen, answer))
    refused = (f"{rung.scc} refuses {_first(case, rung)}" for rung in case.ladder.refused)
    return Check(
        code=code,
        title=title,
        status=Status.PROBLEM,
        facts=(f"denied: {answer.reason}", *refused),
        fixes=(f"kubectl scc explain pod/{case.name} -n {case.where}  # the ways out, cheapest in privilege first",),
        in_vain=(
            f"editing the annotation {names.SCC_ANNOTATION}: it records the answer and does not make it",
            "granting an SCC to the user who owns the Deployment: what counts is the pod's service account",
        ),
    )


def _through(chosen: Rung | None, answer: Answer) -> str:
    whose = "its service account" if answer.subject == SERVICE_ACCOUNT else "whoever creates it"
    grant = f", through {grant_text(chosen.grants[0])}" if chosen and chosen.grants else ""
    return f"{answer.scc}, which {whose} may use{grant}"


def _first(case: Case, rung: Rung) -> str:
    """The first field that an SCC refuses."""
    return str(findings(rung.attempt.objections, rung.provider.scc, case.raw)[0])


# --- has its SCC changed -------------------------------------------------------------------------------------------


def _changed(case: Case) -> Check:
    code, title = "SccChanged", "Has its SCC changed since it was admitted?"
    answer = case.ladder.answer
    if not case.carries:
        return _ok(code, title, f"it carries no {names.SCC_ANNOTATION}: it was admitted without SCCs")
    how = "was admitted under" if case.recorded else "was last judged to match"
    if answer.scc == case.carries:
        return _ok(code, title, f"it {how} {case.carries}, and would be again")
    if answer.verdict in {Verdict.UNKNOWN, Verdict.EXEMPT}:
        return _ok(code, title, f"it {how} {case.carries}")
    old = case.ladder.rung(case.carries)
    grant = f"kubectl scc add-scc-to-user {case.carries} -z {case.pod.service_account} -n {case.where}"
    return Check(
        code=code,
        title=title,
        status=Status.PROBLEM,
        facts=(f"it {how} {case.carries}, and today would get {answer.scc or 'none'}", *_why_changed(case, old)),
        fixes=(
            *((grant,) if old is not None and not old.usable_by else ()),
            f"kubectl scc who-can use {answer.scc or case.carries} -n {case.where}  # what was granted, or taken away",
            f"keep {case.carries}: annotate the pod template with {names.REQUIRED_SCC}: {case.carries}",
            f"then make the pod anew: kubectl delete pod {case.name} -n {case.where}",
        ),
        in_vain=(
            "deleting the pod alone: it comes back under the SCC of today",
            f"editing the annotation {names.SCC_ANNOTATION}: it records the SCC and does not choose it",
        ),
    )


def _why_changed(case: Case, old: Rung | None) -> Iterator[str]:
    new = case.ladder.chosen
    if old is None:
        yield f"SCC {case.carries} does not exist any more"
    elif not old.usable_by:
        yield f"neither its service account nor its creator may use {case.carries} any more"
    elif not old.fits:
        yield f"{case.carries} now refuses {_first(case, old)}"
    elif new is not None:
        yield f"{new.scc} is tried before {case.carries}, and it may use both"
    if new is None:
        return
    if new.grants:
        yield f"{new.scc} comes through {grant_text(new.grants[0])}"
    if old is not None:
        before, after = running_with(case.pod, old.attempt), running_with(case.pod, new.attempt)
        for field in IDENTITY:
            if before[field] != after[field]:
                yield f"{field} would be {after[field]}, under {case.carries} it is {before[field]}"


# --- runAsNonRoot against the image --------------------------------------------------------------------------------


def _root(case: Case) -> Check:
    code, title = "NonRootImage", "Do runAsNonRoot and the image's user go together?"
    found = [_image_user(case, each) for each in case.pod.containers if _runs_as_non_root(case, each)]
    if not found:
        return _ok(code, title, "no container asks for runAsNonRoot: the kubelet starts every image")
    status = _worst(status for status, _ in found)
    facts = tuple(text for _, text in found)
    if status is Status.OK:
        return _ok(code, title, *facts)
    chosen = case.ladder.chosen
    demanded = chosen is not None and chosen.provider.scc.run_as_user.type == MUST_RUN_AS_NON_ROOT
    false = f"{case.ladder.answer.scc} demands true" if demanded else "where it is accepted, the container runs as root"
    port = "a program that needs root, e.g. for a port below 1024, fails: choose another port or add NET_BIND_SERVICE"
    return Check(
        code=code,
        title=title,
        status=status,
        facts=facts,
        fixes=(
            "name a user by number in the pod: securityContext.runAsUser, a UID that the image can work with",
            "or build the image with a numeric user: USER 1001 at the end of its Dockerfile",
            "or run under an SCC that assigns a UID (runAsUser MustRunAsRange), such as restricted-v2",
        ),
        in_vain=(
            f"runAsNonRoot: false: {false}",
            "USER with a name (USER nginx): the kubelet cannot tell whether a name is root",
            f"USER alone: {port}",
        ),
    )


def _runs_as_non_root(case: Case, container: Container) -> bool:
    if container.run_as_non_root is not None:
        return container.run_as_non_root
    return _filled(case, container, "runAsNonRoot") is True


def _image_user(case: Case, container: Container) -> tuple[Status, str]:
    name = container.place.name
    if container.run_as_user == 0:
        return Status.PROBLEM, f"container {name} has runAsNonRoot: true and runAsUser: 0, which contradict each other"
    if container.run_as_user is not None:
        return Status.OK, f"container {name} runs as user {container.run_as_user}, whatever the image says"
    state = next((each.get("state") or {} for each in case.statuses if each.get("name") == name), {})
    waiting = state.get("waiting") or {}
    message = str(waiting.get("message", ""))
    if "runAsNonRoot" in message or "non-numeric user" in message:
        return Status.PROBLEM, f"container {name} does not start: {message}"
    if waiting.get("reason") == _CONFIG_ERROR:
        return (
            Status.LOOK,
            f"container {name} waits with {_CONFIG_ERROR}: most likely its image's user is root or a name",
        )
    if container.run_as_non_root and "running" in state:
        return Status.OK, f"container {name} runs: its image's user is not root"
    user = _filled(case, container, "runAsUser")
    if user is not None:
        return Status.OK, f"container {name} would get user {user} from {case.ladder.answer.scc}"
    has = "has" if container.run_as_non_root else f"would get from {case.ladder.answer.scc}"
    return Status.LOOK, f"container {name} {has} runAsNonRoot: true and leaves its user to the image"


def _filled(case: Case, container: Container, field: str) -> object:
    """What the SCC would fill in for a container; None for nothing."""
    fills = case.ladder.chosen.attempt.fills if case.ladder.chosen else ()
    return next((fill.value for fill in fills if (fill.field, fill.place) == (field, container.place)), None)


def _worst(statuses: Iterable[Status]) -> Status:
    return max(statuses, key=(Status.OK, Status.LOOK, Status.PROBLEM).index)


# --- Pod Security labels -------------------------------------------------------------------------------------------


def _pod_security(case: Case) -> Check:
    code, title = "PodSecurity", "Do the namespace's Pod Security labels admit what the SCC allows?"
    level = case.labels.get(ENFORCE_LABEL, "")
    if level not in LEVELS:
        return _ok(code, title, f"namespace {case.where} enforces nothing ({ENFORCE_LABEL} is {level or 'not set'})")
    found = violations(case.pod, level)
    if not found:
        return _ok(code, title, f"namespace {case.where} enforces {level}, which the pod satisfies")
    scc = case.ladder.answer.scc
    although = f", although {scc} allows it" if scc else ""
    wanted = least_level(case.pod)
    too_wide = (f"{ENFORCE_LABEL}={PRIVILEGED}: {wanted} is enough, and keeps the rest of the check",)
    return Check(
        code=code,
        title=title,
        status=Status.PROBLEM,
        facts=(f"namespace {case.where} enforces {level}, which refuses the pod on its next start{although}", *found),
        fixes=(
            "change these fields of the pod, where the application can do without them",
            f"or kubectl label namespace {case.where} {ENFORCE_LABEL}={wanted} --overwrite",
        ),
        in_vain=(
            "granting another SCC: Pod Security admission asks beside it, and both have to agree",
            *(too_wide if wanted != PRIVILEGED else ()),
        ),
    )


# --- owners of files -----------------------------------------------------------------------------------------------


class _Seen(msgspec.Struct, frozen=True):
    """What was found of one volume."""

    status: Status
    fact: str
    fixes: tuple[str, ...] = ()
    in_vain: tuple[str, ...] = ()


def _volumes(case: Case) -> Check:
    code, title = "VolumeOwner", "May its user and groups read and write its volumes?"
    if not case.volumes:
        return _ok(code, title, "it mounts no volume whose files outlive it")
    runs = running_with(case.pod, _AS_IT_RUNS)
    seen = [_volume(case, volume, runs["fsGroup"]) for volume in case.volumes]
    identity = f"it runs as user {runs['runAsUser']}, fsGroup {runs['fsGroup']}, groups {runs['supplementalGroups']}"
    return Check(
        code=code,
        title=title,
        status=_worst(each.status for each in seen),
        facts=(identity, *(each.fact for each in seen)),
        fixes=tuple(dict.fromkeys(text for each in seen for text in each.fixes)),
        in_vain=tuple(dict.fromkeys(text for each in seen for text in each.in_vain)),
    )


def _volume(case: Case, volume: VolumeFacts, fs_group: str) -> _Seen:
    if volume.claim and volume.phase and volume.phase != "Bound":
        fact = f"claim {volume.claim} is {volume.phase}: nothing is mounted yet, and no SCC changes that"
        return _Seen(Status.PROBLEM, fact, (f"kubectl describe pvc {volume.claim} -n {case.where}",))
    shell = shlex.quote(f"id; ls -ldn {shlex.quote(volume.paths[0] if volume.paths else '/')}")
    look = f"kubectl exec -n {case.where} {case.name} -- sh -c {shell}  # who it is, and who owns the files"
    if volume.shared:
        return _Seen(
            Status.LOOK,
            f"{volume.title}: the server decides who owns its files; nothing on the node changes that",
            (
                look,
                "give the pod the owning group: securityContext.supplementalGroups, in an SCC whose ranges hold it",
                "or the owning user: runAsUser, under an SCC that allows that UID (kubectl scc explain tells which)",
            ),
            (
                "fsGroup: the kubelet does not change owners on file systems that are shared over the network",
                "chown in a container that runs as root: an export with root_squash makes nobody of it",
            ),
        )
    if volume.group is not None:
        return _Seen(
            Status.OK, f"{volume.title}: its files are group {volume.group}'s, which the kubelet adds to the pod"
        )
    if volume.type == HOST_PATH:
        fact = f"{volume.title}: a directory of the node, owned as it is there"
        return _Seen(Status.LOOK, fact, (look,), ("fsGroup: it is not applied to hostPath volumes",))
    if fs_group == "none":
        return _Seen(
            Status.LOOK,
            f"{volume.title}: no fsGroup is set, so its files keep the owner that they were written by",
            (look, "set securityContext.fsGroup: the kubelet makes the files that group's when it mounts them"),
            ("supplementalGroups alone, where the files do not belong to such a group yet",),
        )
    return _Seen(Status.OK, f"{volume.title}: the kubelet makes its files group {fs_group}'s when it mounts them")


# --- SELinux -------------------------------------------------------------------------------------------------------


def _level(case: Case) -> Check:
    code, title = "SELinuxLevel", "Is its SELinux level that of its namespace?"
    wanted = case.namespace.values.mcs if case.namespace else None
    options = [each.se_linux_options or case.pod.se_linux_options for each in case.pod.containers]
    levels = sorted({each.level for each in options if each is not None and each.level})
    facts = (f"namespace {case.where} has level {wanted or 'none'}", f"the pod has level {', '.join(levels) or 'none'}")
    persistent = bool(case.volumes)
    if not wanted or (not levels and not persistent):
        return _ok(code, title, *facts)
    if levels and all(_categories(level) == _categories(wanted) for level in levels):
        return _ok(code, title, *facts)
    if levels:
        told = "files that other pods of the namespace wrote have another level, and the other way round"
        fix = "remove seLinuxOptions from the pod template: the SCC then assigns the namespace's level"
    else:
        told = "the runtime gives every start another level, and relabels volumes for it"
        fix = "run it under an SCC that assigns the namespace's level (seLinuxContext MustRunAs)"
    return Check(
        code=code,
        title=title,
        status=Status.PROBLEM if levels and persistent else Status.LOOK,
        facts=(*facts, told),
        fixes=(
            fix,
            f"then make the pod anew: kubectl delete pod {case.name} -n {case.where}",
            "ausearch -m avc --start recent  # on the node: what SELinux refused",
        ),
        in_vain=("chmod, chown and groups: SELinux is asked as well, and separately",),
    )


def _categories(level: str) -> tuple[str, ...]:
    sensitivity, _, categories = level.partition(":")
    return (sensitivity, *sorted(categories.split(",")))


def is_persistent(volume_type: str) -> bool:
    """Whether the files of a volume of this type outlive the pod."""
    return bool(volume_type) and volume_type not in EPHEMERAL_VOLUMES
