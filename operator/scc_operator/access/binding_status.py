"""The status of an SCCBinding or ClusterSCCBinding."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from scc_operator.access.reconciliation import CONFLICTS
from scc_operator.access.scc_bindings import Problem, SCCBinding, format_time

EXPIRES_SOON = "ExpiresSoon"
REFUSED = "Refused"
REASONS = CONFLICTS | {
    EXPIRES_SOON,
    REFUSED,
    "Expired",
    "InvalidBinding",
    "InvalidSubject",
    "SCCNotFound",
    "Terminating",
}
"""Everything that may be said about a binding that needs somebody's attention."""

_PROBLEMS_SHOWN = 10
_SUBJECTS_SHOWN = 2


class Outcome(msgspec.Struct, frozen=True):
    """What came of a binding."""

    granted: tuple[str, ...]
    """The SCCs that its subjects may use through it now."""
    problems: tuple[Problem, ...]
    """Everything that keeps it from its full effect, failed writes included."""
    pods: int
    """The number of pods that run under one of these SCCs through it."""
    now: datetime

    def soon(self, binding: SCCBinding) -> Problem | None:
        """What is to be said while it still grants what it should, but not for long."""
        if self.problems or binding.expires_at is None or not binding.expires_soon(self.now):
            return None
        return Problem(
            EXPIRES_SOON,
            f"{binding} expires at {format_time(binding.expires_at)}: from then on it grants nothing. To keep the "
            "grant, set spec.expiresAt to a later time",
        )


def status(binding: SCCBinding, outcome: Outcome) -> dict[str, Any]:
    """The whole `status` to store: observedGeneration, conditions Conflict and Ready, sccs, grantedTo, pods.

    A condition's lastTransitionTime changes only with its status, so equal outcomes give equal statuses.
    """
    conflicts = [problem for problem in outcome.problems if problem.code in CONFLICTS]
    conditions = (
        (
            "Conflict",
            bool(conflicts),
            *_summary(conflicts, "NoConflict", "no foreign object has a name that is needed"),
        ),
        ("Ready", not outcome.problems, *_summary(outcome.problems, *_success(binding, outcome))),
    )
    return {
        "observedGeneration": binding.generation,
        "conditions": [
            _condition(binding, outcome.now, kind, "True" if true else "False", reason, message)
            for kind, true, reason, message in conditions
        ],
        "sccs": list(outcome.granted),
        "grantedTo": _subjects(binding),
        "pods": outcome.pods,
    }


def _summary(problems: Sequence[Problem], reason: str, message: str) -> tuple[str, str]:
    """Reason and message of a condition: of the problems, or the given ones where there is none."""
    if not problems:
        return reason, message
    texts = [problem.message for problem in problems[:_PROBLEMS_SHOWN]]
    if len(problems) > _PROBLEMS_SHOWN:
        texts.append(f"{len(problems) - _PROBLEMS_SHOWN} more")
    return problems[0].code, "; ".join(texts)


def _subjects(binding: SCCBinding) -> str:
    """The subjects as written, in one short text for lists."""
    shown = ", ".join(str(subject) for subject in binding.subjects[:_SUBJECTS_SHOWN])
    more = len(binding.subjects) - _SUBJECTS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _success(binding: SCCBinding, outcome: Outcome) -> tuple[str, str]:
    if soon := outcome.soon(binding):
        return soon.code, soon.message
    where = f"in namespace {binding.namespace}" if binding.namespace else "in all namespaces"
    until = f" until {format_time(binding.expires_at)}" if binding.expires_at else ""
    return "Granted", f"{', '.join(outcome.granted)} may be used {where}{until}"


def _condition(binding: SCCBinding, now: datetime, kind: str, value: str, reason: str, message: str) -> dict[str, Any]:
    before = next((condition for condition in binding.conditions if condition.get("type") == kind), {})
    unchanged = before.get("status") == value and before.get("lastTransitionTime")
    return {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message,
        "observedGeneration": binding.generation,
        "lastTransitionTime": before["lastTransitionTime"] if unchanged else format_time(now),
    }
