from typing import Any, get_args

import pytest
from hypothesis import given, settings
from tests.unit.engine.builders import PROJ, stock_sccs
from tests.unit.engine.test_properties import PODS, SCCS

from scc_operator.audit.wording import fill_text, findings, value_at
from scc_operator.engine.errors import ProviderError
from scc_operator.engine.judge import evaluate
from scc_operator.engine.pod import Place, parse_pod
from scc_operator.engine.provider import build_providers
from scc_operator.engine.scc import SecurityContextConstraints, SELinuxOptions
from scc_operator.engine.verdict import Fill, FillField

STOCK = {scc.name: scc for scc in stock_sccs()}


def told(scc: str, *containers: dict[str, Any], **spec: Any) -> list[str]:
    """What a default SCC refuses of a pod, in words."""
    raw = {"spec": {"containers": [{"name": "c", **each} for each in containers or ({},)], **spec}}
    (provider,) = build_providers([STOCK[scc]], PROJ)
    return [str(each) for each in findings(evaluate(parse_pod(raw), provider).objections, provider.scc, raw)]


@pytest.mark.parametrize(
    "asked, expected",
    [
        ({"securityContext": {"runAsUser": 5}}, "spec.securityContext.runAsUser: 5, allowed: 1000680000-1000689999"),
        ({"hostNetwork": True}, "spec.hostNetwork: true, allowed: false"),
        ({"securityContext": {"fsGroup": 5}}, "spec.securityContext.fsGroup: 5, allowed: 1000680000"),
        (
            {"securityContext": {"seLinuxOptions": {"level": "s0", "type": "spc_t"}}},
            "spec.securityContext.seLinuxOptions.level: s0, allowed: s0:c26,c15",
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}}},
            "spec.securityContext.seccompProfile: Localhost: a.json, allowed: runtime/default",
        ),
        (
            {"securityContext": {"sysctls": [{"name": "kernel.sem"}]}},
            "spec.securityContext.sysctls[0].name: kernel.sem, allowed: safe ones only",
        ),
    ],
)
def test_fields_are_named_as_the_manifest_names_them(asked: dict[str, Any], expected: str) -> None:
    """The path where the value stands, what was found, and the SCC's own terms with the namespace's values."""
    assert told("restricted-v2", **asked)[0] == expected


def test_a_value_that_a_container_inherits_is_found_at_the_pod() -> None:
    """Two containers that inherit one value are one finding; a container's own value is its own."""
    own = {"securityContext": {"runAsUser": 6}}
    assert told("restricted-v2", {}, {}, own, securityContext={"runAsUser": 5}) == [
        "spec.securityContext.runAsUser: 5, allowed: 1000680000-1000689999",
        "spec.containers[2].securityContext.runAsUser: 6, allowed: 1000680000-1000689999",
    ]


def test_what_is_repeated_for_each_container_is_told_once() -> None:
    """Host namespaces and ports are objected to for each container; they are one field of the manifest."""
    port = {"ports": [{"hostPort": 80}]}
    assert told("restricted-v2", port, {}, hostPID=True) == [
        "spec.hostPID: true, allowed: false",
        "spec.containers[0].ports[0].hostPort: 80, allowed: none",
    ]


@settings(max_examples=150, deadline=None)
@given(PODS, SCCS)
def test_every_objection_has_words(raw: dict[str, Any], scc: SecurityContextConstraints) -> None:
    """Whatever the engine objects to can be told, and where a value is shown it stands at the path that is named."""
    try:
        (provider,) = build_providers([scc], PROJ)
    except ProviderError:
        return
    objections = evaluate(parse_pod(raw), provider).objections
    found = findings(objections, provider.scc, raw)
    assert bool(found) == bool(objections)
    for each in found:
        if each.code.startswith("RunAsUser"):
            assert str(value_at(raw, each.path)) == each.found


def test_fills_are_short() -> None:
    """A field and its value as people write them."""
    place = Place("containers", 0, "c")
    values: dict[FillField, tuple[object, str]] = {
        "supplementalGroups": ((1, 2), "1,2"),
        "seLinuxOptions": (SELinuxOptions(level="s0:c1"), "s0:c1"),
        "runAsNonRoot": (True, "true"),
        "runAsUser": (5, "5"),
    }
    assert set(values) <= set(get_args(FillField))
    for field, (value, text) in values.items():
        assert fill_text(Fill(field, value, place)) == f"{field}={text}"
