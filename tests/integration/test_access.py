"""Our reading of RBAC against the API server's own authorizer: the same question, the same answer.

Sets of generated RBAC are put into the cluster, a few at a time, and every question about them is asked twice: as a
SubjectAccessReview, and to the product's Authorizer and Grants over the objects as the API server stores them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import msgspec
import pytest
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config
from tests.cluster import launcher
from tests.integration.support import rbac, role_ref, use_rule
from tests.rbac_sets import Question, Size, aggregate, generate

from scc_operator.access.grants import Grants
from scc_operator.access.rbac import Authorizer, parse_binding, parse_role
from scc_operator.access.subjects import Identity
from scc_operator.kube.client import Api
from scc_operator.kube.paths import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, NAMESPACES, ROLE_BINDINGS, ROLES, Resource

SETS = 200
SIDE_BY_SIDE = 8
QUESTIONS = 20
SMALL = Size(cluster_roles=5, roles=1, cluster_role_bindings=3, role_bindings=8)
IN_FLIGHT = 16

REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
RESOURCES = {
    "Namespace": NAMESPACES,
    "Role": ROLES,
    "ClusterRole": CLUSTER_ROLES,
    "RoleBinding": ROLE_BINDINGS,
    "ClusterRoleBinding": CLUSTER_ROLE_BINDINGS,
}
LABEL = "example.com/rbac-sets"

Object = dict[str, Any]


class NamedSCC(msgspec.Struct, frozen=True):
    """What access reads of an SCC that names nobody itself."""

    name: str
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Server:
    """The API server: stores RBAC objects and says what they mean."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def create(self, objects: Iterable[Object]) -> None:
        """Create objects side by side, labelled so that `clear` finds them."""
        async with asyncio.TaskGroup() as tasks:
            for body in objects:
                tasks.create_task(self._create(body))

    async def clear(self, namespaces: Iterable[str]) -> None:
        """Delete all RBAC objects that were created."""
        query = {"labelSelector": LABEL}
        paths = [RESOURCES[kind].path() for kind in ("ClusterRole", "ClusterRoleBinding")]
        paths += [RESOURCES[kind].path(name) for name in namespaces for kind in ("Role", "RoleBinding")]
        async with asyncio.TaskGroup() as tasks:
            for path in paths:
                tasks.create_task(self._api.request("DELETE", path, query=query))

    async def delete_namespaces(self, namespaces: Iterable[str]) -> None:
        """Delete namespaces, without waiting."""
        async with asyncio.TaskGroup() as tasks:
            for name in namespaces:
                tasks.create_task(self._api.delete(NAMESPACES.path(name=name)))

    async def stored(self, kind: str) -> list[Object]:
        """All objects of a kind as the API server stores them."""
        found = await self._api.get(RESOURCES[kind].path())
        return list(found["items"])

    async def allowed(self, questions: Sequence[Question]) -> list[bool]:
        """The API server's answers."""
        return list(await asyncio.gather(*map(self._review, questions)))

    async def _create(self, body: Object) -> None:
        metadata = body["metadata"]
        labelled = {**body, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), LABEL: ""}}}
        resource: Resource = RESOURCES[body["kind"]]
        async with self._slots:
            await self._api.create(resource.path(metadata.get("namespace", "")), labelled)

    async def _review(self, question: Question) -> bool:
        async with self._slots:
            answer = await self._api.create(REVIEWS, question.subject_access_review())
        return bool(answer["status"].get("allowed", False))


@pytest.fixture
async def server(cluster: launcher.Cluster) -> AsyncIterator[Server]:
    """The test cluster's API server, reached with raw requests as its administrator."""
    configuration = Configuration()
    await load_kube_config(config_file=str(cluster.kubeconfig), client_configuration=configuration)
    api = Api(ApiClient(configuration))
    yield Server(api)
    await api.close()


class Product:
    """The product's answers, from the objects as the API server stores them."""

    def __init__(self, authorizer: Authorizer, sccs: Iterable[str]) -> None:
        self._authorizer = authorizer
        self._grants = Grants(map(NamedSCC, sccs), authorizer)

    @classmethod
    async def read(cls, server: Server, questions: Iterable[Question]) -> "Product":
        """Read all roles and bindings, as the operator does."""
        roles = [*await server.stored("Role"), *await server.stored("ClusterRole")]
        bindings = [*await server.stored("RoleBinding"), *await server.stored("ClusterRoleBinding")]
        return cls(
            Authorizer(map(parse_role, roles), map(parse_binding, bindings)), {question.scc for question in questions}
        )

    def answers(self, question: Question) -> set[bool]:
        """What its four ways to ask answer: one value, if they agree."""
        identity, scc, namespace = Identity(question.user, question.groups), question.scc, question.namespace
        return {
            self._authorizer.allows(identity, scc, namespace),
            scc in self._authorizer.usable_sccs(identity, namespace, frozenset({scc, "another"})),
            scc in self._grants.usable(identity, namespace),
            bool(self._grants.paths(identity, scc, namespace)),
        }


async def aggregated_roles(server: Server, objects: list[Object]) -> int:
    """Wait until the control plane has filled the aggregated ClusterRoles; return how many of them grant an SCC."""
    wanted = {
        role.name: role
        for before, after in zip(objects, aggregate(objects), strict=True)
        if "aggregationRule" in before
        for role in (parse_role(after),)
    }
    async with asyncio.timeout(10):
        while True:
            found = {role.name: role for role in map(parse_role, await server.stored("ClusterRole"))}
            if all(found.get(name) == role for name, role in wanted.items()):
                return sum(role.matters for role in wanted.values())
            await asyncio.sleep(0.02)


async def in_force(server: Server, namespace: str, number: int) -> None:
    """Wait until the API server's authorizer, which lags behind its own storage, has seen all that was written so far.

    It sees the objects of one kind in the order in which they were written, so one more of each kind is enough.
    """
    name = f"sentinel-{number}"
    wide, narrow = {"kind": "User", "name": f"{name}-wide"}, {"kind": "User", "name": f"{name}-narrow"}
    rules = [use_rule(name)]
    await server.create(
        [
            rbac("ClusterRole", name, rules=rules),
            rbac("ClusterRoleBinding", name, roleRef=role_ref("ClusterRole", name), subjects=[wide]),
            rbac("Role", name, namespace, rules=rules),
            rbac("RoleBinding", name, namespace, roleRef=role_ref("Role", name), subjects=[narrow]),
        ]
    )
    questions = [Question(user["name"], (), name, namespace) for user in (wide, narrow)]
    async with asyncio.timeout(10):
        while not all(await server.allowed(questions)):  # noqa: ASYNC110 - the other side is a server, no Event of ours
            await asyncio.sleep(0.01)


async def test_no_disagreement_with_the_api_server(server: Server) -> None:
    """Of thousands of questions about hundreds of RBAC sets, aggregated roles among them, not one differs."""
    prefixes = [f"rbac-{lane}" for lane in range(SIDE_BY_SIDE)]
    namespaces = [f"{prefix}-{letter}" for prefix in prefixes for letter in "abc"]
    await server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces)
    allowed = denied = aggregated = 0
    for first in range(0, SETS, SIDE_BY_SIDE):
        sets = [
            generate(first + lane, questions=QUESTIONS, size=SMALL, prefix=prefix)
            for lane, prefix in enumerate(prefixes)
        ]
        objects = [body for made, _ in sets for body in made if body["kind"] != "Namespace"]
        await server.create(objects)
        aggregated += await aggregated_roles(server, objects)
        await in_force(server, namespaces[0], first)
        questions = [question for _, made in sets for question in made]
        theirs = await server.allowed(questions)
        product = await Product.read(server, questions)
        disagreements = [
            (question, answer)
            for question, answer in zip(questions, theirs, strict=True)
            if product.answers(question) != {answer}
        ]
        assert disagreements == [], f"among the sets of seeds {first} to {first + SIDE_BY_SIDE - 1}"
        allowed += sum(theirs)
        denied += len(theirs) - sum(theirs)
        await server.clear(namespaces)
    await server.delete_namespaces(namespaces)
    assert min(allowed, denied) > SETS * QUESTIONS / 10, f"{allowed} allowed, {denied} denied: hardly a comparison"
    assert aggregated > SETS / 8, f"only {aggregated} aggregated roles granted anything"
