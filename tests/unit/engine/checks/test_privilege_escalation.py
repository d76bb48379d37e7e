from typing import Any

import pytest
from tests.unit.engine.builders import CONTAINER, SCC, Json, container, fills, objections, pod, scc, texts


def escalation(allow: Any = None, default: Any = None, **fields: Any) -> SCC:
    """An SCC with these two fields about privilege escalation."""
    return scc(allowPrivilegeEscalation=allow, defaultAllowPrivilegeEscalation=default, **fields)


def adding(capability: str) -> Json:
    """A pod whose container adds a capability."""
    return pod(container(capabilities={"add": [capability]}))


PRIVILEGED = pod(container(privileged=True))


@pytest.mark.parametrize(
    "under, asked, expected",
    [
        pytest.param(escalation(), pod(), None, id="71: neither set"),
        pytest.param(escalation(allow=False), pod(), False, id="72: forbidden"),
        pytest.param(escalation(allow=True, default=False), pod(), False, id="73: default"),
        pytest.param(escalation(allow=True, default=True), pod(), True, id="default of true"),
        pytest.param(escalation(default=False), PRIVILEGED, None, id="75: privileged escapes the default"),
        pytest.param(escalation(allow=False), PRIVILEGED, False, id="75: privileged does not escape the ban"),
        pytest.param(escalation(default=False), adding("CAP_SYS_ADMIN"), None, id="76: CAP_SYS_ADMIN escapes"),
        pytest.param(escalation(default=False), adding("SYS_ADMIN"), False, id="76: SYS_ADMIN does not"),
        pytest.param(
            escalation(allow=False, default=True), PRIVILEGED, False, id="an exempted default gives way to the ban"
        ),
    ],
)
def test_escalation_is_filled_in(under: SCC, asked: Json, expected: Any) -> None:
    """The SCC's default is filled in unless the container needs escalation, then the ban (cases 71 to 76)."""
    assert fills(under, asked) == ({} if expected is None else {"c.allowPrivilegeEscalation": expected})


def test_a_default_capability_counts_for_the_exemption() -> None:
    """CAP_SYS_ADMIN that the SCC itself adds exempts as well (case 76)."""
    under = escalation(default=False, defaultAddCapabilities=["CAP_SYS_ADMIN"])
    assert fills(under, pod()) == {"c.capabilities.add": ("CAP_SYS_ADMIN",)}


@pytest.mark.parametrize(
    "under, asked",
    [
        pytest.param(escalation(allow=False), pod(container(allowPrivilegeEscalation=True)), id="72: explicit"),
        pytest.param(escalation(allow=False, default=True), pod(), id="74: the SCC contradicts itself"),
    ],
)
def test_escalation_is_refused_where_forbidden(under: SCC, asked: Json) -> None:
    """A value of true is refused, whoever wrote it (cases 72, 74)."""
    detail = "Allowing privilege escalation for containers is not allowed"
    path = f"{CONTAINER}.allowPrivilegeEscalation"
    assert objections(under, asked) == [("PrivilegeEscalationNotAllowed", path, detail)]
    assert texts(under, asked) == [f"{path}: Invalid value: true: {detail}"]
