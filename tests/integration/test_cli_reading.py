"""`kubectl scc` reads a real API server: beside the operator and without it, with few rights, as a plugin."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster import launcher
from tests.integration.cli_support import CLI
from tests.integration.support import Kubectl, OperatorProcess, binding, eventually, pod, scc

PROBE = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "probe"},
    "spec": {
        "selector": {"matchLabels": {"app": "probe"}},
        "template": {
            "metadata": {"labels": {"app": "probe"}},
            "spec": {"containers": [{"name": "main", "image": "app", "securityContext": {"runAsUser": 65534}}]},
        },
    },
}


@pytest.fixture
def run(cluster: launcher.Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CLI:
    """Run `kubectl scc` against the test cluster."""
    return CLI(cluster, monkeypatch, capsys)


@pytest.fixture
def shop(operator: OperatorProcess, kubectl: Kubectl, namespace: str) -> Iterator[str]:
    """A namespace with a pod that lives on a grant of its own SCC, one that is denied, one that asks for nothing."""
    del operator  # it has to run
    name = f"nfs-{namespace}"
    kubectl.apply(
        scc(name, priority=9, runAsUser={"type": "MustRunAs", "uid": 65534}),
        binding("files", namespace, [name], {"kind": "ServiceAccount", "name": "files"}),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "files", "namespace": namespace}},
    )
    user = {"securityContext": {"runAsUser": 65534}}
    eventually(lambda: kubectl("auth", "can-i", "use", f"scc/{name}", "-n", namespace,
               as_user=f"system:serviceaccount:{namespace}:files", check=False).returncode == 0)  # fmt: skip
    kubectl.apply(
        pod("files", namespace, container=user, serviceAccountName="files"),
        pod("denied", namespace, container=user),
        pod("web", namespace),
    )
    eventually(lambda: kubectl.audit("files", namespace)[0] == name)
    eventually(lambda: kubectl.audit("denied", namespace)[1] == "denied")
    eventually(lambda: kubectl.audit("web", namespace)[0] == "restricted-v2")
    yield namespace
    kubectl("delete", "scc", name)


def test_review_gives_the_answers_that_the_operator_wrote(run: CLI, kubectl: Kubectl, shop: str) -> None:
    """The same engine: SCC, verdict and what would be set are those of the pods' annotations."""
    found = json.loads(run("review", "-n", shop, "-o", "json", code=2).stdout)["items"]
    assert {each["workload"] for each in found} == {"Pod/files", "Pod/denied", "Pod/web"}
    for each in found:
        name = each["workload"].removeprefix("Pod/")
        annotations = kubectl.annotations("pod", name, shop)
        assert each["scc"] == annotations.get("openshift.io/scc", "")
        assert each["result"] == annotations["scc-operator.io/verdict"]
        fields = {entry["field"] for entry in each["wouldSet"]}
        assert fields == set(filter(None, annotations.get("scc-operator.io/would-set", "").split(",")))


def test_explain_names_the_grant_and_the_fix(run: CLI, shop: str) -> None:
    """A pod that fits is told through which SCC binding; a denied one what to change."""
    fits = run("explain", "pod/files", "-n", shop).stdout
    assert f"nfs-{shop} (fits-with-defaults)" in fits
    assert f"SCCBinding {shop}/files" in fits
    denied = run("explain", "pod/denied", "-n", shop, code=2).stdout
    assert "remove spec.containers[0].securityContext.runAsUser (65534)" in denied


@pytest.mark.usefixtures("operator")
def test_an_explained_patch_works(run: CLI, kubectl: Kubectl, namespace: str) -> None:
    """The command that is printed for a workload, run as it stands, gets its pods admitted."""
    kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(PROBE))
    eventually(
        lambda: kubectl.json("namespace", namespace)["metadata"].get("annotations", {}).get("openshift.io/sa.scc.mcs")
    )
    found = json.loads(run("explain", "deployment/probe", "-n", namespace, "-o", "json", code=2).stdout)
    (change,) = [each for each in found["waysOut"] if each["kind"] == "change-pod"]
    (command,) = change["commands"]
    assert change["recommended"]
    words = ["kubectl", "--kubeconfig", str(kubectl.kubeconfig)]
    subprocess.run(command.replace("kubectl ", " ".join(words) + " ", 1), shell=True, check=True, capture_output=True)
    run("review", "deployment/probe", "-n", namespace)


@pytest.mark.usefixtures("operator")
def test_a_new_scc_that_is_explained_works(run: CLI, kubectl: Kubectl, namespace: str) -> None:
    """Applied and granted as printed, the smallest SCC becomes the pod's own."""
    kubectl.apply(pod("raw", namespace, hostNetwork=True, volumes=[{"name": "d", "nfs": {"server": "s", "path": "/"}}]))
    eventually(lambda: kubectl.audit("raw", namespace)[1] == "denied")
    found = json.loads(run("explain", "pod/raw", "-n", namespace, "-o", "json", code=2).stdout)
    (new,) = [each for each in found["waysOut"] if each["kind"] == "new-scc"]
    kubectl("apply", "-f", "-", input=new["manifest"])
    (command,) = new["commands"]
    run(*command.split()[2:])
    eventually(lambda: kubectl.audit("raw", namespace)[0] == f"{namespace}-default")
    kubectl("delete", "scc", f"{namespace}-default")


def test_who_can_and_can_show_paths_and_unused_grants(run: CLI, kubectl: Kubectl, shop: str) -> None:
    """The SCC binding is the path, its pod is counted, and a second subject without pods is unused."""
    kubectl("create", "rolebinding", "more", f"--clusterrole=system:openshift:scc:nfs-{shop}", "--user=bob", "-n", shop)
    lines = run("who-can", "use", f"nfs-{shop}", "-n", shop, "--no-headers").stdout.splitlines()
    rows = [line.split() for line in lines]
    assert ["ServiceAccount", f"{shop}/files", shop, "1", "SCCBinding", f"{shop}/files"] in rows
    assert ["User", "bob", shop, "unused", "RoleBinding", f"{shop}/more"] in rows
    can = json.loads(run("can", "-z", "files", "-n", shop, "-o", "json").stdout)["items"]
    own = [(each["scc"], each["through"], each["pods"]) for each in can if not each["byCreator"]]
    assert own == [(f"nfs-{shop}", f"SCCBinding {shop}/files", 1)]


def test_get_and_describe(run: CLI, shop: str) -> None:
    """Order and effective access, from the live cluster."""
    names = run("get", "-o", "name").stdout.split()
    assert names.index(f"securitycontextconstraints.security.openshift.io/nfs-{shop}") == 1
    text = run("describe", f"nfs-{shop}", "-n", shop).stdout
    assert "after anyuid (has higher priority)" in text
    assert f"SCCBinding {shop}/files" in text


def test_a_snapshot_answers_as_the_cluster_did(run: CLI, shop: str, tmp_path: Path) -> None:
    """Every reading command gives the same text from a snapshot, also one of a single namespace."""
    whole, part = str(tmp_path / "whole.tar.gz"), str(tmp_path / "part.tar.gz")
    run("snapshot", whole)
    run("snapshot", part, "-n", shop)
    for arguments, code in (
        (["review", "-n", shop], 2),
        (["explain", "pod/denied", "-n", shop], 2),
        (["who-can", "use", f"nfs-{shop}", "-n", shop], 0),
        (["can", "-z", "files", "-n", shop], 0),
        (["describe", f"nfs-{shop}", "-n", shop], 0),
    ):
        live = run(*arguments, code=code).stdout
        assert run(*arguments, "--snapshot", whole, code=code).stdout == live
        assert run(*arguments, "--snapshot", part, code=code).stdout == live


def test_reading_rights_of_a_namespace_are_enough(run: CLI, kubectl: Kubectl, shop: str) -> None:
    """Somebody who may read one namespace, SCCs and cluster-wide RBAC, and write nothing, gets answers there."""
    kubectl("create", "rolebinding", "view", "--clusterrole=view", "--user=carol", "-n", shop)
    rules = {
        "rules": [
            {"apiGroups": ["security.openshift.io"], "resources": ["*"], "verbs": ["get", "list"]},
            {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
        ]
    }
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"r-{shop}"},
        **rules,
    }
    kubectl.apply(role)
    kubectl("create", "clusterrolebinding", f"r-{shop}", f"--clusterrole=r-{shop}", "--user=carol")
    assert "restricted-v2" in run("review", "-n", shop, "--as", "carol", code=2).stdout
    kubectl("delete", "clusterrolebinding,clusterrole", f"r-{shop}")


def test_what_may_not_be_read_makes_it_undecidable(run: CLI, namespace: str) -> None:
    """The kind, the scope, the user and the way out are named, and the exit code is 3."""
    result = run(
        "who-can", "use", "anyuid", "-n", namespace, "--as", "nobody", "--as-group", "system:authenticated", code=3
    )
    assert result.stdout == ""
    assert "may not be read in the whole cluster for nobody" in result.stderr
    assert "ask for a role that reads it" in result.stderr


@pytest.mark.usefixtures("namespace")
def test_groups_are_impersonated_too(run: CLI) -> None:
    """Each --as-group is a header of its own."""
    groups = ("--as-group", "dev", "--as-group", "system:masters", "--as-group", "system:authenticated")
    assert "anyuid" in run("get", "--as", "nobody", *groups).stdout


def test_a_cluster_that_does_not_answer(run: CLI, tmp_path: Path) -> None:
    """The server is named, and the ways to work without it."""
    text = (
        "{apiVersion: v1, kind: Config, current-context: c, "
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], "
        "contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}]}"
    )
    (tmp_path / "config").write_text(text)
    result = run("get", "--kubeconfig", str(tmp_path / "config"), code=1)
    assert "cluster http://127.0.0.1:1 does not answer" in result.stderr
    assert "--snapshot" in result.stderr


def test_credential_plugins(run: CLI, tmp_path: Path) -> None:
    """One that fails is told with what it said; the current context is taken from the kubeconfig."""
    text = (
        "{apiVersion: v1, kind: Config, current-context: c, "
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], "
        "contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {exec: "
        "{apiVersion: client.authentication.k8s.io/v1, command: sh, args: ['-c', 'echo no ticket >&2; exit 3'], "
        "interactiveMode: Never}}}]}"
    )
    (tmp_path / "config").write_text(text)
    result = run("get", "--kubeconfig", str(tmp_path / "config"), code=1)
    assert "cannot log in" in result.stderr
    assert "no ticket" in result.stderr
    result = run("get", "--context", "missing", code=1)
    assert "missing" in result.stderr


def test_a_namespace_that_is_not_there_yet(run: CLI) -> None:
    """Its pods are judged with ranges that are said to be assumed."""
    manifest = json.dumps(PROBE | {"metadata": {"name": "probe", "namespace": "not-yet"}})
    result = run("review", "-f", "-", stdin=manifest, code=2)
    assert "namespace not-yet does not exist" in result.stderr


def test_it_is_a_plugin_of_kubectl(cluster: launcher.Cluster, tmp_path: Path) -> None:
    """With `kubectl-scc` on PATH `kubectl scc` works, and `kubectl __complete scc` asks for completions."""
    for name, module in (("kubectl-scc", "app"), ("kubectl_complete-scc", "complete")):
        script = tmp_path / name
        script.write_text(f"#!{sys.executable}\nfrom scc_operator.cli.{module} import main\nmain()\n")
        script.chmod(0o755)
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    program = str(launcher.kubectl_path())
    for arguments, expected in (
        (["scc", "get", "-o", "name"], "securitycontextconstraints.security.openshift.io/anyuid"),
        (["__complete", "scc", "describe", "any"], "anyuid"),
    ):
        done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=True)
        assert expected in done.stdout.splitlines()
