"""The admission policies that ship with the definitions, asked by users of different rank.

Nobody here is mocked: RBAC, the policies and the API server decide. What a case only asks is sent with dryRun=All.
"""

from collections.abc import Iterator
from typing import Any

import pykube
import pytest
from tests.integration.support import Kubectl, eventually

HOME = "policy-home"
ELSEWHERE = "policy-elsewhere"
USE = {"apiGroups": ["security.openshift.io"], "resources": ["securitycontextconstraints"], "verbs": ["use"]}
BIND = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind"]}
WRITERS = "policy-writers"
EIGHT = [f"scc-{number}" for number in range(8)]

# Who holds what; all of them may write SCC bindings of both kinds everywhere.
RULES: dict[str, tuple[str | None, list[dict[str, Any]]]] = {
    "plain": (None, []),
    "user-at-home": (HOME, [{**USE, "resourceNames": ["anyuid"]}]),
    "binder-at-home": (HOME, [{**BIND, "resourceNames": ["system:openshift:scc:anyuid"]}]),
    "user-everywhere": (None, [{**USE, "resourceNames": ["anyuid"]}]),
    "binder-everywhere": (None, [{**BIND, "resourceNames": ["system:openshift:scc:anyuid"]}]),
    "user-of-eight": (None, [{**USE, "resourceNames": EIGHT}]),
    "binder-of-eight": (None, [{**BIND, "resourceNames": [f"system:openshift:scc:{name}" for name in EIGHT]}]),
}
# The right to do something else with the SCC, or to use another one, is not the right to use it.
RULES["reader"] = (None, [{**USE, "resourceNames": ["anyuid"], "verbs": ["get", "update"]}])
RULES["user-of-another"] = (None, [{**USE, "resourceNames": ["nonroot"]}])


def grants() -> list[dict[str, Any]]:
    """Build the namespaces and the RBAC objects that give each user his rank."""
    group = "rbac.authorization.k8s.io"
    resources = ["sccbindings", "clustersccbindings", "sccbindings/status", "clustersccbindings/status"]
    verbs = ["get", "create", "update", "patch", "delete"]
    write = {"apiGroups": ["scc-operator.io"], "resources": resources, "verbs": verbs}
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (HOME, ELSEWHERE)
    ]
    for name, (namespace, rules, subject) in {
        **{name: (*value, {"kind": "User", "name": name}) for name, value in RULES.items()},
        WRITERS: (None, [write], {"kind": "Group", "name": WRITERS}),
    }.items():
        kind, scope = ("RoleBinding", {"namespace": namespace}) if namespace else ("ClusterRoleBinding", {})
        role = {"apiGroup": group, "kind": "ClusterRole", "name": f"policy-test-{name}"}
        version = f"{group}/v1"
        objects += [
            {"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": role["name"]}, "rules": rules},
            {
                "apiVersion": version,
                "kind": kind,
                "metadata": {"name": role["name"], **scope},
                "roleRef": role,
                "subjects": [{"apiGroup": group, **subject}],
            },
        ]
    return objects


@pytest.fixture(scope="module", autouse=True)
def ranks(kubectl: Kubectl, api: pykube.HTTPClient) -> None:
    """Give the users their rights, and wait until these and the policies are in force."""
    kubectl.apply(*grants())

    def settled() -> bool:
        refused = [write(api, "plain", binding(), namespace=namespace).status_code == 403 for namespace in (HOME, None)]
        allowed = [
            write(api, user, spec, namespace=namespace).status_code == 201
            for user, spec, namespace in (
                ("user-at-home", binding(), HOME),
                ("user-of-eight", binding(EIGHT), None),
                ("binder-of-eight", binding(EIGHT), None),
            )
        ]
        return all([scc(api, {}).status_code == 422, *refused, *allowed])

    eventually(settled)


def scc(api: pykube.HTTPClient, fields: dict[str, Any]) -> Any:
    """Ask to create an SCC with these fields."""
    body = {
        "apiVersion": "security.openshift.io/v1",
        "kind": "SecurityContextConstraints",
        "metadata": {"name": "case"},
    }
    return api.post(
        version="security.openshift.io/v1",
        url="securitycontextconstraints",
        params={"dryRun": "All"},
        json=body | fields,
    )


def binding(
    sccs: list[str] | None = None, subjects: list[str] | None = None, expires: str | None = None
) -> dict[str, Any]:
    """Build the spec of a binding of `anyuid` to the user jane, or of other SCCs to other users."""
    users = [{"kind": "User", "name": name} for name in (["jane"] if subjects is None else subjects)]
    spec: dict[str, Any] = {"sccs": ["anyuid"] if sccs is None else sccs, "subjects": users}
    return spec | ({"expiresAt": expires} if expires else {})


def write(
    api: pykube.HTTPClient,
    user: str | None,
    spec: dict[str, Any],
    *,
    namespace: str | None = HOME,
    name: str = "case",
    update: bool = False,
    dry_run: bool = True,
) -> Any:
    """Create or replace an SCCBinding (without a namespace: a ClusterSCCBinding) as a user (None: as the admin)."""
    plural, kind = ("sccbindings", "SCCBinding") if namespace else ("clustersccbindings", "ClusterSCCBinding")
    metadata = {"name": name}
    body = {"apiVersion": "scc-operator.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    headers = {"Impersonate-User": user, "Impersonate-Group": WRITERS} if user else {}
    at: dict[str, Any] = {"version": "scc-operator.io/v1alpha1", "namespace": namespace, "headers": headers}
    params = {"dryRun": "All"} if dry_run else {}
    if not update:
        return api.post(url=plural, params=params, json=body, **at)
    current = api.get(url=f"{plural}/{name}", **at).json()
    metadata["resourceVersion"] = current["metadata"]["resourceVersion"]
    return api.put(url=f"{plural}/{name}", params=params, json=body, **at)


def message(response: Any, status: int) -> str:
    """Return the text of a refusal with this HTTP status."""
    assert response.status_code == status, response.text
    return str(response.json()["message"])


# --- SCCs that cannot be evaluated -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields, field, way_out",
    [
        pytest.param({"runAsUser": None}, "runAsUser.type is missing", "MustRunAsRange", id="no user strategy"),
        pytest.param({"runAsUser": {"uid": 5}}, "runAsUser.type is missing", "RunAsAny", id="user without strategy"),
        pytest.param({"seLinuxContext": None}, "seLinuxContext.type is missing", "MustRunAs", id="no SELinux strategy"),
        pytest.param({"seLinuxContext": {}}, "seLinuxContext.type is missing", "RunAsAny", id="empty SELinux strategy"),
        pytest.param(
            {"runAsUser": {"type": "MustRunAs"}},
            "runAsUser.uid is missing",
            "MustRunAsRange",
            id="MustRunAs without uid",
        ),
        pytest.param(
            {"runAsUser": {"type": "MustRunAsRange", "uidRangeMin": 1}},
            "uidRangeMin but no uidRangeMax",
            "set both, or remove both",
            id="half a range, lower",
        ),
        pytest.param(
            {"runAsUser": {"type": "MustRunAsRange", "uidRangeMax": 1}},
            "uidRangeMax but no uidRangeMin",
            "set both, or remove both",
            id="half a range, upper",
        ),
    ],
)
def test_scc_that_cannot_be_evaluated(api: pykube.HTTPClient, fields: dict[str, Any], field: str, way_out: str) -> None:
    """An SCC that would leave every pod without an answer is refused; the text names it, the field and a way out."""
    strategies = {"runAsUser": {"type": "RunAsAny"}, "seLinuxContext": {"type": "RunAsAny"}}
    text = message(scc(api, strategies | fields), 422)
    assert "SecurityContextConstraints case: " in text
    assert field in text
    assert way_out in text


@pytest.mark.parametrize(
    "strategy",
    [
        {"type": "MustRunAs", "uid": 0},
        {"type": "MustRunAsRange"},
        {"type": "MustRunAsRange", "uidRangeMin": 0, "uidRangeMax": 0},
        {"type": "MustRunAsNonRoot", "uidRangeMin": 5},
    ],
    ids=lambda strategy: " ".join(str(each) for each in strategy.values()),
)
def test_scc_that_can_be_evaluated(api: pykube.HTTPClient, strategy: dict[str, Any]) -> None:
    """A strategy with what it needs, or with what another one would need, passes."""
    response = scc(api, {"runAsUser": strategy, "seLinuxContext": {"type": "MustRunAs"}})
    assert response.status_code == 201, response.text


# --- bindings are no way to climb ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "user, at_home, elsewhere, cluster_wide",
    [
        ("plain", False, False, False),
        ("reader", False, False, False),
        ("user-of-another", False, False, False),
        ("user-at-home", True, False, False),
        ("binder-at-home", True, False, False),
        ("user-everywhere", True, True, True),
        ("binder-everywhere", True, True, True),
        (None, True, True, True),
    ],
)
def test_who_may_create(
    api: pykube.HTTPClient, user: str | None, *, at_home: bool, elsewhere: bool, cluster_wide: bool
) -> None:
    """A binding is created only by those who may use its SCC, or bind its role, where the binding is in force."""
    for namespace, allowed in ((HOME, at_home), (ELSEWHERE, elsewhere), (None, cluster_wide)):
        response = write(api, user, binding(), namespace=namespace)
        if allowed:
            assert response.status_code == 201, response.text
        else:
            text = message(response, 403)
            where = f"in the namespace {namespace}" if namespace else "in every namespace"
            assert f'spec.sccs[0]: user {user} may not "use" the SCC anyuid {where}' in text


@pytest.mark.parametrize("position", range(8))
@pytest.mark.parametrize("namespace", [HOME, None], ids=["namespaced", "cluster-wide"])
def test_every_place_is_checked(api: pykube.HTTPClient, namespace: str | None, position: int) -> None:
    """An SCC that the creator may not use is found at each of the 8 places, within the budget of the policy."""
    for user in ("user-of-eight", "binder-of-eight"):
        sccs = [*EIGHT[:position], "privileged", *EIGHT[position + 1 :]]
        text = message(write(api, user, binding(sccs), namespace=namespace), 403)
        assert f"spec.sccs[{position}]" in text
        assert "privileged" in text


@pytest.mark.parametrize("user", ["user-of-eight", "binder-of-eight"])
@pytest.mark.parametrize("namespace", [HOME, None], ids=["namespaced", "cluster-wide"])
def test_eight_sccs_and_64_subjects(api: pykube.HTTPClient, user: str, namespace: str | None) -> None:
    """The largest binding passes within the budget of the policy."""
    spec = binding(EIGHT, [f"user-{number}".ljust(1000, "x") for number in range(64)])
    response = write(api, user, spec, namespace=namespace)
    assert response.status_code == 201, response.text


@pytest.fixture(params=[HOME, None], ids=["namespaced", "cluster-wide"])
def given(request: pytest.FixtureRequest, api: pykube.HTTPClient) -> Iterator[str | None]:
    """Keep a binding, made by the admin, of `anyuid` and `scc-0` to jane and joe until 2030; yield its namespace."""
    namespace = request.param
    plural = "sccbindings" if namespace else "clustersccbindings"
    spec = binding(["anyuid", "scc-0"], ["jane", "joe"], "2030-01-01T00:00:00Z")
    created = write(api, None, spec, namespace=namespace, name="given", dry_run=False)
    assert created.status_code == 201, created.text
    yield namespace
    api.delete(version="scc-operator.io/v1alpha1", namespace=namespace, url=f"{plural}/given")


BOTH, TWO, UNTIL = ["anyuid", "scc-0"], ["jane", "joe"], "2030-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(binding(BOTH, TWO, UNTIL), id="nothing"),
        pytest.param(binding(["scc-0", "anyuid"], ["joe", "jane"], UNTIL), id="only the order"),
        pytest.param(binding(["anyuid"], TWO, UNTIL), id="fewer SCCs"),
        pytest.param(binding(BOTH, ["joe"], UNTIL), id="fewer subjects"),
        pytest.param(binding(BOTH, TWO, "2029-01-01T00:00:00Z"), id="less time"),
        pytest.param(binding(BOTH, TWO, "2030-01-01T01:00:00+01:00"), id="the same time in another zone"),
    ],
)
def test_anybody_who_may_write_may_narrow(api: pykube.HTTPClient, given: str | None, spec: dict[str, Any]) -> None:
    """To take something away from a binding takes no right to its SCCs."""
    response = write(api, "plain", spec, namespace=given, name="given", update=True)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "spec, cause",
    [
        pytest.param(binding([*BOTH, "privileged"], TWO, UNTIL), "to add it to a", id="another SCC"),
        pytest.param(binding(["anyuid", "privileged"], TWO, UNTIL), "to add it to a", id="an SCC instead of another"),
        pytest.param(binding(BOTH, [*TWO, "mallory"], UNTIL), "to add a subject to a", id="another subject"),
        pytest.param(binding(BOTH, ["mallory"], UNTIL), "to add a subject to a", id="a subject instead of others"),
        pytest.param(binding(BOTH, TWO, "2031-01-01T00:00:00Z"), "last longer", id="more time"),
        pytest.param(binding(BOTH, TWO), "last longer", id="no end"),
    ],
)
def test_widening_takes_the_right(api: pykube.HTTPClient, given: str | None, spec: dict[str, Any], cause: str) -> None:
    """To widen a binding by an SCC, a subject or time takes the right to use what is widened; the admin has it."""
    for user in ("plain", "user-everywhere"):
        text = message(write(api, user, spec, namespace=given, name="given", update=True), 403)
        assert f'user {user} may not "use" the SCC' in text
        assert cause in text
    response = write(api, None, spec, namespace=given, name="given", update=True)
    assert response.status_code == 200, response.text


def test_adding_an_scc_takes_the_right_to_that_one_only(api: pykube.HTTPClient, given: str | None) -> None:
    """Somebody who may use scc-1 may add it to a binding that others made of SCCs that he may not use."""
    response = write(
        api, "user-of-eight", binding([*BOTH, "scc-1"], TWO, UNTIL), namespace=given, name="given", update=True
    )
    assert response.status_code == 200, response.text


def test_an_end_can_be_set_but_not_removed(api: pykube.HTTPClient, given: str | None) -> None:
    """A binding without an end may be given one by anybody who may write it."""
    made = write(api, None, binding(BOTH, TWO), namespace=given, name="given", update=True, dry_run=False)
    assert made.status_code == 200, made.text
    response = write(api, "plain", binding(BOTH, TWO, UNTIL), namespace=given, name="given", update=True)
    assert response.status_code == 200, response.text


def test_status_is_written_without_any_right_to_sccs(api: pykube.HTTPClient, given: str | None) -> None:
    """The status has no policy, and writing it changes neither spec nor what is granted."""
    plural = "sccbindings" if given else "clustersccbindings"
    response = api.patch(
        version="scc-operator.io/v1alpha1",
        namespace=given,
        url=f"{plural}/given/status",
        headers={
            "Content-Type": "application/merge-patch+json",
            "Impersonate-User": "plain",
            "Impersonate-Group": WRITERS,
        },
        json={"spec": {"sccs": ["privileged"]}, "status": {"pods": 1}},
    )
    assert response.status_code == 200, response.text
    assert response.json()["spec"]["sccs"] == BOTH
    assert response.json()["status"] == {"pods": 1}


@pytest.mark.usefixtures("installed")
def test_policies_are_sound(kubectl: Kubectl) -> None:
    """The API server's type check finds nothing wrong with the policies, all of them deny, and none fails open."""
    found = policies(kubectl)
    assert {
        "clustersccbinding-no-escalation.scc-operator.io",
        "pod-scc.scc-operator.io",
        "pod-verdicts.scc-operator.io",
        "scc-evaluable.scc-operator.io",
        "sccbinding-no-escalation.scc-operator.io",
    } <= {*found}
    eventually(lambda: all("typeChecking" in each["status"] for each in policies(kubectl).values()))
    for name, policy in policies(kubectl).items():
        assert policy["spec"]["failurePolicy"] == "Fail"
        assert policy["status"]["typeChecking"] == {}
        assert kubectl.json("validatingadmissionpolicybinding", name)["spec"]["validationActions"] == ["Deny"]


def policies(kubectl: Kubectl) -> dict[str, Any]:
    """The policies that are ours, by name."""
    return {
        each["metadata"]["name"]: each
        for each in kubectl.json("validatingadmissionpolicies")["items"]
        if each["metadata"]["name"].endswith(".scc-operator.io")
    }
