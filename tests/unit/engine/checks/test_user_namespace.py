from typing import Any

import pytest
from tests.unit.engine.builders import (
    POD,
    Json,
    fills,
    pod,
    scc,
    texts,
)


@pytest.mark.parametrize("spec, value", [({"hostUsers": True}, "true"), ({}, '"null"')])
def test_a_user_namespace_may_be_required(spec: Json, value: Any) -> None:
    """RequirePodLevel demands hostUsers: false; absence means the node's (cases 10, 106)."""
    under = scc(userNamespaceLevel="RequirePodLevel")
    assert texts(under, pod(spec=spec)) == [f"{POD}.hostUsers: Invalid value: {value}: Host Users must be set to false"]
    assert fills(under, pod(spec={"hostUsers": False})) == {}


@pytest.mark.parametrize("level", ["AllowHostLevel", "", "Foo"])
def test_no_other_level_demands_anything(level: Any) -> None:
    """Unknown levels are not enforced (case 106)."""
    assert fills(scc(userNamespaceLevel=level), pod(spec={"hostUsers": True})) == {}
