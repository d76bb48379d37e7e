from typing import Any

import pytest
from tests.unit.engine.builders import CONTAINER, Json, container, fills, objections, pod, scc, texts

RANGE = scc(runAsUser={"type": "MustRunAsRange", "uidRangeMin": 5, "uidRangeMax": 9})
SEVEN = scc(runAsUser={"type": "MustRunAs", "uid": 7})
NON_ROOT = scc(runAsUser={"type": "MustRunAsNonRoot"})
ANY = scc()


@pytest.mark.parametrize(
    "asked, expected",
    [
        pytest.param(pod(runAsUser=1000), {"c.runAsNonRoot": True}, id="24: a known user is not root"),
        pytest.param(pod(runAsUser=0), {}, id="25: root stays root"),
        pytest.param(pod(container(runAsUser=5), runAsUser=0), {"c.runAsNonRoot": True}, id="26: container wins"),
        pytest.param(pod(runAsUser=1000, runAsNonRoot=False), {}, id="27: explicit false stays"),
        pytest.param(pod(), {}, id="nothing known, nothing filled in"),
    ],
)
def test_run_as_any_only_completes_run_as_non_root(asked: Json, expected: Any) -> None:
    """RunAsAny fills in runAsNonRoot where the user is known to be above 0 (cases 24 to 27)."""
    assert fills(ANY, asked) == expected


def test_must_run_as_zero_gives_root_without_non_root() -> None:
    """MustRunAs 0 makes silent containers root and leaves runAsNonRoot alone (case 28)."""
    assert fills(scc(runAsUser={"type": "MustRunAs", "uid": 0}), pod()) == {"c.runAsUser": 0}


def test_must_run_as_writes_no_user_that_the_pod_already_has() -> None:
    """A container that inherits the right user only gets runAsNonRoot (case 29)."""
    assert fills(SEVEN, pod(runAsUser=7)) == {"c.runAsNonRoot": True}


def test_must_run_as_looks_at_the_effective_user_only() -> None:
    """A wrong user on the pod does no harm where the container has the right one (case 30)."""
    assert fills(SEVEN, pod(container(runAsUser=7), runAsUser=8)) == {"c.runAsNonRoot": True}


def test_must_run_as_refuses_any_other_user() -> None:
    """MustRunAs refuses every user but its own (case 31)."""
    asked = pod(container(runAsUser=8), runAsUser=7)
    assert objections(SEVEN, asked) == [("RunAsUserMismatch", f"{CONTAINER}.runAsUser", "must be: 7")]
    assert texts(SEVEN, asked) == [f"{CONTAINER}.runAsUser: Invalid value: 8: must be: 7"]


@pytest.mark.parametrize("user", [4, 10, 0, -1])
def test_range_refuses_users_outside(user: int) -> None:
    """MustRunAsRange refuses a user outside its bounds, which are both inside (case 32)."""
    assert objections(RANGE, pod(runAsUser=user)) == [
        ("RunAsUserOutOfRange", f"{CONTAINER}.runAsUser", "must be in the ranges: [5, 9]")
    ]


@pytest.mark.parametrize("user", [5, 9])
def test_range_includes_both_ends(user: int) -> None:
    """Both ends of the range are allowed."""
    assert fills(RANGE, pod(runAsUser=user)) == {"c.runAsNonRoot": True}


def test_range_keeps_an_explicit_run_as_non_root_false() -> None:
    """MustRunAsRange accepts runAsNonRoot: false and fills in the user all the same (case 33)."""
    assert fills(RANGE, pod(container(runAsNonRoot=False))) == {"c.runAsUser": 5}


def test_non_root_asks_the_kubelet_to_look_at_the_image() -> None:
    """MustRunAsNonRoot fills in no user, but runAsNonRoot (case 34)."""
    assert fills(NON_ROOT, pod()) == {"c.runAsNonRoot": True}


def test_non_root_refuses_root_whatever_run_as_non_root_says() -> None:
    """User 0 is refused even with runAsNonRoot: true (case 35)."""
    assert objections(NON_ROOT, pod(runAsUser=0, runAsNonRoot=True)) == [
        ("RunAsRootNotAllowed", f"{CONTAINER}.runAsUser", "running with the root UID is forbidden")
    ]


def test_non_root_refuses_an_explicit_false_whatever_the_user() -> None:
    """Field runAsNonRoot: false is refused even with a user above 0, and is the only objection (case 36)."""
    asked = pod(runAsUser=5, runAsNonRoot=False)
    assert objections(NON_ROOT, asked) == [("RunAsNonRootRequired", f"{CONTAINER}.runAsNonRoot", "must be true")]
    assert texts(NON_ROOT, asked) == [f"{CONTAINER}.runAsNonRoot: Invalid value: false: must be true"]


def test_non_root_takes_the_containers_own_word() -> None:
    """A container's runAsNonRoot: true outweighs the pod's false (case 37)."""
    assert fills(NON_ROOT, pod(container(runAsNonRoot=True), runAsNonRoot=False)) == {}


def test_non_root_lets_negative_users_pass() -> None:
    """A negative user is left to Kubernetes to refuse (case 38)."""
    assert fills(NON_ROOT, pod(runAsUser=-5)) == {}


def test_all_kinds_of_containers_are_completed() -> None:
    """Init, normal and ephemeral containers get the same defaults (case 123)."""
    asked = pod(
        container("c"),
        runAsUser=3,
        spec={
            "initContainers": [container("i"), container("root", runAsUser=0)],
            "ephemeralContainers": [{"name": "e"}],
        },
    )
    assert fills(ANY, asked) == {"i.runAsNonRoot": True, "c.runAsNonRoot": True, "e.runAsNonRoot": True}
