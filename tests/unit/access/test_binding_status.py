from datetime import UTC, datetime
from typing import Any

import msgspec

from scc_operator.access.binding_status import Outcome, status
from scc_operator.access.rbac import Subject
from scc_operator.access.scc_bindings import Problem, SCCBinding

NOW = datetime(2030, 1, 31, 18, 0, 0, 999, tzinfo=UTC)
LATER = datetime(2030, 2, 1, tzinfo=UTC)
BINDING = SCCBinding("shop", "web", "u1", 7, ("anyuid", "gone"), ())
MISSING = Problem("SCCNotFound", "SCC 'gone' does not exist")
CONFLICT = Problem("BindingConflict", "RoleBinding shop/x is somebody's")


def outcome(*problems: Problem, now: datetime = NOW) -> Outcome:
    """An outcome of one granted SCC."""
    return Outcome(("anyuid",), problems, 4, now)


def conditions(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in found["conditions"]}


def test_success() -> None:
    """A binding that has its full effect is Ready and says what it grants where, and until when."""
    found = status(BINDING, outcome())
    assert (found["observedGeneration"], found["sccs"], found["pods"]) == (7, ["anyuid"], 4)
    assert conditions(found) == {"Conflict": ("False", "NoConflict"), "Ready": ("True", "Granted")}
    assert found["conditions"][1] == {
        "type": "Ready",
        "status": "True",
        "reason": "Granted",
        "message": "anyuid may be used in namespace shop",
        "observedGeneration": 7,
        "lastTransitionTime": "2030-01-31T18:00:00Z",
    }
    temporary = msgspec.structs.replace(BINDING, namespace="", expires_at=LATER)
    message = status(temporary, outcome())["conditions"][1]["message"]
    assert message == "anyuid may be used in all namespaces until 2030-02-01T00:00:00Z"


def test_problems() -> None:
    """Every problem is told in Ready, foreign objects in Conflict too."""
    found = status(BINDING, outcome(MISSING, CONFLICT))
    assert conditions(found) == {"Conflict": ("True", "BindingConflict"), "Ready": ("False", "SCCNotFound")}
    assert found["conditions"][0]["message"] == CONFLICT.message
    assert found["conditions"][1]["message"] == f"{MISSING.message}; {CONFLICT.message}"


def test_many_problems() -> None:
    """A condition tells ten problems and how many more there are."""
    message = status(BINDING, outcome(*[MISSING] * 12))["conditions"][1]["message"]
    assert message.count(MISSING.message) == 10
    assert message.endswith("; 2 more")


def test_transition_times() -> None:
    """A condition keeps its time while its status stays, so equal outcomes give equal statuses."""
    first = status(BINDING, outcome(MISSING))
    stored = msgspec.structs.replace(BINDING, conditions=tuple(first["conditions"]))
    assert status(stored, outcome(MISSING, now=LATER)) == first
    second = status(stored, outcome(now=LATER))
    assert [condition["lastTransitionTime"] for condition in second["conditions"]] == [
        "2030-01-31T18:00:00Z",
        "2030-02-01T00:00:00Z",
    ]


def test_granted_to() -> None:
    """The subjects are told in one short text."""
    subjects = (Subject("ServiceAccount", "web", "shop"), Subject("Group", "staff"), Subject("Namespace", "batch"))
    for count, text in ((1, "ServiceAccount shop/web"), (3, "ServiceAccount shop/web, Group staff and 1 more")):
        found = status(msgspec.structs.replace(BINDING, subjects=subjects[:count]), outcome())
        assert found["grantedTo"] == text


def test_an_end_that_is_near() -> None:
    """A binding that still grants all but not for long is Ready with a reason of its own; problems come first."""
    made = datetime(2030, 1, 1, tzinfo=UTC)
    binding = msgspec.structs.replace(BINDING, created=made, expires_at=LATER)
    assert conditions(status(binding, outcome()))["Ready"] == ("True", "ExpiresSoon")
    assert "2030-02-01T00:00:00Z" in status(binding, outcome())["conditions"][1]["message"]
    assert conditions(status(binding, outcome(now=made)))["Ready"] == ("True", "Granted")
    assert conditions(status(binding, outcome(MISSING)))["Ready"] == ("False", "SCCNotFound")
