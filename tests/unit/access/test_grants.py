from collections.abc import Iterable

import msgspec
import pytest

from scc_operator.access.grants import Grant, Grants
from scc_operator.access.rbac import Authorizer, Binding, Owner, Role, Subject
from scc_operator.access.subjects import SOMEBODY, Identity, service_account_identity

WEB = service_account_identity("shop", "web")
OWNER = Owner("SCCBinding", "shop", "web", "u1")


class SCC(msgspec.Struct, frozen=True):
    """What access reads of an SCC."""

    name: str
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def grants(*sccs: SCC, roles: Iterable[Role] = (), bindings: Iterable[Binding] = ()) -> Grants:
    """Grants of these SCCs and RBAC objects."""
    return Grants(sccs, Authorizer(roles, bindings))


@pytest.fixture
def cluster() -> Grants:
    """Three SCCs, granted in every way there is."""
    return grants(
        SCC("anyuid", groups=("system:cluster-admins", "system:serviceaccounts:shop")),
        SCC("privileged", users=("system:admin", "system:serviceaccount:shop:web")),
        SCC("restricted-v2"),
        roles=[
            Role("", "admin", every=True),
            Role("", "use-restricted", sccs=frozenset({"restricted-v2", "deleted"})),
        ],
        bindings=[
            Binding("", "everybody", ("", "use-restricted"), (Subject("Group", "system:authenticated"),)),
            Binding("shop", "web", ("", "admin"), (Subject("ServiceAccount", "web", "shop"),), OWNER),
            Binding("other", "web", ("", "admin"), (Subject("User", "alice"),)),
        ],
    )


def test_usable_joins_all_ways(cluster: Grants) -> None:
    """What is usable comes from the SCC's users, its groups and RBAC together, and exists."""
    assert cluster.usable(service_account_identity("shop", "job"), "shop") == {"anyuid"}
    assert cluster.usable(WEB, "other") == {"anyuid", "privileged"}
    assert cluster.usable(WEB, "shop") == {"anyuid", "privileged", "restricted-v2"}
    assert cluster.usable(SOMEBODY, "shop") == {"restricted-v2"}
    assert cluster.usable(Identity("root", ("system:masters",)), "shop") == {"anyuid", "privileged", "restricted-v2"}
    assert cluster.usable(Identity("nobody"), "shop") == frozenset()


def test_users_and_groups_are_literal() -> None:
    """Among an SCC's users and groups there is no wildcard, a user is no group, and an empty name is nobody's."""
    asked = grants(SCC("a", users=("*", "staff", ""), groups=("*", "alice")))
    assert asked.usable(Identity("alice", ("staff",)), "shop") == frozenset()
    assert asked.usable(SOMEBODY, "shop") == frozenset()
    assert asked.paths(SOMEBODY, "a", "shop") == ()


def test_answers_are_remembered(cluster: Grants) -> None:
    """The same question is answered once."""
    assert cluster.usable(WEB, "shop") is cluster.usable(service_account_identity("shop", "web"), "shop")


def test_memory_is_bounded(cluster: Grants, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers to ever new questions do not pile up."""
    monkeypatch.setattr("scc_operator.access.grants._REMEMBERED_ANSWERS", 2)
    for number in range(10):
        assert cluster.usable(Identity(f"user{number}", ("system:authenticated",)), "shop") == {"restricted-v2"}
        assert len(cluster._answers) <= 2


def test_paths(cluster: Grants) -> None:
    """Every way is told with its binding, role, subject and owner; there is one exactly where the SCC is usable."""
    assert cluster.paths(WEB, "privileged", "shop") == (
        Grant("scc-users", "privileged", Subject("User", "system:serviceaccount:shop:web")),
        Grant(
            "rolebinding",
            "privileged",
            Subject("ServiceAccount", "web", "shop"),
            namespace="shop",
            binding="web",
            role_kind="ClusterRole",
            role="admin",
            every_scc=True,
            owner=OWNER,
        ),
    )
    assert cluster.paths(SOMEBODY, "restricted-v2", "shop") == (
        Grant(
            "clusterrolebinding",
            "restricted-v2",
            Subject("Group", "system:authenticated"),
            binding="everybody",
            role_kind="ClusterRole",
            role="use-restricted",
        ),
    )
    assert [grant.kind for grant in cluster.paths(WEB, "anyuid", "other")] == ["scc-groups"]
    root = Identity("root", ("system:masters",))
    assert [grant.kind for grant in cluster.paths(root, "anyuid", "other")] == ["superuser"]
    for identity in (WEB, SOMEBODY, root, Identity("alice")):
        for namespace in ("shop", "other", ""):
            for scc in ("anyuid", "privileged", "restricted-v2"):
                usable = scc in cluster.usable(identity, namespace)
                assert bool(cluster.paths(identity, scc, namespace)) is usable


def told(found: tuple[Grant, ...]) -> list[tuple[str, str, str]]:
    """Kind, subject and namespace of each grant."""
    return [(grant.kind, str(grant.subject), grant.namespace) for grant in found]


def test_who_can_in_a_namespace(cluster: Grants) -> None:
    """All subjects with a way to the SCC in the namespace: cluster-wide ones and those of its RoleBindings."""
    assert told(cluster.who_can("anyuid", "shop")) == [
        ("superuser", "Group system:masters", ""),
        ("scc-groups", "Group system:cluster-admins", ""),
        ("scc-groups", "Group system:serviceaccounts:shop", ""),
        ("rolebinding", "ServiceAccount shop/web", "shop"),
    ]


def test_who_can_anywhere(cluster: Grants) -> None:
    """Without a namespace the RoleBindings of all namespaces are told, each with where it holds."""
    assert told(cluster.who_can("restricted-v2"))[1:] == [
        ("clusterrolebinding", "Group system:authenticated", ""),
        ("rolebinding", "User alice", "other"),
        ("rolebinding", "ServiceAccount shop/web", "shop"),
    ]
