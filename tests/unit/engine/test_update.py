from typing import Any

import pytest
from tests.unit.engine.builders import Json

from scc_operator.engine.update import equal, is_harmless


@pytest.mark.parametrize(
    "left, right",
    [
        ({"a": None}, {}),
        ({"volumes": []}, {}),
        ({"nodeSelector": {}}, {}),
        (
            {"containers": [{"resources": {"limits": {"cpu": "1"}}}]},
            {"containers": [{"resources": {"limits": {"cpu": "1000m"}}}]},
        ),
        ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": 1073741824}}),
        ({"requests": {"cpu": "1e3"}}, {"requests": {"cpu": "1k"}}),
        ({"emptyDir": {"sizeLimit": "1024Mi"}}, {"emptyDir": {"sizeLimit": "1Gi"}}),
        ({"resourceFieldRef": {"divisor": "0"}}, {"resourceFieldRef": {}}),
    ],
)
def test_the_same_in_other_words(left: Any, right: Any) -> None:
    """Absent and empty lists and maps, and quantities of one value, are equal (spec §0.5)."""
    assert equal(left, right)
    assert equal(right, left)


@pytest.mark.parametrize(
    "left, right",
    [
        ({"securityContext": {}}, {}),
        ({"emptyDir": {}}, {}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "1m"}}),
        ({"limits": {"cpu": "0"}}, {}),
        ({"limits": {"cpu": "many"}}, {"limits": {"cpu": "more"}}),
        ({"a": "1"}, {"a": "1000m"}),
    ],
)
def test_different_things(left: Any, right: Any) -> None:
    """An absent object is not an empty one, and everything else counts exactly (spec §0.5)."""
    assert not equal(left, right)


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"hostPID": True}},
        {"status": {"phase": "Running"}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"annotations": {"a": "b"}}},
        {"metadata": {"resourceVersion": "2"}},
    ],
)
def test_most_changes_are_looked_at(change: Json) -> None:
    """Spec, status, labels and other annotations are reason to look again (spec §2.1)."""
    assert not is_harmless({"metadata": {}, "spec": {}}, {"metadata": {}, "spec": {}, **change})


def test_a_changed_or_removed_annotation_counts_like_an_added_one() -> None:
    """Only the network annotation may differ, in whatever way."""

    def annotated(**annotations: Any) -> Json:
        return {"metadata": {"annotations": annotations}}

    assert not is_harmless(annotated(a="1"), annotated(a="2"))
    assert not is_harmless(annotated(a="1"), annotated())
    assert is_harmless(annotated(**{"k8s.ovn.org/pod-networks": "1", "a": "b"}), annotated(a="b"))
