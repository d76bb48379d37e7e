"""Thousands of pods: the answers come, stay true through storms, and cost what they should."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.cluster import launcher
from tests.integration.support import Kubectl, OperatorProcess, eventually, scc

from scc_operator import names

PODS = 5000
DEPLOYMENTS = 25
PODS_PER_NODE = 110
LARGEST_RESIDENT_MB = 500


def test_five_thousand_pods_follow_every_change(
    cluster: launcher.Cluster, kubectl: Kubectl, start_operator: Callable[..., OperatorProcess]
) -> None:
    """Replicas are a few questions, one change of an SCC writes each pod once, and a kill loses nothing."""
    cluster.create_nodes(PODS // PODS_PER_NODE + 2)
    kubectl("create", "namespace", "scale")
    kubectl.apply(
        *(
            _deployment(f"app-{number:02}", replicas=PODS // DEPLOYMENTS, uid=20000 + number)
            for number in range(DEPLOYMENTS)
        )
    )
    eventually(lambda: _verdicts(kubectl).total() == PODS, timeout=180, pause=2)

    operator = start_operator()
    started = time.monotonic()
    eventually(lambda: _verdicts(kubectl) == {("denied", None): PODS}, timeout=120, pause=1)
    _report("first answers", started, operator)
    assert operator.metric("scc_operator_pod_patches_total", outcome="written") == PODS
    assert _resident_mb(operator) < LARGEST_RESIDENT_MB

    started = time.monotonic()
    kubectl.apply(
        scc(
            "scale",
            runAsUser={"type": "MustRunAsRange", "uidRangeMin": 20000, "uidRangeMax": 20000 + DEPLOYMENTS},
            groups=["system:serviceaccounts:scale"],
        )
    )
    eventually(lambda: _verdicts(kubectl) == {("fits-with-defaults", "scale"): PODS}, timeout=120, pause=1)
    _report("an SCC more", started, operator)
    assert operator.metric("scc_operator_pod_patches_total", outcome="written") == 2 * PODS

    kubectl("delete", "scc", "scale")
    time.sleep(2)  # in the middle of the storm
    operator.kill()
    successor = start_operator()
    started = time.monotonic()
    eventually(lambda: _verdicts(kubectl) == {("denied", None): PODS}, timeout=120, pause=1)
    _report("after a kill", started, successor)
    eventually(lambda: successor.metric("scc_operator_questions_asked_total") < 20 * DEPLOYMENTS)
    kubectl("delete", "namespace", "scale", "--wait=false")


def _deployment(name: str, *, replicas: int, uid: int) -> dict[str, object]:
    labels = {"app": name}
    container = {"name": "main", "image": "registry.example/app", "securityContext": {"runAsUser": uid}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "scale"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def _verdicts(kubectl: Kubectl) -> Counter[tuple[str | None, str | None]]:
    """How many pods carry which verdict and SCC."""
    listed = json.loads(kubectl("get", "--raw", "/api/v1/namespaces/scale/pods").stdout)["items"]
    annotations = [item["metadata"].get("annotations") or {} for item in listed]
    return Counter((found.get(names.VERDICT), found.get(names.SCC_ANNOTATION)) for found in annotations)


def _resident_mb(operator: OperatorProcess) -> float:
    assert operator.process is not None
    status = Path(f"/proc/{operator.process.pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) / 1024


def _report(what: str, started: float, operator: OperatorProcess) -> None:
    print(f"{what}: {PODS} pods in {time.monotonic() - started:.1f} s, peak {_resident_mb(operator):.0f} MB")
