"""The least SCC for a service account, and its proof."""

from collections import Counter
from typing import Any

from tests.unit.audit.test_lint import KINDS, SHIPPED, grant, scc
from tests.unit.cluster.builders import namespace, pod

from scc_operator.access.rbac import Subject
from scc_operator.audit.recommend import Choice, Recommendation, recommend
from scc_operator.audit.view import View
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.records import Namespace

Json = dict[str, Any]
WEB = {"kind": "ServiceAccount", "name": "web", "namespace": "shop"}
EVERYBODY = {"kind": "Group", "name": "system:authenticated"}


def recommended(*specs: Json, sccs: tuple[Json, ...] = (), rbac: tuple[Json, ...] = ()) -> Recommendation:
    """What is recommended for account `web` of namespace `shop` with pods of these specs, beside the default SCCs."""
    mirror = Mirror()
    for at, raw in enumerate([*SHIPPED.values(), *sccs, *grant("restricted-v2", EVERYBODY), *rbac], start=1):
        mirror.take(KINDS[raw["kind"]], {**raw, "metadata": {"resourceVersion": str(at), **raw["metadata"]}})
    for at, spec in enumerate(specs):
        raw = pod(f"web-{at}")
        annotations = spec.pop("annotations", {})
        raw["metadata"]["annotations"] = annotations
        raw["spec"].update({"serviceAccountName": "web", **spec})
        mirror.take(Kind.PODS, raw)
    asked = Counter({question: len(pods) for question, pods in mirror.questions.items()})
    found = Namespace.read(namespace("shop"))
    return recommend(
        Subject("ServiceAccount", "web", "shop"), asked, found, View(mirror, frozenset()), new_name="shop-web"
    )


def user(uid: int) -> Json:
    """A pod that runs as this user."""
    return {"securityContext": {"runAsUser": uid}}


def test_pods_that_need_nothing() -> None:
    """What everybody may use is enough: nothing is to be done."""
    found = recommended({}, {"volumes": [{"name": "v", "emptyDir": {}}]})
    assert (found.choice, found.scc and found.scc.name, found.pods, found.proven) == (
        Choice.NOTHING, "restricted-v2", 2, True
    )  # fmt: skip
    assert found.uses == ("restricted-v2",)
    assert "runAsUser" in found.would_set


def test_an_existing_scc_that_reaches_no_further() -> None:
    """A user of its own: nonroot-v2 takes no layer of defence away, so no new SCC is made."""
    found = recommended(user(999))
    assert (found.choice, found.existing, found.denied, found.proven) == (Choice.GRANT, "nonroot-v2", 1, True)
    assert found.scc is not None
    assert found.scc.name == "nonroot-v2"


def test_an_scc_that_it_has_already() -> None:
    """The grant is kept, and is no needless one."""
    found = recommended(user(999), rbac=tuple(grant("nonroot-v2", WEB, "shop")))
    assert (found.choice, found.uses, found.needless) == (Choice.KEEP, ("nonroot-v2",), ())


def test_a_new_scc_where_every_existing_one_allows_much_more() -> None:
    """It allows what the pod asks for and no more; what the least existing one allows in addition is told."""
    found = recommended({"hostPID": True})
    assert found.choice is Choice.NEW
    assert found.scc is not None
    assert (found.scc.name, found.scc.allow_host_pid, found.scc.allow_host_network) == ("shop-web", True, False)
    assert found.existing == "hostaccess"
    assert "host network" in found.excess
    assert "host PIDs" not in found.excess
    assert found.proven


def test_what_would_change_for_pods_that_have_an_scc() -> None:
    """Their image may count on what the recommended SCC takes away; it is told."""
    found = recommended({"hostPID": True}, rbac=tuple(grant("privileged", WEB, "shop")))
    changes = {each.field: (each.before, each.after) for each in found.changes}
    assert changes["runAsUser"] == ("the image's", "1000680000")
    assert changes["capabilities.drop"] == ("none", "ALL")
    assert recommended({"hostPID": True}).changes == ()


def test_one_scc_for_all_pods_of_an_account() -> None:
    """The account's needs are those of all its pods together."""
    found = recommended(user(7), {"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]})
    assert found.scc is not None
    assert (found.choice, found.scc.run_as_user.uid, "nfs" in (found.scc.volumes or ())) == (Choice.NEW, 7, True)
    assert found.proven


def test_an_own_scc_that_is_narrower_than_a_default_one() -> None:
    """Custom SCCs are candidates like the default ones."""
    mine = scc("mine", runAsUser={"type": "MustRunAs", "uid": 999})
    found = recommended(user(999), sccs=(mine,))
    assert (found.choice, found.existing) == (Choice.GRANT, "mine")


def test_needless_grants() -> None:
    """A grant that no pod lives on and that allows more than they need; the one in use is told as such."""
    found = recommended({}, rbac=(*grant("privileged", WEB, "shop"), *grant("anyuid", WEB, "shop")))
    assert [(each.grant.scc, each.pods, each.own) for each in found.needless] == [
        ("anyuid", 1, True), ("privileged", 0, True)
    ]  # fmt: skip
    assert "any user or root" in found.needless[0].allows
    assert found.uses == ("anyuid",)
    assert found.choice is Choice.NOTHING


def test_grants_of_groups_are_not_its_own() -> None:
    """A group's grant is told, but it is not this account's to give back."""
    (found,) = recommended(
        {}, rbac=tuple(grant("privileged", {"kind": "Group", "name": "system:serviceaccounts"}))
    ).needless
    assert not found.own


def required(name: str, **spec: Any) -> Json:
    """A pod that demands an SCC."""
    return {"annotations": {"openshift.io/required-scc": name}, **spec}


def test_an_scc_that_pods_demand() -> None:
    """It is granted whatever else would do; what exists and refuses them is told; what is missing is made."""
    found = recommended(required("anyuid", **user(0)))
    assert (found.scc, found.choice) == (None, Choice.NOTHING)
    assert [(each.name, each.choice) for each in found.required] == [("anyuid", Choice.GRANT)]
    assert found.proven
    (refused,) = recommended(required("restricted-v2", **user(0))).required
    assert refused.choice is Choice.NONE
    (missing,) = recommended(required("own", **user(0))).required
    assert (missing.choice, missing.new and missing.new.name, missing.new and missing.new.run_as_user.uid) == (
        Choice.NEW, "own", 0
    )  # fmt: skip


def test_other_pods_of_the_account_are_recommended_their_own() -> None:
    """A demand of one pod is not laid on the others."""
    found = recommended({}, required("anyuid"))
    assert (found.choice, found.scc and found.scc.name) == (Choice.NOTHING, "restricted-v2")
    assert [each.name for each in found.required] == ["anyuid"]


def test_a_pod_that_no_scc_can_admit() -> None:
    """The reason is told."""
    found = recommended({"volumes": [{"name": "v", "unknown": {}}]})
    assert (found.choice, found.scc, found.proven) == (Choice.NONE, None, False)
    assert "unknown volume type" in found.why
