from typing import Any

import pytest
from tests.unit.cluster.builders import UID_RANGE, asked_in, namespace, pod, scc

from scc_operator import names
from scc_operator.audit.answer import Answer, Verdict
from scc_operator.audit.view import View
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror

IN_RANGE = 1000680001


def ask(asked: dict[str, Any], *sccs: dict[str, Any], shop: dict[str, Any] | None = None) -> Answer:
    """The answer for a pod of namespace `shop` in a cluster with these SCCs."""
    mirror, question, found = asked_in(asked, *sccs, shop=shop)
    return View(mirror, frozenset({"kube-system"})).answer(question, found)


def test_the_first_scc_that_fits_is_the_answer() -> None:
    """SCCs are tried by priority; one that refuses is passed over."""
    narrow = scc("narrow", priority=10, runAsUser={"type": "MustRunAs", "uid": 5})
    assert ask(pod("web", user=IN_RANGE), scc("wide"), narrow).scc == "wide"
    assert ask(pod("web", user=5), scc("wide"), narrow).scc == "narrow"


def test_what_admission_would_fill_in_is_listed() -> None:
    """The names are sorted; the pod fits only with these defaults."""
    answer = ask(pod("web"), scc("wide"))
    assert (answer.verdict, answer.would_set) == (Verdict.FITS_WITH_DEFAULTS, ("runAsNonRoot", "runAsUser"))


def test_a_pod_that_no_scc_admits_is_denied_with_a_code() -> None:
    """The code is stable, and tells what kept it out."""
    assert ask(pod("web", user=5), scc("wide")) == Answer(Verdict.DENIED, reason="RunAsUserOutOfRange")
    assert ask(pod("web"), scc("foreign", groups=["others"])).verdict is Verdict.DENIED


@pytest.mark.parametrize("missing", [names.UID_RANGE, names.MCS])
def test_without_ranges_nothing_is_decided(missing: str) -> None:
    """Admission would wait for them, and then refuse the pod whatever it is."""
    annotations = {key: value for key, value in UID_RANGE.items() if key != missing}
    answer = ask(pod("web"), scc("wide"), shop=namespace("shop", annotations=annotations))
    assert answer == Answer(Verdict.UNKNOWN, reason="NamespaceRangesMissing")


def test_malformed_ranges_decide_nothing() -> None:
    """A uid-range that an SCC needs and nobody can read makes pods unknown, not denied."""
    shop = namespace("shop", annotations={**UID_RANGE, names.UID_RANGE: "many"})
    assert ask(pod("web"), scc("wide"), shop=shop) == Answer(Verdict.UNKNOWN, reason="NamespaceRangesMalformed")


@pytest.mark.parametrize(
    "broken", [scc("half", runAsUser={"type": "MustRunAs"}), scc("odd", priority="high")], ids=["half", "unreadable"]
)
def test_one_scc_that_cannot_be_evaluated_leaves_everything_undecided(broken: dict[str, Any]) -> None:
    """Admission would refuse every pod; only one that requires another SCC is not concerned."""
    unusable = Answer(Verdict.UNKNOWN, reason="UnusableSCC")
    assert ask(pod("web"), scc("wide"), broken) == unusable
    wide = pod("web", annotations={names.REQUIRED_SCC: "wide"})
    assert ask(wide, scc("wide"), broken).scc == "wide"
    required = pod("web", annotations={names.REQUIRED_SCC: broken["metadata"]["name"]})
    assert ask(required, scc("wide"), broken) == unusable


def test_a_required_scc_is_the_only_one_that_counts() -> None:
    """Whether others fit does not matter; one that does not exist denies."""
    required = pod("web", annotations={names.REQUIRED_SCC: "second"})
    assert ask(required, scc("first", priority=9), scc("second")).scc == "second"
    assert ask(required, scc("first")) == Answer(Verdict.DENIED, reason="RequiredSCCNotFound")


@pytest.mark.parametrize("level, exempt", [("0", True), ("1", True), ("2", False), ("", False), ("01", False)])
def test_run_levels_0_and_1_are_exempt(level: str, exempt: bool) -> None:
    """Exactly these; then neither ranges nor SCCs matter."""
    shop = namespace("shop", annotations={}, labels={names.RUN_LEVEL_LABEL: level})
    assert (ask(pod("web"), shop=shop) == Answer(Verdict.EXEMPT, reason="RunLevel")) is exempt


def test_windows_pods_are_exempt() -> None:
    """SCCs say nothing that means anything there."""
    windows = pod("web")
    windows["spec"]["os"] = {"name": "windows"}
    assert ask(windows, scc("wide")) == Answer(Verdict.EXEMPT, reason="WindowsPod")


def test_exempt_namespaces_are_exempt_whatever_they_hold() -> None:
    """The namespace need not even be known."""
    mirror = Mirror()
    system = pod("web", namespace="kube-system")
    mirror.take(Kind.PODS, system)
    (question,) = mirror.questions
    view = View(mirror, frozenset({"kube-system"}))
    assert view.answer(question, None) == Answer(Verdict.EXEMPT, reason="ExemptNamespace")


def test_a_namespace_that_is_not_known_decides_nothing() -> None:
    """It may come with the next event."""
    mirror = Mirror()
    mirror.take(Kind.PODS, pod("web"))
    (question,) = mirror.questions
    assert View(mirror, frozenset()).answer(question, None) == Answer(Verdict.UNKNOWN, reason="NamespaceNotFound")
