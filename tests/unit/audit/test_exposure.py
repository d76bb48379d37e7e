from tests.unit.engine.builders import stock_sccs

from scc_operator.audit.exposure import Level, cost, exposure

STOCK = {scc.name: scc for scc in stock_sccs()}


def texts(name: str, level: Level = Level.LOW) -> list[str]:
    """What a default SCC allows beyond the baseline, from this level on."""
    return [each.text for each in exposure(STOCK[name]) if each.level >= level]


def test_the_baseline_allows_nothing_beyond_itself() -> None:
    """What restricted-v2 allows is what everything else is measured by."""
    assert texts("restricted-v2") == []


def test_the_furthest_reaching_comes_first() -> None:
    """First what reaches the node, then what takes away a layer of defence, then the rest."""
    assert texts("hostmount-anyuid") == [
        "hostPath volumes",
        "any user or root",
        "privilege escalation",
        "no seccomp profile",
        "default capabilities",
        "nfs volumes",
    ]
    levels = [each.level for each in exposure(STOCK["privileged"])]
    assert levels == sorted(levels, reverse=True)


def test_cost_orders_by_reach_and_not_by_the_order_in_which_sccs_are_tried() -> None:
    """Anyuid is tried first of all, and costs more than all that stay within the namespace's users."""
    names = ["restricted-v2", "nonroot-v2", "restricted", "anyuid", "hostnetwork-v2", "hostmount-anyuid", "privileged"]
    assert sorted(names, key=lambda name: cost(STOCK[name])) == names


def test_no_text_has_a_comma() -> None:
    """They are listed with commas between them."""
    assert not [each.text for scc in STOCK.values() for each in exposure(scc) if "," in each.text]
