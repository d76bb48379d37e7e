"""The order in which SCCs are tried: priority, then restrictiveness in points, then name (spec/admission.md §4)."""

from collections.abc import Iterable, Sequence

from scc_operator.engine.scc import ANY, SecurityContextConstraints
from scc_operator.engine.volume_types import HOST_PATH

PRIVILEGED = 1_600_000
HOST_PORTS = 800_000
HOST_NETWORK = 400_000
HOST_PATH_VOLUMES = 200_000
NON_TRIVIAL_VOLUMES = 100_000

_WEIGHTS = (
    (PRIVILEGED, "privileged"),
    (HOST_PORTS, "host ports"),
    (HOST_NETWORK, "host networking"),
    (HOST_PATH_VOLUMES, "host volume mounts"),
    (NON_TRIVIAL_VOLUMES, "non-trivial volume mounts"),
)
_STRATEGIES = {"RunAsAny": 40_000, "MustRunAsNonRoot": 30_000, "MustRunAsRange": 20_000, "MustRunAs": 10_000}
_STRATEGY_UNIT = 10_000
_TRIVIAL_VOLUMES = {"secret", "configMap", "emptyDir", "downwardAPI", "projected", "none"}

_CAPABILITIES_BASE = 5_000
_CAPABILITIES_MAX = 9_999
_PER_DEFAULT_ADD = 300
_ALL_ALLOWED = 4_000
_PER_ALLOWED = 10
_ALL_DROPPED = 3_000
_PER_DROPPED = 50


def order(sccs: Iterable[SecurityContextConstraints]) -> tuple[SecurityContextConstraints, ...]:
    """The SCCs in the order in which admission tries them."""
    return tuple(sorted(sccs, key=lambda scc: (-(scc.priority or 0), points(scc), scc.name)))


def points(scc: SecurityContextConstraints) -> int:
    """How much an SCC allows: the more, the later it is tried (spec/admission.md §4.1)."""
    return (
        PRIVILEGED * scc.allow_privileged_container
        + HOST_PORTS * scc.allow_host_ports
        + HOST_NETWORK * scc.allow_host_network
        + _volume_points(scc.volumes or ())
        + _STRATEGIES.get(scc.se_linux_context.type, 0)
        + _STRATEGIES.get(scc.run_as_user.type, 0)
        + _capability_points(scc)
    )


def _volume_points(volumes: Sequence[str]) -> int:
    if HOST_PATH in volumes or ANY in volumes:
        return HOST_PATH_VOLUMES
    return 0 if _TRIVIAL_VOLUMES.issuperset(volumes) else NON_TRIVIAL_VOLUMES


def _capability_points(scc: SecurityContextConstraints) -> int:
    result = _CAPABILITIES_BASE + _PER_DEFAULT_ADD * len(scc.default_add_capabilities)
    if ANY in scc.allowed_capabilities or _names_all(scc.allowed_capabilities):
        result += _ALL_ALLOWED
    else:
        result += _PER_ALLOWED * len(scc.allowed_capabilities)
    if _names_all(scc.required_drop_capabilities):
        result -= _ALL_DROPPED
    else:
        result -= _PER_DROPPED * len(scc.required_drop_capabilities)
    return max(0, min(result, _CAPABILITIES_MAX))


def _names_all(capabilities: Sequence[str]) -> bool:
    return any(capability.upper() == "ALL" for capability in capabilities)


def with_hint(ordered: Sequence[SecurityContextConstraints], hint: str) -> tuple[SecurityContextConstraints, ...]:
    """The same order, but the hinted SCC first if there is one of that name (spec/admission.md §4.3)."""
    return tuple(sorted(ordered, key=lambda scc: scc.name != hint))


def reason(first: SecurityContextConstraints, second: SecurityContextConstraints) -> str:
    """Why `first` is tried before `second` (spec/admission.md §4.4)."""
    if (first.priority or 0) != (second.priority or 0):
        return "has higher priority"
    left, right = points(first), points(second)
    if left == right:
        return "ordered by name"
    for weight, label in _WEIGHTS:
        if left < weight <= right:
            return f"forbids {label}"
        if left >= weight:
            left, right = left - weight, right - weight
    if left // _STRATEGY_UNIT < right // _STRATEGY_UNIT:
        return "permits less runAs strategies"
    return "permits less capabilities"
