import pytest
from tests.unit.engine.builders import POD, SCC, fills, objections, pod, scc, texts


def fs_group(*ranges: dict[str, int]) -> SCC:
    """An SCC that demands an fsGroup of these ranges."""
    return scc(fsGroup={"type": "MustRunAs", "ranges": list(ranges)})


TWO_RANGES = ({"min": 3, "max": 5}, {"min": 10, "max": 11})


def test_the_namespace_allows_a_single_fs_group() -> None:
    """From the namespace comes one id for fsGroup, not the whole block (case 49)."""
    assert fills(fs_group(), pod()) == {"fsGroup": 1000680000}
    assert texts(fs_group(), pod(fsGroup=1000680001)) == [
        f"{POD}.fsGroup: Invalid value: []int64{{1000680001}}: 1000680001 is not an allowed group"
    ]


def test_fs_group_may_lie_in_any_range() -> None:
    """All ranges of the SCC count; the lowest id of the first is filled in (case 52)."""
    assert fills(fs_group(*TWO_RANGES), pod(fsGroup=11)) == {}
    assert fills(fs_group(*TWO_RANGES), pod()) == {"fsGroup": 3}


@pytest.mark.parametrize("group", [2, 6, 9, 12])
def test_fs_group_outside_all_ranges_is_refused(group: int) -> None:
    """An fsGroup outside every range is refused."""
    assert objections(fs_group(*TWO_RANGES), pod(fsGroup=group)) == [
        ("FSGroupNotAllowed", f"{POD}.fsGroup", f"{group} is not an allowed group")
    ]
