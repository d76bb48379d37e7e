from pathlib import Path

import pytest

from scc_operator.cli.errors import CLIError
from scc_operator.cli.manifests import Document, load
from scc_operator.cli.workloads import workloads_of


def one(tmp_path: Path, text: str, name: str = "a.yaml") -> list[Document]:
    """The objects of a file with this text."""
    path = tmp_path / name
    path.write_text(text)
    return load([str(path)])


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    """A path leads to the line of its deepest part that exists, in later documents and in lists too."""
    text = "kind: A\n---\nkind: List\nitems:\n- kind: B\n  spec:\n    hostPID: true\n"
    first, second = one(tmp_path, text)
    assert (first.line(), second.line()) == (1, 5)
    assert second.line(("spec", "hostPID")) == 7
    assert second.line(("spec", "containers", 0)) == 6


def test_items_of_a_typed_list_know_what_they_are(tmp_path: Path) -> None:
    """`kubectl get pods -o json` gives items without kind."""
    (found,) = one(tmp_path, '{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"a"}}]}', "a.json")
    assert (found.raw["kind"], found.raw["apiVersion"]) == ("Pod", "v1")


def test_dates_stay_text(tmp_path: Path) -> None:
    """No field of Kubernetes is a date, an annotation may look like one."""
    (found,) = one(tmp_path, "kind: A\nmetadata: {annotations: {day: 2026-01-31}}\n")
    assert found.raw["metadata"]["annotations"]["day"] == "2026-01-31"


def test_folders_are_searched(tmp_path: Path) -> None:
    """All YAML and JSON below a folder, by name; other files are left alone."""
    (tmp_path / "sub").mkdir()
    for name in ("b.yaml", "sub/c.json", "a.yml", "notes.txt"):
        (tmp_path / name).write_text(f'{{"kind": "{name}"}}')
    assert [each.raw["kind"] for each in load([str(tmp_path)])] == ["a.yml", "b.yaml", "sub/c.json"]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("kind: A\nb: [\n", "a.yaml:3: not valid YAML"),
        ("kind: {{ .Values.kind }}\n", "helm template CHART"),
        ("kind: A\n---\nname: x\n", "a.yaml:3: expected a Kubernetes object with apiVersion and kind"),
        ("- 1\n", "found [1]"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    """File, line, what was expected, and that templates have to be rendered first."""
    with pytest.raises(CLIError) as error:
        one(tmp_path, text)
    assert expected in str(error.value)


def test_a_file_that_is_not_there() -> None:
    """The file is named."""
    with pytest.raises(CLIError, match=r"missing\.yaml: cannot be read: No such file"):
        load(["missing.yaml"])


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.mark.parametrize(
    "kind, spec, path, creator",
    [
        ("Deployment", {"template": TEMPLATE}, ("spec", "template"), "replicaset-controller"),
        ("StatefulSet", {"template": TEMPLATE}, ("spec", "template"), "statefulset-controller"),
        ("DaemonSet", {"template": TEMPLATE}, ("spec", "template"), "daemon-set-controller"),
        (
            "CronJob",
            {"jobTemplate": {"spec": {"template": TEMPLATE}}},
            ("spec", "jobTemplate", "spec", "template"),
            "job-controller",
        ),
        ("DeploymentConfig", {"template": TEMPLATE}, ("spec", "template"), "replication-controller"),
        ("Anything", {"parts": [{"pod": TEMPLATE}]}, ("spec", "parts", 0, "pod"), ""),
    ],
)
def test_templates_of_every_kind(kind: str, spec: dict[str, object], path: tuple[str | int, ...], creator: str) -> None:
    """Known kinds by their path and with their controller, unknown ones by the shape of a pod's spec."""
    (found,) = workloads_of({"kind": kind, "metadata": {"name": "w"}, "spec": spec}, "ns")
    assert (found.title, found.namespace, found.path) == (f"{kind}/w", "ns", path)
    assert found.pod["metadata"] == {"labels": {"a": "b"}, "name": "w", "namespace": "ns"}
    assert found.requester.name.rpartition(":")[2] == creator


def test_one_object_may_hold_several_templates() -> None:
    """Each is a workload of its own."""
    raw = {"kind": "Cluster", "metadata": {"name": "w"}, "spec": {"a": TEMPLATE, "b": TEMPLATE}}
    assert [each.path for each in workloads_of(raw, "ns")] == [("spec", "a"), ("spec", "b")]


def test_claims_of_a_stateful_set_are_volumes() -> None:
    """A claim template replaces a volume of its name, as the controller does it."""
    template = {"spec": {**TEMPLATE["spec"], "volumes": [{"name": "data", "hostPath": {"path": "/"}}]}}
    claims = [{"metadata": {"name": "data"}}]
    raw = {
        "kind": "StatefulSet",
        "metadata": {"name": "w"},
        "spec": {"template": template, "volumeClaimTemplates": claims},
    }
    (found,) = workloads_of(raw, "ns")
    assert found.pod["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]


def test_objects_that_make_no_pods() -> None:
    """Definitions and configuration that only look like pods are none."""
    for kind in ("CustomResourceDefinition", "ConfigMap", "Service"):
        assert not workloads_of({"kind": kind, "metadata": {"name": "w"}, "data": {"spec": "x"}}, "ns")
