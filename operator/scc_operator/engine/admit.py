"""Admission of whole pods, as the plugin of OpenShift's API server does it: a mutating and a validating pass.

`admit` completes a pod, `validate` looks at the completed pod and changes nothing. Both ask `judge` about the pod's
shape; everything in the pod that the engine does not know stays as it came.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from scc_operator.engine import audit_log
from scc_operator.engine.completion import apply_fills
from scc_operator.engine.errors import InvalidObject, ProviderError, RequiredSCCNotFound
from scc_operator.engine.judge import (
    RESTRICTED,
    RESTRICTED_V2,
    Decision,
    any_change,
    candidates,
    ephemeral_containers_only,
    evaluate,
    no_change,
    walk,
)
from scc_operator.engine.namespace import NamespaceValues, not_found
from scc_operator.engine.order import with_hint
from scc_operator.engine.pod import Pod, parse_pod
from scc_operator.engine.provider import Provider, build_providers
from scc_operator.engine.scc import SecurityContextConstraints
from scc_operator.engine.update import is_harmless
from scc_operator.engine.verdict import TextStyle, aggregate, forbidden, go_list, go_quote
from scc_operator.names import REQUIRED_SCC, SCC_ANNOTATION, SCC_RESOURCE, SECURITY_GROUP, SUBJECT_TYPE

__all__ = ["AdmissionRequest", "AdmissionResult", "Cluster", "admit", "apply_fills", "validate"]

CREATE: Final = "CREATE"
UPDATE: Final = "UPDATE"
EPHEMERAL_CONTAINERS: Final = "ephemeralcontainers"

IGNORED_SUBRESOURCES = frozenset({"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"})
STANDARD_SCCS = (
    "anyuid",
    "hostaccess",
    "hostmount-anyuid",
    "hostnetwork",
    "hostnetwork-v2",
    "nonroot",
    "nonroot-v2",
    "privileged",
    "restricted",
    "restricted-v2",
)
"""Without these OpenShift admits no pod; here a caller says whether that counts."""

Subjects = Callable[[str, str], str | None]
"""The subject test for (service account of the pod, SCC): `serviceaccount`, `user` or None (spec/admission.md §2.3)."""
BuildProviders = Callable[[Sequence[SecurityContextConstraints], NamespaceValues], tuple[Provider, ...]]


class AdmissionRequest(msgspec.Struct, frozen=True):
    """What the API server asks; only core `pods` should be sent here.

    Attributes:
        operation: `CREATE` or `UPDATE`.
        object: the pod as v1 JSON.
        old_object: the stored pod, for an update.
        namespace: the request's namespace.
        name: the request's name; empty where the pod itself says it.
        subresource: empty for the pod itself.
    """

    operation: str
    object: Mapping[str, Any]
    old_object: Mapping[str, Any] | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class AdmissionResult(msgspec.Struct, frozen=True):
    """What admission answers.

    Attributes:
        allowed: whether the request goes on.
        ignored: it goes on because it is none of this plugin's business.
        pod: the pod that goes on, a new object where it was completed; None when refused.
        scc: the SCC that was chosen; empty when refused or ignored.
        subject_type: whose grant made it usable.
        code: why it was refused, as a CamelCase reason where the pod was evaluated.
        message: the full text of a refusal.
        audit: annotations for the audit log.
    """

    allowed: bool
    ignored: bool = False
    pod: Mapping[str, Any] | None = None
    scc: str = ""
    subject_type: str = ""
    code: str = ""
    message: str = ""
    audit: Mapping[str, str] = {}


class Cluster(msgspec.Struct, frozen=True):
    """What a request is judged against.

    Attributes:
        sccs: all SCCs, in the order of `order.order`.
        namespace: the values of the request's namespace; None where there is no such namespace.
        subjects: the subject test.
        build_providers: compiles candidates; hand in one that remembers.
        needed_sccs: refuse every pod while one of these is missing (spec/admission.md §2.4).
        style: how values are printed in messages.
    """

    sccs: tuple[SecurityContextConstraints, ...]
    namespace: NamespaceValues | None
    subjects: Subjects
    build_providers: BuildProviders = build_providers
    needed_sccs: tuple[str, ...] = ()
    style: TextStyle = TextStyle.GO


class _Refused(Exception):
    """The request is refused before or after evaluation; the text is the message's body."""


def admit(request: AdmissionRequest, cluster: Cluster) -> AdmissionResult:
    """The mutating pass."""
    try:
        pod = _pod_to_examine(request)
        if pod is None:
            return AdmissionResult(allowed=True, ignored=True, pod=request.object)
        _refuse_change_of_required_scc(request, pod)
        providers = _providers(pod, request.namespace, cluster)
    except _Refused as refused:
        return AdmissionResult(allowed=False, message=_message(request, str(refused)))
    accepts = any_change
    if request.operation == UPDATE:
        accepts = ephemeral_containers_only if request.subresource == EPHEMERAL_CONTAINERS else no_change
    usable = partial(cluster.subjects, pod.service_account)
    decision = walk(pod, providers, usable, accepts)
    if request.operation == UPDATE:
        audit = audit_log.without_changes(decision, "", cluster.style)
    else:
        audit = audit_log.creation(pod, decision, providers, usable, cluster.style)
    if decision.chosen is None:
        body = aggregate(_texts(pod, decision, providers, cluster.style))
        return _not_admitted(request, decision, body, audit)
    completed = apply_fills(request.object, decision.chosen)
    completed["metadata"]["annotations"] = {
        **(completed["metadata"].get("annotations") or {}),
        SCC_ANNOTATION: decision.chosen.scc,
        SUBJECT_TYPE: decision.subject_type,
    }
    return AdmissionResult(
        allowed=True, pod=completed, scc=decision.chosen.scc, subject_type=decision.subject_type, audit=audit
    )


def validate(request: AdmissionRequest, cluster: Cluster) -> AdmissionResult:
    """The validating pass; the pod's own record of its SCC says which to try first (spec/admission.md §6.4)."""
    try:
        pod = _pod_to_examine(request)
        if pod is None:
            return AdmissionResult(allowed=True, ignored=True, pod=request.object)
        hint = _annotation(request.object, SCC_ANNOTATION)
        _refuse_other_than_required_scc(pod, hint)
        providers = _providers(pod, request.namespace, cluster, hint)
    except _Refused as refused:
        return AdmissionResult(allowed=False, message=_message(request, str(refused)))
    decision = walk(pod, providers, partial(cluster.subjects, pod.service_account), no_change)
    audit = audit_log.without_changes(decision, hint, cluster.style)
    if decision.chosen is None:
        return _not_admitted(request, decision, go_list(_texts(pod, decision, providers, cluster.style)), audit)
    return AdmissionResult(
        allowed=True,
        pod=request.object,
        scc=decision.chosen.scc,
        subject_type=decision.subject_type,
        audit=audit,
    )


# --- which requests are looked at, and against what -------------------------------------------------------------


def _pod_to_examine(request: AdmissionRequest) -> Pod | None:
    """The pod's shape, or None where the request is to be ignored (spec/admission.md §2.1)."""
    if request.operation not in (CREATE, UPDATE) or request.subresource in IGNORED_SUBRESOURCES:
        return None
    try:
        pod = parse_pod(request.object)
        if pod.windows:
            return None
        if request.operation == UPDATE:
            parse_pod(request.old_object or {})
    except InvalidObject as error:
        raise _Refused(f"object was marked as kind pod but was unable to be converted: {error}") from error
    if request.operation == UPDATE and is_harmless(request.old_object or {}, request.object):
        return None
    return pod


def _part(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return value.get(key) or {}


def _annotation(pod: Mapping[str, Any] | None, key: str) -> str:
    annotations = _part(_part(pod or {}, "metadata"), "annotations")
    return annotations.get(key) or ""


def _refuse_change_of_required_scc(request: AdmissionRequest, pod: Pod) -> None:
    if request.operation == UPDATE and pod.required_scc != _annotation(request.old_object, REQUIRED_SCC):
        raise _Refused(f"invalid change of required security context constraint annotation: {REQUIRED_SCC}")


def _refuse_other_than_required_scc(pod: Pod, hint: str) -> None:
    if pod.required_scc and pod.required_scc != hint:
        raise _Refused(f"required scc/{pod.required_scc} does not match the suggested scc/{hint}")


def _providers(pod: Pod, namespace: str, cluster: Cluster, hint: str = "") -> tuple[Provider, ...]:
    present = {scc.name for scc in cluster.sccs}
    missing = sorted(set(cluster.needed_sccs) - present)
    if missing:
        raise _Refused(f"{SCC_RESOURCE}.{SECURITY_GROUP} cache is missing {', '.join(missing)}")
    if not cluster.sccs and not pod.required_scc:
        raise _Refused("no SecurityContextConstraints found in cluster")
    try:
        sccs = candidates(pod.required_scc, cluster.sccs)
    except RequiredSCCNotFound as error:
        raise _Refused(str(error)) from error
    if cluster.namespace is None:
        raise _Refused(not_found(namespace))
    try:
        return cluster.build_providers(with_hint(sccs, hint) if hint else sccs, cluster.namespace)
    except ProviderError as error:
        raise _Refused(str(error)) from error


# --- what it says ------------------------------------------------------------------------------------------------


def _texts(pod: Pod, decision: Decision, providers: Sequence[Provider], style: TextStyle) -> list[str]:
    texts = decision.texts(style)
    by_name = {provider.name: provider for provider in providers}
    if RESTRICTED_V2 in by_name and RESTRICTED in decision.not_usable and evaluate(pod, by_name[RESTRICTED]).fits:
        texts.append(
            forbidden(
                f"no access to scc/{RESTRICTED}",
                f"the pod fails to validate against the `{RESTRICTED_V2}` security context constraint, "
                f"but would validate successfully against the `{RESTRICTED}` security context constraint",
            )
        )
    return texts


def _not_admitted(
    request: AdmissionRequest, decision: Decision, body: str, audit: Mapping[str, str]
) -> AdmissionResult:
    body = f"unable to validate against any security context constraint: {body}"
    return AdmissionResult(allowed=False, code=decision.code, message=_message(request, body), audit=audit)


def _message(request: AdmissionRequest, body: str) -> str:
    metadata = _part(request.object, "metadata")
    name = request.name or metadata.get("name") or metadata.get("generateName") or "Unknown"
    return f"pods {go_quote(name)} is forbidden: {body}"
