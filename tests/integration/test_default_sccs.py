"""The default SCCs are there once the operator has started, and what an administrator makes of them stays."""

from collections.abc import Callable

from tests.integration.support import Kubectl, OperatorProcess, completed, eventually, expect, pod

from scc_operator import names
from scc_operator.reconcile.default_sccs import default_objects

SCCS = [
    "anyuid",
    "hostaccess",
    "hostmount-anyuid",
    "hostmount-anyuid-v2",
    "hostnetwork",
    "hostnetwork-v2",
    "nested-container",
    "nonroot",
    "nonroot-v2",
    "privileged",
    "restricted",
    "restricted-v2",
    "restricted-v3",
]
CRD = f"{names.SCC_RESOURCE}.{names.SECURITY_GROUP}"
OF_OPENSHIFT = "include.release.openshift.io/self-managed-high-availability"
NO_RANGES = (None, "unknown", "NamespaceRangesMissing")


def exists(kubectl: Kubectl, kind: str, name: str) -> bool:
    """Whether there is such an object."""
    return bool(kubectl("get", kind, name, "--ignore-not-found", "-o", "name").stdout)


def test_all_are_created(operator: OperatorProcess, kubectl: Kubectl) -> None:
    """13 SCCs, each with its ClusterRole; everybody who is authenticated may use the two baselines and no other."""
    assert operator.http("/readyz")[0] == 200
    stored = {item["metadata"]["name"]: item for item in kubectl.json(CRD)["items"]}
    assert sorted(stored.keys() & {*SCCS}) == SCCS
    for manifest in default_objects():
        if manifest["kind"] == names.SCC_KIND:
            found = stored[manifest["metadata"]["name"]]
            assert {key: found.get(key) for key in manifest if key != "metadata"} == {
                key: value for key, value in manifest.items() if key != "metadata"
            }
    for name in SCCS:
        (rule,) = kubectl.json("clusterrole", names.SCC_ROLE_PREFIX + name)["rules"]
        assert (rule["resourceNames"], rule["verbs"]) == ([name], [names.USE_VERB])
    anybody = {
        name
        for name in SCCS
        if kubectl(
            "auth", "can-i", "use", f"scc/{name}", as_user="jane", as_groups=[names.AUTHENTICATED], check=False
        ).stdout.startswith("yes")
    }
    assert anybody == {"restricted-v2", "restricted-v3"}


def test_edits_survive_a_restart_and_what_is_missing_comes_back(operator: OperatorProcess, kubectl: Kubectl) -> None:
    """The operator creates what is missing at start, and never updates what exists."""
    role = names.SCC_ROLE_PREFIX + "hostaccess"
    kubectl.patch(CRD, "nonroot", {"users": ["jane"], "priority": 3})
    before = kubectl.json(CRD, "nonroot")
    others = {
        item["metadata"]["name"]: item["metadata"]["resourceVersion"]
        for item in kubectl.json(CRD)["items"]
        if item["metadata"]["name"] != "hostaccess"
    }
    try:
        with operator.away():
            kubectl("delete", CRD, "hostaccess")
            kubectl("delete", "clusterrole", role, names.SCC_ROLE_PREFIX + "anyuid")
        assert kubectl.json(CRD, "nonroot") == before
        assert kubectl.json(CRD, "hostaccess")["allowHostIPC"] is True
        assert kubectl.json("clusterrole", role)["rules"][0]["resourceNames"] == ["hostaccess"]
        assert kubectl.json("clusterrole", names.SCC_ROLE_PREFIX + "anyuid")["rules"][0]["resourceNames"] == ["anyuid"]
        after = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in kubectl.json(CRD)["items"]}
        assert others.items() <= after.items()
    finally:
        kubectl.patch(CRD, "nonroot", {"users": [], "priority": None})


def test_switched_off(
    operator: OperatorProcess, start_operator: Callable[..., OperatorProcess], kubectl: Kubectl
) -> None:
    """With `defaultSccs` off nothing is created; switching it on again brings back what is missing."""
    with operator.away():
        kubectl("delete", CRD, "nested-container")
        start_operator(SCC_OPERATOR_DEFAULT_SCCS="off").stop()
        assert not exists(kubectl, CRD, "nested-container")
    assert exists(kubectl, CRD, "nested-container")


def test_on_openshift_nothing_of_openshifts_is_written(
    operator: OperatorProcess,
    start_operator: Callable[..., OperatorProcess],
    kubectl: Kubectl,
    new_namespace: Callable[..., str],
) -> None:
    """On OpenShift the audit works and ranges and default SCCs are left to OpenShift, whatever the settings say."""
    with operator.away():
        kubectl("annotate", "crd", CRD, f"{OF_OPENSHIFT}=true")
        try:
            kubectl("delete", CRD, "nested-container")
            kubectl("delete", "clusterrole", names.SCC_ROLE_PREFIX + "nested-container")
            ledger = kubectl.json("rangeallocation", names.RANGE_NAME)
            switched_on = {"SCC_OPERATOR_RANGES": "on", "SCC_OPERATOR_DEFAULT_SCCS": "on"}
            other = start_operator(SCC_OPERATOR_RANGES_GRACE="0.2", **switched_on)
            namespace = new_namespace()
            kubectl.apply(pod("web", namespace))
            expect(kubectl, namespace, {"web": NO_RANGES})
            own = {names.UID_RANGE: "61000/100", names.MCS: "s0:c9,c8"}
            kubectl("annotate", "namespace", namespace, *(f"{key}={value}" for key, value in own.items()))
            expect(kubectl, namespace, {"web": completed("restricted-v2")})
            found = kubectl.annotations("namespace", namespace)
            assert {key: value for key, value in found.items() if key.startswith("openshift.io/")} == own
            assert kubectl.json("rangeallocation", names.RANGE_NAME) == ledger
            assert not exists(kubectl, CRD, "nested-container")
            assert not exists(kubectl, "clusterrole", names.SCC_ROLE_PREFIX + "nested-container")
            other.stop()
        finally:
            kubectl("annotate", "crd", CRD, f"{OF_OPENSHIFT}-")
    # Taken for plain Kubernetes again, the same cluster gets what it lacks.
    assert exists(kubectl, CRD, "nested-container")
    eventually(lambda: names.SUPPLEMENTAL_GROUPS in kubectl.annotations("namespace", namespace))
