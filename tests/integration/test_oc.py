"""`oc` works unchanged where it needs nothing but SCCs and RBAC (spec/cli.md A2-A5).

The requests that its commands make are made here, one by one in its order, with the bodies that it sends.
"""

from collections.abc import Callable
from typing import Any

import pykube
import pytest
from tests.integration.rest import Rest
from tests.integration.support import (
    SERVICE_ACCOUNT,
    Kubectl,
    OperatorProcess,
    binding,
    completed,
    eventually,
    expect,
    pod,
    scc,
    use_rule,
)

from scc_operator import names
from scc_operator.kube.paths import (
    BINDINGS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    DEFAULT_SCCS,
    ROLE_BINDINGS,
    SCCS,
    Resource,
)

pytestmark = pytest.mark.usefixtures("operator")

COLUMNS = (
    "Name",
    "Priv",
    "Caps",
    "SELinux",
    "RunAsUser",
    "FSGroup",
    "SupGroup",
    "Priority",
    "ReadOnlyRootFS",
    "Volumes",
)


class OC:
    """What `oc adm policy` asks of the API server."""

    def __init__(self, rest: Rest, scc_name: str) -> None:
        self._rest = rest
        self._scc = scc_name
        self.name = names.SCC_ROLE_PREFIX + scc_name

    def add_scc_to_user(self, *subjects: dict[str, str], namespace: str = "") -> None:
        """`add-scc-to-user SCC USER... [-z ACCOUNT] [-n NAMESPACE]`, and `add-scc-to-group`, which has no namespace."""
        if self._rest.get(CLUSTER_ROLES, self.name) is None:
            self._rest.create(CLUSTER_ROLES, {"metadata": {"name": self.name}, "rules": [use_rule(self._scc)]})
        where = self._where(namespace)
        bound = self._rest.get(where, self.name, namespace)
        if bound is None:
            role = {"apiGroup": names.RBAC_GROUP, "kind": "ClusterRole", "name": self.name}
            body = {"metadata": {"name": self.name, "namespace": namespace}, "roleRef": role, "subjects": [*subjects]}
            self._rest.create(where, body, namespace)
            return
        bound["subjects"] = [*bound.get("subjects", []), *subjects]
        self._rest.replace(where, self.name, bound, namespace)

    def remove_scc_from_user(self, *subjects: dict[str, str], namespace: str = "") -> None:
        """`remove-scc-from-user` and `remove-scc-from-group`."""
        where = self._where(namespace)
        bound = self._rest.get(where, self.name, namespace)
        gone = [(each["kind"], each["name"], each.get("namespace")) for each in subjects]
        left = [each for each in bound["subjects"] if (each["kind"], each["name"], each.get("namespace")) not in gone]
        assert len(left) < len(bound["subjects"])
        if left:
            self._rest.replace(where, self.name, {**bound, "subjects": left}, namespace)
        else:
            self._rest.delete(where, self.name, namespace)

    @staticmethod
    def _where(namespace: str) -> Resource:
        return ROLE_BINDINGS if namespace else CLUSTER_ROLE_BINDINGS


@pytest.fixture
def oc(rest: Rest, namespace: str, temporary: Callable[..., None]) -> OC:
    """`oc adm policy` for an SCC that comes before restricted-v2."""
    temporary(scc(f"one-{namespace}", priority=9))
    return OC(rest, f"one-{namespace}")


def account(namespace: str, name: str = "default") -> dict[str, str]:
    """A subject as oc makes it of `-z NAME` and of `system:serviceaccount:NAMESPACE:NAME`; it leaves apiGroup empty."""
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


# --- oc get, oc describe ---------------------------------------------------------------------------------------------


def test_oc_get_scc(api: pykube.HTTPClient) -> None:
    """Discovery offers the short name, and the API server's own table has the columns that oc prints."""
    discovered = api.get(version="security.openshift.io/v1", url="").json()
    assert ["scc"] in [each.get("shortNames") for each in discovered["resources"]]
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = api.session.get(f"{api.url}{SCCS.path()}?limit=500", headers=headers, timeout=30).json()
    assert tuple(each["name"] for each in table["columnDefinitions"]) == COLUMNS
    rows = {row["cells"][0]: row["cells"][1:9] for row in table["rows"]}
    caps = '["NET_BIND_SERVICE"]'
    assert rows["restricted-v2"] == [
        "false", caps, "MustRunAs", "MustRunAsRange", "MustRunAs", "RunAsAny", "<no value>", "false",
    ]  # fmt: skip
    assert rows["privileged"][:2] == ["true", '["*"]']
    assert rows["anyuid"][6] == "10"


def test_oc_describe_scc(api: pykube.HTTPClient) -> None:
    """An SCC has every field that the describer reads, of the type that it reads; a prefix is found by a list."""
    found = api.session.get(f"{api.url}{SCCS.path(name='anyuid')}", timeout=30).json()
    types = {
        **dict.fromkeys(("priority",), (int, type(None))),
        **dict.fromkeys(("users", "groups", "volumes", "requiredDropCapabilities"), list),
        **dict.fromkeys(("defaultAddCapabilities", "allowedCapabilities"), (list, type(None))),
        **dict.fromkeys(("runAsUser", "seLinuxContext", "fsGroup", "supplementalGroups"), dict),
        **dict.fromkeys(
            (
                "allowPrivilegedContainer",
                "allowPrivilegeEscalation",
                "allowHostNetwork",
                "allowHostPorts",
                "allowHostPID",
                "allowHostIPC",
                "readOnlyRootFilesystem",
            ),
            bool,
        ),
    }
    for field, kind in types.items():
        assert isinstance(found[field], kind), field
    missing = api.session.get(f"{api.url}{SCCS.path(name='host')}", timeout=30)
    assert missing.status_code == 404
    listed = api.session.get(f"{api.url}{SCCS.path()}", timeout=30).json()["items"]
    hosts = sorted(each["metadata"]["name"] for each in listed if each["metadata"]["name"].startswith("host"))
    assert hosts == ["hostaccess", "hostmount-anyuid", "hostmount-anyuid-v2", "hostnetwork", "hostnetwork-v2"]


# --- oc adm policy ---------------------------------------------------------------------------------------------------


def test_a_service_account_of_a_namespace(oc: OC, kubectl: Kubectl, namespace: str) -> None:
    """With -n the grant is a RoleBinding; the running pod's answer follows it, and follows its removal."""
    one = f"one-{namespace}"
    kubectl.apply(pod("web", namespace))
    expect(kubectl, namespace, {"web": completed("restricted-v2")})
    oc.add_scc_to_user(account(namespace), namespace=namespace)
    expect(kubectl, namespace, {"web": completed(one)})
    oc.add_scc_to_user({"kind": "User", "name": "bob"}, namespace=namespace)
    oc.remove_scc_from_user(account(namespace), namespace=namespace)
    expect(kubectl, namespace, {"web": completed("restricted-v2")})
    oc.remove_scc_from_user({"kind": "User", "name": "bob"}, namespace=namespace)
    assert kubectl("get", "rolebinding", "-n", namespace, "-o", "name").stdout == ""


@pytest.mark.parametrize("to", ["user", "group"])
def test_everywhere(oc: OC, kubectl: Kubectl, namespace: str, to: str) -> None:
    """Without -n, and for groups, the grant is a ClusterRoleBinding; the pod's answer follows it."""
    group = {"kind": "Group", "name": f"system:serviceaccounts:{namespace}"}
    subject = account(namespace) if to == "user" else group
    kubectl.apply(pod("web", namespace))
    oc.add_scc_to_user({"kind": "User", "name": "bob"}, subject)
    expect(kubectl, namespace, {"web": completed(f"one-{namespace}")})
    oc.remove_scc_from_user(subject)
    expect(kubectl, namespace, {"web": completed("restricted-v2")})
    oc.remove_scc_from_user({"kind": "User", "name": "bob"})


def test_oc_and_bindings_side_by_side(oc: OC, kubectl: Kubectl, rest: Rest, namespace: str) -> None:
    """The operator uses the role that oc made and leaves oc's binding alone, and the other way round."""
    one = f"one-{namespace}"
    oc.add_scc_to_user({"kind": "User", "name": "bob"}, namespace=namespace)
    theirs = rest.get(CLUSTER_ROLES, oc.name), rest.get(ROLE_BINDINGS, oc.name, namespace)
    kubectl.apply(pod("web", namespace), binding("team", namespace, [one], SERVICE_ACCOUNT))
    expect(kubectl, namespace, {"web": completed(one)})
    assert rest.get(BINDINGS, "team", namespace)["status"]["sccs"] == [one]
    rest.delete(BINDINGS, "team", namespace)
    expect(kubectl, namespace, {"web": completed("restricted-v2")})
    assert (rest.get(CLUSTER_ROLES, oc.name), rest.get(ROLE_BINDINGS, oc.name, namespace)) == theirs


def test_a_misspelt_scc(operator: OperatorProcess, kubectl: Kubectl, rest: Rest, namespace: str) -> None:
    """An SCC that does not exist is granted, too; no answer changes until it does, and its role stays oc's."""
    oc = OC(rest, f"misspelt-{namespace}")
    kubectl.apply(pod("web", namespace))
    oc.add_scc_to_user(account(namespace), namespace=namespace)
    expect(kubectl, namespace, {"web": completed("restricted-v2")})
    with operator.away():
        pass
    assert rest.get(CLUSTER_ROLES, oc.name)
    kubectl.apply(scc(f"misspelt-{namespace}", priority=9))
    expect(kubectl, namespace, {"web": completed(f"misspelt-{namespace}")})
    rest.delete(SCCS, f"misspelt-{namespace}")
    rest.delete(CLUSTER_ROLES, oc.name)


def test_add_to_the_default_bindings_is_told(operator: OperatorProcess, rest: Rest) -> None:
    """A grant of restricted-v2 goes into the binding that ships with it; that is told as a difference and stays."""
    oc = OC(rest, "restricted-v2")
    nobody: dict[str, Any] = {"kind": "User", "name": "bob"}
    oc.add_scc_to_user(nobody)
    changed = lambda: rest.get(DEFAULT_SCCS, "restricted-v2")["status"]["changed"]  # noqa: E731 - it is asked twice
    eventually(lambda: changed() == "ClusterRoleBinding subjects")
    oc.remove_scc_from_user(nobody)
    eventually(lambda: changed() == "")
    assert operator.metric("scc_operator_default_scc_differences", scc="restricted-v2") == 0
