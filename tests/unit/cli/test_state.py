"""The verbs that look at a whole cluster, on a snapshot of one: golden files, and what the options do."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.cli.conftest import DATA, Result, Run
from tests.unit.engine.builders import DEFAULT_SCCS

from scc_operator.cli import kinds
from scc_operator.cli.sources import SNAPSHOT_VERSION, SnapshotInfo, write_snapshot

Json = dict[str, Any]
State = Callable[..., Result]

GOLDEN = {
    "audit.txt": ("audit -A", 2),
    "audit-by-verdict.txt": ("audit -A --by verdict", 2),
    "audit-by-namespace.txt": ("audit -A --by namespace", 2),
    "audit-by-workload.txt": ("audit -A --by workload -o wide", 2),
    "audit.json": ("audit -n data -o json", 0),
    "lint.txt": ("audit --lint -f lint.yaml", 2),
    "lint.json": ("audit --lint -f lint.yaml -o json", 2),
    "compare.txt": ("compare restricted-v2 nfs", 2),
    "compare-inside.txt": ("compare nfs anyuid -n shop -o wide", 2),
    "compare.yaml": ("compare hostnetwork-v2 shipped/privileged -o yaml", 0),
    "impact.txt": ("impact -f change.yaml", 2),
    "impact-wide.txt": ("impact -f change.yaml -o wide --no-headers", 2),
    "impact.json": ("impact -f change.yaml -o json", 2),
    "impact-delete.txt": ("impact --delete scc/anyuid ns/shop", 2),
    "recommend.txt": ("recommend -A", 2),
    "recommend.json": ("recommend -A -o json", 2),
    "recommend-manifests.yaml": ("recommend -A -o manifests", 2),
    "ranges.txt": ("ranges", 2),
    "ranges.json": ("ranges -o json", 2),
    "diagnose-web.txt": ("diagnose pod/web-6f5-a -n shop", 0),
    "diagnose-db.txt": ("diagnose pod/db-1 -n data", 2),
    "diagnose-named.txt": ("diagnose named -n shop", 2),
    "diagnose.json": ("diagnose pod/named -n shop -o json", 2),
}


def take_snapshot(path: Path, objects: Iterable[Json]) -> None:
    """Write a snapshot of a cluster that holds the default SCCs and these objects."""
    defaults = (DEFAULT_SCCS, DEFAULT_SCCS.with_name("default_scc_rbac.yaml"))
    shipped = [raw for file in defaults for raw in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
    found: dict[kinds.ObjectKind, list[Json]] = {kind: [] for kind in kinds.SNAPSHOT}
    for raw in (*shipped, *objects):
        kind = kinds.kind_of(raw or {})
        if kind is not None:
            found[kind].append(raw)
    write_snapshot(str(path), SnapshotInfo(SNAPSHOT_VERSION, "https://cluster", "2026-01-01T00:00:00Z", ()), found)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of what `state.yaml` holds."""
    path = tmp_path_factory.mktemp("snapshot") / "cluster.tar.gz"
    take_snapshot(path, yaml.safe_load_all((DATA / "state.yaml").read_text(encoding="utf-8")))
    return path


@pytest.fixture
def state(run: Run, snapshot: Path) -> State:
    """Run a command on the snapshot."""

    def call(*arguments: str, stdin: str = "") -> Result:
        result = run(*arguments, "--snapshot", str(snapshot), stdin=stdin)
        return Result(result.code, result.out.replace(str(snapshot), "SNAPSHOT"), result.err)

    return call


@pytest.mark.parametrize("name", GOLDEN)
def test_output(state: State, golden: Callable[[str, str], None], name: str) -> None:
    """The same question prints the same text, and ends with the same exit code."""
    arguments, code = GOLDEN[name]
    result = state(*arguments.split())
    assert (result.code, result.err.replace("\n", "")[:6]) in {(code, ""), (code, "note: ")}, result.err
    golden(name, result.out)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("compare restricted-v2 nobody", 'securitycontextconstraints "nobody" not found'),
        ("compare restricted-v2 shipped/nobody", "no default SCC of this name is shipped"),
        ("compare restricted-v2 anyuid -n nowhere", 'namespaces "nowhere" not found'),
        ("impact", "say what changes"),
        ("impact scc/nfs", "objects are named to be deleted; use --delete"),
        ("impact --delete scc/nobody", '"nobody" not found: it cannot be deleted'),
        ("impact --delete pod/web", "write TYPE/NAME with TYPE one of scc"),
        ("impact -f deploy.yaml", "the files hold nothing that decides about SCCs"),
        ("recommend nobody -A", "found no pods of service account nobody"),
        ("ranges nowhere", 'namespaces "nowhere" not found'),
        ("diagnose deployment/web -n shop", "only pods are diagnosed"),
        ("diagnose pod/nobody -n shop", 'pods "nobody" not found in namespace shop'),
    ],
)
def test_wrong_usage_names_the_way_out(state: State, arguments: str, expected: str) -> None:
    """One line on standard error, nothing on standard output, exit code 1."""
    result = state(*arguments.split())
    assert (result.code, result.out) == (1, "")
    assert expected in result.err


@pytest.mark.parametrize(
    "arguments, names",
    [
        ("audit -n data", "statefulset/db"),
        ("compare restricted-v2 nfs", "securitycontextconstraints.security.openshift.io/restricted-v2"),
        ("impact --delete scc/nfs", "pod/files-0"),
        ("recommend files -n shop", "serviceaccount/files"),
        ("ranges fresh", "namespace/fresh"),
        ("diagnose pod/named -n shop", "Admitted"),
    ],
)
def test_names_are_for_scripts(state: State, arguments: str, names: str) -> None:
    """With -o name every verb prints what it found and nothing else."""
    assert state(*arguments.split(), "-o", "name").out.splitlines()[0] == names


# --- audit ---------------------------------------------------------------------------------------------------------


def verdicts(result: Result) -> dict[str, tuple[str, str]]:
    """Verdict and SCC of each workload."""
    return {each["workload"]: (each["verdict"], each["scc"]) for each in json.loads(result.out)["items"]}


def test_answers_of_the_operator_are_believed_unless_computed(state: State) -> None:
    """What stands on a pod is shown; --computed judges anew."""
    items = json.loads(state("audit", "-n", "data", "-o", "json").out)["items"]
    assert [(each["pods"], each["fromAnnotations"]) for each in items] == [(1, True), (1, False)]
    assert items[0]["wouldSet"] == ["seLinuxOptions"]
    items = json.loads(state("audit", "-n", "data", "-o", "json", "--computed").out)["items"]
    assert [(each["pods"], each["fromAnnotations"]) for each in items] == [(2, False)] or len(items) == 2
    assert all("allowPrivilegeEscalation" not in each["wouldSet"] for each in items)


def test_a_mixed_audit_says_so(state: State) -> None:
    """Some pods were judged by the operator, some only now."""
    assert "note: 1 of 2 pods carry no answer of the operator yet: judged now" in state("audit", "-n", "data").err


def test_audit_ends_with_what_it_found(state: State) -> None:
    """0 where all is well, 2 for a denied pod, 3 for one that cannot be judged, 0 with --exit-zero."""
    assert [state("audit", "-n", each).code for each in ("data", "shop", "fresh")] == [0, 2, 3]
    assert state("audit", "-n", "shop", "--exit-zero").code == 0


def test_audit_of_an_empty_namespace(state: State) -> None:
    """There is nothing to tell, and it says so."""
    result = state("audit", "-n", "copy")
    assert (result.code, result.out) == (0, "no running pods in namespace copy\n")


def test_audit_takes_a_selector(state: State) -> None:
    """Only pods with these labels are looked at."""
    assert set(verdicts(state("audit", "-A", "-l", "app=web", "-o", "json"))) == {"Deployment/web"}


# --- impact --------------------------------------------------------------------------------------------------------


def impact(state: State, *change: Json, delete: bool = False) -> Json:
    """What a change would do."""
    result = state(
        "impact", "-f", "-", "-o", "json", *(["--delete"] if delete else []), stdin=yaml.safe_dump_all(change)
    )
    assert result.code in {0, 2}, result.err
    found: Json = json.loads(result.out)
    assert (result.code == 2) == bool(found["moved"])
    return found


def moves(found: Json) -> dict[str, tuple[str, str, str]]:
    """Effect, SCC before and SCC after, by workload."""
    return {each["workload"]: (each["effect"], each["before"], each["after"]) for each in found["items"]}


SCC_USE = {"apiGroups": ["security.openshift.io"], "resources": ["securitycontextconstraints"], "verbs": ["use"]}


def binding(name: str, role: str, account: str, namespace: str = "shop") -> Json:
    """A RoleBinding to a ClusterRole."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }


def test_the_cluster_as_it_is_moves_nothing(state: State) -> None:
    """Applying what is there is no change, and what decides nothing is left out."""
    objects = [raw for raw in yaml.safe_load_all((DATA / "state.yaml").read_text(encoding="utf-8")) if raw]
    found = impact(state, *objects)
    assert found["moved"] == 0
    assert {each["action"] for each in found["edits"]} == {"none"}
    assert any("decides about no SCC" in note for note in found["notes"])


def test_a_new_grant_of_the_pod_s_account(state: State) -> None:
    """The denied pod gets its SCC; nobody else moves."""
    found = impact(state, binding("probe", "system:openshift:scc:privileged", "probe"))
    assert moves(found) == {"DaemonSet/probe": ("other", "denied", "privileged")}


def test_a_binding_that_is_deleted(state: State) -> None:
    """The RBAC that the operator made of it goes with it."""
    scc_binding = {
        "apiVersion": "scc-operator.io/v1alpha1",
        "kind": "SCCBinding",
        "metadata": {"name": "nfs", "namespace": "shop"},
    }
    found = impact(state, scc_binding, delete=True)
    assert moves(found) == {"Pod/files-0": ("denied", "nfs", "denied")}
    assert found["items"][0]["volumes"] == [{"name": "data", "type": "nfs", "claim": ""}]


def test_a_new_scc_takes_effect_through_a_binding_that_waits_for_it(state: State, run: Run, tmp_path: Path) -> None:
    """A binding that names an SCC which does not exist grants it as soon as it does."""
    del state
    objects = [raw for raw in yaml.safe_load_all((DATA / "state.yaml").read_text(encoding="utf-8")) if raw]
    for raw in objects:
        if raw["kind"] == "SCCBinding":
            raw["spec"]["sccs"] = ["nfs", "host"]
            raw["spec"]["subjects"].append({"kind": "ServiceAccount", "name": "probe"})
    take_snapshot(tmp_path / "s.tar.gz", objects)
    host = {
        "apiVersion": "security.openshift.io/v1",
        "kind": "SecurityContextConstraints",
        "metadata": {"name": "host"},
        "allowHostNetwork": True,
        "allowHostPorts": True,
        "runAsUser": {"type": "RunAsAny"},
        "seLinuxContext": {"type": "RunAsAny"},
        "seccompProfiles": ["*"],
    }
    result = run(
        "impact", "-f", "-", "-o", "json", "--snapshot", str(tmp_path / "s.tar.gz"), stdin=yaml.safe_dump(host)
    )
    assert moves(json.loads(result.out))["DaemonSet/probe"] == ("other", "denied", "host")


def test_a_role_that_is_aggregated_into_another(state: State, run: Run, tmp_path: Path) -> None:
    """The control plane fills aggregated ClusterRoles; a new role with the label grants through them."""
    del state
    objects = [raw for raw in yaml.safe_load_all((DATA / "state.yaml").read_text(encoding="utf-8")) if raw]
    selectors = [
        {"matchLabels": {"to": "team"}},
        {
            "matchExpressions": [
                {"key": "to", "operator": "In", "values": ["crew"]},
                {"key": "not", "operator": "DoesNotExist"},
            ]
        },
    ]
    team = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "team"},
        "aggregationRule": {"clusterRoleSelectors": selectors},
    }
    take_snapshot(tmp_path / "s.tar.gz", [*objects, team, binding("team", "team", "probe")])
    for labels, expected in (({"to": "team"}, 1), ({"to": "crew"}, 1), ({"to": "crew", "not": "x"}, 0), ({}, 0)):
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "all-sccs", "labels": labels},
            "rules": [SCC_USE],
        }
        result = run(
            "impact", "-f", "-", "-o", "json", "--snapshot", str(tmp_path / "s.tar.gz"), stdin=yaml.safe_dump(role)
        )
        assert json.loads(result.out)["moved"] == expected, labels


def test_completed_pods_are_judged_by_their_template(state: State) -> None:
    """A pod that carries what admission filled in starts without it next time."""
    found = impact(state, binding("web", "system:openshift:scc:anyuid", "default"))
    (web,) = found["items"]
    assert (web["workload"], web["effect"], web["after"]) == ("Deployment/web", "identity-and-volumes", "anyuid")
    assert {"field": "runAsUser", "before": "1000010000", "after": "the image's"} in web["changes"]
    assert web["volumes"] == [{"name": "html", "type": "persistentVolumeClaim", "claim": "html"}]
    assert web["pods"] == ["web-6f5-a", "web-6f5-b"]


def test_a_namespace_keeps_the_annotations_that_a_change_does_not_name(state: State) -> None:
    """As `kubectl apply` does; a new range moves the pods that the namespace identifies."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "a"}}}
    assert impact(state, namespace)["moved"] == 0
    namespace["metadata"]["annotations"] = {"openshift.io/sa.scc.uid-range": "1000050000/10000"}  # type: ignore[index]
    (web,) = (each for each in impact(state, namespace)["items"] if each["workload"] == "Deployment/web")
    assert {"field": "runAsUser", "before": "1000010000", "after": "1000050000"} in web["changes"]


def test_impact_may_look_at_one_namespace(state: State) -> None:
    """With -n only that namespace's pods are judged."""
    found = json.loads(state("impact", "-f", "change.yaml", "-n", "data", "-o", "json").out)
    assert {each["namespace"] for each in found["items"]} == {"data"}


def test_ten_thousand_pods_in_seconds(run: Run, tmp_path: Path) -> None:
    """The cost grows with questions: 10,000 pods of 400 Deployments in 100 namespaces."""
    objects: list[Json] = []
    for number in range(100):
        values = {
            "openshift.io/sa.scc.uid-range": f"{1000000000 + number * 10000}/10000",
            "openshift.io/sa.scc.mcs": f"s0:c{number + 1},c0",
        }
        objects.append(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"n{number}", "annotations": values}}
        )
        for pod in range(100):
            owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"d{pod % 4}", "controller": True}
            objects.append(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": f"p{pod}", "namespace": f"n{number}", "ownerReferences": [owner]},
                    "spec": {
                        "serviceAccountName": f"sa{pod % 4}",
                        "containers": [{"name": "c", "image": "i", "securityContext": {"runAsNonRoot": pod % 2 == 0}}],
                    },
                }
            )
    take_snapshot(tmp_path / "s.tar.gz", objects)
    started = time.monotonic()
    result = run("impact", "-f", "change.yaml", "-o", "json", "--snapshot", str(tmp_path / "s.tar.gz"))
    seconds = time.monotonic() - started
    found = json.loads(result.out)
    assert (found["pods"], found["questions"], found["moved"]) == (10_000, 400, 10_000)
    assert seconds < 20, f"{seconds:.1f} s"


# --- recommend -----------------------------------------------------------------------------------------------------


def test_what_is_recommended_can_be_applied(state: State) -> None:
    """With the manifests laid over the cluster no pod of the accounts is denied."""
    manifests = state("recommend", "-A", "-o", "manifests").out
    found = json.loads(state("audit", "-A", "--computed", "-o", "json", "-f", "-", stdin=manifests).out)
    assert "denied" not in found["verdicts"]


def test_without_scc_bindings_plain_rbac_is_written(run: Run, golden: Callable[[str, str], None]) -> None:
    """For workloads of files, offline; their account gets a role and a binding where the kind is not served."""
    result = run("recommend", "-f", "deploy.yaml", "--offline", "-n", "shop")
    assert result.code == 2
    golden("recommend-files.txt", result.out)
