from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.engine.builders import SCC, Json, bare_scc, stock_sccs

from scc_operator.engine.order import order, points, reason, with_hint
from scc_operator.engine.scc import parse_scc


def empty(**fields: Any) -> SCC:
    """An SCC with nothing but these fields."""
    return parse_scc({"metadata": {"name": "x"}, **fields})


@pytest.mark.parametrize(
    "fields, expected",
    [
        pytest.param({}, 5000, id="3: nothing"),
        pytest.param({"volumes": ["none"]}, 5000, id="3: none"),
        pytest.param({"volumes": ["image"]}, 105000, id="3: a non-trivial volume"),
        pytest.param({"volumes": ["serviceAccountToken"]}, 105000, id="3: an unknown volume"),
        pytest.param({"volumes": ["*"]}, 205000, id="3: all volumes"),
        pytest.param({"volumes": ["image", "hostPath"]}, 205000, id="hostPath"),
        pytest.param({"defaultAddCapabilities": ["X"] * 20}, 9999, id="4: clamped above"),
        pytest.param({"requiredDropCapabilities": ["x"] * 200}, 0, id="clamped below"),
        pytest.param({"requiredDropCapabilities": ["all", "x"]}, 2000, id="5: ALL in any case"),
        pytest.param({"requiredDropCapabilities": ["*"]}, 4950, id="5: * is no ALL for drops"),
        pytest.param({"allowedCapabilities": ["All", "x"]}, 9000, id="5: all allowed"),
        pytest.param({"allowedCapabilities": ["*"]}, 9000, id="the wildcard"),
        pytest.param({"allowedCapabilities": ["x", "y"]}, 5020, id="5: two allowed"),
        pytest.param(
            {
                "allowHostPID": True,
                "allowHostIPC": True,
                "readOnlyRootFilesystem": True,
                "allowHostDirVolumePlugin": True,
            },
            5000,
            id="6: no points",
        ),
        pytest.param({"allowPrivilegedContainer": True}, 1605000, id="privileged"),
        pytest.param({"allowHostPorts": True, "allowHostNetwork": True}, 1205000, id="host ports and network"),
        pytest.param({"runAsUser": {"type": "RunAsAny"}, "seLinuxContext": {"type": "MustRunAs"}}, 55000, id="user"),
        pytest.param({"seLinuxContext": {"type": "MustRunAsRange"}}, 25000, id="one table for user and SELinux"),
        pytest.param({"runAsUser": {"type": "MustRunAsNonRoot"}}, 35000, id="non-root"),
    ],
)
def test_points(fields: Json, expected: Any) -> None:
    """Each permission adds its points (cases 3 to 6)."""
    assert points(empty(**fields)) == expected


def test_default_sccs_stand_in_openshifts_order() -> None:
    """The 13 SCCs of OpenShift have the known order, points and reasons (spec appendix B)."""
    ordered = order(stock_sccs())
    assert [(scc.name, points(scc)) for scc in ordered] == [
        ("anyuid", 154950),
        ("restricted-v2", 132010),
        ("restricted-v3", 132010),
        ("restricted", 134800),
        ("nested-container", 135020),
        ("nonroot-v2", 142010),
        ("nonroot", 144800),
        ("hostmount-anyuid", 254950),
        ("hostmount-anyuid-v2", 284950),
        ("hostnetwork-v2", 1332010),
        ("hostnetwork", 1334800),
        ("hostaccess", 1434800),
        ("privileged", 3089000),
    ]
    assert [reason(first, second) for first, second in pairwise(ordered)] == [
        "has higher priority",
        "ordered by name",
        "permits less capabilities",
        "permits less capabilities",
        "permits less runAs strategies",
        "permits less capabilities",
        "forbids host volume mounts",
        "permits less runAs strategies",
        "forbids host ports",
        "permits less capabilities",
        "forbids host volume mounts",
        "forbids privileged",
    ]


def test_priority_counts_before_points_and_null_is_zero() -> None:
    """A negative priority sorts after null, however restrictive the SCC is (case 2)."""
    strict, lax = empty(priority=-1), bare_scc("lax", volumes=["*"])
    assert order([strict, lax]) == (lax, strict)
    assert reason(lax, strict) == "has higher priority"


@pytest.mark.parametrize(
    "first, second, expected",
    [
        (
            {"runAsUser": {"type": "MustRunAs"}},
            {"runAsUser": {"type": "MustRunAsRange"}},
            "permits less runAs strategies",
        ),
        ({}, {"allowedCapabilities": ["*"]}, "permits less capabilities"),
        ({}, {"volumes": ["nfs"]}, "forbids non-trivial volume mounts"),
        ({"volumes": ["nfs"]}, {"volumes": ["nfs"], "allowHostPorts": True}, "forbids host ports"),
        ({"volumes": ["nfs"]}, {"volumes": ["*"]}, "forbids host volume mounts"),
        ({"allowHostPorts": True}, {"allowHostPorts": True, "allowHostNetwork": True}, "forbids host networking"),
    ],
)
def test_reasons_name_the_first_difference(first: Any, second: Any, expected: Any) -> None:
    """The reason is the heaviest permission that only the later SCC has (spec §4.4)."""
    assert reason(empty(**first), empty(**second)) == expected


def test_a_hint_moves_one_scc_to_the_front() -> None:
    """The rest keeps its order, and an unknown hint changes nothing (spec §4.3)."""
    ordered = order([empty(metadata={"name": name}) for name in "abc"])
    assert [scc.name for scc in with_hint(ordered, "c")] == ["c", "a", "b"]
    assert with_hint(ordered, "d") == ordered


@given(
    st.lists(
        st.tuples(st.sampled_from([None, -1, 0, 1, 10]), st.sampled_from("abcde"), st.booleans(), st.booleans()),
        unique_by=lambda row: row[1],
    ),
    st.randoms(),
)
def test_the_order_does_not_depend_on_the_input(rows: Any, random: Random) -> None:
    """SCCs with distinct names have exactly one order."""
    sccs = [
        empty(metadata={"name": name}, priority=priority, allowHostPorts=ports, allowPrivilegedContainer=privileged)
        for priority, name, ports, privileged in rows
    ]
    shuffled = list(sccs)
    random.shuffle(shuffled)
    assert order(shuffled) == order(sccs)
