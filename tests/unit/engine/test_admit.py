import copy
from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.engine.builders import (
    PROJ,
    SCC,
    Json,
    body,
    check,
    cluster,
    completed,
    container,
    create,
    fills,
    pod,
    scc,
    stock_sccs,
    update,
)

from scc_operator.engine.admit import STANDARD_SCCS, AdmissionRequest, admit, validate
from scc_operator.engine.namespace import NamespaceValues
from scc_operator.engine.provider import Provider
from scc_operator.engine.scc import SELinuxOptions
from scc_operator.engine.verdict import TextStyle

AUDIT = "securitycontextconstraints.admission.openshift.io"
DENIED = "securityserviceconstraints.admission.openshift.io/denied"
RECORDED = "openshift.io/scc"
SUBJECT = "security.openshift.io/validated-scc-subject-type"
REQUIRED = "openshift.io/required-scc"
UNUSABLE = 'provider "{}": Forbidden: not usable by user or serviceaccount'
BROKEN: Json = {"runAsUser": {"type": "MustRunAs"}}
LEVEL = SELinuxOptions(level="s0:c26,c15")

# Fills in a group, so a pod without one needs a change.
FILLING: Json = {"fsGroup": {"type": "MustRunAs"}}


def requiring(name: str, **parts: Any) -> Json:
    """A pod that requires an SCC."""
    return pod(annotations={REQUIRED: name}, **parts)


# --- which SCC ---------------------------------------------------------------------------------------------------


def test_equal_sccs_are_chosen_by_name() -> None:
    """Of two SCCs that differ in nothing else the name decides, and the audit log says so (case 1)."""
    result = create(pod(), scc("a2"), scc("a1"))
    assert result.scc == "a1"
    assert result.audit == {
        DENIED: "",
        f"{AUDIT}/reason": ('"a1" is most restrictive, not denied, and chosen over "a2" because "a1" ordered by name'),
    }


def test_an_ordinary_user_gets_restricted_v2() -> None:
    """With the default grants a simple pod gets restricted-v2 through its requester (case 7)."""
    sccs = stock_sccs(restricted_v2=["user"], restricted_v3=["user"])
    result = create(pod(), *sccs)
    assert (result.scc, result.subject_type) == ("restricted-v2", "user")
    assert result.audit[DENIED].split(",")[0] == "anyuid"


def test_an_administrator_gets_anyuid() -> None:
    """Whoever may use every SCC gets anyuid, which has the highest priority (case 8)."""
    everything = {found.name.replace("-", "_"): ["user"] for found in stock_sccs()}
    result = create(pod(), *stock_sccs(**everything))
    assert (result.scc, result.subject_type) == ("anyuid", "user")
    spec = completed(result)["spec"]
    assert spec["securityContext"] == {"seLinuxOptions": {"level": "s0:c26,c15"}}
    assert spec["containers"][0]["securityContext"] == {"capabilities": {"drop": ["MKNOD"]}}


def test_a_user_namespace_of_its_own_does_not_change_the_order() -> None:
    """Restricted-v3 ties with restricted-v2 and comes after it by name (case 9)."""
    sccs = stock_sccs(restricted_v2=["user"], restricted_v3=["user"])
    assert create(pod(spec={"hostUsers": False}), *sccs).scc == "restricted-v2"


def test_a_required_scc_is_the_only_one_tried() -> None:
    """A pod that requires restricted-v3 gets it or nothing (cases 10, 11)."""
    sccs = stock_sccs(restricted_v2=["user"], restricted_v3=["user"])
    refused = create(requiring("restricted-v3"), *sccs)
    assert body(refused) == (
        'provider restricted-v3: .spec.securityContext.hostUsers: Invalid value: "null": '
        "Host Users must be set to false"
    )
    assert refused.code == "HostUsersNotAllowed"
    result = create(requiring("restricted-v3", spec={"hostUsers": False}), *sccs)
    context = completed(result)["spec"]["securityContext"]
    assert (context["fsGroup"], context["supplementalGroups"]) == (1000, [1000])
    assert completed(result)["spec"]["containers"][0]["securityContext"]["runAsUser"] == 1000


@pytest.mark.parametrize(
    "name, on_pod, on_container",
    [
        (
            "restricted-v2",
            {"seLinuxOptions": LEVEL, "fsGroup": 1000680000, "seccompProfile": "runtime/default"},
            {
                "capabilities.drop": ("ALL",),
                "runAsUser": 1000680000,
                "runAsNonRoot": True,
                "allowPrivilegeEscalation": False,
            },
        ),
        (
            "restricted",
            {"seLinuxOptions": LEVEL, "fsGroup": 1000680000},
            {
                "capabilities.drop": ("KILL", "MKNOD", "SETGID", "SETUID"),
                "runAsUser": 1000680000,
                "runAsNonRoot": True,
            },
        ),
        (
            "nested-container",
            {
                "seLinuxOptions": SELinuxOptions(type="container_engine_t", level="s0:c26,c15"),
                "fsGroup": 0,
                "supplementalGroups": (0,),
            },
            {"runAsUser": 0},
        ),
        ("hostmount-anyuid-v2", {}, {"capabilities.drop": ("MKNOD",)}),
        ("privileged", {}, {}),
    ],
)
def test_what_the_default_sccs_fill_in(name: str, on_pod: Any, on_container: Any) -> None:
    """A minimal pod gets these values under OpenShift's own SCCs (spec appendix B)."""
    (under,) = (found for found in stock_sccs() if found.name == name)
    expected = {**on_pod, **{f"c.{field}": value for field, value in on_container.items()}}
    assert fills(under, pod(spec={"hostUsers": False})) == expected


def test_a_required_scc_that_nobody_grants_is_the_only_objection() -> None:
    """The annotation grants nothing (case 12)."""
    result = create(requiring("anyuid"), scc("anyuid", users=[]), scc())
    assert body(result) == UNUSABLE.format("anyuid")
    assert result.code == "NoUsableSCC"


def test_a_required_scc_that_does_not_exist_refuses() -> None:
    """The pod is refused before anything is evaluated (case 13)."""
    result = create(requiring("nope"), scc())
    assert body(result).startswith('failed to retrieve the required SCC "nope": ')
    assert result.audit == {}


def test_one_broken_scc_refuses_every_pod() -> None:
    """Candidates are compiled before anybody is asked who may use them (case 14)."""
    result = create(pod(), scc(), scc("broken", users=[], **BROKEN))
    assert body(result) == "error creating provider for SCC broken in namespace proj: MustRunAs requires a UID"
    assert result.audit == {}


def test_several_broken_sccs_are_listed() -> None:
    """Each broken SCC is named, in order (case 15)."""
    text = "error creating provider for SCC {} in namespace proj: MustRunAs requires a UID"
    assert body(create(pod(), scc("b", **BROKEN), scc("a", **BROKEN))) == f"[{text.format('a')}, {text.format('b')}]"


def test_a_required_scc_keeps_broken_ones_out() -> None:
    """Broken SCCs do not matter to a pod that requires a healthy one (case 16)."""
    assert create(requiring("s1"), scc(), scc("b", **BROKEN)).allowed


# --- who may use it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "grant, account, groups, subject",
    [
        pytest.param({"users": ["system:serviceaccount:proj:sa1"]}, "sa1", [], "serviceaccount", id="17: by name"),
        pytest.param({"users": ["system:serviceaccount:other:sa1"]}, "sa1", [], None, id="18: another namespace"),
        pytest.param({"groups": ["system:serviceaccounts:proj"]}, "sa1", [], "serviceaccount", id="19: by group"),
        pytest.param({"groups": ["system:authenticated"]}, "sa1", [], None, id="20: not as authenticated"),
        pytest.param(
            {"groups": ["system:authenticated", "system:serviceaccounts"]},
            "sa1",
            ["system:authenticated"],
            "serviceaccount",
            id="21: the account first",
        ),
        pytest.param({"groups": ["system:serviceaccounts"]}, "", [], None, id="22: no account"),
        pytest.param({"users": ["*"]}, "sa1", [], None, id="23: no wildcard"),
    ],
)
def test_the_subject_that_makes_an_scc_usable(grant: Json, account: str, groups: list[str], subject: str) -> None:
    """The service account counts with its two groups, else the requester with theirs (cases 17 to 23)."""
    under = scc(**{"users": [], **grant})
    result = create(pod(spec={"serviceAccountName": account}), under, groups=groups)
    assert result.allowed is (subject is not None)
    assert result.subject_type == (subject or "")


# --- updates -----------------------------------------------------------------------------------------------------


def labelled(asked: Json, value: Any = "new") -> Json:
    """The same pod with another label."""
    changed = copy.deepcopy(asked)
    changed["metadata"]["labels"] = {"a": value}
    return changed


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"finalizers": ["a/b"]},
        {"ownerReferences": [{"name": "a"}]},
        {"managedFields": [{"manager": "a"}]},
        {"annotations": {"k8s.ovn.org/pod-networks": "{}"}},
    ],
)
def test_updates_that_concern_no_scc_are_ignored(metadata: Json) -> None:
    """Without a difference, or with one in housekeeping only, nothing is evaluated (case 107)."""
    changed = pod()
    changed["metadata"].update(metadata)
    result = update(pod(), changed)
    assert (result.allowed, result.ignored, result.audit) == (True, True, {})
    assert result.pod is changed


def test_an_update_that_would_need_a_change_is_refused() -> None:
    """A changed label is reason enough to evaluate a pod that cannot be completed any more (case 108)."""
    refused = update(pod(), labelled(pod()), scc(**FILLING))
    assert body(refused) == "<nil>"
    assert refused.code == "ChangesNeeded"
    recorded = requiring("s1")
    recorded["metadata"]["annotations"][RECORDED] = "s1"
    assert body(check(recorded, scc(**FILLING))) == "[]"


def test_the_required_scc_may_not_change() -> None:
    """Adding the annotation is refused, adding it empty is not, and on status nobody looks (case 109)."""
    text = "invalid change of required security context constraint annotation: openshift.io/required-scc"
    assert body(update(pod(), requiring("s1"), scc())) == text
    assert update(pod(), requiring(""), scc()).allowed
    assert update(pod(), requiring("s1"), scc(), subresource="status").ignored


def test_an_update_may_get_another_scc() -> None:
    """The mutating pass takes the first SCC in order, the validating one tries the recorded one first (case 110)."""
    sccs = scc("aa-non"), scc("zz-non")
    recorded = pod(annotations={RECORDED: "zz-non"})
    assert completed(update(recorded, labelled(recorded), *sccs))["metadata"]["annotations"] == {
        RECORDED: "aa-non",
        SUBJECT: "user",
    }
    assert check(recorded, *sccs).audit == {f"{AUDIT}/chosen": "zz-non"}


def test_an_update_cannot_take_the_seccomp_annotation_away() -> None:
    """The annotation would be written anew, and an update may not change anything (case 111)."""
    key = "seccomp.security.alpha.kubernetes.io/pod"
    field = {"seccompProfile": {"type": "RuntimeDefault"}}
    old = pod(annotations={key: "runtime/default"}, **field)
    assert body(update(old, pod(annotations={}, **field), scc())) == "<nil>"


def test_a_new_ephemeral_container_is_completed() -> None:
    """Through its subresource an ephemeral container is completed, and nothing else (case 112)."""
    under = scc(readOnlyRootFilesystem=True)
    old = pod(container(readOnlyRootFilesystem=True))
    new = {**old, "spec": {**old["spec"], "ephemeralContainers": [container("e")]}}
    result = update(old, new, under, subresource="ephemeralcontainers")
    assert completed(result)["spec"]["ephemeralContainers"] == [container("e", readOnlyRootFilesystem=True)]
    assert body(update(old, new, under)) == "<nil>"
    bare = pod(spec={"ephemeralContainers": [container("e")]})
    assert body(update(pod(), bare, under, subresource="ephemeralcontainers")) == "<nil>"


def test_a_resize_is_an_ordinary_update() -> None:
    """On the resize subresource nothing may change either (case 113)."""
    changed = pod({"name": "c", "resources": {"limits": {"cpu": "1"}}})
    assert body(update(pod(), changed, scc(**FILLING), subresource="resize")) == "<nil>"
    assert update(pod(), changed, scc(), subresource="resize").scc == "s1"


def test_windows_pods_are_left_alone() -> None:
    """Only the exact name counts as Windows (case 114)."""
    result = create(pod(spec={"os": {"name": "windows"}}))
    assert result.ignored
    assert "annotations" not in completed(result)["metadata"]
    assert create(pod(spec={"os": {"name": "Windows"}}), scc()).scc == "s1"


# --- the validating pass -----------------------------------------------------------------------------------------


def test_the_required_scc_must_be_the_recorded_one() -> None:
    """A pod that requires one SCC and records another is refused at once (case 115)."""
    asked = pod(annotations={REQUIRED: "mut", RECORDED: "zz-non"})
    assert body(check(asked, scc())) == "required scc/mut does not match the suggested scc/zz-non"
    assert body(check(requiring("mut"), scc())) == "required scc/mut does not match the suggested scc/"


def test_another_scc_may_pass_than_the_recorded_one() -> None:
    """Where the recorded SCC would need a change another one may pass; the audit log tells (case 116)."""
    result = check(pod(annotations={RECORDED: "mut"}), scc("mut", **FILLING), scc("other"))
    assert (result.scc, result.pod) == ("other", pod(annotations={RECORDED: "mut"}))
    assert result.audit == {
        f"{AUDIT}/too-restrictive-mut": "failures final validation after mutating admission",
        f"{AUDIT}/reason-validation": (
            'originally chosen "mut" did not pass final validation after mutating admission, but "other" did instead'
        ),
        f"{AUDIT}/chosen": "other",
    }


def test_a_recorded_scc_that_is_gone_is_told_to_the_audit_log() -> None:
    """The first note about a denial stays, a second one for the same key is lost (spec §6.5)."""
    prefix = 'originally chosen "gone" got denied in final validation after mutating admission'
    asked = pod(annotations={RECORDED: "gone"})
    assert check(asked, scc(**FILLING)).audit == {f"{AUDIT}/denied-validation": prefix}
    assert check(asked, scc("gone", **FILLING)).audit == {
        f"{AUDIT}/too-restrictive-gone": "failures final validation after mutating admission",
        f"{AUDIT}/denied-validation": f"{prefix}, and no other matched".replace("gone", "gone"),
    }


def test_the_validating_pass_builds_the_recorded_scc_first() -> None:
    """The order in which broken SCCs are named begins with the recorded one."""
    text = "error creating provider for SCC {} in namespace proj: MustRunAs requires a UID"
    asked = pod(annotations={RECORDED: "b"})
    assert body(check(asked, scc("a", **BROKEN), scc("b", **BROKEN))) == f"[{text.format('b')}, {text.format('a')}]"


# --- texts -------------------------------------------------------------------------------------------------------


def test_a_pod_for_restricted_is_told_so() -> None:
    """Who may not use `restricted` learns that the pod would have fitted it (case 117)."""
    sccs = scc("restricted", users=[]), scc("restricted-v2", allowPrivilegeEscalation=False)
    result = create(pod(container(allowPrivilegeEscalation=True)), *sccs)
    assert body(result) == (
        f"[{UNUSABLE.format('restricted')}, provider restricted-v2: .containers[0].allowPrivilegeEscalation: "
        "Invalid value: true: Allowing privilege escalation for containers is not allowed, "
        "no access to scc/restricted: Forbidden: the pod fails to validate against the `restricted-v2` security "
        "context constraint, but would validate successfully against the `restricted` security context constraint]"
    )


@pytest.mark.parametrize(
    "request_name, metadata, name",
    [
        ("", {"generateName": "gen-"}, "gen-"),
        ("", {}, "Unknown"),
        ("asked", {"name": "other"}, "asked"),
        ("", {"name": 'q"'}, r"q\""),
    ],
)
def test_a_refusal_names_the_pod(request_name: str, metadata: Json, name: str) -> None:
    """The name is the request's, else the pod's, else the prefix that it will be generated from (case 118)."""
    request = AdmissionRequest("CREATE", {**pod(), "metadata": metadata}, namespace="proj", name=request_name)
    assert admit(request, cluster()).message == (
        f'pods "{name}" is forbidden: no SecurityContextConstraints found in cluster'
    )


def test_equal_texts_of_two_sccs_are_told_once_or_twice() -> None:
    """Paths without the SCC's name give equal texts, which only the mutating pass drops (case 119)."""
    sccs = scc("a", seccompProfiles=[]), scc("b", seccompProfiles=[])
    asked = pod(container(seccompProfile={"type": "RuntimeDefault"}))
    assert body(create(asked, *sccs)).count("seccomp may not be set") == 1
    assert body(check(asked, *sccs)).count("seccomp may not be set") == 2


def test_a_record_that_a_client_sends_is_overwritten() -> None:
    """Only admission says which SCC it was (case 120)."""
    result = create(pod(annotations={RECORDED: "fake", SUBJECT: "fake", "mine": "kept"}), scc())
    assert completed(result)["metadata"]["annotations"] == {RECORDED: "s1", SUBJECT: "user", "mine": "kept"}


def test_audit_keys_that_are_too_long_are_dropped() -> None:
    """An SCC with a name of 48 characters has no key of its own in the audit log (case 122)."""
    fits, too_long = "a" * 47, "b" * 48
    audit = create(pod(spec={"hostPID": True}), *(scc(name, allowHostPID=False) for name in (fits, too_long))).audit
    assert f"{AUDIT}/too-restrictive-{fits}" in audit
    assert not [key for key in audit if too_long in key]
    assert audit[f"{AUDIT}/reason"] == "all too restrictive or denied"


def test_the_only_scc_that_fits_has_a_reason_too() -> None:
    """The audit log says when no other SCC would have done, or when all were denied (spec §6.5)."""
    only = create(pod(), scc(), scc("z", users=[])).audit
    assert only[f"{AUDIT}/reason"] == '"s1" is the only one not too restrictive and not denied'
    none = create(pod(), scc(users=[])).audit
    assert none == {DENIED: "s1", f"{AUDIT}/reason": "all denied"}


def test_values_may_be_printed_as_newer_kubernetes_does() -> None:
    """A caller chooses the style of printed values."""
    result = create(pod(fsGroup=5), scc(fsGroup={"type": "MustRunAs"}), style=TextStyle.JSON)
    assert "Invalid value: [5]: " in body(result)


# --- requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subresource, ignored",
    [(name, True) for name in ("exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status")]
    + [(name, False) for name in ("", "ephemeralcontainers", "resize", "new")],
)
def test_some_subresources_are_none_of_our_business(subresource: str, ignored: bool) -> None:
    """Listed subresources are let through, unknown ones are examined (spec §2.1)."""
    request = AdmissionRequest("CREATE", pod(), namespace="proj", subresource=subresource)
    assert admit(request, cluster(scc())).ignored is ignored
    assert validate(request, cluster(scc())).ignored is ignored


def test_other_operations_are_none_of_our_business() -> None:
    """Only CREATE and UPDATE are examined."""
    assert admit(AdmissionRequest("DELETE", pod(), namespace="proj"), cluster()).ignored


def test_a_pod_that_cannot_be_read_is_refused() -> None:
    """A wrong type is a refusal that says where (spec §2.1)."""
    result = create(pod(spec={"hostPID": "x"}), scc())
    assert body(result) == (
        "object was marked as kind pod but was unable to be converted: "
        "Pod proj/p: field spec.hostPID is a string, but must be a boolean; correct it and try again"
    )


def test_missing_standard_sccs_refuse_where_they_are_needed() -> None:
    """A caller may insist on OpenShift's own SCCs, which are named in order when missing (spec §2.4)."""
    present = [scc(name) for name in STANDARD_SCCS if name not in ("nonroot", "anyuid")]
    result = create(requiring("privileged"), *present, needed_sccs=STANDARD_SCCS)
    assert body(result) == "securitycontextconstraints.security.openshift.io cache is missing anyuid, nonroot"


def test_the_given_pod_is_not_touched() -> None:
    """Completing makes a new object; what the engine does not know is kept."""
    asked = pod({"name": "c", "futureField": {"a": [1]}}, annotations={"a": "b"}, spec={"another": "x"})
    before = copy.deepcopy(asked)
    (restricted,) = (found for found in stock_sccs(restricted_v2=["user"]) if found.name == "restricted-v2")
    result = create(asked, restricted)
    assert asked == before
    assert completed(result)["spec"]["another"] == "x"
    assert completed(result)["spec"]["containers"][0]["futureField"] == {"a": [1]}


def test_providers_may_be_remembered() -> None:
    """A caller hands in its own way to compile candidates."""
    seen = []

    def build(sccs: Sequence[SCC], namespace: NamespaceValues) -> tuple[Provider, ...]:
        seen.append(([found.name for found in sccs], namespace))
        return ()

    result = create(pod(), scc(), build_providers=build)
    assert seen == [(["s1"], PROJ)]
    assert body(result) == "<nil>"
