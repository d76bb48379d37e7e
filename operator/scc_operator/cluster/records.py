"""What the mirror keeps of each object, and nothing more: ten thousand pods have to fit."""

from collections.abc import Mapping
from typing import Any

import msgspec

from scc_operator import names
from scc_operator.access.subjects import Identity, infer_requester
from scc_operator.engine.errors import InvalidObject
from scc_operator.engine.namespace import NamespaceValues, from_annotations
from scc_operator.engine.pod import Pod, parse_pod
from scc_operator.engine.scc import SecurityContextConstraints, evaluation_errors, parse_scc, with_defaults

Raw = Mapping[str, Any]

_FINISHED = frozenset({"Succeeded", "Failed"})


class Namespace(msgspec.Struct, frozen=True):
    """A namespace: the values of its three annotations, and what decides about exemption and allocation."""

    values: NamespaceValues
    run_level: str
    terminating: bool
    created: str = ""
    """`metadata.creationTimestamp`."""

    @classmethod
    def read(cls, raw: Raw) -> "Namespace":
        """Read a v1 Namespace."""
        metadata = raw["metadata"]
        return cls(
            from_annotations(metadata["name"], metadata.get("annotations") or {}),
            (metadata.get("labels") or {}).get(names.RUN_LEVEL_LABEL, ""),
            "deletionTimestamp" in metadata or (raw.get("status") or {}).get("phase") == "Terminating",
            metadata.get("creationTimestamp") or "",
        )

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations that are set, by key."""
        values = {
            names.UID_RANGE: self.values.uid_range,
            names.MCS: self.values.mcs,
            names.SUPPLEMENTAL_GROUPS: self.values.supplemental_groups,
        }
        return {key: value for key, value in values.items() if value is not None}


class Constraints(msgspec.Struct, frozen=True):
    """An SCC after defaulting, or why it cannot be used."""

    scc: SecurityContextConstraints | None
    errors: tuple[str, ...]

    @classmethod
    def read(cls, raw: Raw) -> "Constraints":
        """Read a v1 SecurityContextConstraints."""
        try:
            scc = with_defaults(parse_scc(raw))
        except InvalidObject as error:
            return cls(None, (str(error),))
        return cls(scc, evaluation_errors(scc))


class Question(msgspec.Struct, frozen=True, cache_hash=True, weakref=True):
    """Everything that a pod's answer depends on: equal questions have equal answers.

    All replicas of a Deployment ask one question. Whatever else a pod says (its name, its status, the audit's own
    annotations) is no part of it.
    """

    namespace: str
    requester: Identity
    pod: Pod


class RunningPod(msgspec.Struct, frozen=True):
    """A running pod: its question, or why it cannot be read, and the audit's annotations as they stand on it."""

    question: Question | None
    problem: str
    written: tuple[str | None, ...]
    """Values of `names.POD_ANNOTATIONS`, in that order."""
    recorded: bool
    """It carries OpenShift's admission record: an SCC together with a subject type."""
    mirror: bool
    """A kubelet's mirror of a static pod: judged, never patched."""

    @classmethod
    def read(cls, raw: Raw) -> "RunningPod | None":
        """Read a v1 Pod; None for a pod that is finished or on its way out, which nobody will start again."""
        metadata = raw["metadata"]
        if "deletionTimestamp" in metadata or (raw.get("status") or {}).get("phase") in _FINISHED:
            return None
        annotations = metadata.get("annotations") or {}
        mirror = names.MIRROR_POD in annotations
        question, problem = None, ""
        try:
            spec = raw.get("spec") or {}
            owners = metadata.get("ownerReferences") or ()
            requester = infer_requester(owners, mirror_node=spec.get("nodeName", "") if mirror else None)
            question = Question(metadata["namespace"], requester, parse_pod(raw))
        except InvalidObject as error:
            problem = str(error)
        return cls(
            question,
            problem,
            tuple(annotations.get(key) for key in names.POD_ANNOTATIONS),
            names.SCC_ANNOTATION in annotations and names.SUBJECT_TYPE in annotations,
            mirror,
        )
