import pytest
from tests.unit.engine.builders import CONTAINER, container, fills, objections, pod, scc, texts


def escalation(allow=None, default=None, **fields):
    return scc(allowPrivilegeEscalation=allow, defaultAllowPrivilegeEscalation=default, **fields)


def adding(capability):
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
def test_escalation_is_filled_in(under, asked, expected):
    """The SCC's default is filled in unless the container needs escalation, then the ban (cases 71 to 76)."""
    assert fills(under, asked) == ({} if expected is None else {"c.allowPrivilegeEscalation": expected})


def test_a_default_capability_counts_for_the_exemption():
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
def test_escalation_is_refused_where_forbidden(under, asked):
    """A value of true is refused, whoever wrote it (cases 72, 74)."""
    detail = "Allowing privilege escalation for containers is not allowed"
    path = f"{CONTAINER}.allowPrivilegeEscalation"
    assert objections(under, asked) == [("PrivilegeEscalationNotAllowed", path, detail)]
    assert texts(under, asked) == [f"{path}: Invalid value: true: {detail}"]


def test_privileged_containers_are_refused():
    """A privileged container is refused; false is as good as silence."""
    under = scc(allowPrivilegedContainer=False)
    assert objections(under, PRIVILEGED) == [
        ("PrivilegedNotAllowed", f"{CONTAINER}.privileged", "Privileged containers are not allowed")
    ]
    assert fills(under, pod(container(privileged=False))) == {}
    assert fills(scc(), PRIVILEGED) == {}


def test_read_only_root_is_filled_in_and_enforced():
    """A silent container gets a read-only root, an explicit false is refused (case 77)."""
    under = scc(readOnlyRootFilesystem=True)
    path = f"{CONTAINER}.readOnlyRootFilesystem"
    assert fills(under, pod()) == {"c.readOnlyRootFilesystem": True}
    assert fills(under, pod(container(readOnlyRootFilesystem=True))) == {}
    assert objections(under, pod(container(readOnlyRootFilesystem=False))) == [
        ("ReadOnlyRootFilesystemRequired", path, "ReadOnlyRootFilesystem must be set to true")
    ]
    assert texts(under, pod(container(readOnlyRootFilesystem=False)))[0].startswith(f"{path}: Invalid value: false: ")
