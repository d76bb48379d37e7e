from typing import Any

import pytest

from scc_operator.access.subjects import SOMEBODY, Identity, infer_requester, service_account_identity


def owner(kind: str, api_version: str, *, controller: object = True) -> dict[str, Any]:
    """An ownerReference."""
    return {"kind": kind, "apiVersion": api_version, "name": "web", "uid": "1", "controller": controller}


def test_service_account_identity() -> None:
    """A service account has exactly its two groups, and is not merely authenticated (spec/admission.md §2.3)."""
    assert service_account_identity("shop", "web") == Identity(
        "system:serviceaccount:shop:web", ("system:serviceaccounts", "system:serviceaccounts:shop")
    )


@pytest.mark.parametrize(
    "reference,account",
    [
        (owner("ReplicaSet", "apps/v1"), "replicaset-controller"),
        (owner("StatefulSet", "apps/v1"), "statefulset-controller"),
        (owner("DaemonSet", "apps/v1"), "daemon-set-controller"),
        (owner("Job", "batch/v1"), "job-controller"),
        (owner("ReplicationController", "v1"), "replication-controller"),
    ],
)
def test_controllers(reference: dict[str, Any], account: str) -> None:
    """A pod of a controller was created by that controller's service account, which is also authenticated."""
    assert infer_requester([reference]) == Identity(
        f"system:serviceaccount:kube-system:{account}",
        ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
    )


@pytest.mark.parametrize(
    "references",
    [
        [],
        [owner("ReplicaSet", "apps/v1", controller=False)],
        [{"kind": "ReplicaSet", "apiVersion": "apps/v1"}],
        [owner("ReplicaSet", "apps/v1", controller="true")],
        [owner("ReplicaSet", "apps.example.com/v1")],
        [owner("Job", "v1")],
        [owner("ReplicationController", "apps/v1")],
        [owner("Workflow", "argoproj.io/v1alpha1")],
        [owner("Workflow", "argoproj.io/v1alpha1"), owner("Job", "batch/v1", controller=False)],
        [{}],
    ],
)
def test_others_are_somebody(references: list[dict[str, Any]]) -> None:
    """Only the controller reference to a kind of Kubernetes' own API group names a creator."""
    assert infer_requester(references) == SOMEBODY
    assert SOMEBODY.groups == ("system:authenticated",)


def test_controller_is_not_always_first() -> None:
    """The reference that says controller counts, wherever it stands."""
    found = infer_requester([owner("ConfigMap", "v1", controller=False), owner("Job", "batch/v1")])
    assert found.name == "system:serviceaccount:kube-system:job-controller"


def test_mirror_pods() -> None:
    """A mirror pod was created by its node, whoever it names as owner."""
    assert infer_requester([owner("Node", "v1")], mirror_node="n1") == Identity(
        "system:node:n1", ("system:nodes", "system:authenticated")
    )
