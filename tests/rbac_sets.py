"""A seeded generator of RBAC objects and access questions, for comparing authorizers.

`generate(seed)` gives objects that an API server accepts, in the order in which they can be created, and questions
about verb `use` on SCCs. The same seed gives the same set. Names carry the seed (or another prefix), but groups such as
`system:serviceaccounts` and roles with `*` reach across sets: on one API server, either keep one set at a time or
answer from all objects.
"""

from copy import deepcopy
from random import Random
from typing import Any, NamedTuple

RBAC = "rbac.authorization.k8s.io"
API_VERSION = f"{RBAC}/v1"
GROUP = "security.openshift.io"
RESOURCE = "securitycontextconstraints"

Object = dict[str, Any]


class Question(NamedTuple):
    """May this user, with these groups, `use` the SCC in the namespace (empty: in the whole cluster)?"""

    user: str
    groups: tuple[str, ...]
    scc: str
    namespace: str

    def subject_access_review(self) -> Object:
        """The question as the API server takes it."""
        attributes = {"verb": "use", "group": GROUP, "resource": RESOURCE, "name": self.scc}
        if self.namespace:
            attributes["namespace"] = self.namespace
        spec: Object = {"resourceAttributes": attributes, "groups": list(self.groups)}
        if self.user:
            spec["user"] = self.user
        return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


class Size(NamedTuple):
    """How many objects of each kind a set has; Roles are counted per namespace."""

    cluster_roles: int = 12
    roles: int = 4
    cluster_role_bindings: int = 12
    role_bindings: int = 48


FULL = Size()


def generate(
    seed: int, *, questions: int = 300, size: Size = FULL, prefix: str = ""
) -> tuple[list[Object], list[Question]]:
    """RBAC objects (with their namespaces first) and questions about them; names begin with `prefix`."""
    made = _Set(seed, size, prefix)
    objects = made.objects()
    return objects, [made.question() for _ in range(questions)]


def aggregate(objects: list[Object]) -> list[Object]:
    """The objects after the control plane has filled in the rules of aggregated ClusterRoles."""
    result = deepcopy(objects)
    roles = [obj for obj in result if obj["kind"] == "ClusterRole"]
    for role in roles:
        selectors = role.get("aggregationRule", {}).get("clusterRoleSelectors", [])
        if not selectors:
            continue
        role["rules"] = [
            rule
            for other in roles
            if other is not role
            for rule in other["rules"]
            if any(
                selector["matchLabels"].items() <= other["metadata"].get("labels", {}).items() for selector in selectors
            )
        ]
    return result


class _Set:
    def __init__(self, seed: int, size: Size, prefix: str) -> None:
        self.random = Random(seed)
        self.size = size
        self.prefix = prefix or f"rbac-{seed}"
        self.namespaces = [f"{self.prefix}-{letter}" for letter in "abc"]
        self.sccs = [f"{self.prefix}-scc{number}" for number in range(5)]
        self.users = [f"{self.prefix}-user{number}" for number in range(4)]
        self.groups = [f"{self.prefix}-group{number}" for number in range(3)]
        self.accounts = ["default", "builder", "robot"]
        self.label = {f"example.com/{self.prefix}": "aggregate"}
        self.cluster_roles = [f"{self.prefix}-cluster-role{number}" for number in range(size.cluster_roles)]
        self.aggregated = [f"{self.prefix}-aggregated{number}" for number in range(2)]
        self.roles = [f"{self.prefix}-role{number}" for number in range(size.roles)]
        self.roles.append(self.cluster_roles[0])  # one name is that of a ClusterRole and of Roles
        self.missing = f"{self.prefix}-missing"  # bound in places, but there is no such role

    def objects(self) -> list[Object]:
        objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in self.namespaces]
        objects += [self.cluster_role(name) for name in self.cluster_roles]
        objects += [self.aggregated_role(name) for name in self.aggregated]
        objects += [self.role(name, namespace) for namespace in self.namespaces for name in self.roles]
        objects += [self.cluster_role_binding(number) for number in range(self.size.cluster_role_bindings)]
        for number in range(self.size.role_bindings):
            objects.append(self.role_binding(number, self.random.choice(self.namespaces)))
        return objects

    def cluster_role(self, name: str) -> Object:
        metadata: Object = {"name": name}
        if self.random.random() < 0.3:
            metadata["labels"] = dict(self.label)
        return {
            "apiVersion": API_VERSION,
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": self.rules(cluster=True),
        }

    def aggregated_role(self, name: str) -> Object:
        selector = dict(self.label) if name == self.aggregated[0] else {f"example.com/{self.prefix}": "nothing"}
        return {
            "apiVersion": API_VERSION,
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": selector}]},
            "rules": [],
        }

    def role(self, name: str, namespace: str) -> Object:
        metadata = {"name": name, "namespace": namespace}
        return {"apiVersion": API_VERSION, "kind": "Role", "metadata": metadata, "rules": self.rules(cluster=False)}

    def rules(self, *, cluster: bool) -> list[Object]:
        return [self.rule(cluster=cluster) for _ in range(self.random.choice([0, 1, 1, 1, 2, 3]))]

    def rule(self, *, cluster: bool) -> Object:
        random = self.random
        if cluster and random.random() < 0.08:
            return {"nonResourceURLs": [random.choice(["*", "/metrics"])], "verbs": ["*"]}
        rule: Object = {
            "apiGroups": random.choice(
                [[GROUP]] * 8 + [["*"], ["", GROUP], [""], ["apps"], [f"{GROUP}.example"], ["*.io"]]
            ),
            "resources": random.choice(
                [[RESOURCE]] * 8
                + [
                    ["*"],
                    ["pods", RESOURCE],
                    [f"{RESOURCE}/status"],
                    ["*/status"],
                    [f"{RESOURCE}/*"],
                    ["scc"],
                    ["pods"],
                ]
            ),
            "verbs": random.choice([["use"]] * 8 + [["*"], ["get", "use"], ["get", "list"], ["USE"], ["us*"]]),
        }
        chosen = random.sample(self.sccs, random.randint(1, 2))
        resource_names = random.choice([chosen] * 10 + [None, [], ["*"], ["*", chosen[0]], [self.prefix], [""]])
        if resource_names is not None:
            rule["resourceNames"] = resource_names
        return rule

    def cluster_role_binding(self, number: int) -> Object:
        name = self.random.choice([*self.cluster_roles, *self.aggregated, self.missing])
        return {
            "apiVersion": API_VERSION,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{self.prefix}-binding{number}"},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            "subjects": self.subjects(local=None),
        }

    def role_binding(self, number: int, namespace: str) -> Object:
        random = self.random
        kind = random.choice(["Role", "ClusterRole"])
        known = self.roles if kind == "Role" else [*self.cluster_roles, *self.aggregated]
        return {
            "apiVersion": API_VERSION,
            "kind": "RoleBinding",
            "metadata": {"name": f"{self.prefix}-binding{number}", "namespace": namespace},
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": random.choice([*known, self.missing])},
            "subjects": self.subjects(local=namespace),
        }

    def subjects(self, *, local: str | None) -> list[Object]:
        return [self.subject(local=local) for _ in range(self.random.choice([0, 1, 1, 1, 2, 3]))]

    def subject(self, *, local: str | None) -> Object:
        """A subject; `local` is the namespace of a RoleBinding, where a service account need not name its own."""
        random = self.random
        namespace = random.choice(self.namespaces)
        kind = random.choice(["User", "Group", "ServiceAccount", "ServiceAccount"])
        if kind == "ServiceAccount":
            subject = {"kind": kind, "name": random.choice(self.accounts), "namespace": namespace}
            if local is not None and random.random() < 0.3:
                del subject["namespace"]
            return subject
        account = f"system:serviceaccount:{namespace}:{random.choice(self.accounts)}"
        if kind == "User":
            name = random.choice([*self.users, account, self.groups[0]])
        else:
            shared = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
            name = random.choice([*self.groups, *shared, self.users[0], account])
        return {"kind": kind, "name": name, "apiGroup": RBAC}

    def question(self) -> Question:
        random = self.random
        user, groups = self.identity()
        scc = random.choice([*self.sccs, *self.sccs, self.prefix, "*", f"{self.prefix}-unknown"])
        namespace = random.choice([*self.namespaces, *self.namespaces, f"{self.prefix}-elsewhere", ""])
        return Question(user, groups, scc, namespace)

    def identity(self) -> tuple[str, tuple[str, ...]]:
        random = self.random
        authenticated = ["system:authenticated"] if random.random() < 0.5 else []
        draw = random.random()
        if draw < 0.02:
            return self.users[0], ("system:masters", "system:authenticated")
        if draw < 0.06:
            return "", ("system:authenticated",)
        if draw < 0.55:
            namespace = random.choice(self.namespaces)
            account = f"system:serviceaccount:{namespace}:{random.choice(self.accounts)}"
            return account, ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", *authenticated)
        groups = random.sample(self.groups, random.randint(0, 2))
        return random.choice([*self.users, self.groups[0]]), (*groups, *authenticated)
