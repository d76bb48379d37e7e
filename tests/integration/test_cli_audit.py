"""The verbs of `kubectl scc` that look at the whole cluster, on a real API server: what they say comes true."""

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from tests.cluster import launcher
from tests.integration.cli_support import CLI
from tests.integration.support import (
    ROOT,
    SERVICE_ACCOUNT,
    Kubectl,
    OperatorProcess,
    binding,
    completed,
    denied,
    expect,
    pod,
    rbac,
    role_ref,
    scc,
)

NFS = {"name": "data", "nfs": {"server": "nfs.example", "path": "/"}}
USER = {"securityContext": {"runAsUser": 65534}}
Temporary = Callable[..., None]


@pytest.fixture
def run(cluster: launcher.Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CLI:
    """Run `kubectl scc` against the test cluster."""
    return CLI(cluster, monkeypatch, capsys)


@pytest.fixture
def shop(operator: OperatorProcess, kubectl: Kubectl, namespace: str, temporary: Temporary) -> str:
    """A namespace with an SCC of its own, a pod that fits it, one that is denied and an ordinary one, all judged."""
    del operator  # it has to run
    name = f"nfs-{namespace}"
    temporary(scc(name, runAsUser={"type": "MustRunAs", "uid": 65534}))
    kubectl.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "files", "namespace": namespace}},
        binding("files", namespace, [name], {"kind": "ServiceAccount", "name": "files"}),
        pod("files", namespace, container=USER, serviceAccountName="files", volumes=[NFS]),
        pod("lost", namespace, container=USER),
        pod("web", namespace),
    )
    expect(
        kubectl,
        namespace,
        {"files": completed(name), "lost": denied("RunAsUserOutOfRange"), "web": completed("restricted-v2")},
    )
    return namespace


def answers(run: CLI, namespace: str, *options: str, code: int = 0) -> dict[str, tuple[str, str, str, tuple[str, ...]]]:
    """Verdict, SCC, reason and what would be set, by workload, as `audit` tells them."""
    done = run("audit", "-n", namespace, "-o", "json", *options, code=code)
    return {
        each["workload"]: (each["verdict"], each["scc"], each["reason"], tuple(each["wouldSet"]))
        for each in json.loads(done.stdout)["items"]
    }


def test_audit_says_what_the_operator_wrote_and_computes_the_same(run: CLI, shop: str) -> None:
    """One engine: the annotations and an answer made on the spot do not differ."""
    written = answers(run, shop, code=2)
    assert {workload: verdict for workload, (verdict, *_) in written.items()} == {
        "Pod/files": "fits-with-defaults",
        "Pod/lost": "denied",
        "Pod/web": "fits-with-defaults",
    }
    assert answers(run, shop, "--computed", code=2) == written


def test_what_impact_foretells_happens(run: CLI, kubectl: Kubectl, shop: str) -> None:
    """A binding is changed: before it is applied, impact names the pods that then move, and where to."""
    nfs = f"nfs-{shop}"
    change = binding("files", shop, [nfs, "anyuid"], {"kind": "ServiceAccount", "name": "default"})
    done = run("impact", "-f", "-", "-o", "json", stdin=yaml.safe_dump(change), code=2)
    foretold = {each["workload"]: (each["before"], each["after"]) for each in json.loads(done.stdout)["items"]}
    assert foretold == {
        "Pod/files": (nfs, "denied"),
        "Pod/lost": ("denied", "anyuid"),
        "Pod/web": ("restricted-v2", "anyuid"),
    }
    kubectl.apply(change)
    expect(
        kubectl,
        shop,
        {"files": denied("VolumeTypeNotAllowed"), "lost": completed("anyuid"), "web": completed("anyuid")},
    )
    nothing = run("impact", "-f", "-", stdin=yaml.safe_dump(change))
    assert "nothing moves" in nothing.stdout


def test_impact_of_a_deletion(run: CLI, shop: str) -> None:
    """An SCC is named and stays: only the answer is given."""
    done = run("impact", "--delete", f"scc/nfs-{shop}", "-n", shop, code=2)
    assert "Denied on their next start: 1 pod" in done.stdout
    assert "nfs data" in done.stdout
    run("describe", f"nfs-{shop}")


def test_what_is_recommended_admits_the_pods(run: CLI, kubectl: Kubectl, shop: str, temporary: Temporary) -> None:
    """The manifests are applied as they are printed, and the denied pod gets that SCC."""
    kubectl.apply(pod("host", shop, container=USER, hostPID=True, serviceAccountName="files"))
    expect(kubectl, shop, {"host": denied("HostPIDNotAllowed")})
    manifests = run("recommend", "files", "default", "-n", shop, "-o", "manifests", code=2).stdout
    objects = [each for each in yaml.safe_load_all(manifests) if each]
    temporary(*(each for each in objects if each["kind"] == "SecurityContextConstraints"))
    kubectl.apply(*(each for each in objects if each["kind"] == "SCCBinding"))
    expect(kubectl, shop, {"host": completed(f"{shop}-files"), "lost": completed("nonroot-v2")})


@pytest.mark.usefixtures("operator")
def test_what_lint_prints_repairs_the_scc(run: CLI, kubectl: Kubectl, namespace: str, temporary: Temporary) -> None:
    """Every command that patches the SCC is run as printed; afterwards nothing is left to say about its fields."""
    name = f"lint-{namespace}"
    temporary(
        scc(
            name,
            priority=3,
            groups=["system:authenticated", "team", "system:serviceaccount:a:b"],
            allowedCapabilities=["CAP_NET_ADMIN"],
            requiredDropCapabilities=["All"],
            volumes=["hostPath", "secret"],
        )
    )

    def found() -> list[dict[str, Any]]:
        done = run("audit", "--lint", "-o", "json", "--exit-zero")
        return [each for each in json.loads(done.stdout)["items"] if each["scc"] == name]

    codes = {each["code"] for each in found()}
    assert codes == {
        "AllSpelling", "CapabilityPrefix", "GrantedToEverybody", "HostPathIgnored", "PriorityForEverybody",
        "ServiceAccountAsGroup",
    }  # fmt: skip
    while problems := [each for each in found() if each["commands"][0].startswith("kubectl patch")]:
        kubectl(*shlex.split(problems[0]["commands"][0])[1:])
    assert kubectl.json("scc", name)["groups"] == ["team"]


def test_the_default_sccs_are_what_is_shipped(run: CLI, shop: str) -> None:
    """Compared by meaning, an SCC in the cluster equals its namesake that is shipped."""
    del shop
    assert "allows the same as" in run("compare", "restricted-v2", "shipped/restricted-v2").stdout
    run("compare", "anyuid", "restricted-v2", code=2)


def test_ranges_are_those_of_the_ledger(run: CLI, kubectl: Kubectl, shop: str) -> None:
    """The namespace is there with its block, and the cluster's own ledger says how many are taken."""
    found = json.loads(run("ranges", shop, "-o", "json").stdout)
    (row,) = found["namespaces"]
    annotations = kubectl.annotations("namespace", shop)
    assert (row["state"], row["uidRange"]) == ("ok", annotations["openshift.io/sa.scc.uid-range"])
    assert found["recorded"]
    assert found["taken"] >= 1


def test_diagnose_finds_what_refuses_the_pod(run: CLI, kubectl: Kubectl, shop: str) -> None:
    """A pod that its SCC admits and the namespace's Pod Security label would refuse."""
    kubectl("label", "namespace", shop, "pod-security.kubernetes.io/enforce=restricted")
    done = run("diagnose", "pod/files", "-n", shop, "-o", "json", code=2)
    found = {each["code"]: each for each in json.loads(done.stdout)["checks"]}
    assert found["PodSecurity"]["status"] == "problem"
    assert "a volume of type nfs" in found["PodSecurity"]["facts"]
    assert found["VolumeOwner"]["status"] == "look"
    refused = kubectl("apply", "-f", "-", input=yaml.safe_dump(pod("again", shop, volumes=[NFS])), check=False)
    assert refused.returncode != 0
    assert "nfs" in refused.stderr


def test_the_view_role_is_enough(run: CLI, shop: str, temporary: Temporary) -> None:
    """Somebody who may only read gets every answer."""
    role = yaml.safe_load((ROOT / "manifests/controller/role-for-readers.yaml").read_text(encoding="utf-8"))
    subject = {"kind": "User", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}
    name = f"reader-{shop}"
    temporary(
        {**role, "metadata": {"name": name}},
        rbac("ClusterRoleBinding", name, roleRef=role_ref("ClusterRole", name), subjects=[subject]),
    )
    change = binding("files", shop, ["anyuid"], SERVICE_ACCOUNT)
    asked = (
        (("audit", "-n", shop), "", 2),
        (("audit", "--lint", "--exit-zero"), "", 0),
        (("compare", "restricted-v2", "anyuid"), "", 0),
        (("impact", "-f", "-"), yaml.safe_dump(change), 2),
        (("recommend", "-n", shop), "", 2),
        (("ranges", shop), "", 0),
        (("diagnose", "pod/lost", "-n", shop), "", 2),
    )
    for arguments, stdin, code in asked:
        done = run(*arguments, "--as", "reader", stdin=stdin, code=code)
        assert "may not be read" not in done.stderr, arguments


def test_a_snapshot_gives_the_same_answers(run: CLI, shop: str, tmp_path: Any) -> None:
    """What the cluster says, its snapshot says too."""
    path = str(tmp_path / "cluster.tar.gz")
    run("snapshot", path, "-o", "name")
    change = yaml.safe_dump(binding("files", shop, ["anyuid"], SERVICE_ACCOUNT))
    for arguments, stdin in (
        (("audit", "-n", shop, "-o", "json", "--exit-zero"), ""),
        (("impact", "-n", shop, "-f", "-", "-o", "json", "--exit-zero"), change),
        (("recommend", "-n", shop, "-o", "json", "--exit-zero"), ""),
        (("diagnose", "pod/files", "-n", shop, "-o", "json", "--exit-zero"), ""),
    ):
        live = json.loads(run(*arguments, stdin=stdin).stdout)
        stored = json.loads(run(*arguments, "--snapshot", path, stdin=stdin).stdout)
        assert stored == live, arguments
