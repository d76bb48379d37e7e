from typing import Any

import pytest
from tests.unit.engine.builders import PROJ, SCC, Json, container, pod, scc

from scc_operator.engine.errors import RequiredSCCNotFound
from scc_operator.engine.judge import (
    CHANGES_NEEDED,
    NO_USABLE_SCC,
    SERVICE_ACCOUNT,
    USER,
    Decision,
    candidates,
    decide,
    ephemeral_containers_only,
    evaluate,
    no_change,
    usable_through,
    walk,
)
from scc_operator.engine.order import order
from scc_operator.engine.pod import parse_pod
from scc_operator.engine.provider import build_providers

STRICT = {"allowHostNetwork": False, "allowHostPID": False}


def decided(asked: Json, *sccs: SCC, usable: Any = lambda _: USER, accepts: Any = None) -> Decision:
    """The decision about a pod with these SCCs as candidates."""
    providers = build_providers(sccs, PROJ)
    if accepts:
        return walk(parse_pod(asked), providers, usable, accepts)
    return decide(parse_pod(asked), providers, usable)


def test_the_first_usable_scc_that_fits_wins() -> None:
    """Candidates are tried in order; what comes after the first that fits is not looked at."""
    found = decided(
        pod(spec={"hostPID": True}),
        *(scc("denied"), scc("strict", **STRICT), scc("lax"), scc("later")),
        usable=lambda name: None if name == "denied" else SERVICE_ACCOUNT,
    )
    assert found.chosen is not None
    assert (found.chosen.scc, found.subject_type) == ("lax", SERVICE_ACCOUNT)
    assert found.not_usable == ("denied",)
    assert [attempt.scc for attempt in found.failed] == ["strict"]
    assert found.code == ""


def test_changes_are_no_reason_to_look_further() -> None:
    """A new pod gets the first SCC that fits even where a later one would fill in less."""
    found = decided(pod(), scc("filling", fsGroup={"type": "MustRunAs"}), scc("plain"))
    assert found.chosen is not None
    assert [fill.field for fill in found.chosen.fills] == ["fsGroup"]


def test_a_denial_is_coded_by_the_candidate_that_comes_nearest() -> None:
    """The reason is the first objection of the usable candidate with the fewest kinds of objections."""
    asked = pod(container("a"), container("b"), spec={"hostPID": True, "hostNetwork": True})
    two_kinds = scc("two-kinds", **STRICT)
    one_kind = scc("one-kind", allowHostPID=False)
    equal = scc("equal", allowHostNetwork=False)
    found = decided(asked, two_kinds, one_kind, equal)
    assert found.chosen is None
    assert found.subject_type == ""
    assert found.code == "HostPIDNotAllowed"
    assert decided(asked, two_kinds).code == "HostNetworkNotAllowed"


def test_a_denial_without_a_usable_scc_has_its_own_code() -> None:
    """Where nobody may use any candidate, that is the reason."""
    assert decided(pod(), scc(), usable=lambda _: None).code == NO_USABLE_SCC
    assert decided(pod()).code == NO_USABLE_SCC


def test_texts_are_worded_in_the_order_of_the_walk() -> None:
    """Each candidate that is not usable and each objection is one text."""
    found = decided(
        pod(spec={"hostPID": True}),
        *(scc("b", allowHostPID=False), scc("a")),
        usable=lambda name: USER if name == "b" else None,
    )
    assert found.texts() == [
        "provider b: .spec.securityContext.hostPID: Invalid value: true: Host PID is not allowed to be used",
        "provider b: .containers[0].hostPID: Invalid value: true: Host PID is not allowed to be used",
        'provider "a": Forbidden: not usable by user or serviceaccount',
    ]


def test_a_pod_that_may_not_change_gets_an_scc_that_fills_in_nothing() -> None:
    """Without changes an SCC that would fill something in is passed over."""
    filling = scc("filling", fsGroup={"type": "MustRunAs"})
    found = decided(pod(), filling, scc("plain"), accepts=no_change)
    assert found.chosen is not None
    assert found.chosen.scc == "plain"
    assert [attempt.fits for attempt in found.failed] == [True]
    assert decided(pod(), filling, accepts=no_change).code == CHANGES_NEEDED


def test_ephemeral_containers_may_be_completed_alone() -> None:
    """Fills count as allowed when all of them are on ephemeral containers."""
    drop = {"capabilities": {"drop": ["ALL"]}}
    dropping = scc(requiredDropCapabilities=["ALL"])
    inside = pod({"name": "c", "securityContext": drop}, spec={"ephemeralContainers": [container("e")]})
    outside = pod(spec={"ephemeralContainers": [container("e")]})
    assert decided(inside, dropping, accepts=ephemeral_containers_only).chosen is not None
    assert decided(outside, dropping, accepts=ephemeral_containers_only).chosen is None


def test_a_required_scc_is_the_only_candidate() -> None:
    """The annotation narrows the candidates, the empty one does not."""
    ordered = order([scc("a"), scc("b")])
    assert [found.name for found in candidates("b", ordered)] == ["b"]
    assert candidates("", ordered) == ordered


def test_a_required_scc_that_does_not_exist_is_an_error() -> None:
    """The text names the SCC twice, as the API server does (case 13)."""
    message = (
        'failed to retrieve the required SCC "nope": securitycontextconstraints.security.openshift.io "nope" not found'
    )
    with pytest.raises(RequiredSCCNotFound, match=message):
        candidates("nope", [scc()])


def test_the_service_account_counts_before_the_requester() -> None:
    """An SCC that both may use is used by the service account (spec §2.3)."""
    usable = usable_through({"a"}, {"a", "b"})
    assert [usable(name) for name in "abc"] == [SERVICE_ACCOUNT, USER, None]


def test_fills_name_their_container() -> None:
    """A fill says which container of which kind it belongs to; one of the pod names none."""
    asked = pod(spec={"initContainers": [container("i")]})
    (provider,) = build_providers([scc(readOnlyRootFilesystem=True, fsGroup={"type": "MustRunAs"})], PROJ)
    tried = evaluate(parse_pod(asked), provider)
    assert [(fill.field, str(fill.place), fill.place and fill.place.name) for fill in tried.fills] == [
        ("fsGroup", "None", None),
        ("readOnlyRootFilesystem", "initContainers[0]", "i"),
        ("readOnlyRootFilesystem", "containers[0]", "c"),
    ]


def test_objections_name_their_container() -> None:
    """An objection to a container says which; one to the pod names none."""
    (provider,) = build_providers([scc(allowHostPID=False)], PROJ)
    tried = evaluate(parse_pod(pod(spec={"hostPID": True})), provider)
    assert [found.place and found.place.name for found in tried.objections] == [None, "c"]
