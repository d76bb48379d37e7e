import pytest
from tests.unit.engine.builders import POD, fills, objections, pod, scc, texts


def fs_group(*ranges: dict[str, int]):
    return scc(fsGroup={"type": "MustRunAs", "ranges": list(ranges)})


def supplemental(*ranges: dict[str, int]):
    return scc(supplementalGroups={"type": "MustRunAs", "ranges": list(ranges)})


TWO_RANGES = ({"min": 3, "max": 5}, {"min": 10, "max": 11})


def test_the_namespace_allows_a_single_fs_group():
    """From the namespace comes one id for fsGroup, not the whole block (case 49)."""
    assert fills(fs_group(), pod()) == {"fsGroup": 1000680000}
    assert texts(fs_group(), pod(fsGroup=1000680001)) == [
        f"{POD}.fsGroup: Invalid value: []int64{{1000680001}}: 1000680001 is not an allowed group"
    ]


def test_the_namespace_allows_a_block_of_supplemental_groups():
    """From the namespace comes the whole block for supplementalGroups (case 50)."""
    assert fills(supplemental(), pod(supplementalGroups=[1000680001])) == {}
    assert fills(supplemental(), pod()) == {"supplementalGroups": (1000680000,)}


def test_an_empty_list_of_groups_counts_as_given():
    """An empty list is not completed and is refused under MustRunAs (case 51)."""
    asked = pod(supplementalGroups=[])
    detail = "unable to validate empty groups against required ranges"
    assert objections(supplemental(), asked) == [("SupplementalGroupsRequired", f"{POD}.supplementalGroups", detail)]
    assert texts(supplemental(), asked) == [f"{POD}.supplementalGroups: Invalid value: []int64{{}}: {detail}"]
    assert fills(scc(), asked) == {}


def test_fs_group_may_lie_in_any_range():
    """All ranges of the SCC count; the lowest id of the first is filled in (case 52)."""
    assert fills(fs_group(*TWO_RANGES), pod(fsGroup=11)) == {}
    assert fills(fs_group(*TWO_RANGES), pod()) == {"fsGroup": 3}


@pytest.mark.parametrize("group", [2, 6, 9, 12])
def test_fs_group_outside_all_ranges_is_refused(group):
    """An fsGroup outside every range is refused."""
    assert objections(fs_group(*TWO_RANGES), pod(fsGroup=group)) == [
        ("FSGroupNotAllowed", f"{POD}.fsGroup", f"{group} is not an allowed group")
    ]


def test_a_range_without_a_maximum_refuses_its_own_minimum():
    """An absent maximum is 0, so the id that is filled in lies outside (case 53)."""
    assert objections(supplemental({"min": 5}), pod()) == [
        ("SupplementalGroupNotAllowed", f"{POD}.supplementalGroups", "5 is not an allowed group")
    ]


def test_each_bad_group_is_one_objection_that_shows_the_whole_list():
    """One objection for each bad group, in the order of the list, with the whole list as value (case 54)."""
    found = texts(supplemental({"min": 5, "max": 6}), pod(supplementalGroups=[1, 5, 2]))
    assert found == [
        f"{POD}.supplementalGroups: Invalid value: []int64{{1, 5, 2}}: {group} is not an allowed group"
        for group in (1, 2)
    ]
