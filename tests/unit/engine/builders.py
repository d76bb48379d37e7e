"""Short ways to write SCCs, pods and questions.

Unless a test says otherwise: namespace `proj` with a block of 10000 ids and an SELinux level; one SCC `s1` that allows
everything; a pod with service account `default` and one container `c` without a security context.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from scc_operator.access.grants import Grants
from scc_operator.access.rbac import Authorizer
from scc_operator.access.subjects import Identity, service_account_identity
from scc_operator.engine.admit import AdmissionRequest, AdmissionResult, Cluster, admit, validate
from scc_operator.engine.judge import SERVICE_ACCOUNT, USER, evaluate
from scc_operator.engine.namespace import NamespaceValues
from scc_operator.engine.order import order
from scc_operator.engine.pod import parse_pod
from scc_operator.engine.provider import build_providers
from scc_operator.engine.scc import SecurityContextConstraints, parse_scc, with_defaults
from scc_operator.engine.verdict import Attempt

Json = dict[str, Any]
SCC = SecurityContextConstraints

PROJ = NamespaceValues("proj", "1000680000/10000", "s0:c26,c15", "1000680000/10000")
DEFAULT_SCCS = Path(__file__).parents[3] / "operator" / "scc_operator" / "data" / "default_sccs.yaml"

POD = "provider s1: .spec.securityContext"
CONTAINER = "provider s1: .containers[0]"


def scc(name: str = "s1", /, **fields: Any) -> SecurityContextConstraints:
    """An SCC that allows everything but what `fields` (in JSON spelling) say; usable by the user `user`."""
    anything = {"type": "RunAsAny"}
    base = {
        "runAsUser": anything,
        "seLinuxContext": anything,
        "fsGroup": anything,
        "supplementalGroups": anything,
        "volumes": ["*"],
        "seccompProfiles": ["*"],
        "allowedCapabilities": ["*"],
        "allowPrivilegedContainer": True,
        "allowHostNetwork": True,
        "allowHostPorts": True,
        "allowHostPID": True,
        "allowHostIPC": True,
        "allowedUnsafeSysctls": ["*"],
        "users": ["user"],
    }
    return parse_scc({**base, **fields, "metadata": {"name": name}})


def bare_scc(name: str = "s1", **fields: Any) -> SecurityContextConstraints:
    """An SCC with nothing but `fields` and the strategies that it cannot do without."""
    anything = {"type": "RunAsAny"}
    base = {"runAsUser": anything, "seLinuxContext": anything, "fsGroup": anything, "supplementalGroups": anything}
    return parse_scc({**base, **fields, "metadata": {"name": name}})


def container(name: str = "c", ports: Sequence[Json] = (), **security_context: Any) -> Json:
    """A container with these fields in its security context."""
    made: Json = {"name": name}
    if security_context:
        made["securityContext"] = security_context
    if ports:
        made["ports"] = list(ports)
    return made


def pod(
    *containers: Json, annotations: Mapping[str, str] | None = None, spec: Json | None = None, **security_context: Any
) -> Json:
    """A v1 pod with these containers and these fields in its own security context."""
    metadata: Json = {"name": "p", "namespace": "proj"}
    if annotations is not None:
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "serviceAccountName": "default",
            "securityContext": security_context,
            "containers": list(containers) or [container()],
            **(spec or {}),
        },
    }


def attempt(under: SecurityContextConstraints, asked: Json, namespace: NamespaceValues = PROJ) -> Attempt:
    """The pod under one SCC."""
    (provider,) = build_providers([under], namespace)
    return evaluate(parse_pod(asked), provider)


def objections(under: SecurityContextConstraints, asked: Json) -> list[tuple[str, str, str]]:
    """Code, path and detail of each objection."""
    return [(found.code, found.path, found.detail) for found in attempt(under, asked).objections]


def texts(under: SecurityContextConstraints, asked: Json) -> list[str]:
    """The text of each objection."""
    return [found.text for found in attempt(under, asked).objections]


def fills(under: SecurityContextConstraints, asked: Json) -> dict[str, Any]:
    """What a fitting pod with one container gets: field → value; a container's field has the prefix `c.`."""
    tried = attempt(under, asked)
    assert tried.fits, [found.text for found in tried.objections]
    return {(f"{fill.place.name}." if fill.place else "") + fill.field: fill.value for fill in tried.fills}


def cluster(
    *sccs: SecurityContextConstraints,
    namespace: NamespaceValues | None = PROJ,
    user: str = "user",
    groups: Sequence[str] = (),
    **options: Any,
) -> Cluster:
    """A cluster where only the SCCs' own users and groups grant anything."""
    grants = Grants(sccs, Authorizer())
    requester = Identity(user, tuple(groups))

    def subjects(service_account: str, name: str) -> str | None:
        if service_account and name in grants.usable(service_account_identity("proj", service_account), "proj"):
            return SERVICE_ACCOUNT
        return USER if name in grants.usable(requester, "proj") else None

    return Cluster(sccs=order(sccs), namespace=namespace, subjects=subjects, **options)


def create(asked: Json, *sccs: SecurityContextConstraints, **options: Any) -> AdmissionResult:
    """The mutating pass for a new pod."""
    return admit(AdmissionRequest("CREATE", asked, namespace="proj"), cluster(*sccs, **options))


def update(
    old: Json, new: Json, *sccs: SecurityContextConstraints, subresource: str = "", **options: Any
) -> AdmissionResult:
    """The mutating pass for an update."""
    request = AdmissionRequest("UPDATE", new, old, namespace="proj", subresource=subresource)
    return admit(request, cluster(*sccs, **options))


def completed(result: AdmissionResult) -> Json:
    """The pod that goes on."""
    assert result.pod is not None
    return dict(result.pod)


def check(asked: Json, *sccs: SecurityContextConstraints, **options: Any) -> AdmissionResult:
    """The validating pass for a new pod."""
    return validate(AdmissionRequest("CREATE", asked, namespace="proj"), cluster(*sccs, **options))


def body(result: AdmissionResult) -> str:
    """What a refusal says after the pod's name and the usual prefix."""
    assert not result.allowed
    text = result.message.removeprefix('pods "p" is forbidden: ')
    return text.removeprefix("unable to validate against any security context constraint: ")


def stock_sccs(**users: Sequence[str]) -> tuple[SecurityContextConstraints, ...]:
    """The SCCs that OpenShift installs; `users` gives some of them (underscores for hyphens) to users or groups."""
    documents = yaml.safe_load_all(DEFAULT_SCCS.read_text(encoding="utf-8"))
    found = [raw for raw in documents if raw and raw["kind"] == "SecurityContextConstraints"]
    return tuple(
        with_defaults(parse_scc({**raw, "users": list(users.get(raw["metadata"]["name"].replace("-", "_"), ()))}))
        for raw in found
    )
