from tests.unit.engine.builders import POD, SCC, fills, objections, pod, scc, texts


def supplemental(*ranges: dict[str, int]) -> SCC:
    """An SCC that demands supplementalGroups of these ranges."""
    return scc(supplementalGroups={"type": "MustRunAs", "ranges": list(ranges)})


def test_the_namespace_allows_a_block_of_supplemental_groups() -> None:
    """From the namespace comes the whole block for supplementalGroups (case 50)."""
    assert fills(supplemental(), pod(supplementalGroups=[1000680001])) == {}
    assert fills(supplemental(), pod()) == {"supplementalGroups": (1000680000,)}


def test_an_empty_list_of_groups_counts_as_given() -> None:
    """An empty list is not completed and is refused under MustRunAs (case 51)."""
    asked = pod(supplementalGroups=[])
    detail = "unable to validate empty groups against required ranges"
    assert objections(supplemental(), asked) == [("SupplementalGroupsRequired", f"{POD}.supplementalGroups", detail)]
    assert texts(supplemental(), asked) == [f"{POD}.supplementalGroups: Invalid value: []int64{{}}: {detail}"]
    assert fills(scc(), asked) == {}


def test_a_range_without_a_maximum_refuses_its_own_minimum() -> None:
    """An absent maximum is 0, so the id that is filled in lies outside (case 53)."""
    assert objections(supplemental({"min": 5}), pod()) == [
        ("SupplementalGroupNotAllowed", f"{POD}.supplementalGroups", "5 is not an allowed group")
    ]


def test_each_bad_group_is_one_objection_that_shows_the_whole_list() -> None:
    """One objection for each bad group, in the order of the list, with the whole list as value (case 54)."""
    found = texts(supplemental({"min": 5, "max": 6}), pod(supplementalGroups=[1, 5, 2]))
    assert found == [
        f"{POD}.supplementalGroups: Invalid value: []int64{{1, 5, 2}}: {group} is not an allowed group"
        for group in (1, 2)
    ]
