from typing import Any

import pytest
from tests.unit.engine.builders import CONTAINER, POD, SCC, Json, container, fills, objections, pod, scc, texts

from scc_operator.engine.scc import SELinuxOptions


def must_run_as(**options: str) -> SCC:
    """An SCC that demands these options."""
    return scc(seLinuxContext={"type": "MustRunAs", "seLinuxOptions": options})


def selinux(**options: str) -> Json:
    """The field of a security context."""
    return {"seLinuxOptions": options}


def test_the_level_comes_from_the_namespace_and_the_rest_from_the_scc() -> None:
    """A silent pod gets user, role and type of the SCC and the level of the namespace (case 40)."""
    assert fills(must_run_as(user="u", type="t"), pod()) == {
        "seLinuxOptions": SELinuxOptions(user="u", type="t", level="s0:c26,c15")
    }


def test_empty_options_count_as_given() -> None:
    """Options of {} are not completed, so their empty level is refused, on the pod and on each container (case 41)."""
    detail = "must be s0:c26,c15"
    assert objections(must_run_as(), pod(**selinux())) == [
        ("SELinuxLevelMismatch", f"{POD}.seLinuxOptions.level", detail),
        ("SELinuxLevelMismatch", f"{CONTAINER}.seLinuxOptions.level", detail),
    ]
    assert texts(must_run_as(), pod(**selinux()))[0] == f'{POD}.seLinuxOptions.level: Invalid value: "": {detail}'


@pytest.mark.parametrize(
    "wanted, found",
    [
        pytest.param("", "s0:c15,c26", id="42: the order of categories"),
        pytest.param("s0:c1,c2:x", "s0:c2:x,c1", id="45: a further colon belongs to the category"),
        pytest.param("plain", "plain", id="a level without categories"),
    ],
)
def test_levels_are_equal_up_to_the_order_of_categories(wanted: Any, found: str) -> None:
    """Categories may stand in any order (cases 42, 45)."""
    assert fills(must_run_as(level=wanted), pod(**selinux(level=found))) == {}


@pytest.mark.parametrize(
    "wanted, found",
    [
        pytest.param("s0:c1,c2", "s0:c2, c1", id="43: spaces are not trimmed"),
        pytest.param("s0:c1,c1,c2", "s0:c1,c2,c2", id="44: duplicates count"),
        pytest.param("s0:c0,c1,c2", "s0:c0.c2", id="no range is expanded"),
        pytest.param("s0:c1", "s1:c1", id="another sensitivity"),
        pytest.param("s0", "s0:", id="no categories is not an empty list"),
    ],
)
def test_other_levels_differ(wanted: Any, found: str) -> None:
    """Apart from the order of categories levels are compared as text (cases 43, 44)."""
    codes = [code for code, _, _ in objections(must_run_as(level=wanted), pod(**selinux(level=found)))]
    assert codes == ["SELinuxLevelMismatch"] * 2


def test_a_container_takes_nothing_from_the_pods_options() -> None:
    """A container that sets only a type has lost the pod's level; both are refused (case 46)."""
    asked = pod(container(**selinux(type="spc_t")))
    assert objections(must_run_as(), asked) == [
        ("SELinuxLevelMismatch", f"{CONTAINER}.seLinuxOptions.level", "must be s0:c26,c15"),
        ("SELinuxTypeMismatch", f"{CONTAINER}.seLinuxOptions.type", "must be "),
    ]
    assert texts(must_run_as(), asked)[1].endswith('Invalid value: "spc_t": must be ')


def test_parts_are_compared_in_a_fixed_order() -> None:
    """Level, role, type and user are compared in this order, each exactly."""
    asked = pod(container(**selinux(level="s0:c26,c15")), **selinux(user="a", role="b", type="c", level="d"))
    assert [code for code, _, _ in objections(must_run_as(), asked)] == [
        "SELinuxLevelMismatch",
        "SELinuxRoleMismatch",
        "SELinuxTypeMismatch",
        "SELinuxUserMismatch",
    ]


def test_a_bad_level_of_the_pod_is_reported_once_where_no_container_inherits_it() -> None:
    """Containers with good options of their own do not repeat the pod's objection (case 47)."""
    asked = pod(container(**selinux(level="s0:c26,c15")), **selinux(level="s0"))
    assert objections(must_run_as(), asked) == [
        ("SELinuxLevelMismatch", f"{POD}.seLinuxOptions.level", "must be s0:c26,c15")
    ]


def test_run_as_any_ignores_its_own_options() -> None:
    """RunAsAny fills in nothing even where the SCC has options (case 48)."""
    assert fills(scc(seLinuxContext={"type": "RunAsAny", "seLinuxOptions": {"level": "foo"}}), pod()) == {}
