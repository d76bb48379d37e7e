from typing import Any

from tests.unit.cluster.builders import asked_in, namespace, pod, scc

from scc_operator.access.grants import Grant
from scc_operator.access.rbac import GROUP, USER, Owner, Subject
from scc_operator.audit.answer import Verdict
from scc_operator.audit.ladder import Ladder, climb, grant_text
from scc_operator.audit.view import View

NOBODY: dict[str, Any] = {"groups": []}


def ladder(asked: dict[str, Any], *sccs: dict[str, Any], shop: dict[str, Any] | None = None) -> Ladder:
    """The ladder of a pod of namespace `shop` in a cluster with these SCCs."""
    mirror, question, found = asked_in(asked, *sccs, shop=shop)
    return climb(View(mirror, frozenset()), question, found)


def test_every_candidate_has_a_rung() -> None:
    """Also those below the winner, and those that nobody may use, each with what it would say."""
    found = ladder(
        pod("web"),
        scc("first", priority=3, **NOBODY),
        scc("second", priority=2),
        scc("third", priority=1, runAsUser={"type": "MustRunAs", "uid": 5}),
    )
    assert [(rung.scc, rung.usable_by, rung.fits, rung.wins) for rung in found.rungs] == [
        ("first", "", True, False),
        ("second", "user", True, True),
        ("third", "user", True, True),
    ]
    assert found.chosen is found.rungs[1]
    assert [rung.before_next for rung in found.rungs] == ["has higher priority", "has higher priority", ""]


def test_the_answer_is_that_of_the_view() -> None:
    """One walk: the ladder never decides by itself."""
    found = ladder(pod("web"), scc("only", **NOBODY))
    assert (found.answer.verdict, found.answer.reason, found.chosen) == (Verdict.DENIED, "NoUsableSCC", None)


def test_no_rungs_where_nothing_was_tried() -> None:
    """A namespace without ranges: nobody can say what fits."""
    bare = namespace("shop")
    bare["metadata"]["annotations"] = {}
    found = ladder(pod("web"), scc("only"), shop=bare)
    assert (found.answer.verdict, found.rungs) == (Verdict.UNKNOWN, ())


def test_the_nearest_refusal_comes_first() -> None:
    """The one with the fewest kinds of reasons, which is also where the answer's reason comes from."""
    asked = pod("web", user=0)
    asked["spec"]["hostPID"] = True
    found = ladder(asked, scc("narrow", priority=2), scc("wide", priority=1, allowHostPID=True))
    assert [rung.scc for rung in found.refused] == ["wide", "narrow"]
    assert found.answer.reason == found.refused[0].attempt.objections[0].code


def test_grants_are_told_by_the_object_to_look_at() -> None:
    """An SCC binding is named before the RBAC that it became."""
    group = Subject(GROUP, "g")
    owner = Owner("SCCBinding", "shop", "b", "uid")
    assert grant_text(Grant("scc-users", "s", Subject(USER, "u"))) == "field users of SCC s"
    assert grant_text(Grant("scc-groups", "s", group)) == "field groups of SCC s, group g"
    assert grant_text(Grant("rolebinding", "s", group, "shop", "rb"), with_group=False) == "RoleBinding shop/rb"
    assert grant_text(Grant("rolebinding", "s", group, "shop", "rb", owner=owner)) == "SCCBinding shop/b, group g"
    every = Grant("clusterrolebinding", "s", group, "", "crb", "ClusterRole", "admin", every_scc=True)
    assert grant_text(every, with_group=False) == "ClusterRoleBinding crb, ClusterRole admin grants every SCC"
