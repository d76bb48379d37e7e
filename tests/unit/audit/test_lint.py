"""Mistakes in SCC objects that no schema refuses, and what repairs them."""

import json
import re
import shlex
from typing import Any

import pytest
import yaml
from tests.unit.engine.builders import DEFAULT_SCCS, Json

from scc_operator.audit.lint import Lint, Severity, changed_fields, lint
from scc_operator.audit.view import View
from scc_operator.cluster.kinds import Kind
from scc_operator.cluster.mirror import Mirror
from scc_operator.cluster.records import Constraints
from scc_operator.engine.scc import parse_scc

SHIPPED: dict[str, Json] = {
    raw["metadata"]["name"]: raw for raw in yaml.safe_load_all(DEFAULT_SCCS.read_text(encoding="utf-8")) if raw
}
EVERYBODY = {"kind": "Group", "name": "system:authenticated"}


def scc(name: str = "mine", /, **fields: Any) -> Json:
    """An SCC like restricted-v2, with some fields otherwise."""
    raw = {**SHIPPED["restricted-v2"], "metadata": {"name": name}, "groups": [], **fields}
    return {key: value for key, value in raw.items() if value != "absent"}


def grant(scc: str, subject: Json, namespace: str = "") -> list[Json]:
    """The RBAC that lets a subject use an SCC."""
    rule = {
        "verbs": ["use"],
        "apiGroups": ["security.openshift.io"],
        "resources": ["securitycontextconstraints"],
        "resourceNames": [scc],
    }
    role = {"kind": "ClusterRole", "metadata": {"name": f"system:openshift:scc:{scc}"}, "rules": [rule]}
    metadata = {"name": f"system:openshift:scc:{scc}", **({"namespace": namespace} if namespace else {})}
    ref = {"kind": "ClusterRole", "name": role["metadata"]["name"]}
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    return [role, {"kind": kind, "metadata": metadata, "roleRef": ref, "subjects": [subject]}]


KINDS = {
    "ClusterRole": Kind.CLUSTER_ROLES,
    "ClusterRoleBinding": Kind.CLUSTER_ROLE_BINDINGS,
    "RoleBinding": Kind.ROLE_BINDINGS,
    "SecurityContextConstraints": Kind.SCCS,
}


def lints(*sccs: Json, rbac: list[Json] | None = None, defaults: bool = True) -> list[Lint]:
    """What is wrong with these SCCs beside the default ones (with restricted-v2 for everybody)."""
    found = {**SHIPPED} if defaults else {}
    found |= {raw["metadata"]["name"]: raw for raw in sccs}
    mirror = Mirror()
    for at, raw in enumerate([*found.values(), *grant("restricted-v2", EVERYBODY), *(rbac or [])], start=1):
        metadata = {"resourceVersion": str(at), **raw["metadata"]}
        mirror.take(KINDS[raw["kind"]], {**raw, "metadata": metadata})
    known = {name: Constraints.read(raw) for name, raw in found.items()}
    errors = {name: each.errors for name, each in known.items() if each.errors}
    written = {name: parse_scc(raw) for name, raw in found.items()}
    shipped = {name: parse_scc(raw) for name, raw in SHIPPED.items()}
    return list(lint(written, errors, shipped, View(mirror, frozenset())))


def codes(found: list[Lint]) -> list[str]:
    """What was found, but for a grant that is missing to SCCs of the tests."""
    return [each.code for each in found if each.code != "NobodyMayUse"]


def repaired(raw: Json, command: str) -> Json:
    """The SCC after a `kubectl patch` of it."""
    words = shlex.split(command)
    assert words[:4] == ["kubectl", "patch", "scc", raw["metadata"]["name"]], command
    body = json.loads(words[words.index("-p") + 1])
    if "--type=merge" in words:
        return raw | body
    test, remove = body
    _, field, index = remove["path"].split("/")
    assert (test["path"], test["value"], remove["op"]) == (remove["path"], raw[field][int(index)], "remove")
    return raw | {field: [each for at, each in enumerate(raw[field]) if at != int(index)]}


def test_nothing_is_wrong_with_what_is_shipped() -> None:
    """The default SCCs with their own grants are clean."""
    assert lints() == []


@pytest.mark.parametrize(
    "fields, code, field",
    [
        ({"groups": ["system:serviceaccount:shop:web"]}, "ServiceAccountAsGroup", "groups"),
        ({"users": ["system:serviceaccounts:shop"]}, "GroupAsUser", "users"),
        ({"users": ["system:authenticated"]}, "GroupAsUser", "users"),
        ({"allowedCapabilities": ["CAP_NET_ADMIN", "KILL"]}, "CapabilityPrefix", "allowedCapabilities"),
        ({"requiredDropCapabilities": ["All"]}, "AllSpelling", "requiredDropCapabilities"),
        ({"volumes": ["hostPath", "secret"]}, "HostPathIgnored", "volumes"),
        ({"volumes": ["*"]}, "HostPathIgnored", "volumes"),
        ({"volumes": ["secret"], "allowHostDirVolumePlugin": True}, "HostPathImplied", "volumes"),
        ({"volumes": ["secret", "configmap"]}, "UnknownVolumeType", "volumes"),
    ],
)
def test_mistakes_of_one_object_and_their_repair(fields: Json, code: str, field: str) -> None:
    """Each is told with its field, and gone after the command that repairs it."""
    raw = scc(**fields)
    found = [each for each in lints(raw) if each.code != "NobodyMayUse"]
    assert [(each.code, each.field, each.scc) for each in found] == [(code, field, "mine")]
    assert codes(lints(repaired(raw, found[0].commands[0]))) == []


def test_an_account_among_the_groups_is_granted_as_it_was_meant() -> None:
    """The second command grants the SCC to the service account."""
    (found,) = (each for each in lints(scc(groups=["system:serviceaccount:shop:web"])) if each.field == "groups")
    assert found.commands[1] == "kubectl scc add-scc-to-user mine -z web -n shop"


def test_ordinary_spellings_are_left_alone() -> None:
    """The volume hostPath with its switch, ALL, and capabilities without prefix are right."""
    raw = scc(volumes=["hostPath", "secret"], allowHostDirVolumePlugin=True, allowedCapabilities=["NET_ADMIN"])
    assert codes(lints(raw)) == []
    assert codes(lints(scc(volumes="absent"))) == []


@pytest.mark.parametrize("group", ["system:authenticated", "system:serviceaccounts", "system:unauthenticated"])
def test_priority_for_everybody(group: str) -> None:
    """A priority on an SCC that everybody may use takes over the cluster's pods; on another one it is fine."""
    raw = scc(priority=5, groups=[group])
    (found,) = lints(raw)
    assert (found.code, found.severity, found.field) == ("PriorityForEverybody", Severity.ERROR, "priority")
    assert "PriorityForEverybody" not in codes(lints(repaired(raw, found.commands[0])))
    assert codes(lints(scc(priority=5, groups=["team"]))) == []


def test_more_than_restricted_for_everybody_by_the_scc_itself() -> None:
    """The group goes out of the SCC; what the SCC allows in addition is told."""
    raw = scc("host", allowHostNetwork=True, groups=["team", "system:authenticated"])
    (found,) = lints(raw)
    assert (found.code, found.severity) == ("GrantedToEverybody", Severity.ERROR)
    assert "field groups of SCC host" in found.text
    assert "the node's network" in found.text
    assert repaired(raw, found.commands[0])["groups"] == ["team"]


def test_more_than_restricted_for_everybody_by_a_binding() -> None:
    """A default SCC is no exception, unless it is of the restricted family."""
    found, priority = lints(rbac=grant("anyuid", EVERYBODY))
    assert (found.code, priority.code) == ("GrantedToEverybody", "PriorityForEverybody")
    assert found.commands == ("kubectl scc remove-scc-from-group anyuid system:authenticated --cluster",)
    assert lints(rbac=grant("restricted", EVERYBODY)) == []


def test_less_than_restricted_for_everybody_is_fine() -> None:
    """An SCC that allows no more than what everybody may use anyway endangers nobody."""
    assert codes(lints(scc("a-strict", readOnlyRootFilesystem=True, groups=["system:authenticated"]))) == []


def test_a_namespace_is_not_everybody() -> None:
    """What holds in one namespace is that namespace's matter."""
    assert codes(lints(rbac=grant("anyuid", EVERYBODY, namespace="shop"))) == []


def test_an_scc_that_can_never_win() -> None:
    """One that is tried first, admits as much and is open to the same subjects leaves it no pod."""
    (found,) = lints(scc("zz-copy", groups=["system:authenticated"]))
    assert (found.code, found.scc, found.commands) == ("NeverWins", "zz-copy", ("kubectl delete scc zz-copy",))
    assert "restricted-v2 is tried before it (ordered by name)" in found.text


@pytest.mark.parametrize(
    "raw",
    [
        scc("aa-copy", groups=["team"]),
        scc("zz-copy", priority=1, groups=["team"]),
        scc("zz-wider", groups=["team"], allowedCapabilities=["KILL", "NET_BIND_SERVICE"]),
    ],
    ids=lambda raw: raw["metadata"]["name"],
)
def test_an_scc_that_can_win(raw: Json) -> None:
    """It comes first by name or priority, or admits something that the earlier one refuses."""
    assert "NeverWins" not in codes(lints(raw))


def test_an_scc_that_only_others_may_use_can_win() -> None:
    """An earlier, wider SCC takes nothing from those who may not use it."""
    early = scc("early", priority=3, users=["anna"])
    assert "NeverWins" not in codes(lints(early, scc("late", users=["bob"], supplementalGroups={"type": "MustRunAs"})))
    assert "NeverWins" in codes(lints(early, scc("late", users=["anna"])))


def test_an_scc_that_nobody_may_use() -> None:
    """It is told, but only of SCCs that are not shipped: those wait for whoever needs them."""
    assert [(each.code, each.severity) for each in lints(scc())] == [("NobodyMayUse", Severity.INFO)]


def test_a_default_scc_that_was_changed() -> None:
    """The fields are told and what it allows now; the command restores them and leaves users and groups alone."""
    raw = {**SHIPPED["restricted-v2"], "allowPrivilegeEscalation": True, "users": ["bob"]}
    (found,) = lints(raw)
    assert (found.code, found.severity) == ("DefaultChanged", Severity.ERROR)
    assert "in allowPrivilegeEscalation, and now allows privilege escalation" in found.text
    restored = repaired(raw, found.commands[0])
    assert lints(restored) == []
    assert restored["users"] == ["bob"]


def test_a_default_scc_that_was_tightened_is_a_warning() -> None:
    """Less is not dangerous, but a default that changes is nobody's default."""
    (found,) = lints({**SHIPPED["anyuid"], "priority": None})
    assert (found.code, found.severity) == ("DefaultChanged", Severity.WARNING)


def test_spelling_is_no_change_of_a_default_scc() -> None:
    """Order, absent fields and explicit defaults mean the same."""
    shipped = parse_scc(SHIPPED["anyuid"])
    raw = {key: value for key, value in SHIPPED["anyuid"].items() if value is not None}
    raw["volumes"] = list(reversed(raw["volumes"]))
    assert changed_fields(parse_scc(raw), shipped) == {}


def test_an_scc_that_cannot_be_evaluated_comes_first() -> None:
    """It would make admission refuse every pod."""
    found = lints(scc("half", runAsUser={"type": "MustRunAs"}), scc(groups=["system:serviceaccount:a:b"]))
    assert found[0].code == "NotEvaluable"
    assert "MustRunAs requires a UID" in found[0].text


def test_every_finding_is_explained() -> None:
    """The table in docs/cli-cluster.md has each code."""
    root = DEFAULT_SCCS.parents[3]
    source = (root / "operator/scc_operator/audit/lint.py").read_text(encoding="utf-8")
    document = (root / "docs/cli-cluster.md").read_text(encoding="utf-8")
    table = document.split("## audit --lint\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    listed = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    assert listed == set(re.findall(r'"(\w+)",\s+Severity\.', source))
