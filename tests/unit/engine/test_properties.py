"""Properties that hold for every pod and every SCC; annotations for seccomp are left out, which may undo each other."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.engine.builders import PROJ, SCC, Json

from scc_operator.engine.admit import apply_fills
from scc_operator.engine.judge import USER, decide, evaluate, no_change, walk
from scc_operator.engine.order import order
from scc_operator.engine.pod import parse_pod
from scc_operator.engine.provider import build_providers
from scc_operator.engine.scc import parse_scc, with_defaults

IDS = st.sampled_from([0, 1, 5, 1000, 1000680000, 1000680001])
CAPABILITIES = st.lists(st.sampled_from(["ALL", "KILL", "NET_ADMIN", "CAP_SYS_ADMIN"]), max_size=3)
LEVELS = st.sampled_from(["", "s0", "s0:c15,c26", "s0:c26,c15"])
PROFILES = st.sampled_from(
    [{"type": "RuntimeDefault"}, {"type": "Unconfined"}, {"type": "Localhost", "localhostProfile": "a"}]
)


def some(**fields: Any) -> st.SearchStrategy[Json]:
    """Objects that hold any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


SELINUX = some(level=LEVELS, type=st.sampled_from(["", "spc_t"]))
SHARED = {"runAsUser": IDS, "runAsNonRoot": st.booleans(), "seLinuxOptions": SELINUX, "seccompProfile": PROFILES}
CONTAINER_CONTEXTS = some(
    **SHARED,
    privileged=st.booleans(),
    allowPrivilegeEscalation=st.booleans(),
    readOnlyRootFilesystem=st.booleans(),
    capabilities=some(add=CAPABILITIES, drop=CAPABILITIES),
)
CONTAINERS = st.lists(
    st.builds(lambda context: {"name": "c", "securityContext": context}, CONTAINER_CONTEXTS), max_size=2
)
PODS = st.builds(
    lambda context, init, containers, host: {
        "metadata": {"name": "p"},
        "spec": {"securityContext": context, "initContainers": init, "containers": containers, **host},
    },
    some(**SHARED, fsGroup=IDS, supplementalGroups=st.lists(IDS, max_size=2)),
    CONTAINERS,
    CONTAINERS,
    some(hostNetwork=st.booleans(), hostUsers=st.booleans(), volumes=st.just([{"name": "v", "secret": {}}])),
)
GROUPS = st.one_of(
    st.just({"type": "RunAsAny"}),
    st.builds(
        lambda ranges: {"type": "MustRunAs", "ranges": ranges},
        st.lists(st.builds(lambda low, size: {"min": low, "max": low + size}, IDS, st.integers(0, 9)), max_size=2),
    ),
)
SCCS = st.builds(
    lambda index, fields: with_defaults(parse_scc({**fields, "metadata": {"name": f"scc-{index}"}})),
    st.integers(0, 99),
    st.fixed_dictionaries(
        {
            "runAsUser": st.one_of(
                st.sampled_from([{"type": "RunAsAny"}, {"type": "MustRunAsNonRoot"}, {"type": "MustRunAsRange"}]),
                st.builds(lambda uid: {"type": "MustRunAs", "uid": uid}, IDS),
            ),
            "seLinuxContext": st.builds(
                lambda kind, options: {"type": kind, "seLinuxOptions": options},
                st.sampled_from(["RunAsAny", "MustRunAs"]),
                SELINUX,
            ),
            "fsGroup": GROUPS,
            "supplementalGroups": GROUPS,
            "seccompProfiles": st.lists(st.sampled_from(["*", "runtime/default", "unconfined"]), max_size=2),
            "requiredDropCapabilities": CAPABILITIES,
            "defaultAddCapabilities": CAPABILITIES,
            "allowedCapabilities": st.one_of(CAPABILITIES, st.just(["*"])),
            "allowPrivilegeEscalation": st.sampled_from([None, True, False]),
            "defaultAllowPrivilegeEscalation": st.sampled_from([None, True, False]),
            "allowPrivilegedContainer": st.booleans(),
            "readOnlyRootFilesystem": st.booleans(),
            "allowHostNetwork": st.booleans(),
        }
    ),
)


@settings(max_examples=300, deadline=None)
@given(PODS, st.lists(SCCS, max_size=4, unique_by=lambda scc: scc.name))
def test_a_completed_pod_satisfies_the_same_scc_without_a_change(raw: Json, sccs: list[SCC]) -> None:
    """What admission completes, the validating pass accepts under the same SCC with nothing left to fill in."""
    providers = build_providers(order(sccs), PROJ)
    chosen = decide(parse_pod(raw), providers, lambda _: USER).chosen
    if chosen is None:
        return
    (provider,) = (found for found in providers if found.name == chosen.scc)
    again = evaluate(parse_pod(apply_fills(raw, chosen)), provider)
    assert (again.objections, again.fills) == ((), ())


@settings(max_examples=200, deadline=None)
@given(PODS, st.lists(SCCS, max_size=4, unique_by=lambda scc: scc.name))
def test_the_walk_agrees_with_looking_at_every_scc(raw: Json, sccs: list[SCC]) -> None:
    """The walk finds what evaluating each SCC on its own finds, with changes or without."""
    shape = parse_pod(raw)
    providers = build_providers(order(sccs), PROJ)
    attempts = [evaluate(shape, provider) for provider in providers]
    fitting = [attempt for attempt in attempts if attempt.fits]
    assert decide(shape, providers, lambda _: USER).chosen == (fitting[0] if fitting else None)
    untouched = [attempt for attempt in fitting if not attempt.fills]
    assert walk(shape, providers, lambda _: USER, no_change).chosen == (untouched[0] if untouched else None)


@settings(max_examples=200, deadline=None)
@given(PODS, SCCS)
def test_filling_in_touches_nothing_that_the_pod_says(raw: Json, scc: SCC) -> None:
    """Each fill is of a field that the pod left open, or grows a list of capabilities."""
    (provider,) = build_providers([scc], PROJ)
    for fill in evaluate(parse_pod(raw), provider).fills:
        if fill.place is None:
            context = raw["spec"]["securityContext"]
        else:
            context = raw["spec"][fill.place.kind][fill.place.index]["securityContext"]
        if isinstance(fill.value, tuple) and fill.field.startswith("capabilities."):
            given_list = context.get("capabilities", {}).get(fill.field.removeprefix("capabilities."), [])
            assert set(given_list) < set(fill.value)
        elif fill.field != "seccompProfile":
            assert fill.field not in context
