"""Annotations for the API server's audit log: why this SCC and not another (spec/admission.md §6.5)."""

import re
from collections.abc import Sequence

from scc_operator.engine.judge import Decision, Usable, any_change, walk
from scc_operator.engine.order import reason
from scc_operator.engine.pod import Pod
from scc_operator.engine.provider import Provider
from scc_operator.engine.verdict import Attempt, TextStyle, aggregate, go_quote
from scc_operator.names import AUDIT_DENIED, AUDIT_PREFIX

_NEEDS_CHANGES = "failures final validation after mutating admission"
_LATE_DENIAL = "got denied in final validation after mutating admission"
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
"""What the audit log accepts as the second part of a key."""


def _failure(attempt: Attempt, style: TextStyle) -> str:
    if attempt.fits:
        return _NEEDS_CHANGES
    return aggregate(objection.text_in(style) for objection in attempt.objections)


def _record(audit: dict[str, str], name: str, value: str) -> None:
    """Write an audit annotation; a key is written once, and one that is no valid key is dropped (§6.5)."""
    if _NAME.fullmatch(name):
        audit.setdefault(f"{AUDIT_PREFIX}/{name}", value)


def creation(
    pod: Pod, decision: Decision, providers: Sequence[Provider], usable: Usable, style: TextStyle
) -> dict[str, str]:
    """What the mutating pass records about a pod that is being created."""
    audit = {AUDIT_DENIED: ",".join(decision.not_usable)}
    failed = decision.failed
    for attempt in failed:
        _record(audit, f"too-restrictive-{attempt.scc}", _failure(attempt, style))
    if decision.chosen is None:
        _record(audit, "reason", "all too restrictive or denied" if failed else "all denied")
        return audit
    tried = len(decision.rejected)
    following = walk(pod, providers[tried + 1 :], usable, any_change)
    name = go_quote(decision.chosen.scc)
    if following.chosen is None:
        _record(audit, "reason", f"{name} is the only one not too restrictive and not denied")
        return audit
    runner_up = providers[tried + 1 + len(following.rejected)]
    why = f"because {name} {reason(providers[tried].scc, runner_up.scc)}"
    text = f"{name} is most restrictive, not denied, and chosen over {go_quote(runner_up.name)} {why}"
    _record(audit, "reason", text)
    return audit


def without_changes(decision: Decision, hint: str, style: TextStyle) -> dict[str, str]:
    """What the validating pass, and the mutating pass of an update, record; `hint` names the SCC tried first."""
    audit: dict[str, str] = {}
    chosen = decision.chosen.scc if decision.chosen else ""
    if hint and chosen != hint:
        originally = f"originally chosen {go_quote(hint)}"
        failure = next((_failure(attempt, style) for attempt in decision.failed if attempt.scc == hint), None)
        if failure is None:
            _record(audit, "denied-validation", f"{originally} {_LATE_DENIAL}")
        else:
            _record(audit, f"too-restrictive-{hint}", failure)
        if chosen:
            instead = f"{originally} did not pass final validation after mutating admission, but {go_quote(chosen)} did"
            _record(audit, "reason-validation", f"{instead} instead")
        else:
            _record(audit, "denied-validation", f"{originally} {_LATE_DENIAL}, and no other matched")
    if chosen:
        _record(audit, "chosen", chosen)
    return audit
