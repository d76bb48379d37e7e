"""What an SCCBinding or ClusterSCCBinding means: ordinary RBAC that `kubectl auth can-i use scc/NAME` agrees with.

An SCCBinding becomes one RoleBinding for each of its SCCs, a ClusterSCCBinding one ClusterRoleBinding, all to
ClusterRole `system:openshift:scc:<name>`, which grants `use` on that SCC and nothing else and belongs to the SCC. What
of a binding is right takes effect; what is wrong is a problem and takes none.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any

import msgspec

from scc_operator import names
from scc_operator.access.rbac import GROUP, SERVICE_ACCOUNT, USER, Owner, Subject
from scc_operator.access.subjects import service_account_group
from scc_operator.engine.errors import InvalidObject
from scc_operator.engine.wire import convert, describe

NAMESPACE = "Namespace"
MAX_SCCS = 8
MAX_SUBJECTS = 64

_NOTICE = timedelta(days=1)
_MAX_NAME = 253
_MAX_LABEL = 63
_MAX_NAMESPACE_NAME = 63
_DIGEST = 10
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


class Problem(msgspec.Struct, frozen=True):
    """Why something of a binding takes no effect: a CamelCase code and a text that names it and the way out."""

    code: str
    message: str


class SCCBinding(msgspec.Struct, frozen=True):
    """An SCCBinding or (with an empty namespace) a ClusterSCCBinding, as written."""

    namespace: str
    name: str
    uid: str
    generation: int
    sccs: tuple[str, ...]
    subjects: tuple[Subject, ...]
    created: datetime | None = None
    expires_at: datetime | None = None
    terminating: bool = False
    conditions: tuple[dict[str, Any], ...] = ()
    """`status.conditions` as stored."""

    @property
    def kind(self) -> str:
        """`SCCBinding` or `ClusterSCCBinding`."""
        return names.BINDING_KIND if self.namespace else names.CLUSTER_BINDING_KIND

    @property
    def owner(self) -> Owner:
        """How the objects that are generated for it are labelled."""
        return Owner(self.kind, self.namespace, label_value(self.name), self.uid)

    def expired(self, now: datetime) -> bool:
        """Whether it has expired; it holds until just before `spec.expiresAt`."""
        return self.expires_at is not None and now >= self.expires_at

    @property
    def notice_at(self) -> datetime | None:
        """From when on it is told that it expires soon; None where it never expires.

        A day before, or when nine tenths of its time are over, where that is later.
        """
        if self.expires_at is None:
            return None
        whole = self.expires_at - (self.created or self.expires_at)
        return self.expires_at - min(_NOTICE, max(whole, timedelta()) / 10)

    def expires_soon(self, now: datetime) -> bool:
        """Whether its end is near, but not yet there."""
        return self.notice_at is not None and self.notice_at <= now and not self.expired(now)

    def next_turn(self, now: datetime) -> datetime | None:
        """When time alone changes what is to be said or done about it; None where it never will."""
        coming = [time for time in (self.notice_at, self.expires_at) if time is not None and time > now]
        return min(coming, default=None)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Desired(msgspec.Struct, frozen=True):
    """The RBAC objects of a binding, by SCC, in the order of the SCCs' names, and what could not be granted."""

    owner: Owner
    cluster_roles: dict[str, dict[str, Any]]
    bindings: dict[str, dict[str, Any]]
    problems: tuple[Problem, ...] = ()


def parse_scc_binding(raw: Mapping[str, Any]) -> SCCBinding:
    """Read an SCCBinding or ClusterSCCBinding of `scc-operator.io/v1alpha1`.

    One that cannot be read must grant nothing: see `grants_nothing`.

    Raises:
        InvalidObject: a field has a wrong type, there are too few or too many SCCs or subjects, or `spec.expiresAt` is
            no RFC 3339 time with a zone.
    """
    namespaced = bool((raw.get("metadata") or {}).get("namespace"))
    kind = names.BINDING_KIND if namespaced else names.CLUSTER_BINDING_KIND
    wire = convert(raw, _Wire, kind)
    for field, found, most in (("sccs", wire.spec.sccs, MAX_SCCS), ("subjects", wire.spec.subjects, MAX_SUBJECTS)):
        if not 1 <= len(found) <= most:
            raise InvalidObject(describe(raw, kind), f"spec.{field}", f"a list of {len(found)}", f"one of 1 to {most}")
    return SCCBinding(
        namespace=wire.metadata.namespace,
        name=wire.metadata.name,
        uid=wire.metadata.uid,
        generation=wire.metadata.generation,
        sccs=wire.spec.sccs,
        subjects=wire.spec.subjects,
        created=_time(wire.metadata.creation_timestamp, describe(raw, kind), "metadata.creationTimestamp"),
        expires_at=_time(wire.spec.expires_at, describe(raw, kind), "spec.expiresAt"),
        terminating=bool(wire.metadata.deletion_timestamp),
        conditions=wire.status.conditions,
    )


def desired(binding: SCCBinding, existing_sccs: Mapping[str, str], now: datetime) -> Desired:
    """The RBAC objects that a binding asks for.

    Args:
        binding: the binding.
        existing_sccs: the uid of each existing SCC, by name.
        now: the time, with a zone.
    """
    if binding.terminating:
        return grants_nothing(binding.owner, Problem("Terminating", f"{binding} is being deleted: it grants nothing"))
    if binding.expires_at is not None and binding.expired(now):
        expired = (
            f"{binding} expired at {format_time(binding.expires_at)}: it grants nothing. Set spec.expiresAt to a later "
            "time or delete the binding"
        )
        return grants_nothing(binding.owner, Problem("Expired", expired))
    problems: list[Problem] = []
    subjects: set[Subject] = set()
    for index, written in enumerate(binding.subjects):
        subject = _rbac_subject(written, binding.namespace)
        if isinstance(subject, Subject):
            subjects.add(subject)
        else:
            problems.append(Problem("InvalidSubject", f"{binding}: spec.subjects[{index}] ({written}) {subject}"))
    cluster_roles: dict[str, dict[str, Any]] = {}
    bindings: dict[str, dict[str, Any]] = {}
    for scc in sorted(set(binding.sccs)):
        if scc not in existing_sccs:
            missing = (
                f"{binding}: spec.sccs names SCC {scc!r}, which does not exist. Create it, or remove it from the list"
            )
            problems.append(Problem("SCCNotFound", missing))
        elif subjects:
            cluster_roles[scc] = cluster_role(scc, existing_sccs[scc])
            bindings[scc] = _rbac_binding(binding, scc, sorted(subjects))
    return Desired(binding.owner, cluster_roles, bindings, tuple(problems))


def grants_nothing(owner: Owner, *problems: Problem) -> Desired:
    """Nothing: what was generated for the binding before is to be deleted."""
    return Desired(owner, {}, {}, problems)


def cluster_role(scc: str, uid: str) -> dict[str, Any]:
    """The ClusterRole that grants `use` on one SCC; it belongs to the SCC, whose uid is given."""
    owner = Owner(names.SCC_KIND, "", label_value(scc), uid)
    api_version = f"{names.SECURITY_GROUP}/{names.SECURITY_VERSION}"
    return {
        "apiVersion": _RBAC_API_VERSION,
        "kind": "ClusterRole",
        "metadata": {
            "name": names.SCC_ROLE_PREFIX + scc,
            "labels": labels_of(owner),
            "ownerReferences": [{"apiVersion": api_version, "kind": names.SCC_KIND, "name": scc, "uid": uid}],
        },
        "rules": [
            {
                "apiGroups": [names.SECURITY_GROUP],
                "resources": [names.SCC_RESOURCE],
                "resourceNames": [scc],
                "verbs": [names.USE_VERB],
            }
        ],
    }


def is_exact_use_role(clusterrole: Mapping[str, Any], scc: str) -> bool:
    """Whether a ClusterRole, as stored, grants `use` on this SCC and nothing else, now and later.

    An aggregated one may grant more as soon as somebody labels a role, so it is not exact.
    """
    exact = {
        "apiGroups": {names.SECURITY_GROUP},
        "resources": {names.SCC_RESOURCE},
        "resourceNames": {scc},
        "verbs": {names.USE_VERB},
        "nonResourceURLs": set(),
    }
    rules = clusterrole.get("rules") or []
    return (
        bool(rules)
        and not clusterrole.get("aggregationRule")
        and all(set(rule.get(field) or ()) == allowed for rule in rules for field, allowed in exact.items())
    )


def binding_name(binding: str, scc: str) -> str:
    """The name of a generated RoleBinding or ClusterRoleBinding.

    Neither name holds a colon, so different pairs have different names. What is longer than an object's name may be is
    cut and made distinct by a digest.
    """
    return _shortened(f"{names.GENERATED_PREFIX}{binding}:{scc}", _MAX_NAME, ":")


def label_value(name: str) -> str:
    """An object's name as a label's value, which must be shorter: a long one is cut and made distinct by a digest."""
    return _shortened(name, _MAX_LABEL, "-")


def labels_of(owner: Owner) -> dict[str, str]:
    """The labels of an object that is generated for this owner; `rbac.owner_of` reads them."""
    labels = {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.OWNER_KIND_LABEL: owner.kind,
        names.OWNER_NAME_LABEL: owner.name,
        names.OWNER_UID_LABEL: owner.uid,
    }
    return labels | ({names.OWNER_NAMESPACE_LABEL: owner.namespace} if owner.namespace else {})


def format_time(time: datetime) -> str:
    """A time as Kubernetes writes it: UTC, whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_RBAC_API_VERSION = f"{names.RBAC_GROUP}/v1"


class _ObjectMeta(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str = ""


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    sccs: tuple[str, ...] = ()
    subjects: tuple[Subject, ...] = ()
    expires_at: str | None = None


class _Status(msgspec.Struct, frozen=True):
    conditions: tuple[dict[str, Any], ...] = ()


class _Wire(msgspec.Struct, frozen=True):
    metadata: _ObjectMeta
    spec: _Spec
    status: _Status = _Status()


def _time(text: str | None, obj: str, field: str) -> datetime | None:
    if text is None:
        return None
    try:
        time: datetime = msgspec.convert(text, Annotated[datetime, msgspec.Meta(tz=True)])
    except msgspec.ValidationError as error:
        raise InvalidObject(obj, field, repr(text), "a time like 2030-01-31T18:00:00Z") from error
    return time


def _rbac_subject(written: Subject, namespace: str) -> Subject | str:
    """The RBAC subject for a subject as written, or what is wrong with it."""
    if not written.name:
        return "has an empty name. Give the name of the user, group, service account or namespace"
    if written.kind == SERVICE_ACCOUNT:
        account_namespace = written.namespace or namespace
        if not account_namespace:
            return "names a service account without its namespace. Add the field namespace"
        if not _fits(_DNS_SUBDOMAIN, written.name, _MAX_NAME):
            return "has a name that no service account can have: lower-case letters, digits, '-' and '.' are allowed"
        if not _fits(_DNS_LABEL, account_namespace, _MAX_NAMESPACE_NAME):
            return "has a namespace that cannot exist: up to 63 lower-case letters, digits and '-' are allowed"
        return Subject(SERVICE_ACCOUNT, written.name, account_namespace)
    if written.kind not in {USER, GROUP, NAMESPACE}:
        return f"is of an unknown kind. Use {USER}, {GROUP}, {SERVICE_ACCOUNT} or {NAMESPACE}"
    if written.namespace:
        return f"has the field namespace, which only a {SERVICE_ACCOUNT} has. Remove it"
    if written.kind != NAMESPACE:
        return Subject(written.kind, written.name)
    if not _fits(_DNS_LABEL, written.name, _MAX_NAMESPACE_NAME):
        return "names a namespace that cannot exist: up to 63 lower-case letters, digits and '-' are allowed"
    return Subject(GROUP, service_account_group(written.name))


def _fits(pattern: re.Pattern[str], name: str, longest: int) -> bool:
    return len(name) <= longest and pattern.fullmatch(name) is not None


def _rbac_binding(binding: SCCBinding, scc: str, subjects: Iterable[Subject]) -> dict[str, Any]:
    owner_reference = {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": binding.kind,
        "name": binding.name,
        "uid": binding.uid,
    }
    metadata: dict[str, Any] = {
        "name": binding_name(binding.name, scc),
        "labels": labels_of(binding.owner),
        "ownerReferences": [owner_reference],
    }
    if binding.namespace:
        metadata["namespace"] = binding.namespace
    return {
        "apiVersion": _RBAC_API_VERSION,
        "kind": "RoleBinding" if binding.namespace else "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": names.RBAC_GROUP, "kind": "ClusterRole", "name": names.SCC_ROLE_PREFIX + scc},
        "subjects": [_wire_subject(subject) for subject in subjects],
    }


def _wire_subject(subject: Subject) -> dict[str, str]:
    if subject.kind == SERVICE_ACCOUNT:
        return {"kind": subject.kind, "name": subject.name, "namespace": subject.namespace}
    return {"apiGroup": names.RBAC_GROUP, "kind": subject.kind, "name": subject.name}


def _shortened(text: str, longest: int, joint: str) -> str:
    if len(text) <= longest:
        return text
    digest = sha256(text.encode()).hexdigest()[:_DIGEST]
    return text[: longest - _DIGEST - 1] + joint + digest
