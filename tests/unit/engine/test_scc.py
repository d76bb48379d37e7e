from typing import Any

import pytest
from tests.unit.engine.builders import Json, scc

from scc_operator.engine.errors import InvalidObject
from scc_operator.engine.scc import IDRange, evaluation_errors, parse_scc, with_defaults
from scc_operator.engine.volume_types import VOLUME_TYPES

ALL_BUT_HOST_PATH = tuple(sorted(set(VOLUME_TYPES.values()) - {"hostPath"}))


@pytest.mark.parametrize(
    "volumes, host_dir, expected",
    [
        (None, False, ALL_BUT_HOST_PATH),
        (None, True, ("*",)),
        ([], False, ("none",)),
        ([], True, ("hostPath",)),
        (["*"], False, ALL_BUT_HOST_PATH),
        (["*"], True, ("*",)),
        (["*", "secret", "bogus"], True, ("*", "bogus", "secret")),
        (["*", "none", "bogus"], False, tuple(sorted([*ALL_BUT_HOST_PATH, "bogus", "none"]))),
        (["secret", "hostPath", "secret"], False, ("secret",)),
        (["hostPath"], False, ()),
        (["none"], True, ("hostPath", "none")),
        (["z", "secret", "a"], False, ("a", "secret", "z")),
    ],
)
def test_volumes_default_against_host_dir(volumes: Any, host_dir: bool, expected: Any) -> None:
    """Volumes become a sorted set in which allowHostDirVolumePlugin decides about hostPath (spec §1.2)."""
    stored = with_defaults(parse_scc({"volumes": volumes, "allowHostDirVolumePlugin": host_dir}))
    assert stored.volumes == expected


def test_a_list_left_empty_becomes_none_only_in_a_second_pass() -> None:
    """Taking the last volume away leaves an empty list, which a second defaulting reads as none (spec §1.2)."""
    once = with_defaults(parse_scc({"volumes": ["hostPath"]}))
    assert once.volumes == ()
    assert with_defaults(once).volumes == ("none",)


def test_there_are_thirty_volume_types() -> None:
    """The API knows 30 sources, each with a type of its own."""
    assert len(VOLUME_TYPES) == len(set(VOLUME_TYPES.values())) == 30


def test_strategies_and_escalation_default() -> None:
    """Group strategies without a type are RunAsAny, absent escalation is allowed; user and SELinux stay (spec §1.2)."""
    stored = with_defaults(parse_scc({"fsGroup": {"ranges": [{"min": 1}]}}))
    assert (stored.fs_group.type, stored.supplemental_groups.type) == ("RunAsAny", "RunAsAny")
    assert stored.fs_group.ranges == (IDRange(1, 0),)
    assert stored.allow_privilege_escalation is True
    assert (stored.run_as_user.type, stored.se_linux_context.type) == ("", "")
    assert stored.priority is None


def test_an_explicit_false_is_no_absence() -> None:
    """Defaulting never overrides what the author wrote."""
    stored = with_defaults(parse_scc({"allowPrivilegeEscalation": False, "fsGroup": {"type": "MustRunAs"}}))
    assert stored.allow_privilege_escalation is False
    assert stored.fs_group.type == "MustRunAs"


def test_null_means_absent_and_unknown_fields_are_ignored() -> None:
    """Null reads as absence at every depth, and newer fields do no harm."""
    found = parse_scc(
        {
            "metadata": {"name": "x", "annotations": None},
            "users": None,
            "runAsUser": {"type": "MustRunAs", "uid": None},
            "fsGroup": None,
            "allowHostPID": None,
            "runAsGroup": {"type": "RunAsAny"},
        }
    )
    assert found == parse_scc({"metadata": {"name": "x"}, "runAsUser": {"type": "MustRunAs"}})
    assert found.name == "x"


def test_json_text_is_read_as_well() -> None:
    """An SCC may come as JSON text."""
    assert parse_scc(b'{"metadata": {"name": "x"}, "allowHostIPC": true}').allow_host_ipc is True


@pytest.mark.parametrize(
    "raw, field, found, allowed",
    [
        ({"allowHostPID": "yes"}, "allowHostPID", "a string", "a boolean"),
        ({"runAsUser": {"uid": "0"}}, "runAsUser.uid", "a string", "an integer or null"),
        ({"fsGroup": {"ranges": [{"min": 1}, {"min": []}]}}, "fsGroup.ranges[1].min", "a list", "an integer"),
        ({"volumes": "secret"}, "volumes", "a string", "a list or null"),
        ({"runAsUser": {"uid": 2**63}}, "runAsUser.uid", "out of range", "an integer"),
    ],
)
def test_wrong_types_name_object_field_and_what_is_allowed(raw: Json, field: str, found: str, allowed: str) -> None:
    """An error says where, what stands there and what may stand there."""
    with pytest.raises(InvalidObject) as error:
        parse_scc({"metadata": {"name": "mine"}, **raw})
    assert error.value.object == "SecurityContextConstraints mine"
    assert (error.value.field, error.value.found) == (field, found)
    assert error.value.allowed.startswith(allowed)
    assert f"SecurityContextConstraints mine: field {field} is {found}, but must be {allowed}" in str(error.value)


@pytest.mark.parametrize("text", [b"{", b"[]"])
def test_text_that_is_no_object_is_refused(text: bytes) -> None:
    """Malformed JSON is an invalid object too."""
    with pytest.raises(InvalidObject, match="SecurityContextConstraints without a name"):
        parse_scc(text)


@pytest.mark.parametrize(
    "fields, errors",
    [
        ({}, ()),
        ({"runAsUser": {"type": "MustRunAs"}}, ("MustRunAs requires a UID",)),
        ({"runAsUser": {"type": "MustRunAs", "uid": 0}}, ()),
        ({"runAsUser": {"type": "MustRunAsRange"}}, ()),
        ({"runAsUser": {"type": "MustRunAsRange", "uidRangeMin": 1}}, ("MustRunAsRange requires a UIDRangeMax",)),
        ({"runAsUser": {"type": "MustRunAsRange", "uidRangeMax": 1}}, ("MustRunAsRange requires a UIDRangeMin",)),
        ({"runAsUser": {"type": "X"}}, ("Unrecognized RunAsUser strategy type X",)),
        ({"runAsUser": {}}, ("Unrecognized RunAsUser strategy type ",)),
        ({"seLinuxContext": {"type": "MustRunAs"}, "fsGroup": {"type": "MustRunAs"}}, ()),
        (
            {"seLinuxContext": None, "fsGroup": {"type": "MustRunAsRange"}, "supplementalGroups": {}},
            (
                "Unrecognized SELinuxContext strategy type ",
                "Unrecognized FSGroup strategy type MustRunAsRange",
                "Unrecognized SupplementalGroups strategy type ",
            ),
        ),
    ],
)
def test_what_no_namespace_can_evaluate(fields: Json, errors: Any) -> None:
    """An SCC is unusable without a uid, with half a range or with an unknown strategy (spec §3.5)."""
    assert evaluation_errors(scc(**fields)) == errors
