from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from tests.rbac_sets import Question, aggregate, generate

from scc_operator.access.rbac import Authorizer, Binding, Owner, Role, Subject, parse_binding, parse_role
from scc_operator.access.subjects import SOMEBODY, Identity, service_account_identity
from scc_operator.engine.errors import InvalidObject

Object = dict[str, Any]

ALL_SCCS = frozenset({"anyuid", "privileged", "restricted-v2"})
USE = {
    "apiGroups": ["security.openshift.io"],
    "resources": ["securitycontextconstraints"],
    "verbs": ["use"],
    "resourceNames": ["anyuid"],
}
ALICE = Identity("alice", ("staff", "system:authenticated"))
WEB = service_account_identity("shop", "web")


def role(*rules: Object, name: str = "r", namespace: str = "") -> Object:
    """A Role or ClusterRole as stored."""
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"metadata": metadata, "rules": list(rules)}


def bind(
    *subjects: Object,
    name: str = "b",
    namespace: str = "",
    kind: str = "ClusterRole",
    to: str = "r",
    labels: dict[str, str] | None = None,
) -> Object:
    """A RoleBinding or ClusterRoleBinding as stored."""
    metadata: Object = {"name": name, "labels": labels}
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata, "roleRef": {"kind": kind, "name": to}, "subjects": list(subjects)}


def user(name: str) -> Object:
    """A User subject."""
    return {"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}


def group(name: str) -> Object:
    """A Group subject."""
    return {"kind": "Group", "name": name, "apiGroup": "rbac.authorization.k8s.io"}


def account(name: str, namespace: str = "") -> Object:
    """A ServiceAccount subject."""
    return {"kind": "ServiceAccount", "name": name} | ({"namespace": namespace} if namespace else {})


def authorizer(roles: Iterable[Object], bindings: Iterable[Object]) -> Authorizer:
    """An authorizer of raw objects."""
    return Authorizer([parse_role(raw) for raw in roles], [parse_binding(raw) for raw in bindings])


@pytest.mark.parametrize(
    "change,every,sccs",
    [
        ({}, False, {"anyuid"}),
        ({"resourceNames": ["anyuid", "privileged"]}, False, {"anyuid", "privileged"}),
        ({"resourceNames": []}, True, set()),
        ({"resourceNames": None}, True, set()),
        ({"resourceNames": ["*"]}, False, {"*"}),
        ({"resourceNames": [""]}, False, {""}),
        ({"verbs": ["*"]}, False, {"anyuid"}),
        ({"verbs": ["get", "use"]}, False, {"anyuid"}),
        ({"verbs": ["get"]}, False, set()),
        ({"verbs": ["USE"]}, False, set()),
        ({"verbs": ["us*"]}, False, set()),
        ({"verbs": []}, False, set()),
        ({"apiGroups": ["*"]}, False, {"anyuid"}),
        ({"apiGroups": ["", "security.openshift.io"]}, False, {"anyuid"}),
        ({"apiGroups": [""]}, False, set()),
        ({"apiGroups": ["*.openshift.io"]}, False, set()),
        ({"apiGroups": None}, False, set()),
        ({"resources": ["*"]}, False, {"anyuid"}),
        ({"resources": ["pods", "securitycontextconstraints"]}, False, {"anyuid"}),
        ({"resources": ["securitycontextconstraints/status"]}, False, set()),
        ({"resources": ["securitycontextconstraints/*"]}, False, set()),
        ({"resources": ["*/*"]}, False, set()),
        ({"resources": ["*/status"]}, False, set()),
        ({"resources": ["scc"]}, False, set()),
        ({"resources": ["SecurityContextConstraints"]}, False, set()),
    ],
)
def test_what_a_rule_grants(change: Object, every: bool, sccs: set[str]) -> None:
    """A rule must match verb, group, resource and name; `*` is special in all of them but the name."""
    found = parse_role(role(USE | change))
    assert (found.every, set(found.sccs), found.matters) == (every, sccs, every or bool(sccs))


def test_rules_are_alternatives() -> None:
    """Rules of one role add up, but each has to match by itself."""
    found = parse_role(
        role(USE, USE | {"resourceNames": ["privileged"]}, USE | {"resourceNames": [], "verbs": ["get"]})
    )
    assert (found.every, set(found.sccs)) == (False, {"anyuid", "privileged"})


def test_non_resource_rules_grant_nothing() -> None:
    """A rule on URLs is no rule on SCCs, whatever its verbs."""
    assert not parse_role(role({"nonResourceURLs": ["*"], "verbs": ["*"]})).matters


def test_stored_rules_count() -> None:
    """An aggregated ClusterRole grants what is stored in its rules, not what its selectors will find."""
    raw = role() | {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}, "rules": None}
    assert not parse_role(raw).matters
    assert parse_role(raw | {"rules": [USE]}).grants("anyuid")


def test_bytes_and_dicts() -> None:
    """Roles and bindings are read from JSON text as from dicts."""
    assert parse_role(msgspec.json.encode(role(USE))) == parse_role(role(USE))
    assert parse_binding(msgspec.json.encode(bind(user("alice")))) == parse_binding(bind(user("alice")))


@pytest.mark.parametrize(
    "parse,raw,says",
    [
        (parse_role, role(USE | {"verbs": "use"}), "ClusterRole r: field rules[0].verbs is a string"),
        (
            parse_role,
            role(USE | {"resourceNames": [1]}, namespace="shop"),
            "Role shop/r: field rules[0].resourceNames[0]",
        ),
        (parse_role, {"metadata": {}, "rules": []}, "name"),
        (parse_role, [], "ClusterRole without a name"),
        (
            parse_binding,
            bind({"kind": "User", "name": 7}),
            "ClusterRoleBinding b: field subjects[0].name is an integer",
        ),
        (parse_binding, bind(namespace="shop") | {"roleRef": []}, "RoleBinding shop/b: field roleRef is a list"),
    ],
)
def test_wrong_types(parse: Callable[[Any], object], raw: Any, says: str) -> None:
    """An object with a field of a wrong type is refused by a text that names object and field."""
    with pytest.raises(InvalidObject) as error:
        parse(raw)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "subject,identity,applies",
    [
        (user("alice"), ALICE, True),
        (user("Alice"), ALICE, False),
        (user("*"), ALICE, False),
        (group("staff"), ALICE, True),
        (group("alice"), ALICE, False),
        (user("staff"), ALICE, False),
        (group("*"), ALICE, False),
        (group("system:authenticated"), ALICE, True),
        (group("system:authenticated"), WEB, False),
        (group("system:authenticated"), SOMEBODY, True),
        (user(""), SOMEBODY, False),
        (account("web", "shop"), WEB, True),
        (account("web", "other"), WEB, False),
        (account("other", "shop"), WEB, False),
        (user("system:serviceaccount:shop:web"), WEB, True),
        (group("system:serviceaccounts"), WEB, True),
        (group("system:serviceaccounts:shop"), WEB, True),
        (group("system:serviceaccounts:other"), WEB, False),
        ({"kind": "Robot", "name": "alice"}, ALICE, False),
        ({"kind": "user", "name": "alice"}, ALICE, False),
        (user("alice") | {"namespace": "elsewhere"}, ALICE, True),
    ],
)
@pytest.mark.parametrize("namespace", ["", "shop"])
def test_whom_a_subject_names(subject: Object, identity: Identity, applies: bool, namespace: str) -> None:
    """Users and groups are compared literally, service accounts by their user name, in both kinds of binding."""
    asked = authorizer([role(USE)], [bind(subject, namespace=namespace)])
    assert asked.allows(identity, "anyuid", "shop") is applies


def test_account_without_namespace() -> None:
    """A ServiceAccount subject without a namespace is local to a RoleBinding and nobody in a ClusterRoleBinding."""
    local = authorizer([role(USE)], [bind(account("web"), namespace="shop")])
    assert local.allows(WEB, "anyuid", "shop")
    assert parse_binding(bind(account("web"))).subjects == ()


def test_scope_of_bindings() -> None:
    """A ClusterRoleBinding counts everywhere, a RoleBinding in its namespace only and not cluster-wide."""
    wide = authorizer([role(USE)], [bind(user("alice"))])
    assert wide.allows(ALICE, "anyuid", "shop")
    assert wide.allows(ALICE, "anyuid", "")
    local = authorizer([role(USE)], [bind(user("alice"), namespace="shop")])
    assert local.allows(ALICE, "anyuid", "shop")
    assert not local.allows(ALICE, "anyuid", "other")
    assert not local.allows(ALICE, "anyuid", "")


def test_role_references() -> None:
    """A RoleBinding finds Roles of its own namespace; a ClusterRoleBinding no Role; a missing role grants nothing."""
    local_role = role(USE, name="local", namespace="shop")
    here = bind(user("alice"), namespace="shop", kind="Role", to="local")
    assert authorizer([local_role], [here]).allows(ALICE, "anyuid", "shop")
    elsewhere = bind(user("alice"), namespace="other", kind="Role", to="local")
    assert not authorizer([local_role], [elsewhere]).allows(ALICE, "anyuid", "other")
    wide = bind(user("alice"), kind="Role", to="local")
    assert not authorizer([local_role, role(USE, name="local")], [wide]).allows(ALICE, "anyuid", "shop")
    as_cluster_role = bind(user("alice"), namespace="shop", to="local")
    assert not authorizer([local_role], [as_cluster_role]).allows(ALICE, "anyuid", "shop")
    odd = bind(user("alice"), kind="Widget")
    assert not authorizer([role(USE)], [odd]).allows(ALICE, "anyuid", "shop")


def test_masters() -> None:
    """Members of system:masters may use everything, without a binding and without a path."""
    root = Identity("root", ("system:masters",))
    nothing = Authorizer()
    assert nothing.allows(root, "anyuid", "shop")
    assert nothing.usable_sccs(root, "shop", ALL_SCCS) == ALL_SCCS
    assert nothing.paths(root, "anyuid", "shop") == ()


def test_usable_sccs() -> None:
    """What is usable is the union over all paths, of existing SCCs only."""
    asked = authorizer(
        [role(USE, name="one"), role(USE | {"resourceNames": ["privileged", "gone"]}, name="two"), role(name="none")],
        [
            bind(user("alice"), to="one"),
            bind(group("staff"), name="c", to="two"),
            bind(user("alice"), name="d", to="none"),
        ],
    )
    assert asked.usable_sccs(ALICE, "shop", ALL_SCCS) == {"anyuid", "privileged"}
    every = asked.replace(roles={("", "none"): parse_role(role(USE | {"resourceNames": []}, name="none"))})
    assert every.usable_sccs(ALICE, "shop", ALL_SCCS) == ALL_SCCS


def test_paths() -> None:
    """Every matching subject of every binding is a path, cluster-wide ones first, then by name."""
    asked = authorizer(
        [role(USE), role(USE | {"resourceNames": []}, name="every")],
        [
            bind(user("alice"), name="a", namespace="shop"),
            bind(group("staff"), user("alice"), user("alice"), user("bob"), name="z"),
            bind(user("alice"), name="m", to="every"),
        ],
    )
    paths = asked.paths(ALICE, "anyuid", "shop")
    assert [(path.binding.kind, path.binding.name, str(path.subject), path.role.every) for path in paths] == [
        ("ClusterRoleBinding", "m", "User alice", True),
        ("ClusterRoleBinding", "z", "Group staff", False),
        ("ClusterRoleBinding", "z", "User alice", False),
        ("RoleBinding", "a", "User alice", False),
    ]
    assert asked.paths(Identity("carol"), "anyuid", "shop") == ()


def test_generated_bindings_name_their_owner() -> None:
    """A binding that was generated for an SCC binding says so by its labels; other labels mean nothing."""
    labels = {
        "app.kubernetes.io/managed-by": "scc-operator",
        "scc-operator.io/owner-kind": "SCCBinding",
        "scc-operator.io/owner-name": "web",
        "scc-operator.io/owner-namespace": "shop",
        "scc-operator.io/owner-uid": "u1",
    }
    assert parse_binding(bind(labels=labels)).owner == Owner("SCCBinding", "shop", "web", "u1")
    assert parse_binding(bind(labels=labels | {"app.kubernetes.io/managed-by": "Helm"})).owner is None
    assert parse_binding(bind()).owner is None


def test_replace_shares_and_keeps() -> None:
    """Replacing makes a new authorizer and leaves the old one as it was."""
    before = authorizer([role(USE)], [bind(user("alice")), bind(user("bob"), name="c")])
    after = before.replace(bindings={("", "b"): None})
    assert before.allows(ALICE, "anyuid", "")
    assert not after.allows(ALICE, "anyuid", "")
    assert after.allows(Identity("bob"), "anyuid", "")
    gone = after.replace(roles={("", "r"): None})
    assert not gone.allows(Identity("bob"), "anyuid", "")
    assert gone.replace(roles={("", "r"): parse_role(role(USE))}).allows(Identity("bob"), "anyuid", "")
    moved = before.replace(bindings={("", "b"): parse_binding(bind(user("carol")))})
    assert not moved.allows(ALICE, "anyuid", "")
    assert moved.allows(Identity("carol"), "anyuid", "")


def plainly_allowed(objects: list[Object], question: Question) -> bool:
    """The rules of RBAC, said once more without any index."""
    for binding in objects:
        scope = binding["metadata"].get("namespace")
        if binding["kind"].endswith("Binding") and scope in {None, question.namespace}:
            reference = binding["roleRef"]
            rules = [
                rule
                for found in objects
                if (found["kind"], found["metadata"]["name"]) == (reference["kind"], reference["name"])
                and (found["kind"] == "ClusterRole" or found["metadata"]["namespace"] == scope)
                for rule in found["rules"]
            ]
            named = any(plainly_named(subject, scope, question) for subject in binding["subjects"])
            if named and any(plainly_matches(rule, question.scc) for rule in rules):
                return True
    return "system:masters" in question.groups


def plainly_named(subject: Object, scope: str | None, question: Question) -> bool:
    """Whether a subject is who asks."""
    if subject["kind"] == "User":
        return bool(subject["name"] == question.user)
    if subject["kind"] == "Group":
        return subject["name"] in question.groups
    namespace = subject.get("namespace") or scope
    return question.user == f"system:serviceaccount:{namespace}:{subject['name']}"


def plainly_matches(rule: Object, scc: str) -> bool:
    """Whether a rule allows what is asked."""
    return (
        bool({"use", "*"} & set(rule["verbs"]))
        and bool({"security.openshift.io", "*"} & set(rule.get("apiGroups", [])))
        and bool({"securitycontextconstraints", "*"} & set(rule.get("resources", [])))
        and (not rule.get("resourceNames") or scc in rule["resourceNames"])
    )


def read(objects: list[Object]) -> tuple[list[Role], list[Binding]]:
    """The roles and the bindings among raw objects."""
    roles = [parse_role(obj) for obj in objects if obj["kind"].endswith("Role")]
    return roles, [parse_binding(obj) for obj in objects if obj["kind"].endswith("Binding")]


@pytest.mark.parametrize("seed", range(20))
def test_generated_sets(seed: int) -> None:
    """On generated sets the index answers like a plain reading of the rules, and there is a path where it says yes."""
    objects, questions = generate(seed)
    objects = aggregate(objects)
    asked = Authorizer(*read(objects))
    answers = []
    for question in questions:
        identity = Identity(question.user, question.groups)
        answer = asked.allows(identity, question.scc, question.namespace)
        assert answer is plainly_allowed(objects, question), question
        paths = asked.paths(identity, question.scc, question.namespace)
        assert bool(paths) is answer or "system:masters" in question.groups
        assert set(paths) <= set(asked.grants(question.scc, question.namespace))
        answers.append(answer)
    assert set(answers) == {True, False}


def test_generator_is_deterministic() -> None:
    """A seed names a set."""
    assert generate(3) == generate(3)
    assert generate(3) != generate(4)


def test_replacing_equals_building() -> None:
    """From any set to the next by `replace`, in one step or object by object, equals building it anew."""
    for first, second in pairwise(range(6)):
        objects, questions = generate(second)
        old_roles, old_bindings = read(generate(first)[0])
        roles, bindings = read(objects)
        new_roles: dict[tuple[str, str], Role | None] = {role.key: None for role in old_roles}
        new_roles.update({role.key: role for role in roles})
        new_bindings: dict[tuple[str, str], Binding | None] = {binding.key: None for binding in old_bindings}
        new_bindings.update({binding.key: binding for binding in bindings})
        at_once = Authorizer(old_roles, old_bindings).replace(roles=new_roles, bindings=new_bindings)
        stepwise = Authorizer(old_roles, old_bindings)
        for place, new_role in new_roles.items():
            stepwise = stepwise.replace(roles={place: new_role})
        for place, new_binding in new_bindings.items():
            stepwise = stepwise.replace(bindings={place: new_binding})
        built = Authorizer(roles, bindings)
        for question in questions:
            identity = Identity(question.user, question.groups)
            expected = built.paths(identity, question.scc, question.namespace)
            assert at_once.paths(identity, question.scc, question.namespace) == expected
            assert stepwise.paths(identity, question.scc, question.namespace) == expected


def test_subjects_in_words() -> None:
    """A subject prints as kind and name, with the namespace of a service account."""
    assert str(Subject("ServiceAccount", "web", "shop")) == "ServiceAccount shop/web"
    assert str(Subject("Group", "staff")) == "Group staff"
