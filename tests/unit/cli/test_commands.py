"""How commands end, what they refuse, and what they may not load."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import yaml
from tests.unit.cli.conftest import Run

from scc_operator.cli import prune, sources
from scc_operator.cli.access import parse_subject
from scc_operator.cli.app import VERBS
from scc_operator.cli.complete import suggestions
from scc_operator.cli.errors import CLIError
from scc_operator.cli.kinds import (
    DEPLOYMENTS,
    NAMESPACES,
    PERSISTENT_VOLUMES,
    PODS,
    ROLES,
    SCCS,
    ObjectKind,
    kind_called,
)
from scc_operator.cli.world import World


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("gte --offline", "error: unknown command 'gte'; did you mean get?"),
        ("get --offlin", "error: No such option '--offlin'"),
        ("get --offline -o csv", "--output csv is unknown here, allowed are table, wide, json, yaml, name"),
        ("get --offline restricted-v4", 'securitycontextconstraints "restricted-v4" not found in built-in defaults'),
        ("describe --offline restricted-v4", "did you mean restricted-v"),
        ("get", "there is no kubeconfig and nothing else to read"),
        ("review --offline -f cluster.yaml,x", "cluster.yaml,x: cannot be read"),
        ("review --offline", "this needs"),
        ("explain --offline", "name a pod or a workload"),
        ("explain --offline -f cluster.yaml", "add one KIND/NAME"),
        ("can --offline", "name one subject"),
        ("who-can --offline use a b", "expected one SCC, found 2"),
        ("snapshot --offline", "this needs a live cluster"),
        ("add-scc-to-user --offline", "you must specify a scc"),
        ("add-scc-to-user anyuid --offline", "you must specify at least one user or service account"),
        ("add-scc-to-group anyuid --offline", "you must specify at least two arguments: <scc> <group> [group]..."),
        ("grant anyuid --offline -z a", "this needs a live cluster"),
        ("get --snapshot deploy.yaml", "deploy.yaml: cannot be read as a snapshot"),
    ],
)
def test_wrong_usage_ends_with_1_and_names_the_way_out(run: Run, arguments: str, expected: str) -> None:
    """One line on standard error, nothing on standard output."""
    if arguments == "review --offline":
        expected = "found no pod and no pod template"
    result = run(*arguments.split())
    assert (result.code, result.out) == (1, "")
    assert expected in result.err


def test_without_a_kubeconfig_files_are_judged_against_the_defaults(run: Run) -> None:
    """And it says so."""
    result = run("review", "-f", "deploy.yaml")
    assert result.code == 2
    assert "note: no kubeconfig: judged against the built-in default SCCs" in result.err


class WithoutSCCs:
    """A cluster that runs pods and has no SecurityContextConstraints."""

    title = "cluster https://plain"

    def read(self, wanted: Sequence[sources.Wanted]) -> list[list[sources.Raw] | sources.Unreadable | None]:
        """No list of SCCs, one namespace without ranges, and RBAC that says nothing."""
        found: dict[object, list[sources.Raw]] = {NAMESPACES: [{"metadata": {"name": "shop"}}]}
        return [None if kind is SCCS else found.get(kind, []) for kind, _ in wanted]

    def find(self, kind: ObjectKind, namespace: str, name: str) -> sources.Raw | None:
        """The namespace."""
        del namespace
        return {"metadata": {"name": name}} if (kind, name) == (NAMESPACES, "shop") else None


def test_a_cluster_without_sccs_is_judged_against_the_defaults(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ranges that are said to be assumed, since nobody would give any there."""
    monkeypatch.setattr(World, "_open_base", lambda *_: (WithoutSCCs(), False))
    result = run("review", "-f", "deploy.yaml")
    assert "Deployment/web    shop        default   fits-with-defaults   restricted-v2" in result.out
    assert "cluster https://plain has no SecurityContextConstraints: judged against the built-in" in result.err
    assert "namespace shop has no ranges in cluster https://plain" in result.err


def test_exit_codes(run: Run) -> None:
    """Denied is 2, undecidable is 3, and --exit-zero makes 0 of both."""
    broken = "{kind: SecurityContextConstraints, apiVersion: security.openshift.io/v1, metadata: {name: half}}"
    for text, code in (("", 2), (broken, 3)):
        arguments = ["review", "-f", "deploy.yaml", "--offline", *(["-f", "-"] if text else [])]
        assert run(*arguments, stdin=text).code == code
        assert run(*arguments, "--exit-zero", stdin=text).code == 0


def test_an_undecidable_review_says_which_scc_is_broken(run: Run) -> None:
    """One SCC that cannot be evaluated would make admission refuse every pod."""
    broken = "{kind: SecurityContextConstraints, apiVersion: security.openshift.io/v1, metadata: {name: half}}"
    result = run("review", "-f", "deploy.yaml", "-f", "-", "--offline", stdin=broken)
    assert "SCC half: Unrecognized RunAsUser strategy type" in result.out


def test_helm_output_on_standard_input(run: Run) -> None:
    """Comments and empty documents in between are no matter."""
    text = "---\n# Source: chart/a.yaml\n---\n" + Path("deploy.yaml").read_text()
    assert "Deployment/web" in run("review", "-f", "-", "--offline", stdin=text).out


def test_review_per_service_account_and_as_a_user(run: Run) -> None:
    """-z asks for each account instead of the template's, -u for somebody who creates the pods himself."""
    found = json.loads(run("review", "-f", "cluster.yaml", "-z", "files", "-z", "other", "-o", "json").out)["items"]
    answers = [(each["workload"], each["serviceAccount"], each["scc"]) for each in found]
    assert answers == [
        ("Pod/files-0", "files", "nfs"),
        ("Pod/files-0", "other", ""),
        ("Pod/web-1", "files", "nfs"),
        ("Pod/web-1", "other", "restricted-v2"),
    ]
    result = run("review", "-f", "cluster.yaml", "-u", "root", "-g", "system:masters", "-o", "json")
    assert [(each["scc"], each["by"]) for each in json.loads(result.out)["items"]] == [
        ("nfs", "serviceaccount"),
        ("anyuid", "user"),
    ]


def test_a_malformed_pod_is_a_finding_of_its_own(run: Run) -> None:
    """The others are reviewed all the same."""
    text = "{kind: Pod, apiVersion: v1, metadata: {name: bad}, spec: {hostPID: maybe, containers: [{name: c}]}}"
    found = json.loads(run("review", "-f", "deploy.yaml", "-f", "-", "--offline", "-o", "json", stdin=text).out)[
        "items"
    ]
    assert [each["result"] for each in found] == ["fits-with-defaults", "denied", "invalid"]
    assert "field spec.hostPID is a string, but must be a boolean" in found[2]["reason"]


def test_the_selector_selects(run: Run) -> None:
    """Labels of the pods decide."""
    assert run("review", "-f", "deploy.yaml", "--offline", "-l", "app=web").code == 0
    assert run("review", "-f", "deploy.yaml", "--offline", "-l", "app!=web,app").code == 2


def test_formats_for_machines_can_be_read(run: Run) -> None:
    """JUnit counts its failures, SARIF points at lines of the file, YAML is one document."""
    suite = ET.fromstring(run("review", "-f", "deploy.yaml", "--offline", "-o", "junit").out)[0]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("deploy.yaml", "2", "1")
    log = json.loads(run("review", "-f", "deploy.yaml", "--offline", "-o", "sarif").out)
    lines = Path("deploy.yaml").read_text().splitlines()
    found = {each["ruleId"]: each["locations"][0]["physicalLocation"]["region"] for each in log["runs"][0]["results"]}
    assert "hostNetwork: true" in lines[found["HostNetworkNotAllowed"]["startLine"] - 1]
    assert "runAsUser: 65534" in lines[found["RunAsUserOutOfRange"]["startLine"] - 1]
    assert yaml.safe_load(run("get", "--offline", "-o", "yaml").out)["apiVersion"] == "cli.scc-operator.io/v1"


def test_what_explain_writes_can_be_applied(run: Run) -> None:
    """The smallest SCC, applied and granted, admits the pod: the same files say so."""
    explained = json.loads(run("explain", "-f", "deploy.yaml", "daemonset/probe", "--offline", "-o", "json").out)
    (new,) = [each for each in explained["waysOut"] if each["kind"] == "new-scc"]
    binding = {
        "apiVersion": "scc-operator.io/v1alpha1",
        "kind": "SCCBinding",
        "metadata": {"name": "probe", "namespace": "shop"},
        "spec": {"sccs": ["shop-probe"], "subjects": [{"kind": "ServiceAccount", "name": "probe"}]},
    }
    text = f"{new['manifest']}---\n{json.dumps(binding)}"
    found = json.loads(run("review", "-f", "deploy.yaml", "-f", "-", "--offline", "-o", "json", stdin=text).out)[
        "items"
    ]
    assert [each["scc"] for each in found] == ["restricted-v2", "shop-probe"]


def test_colour_is_for_terminals(run: Run) -> None:
    """Plain text otherwise, unless it is asked for."""
    assert "\x1b[" not in run("review", "-f", "deploy.yaml", "--offline").out
    assert "\x1b[" in run("review", "-f", "deploy.yaml", "--offline", "--color", "always").out


def test_completion(run: Run) -> None:
    """Verbs, options, and names of what there is; a cluster that is not there means no suggestions."""
    assert [each.partition("\t")[0] for each in suggestions(["add-"])] == ["add-scc-to-user", "add-scc-to-group"]
    assert suggestions(["describe", "--offline", "restricted-"]) == ["restricted-v2", "restricted-v3"]
    assert suggestions(["get", "--no-h"]) == ["--no-headers\tTables without their first line."]
    assert suggestions(["describe", "x"]) == []
    assert run("get", "--offline").code == 0


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_has_help(run: Run, verb: str) -> None:
    """With a sentence of its own."""
    result = run(verb, "--help")
    assert result.code == 0
    assert f"Usage: kubectl scc {verb}" in result.out


def test_offline_commands_load_no_client() -> None:
    """Neither the cluster's client nor the framework nor rich: that is what makes them quick."""
    script = (
        "import sys; from scc_operator.cli.app import run; code = run(['get', '--offline', '-o', 'name']); "
        "print([m for m in ('kubernetes', 'kopf', 'aiohttp', 'rich') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("bob", "User bob"),
        ("user/system:authenticated", "User system:authenticated"),
        ("group/dev", "Group dev"),
        ("system:authenticated", "Group system:authenticated"),
        ("system:serviceaccounts:shop", "Group system:serviceaccounts:shop"),
        ("sa/web", "ServiceAccount here/web"),
        ("sa/shop/web", "ServiceAccount shop/web"),
        ("system:serviceaccount:shop:web", "ServiceAccount shop/web"),
    ],
)
def test_subjects(text: str, expected: str) -> None:
    """As people write them."""
    assert str(parse_subject(text, "here")) == expected


def test_a_service_account_without_its_name() -> None:
    """Half a name is nobody."""
    with pytest.raises(CLIError, match="is incomplete"):
        parse_subject("system:serviceaccount:shop", "here")


def test_kinds_are_called_as_kubectl_calls_them() -> None:
    """Singular, plural, short, in any case, with a group."""
    assert {kind_called(word) for word in ("deployment", "Deployments", "deploy", "deployments.apps")} == {DEPLOYMENTS}
    assert kind_called("frob") is None


def test_a_snapshot_has_no_secrets() -> None:
    """Values of variables, commands, arguments, foreign annotations and what drivers are told stay behind."""
    secret = "s3cret"
    container = {
        "name": "c",
        "image": "i",
        "command": [secret],
        "args": [secret],
        "env": [{"name": "A", "value": secret}],
        "livenessProbe": {"exec": {"command": [secret]}},
        "securityContext": {"runAsUser": 5},
    }
    volumes = [{"name": "a", "csi": {"driver": "d", "volumeAttributes": {"k": secret}}}]
    spec = {"containers": [container], "volumes": volumes, "serviceAccountName": "sa", "hostAliases": [{"ip": secret}]}
    metadata = {
        "name": "n",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": secret, "openshift.io/scc": "x"},
        "managedFields": [secret],
    }
    status = {
        "phase": "Running",
        "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": secret}}}],
    }
    found = prune.pruned(PODS, {"metadata": metadata, "spec": spec, "status": status})
    assert found["spec"]["containers"] == [{"name": "c", "image": "i", "securityContext": {"runAsUser": 5}}]
    assert found["metadata"]["annotations"] == {"openshift.io/scc": "x"}
    assert found["status"]["containerStatuses"][0]["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}
    template = {"template": {"metadata": metadata, "spec": spec}}
    everything = [
        found,
        prune.pruned(DEPLOYMENTS, {"metadata": metadata, "spec": template}),
        prune.pruned(PERSISTENT_VOLUMES, {"metadata": metadata, "spec": {"csi": {"volumeAttributes": {"k": secret}}}}),
        prune.pruned(NAMESPACES, {"metadata": metadata}),
    ]
    assert secret not in json.dumps(everything)


def test_a_snapshot_is_read_as_it_was_written(tmp_path: Path, run: Run) -> None:
    """What it covers is found, what it does not cover is said to be missing and makes the answer undecidable."""
    path = str(tmp_path / "c.tar.gz")
    info = sources.SnapshotInfo(
        sources.SNAPSHOT_VERSION, "https://c", "2026-01-01T00:00:00Z", ("shop",), {ROLES.title: "may not be read"}
    )
    shipped = sources.Defaults().read([(SCCS, "")])[0]
    assert isinstance(shipped, list)
    sources.write_snapshot(path, info, {SCCS: shipped})
    assert "restricted-v2" in run("get", "--snapshot", path).out
    result = run("who-can", "anyuid", "--snapshot", path, "-n", "shop", "--no-usage")
    assert result.code == 3
    assert "roles.rbac.authorization.k8s.io is not in the snapshot" in result.err
    sources.write_snapshot(path, msgspec.structs.replace(info, missing={}), {SCCS: shipped})
    result = run("who-can", "anyuid", "--snapshot", path, "-n", "other", "--no-usage")
    assert (result.code, "covers shop" in result.err) == (3, True)


def test_a_snapshot_of_another_version(tmp_path: Path, run: Run) -> None:
    """It is refused with the versions."""
    path = str(tmp_path / "c.tar.gz")
    sources.write_snapshot(path, sources.SnapshotInfo("v0", "", "", (), {}), {})
    result = run("get", "--snapshot", path)
    assert result.code == 1
    assert "is a snapshot of version v0, this program reads" in result.err
