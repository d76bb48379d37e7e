"""Only who may update the ledger may say which block a namespace has; the operator may, with the rights it is given."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import launcher
from tests.integration.proxy import Proxy
from tests.integration.ranges import DEFAULT, FREED, KEYS, WIPE, Ranges, whole
from tests.integration.rest import Rest
from tests.integration.support import Kubectl, OperatorProcess, eventually, rbac, role_ref

from scc_operator import names

CREATOR = "namespace-creator"
KEEPER = "ledger-keeper"
ACCOUNT = "system:serviceaccount:scc-operator:scc-operator"


def grant(user: str, *rules: dict[str, Any]) -> list[dict[str, Any]]:
    """RBAC objects that give a user these rules everywhere."""
    subject = {"kind": "User", "name": user, "apiGroup": names.RBAC_GROUP}
    return [
        rbac("ClusterRole", user, rules=list(rules)),
        rbac("ClusterRoleBinding", user, roleRef=role_ref("ClusterRole", user), subjects=[subject]),
    ]


@pytest.fixture(scope="module", autouse=True)
def users(kubectl: Kubectl, installed: None) -> None:  # noqa: ARG001 - the policy is what it brings
    """Two users who may write namespaces; one may update the ledger too. The policy is in force."""
    write = {
        "apiGroups": [""],
        "resources": ["namespaces", "namespaces/status", "namespaces/finalize"],
        "verbs": ["create", "get", "update", "patch"],
    }
    ledger = {
        "apiGroups": [names.RANGE_GROUP],
        "resources": [names.RANGE_RESOURCE],
        "resourceNames": [names.RANGE_NAME],
        "verbs": ["update"],
    }
    kubectl.apply(*grant(CREATOR, write), *grant(KEEPER, write, ledger))
    eventually(lambda: "may not change" in attempt(kubectl, CREATOR, "guard-probe", whole(50_000)))
    eventually(lambda: attempt(kubectl, KEEPER, "guard-probe", whole(50_000)) == "")


def attempt(kubectl: Kubectl, user: str, name: str, annotations: Mapping[str, str]) -> str:
    """Ask to create a namespace; the refusal, or nothing."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": dict(annotations)}}
    done = kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(body), as_user=user, check=False)
    return done.stderr if done.returncode else ""


def change(kubectl: Kubectl, user: str, name: str, subresource: str, annotations: Mapping[str, str | None]) -> str:
    """Ask to change a namespace's annotations by way of a subresource; the refusal, or nothing."""
    where = [f"--subresource={subresource}"] if subresource else []
    body = json.dumps({"metadata": {"annotations": annotations}})
    done = kubectl(
        "patch", "namespace", name, "--type=merge", "-p", body, "--dry-run=server", *where, as_user=user, check=False
    )
    return done.stderr if done.returncode else ""


@pytest.fixture(scope="module")
def annotated(rest: Rest) -> Iterator[str]:
    """A namespace with ranges."""
    ranges = Ranges(rest)
    yield ranges.create(annotations=whole(60_000))
    ranges.delete(ranges.made[0])


@pytest.mark.parametrize("key", KEYS)
def test_a_creator_claims_no_block(kubectl: Kubectl, key: str) -> None:
    """Who may create namespaces but not update the ledger cannot bring a neighbour's block, label or groups."""
    refusal = attempt(kubectl, CREATOR, "guard-claim", {key: whole(0)[key]})
    assert f"user {CREATOR} may not change {key}" in refusal
    assert "leave them out" in refusal
    assert attempt(kubectl, KEEPER, "guard-claim", {key: whole(0)[key]}) == ""


def test_a_creator_may_do_all_else(kubectl: Kubectl, annotated: str) -> None:
    """Namespaces without these annotations, and other annotations, are nobody's business."""
    assert attempt(kubectl, CREATOR, "guard-plain", {"example.com/mine": "yes", "openshift.io/display-name": "x"}) == ""
    assert change(kubectl, CREATOR, annotated, "", {"example.com/mine": "yes"}) == ""
    assert change(kubectl, CREATOR, annotated, "", whole(60_000)) == ""


@pytest.mark.parametrize("subresource", ["", "status"])
@pytest.mark.parametrize(
    "annotations",
    [
        {names.UID_RANGE: str(DEFAULT.block(0))},
        {names.MCS: None},
        {"openshift.io/sa.scc.unheard-of": "x"},
    ],
)
def test_no_way_round(kubectl: Kubectl, annotated: str, subresource: str, annotations: dict[str, str | None]) -> None:
    """Neither the status lets a change in, nor is one that removes or adds to them allowed."""
    assert "may not change" in change(kubectl, CREATOR, annotated, subresource, annotations)
    assert change(kubectl, KEEPER, annotated, subresource, annotations) == ""


def test_no_way_round_by_finalize(kubectl: Kubectl, annotated: str) -> None:
    """The subresource that ends a namespace lets no change of its ranges in."""
    stored = kubectl.json("namespace", annotated)
    stored["metadata"]["annotations"][names.UID_RANGE] = str(DEFAULT.block(0))
    path = f"/api/v1/namespaces/{annotated}/finalize?dryRun=All"
    done = kubectl("replace", "--raw", path, "-f", "-", input=json.dumps(stored), as_user=CREATOR, check=False)
    assert "may not change" in done.stderr
    assert kubectl("replace", "--raw", path, "-f", "-", input=json.dumps(stored), as_user=KEEPER).returncode == 0


def test_the_operator_has_all_rights_that_it_needs(
    cluster: launcher.Cluster,
    rest: Rest,
    tmp_path: Path,
    start_operator: Callable[..., OperatorProcess],
) -> None:
    """With nothing but the rights of `manifests/audit` it allocates, records, restores and frees, guard or not."""
    settings = {"SCC_OPERATOR_RANGES_QUARANTINE": "1", "SCC_OPERATOR_RANGES_LEAK_GRACE": "1"}
    with Proxy(cluster.kubeconfig, tmp_path, impersonate=ACCOUNT) as proxy:
        operator = start_operator(kubeconfig=proxy.kubeconfig, **settings)
        ranges = Ranges(rest)
        name = ranges.create()
        before = ranges.of(name)
        block, index = before[names.UID_RANGE], ranges.index(name)
        eventually(lambda: ranges.state(block) == "Bound")
        ranges.annotate(name, WIPE)
        assert ranges.of(name) == before
        ranges.delete(name)
        eventually(lambda: index not in ranges.taken() and ranges.record(block) == {}, FREED)
        refused = [seen for seen in proxy.seen if seen.status == 403]
        assert refused == []
        operator.kill()
