"""Every namespace has a UID block, an MCS label and a group range of its own; what it carried before is respected."""

import secrets
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import yaml
from tests.integration.support import Kubectl, OperatorProcess, eventually

from scc_operator import names
from scc_operator.allocation.ledger import decode
from scc_operator.allocation.uid_blocks import parse_block

pytestmark = pytest.mark.usefixtures("operator")

KEYS = (names.UID_RANGE, names.SUPPLEMENTAL_GROUPS, names.MCS)
LEDGER = ("rangeallocation", names.RANGE_NAME)


def ranges(kubectl: Kubectl) -> dict[str, dict[str, str]]:
    """The three annotations of every namespace that is not going away, by name."""
    return {
        item["metadata"]["name"]: {
            key: value for key, value in (item["metadata"].get("annotations") or {}).items() if key in KEYS
        }
        for item in kubectl.json("namespaces")["items"]
        if "deletionTimestamp" not in item["metadata"]
    }


def of(kubectl: Kubectl, namespace: str) -> dict[str, str]:
    """The three annotations of a namespace, once it has all of them."""

    def whole() -> dict[str, str] | None:
        found = kubectl.annotations("namespace", namespace)
        return {key: found[key] for key in KEYS}

    return eventually(whole) or {}


def ledger_problems(kubectl: Kubectl) -> str:
    """How the stored ledger differs from what the namespaces carry; empty where every block is marked."""
    ledger = decode(kubectl.json(*LEDGER))
    for name, found in ranges(kubectl).items():
        index = ledger.uid_range.index_of(parse_block(found[names.UID_RANGE]))
        if index is not None and not ledger.is_taken(index):
            return f"{name} carries block {index}, which the ledger calls free"
    return ""


def events(kubectl: Kubectl, namespace: str) -> list[dict[str, Any]]:
    """Warnings about a namespace; Events of cluster-scoped objects live in `default`."""
    selector = f"involvedObject.kind=Namespace,involvedObject.name={namespace},type=Warning"
    found: list[dict[str, Any]] = kubectl.json("events", "-n", "default", f"--field-selector={selector}")["items"]
    return found


def test_every_namespace_has_its_own(kubectl: Kubectl, new_namespace: Callable[..., str]) -> None:
    """System namespaces and new ones get all three; no block and no label is given twice; groups are the block."""
    made = [new_namespace() for _ in range(5)]
    for name in made:
        of(kubectl, name)
    found = ranges(kubectl)
    assert {*made, "default", "kube-system"} <= found.keys()
    assert {name: sorted(values) for name, values in found.items()} == {name: sorted(KEYS) for name in found}
    blocks = [parse_block(values[names.UID_RANGE]) for values in found.values()]
    spans = sorted((block.start, block.end) for block in blocks)
    assert all(before[1] < after[0] for before, after in pairwise(spans))
    assert len({values[names.MCS] for values in found.values()}) == len(found)
    for name in made:
        assert found[name][names.UID_RANGE] == found[name][names.SUPPLEMENTAL_GROUPS]
    assert ledger_problems(kubectl) == ""


def test_many_namespaces_at_once(kubectl: Kubectl) -> None:
    """A burst of namespaces gets distinct blocks and labels, all of them in the ledger."""
    made = [f"burst-{secrets.token_hex(4)}" for _ in range(15)]
    bodies = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in made]
    kubectl("create", "-f", "-", input=yaml.safe_dump_all(bodies))
    try:
        eventually(lambda: all(len(ranges(kubectl)[name]) == 3 for name in made))
        found = ranges(kubectl)
        assert len({found[name][names.UID_RANGE] for name in made}) == len(made)
        assert len({found[name][names.MCS] for name in made}) == len(made)
        assert ledger_problems(kubectl) == ""
    finally:
        kubectl("delete", "namespace", *made, "--wait=false")


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            {
                names.UID_RANGE: "1999990000/10000",
                names.SUPPLEMENTAL_GROUPS: "1999990000/10000",
                names.MCS: "s0:c1023,c1022",
            },
            id="all of the range",
        ),
        pytest.param(
            {names.UID_RANGE: "70000/100", names.SUPPLEMENTAL_GROUPS: "80000/10,90000-90010", names.MCS: "s0:c7,c8"},
            id="all foreign",
        ),
        pytest.param({names.UID_RANGE: "1999980000/10000"}, id="a block alone"),
        pytest.param({names.UID_RANGE: "71000-71099"}, id="a foreign block alone"),
        pytest.param({names.SUPPLEMENTAL_GROUPS: "81000/10"}, id="groups alone"),
        pytest.param({names.MCS: "s0:c1021,c1"}, id="a label alone"),
    ],
)
def test_what_is_set_stays_and_what_lacks_is_added(
    kubectl: Kubectl, new_namespace: Callable[..., str], given: dict[str, str]
) -> None:
    """Annotations that were there before are never overwritten; the missing ones are completed."""
    namespace = new_namespace(annotations=given)
    found = of(kubectl, namespace)
    assert given.items() <= found.items()
    if names.UID_RANGE in given and names.SUPPLEMENTAL_GROUPS not in given:
        assert parse_block(found[names.SUPPLEMENTAL_GROUPS]) == parse_block(given[names.UID_RANGE])
    eventually(lambda: ledger_problems(kubectl) == "")


@pytest.mark.parametrize("key", KEYS)
def test_what_was_removed_comes_back_the_same(kubectl: Kubectl, new_namespace: Callable[..., str], key: str) -> None:
    """One annotation that somebody removes is restored to what it was, as pods already run with it."""
    namespace = new_namespace()
    before = of(kubectl, namespace)
    kubectl("annotate", "namespace", namespace, f"{key}-")
    eventually(lambda: kubectl.annotations("namespace", namespace).get(key))
    assert of(kubectl, namespace) == before


@pytest.mark.parametrize("text", ["garbage", "", "5000"])
def test_a_malformed_block_is_left_alone_and_told(
    kubectl: Kubectl, new_namespace: Callable[..., str], text: str
) -> None:
    """Nothing is written on such a namespace; an Event says what was found, what is allowed, and the way out."""
    namespace = new_namespace(annotations={names.UID_RANGE: text})
    (event,) = eventually(lambda: events(kubectl, namespace))
    assert event["reason"] == "MalformedBlock"
    for part in (namespace, names.UID_RANGE, repr(text), "START/SIZE", f"remove the annotation {names.UID_RANGE}"):
        assert part in event["message"]
    assert ranges(kubectl)[namespace] == {names.UID_RANGE: text}
    kubectl("annotate", "namespace", namespace, f"{names.UID_RANGE}-")
    assert of(kubectl, namespace)[names.UID_RANGE] != text


def test_a_block_of_another_namespace_is_told(kubectl: Kubectl, new_namespace: Callable[..., str]) -> None:
    """Two namespaces with one block keep it, and both are told whose it is too."""
    first = new_namespace()
    block = of(kubectl, first)[names.UID_RANGE]
    second = new_namespace(annotations={names.UID_RANGE: block})
    for one, other in ((first, second), (second, first)):
        found = eventually(lambda one=one: [e for e in events(kubectl, one) if e["reason"] == "DuplicateBlock"])
        assert other in found[0]["message"]
    assert ranges(kubectl)[second][names.UID_RANGE] == block


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(None, id="deleted"),
        pytest.param({"data": "not base64!"}, id="garbage data"),
        pytest.param({"range": "nonsense"}, id="garbage range"),
        pytest.param({"range": "10-29/10", "data": "AQ=="}, id="another range"),
        pytest.param({"data": ""}, id="emptied"),
    ],
)
def test_a_damaged_ledger_is_mended_without_a_restart(
    kubectl: Kubectl, new_namespace: Callable[..., str], damage: dict[str, str] | None
) -> None:
    """After the next allocation the ledger holds the truth again, and nobody was given a block twice."""
    before = of(kubectl, new_namespace())
    if damage is None:
        kubectl("delete", *LEDGER)
    else:
        kubectl.patch(*LEDGER, damage)
    after = of(kubectl, new_namespace())
    assert after[names.UID_RANGE] != before[names.UID_RANGE]
    eventually(lambda: ledger_problems(kubectl) == "")
    found = [values[names.UID_RANGE] for values in ranges(kubectl).values()]
    assert len({*found}) == len(found)


def test_terminating_namespaces_get_nothing(
    operator: OperatorProcess, kubectl: Kubectl, new_namespace: Callable[..., str]
) -> None:
    """A namespace on its way out is given no block; one that has a block keeps it until it is gone."""
    with operator.away():
        namespace = new_namespace()
        held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "namespace": namespace}}
        held["metadata"]["finalizers"] = ["example.com/held"]  # type: ignore[index]
        kubectl.apply(held)
        kubectl("delete", "namespace", namespace, "--wait=false")
    try:
        of(kubectl, new_namespace())
        assert not kubectl.annotations("namespace", namespace).keys() & {*KEYS}
    finally:
        kubectl.patch("configmap", "held", {"metadata": {"finalizers": None}}, "-n", namespace)
