from typing import Any

import pytest
from tests.unit.engine.builders import CONTAINER, Json, completed, container, create, fills, objections, pod, scc, texts

BOTH = scc(defaultAddCapabilities=["B", "A"], requiredDropCapabilities=["Z", "Y"], allowedCapabilities=[])


def capable(add: Any = None, drop: Any = None) -> Json:
    """A pod whose container asks for these capabilities."""
    return pod(container(capabilities={key: value for key, value in (("add", add), ("drop", drop)) if value}))


@pytest.mark.parametrize(
    "drop, add_result, drop_result",
    [
        pytest.param(None, ("A", "B"), ("Y", "Z"), id="60: silent"),
        pytest.param(["A"], ("B",), ("A", "Y", "Z"), id="61: what is dropped is not added"),
        pytest.param(["ALL"], ("A", "B"), ("ALL", "Y", "Z"), id="62: ALL is an ordinary name"),
    ],
)
def test_defaults_are_merged_and_sorted(drop: Any, add_result: Any, drop_result: Any) -> None:
    """Defaults that are not dropped are added, required drops are dropped, both sorted (cases 60 to 62)."""
    assert fills(BOTH, capable(drop=drop)) == {"c.capabilities.add": add_result, "c.capabilities.drop": drop_result}


def test_lists_that_hold_everything_stay_as_they_are() -> None:
    """Where nothing is missing neither order nor duplicates change (case 63)."""
    under = scc(defaultAddCapabilities=["B"], requiredDropCapabilities=["Z"], allowedCapabilities=[])
    asked = capable(add=["B", "B"], drop=["Z", "Q", "Z"])
    assert fills(under, asked) == {}
    assert completed(create(asked, under))["spec"] == asked["spec"]


def test_one_change_rewrites_both_lists() -> None:
    """Where one list grows the other is sorted and loses its duplicates as well."""
    under = scc(requiredDropCapabilities=["Z"])
    result = create(capable(add=["B", "A", "B"], drop=["Q"]), under)
    assert completed(result)["spec"]["containers"][0]["securityContext"]["capabilities"] == {
        "add": ["A", "B"],
        "drop": ["Q", "Z"],
    }


def test_all_in_another_case_is_another_name() -> None:
    """Capabilities are compared exactly (case 64)."""
    assert fills(scc(requiredDropCapabilities=["ALL"]), capable(drop=["all"])) == {
        "c.capabilities.drop": ("ALL", "all")
    }


@pytest.mark.parametrize(
    "allowed, added",
    [
        pytest.param("net_admin", "NET_ADMIN", id="65: case"),
        pytest.param("NET_ADMIN", "CAP_NET_ADMIN", id="65: prefix"),
        pytest.param("ALL", "X", id="66: ALL allows only ALL"),
    ],
)
def test_capabilities_must_be_allowed_by_their_exact_name(allowed: str, added: str) -> None:
    """An added capability must be allowed letter by letter (cases 65, 66)."""
    under = scc(allowedCapabilities=[allowed])
    assert objections(under, capable(add=[added])) == [
        ("CapabilityNotAllowed", f"{CONTAINER}.capabilities.add", "capability may not be added")
    ]
    assert fills(under, capable(add=[allowed])) == {}


def test_a_capability_may_be_added_and_dropped_at_once() -> None:
    """Allowed and required to be dropped is no contradiction (case 67)."""
    under = scc(allowedCapabilities=["KILL"], requiredDropCapabilities=["KILL"])
    assert fills(under, capable(add=["KILL"])) == {"c.capabilities.drop": ("KILL",)}


def test_the_wildcard_allows_everything_and_defaults_still_apply() -> None:
    """With `*` every capability may be added; defaults and drops are filled in all the same (case 68)."""
    under = scc(allowedCapabilities=["*"], requiredDropCapabilities=["KILL"], defaultAddCapabilities=["FOO"])
    assert fills(under, capable(add=["BAR"])) == {
        "c.capabilities.add": ("BAR", "FOO"),
        "c.capabilities.drop": ("KILL",),
    }


def test_objections_follow_the_rewritten_list() -> None:
    """Where the lists were rewritten objections come sorted and without duplicates (case 69)."""
    under = scc(requiredDropCapabilities=["ALL"], allowedCapabilities=[])
    found = [text.split('"')[1] for text in texts(under, capable(add=["z", "B", "a", "B"]))]
    assert found == ["B", "a", "z"]


def test_objections_keep_order_and_duplicates_of_an_untouched_list() -> None:
    """Where nothing was filled in each entry gives its own objection."""
    found = [text.split('"')[1] for text in texts(scc(allowedCapabilities=[]), capable(add=["z", "B", "z"]))]
    assert found == ["z", "B", "z"]


def test_an_empty_object_stays_empty() -> None:
    """Capabilities of {} stay {} where the SCC has no lists (case 70)."""
    asked = pod(container(capabilities={}))
    assert completed(create(asked, scc(allowedCapabilities=[])))["spec"] == asked["spec"]


def test_capability_names_are_quoted_as_go_does() -> None:
    """Quotes and line breaks in a name are escaped, printable Unicode is kept (case 121)."""
    (text,) = texts(scc(allowedCapabilities=[]), capable(add=['a"bé\n']))
    assert text == rf'{CONTAINER}.capabilities.add: Invalid value: "a\"bé\n": capability may not be added'
