import pytest

from scc_operator.settings import AdmissionRecord, InvalidSettingError, Settings, Switch, load


def test_without_variables_the_defaults_hold() -> None:
    """Variables of others are none of our business."""
    assert load({"PATH": "/bin", "KUBECONFIG": "/tmp/x", "SCC_OPERATORS": "1"}) == Settings()


def test_variables_set_what_they_name() -> None:
    """Texts become numbers, choices and sets."""
    found = load(
        {
            "SCC_OPERATOR_ADMISSION_RECORD": "openshift",
            "SCC_OPERATOR_EXEMPT_NAMESPACES": "kube-system, monitoring,,",
            "SCC_OPERATOR_RANGES": "off",
            "SCC_OPERATOR_LEASE_DURATION": "15",
            "SCC_OPERATOR_HTTP_PORT": "0",
        }
    )
    assert found.admission_record is AdmissionRecord.OPENSHIFT
    assert found.exempt_namespaces == {"kube-system", "monitoring"}
    assert found.ranges is Switch.OFF
    assert (found.lease_duration, found.http_port) == (15.0, 0)


def test_no_namespace_may_be_exempt() -> None:
    """An empty list is a choice, not a missing one."""
    assert load({"SCC_OPERATOR_EXEMPT_NAMESPACES": ""}).exempt_namespaces == frozenset()


@pytest.mark.parametrize(
    "variable, text, allowed",
    [
        ("ADMISSION_RECORD", "yes", "none, openshift"),
        ("RANGES", "true", "on, off, auto"),
        ("WRITE_CONCURRENCY", "many", "int"),
        ("WRITE_CONCURRENCY", "0", ">= 1"),
        ("PAGE_SIZE", "-1", ">= 1"),
        ("HTTP_PORT", "70000", "<= 65535"),
        ("LEASE_DURATION", "0", ">= 1"),
        ("RANGES_GRACE", "-1", ">= 0"),
        ("RESYNC_INTERVAL", "nan", ">= 1"),
    ],
)
def test_a_value_that_is_not_allowed_stops_the_operator(variable: str, text: str, allowed: str) -> None:
    """The text names the variable, what was found and what is allowed."""
    with pytest.raises(InvalidSettingError) as caught:
        load({f"SCC_OPERATOR_{variable}": text})
    assert str(caught.value).startswith(f"SCC_OPERATOR_{variable}: found {text!r}, allowed: ")
    assert allowed in str(caught.value)


def test_a_misspelt_variable_stops_the_operator() -> None:
    """Half of a security configuration is worse than none; the text lists what there is."""
    with pytest.raises(InvalidSettingError, match=r"SCC_OPERATOR_EXEMPT: no such setting; .*_EXEMPT_NAMESPACES"):
        load({"SCC_OPERATOR_EXEMPT": "kube-system"})
