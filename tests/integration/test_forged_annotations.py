"""What the audit writes on a pod is nobody else's to write: tried by users of different rank, on every way to a pod.

The policies that refuse are the API server's own, so all but the last test run without an operator.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pykube
import pytest
from tests.integration.support import Kubectl, OperatorProcess, completed, eventually, expect, pod, rbac, role_ref

from scc_operator import names

pytestmark = pytest.mark.usefixtures("installed")

FORGED = {names.SCC_ANNOTATION: "privileged"} | {
    f"scc-operator.io/{key}": "forged" for key in ("verdict", "would-set", "reason", "would-match", "of-a-later-version")
}
MERGE = "application/merge-patch+json"
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

RANKS = {
    "pod-writer": (POD_RULES, []),
    "owner-of-the-namespace": (EVERYTHING, []),
    "holder-of-the-verb": (POD_RULES, VERDICTS),
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


@pytest.fixture
def home(kubectl: Kubectl, api: pykube.HTTPClient, namespace: str) -> Iterator[str]:
    """A namespace with a judged pod `web`, where each rank has its rights."""
    wide = []
    for user, (rules, cluster_rules) in RANKS.items():
        subject = [{"kind": "User", "apiGroup": names.RBAC_GROUP, "name": f"{user}-{namespace}"}]
        kubectl.apply(
            rbac("Role", user, namespace, rules=rules),
            rbac("RoleBinding", user, namespace, roleRef=role_ref("Role", user), subjects=subject),
        )
        if cluster_rules:
            name = f"{user}-{namespace}"
            wide += [
                rbac("ClusterRole", name, rules=cluster_rules),
                rbac("ClusterRoleBinding", name, roleRef=role_ref("ClusterRole", name), subjects=subject),
            ]
    kubectl.apply(*wide)
    written = {names.SCC_ANNOTATION: "restricted-v2", names.VERDICT: "fits"}
    kubectl("create", "-f", "-", input=json.dumps(pod("web", namespace, annotations={"team": "shop", **written})))
    holder = As(api, namespace, f"holder-of-the-verb-{namespace}")
    writer = As(api, namespace, f"pod-writer-{namespace}")
    eventually(lambda: holder.annotate("pods/web", {names.REASON: "x"}).status_code == 200)
    eventually(lambda: holder.annotate("pods/web", {names.REASON: None}).status_code == 200)
    eventually(lambda: writer.annotate("pods/web", {"team": "shop"}).status_code == 200)
    yield namespace
    kubectl("delete", "--ignore-not-found", "-f", "-", input=json.dumps({"kind": "List", "apiVersion": "v1", "items": wide}))


def refused(response: Any, key: str) -> None:
    """Assert that a request was refused with a text that names the annotation and the way out."""
    assert response.status_code == 403, response.text
    text = response.json()["message"]
    assert key in text
    assert "leave them as they are" in text


@pytest.mark.parametrize("rank", REFUSED)
@pytest.mark.parametrize("path", ["pods/web", "pods/web/status"])
def test_annotations_stay_as_the_audit_wrote_them(api: pykube.HTTPClient, home: str, rank: str, path: str) -> None:
    """Nobody below the right sets, changes or removes one, by way of the pod or its status; a Role with `*` is below."""
    user = As(api, home, f"{rank}-{home}")
    for key, value in FORGED.items():
        refused(user.annotate(path, {key: value}), key)
    for key in (names.SCC_ANNOTATION, names.VERDICT):
        refused(user.annotate(path, {key: None}), key)


@pytest.mark.parametrize("rank", REFUSED)
def test_every_kind_of_write(kubectl: Kubectl, api: pykube.HTTPClient, home: str, rank: str) -> None:
    """A replacement, a server-side apply, a JSON patch and a strategic merge patch are refused like a merge patch."""
    user = As(api, home, f"{rank}-{home}")
    whole = kubectl.json("pod", "web", "-n", home)
    whole["metadata"]["annotations"][names.SCC_ANNOTATION] = "privileged"
    refused(user("PUT", "pods/web", whole), names.SCC_ANNOTATION)
    refused(user("PUT", "pods/web/status", whole), names.SCC_ANNOTATION)
    applied = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "annotations": {names.VERDICT: "x"}}}
    way = "pods/web?fieldManager=somebody&force=true"
    refused(user("PATCH", way, applied, "application/apply-patch+yaml"), names.VERDICT)
    path = f"/metadata/annotations/{names.VERDICT.replace('/', '~1')}"
    refused(user("PATCH", "pods/web", [{"op": "remove", "path": path}], "application/json-patch+json"), names.VERDICT)
    strategic = {"metadata": {"annotations": {"$patch": "replace", "team": "shop"}}}
    refused(user("PATCH", "pods/web", strategic, "application/strategic-merge-patch+json"), names.VERDICT)


@pytest.mark.parametrize("rank", REFUSED)
def test_subresources_that_take_a_pod(kubectl: Kubectl, api: pykube.HTTPClient, home: str, rank: str) -> None:
    """Through ephemeralcontainers and resize no annotation arrives; what these are for goes on to work."""
    user = As(api, home, f"{rank}-{home}")
    before = kubectl.annotations("pod", "web", home)
    debug = {"name": f"debug-{rank[:3]}", "image": "registry.example/debug", "targetContainerName": "main"}
    cpu = {"name": "main", "resources": {"requests": {"cpu": "1m"}, "limits": {"cpu": "1m"}}}
    for way, spec in (
        ("ephemeralcontainers", {"ephemeralContainers": [debug]}),
        ("resize", {"containers": [cpu]}),
    ):
        body = {"metadata": {"annotations": FORGED}, "spec": spec}
        user("PATCH", f"pods/web/{way}", body, "application/strategic-merge-patch+json")
        assert kubectl.annotations("pod", "web", home) == before
    added = user(
        "PATCH",
        "pods/web/ephemeralcontainers",
        {"spec": {"ephemeralContainers": [debug]}},
        "application/strategic-merge-patch+json",
    )
    assert added.status_code == 200, added.text


@pytest.mark.parametrize("rank", REFUSED)
@pytest.mark.parametrize("path", ["pods/waiting/binding", "bindings"])
def test_a_binding_brings_no_annotation(
    kubectl: Kubectl, api: pykube.HTTPClient, home: str, rank: str, path: str
) -> None:
    """Annotations of a Binding become the pod's, so one with the audit's keys is refused, and any other one binds."""
    user = As(api, home, f"{rank}-{home}")
    kubectl.apply(pod("waiting", home, schedulerName="nobody"))
    node = kubectl.json("nodes")["items"][0]["metadata"]["name"]
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "waiting", "annotations": FORGED},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
    refused(user("POST", path, body), names.SCC_ANNOTATION)
    body["metadata"]["annotations"] = {"scheduled-by": "hand"}
    bound = user("POST", path, body)
    assert bound.status_code == 201, bound.text
    assert kubectl.annotations("pod", "waiting", home)["scheduled-by"] == "hand"


def test_who_may(kubectl: Kubectl, api: pykube.HTTPClient, home: str) -> None:
    """Whoever holds the verb, under whatever name, may write them; so may the cluster's administrator."""
    holder = As(api, home, f"holder-of-the-verb-{home}")
    for path in ("pods/web", "pods/web/status"):
        assert holder.annotate(path, FORGED).status_code == 200
        assert holder.annotate(path, dict.fromkeys(FORGED)).status_code == 200
    kubectl("annotate", "pod", "web", "-n", home, "scc-operator.io/verdict=by-the-administrator")


def test_the_account_of_the_operator_may(api: pykube.HTTPClient, home: str) -> None:
    """The rights that are installed with the operator are enough for its own way, the status, and for no other."""
    account = As(api, home, "system:serviceaccount:scc-operator:scc-operator")
    assert account.annotate("pods/web/status", FORGED).status_code == 200
    assert account.annotate("pods/web", FORGED).status_code == 403


def test_ordinary_work_goes_on(kubectl: Kubectl, api: pykube.HTTPClient, home: str) -> None:
    """Other annotations, labels and the status stay free, for people, for kubelets, and with a stale copy a conflict."""
    user = As(api, home, f"pod-writer-{home}")
    stale = kubectl.json("pod", "web", "-n", home)
    assert user.annotate("pods/web", {"team": "billing", "note": "x"}).status_code == 200
    assert user.annotate("pods/web", {"note": None}).status_code == 200
    assert user("PATCH", "pods/web", {"metadata": {"labels": {"tier": "front"}}}, MERGE).status_code == 200
    assert user("PATCH", "pods/web/status", {"status": {"message": "x"}}, MERGE).status_code == 200
    stale["metadata"]["annotations"][names.VERDICT] = "denied"
    assert user("PUT", "pods/web", stale).status_code == 409
    node = kubectl.json("pod", "web", "-n", home)["spec"]["nodeName"]
    kubelet = As(api, home, f"system:node:{node}", names.NODES)
    assert kubelet("PATCH", "pods/web/status", {"status": {"message": "y"}}, MERGE).status_code == 200
    refused(kubelet.annotate("pods/web/status", {names.VERDICT: "fits"}), names.VERDICT)


def test_a_pod_full_of_annotations(kubectl: Kubectl, api: pykube.HTTPClient, home: str) -> None:
    """As many annotations as a pod can hold neither let a forgery through nor stop the audit or a kubelet."""
    many = {f"{number:x}": "" for number in range(45_000)}
    user, holder = As(api, home, f"pod-writer-{home}"), As(api, home, f"holder-of-the-verb-{home}")
    made = user("POST", "pods", pod("full", home, annotations=many))
    assert made.status_code == 201, made.text
    node = kubectl.json("nodes")["items"][0]["metadata"]["name"]
    kubelet = As(api, home, f"system:node:{node}", names.NODES)
    assert kubelet("PATCH", "pods/full/status", {"status": {"message": "y"}}, MERGE).status_code in {200, 403}
    assert user("PATCH", "pods/full/status", {"status": {"message": "x"}}, MERGE).status_code == 200
    assert holder.annotate("pods/full/status", {names.VERDICT: "fits"}).status_code == 200
    assert user.annotate("pods/full", {names.VERDICT: "denied"}).status_code in {403, 422}
    assert kubectl.annotations("pod", "full", home)[names.VERDICT] == "fits"


def test_a_copy_is_created_and_then_judged(
    start_operator: Callable[..., OperatorProcess], kubectl: Kubectl, api: pykube.HTTPClient, home: str
) -> None:
    """A pod that arrives with copied annotations is let in, and the audit overwrites what they claim."""
    user = As(api, home, f"pod-writer-{home}")
    copy = pod("copy", home, annotations={**FORGED, "team": "shop"})
    made = user("POST", "pods", copy)
    assert made.status_code == 201, made.text
    assert kubectl.annotations("pod", "copy", home)[names.SCC_ANNOTATION] == "privileged"
    operator = start_operator()
    expect(kubectl, home, {"copy": completed("restricted-v2"), "web": completed("restricted-v2")})
    found = kubectl.annotations("pod", "copy", home)
    assert "forged" not in {found.get(key) for key in names.POD_ANNOTATIONS}
    assert found["team"] == "shop"
    assert operator.stop() == 0
