from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.engine.builders import PROJ, SCC, Json, fills, objections, pod, scc

from scc_operator.engine.checks.sysctls import SAFE_SYSCTLS
from scc_operator.engine.judge import evaluate
from scc_operator.engine.pod import parse_pod
from scc_operator.engine.provider import build_providers


def setting(*names: Any) -> Json:
    """A pod that sets these sysctls."""
    return pod(sysctls=[{"name": name, "value": "1"} for name in names])


def rules(allowed: Sequence[str] = (), forbidden: Sequence[str] = ()) -> SCC:
    """An SCC with these patterns."""
    return scc(allowedUnsafeSysctls=list(allowed), forbiddenSysctls=list(forbidden))


def unsafe(name: str) -> list[tuple[str, str, str]]:
    """The objection to an unsafe sysctl."""
    return [("UnsafeSysctlNotAllowed", "pod.spec.securityContext.sysctls[0]", f'unsafe sysctl "{name}" is not allowed')]


@pytest.mark.parametrize("name", sorted(SAFE_SYSCTLS))
def test_safe_sysctls_pass(name: str) -> None:
    """A safe sysctl needs no permission (case 101)."""
    assert fills(rules(), setting(name)) == {}


def test_slashes_are_not_dots() -> None:
    """Names are compared as they are written (case 101)."""
    assert objections(rules(), setting("kernel/shm_rmid_forced")) == unsafe("kernel/shm_rmid_forced")


def test_names_are_quoted_as_go_does() -> None:
    """What cannot be printed in a name is escaped."""
    ((_, _, detail),) = objections(rules(), setting('a"b'))
    assert detail == r'unsafe sysctl "a\"b" is not allowed'


def test_forbidden_wins_over_allowed_and_safe() -> None:
    """A forbidden sysctl is refused even if it is safe and allowed (case 102)."""
    assert objections(rules(["*"], ["kernel.*"]), setting("kernel.shm_rmid_forced")) == [
        (
            "SysctlForbidden",
            "pod.spec.securityContext.sysctls[0]",
            'sysctl "kernel.shm_rmid_forced" is not allowed',
        )
    ]


@pytest.mark.parametrize(
    "pattern, name, matches",
    [
        ("net.core.*", "net.core.", True),
        ("net.core.*", "net.core.somaxconn", True),
        ("net.core.*", "net.core", False),
        ("net.core", "net.core.somaxconn", False),
        ("*", "anything", True),
        ("net.**", "net.*x", True),
        ("net.**", "net.x", False),
    ],
)
def test_a_pattern_is_a_name_or_a_prefix(pattern: str, name: str, matches: bool) -> None:
    """A pattern that ends in `*` matches what begins with the rest of it."""
    assert objections(rules([pattern]), setting(name)) == ([] if matches else unsafe(name))


def test_what_is_safe_can_be_told() -> None:
    """The list of safe sysctls depends on the node's kernel, so a caller may give its own."""
    (provider,) = build_providers([rules()], PROJ, frozenset({"fs.mine"}))
    codes = [found.code for found in evaluate(parse_pod(setting("fs.mine", "net.ipv4.tcp_rmem")), provider).objections]
    assert codes == ["UnsafeSysctlNotAllowed"]
