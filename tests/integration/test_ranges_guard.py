"""Only who may update the ledger may say which block a namespace has; the operator may, with the rights it is given."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.cluster import launcher
from tests.integration.proxy import Proxy
from tests.integration.ranges import Ranges, whole
from tests.integration.rest import Rest
from tests.integration.support import Kubectl, OperatorProcess, eventually, rbac, role_ref

from scc_operator import names
from scc_operator.kube.paths import NAMESPACES

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
def users(kubectl: Kubectl, installed: None) -> None:
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


def attempt(kubectl: Kubectl, user: str, name: str, annotations: dict[str, str]) -> str:
    """Ask to create a namespace; the refusal, or nothing."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}}
    try:
        kubectl.apply(body, as_user=user) if False else kubectl(
            "create", "--dry-run=server", "-f", "-", input=__import__("json").dumps(body), as_user=user
        )
    except AssertionError as error:
        return str(error)
    return ""
