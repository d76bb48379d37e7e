"""Objects as the API server sends them, in few words."""

from typing import Any

from scc_operator import names
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.records import Namespace, Question

_BLOCK = "1000680000/10000"
UID_RANGE = {names.UID_RANGE: _BLOCK, names.MCS: "s0:c26,c15", names.SUPPLEMENTAL_GROUPS: _BLOCK}


def raw(name: str, version: int, namespace: str = "", *, uid: str = "", **fields: Any) -> dict[str, Any]:
    """An object; its uid is its name unless a test says otherwise."""
    metadata: dict[str, Any] = {"name": name, "uid": uid or name, "resourceVersion": str(version)}
    metadata |= {"namespace": namespace} if namespace else {}
    metadata |= fields.pop("metadata", {})
    return {"metadata": metadata, **fields}


def namespace(name: str, version: int = 1, **metadata: Any) -> dict[str, Any]:
    """A Namespace with ranges, unless the test gives other annotations."""
    return raw(name, version, metadata={"annotations": UID_RANGE, **metadata})


def pod(name: str, version: int = 1, *, user: int | None = None, uid: str = "", **metadata: Any) -> dict[str, Any]:
    """A pod of namespace `shop` with service account `default`; pods with the same `user` ask the same question."""
    container = {"name": "main", "image": "app", "securityContext": {} if user is None else {"runAsUser": user}}
    spec = {"serviceAccountName": "default", "containers": [container]}
    return raw(name, version, "shop", uid=uid, spec=spec, status={"phase": "Running"}, metadata=metadata)


def scc(name: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    """An SCC that everybody may use and that demands the namespace's UIDs."""
    return {
        **raw(name, version),
        "runAsUser": {"type": "MustRunAsRange"},
        "seLinuxContext": {"type": "RunAsAny"},
        "fsGroup": {"type": "RunAsAny"},
        "supplementalGroups": {"type": "RunAsAny"},
        "volumes": ["*"],
        "groups": [names.AUTHENTICATED],
        **fields,
    }


def asked_in(
    asked: dict[str, Any], *sccs: dict[str, Any], shop: dict[str, Any] | None = None
) -> tuple[Mirror, Question, Namespace]:
    """A cluster with these SCCs, the question that a pod of namespace `shop` asks in it, and that namespace."""
    mirror = Mirror()
    for each in sccs:
        mirror.take(Kind.SCCS, each)
    mirror.take(Kind.NAMESPACES, shop or namespace("shop"))
    mirror.take(Kind.PODS, asked)
    (question,) = mirror.questions
    found = mirror.namespaces.get(("", "shop"))
    assert found is not None
    return mirror, question, found.value
