"""A holding as it is stored: the NamespaceRange named after its block.

`spec` is the administrator's: the block, and to whom it is pinned. `status` is the operator's.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from scc_operator.allocation.holdings import Holding, State
from scc_operator.allocation.uid_blocks import InvalidBlock, parse_block
from scc_operator.names import GROUP, HOLDING_KIND, VERSION

_TIME = "%Y-%m-%dT%H:%M:%SZ"


def read_holding(raw: Mapping[str, Any]) -> Holding | None:
    """Read a NamespaceRange; None for one whose name is not that of its block, which then says nothing."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    try:
        block = parse_block(spec.get("uidRange", ""))
    except InvalidBlock:
        return None
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    ready = conditions.get("Ready", {})
    state = status.get("state")
    holding = Holding(
        block,
        pinned_to=spec.get("pinnedTo") or "",
        state=State(state) if state in set(State) else State.RESERVED,
        namespace=status.get("namespace") or "",
        uid=status.get("namespaceUID") or "",
        groups=status.get("supplementalGroups"),
        mcs=status.get("mcs"),
        released_at=_seconds(status.get("releasedAt")),
        since=_seconds(ready.get("lastTransitionTime")) or 0,
        volumes=tuple(status.get("persistentVolumes") or ()),
        message=ready.get("message") or "",
    )
    return holding if block.holds_uids and raw["metadata"]["name"] == holding.name else None


def status_of(holding: Holding) -> dict[str, Any]:
    """The status to merge into a NamespaceRange; a field of None is taken away."""
    return {
        "state": holding.state.value,
        "namespace": holding.namespace or None,
        "namespaceUID": holding.uid or None,
        "supplementalGroups": holding.groups,
        "mcs": holding.mcs,
        "releasedAt": None if holding.released_at is None else _text(holding.released_at),
        "persistentVolumes": list(holding.volumes) or None,
        "conditions": [
            {
                "type": "Ready",
                "status": "True" if holding.state is State.BOUND else "False",
                "reason": holding.state.value,
                "message": holding.message,
                "lastTransitionTime": _text(holding.since),
            }
        ],
    }


def new_body(holding: Holding) -> dict[str, Any]:
    """A NamespaceRange to create."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": HOLDING_KIND,
        "metadata": {"name": holding.name},
        "spec": {"uidRange": str(holding.block)},
        "status": {key: value for key, value in status_of(holding).items() if value is not None},
    }


def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME)


def _seconds(text: object) -> int | None:
    """The Unix seconds of a stored time; None where there is none, or one that cannot be read."""
    if not isinstance(text, str):
        return None
    try:
        return int(datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None
