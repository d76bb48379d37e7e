"""What the audit writes on a pod is nobody else's to write: tried by users of different rank, on every way to a pod.

The policies that refuse are the API server's own, so all but the last test run without an operator.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pykube
import pytest
import yaml
from tests.integration.rest import Rest
from tests.integration.support import Kubectl, OperatorProcess, completed, eventually, expect, pod, rbac, role_ref

from scc_operator import names
from scc_operator.kube.paths import PODS

pytestmark = pytest.mark.usefixtures("installed")

FORGED = {names.SCC_ANNOTATION: "privileged"} | {
    f"scc-operator.io/{key}": "forged"
    for key in ("verdict", "would-set", "reason", "would-match", "of-a-later-version")
}
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
POD_RULES = [
    {
        "apiGroups": [""],
        "resources": [
            "bindings",
            "pods",
            "pods/binding",
            "pods/ephemeralcontainers",
            "pods/resize",
            "pods/status",
        ],
        "verbs": ["create", "get", "patch", "update"],
    }
]
EVERYTHING = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
VERDICTS = [{"apiGroups": [names.GROUP], "resources": ["verdicts"], "verbs": ["write"]}]

HOLDER = "holder-of-the-verb"
RANKS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "pod-writer": (POD_RULES, []),
    "owner-of-the-namespace": (EVERYTHING, []),
    HOLDER: (POD_RULES, VERDICTS),
}
"""Rules in the namespace, and cluster-wide."""
REFUSED = ["pod-writer", "owner-of-the-namespace"]


class As:
    """The API server, asked as somebody about pods of one namespace."""

    def __init__(self, api: pykube.HTTPClient, namespace: str, user: str, *groups: str) -> None:
        self._api, self._namespace = api, namespace
        self._headers = {"Impersonate-User": user, "Impersonate-Group": [*groups, names.AUTHENTICATED]}

    def __call__(self, method: str, path: str, body: Any, content_type: str = "application/json") -> Any:
        """Send a request to a path below the namespace; return the response."""
        headers = {"Content-Type": content_type, "Impersonate-User": self._headers["Impersonate-User"]}
        # `requests` sends one header once, so the last group wins; all that matters here is granted to the user.
        headers["Impersonate-Group"] = self._headers["Impersonate-Group"][0]
        url = f"{self._api.url}/api/v1/namespaces/{self._namespace}/{path}"
        return self._api.session.request(method, url, data=json.dumps(body), headers=headers, timeout=30)

    def annotate(self, path: str, annotations: Mapping[str, str | None]) -> Any:
        """Merge-patch annotations."""
        return self("PATCH", path, {"metadata": {"annotations": annotations}}, MERGE)


@pytest.fixture(scope="module")
def home(kubectl: Kubectl, api: pykube.HTTPClient) -> Iterator[str]:
    """A namespace where each rank has its rights, and where the policies are in force."""
    namespace = f"t-{secrets.token_hex(4)}"
    objects: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}]
    for user, (rules, cluster_rules) in RANKS.items():
        name = f"{user}-{namespace}"
        subjects = [{"kind": "User", "apiGroup": names.RBAC_GROUP, "name": name}]
        objects += [
            rbac("Role", name, namespace, rules=rules),
            rbac("RoleBinding", name, namespace, roleRef=role_ref("Role", name), subjects=subjects),
            rbac("ClusterRole", name, rules=cluster_rules),
            rbac("ClusterRoleBinding", name, roleRef=role_ref("ClusterRole", name), subjects=subjects),
        ]
    kubectl.apply(*objects)
    eventually(lambda: kubectl("get", "serviceaccount", "default", "-n", namespace, check=False).returncode == 0)
    kubectl.apply(pod("first", namespace))
    for user, status in ((HOLDER, 200), *((rank, 403) for rank in REFUSED)):
        asked = As(api, namespace, f"{user}-{namespace}")
        for key in (names.SCC_ANNOTATION, names.VERDICT):

            def settled(asked: As = asked, key: str = key, status: int = status) -> bool:
                free = asked.annotate("pods/first?dryRun=All", {"team": "shop"}).status_code == 200
                return free and asked.annotate("pods/first?dryRun=All", {key: "x"}).status_code == status

            eventually(settled)
    yield namespace
    wide = [each for each in objects if each["kind"].startswith("Cluster")]
    kubectl("delete", "--wait=false", "namespace", namespace)
    kubectl("delete", "--wait=false", "-f", "-", input=yaml.safe_dump_all(wide))


@pytest.fixture
def web(rest: Rest, home: str) -> str:
    """The name of a pod that the audit has judged."""
    name = f"web-{secrets.token_hex(2)}"
    written = {names.SCC_ANNOTATION: "restricted-v2", names.VERDICT: "fits"}
    rest.create(PODS, pod(name, home, annotations={"team": "shop", **written}), home)
    # A replacement is made of what was read: nothing may change between the two, as scheduling would.
    eventually(lambda: rest.get(PODS, name, home)["status"]["phase"] == "Running")
    return name


def refused(response: Any, key: str) -> None:
    """Assert that a request was refused with a text that names the annotation and the way out."""
    assert response.status_code == 403, response.text
    text = response.json()["message"]
    assert ("annotation openshift.io/scc," if key == names.SCC_ANNOTATION else "annotations scc-operator.io/*,") in text
    assert "as they are" in text or "as it is" in text


@pytest.mark.parametrize("rank", REFUSED)
@pytest.mark.parametrize("path", ["", "/status"])
def test_annotations_stay_as_the_audit_wrote_them(
    api: pykube.HTTPClient, home: str, rank: str, path: str, web: str
) -> None:
    """Nobody below the right sets, changes or removes one, by way of the pod or its status; a Role of `*` is less."""
    user = As(api, home, f"{rank}-{home}")
    for key, value in FORGED.items():
        refused(user.annotate(f"pods/{web}{path}", {key: value}), key)
    for key in (names.SCC_ANNOTATION, names.VERDICT):
        refused(user.annotate(f"pods/{web}{path}", {key: None}), key)


@pytest.mark.parametrize("rank", REFUSED)
def test_every_kind_of_write(api: pykube.HTTPClient, home: str, rank: str, rest: Rest, web: str) -> None:
    """A replacement, a server-side apply, a JSON patch and a strategic merge patch are refused like a merge patch."""
    user = As(api, home, f"{rank}-{home}")
    whole = rest.get(PODS, web, home)
    del whole["metadata"]["resourceVersion"]
    whole["metadata"]["annotations"][names.SCC_ANNOTATION] = "privileged"
    refused(user("PUT", f"pods/{web}", whole), names.SCC_ANNOTATION)
    refused(user("PUT", f"pods/{web}/status", whole), names.SCC_ANNOTATION)
    applied = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": web, "annotations": {names.VERDICT: "x"}}}
    way = f"pods/{web}?fieldManager=somebody&force=true"
    refused(user("PATCH", way, applied, "application/apply-patch+yaml"), names.VERDICT)
    path = f"/metadata/annotations/{names.VERDICT.replace('/', '~1')}"
    refused(
        user("PATCH", f"pods/{web}", [{"op": "remove", "path": path}], "application/json-patch+json"), names.VERDICT
    )
    kept = {names.SCC_ANNOTATION: "restricted-v2"}
    strategic = {"metadata": {"annotations": {"$patch": "replace", **kept}}}
    refused(user("PATCH", f"pods/{web}", strategic, STRATEGIC), names.VERDICT)


@pytest.mark.parametrize("rank", REFUSED)
def test_subresources_that_take_a_pod(api: pykube.HTTPClient, home: str, rank: str, rest: Rest, web: str) -> None:
    """Through ephemeralcontainers and resize no annotation arrives; what these are for goes on to work."""
    user = As(api, home, f"{rank}-{home}")
    before = rest.get(PODS, web, home)["metadata"]["annotations"]
    debug = {"name": f"debug-{rank[:3]}", "image": "registry.example/debug", "targetContainerName": "main"}
    cpu = {"name": "main", "resources": {"requests": {"cpu": "1m"}, "limits": {"cpu": "1m"}}}
    for way, spec in (
        ("ephemeralcontainers", {"ephemeralContainers": [debug]}),
        ("resize", {"containers": [cpu]}),
    ):
        body = {"metadata": {"annotations": FORGED}, "spec": spec}
        user("PATCH", f"pods/{web}/{way}", body, STRATEGIC)
        assert rest.get(PODS, web, home)["metadata"]["annotations"] == before
    added = user(
        "PATCH",
        f"pods/{web}/ephemeralcontainers",
        {"spec": {"ephemeralContainers": [debug]}},
        STRATEGIC,
    )
    assert added.status_code == 200, added.text


@pytest.mark.parametrize("rank", REFUSED)
@pytest.mark.parametrize("path", ["pods/{}/binding", "bindings"])
def test_a_binding_brings_no_annotation(api: pykube.HTTPClient, home: str, rank: str, path: str, rest: Rest) -> None:
    """Annotations of a Binding become the pod's, so one with the audit's keys is refused, and any other one binds."""
    user = As(api, home, f"{rank}-{home}")
    waiting = f"waiting-{secrets.token_hex(2)}"
    rest.create(PODS, pod(waiting, home, schedulerName="nobody"), home)
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": waiting},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "node-000000"},
    }
    for key, value in FORGED.items():
        body["metadata"]["annotations"] = {key: value}
        refused(user("POST", path.format(waiting), body), key)
    body["metadata"]["annotations"] = {"scheduled-by": "hand"}
    bound = user("POST", path.format(waiting), body)
    assert bound.status_code == 201, bound.text
    assert rest.get(PODS, waiting, home)["metadata"]["annotations"]["scheduled-by"] == "hand"


def test_who_may(api: pykube.HTTPClient, home: str, rest: Rest, web: str) -> None:
    """Whoever holds the verb, under whatever name, may write them; so may the cluster's administrator."""
    holder = As(api, home, f"{HOLDER}-{home}")
    for path in (f"pods/{web}", f"pods/{web}/status"):
        assert holder.annotate(path, FORGED).status_code == 200
        assert holder.annotate(path, dict.fromkeys(FORGED)).status_code == 200
    rest.patch(PODS, web, {"metadata": {"annotations": {names.VERDICT: "by-the-administrator"}}}, home)


def test_the_account_of_the_operator_may(api: pykube.HTTPClient, home: str, web: str) -> None:
    """The rights that are installed with the operator are enough for its own way, the status, and for no other."""
    account = As(api, home, "system:serviceaccount:scc-operator:scc-operator")
    assert account.annotate(f"pods/{web}/status", FORGED).status_code == 200
    assert account.annotate(f"pods/{web}", FORGED).status_code == 403


def test_ordinary_work_goes_on(api: pykube.HTTPClient, home: str, rest: Rest, web: str) -> None:
    """Other annotations, labels and the status stay free, for people and kubelets; a stale copy stays a conflict."""
    user = As(api, home, f"pod-writer-{home}")
    stale = rest.get(PODS, web, home)
    assert user.annotate(f"pods/{web}", {"team": "billing", "note": "x"}).status_code == 200
    assert user.annotate(f"pods/{web}", {"note": None}).status_code == 200
    assert user("PATCH", f"pods/{web}", {"metadata": {"labels": {"tier": "front"}}}, MERGE).status_code == 200
    assert user("PATCH", f"pods/{web}/status", {"status": {"message": "x"}}, MERGE).status_code == 200
    stale["metadata"]["annotations"][names.VERDICT] = "denied"
    assert user("PUT", f"pods/{web}", stale).status_code == 409
    kubelet = As(api, home, "system:node:node-000000", names.NODES)
    assert kubelet("PATCH", f"pods/{web}/status", {"status": {"message": "y"}}, MERGE).status_code == 200
    refused(kubelet.annotate(f"pods/{web}/status", {names.VERDICT: "denied"}), names.VERDICT)


def test_a_pod_full_of_annotations(api: pykube.HTTPClient, home: str, rest: Rest) -> None:
    """Thousands of annotations neither let a forgery through nor stop the audit or a kubelet."""
    many = {f"{number:x}": "" for number in range(12_000)}
    user, holder = As(api, home, f"pod-writer-{home}"), As(api, home, f"{HOLDER}-{home}")
    made = user("POST", "pods", pod("full", home, annotations=many))
    assert made.status_code == 201, made.text
    kubelet = As(api, home, "system:node:node-000000", names.NODES)
    assert kubelet("PATCH", "pods/full/status", {"status": {"message": "y"}}, MERGE).status_code == 200
    assert user("PATCH", "pods/full/status", {"status": {"message": "x"}}, MERGE).status_code == 200
    assert holder.annotate("pods/full/status", {names.VERDICT: "fits"}).status_code == 200
    assert user.annotate("pods/full", {names.VERDICT: "denied"}).status_code in {403, 422}
    assert rest.get(PODS, "full", home)["metadata"]["annotations"][names.VERDICT] == "fits"


def test_a_copy_is_created_and_then_judged(
    start_operator: Callable[..., OperatorProcess],
    kubectl: Kubectl,
    api: pykube.HTTPClient,
    home: str,
    rest: Rest,
    web: str,
) -> None:
    """A pod that arrives with copied annotations is let in, and the audit overwrites what they claim."""
    user = As(api, home, f"pod-writer-{home}")
    copy = pod("copy", home, annotations={**FORGED, "team": "shop"})
    made = user("POST", "pods", copy)
    assert made.status_code == 201, made.text
    assert rest.get(PODS, "copy", home)["metadata"]["annotations"][names.SCC_ANNOTATION] == "privileged"
    operator = start_operator()
    expect(kubectl, home, {"copy": completed("restricted-v2"), web: completed("restricted-v2")})
    found = rest.get(PODS, "copy", home)["metadata"]["annotations"]
    assert "forged" not in {found.get(key) for key in names.POD_ANNOTATIONS}
    assert found["team"] == "shop"
    assert operator.stop() == 0
