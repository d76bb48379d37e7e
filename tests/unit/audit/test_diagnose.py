"""The checklist of a pod: what is found for each thing that goes wrong around SCCs."""

from typing import Any

import pytest
from tests.unit.cluster.builders import namespace, pod, scc

from scc_operator.audit.diagnose import Case, Check, Status, VolumeFacts, diagnose
from scc_operator.audit.ladder import climb
from scc_operator.audit.view import View
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.records import Namespace

Json = dict[str, Any]
NON_ROOT: Json = {"runAsUser": {"type": "MustRunAsNonRoot"}}
ANYBODY: Json = {"runAsUser": {"type": "RunAsAny"}}
LABEL = "pod-security.kubernetes.io/enforce"


def checks(
    *sccs: Json,
    carries: str = "",
    labels: Json | None = None,
    volumes: tuple[VolumeFacts, ...] = (),
    statuses: tuple[Json, ...] = (),
    ranges: bool = True,
    **spec: Any,
) -> dict[str, Check]:
    """The checklist of a pod `web` of namespace `shop`, by code."""
    mirror = Mirror()
    for each in sccs:
        mirror.take(Kind.SCCS, each)
    raw = pod("web")
    raw["spec"].update(spec)
    mirror.take(Kind.PODS, raw)
    (question,) = mirror.questions
    found = Namespace.read(namespace("shop", **({} if ranges else {"annotations": {}})))
    case = Case(
        name="web",
        where="shop",
        raw=raw,
        pod=question.pod,
        ladder=climb(View(mirror, frozenset()), question, found),
        namespace=found,
        labels=labels or {},
        carries=carries,
        recorded=bool(carries),
        volumes=volumes,
        statuses=statuses,
    )
    return {check.code: check for check in diagnose(case)}


def context(**fields: Any) -> Json:
    """Containers of a pod with one container `main` and these fields in its security context."""
    return {"containers": [{"name": "main", "image": "app", "securityContext": fields}]}


def told(check: Check) -> str:
    """All that a check says."""
    return "\n".join([*check.facts, *check.fixes, *check.in_vain])


def test_a_pod_without_troubles() -> None:
    """Every check is there, in the order in which one would ask, and is fine."""
    found = checks(scc("a"))
    assert list(found) == ["Admitted", "SccChanged", "NonRootImage", "PodSecurity", "VolumeOwner", "SELinuxLevel"]
    assert {check.status for check in found.values()} == {Status.OK}
    assert found["Admitted"].facts == (
        "a, which whoever creates it may use, through field groups of SCC a, group system:authenticated",
    )


def test_a_denied_pod() -> None:
    """The first refusal of each SCC that it may use, and where the ways out are."""
    check = checks(scc("a"), hostNetwork=True)["Admitted"]
    assert check.status is Status.PROBLEM
    assert "a refuses spec.hostNetwork: true, allowed: false" in check.facts
    assert "kubectl scc explain pod/web -n shop" in check.fixes[0]


def test_what_cannot_be_judged() -> None:
    """Missing ranges and broken SCCs lead to the command that shows them."""
    ranges = checks(scc("a"), ranges=False)["Admitted"]
    assert (ranges.status, ranges.fixes) == (Status.UNKNOWN, ("kubectl scc ranges",))
    broken = checks(scc("a", runAsUser={"type": "MustRunAs"}))["Admitted"]
    assert (broken.status, broken.fixes) == (Status.UNKNOWN, ("kubectl scc audit --lint",))


# --- SccChanged ----------------------------------------------------------------------------------------------------


def test_an_scc_that_took_over() -> None:
    """What is tried first now, through which grant, and what it would run with."""
    check = checks(scc("old"), scc("new", priority=5, **ANYBODY), carries="old")["SccChanged"]
    assert check.status is Status.PROBLEM
    assert check.facts == (
        "it was admitted under old, and today would get new",
        "new is tried before old, and it may use both",
        "new comes through field groups of SCC new, group system:authenticated",
        "runAsUser would be the image's, under old it is 1000680000",
    )
    assert "openshift.io/required-scc: old" in told(check)
    assert "deleting the pod alone" in told(check)


@pytest.mark.parametrize(
    "sccs, why, fix",
    [
        ((scc("new"),), "SCC old does not exist any more", "who-can use new"),
        ((scc("new"), scc("old", groups=[])), "may use old any more", "add-scc-to-user old -z default -n shop"),
        (
            (scc("new"), scc("old", readOnlyRootFilesystem=True, priority=9)),
            "old now refuses spec.containers[0].securityContext.readOnlyRootFilesystem: false",
            "who-can use new",
        ),
    ],
    ids=["gone", "taken away", "narrower"],
)
def test_an_scc_that_was_lost(sccs: tuple[Json, ...], why: str, fix: str) -> None:
    """It is gone, was taken away, or was made narrower."""
    check = checks(*sccs, carries="old", **context(readOnlyRootFilesystem=False))["SccChanged"]
    assert check.status is Status.PROBLEM
    assert why in told(check)
    assert fix in told(check)


def test_an_scc_that_is_the_same() -> None:
    """Nothing has changed."""
    assert checks(scc("a"), carries="a")["SccChanged"].facts == ("it was admitted under a, and would be again",)


# --- NonRootImage --------------------------------------------------------------------------------------------------


def waiting(reason: str, message: str = "") -> tuple[Json, ...]:
    """The status of a container that does not start."""
    return ({"name": "main", "state": {"waiting": {"reason": reason, "message": message}}},)


ROOT = "container has runAsNonRoot and image will run as root"
NAMED = "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root"


@pytest.mark.parametrize("message", [ROOT, NAMED])
def test_what_the_kubelet_says(message: str) -> None:
    """An image that runs as root, or as a user with a name."""
    statuses = waiting("CreateContainerConfigError", message)
    check = checks(scc("a", **ANYBODY), statuses=statuses, **context(runAsNonRoot=True))["NonRootImage"]
    assert (check.status, check.facts) == (Status.PROBLEM, (f"container main does not start: {message}",))


def test_a_snapshot_keeps_no_messages() -> None:
    """The reason alone says where to look."""
    statuses = waiting("CreateContainerConfigError")
    check = checks(scc("a", **ANYBODY), statuses=statuses, **context(runAsNonRoot=True))["NonRootImage"]
    assert check.status is Status.LOOK


def test_an_explicit_root_contradicts_non_root() -> None:
    """No image can satisfy both."""
    check = checks(scc("a", **ANYBODY), **context(runAsNonRoot=True, runAsUser=0))["NonRootImage"]
    assert check.status is Status.PROBLEM


@pytest.mark.parametrize(
    "fields, sccs, expected",
    [
        ({"runAsNonRoot": True, "runAsUser": 7}, (scc("a", **ANYBODY),), "runs as user 7, whatever the image says"),
        ({"runAsNonRoot": True}, (scc("a"),), "would get user 1000680000 from a"),
        ({}, (scc("a", **ANYBODY),), "no container asks for runAsNonRoot"),
    ],
)
def test_users_that_are_known(fields: Json, sccs: tuple[Json, ...], expected: str) -> None:
    """A user by number makes the image's user irrelevant."""
    check = checks(*sccs, **context(**fields))["NonRootImage"]
    assert check.status is Status.OK
    assert expected in told(check)


def test_a_running_container_has_passed() -> None:
    """The kubelet has looked at its image already."""
    statuses = ({"name": "main", "state": {"running": {}}},)
    check = checks(scc("a", **ANYBODY), statuses=statuses, **context(runAsNonRoot=True))["NonRootImage"]
    assert check.status is Status.OK


def test_a_running_container_that_was_never_asked_proves_nothing() -> None:
    """Where only the SCC would set the field, the kubelet has not looked at the image yet."""
    statuses = ({"name": "main", "state": {"running": {}}},)
    check = checks(scc("a", **NON_ROOT), statuses=statuses)["NonRootImage"]
    assert check.status is Status.LOOK
    assert "would get from a runAsNonRoot: true" in check.facts[0]


def test_an_scc_that_demands_non_root() -> None:
    """It fills the field in, so the image decides; and setting it to false is in vain."""
    check = checks(scc("a", **NON_ROOT))["NonRootImage"]
    assert check.status is Status.LOOK
    assert "runAsNonRoot: false: a demands true" in check.in_vain


# --- PodSecurity ---------------------------------------------------------------------------------------------------


def test_labels_that_refuse_what_the_scc_allows() -> None:
    """The violations, the least level that would do, and that another SCC changes nothing."""
    check = checks(scc("a", allowHostNetwork=True), labels={LABEL: "baseline"}, hostNetwork=True)["PodSecurity"]
    assert check.status is Status.PROBLEM
    assert "although a allows it" in check.facts[0]
    assert check.facts[1:] == ("hostNetwork: true",)
    assert f"or kubectl label namespace shop {LABEL}=privileged --overwrite" in check.fixes
    assert "granting another SCC" in check.in_vain[0]


def test_the_least_level_is_offered() -> None:
    """Nobody needs privileged where baseline does."""
    check = checks(scc("a"), labels={LABEL: "restricted"})["PodSecurity"]
    assert f"{LABEL}=baseline" in told(check)
    assert f"{LABEL}=privileged: baseline is enough" in told(check)


@pytest.mark.parametrize("labels", [{}, {LABEL: "privileged"}, {LABEL: "baseline"}, {LABEL: "none-such"}])
def test_labels_that_admit_the_pod(labels: Json) -> None:
    """No label, an unknown one, or one that the pod satisfies."""
    assert checks(scc("a"), labels=labels)["PodSecurity"].status is Status.OK


# --- VolumeOwner ---------------------------------------------------------------------------------------------------


def owner(*volumes: VolumeFacts, **spec: Any) -> Check:
    """What is found about these volumes."""
    return checks(scc("a"), volumes=volumes, **spec)["VolumeOwner"]


@pytest.mark.parametrize(
    "volume",
    [
        VolumeFacts(name="v", type="nfs", claim="c", phase="Bound", paths=("/srv/my data",)),
        VolumeFacts(name="v", type="csi", driver="nfs.csi.k8s.io", claim="c", phase="Bound"),
        VolumeFacts(name="v", type="nfs", group=5555),
    ],
)
def test_shared_file_systems(volume: VolumeFacts) -> None:
    """Only the server knows the owner; fsGroup is in vain, supplementalGroups help."""
    check = owner(volume)
    assert check.status is Status.LOOK
    assert any(text.startswith("fsGroup:") for text in check.in_vain)
    assert any("supplementalGroups" in text for text in check.fixes)


def test_the_command_to_look_with_is_ready_to_run() -> None:
    """It names the mount's path, quoted."""
    check = owner(VolumeFacts(name="v", type="nfs", paths=("/srv/my data",)))
    assert check.fixes[0].startswith("kubectl exec -n shop web -- sh -c ")
    assert "ls -ldn" in check.fixes[0]


@pytest.mark.parametrize(
    "volume, spec, status, expected",
    [
        (VolumeFacts(name="v", type="csi", claim="c", phase="Bound"), {}, Status.LOOK, "no fsGroup is set"),
        (
            VolumeFacts(name="v", type="csi", claim="c", phase="Bound"),
            {"securityContext": {"fsGroup": 7}},
            Status.OK,
            "the kubelet makes its files group 7's",
        ),
        (VolumeFacts(name="v", type="iscsi", group=9), {}, Status.OK, "group 9's, which the kubelet adds"),
        (VolumeFacts(name="v", type="hostPath"), {}, Status.LOOK, "a directory of the node"),
        (
            VolumeFacts(name="v", type="persistentVolumeClaim", claim="c", phase="Pending"),
            {},
            Status.PROBLEM,
            "kubectl describe pvc c -n shop",
        ),
    ],
)
def test_volumes_of_one_node(volume: VolumeFacts, spec: Json, status: Status, expected: str) -> None:
    """A block volume becomes the fsGroup's when it is mounted; what is not bound is no matter of rights."""
    check = owner(volume, **spec)
    assert check.status is status
    assert expected in told(check)


def test_the_gravest_volume_counts() -> None:
    """One problem makes the check a problem."""
    pending = VolumeFacts(name="v", type="persistentVolumeClaim", claim="c", phase="Pending")
    assert owner(VolumeFacts(name="a", type="nfs"), pending).status is Status.PROBLEM


# --- SELinuxLevel --------------------------------------------------------------------------------------------------

VOLUME = VolumeFacts(name="v", type="nfs")


@pytest.mark.parametrize(
    "level, volumes, status",
    [
        ("s0:c15,c26", (VOLUME,), Status.OK),
        ("s0:c26,c15", (), Status.OK),
        ("s0:c1,c2", (), Status.LOOK),
        ("s0:c1,c2", (VOLUME,), Status.PROBLEM),
        ("", (), Status.OK),
        ("", (VOLUME,), Status.LOOK),
    ],
)
def test_the_level_against_the_namespace(level: str, volumes: tuple[VolumeFacts, ...], status: Status) -> None:
    """The order of categories does not matter; another level matters most where files outlive the pod."""
    options = {"seLinuxOptions": {"level": level}} if level else {}
    check = checks(scc("a"), volumes=volumes, **context(**options))["SELinuxLevel"]
    assert check.status is status
    assert ("chmod" in told(check)) == (status is not Status.OK)
