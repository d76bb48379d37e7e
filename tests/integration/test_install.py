"""What people install: the kustomizations, the chart, the image's packages; and that an upgrade loses nothing."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from tests.cluster import launcher
from tests.e2e.journey import IMAGE, INSTALL, PREVIOUS, Journey, identities
from tests.integration.rest import Rest
from tests.integration.support import ROOT, Kubectl, OperatorProcess, eventually

from scc_operator import __version__, settings
from scc_operator.kube.paths import NAMESPACES

CHART = ROOT / "manifests/chart"
INSTALLS = ("manifests/audit", "manifests/openshift")
CHARTS: dict[str, list[str]] = {
    "default": [],
    "openshift": ["--set=platform=openshift", "--skip-crds"],
    "everything": [
        "--set=replicas=3,image.tag=x,image.pullPolicy=Always,imagePullSecrets[0].name=pull,priorityClassName=high",
        "--set=nodeSelector.disk=ssd,podLabels.team=platform,podAnnotations.note=x,tolerations[0].operator=Exists",
        '--set-json=settings={"exemptNamespaces":["kube-system","legacy"],"ranges":false,"rangesGrace":2.5}',
        '--set-json=affinity={"nodeAffinity":{}}',
    ],
}
FIXED = {"http_host", "http_port", "metrics_port", "lease", "lease_name", "namespace"}
"""Settings that the manifests decide: probes, ports and rights depend on them."""


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run helm, which is built from its Go module like the parts of the test cluster."""
    home = tmp_path_factory.mktemp("helm")

    def run(*args: str | Path, kubeconfig: Path | None = None, check: bool = True) -> Any:
        environment = {**os.environ, "HOME": str(home), "KUBECONFIG": str(kubeconfig or os.devnull)}
        done = subprocess.run(
            [launcher.tool("helm"), *args], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"helm {' '.join(map(str, args))}: {done.stderr}")
        return done

    return run


Helm = Callable[..., subprocess.CompletedProcess[str]]


def render(helm: Helm, *options: str) -> str:
    """What the chart installs."""
    return helm("template", "scc-operator", CHART, "--namespace=scc-operator", *options).stdout


def comparable(*streams: str) -> dict[tuple[str, str], Any]:
    """Objects by kind and name, without what only tells how they were installed."""
    found = {}
    for each in (each for stream in streams for each in yaml.safe_load_all(stream) if each):
        labels = each["metadata"].get("labels", {})
        for key in [key for key in labels if key.startswith("app.kubernetes.io/")]:
            del labels[key]
        if not labels:
            each["metadata"].pop("labels", None)
        if each["kind"] == "Deployment":
            for container in each["spec"]["template"]["spec"]["containers"]:
                container.pop("imagePullPolicy", None)
                container["env"].sort(key=lambda variable: variable["name"])
        found[each["kind"], each["metadata"]["name"]] = each
    return found


def environment(rendered: str) -> dict[str, str]:
    """The operator's settings as the Deployment gives them."""
    (deployment,) = [each for each in yaml.safe_load_all(rendered) if each and each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


# --- kustomize -------------------------------------------------------------------------------------------------------


def accepted(kubectl: Kubectl, rendered: str) -> None:
    """Assert that the API server would create all of it, without a warning."""
    for each in yaml.safe_load_all(rendered):
        if each and each["kind"] == "Namespace":
            kubectl.apply(each)
    applied = kubectl("create", "--dry-run=server", "-f", "-", input=rendered, check=False)
    assert [line for line in applied.stderr.splitlines() if "already exists" not in line.lower()] == []


@pytest.mark.parametrize("folder", ["crds", *INSTALLS, "manifests/default-sccs", "manifests/samples"])
def test_kustomizations(kubectl: Kubectl, folder: str) -> None:
    """The API server accepts every kustomization, without a warning of the pod security standard `restricted`."""
    accepted(kubectl, kubectl("kustomize", ROOT / folder).stdout)


@pytest.mark.parametrize("folder", INSTALLS)
def test_controller_has_few_rights(kubectl: Kubectl, folder: str) -> None:
    """The controller's roles have no wildcard, no bind, escalate or impersonate, and no right to patch pods."""
    rendered = kubectl("kustomize", ROOT / folder).stdout
    rules = [
        rule
        for each in yaml.safe_load_all(rendered)
        if each["kind"] in {"ClusterRole", "Role"} and each["metadata"]["name"].startswith("scc-operator")
        for rule in each["rules"]
    ]
    writes = {"create", "update", "patch", "delete", "deletecollection"}
    written = {resource for rule in rules for resource in rule["resources"] if writes & set(rule["verbs"])}
    for rule in rules:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        assert not {"bind", "escalate", "impersonate"} & set(rule["verbs"])
        assert not {"secrets", "configmaps"} & set(rule["resources"])
    assert "pods" not in written
    if folder == "manifests/openshift":
        assert written == {"pods/status", "events", "leases"}


def test_nothing_of_openshifts_is_installed_there(kubectl: Kubectl) -> None:
    """On OpenShift neither a definition comes along, nor a policy about what OpenShift's admission writes."""
    found = identities(kubectl("kustomize", ROOT / "manifests/openshift").stdout)
    assert not {name for kind, name in found if kind == "CustomResourceDefinition"}
    policies = {name for kind, name in found if kind == "ValidatingAdmissionPolicy"}
    assert policies == {"pod-verdicts.scc-operator.io"}


@pytest.mark.usefixtures("operator")
def test_the_controllers_own_pod(kubectl: Kubectl, rest: Rest, namespace: str) -> None:
    """It satisfies Pod Security `restricted`, which is enforced here, and the SCC that it asks for, restricted-v2."""
    rest.patch(NAMESPACES, namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    rendered = yaml.safe_load_all(kubectl("kustomize", ROOT / "manifests/audit").stdout)
    for each in rendered:
        if each["kind"] in {"Deployment", "ServiceAccount"}:
            kubectl.apply({**each, "metadata": {"name": each["metadata"]["name"], "namespace": namespace}})
    template = kubectl.json("deployment", "scc-operator", "-n", namespace)["spec"]["template"]
    assert template["metadata"]["annotations"]["openshift.io/required-scc"] == "restricted-v2"
    (container,) = template["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "runAsUser" not in container["securityContext"] | template["spec"]["securityContext"]
    answers = lambda: list(kubectl.audits(namespace).values())  # noqa: E731 - asked until both pods are there
    eventually(lambda: answers() == [("restricted-v2", "fits-with-defaults", None)] * 2)


def test_high_availability(kubectl: Kubectl) -> None:
    """Two replicas on different nodes, a budget that no broken replica holds up, and probes that mean three things."""
    found = comparable(kubectl("kustomize", ROOT / "manifests/audit").stdout)
    deployment = found["Deployment", "scc-operator"]["spec"]
    budget = found["PodDisruptionBudget", "scc-operator"]["spec"]
    service = found["Service", "scc-operator-metrics"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert budget["selector"]["matchLabels"] == service["selector"] == deployment["selector"]["matchLabels"] == labels
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    (container,) = deployment["template"]["spec"]["containers"]
    assert {probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports["metrics"] == int(environment(kubectl("kustomize", ROOT / "manifests/audit").stdout)[METRICS_PORT])
    assert service["ports"] == [{"name": "metrics", "port": ports["metrics"], "targetPort": "metrics"}]


METRICS_PORT = "SCC_OPERATOR_METRICS_PORT"


# --- the chart -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", CHARTS)
def test_the_chart(kubectl: Kubectl, helm: Helm, variant: str) -> None:
    """The chart is sound, and the API server accepts what it renders, in all variants."""
    options = CHARTS[variant]
    helm("lint", "--strict", CHART, *(option for option in options if option.startswith("--set")))
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "scc-operator"}})
    rendered = render(helm, *options, *([] if "--skip-crds" in options else ["--include-crds"]))
    accepted(kubectl, rendered)
    settings.load(environment(rendered))


@pytest.mark.parametrize(
    "options, folders",
    [
        (["--include-crds"], ["crds", "manifests/audit"]),
        (["--set=platform=openshift", "--skip-crds"], ["manifests/openshift"]),
    ],
    ids=["kubernetes", "openshift"],
)
def test_the_chart_and_the_kustomizations_agree(
    kubectl: Kubectl, helm: Helm, options: list[str], folders: list[str]
) -> None:
    """By default the chart installs what the kustomizations install, object by object, but for the namespace."""
    wanted = comparable(*(kubectl("kustomize", ROOT / folder).stdout for folder in folders))
    del wanted["Namespace", "scc-operator"]
    found = comparable(render(helm, *options))
    assert found.keys() == wanted.keys()
    for key, each in wanted.items():
        assert found[key] == each, key


def test_the_charts_settings(helm: Helm) -> None:
    """Every setting that is not fixed by the manifests can be given, and arrives as it was meant."""
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]
    fields = {field.name for field in msgspec.structs.fields(settings.Settings)} - FIXED
    assert {re.sub("([A-Z])", lambda match: "_" + match[1].lower(), key) for key in schema} == fields
    found = settings.load(environment(render(helm, *CHARTS["everything"])))
    assert found.exempt_namespaces == {"kube-system", "legacy"}
    assert found.ranges is settings.Switch.OFF
    assert found.ranges_grace == 2.5
    many = {"rangesQuarantine": 2592000, "pageSize": 1000, "defaultSccs": "off", "uidRange": "1000-1999/10"}
    found = settings.load(environment(render(helm, f"--set-json=settings={json.dumps(many)}")))
    assert (found.ranges_quarantine, found.page_size, found.uid_range) == (2592000, 1000, "1000-1999/10")
    assert found.default_sccs is settings.Switch.OFF
    assert settings.load(environment(render(helm, "--set=platform=openshift"))).admission_record == "openshift"


@pytest.mark.parametrize(
    "option, field",
    [
        ("platform=eks", "platform"),
        ("replicas=0", "replicas"),
        ("image.name=x", "image"),
        ("settings.exemptNamespace=x", "settings"),
        ("settings.ranges=maybe", "ranges"),
        ("settings.uidRange=1000", "uidRange"),
        ("podAnnotations.openshift\\.io/required-scc=privileged", "required-scc"),
    ],
)
def test_wrong_values_are_refused(helm: Helm, option: str, field: str) -> None:
    """A value that is misspelt or out of range is refused with the field's name."""
    refused = helm("template", "x", CHART, "--set", option, check=False)
    assert refused.returncode
    assert field in refused.stderr


# --- the image -------------------------------------------------------------------------------------------------------


def locked(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes of each package of a lock file."""
    found = {}
    for text in path.read_text().replace("\\\n", " ").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==(\S+)", text):
            found[match[1]] = (match[2], frozenset(re.findall(r"--hash=(\S+)", text)))
    return found


def test_the_images_packages() -> None:
    """The image gets the packages that the tests run with, all that the operator imports, and none for development."""
    runtime, tested = locked(ROOT / "requirements-runtime.lock"), locked(ROOT / "requirements.lock")
    assert {name: tested[name] for name in runtime} == runtime
    project = (ROOT / "pyproject.toml").read_text().partition("dependencies = [")[2].partition("]\n")[0]
    direct = re.findall(r'^\s*"([A-Za-z0-9_-]+)', project, re.MULTILINE)
    assert {name.lower() for name in direct} <= runtime.keys()
    assert not {"pytest", "ruff", "mypy", "hatchling", "pykube-ng"} & runtime.keys()
    assert all(hashes for _, hashes in runtime.values())


def test_the_dockerfile() -> None:
    """The image is not root's by a number, and runs what the Deployment runs."""
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 65532:65532$", text, re.MULTILINE)
    assert 'CMD ["kopf", "run", "-A", "--standalone", "-m", "scc_operator.app"]' in text
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {
        source.rstrip("/").partition("/")[0] for source in re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE)
    }
    assert {f"!{name}" for name in copied} <= {*ignored}
    kustomization = yaml.safe_load((ROOT / "manifests/controller/kustomization.yaml").read_text())
    assert kustomization["images"] == [{"name": "scc-operator", "newName": IMAGE, "newTag": __version__}]
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


# --- a user's way ----------------------------------------------------------------------------------------------------


def test_the_readme_says_the_same() -> None:
    """The commands that are tried here are those that the README and the notes on installing give."""
    for document in ("README.md", "docs/install.md"):
        text = (ROOT / document).read_text()
        for command in INSTALL:
            assert f"\nkubectl {' '.join(command)}" in text, document


@pytest.fixture(scope="module")
def fresh() -> Iterator[launcher.Cluster]:
    """A cluster where nothing is installed."""
    with launcher.start() as started:
        yield started


@pytest.fixture
def in_the_pods_place(
    start_operator: Callable[..., OperatorProcess], tmp_path: Path
) -> Callable[[Journey], OperatorProcess]:
    """No container runs on the test cluster: a process with the token of the pods' account takes their place."""

    def start(journey: Journey) -> OperatorProcess:
        config = json.loads(journey.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
        token = journey.kubectl("create", "token", "scc-operator", "-n", "scc-operator").strip()
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        path = tmp_path / "account"
        path.write_text(json.dumps(config))
        return start_operator(kubeconfig=path, SCC_OPERATOR_LEASE="on")

    return start


def test_an_upgrade_and_the_main_job(
    fresh: launcher.Cluster, in_the_pods_place: Callable[[Journey], OperatorProcess]
) -> None:
    """From the previous manifests to these: nothing is lost, nothing is left over, grants work, and so does removal."""
    journey = Journey(launcher.kubectl_path(), fresh.kubeconfig, lambda _: None)
    journey.install_previous(__version__)
    journey.grant()
    before = journey.json("sccbinding", "nfs-clients", "-n", "scc-samples")
    journey.install()
    after = journey.json("sccbinding", "nfs-clients", "-n", "scc-samples")
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    old = identities("---\n".join((PREVIOUS / f"{part}.yaml").read_text() for part in ("crds", "audit")))
    new = identities("---\n".join(journey.kubectl("kustomize", command[-1]) for command in INSTALL))
    assert old - new == set()

    operator = in_the_pods_place(journey)
    journey.main_job()
    assert operator.stop() == 0
    journey.install()
    for command in reversed(INSTALL):
        journey.kubectl("delete", *command[1:], "--timeout=60s")
    assert journey.kubectl("get", "crd", "-o", "name") == ""


def test_helm_install_upgrade_uninstall(
    fresh: launcher.Cluster, helm: Helm, in_the_pods_place: Callable[[Journey], OperatorProcess]
) -> None:
    """With Helm it works as with kubectl; uninstalling keeps the definitions, and so every SCC and grant."""
    journey = Journey(launcher.kubectl_path(), fresh.kubeconfig, lambda _: None)
    where = ["--namespace=scc-operator", "--kubeconfig", fresh.kubeconfig]
    helm("install", "scc-operator", CHART, "--create-namespace", "--wait", *where)
    journey.rolled_out()
    operator = in_the_pods_place(journey)
    journey.grant()
    journey.main_job()
    assert operator.stop() == 0
    helm("upgrade", "scc-operator", CHART, "--set=replicas=3", "--wait", *where)
    assert journey.json("deployment", "scc-operator", "-n", "scc-operator")["status"]["readyReplicas"] == 3
    helm("uninstall", "scc-operator", "--wait", *where)
    assert journey.json("sccbinding", "nfs-clients", "-n", "scc-samples")["spec"]["sccs"] == ["nfs-scc"]
    assert journey.json("clusterroles", "-l", "app.kubernetes.io/part-of=scc-operator")["items"] == []
