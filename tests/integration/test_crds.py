"""The definitions and the default SCCs against a real API server.

Almost every case is one request with dryRun=All: nothing is stored, the API server's whole chain answers.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pykube
import pytest
import yaml
from tests.integration.support import ROOT, Kubectl, eventually

CRDS = ROOT / "crds"
DEFAULT_SCCS = ROOT / "operator" / "scc_operator" / "data" / "default_sccs.yaml"

STRATEGIES: dict[str, Any] = {"runAsUser": {"type": "RunAsAny"}, "seLinuxContext": {"type": "RunAsAny"}}
BOOLEANS = (
    "allowHostDirVolumePlugin",
    "allowHostIPC",
    "allowHostNetwork",
    "allowHostPID",
    "allowHostPorts",
    "allowPrivilegedContainer",
    "readOnlyRootFilesystem",
)
LISTS = ("allowedCapabilities", "defaultAddCapabilities", "requiredDropCapabilities", "volumes")
MINIMAL: dict[str, Any] = {"priority": 0, **dict.fromkeys(BOOLEANS, False), **{name: [] for name in LISTS}}
LEVEL = {"userNamespaceLevel": "AllowHostLevel"}

COLUMNS = ("Priv", "Caps", "SELinux", "RunAsUser", "FSGroup", "SupGroup", "Priority", "ReadOnlyRootFS", "Volumes")

# The node exporter of OpenShift's cluster monitoring, with the fields that its authors write and no other.
NODE_EXPORTER: dict[str, Any] = {
    "allowHostDirVolumePlugin": True,
    "allowHostNetwork": True,
    "allowHostPID": True,
    "allowHostPorts": True,
    "readOnlyRootFilesystem": False,
    "runAsUser": {"type": "RunAsAny"},
    "seLinuxContext": {"type": "RunAsAny"},
    "users": [],
}


def documents(path: Path) -> list[dict[str, Any]]:
    """Load every document of a YAML file."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def crd(name: str) -> dict[str, Any]:
    """Load the CustomResourceDefinition in `crds/<name>.yaml`."""
    (definition,) = documents(CRDS / f"{name}.yaml")
    return definition


class Resource:
    """One custom resource of the API server, written to with dryRun=All."""

    def __init__(
        self, api: pykube.HTTPClient, version: str, plural: str, kind: str, namespace: str | None = None
    ) -> None:
        self._api, self._version, self._plural, self._namespace = api, version, plural, namespace
        self._head = {"apiVersion": version, "kind": kind}

    def post(self, fields: Mapping[str, Any], headers: Mapping[str, str] | None = None, **params: str) -> Any:
        """Ask to create an object named `case` with these top level fields; return the response."""
        body = {**self._head, "metadata": {"name": "case"}, **fields}
        return self._api.post(
            version=self._version,
            namespace=self._namespace,
            url=self._plural,
            params={"dryRun": "All", **params},
            headers=headers,
            json=body,
        )

    def stored(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the top level fields that would be stored, without the object's head; fail where it is refused."""
        response = self.post(fields)
        assert response.status_code == 201, response.text
        return {key: value for key, value in response.json().items() if key not in {"apiVersion", "kind", "metadata"}}

    def refusal(self, fields: Mapping[str, Any]) -> dict[str, str]:
        """Return the messages by field with which the object is refused; fail where it is accepted."""
        response = self.post(fields)
        assert response.status_code == 422, response.text
        causes: dict[str, str] = {}
        for cause in response.json()["details"].get("causes", []):
            causes[cause["field"]] = "\n".join(filter(None, [causes.get(cause["field"]), cause["message"]]))
        return causes


@pytest.fixture
def sccs(api: pykube.HTTPClient) -> Resource:
    """SecurityContextConstraints as installed, with its policies."""
    return Resource(api, "security.openshift.io/v1", "securitycontextconstraints", "SecurityContextConstraints")


@pytest.fixture
def bindings(api: pykube.HTTPClient) -> Resource:
    """SCCBindings in the namespace `default`."""
    return Resource(api, "scc-operator.io/v1alpha1", "sccbindings", "SCCBinding", "default")


@pytest.fixture
def cluster_bindings(api: pykube.HTTPClient) -> Resource:
    """ClusterSCCBindings."""
    return Resource(api, "scc-operator.io/v1alpha1", "clustersccbindings", "ClusterSCCBinding")


@pytest.fixture(scope="module")
def schema_alone(kubectl: Kubectl, api: pykube.HTTPClient) -> Iterator[Resource]:
    """The definition of SCCs under a group that no policy looks at, so that the schema answers alone."""
    definition = crd("securitycontextconstraints")
    definition["metadata"]["name"] = "securitycontextconstraints.schema.test"
    definition["spec"]["group"] = "schema.test"
    del definition["spec"]["names"]["shortNames"]  # `scc` goes on to mean the real one
    kubectl.apply(definition)
    alone = Resource(api, "schema.test/v1", "securitycontextconstraints", "SecurityContextConstraints")
    eventually(lambda: alone.post({}).status_code == 201)
    yield alone
    kubectl("delete", "--wait=false", "crd", definition["metadata"]["name"])


# --- the definition of SCCs ------------------------------------------------------------------------------------------


def test_discovery_names(api: pykube.HTTPClient) -> None:
    """SCCs have the names of OpenShift's discovery, `scc` among them; they are cluster-wide and have no subresource."""
    answer = api.get(version="security.openshift.io/v1", url="").json()
    (resource,) = answer["resources"]
    found = {key: resource[key] for key in ("name", "singularName", "kind", "namespaced", "shortNames")}
    assert found == {
        "name": "securitycontextconstraints",
        "singularName": "securitycontextconstraint",
        "kind": "SecurityContextConstraints",
        "namespaced": False,
        "shortNames": ["scc"],
    }
    assert "categories" not in resource


def test_columns(sccs: Resource) -> None:
    """`kubectl get scc` shows OpenShift's columns in OpenShift's order, all of them as text."""
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    response = sccs.post({**STRATEGIES, "priority": 3, "allowPrivilegedContainer": True, "volumes": ["*"]}, accept)
    table = response.json()
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names == ["Name", *COLUMNS]
    assert {column["type"] for column in table["columnDefinitions"]} == {"string"}
    (row,) = table["rows"]
    assert row["cells"][1:] == ["true", None, "RunAsAny", "RunAsAny", None, None, "3", None, '["*"]']


@pytest.mark.parametrize("level", [None, "AllowHostLevel", "RequirePodLevel"])
def test_minimal_object_is_stored_unchanged(schema_alone: Resource, level: str | None) -> None:
    """The schema stores the minimal object of OpenShift's own suite as it is and adds only the user namespace level."""
    given = MINIMAL | ({"userNamespaceLevel": level} if level else {})
    assert schema_alone.stored(given) == {**LEVEL, **given}


@pytest.mark.parametrize(
    "given, kept",
    [
        pytest.param({}, {}, id="nothing is required"),
        pytest.param(dict.fromkeys(LISTS), dict.fromkeys(LISTS), id="nulls of lists are kept"),
        pytest.param({"priority": None}, {"priority": None}, id="null priority is kept"),
        pytest.param(
            dict.fromkeys(["allowPrivilegeEscalation", "defaultAllowPrivilegeEscalation", "users", "groups"]),
            dict.fromkeys(["allowPrivilegeEscalation", "defaultAllowPrivilegeEscalation", "users", "groups"]),
            id="nulls of nullable fields are kept",
        ),
        pytest.param(
            dict.fromkeys(["runAsUser", "seLinuxContext", "fsGroup", "supplementalGroups"]),
            dict.fromkeys(["runAsUser", "seLinuxContext", "fsGroup", "supplementalGroups"]),
            id="nulls of strategies are kept",
        ),
        pytest.param(
            dict.fromkeys(["allowedFlexVolumes", "allowedUnsafeSysctls", "forbiddenSysctls", "seccompProfiles"]),
            dict.fromkeys(["allowedFlexVolumes", "allowedUnsafeSysctls", "forbiddenSysctls", "seccompProfiles"]),
            id="nulls of optional lists are kept",
        ),
        pytest.param(dict.fromkeys(BOOLEANS), {}, id="nulls of booleans are dropped and count as absent"),
        pytest.param({"runAsUser": {"uid": None}}, {"runAsUser": {}}, id="null uid is dropped"),
        pytest.param({"fsGroup": {"ranges": None}}, {"fsGroup": {}}, id="null ranges are dropped"),
        pytest.param(
            {"seLinuxContext": {"seLinuxOptions": None}}, {"seLinuxContext": {}}, id="null SELinux options are dropped"
        ),
        pytest.param({"userNamespaceLevel": None}, {}, id="null level becomes the default"),
        pytest.param({"runAsGroup": {"type": "RunAsAny"}, "madeUp": 1}, {}, id="unknown fields are pruned"),
    ],
)
def test_nulls_and_unknown_fields(
    schema_alone: Resource,
    given: dict[str, Any],
    kept: dict[str, Any],
) -> None:
    """Nulls are kept where OpenShift's schema is nullable and dropped elsewhere; unknown fields are pruned."""
    assert schema_alone.stored(given) == {**LEVEL, **kept}


def test_strict_validation_reports_unknown_fields(sccs: Resource) -> None:
    """With strict field validation an unknown field is an error instead."""
    response = sccs.post({**STRATEGIES, "runAsGroup": {"type": "RunAsAny"}}, fieldValidation="Strict")
    assert response.status_code == 400
    assert 'unknown field "runAsGroup"' in response.json()["message"]


REFUSED = [
    # spec/resources.md §2.2, by number of the rule
    ("2", {"priority": -1}, "priority", ["-1", "cannot be negative"]),
    (
        "3",
        {"runAsUser": {"type": "MustRunAsRoot"}},
        "runAsUser.type",
        ["MustRunAsRoot", "MustRunAsNonRoot or RunAsAny"],
    ),
    ("3 empty", {"runAsUser": {"type": ""}}, "runAsUser.type", ["MustRunAsNonRoot or RunAsAny"]),
    ("4", {"runAsUser": {"type": "MustRunAs", "uid": -1}}, "runAsUser.uid", ["-1", "cannot be negative"]),
    ("5", {"seLinuxContext": {"type": "mustRunAs"}}, "seLinuxContext.type", ["mustRunAs", "MustRunAs or RunAsAny"]),
    ("6 fsGroup", {"fsGroup": {"type": "Any"}}, "fsGroup.type", ["Any", "MustRunAs or RunAsAny"]),
    (
        "6 supplementalGroups",
        {"supplementalGroups": {"type": "MustRunAsRange"}},
        "supplementalGroups.type",
        ["MustRunAsRange", "MustRunAs or RunAsAny"],
    ),
    ("7 min", {"fsGroup": {"ranges": [{"min": -1, "max": 5}]}}, "fsGroup.ranges[0].min", ["-1", "cannot be negative"]),
    ("7 max", {"fsGroup": {"ranges": [{"min": -2, "max": -1}]}}, "fsGroup.ranges[0].max", ["-1", "cannot be negative"]),
    (
        "7 order",
        {"supplementalGroups": {"type": "RunAsAny", "ranges": [{"min": 1, "max": 2}, {"min": 6, "max": 5}]}},
        "supplementalGroups.ranges[1].min",
        ["cannot be greater than max"],
    ),
    ("7 no max", {"fsGroup": {"ranges": [{"min": 1}]}}, "fsGroup.ranges[0].min", ["cannot be greater than max"]),
    (
        "8 default",
        {"defaultAddCapabilities": ["A", "CHOWN"], "requiredDropCapabilities": ["CHOWN"]},
        "defaultAddCapabilities",
        ["A, CHOWN", "requiredDropCapabilities", "only one"],
    ),
    (
        "8 allowed",
        {"allowedCapabilities": ["ALL"], "requiredDropCapabilities": ["KILL", "ALL"]},
        "allowedCapabilities",
        ["KILL, ALL", "requiredDropCapabilities", "only one"],
    ),
    (
        "9",
        {"allowedCapabilities": ["A", "*"], "requiredDropCapabilities": ["KILL"]},
        "requiredDropCapabilities",
        ["KILL", "must be empty"],
    ),
    (
        "10",
        {"defaultAllowPrivilegeEscalation": True, "allowPrivilegeEscalation": False},
        "defaultAllowPrivilegeEscalation",
        ["allowPrivilegeEscalation is false"],
    ),
    ("11", {"volumes": ["none", "secret"]}, "volumes", ["none, secret", "only entry"]),
    ("11 wildcard", {"volumes": ["*", "none"]}, "volumes", ["*, none", "only entry"]),
    (
        "11 with what defaulting adds",
        {"volumes": ["none"], "allowHostDirVolumePlugin": True},
        "volumes",
        ["allowHostDirVolumePlugin is true", "only entry"],
    ),
    (
        "12",
        {"volumes": ["secret"], "allowedFlexVolumes": [{"driver": "example.com/a"}]},
        "allowedFlexVolumes",
        ["secret", 'add "flexVolume"'],
    ),
    ("12 empty", {"volumes": [], "allowedFlexVolumes": [{"driver": "a"}]}, "allowedFlexVolumes", ['add "flexVolume"']),
    ("13", {"allowedFlexVolumes": [{"driver": ""}]}, "allowedFlexVolumes[0].driver", ["cannot be empty"]),
    ("13 absent", {"allowedFlexVolumes": [{"driver": "a"}, {}]}, "allowedFlexVolumes[1].driver", ["Required"]),
    (
        "14 slash",
        {"allowedUnsafeSysctls": ["a", "kernel/msg*"]},
        "allowedUnsafeSysctls[1]",
        ["kernel/msg*", "not a sysctl"],
    ),
    ("14 empty", {"forbiddenSysctls": [""]}, "forbiddenSysctls[0]", ["not a sysctl"]),
    ("14 capital", {"forbiddenSysctls": ["Kernel.a"]}, "forbiddenSysctls[0]", ["Kernel.a", "not a sysctl"]),
    ("14 star inside", {"forbiddenSysctls": ["a*b"]}, "forbiddenSysctls[0]", ["a*b", "not a sysctl"]),
    ("14 star first", {"allowedUnsafeSysctls": ["*a"]}, "allowedUnsafeSysctls[0]", ["*a", "not a sysctl"]),
    ("14 too long", {"forbiddenSysctls": ["a" * 254]}, "forbiddenSysctls[0]", ["253"]),
    ("15", {"allowedUnsafeSysctls": ["*", "net.a"]}, "allowedUnsafeSysctls", ["must be the only entry"]),
    ("15 forbidden", {"forbiddenSysctls": ["net.a", "*"]}, "forbiddenSysctls", ["must be the only entry"]),
    (
        "16 equal",
        {"allowedUnsafeSysctls": ["net.a", "net.b"], "forbiddenSysctls": ["net.b"]},
        "allowedUnsafeSysctls",
        ["net.a, net.b", "only one"],
    ),
    (
        "16 allowed covers",
        {"allowedUnsafeSysctls": ["net.*"], "forbiddenSysctls": ["kernel.a", "net.b"]},
        "forbiddenSysctls",
        ["net.*", "kernel.a, net.b", "covers"],
    ),
    (
        "16 forbidden covers",
        {"allowedUnsafeSysctls": ["net.b.c*"], "forbiddenSysctls": ["net.b*"]},
        "allowedUnsafeSysctls",
        ["net.b.c*", "net.b*", "covers"],
    ),
    ("16 star", {"allowedUnsafeSysctls": ["*"], "forbiddenSysctls": ["net.b"]}, "forbiddenSysctls", ["covers"]),
    ("level", {"userNamespaceLevel": "Other"}, "userNamespaceLevel", ["Other", "AllowHostLevel", "RequirePodLevel"]),
    ("level empty", {"userNamespaceLevel": ""}, "userNamespaceLevel", ["AllowHostLevel", "RequirePodLevel"]),
]


@pytest.mark.parametrize("fields, field, parts", [pytest.param(*case[1:], id=f"rule {case[0]}") for case in REFUSED])
def test_refused(sccs: Resource, fields: dict[str, Any], field: str, parts: list[str]) -> None:
    """What OpenShift refuses is refused, at the field that is wrong, with what was found and what is allowed."""
    causes = sccs.refusal(STRATEGIES | fields)
    assert field in causes
    for part in parts:
        assert part in causes[field]


def test_name_must_be_a_subdomain(sccs: Resource) -> None:
    """Rule 1: the name of an SCC is a DNS subdomain."""
    assert "metadata.name" in sccs.refusal({**STRATEGIES, "metadata": {"name": "Any_UID"}})


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(fields, id=name)
        for name, fields in {
            "user IDs in the wrong order": {
                "runAsUser": {"type": "MustRunAsRange", "uidRangeMin": 9, "uidRangeMax": 1}
            },
            "empty group strategies": {"fsGroup": {"type": ""}, "supplementalGroups": {}},
            "duplicates": {"volumes": ["secret", "secret"], "users": ["a", "a"], "groups": ["b", "b"]},
            "made-up names": {"volumes": ["floppy"], "allowedCapabilities": ["FLY"], "seccompProfiles": ["x"]},
            "ALL dropped and one allowed": {"allowedCapabilities": ["CHOWN"], "requiredDropCapabilities": ["ALL"]},
            "case matters": {"allowedCapabilities": ["chown"], "requiredDropCapabilities": ["CHOWN"]},
            "wildcard and no drops": {"allowedCapabilities": ["*"], "requiredDropCapabilities": []},
            "wildcard and null drops": {"allowedCapabilities": ["*"], "requiredDropCapabilities": None},
            "escalation by default, not limited": {"defaultAllowPrivilegeEscalation": True},
            "no escalation by default": {"defaultAllowPrivilegeEscalation": False, "allowPrivilegeEscalation": False},
            "none twice": {"volumes": ["none", "none"]},
            "none and a hostPath that defaulting removes": {"volumes": ["none", "hostPath"]},
            "flex drivers, any volume": {"volumes": ["*"], "allowedFlexVolumes": [{"driver": "a"}]},
            "flex drivers, volumes absent": {"allowedFlexVolumes": [{"driver": "a"}]},
            "flex drivers, volumes null": {"volumes": None, "allowedFlexVolumes": [{"driver": "a"}]},
            "no flex drivers": {"volumes": ["secret"], "allowedFlexVolumes": []},
            "range without min": {"fsGroup": {"ranges": [{"max": 5}]}},
            "empty range": {"fsGroup": {"type": "MustRunAs", "ranges": [{}]}},
            "sysctl patterns": {"allowedUnsafeSysctls": ["kernel.shm*", "net.*"], "forbiddenSysctls": ["kernel.sem"]},
            "every sysctl": {"allowedUnsafeSysctls": ["*"], "forbiddenSysctls": []},
            "sysctls that look alike": {"allowedUnsafeSysctls": ["net.a"], "forbiddenSysctls": ["net.ab", "net.a.*"]},
            "the longest sysctl": {"forbiddenSysctls": ["a" * 253]},
            "node exporter as its authors ship it": NODE_EXPORTER,
        }.items()
    ],
)
def test_accepted(sccs: Resource, fields: dict[str, Any]) -> None:
    """What OpenShift accepts is accepted and stored as given."""
    given = STRATEGIES | fields
    assert sccs.stored(given) == {**LEVEL, **given}


def test_everything_full_stays_within_the_budget(sccs: Resource) -> None:
    """An SCC whose bounded lists are all full of long entries is decided, not refused for the cost of its rules."""
    names = [f"{number:03d}".rjust(253, "a") for number in range(256)]
    others = [f"{number:03d}".rjust(253, "b") for number in range(256)]
    response = sccs.post(
        {
            **STRATEGIES,
            "allowedCapabilities": names,
            "defaultAddCapabilities": names,
            "requiredDropCapabilities": others,
            "volumes": [*names[1:], "flexVolume"],
            "allowedFlexVolumes": [{"driver": name} for name in names],
            "allowedUnsafeSysctls": [name[1:] + "*" for name in names[:128]],
            "forbiddenSysctls": ["a" + name[2:] + "*" for name in others[:128]],
            "fsGroup": {"type": "MustRunAs", "ranges": [{"min": number, "max": number} for number in range(3000)]},
            "users": names * 4,
        }
    )
    assert response.status_code == 201, response.text


def test_default_sccs_are_accepted_as_they_are(sccs: Resource) -> None:
    """All 13 default SCCs are accepted and stored unchanged, nulls included; only a missing level is filled in."""
    defaults = documents(DEFAULT_SCCS)
    assert len(defaults) == 13
    for scc in defaults:
        fields = {key: value for key, value in scc.items() if key not in {"apiVersion", "kind", "metadata"}}
        assert sccs.stored(fields) == LEVEL | fields, scc["metadata"]["name"]
        assert scc["metadata"]["annotations"]["kubernetes.io/description"]


def test_default_sccs_have_their_roles() -> None:
    """Each default SCC has the ClusterRole with exactly `use` on it; only the two baselines are bound to everybody."""
    names = [scc["metadata"]["name"] for scc in documents(DEFAULT_SCCS)]
    objects = documents(DEFAULT_SCCS.with_name("default_scc_rbac.yaml"))
    roles = {each["metadata"]["name"]: each["rules"] for each in objects if each["kind"] == "ClusterRole"}
    bound = {each["metadata"]["name"]: each for each in objects if each["kind"] == "ClusterRoleBinding"}
    rule = {"apiGroups": ["security.openshift.io"], "resources": ["securitycontextconstraints"], "verbs": ["use"]}
    assert roles == {f"system:openshift:scc:{name}": [{**rule, "resourceNames": [name]}] for name in names}
    assert list(bound) == ["system:openshift:scc:restricted-v2", "system:openshift:scc:restricted-v3"]
    for name, binding in bound.items():
        assert binding["roleRef"]["name"] == name
        assert [subject["name"] for subject in binding["subjects"]] == ["system:authenticated"]


def undescribed(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Name the fields below a schema that have no description; metadata is Kubernetes' own."""
    for name, each in schema.get("properties", {}).items():
        if path == "" and name == "metadata":
            continue
        if not each.get("description"):
            yield f"{path}.{name}"
        yield from undescribed(each, f"{path}.{name}")
    if "items" in schema:
        yield from undescribed(schema["items"], f"{path}[]")


@pytest.mark.parametrize("name", sorted(path.stem for path in CRDS.glob("*s.yaml")))
def test_every_field_is_explained(name: str) -> None:
    """`kubectl explain` has something to say about every field of every definition."""
    schema = crd(name)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["description"]
    assert list(undescribed(schema, "")) == []


def test_explain(kubectl: Kubectl, tmp_path: Path) -> None:
    """`kubectl explain scc.runAsUser` works with the short name and explains the strategies."""
    # A cache of its own: the one in the home directory may be about a former cluster at the same address.
    explained = kubectl("explain", "scc.runAsUser", "--cache-dir", tmp_path).stdout
    assert "MustRunAsNonRoot: any user ID but 0" in " ".join(explained.split())


# --- the other definitions -------------------------------------------------------------------------------------------


def test_range_allocation(api: pykube.HTTPClient) -> None:
    """A RangeAllocation has two optional fields; null is dropped and an empty bitmap is kept."""
    ranges = Resource(api, "security.internal.openshift.io/v1", "rangeallocations", "RangeAllocation")
    assert ranges.stored({}) == {}
    assert ranges.stored({"range": None, "data": None}) == {}
    assert ranges.stored({"range": "0-9/1", "data": ""}) == {"range": "0-9/1", "data": ""}


def binding(**spec: Any) -> dict[str, Any]:
    """Build the fields of a valid binding with some of its spec replaced."""
    subjects = [{"kind": "User", "name": "jane"}]
    return {"spec": {"sccs": ["anyuid"], "subjects": subjects} | spec}


def subject(**fields: Any) -> dict[str, Any]:
    """Build the fields of a binding with one subject."""
    return binding(subjects=[fields])


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(binding(), id="one user"),
        pytest.param(binding(expiresAt="2030-01-31T18:00:00+01:00"), id="expiry"),
        pytest.param(binding(sccs=[f"scc-{number}" for number in range(8)]), id="8 SCCs"),
        pytest.param(
            binding(subjects=[{"kind": "Group", "name": f"CN=ops {number},O=x"} for number in range(64)]),
            id="64 subjects",
        ),
        pytest.param(subject(kind="ServiceAccount", name="a.b", namespace="shop"), id="service account"),
        pytest.param(subject(kind="Namespace", name="shop"), id="namespace"),
    ],
)
def test_bindings_accepted(bindings: Resource, cluster_bindings: Resource, fields: dict[str, Any]) -> None:
    """A valid binding is stored as given, in a namespace and cluster-wide."""
    assert bindings.stored(fields) == fields
    assert cluster_bindings.stored(fields) == fields


@pytest.mark.parametrize(
    "fields, field, part",
    [
        pytest.param({}, "spec", "Required", id="no spec"),
        pytest.param({"spec": {}}, "spec.sccs", "Required", id="no SCCs"),
        pytest.param(binding(sccs=[]), "spec.sccs", "at least 1", id="0 SCCs"),
        pytest.param(binding(sccs=[f"scc-{number}" for number in range(9)]), "spec.sccs", "8", id="9 SCCs"),
        pytest.param(binding(sccs=["a", "a"]), "spec.sccs[1]", "Duplicate", id="an SCC twice"),
        pytest.param(binding(sccs=["a", ""]), "spec.sccs[1]", "at least 1", id="empty SCC"),
        pytest.param(binding(sccs=["Any UID"]), "spec.sccs[0]", "not the name", id="bad SCC"),
        pytest.param(binding(subjects=[]), "spec.subjects", "at least 1", id="0 subjects"),
        pytest.param(binding(subjects=[{"kind": "User", "name": "a"}] * 65), "spec.subjects", "64", id="65 subjects"),
        pytest.param(subject(kind="User"), "spec.subjects[0].name", "Required", id="no name"),
        pytest.param(subject(kind="User", name=""), "spec.subjects[0].name", "at least 1", id="empty name"),
        pytest.param(subject(kind="Robot", name="a"), "spec.subjects[0].kind", "ServiceAccount", id="kind"),
        pytest.param(
            subject(kind="User", name="a", namespace="b"),
            "spec.subjects[0].namespace",
            "only a subject of kind ServiceAccount",
            id="user in a namespace",
        ),
        pytest.param(
            subject(kind="Namespace", name="a", namespace="b"),
            "spec.subjects[0].namespace",
            "only a subject of kind ServiceAccount",
            id="namespace in a namespace",
        ),
        pytest.param(
            subject(kind="ServiceAccount", name="system:serviceaccount:a:b", namespace="a"),
            "spec.subjects[0].name",
            '"system:serviceaccount:a:b" is not the name of a service account',
            id="long form of a service account",
        ),
        pytest.param(
            subject(kind="ServiceAccount", name="a", namespace="A"),
            "spec.subjects[0].namespace",
            "not the name of a namespace",
            id="bad namespace",
        ),
        pytest.param(
            subject(kind="Namespace", name="a.b"),
            "spec.subjects[0].name",
            '"a.b" is not the name of a namespace',
            id="bad namespace name",
        ),
        pytest.param(binding(expiresAt="tomorrow"), "spec.expiresAt", "date-time", id="bad expiry"),
    ],
)
def test_bindings_refused(
    bindings: Resource, cluster_bindings: Resource, fields: dict[str, Any], field: str, part: str
) -> None:
    """A binding that could not become RBAC is refused at the field that is wrong."""
    for resource in (bindings, cluster_bindings):
        causes = resource.refusal(fields)
        assert part in causes[field]


def test_service_account_without_namespace(bindings: Resource, cluster_bindings: Resource) -> None:
    """A service account's namespace is the binding's own where it has one; a cluster-wide binding must name it."""
    fields = subject(kind="ServiceAccount", name="a")
    assert bindings.stored(fields) == fields
    assert "needs a namespace" in cluster_bindings.refusal(fields)["spec.subjects[0].namespace"]


@pytest.mark.parametrize("short", ["sccb", "csccb"])
def test_binding_status(kubectl: Kubectl, short: str) -> None:
    """The status is a subresource, and `kubectl get` tells who gets what, until when."""
    kind = {"sccb": "SCCBinding", "csccb": "ClusterSCCBinding"}[short]
    head = {"apiVersion": "scc-operator.io/v1alpha1", "kind": kind, "metadata": {"name": "columns"}}
    kubectl.apply({**head, **binding(expiresAt="2030-01-31T18:00:00Z"), "status": {"pods": 7}})
    try:
        assert kubectl("get", short, "columns", "-o", "jsonpath={.status}").stdout == ""
        status = {
            "observedGeneration": 1,
            "sccs": ["anyuid"],
            "pods": 3,
            "grantedTo": "User jane",
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Granted",
                    "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ],
        }
        patch = yaml.safe_dump({"status": status, "spec": {"sccs": ["privileged"]}})
        kubectl("patch", short, "columns", "--subresource=status", "--type=merge", "-p", patch)
        titles, row = kubectl("get", short, "columns").stdout.splitlines()
        for title in ("SCCS", "GRANTED TO", "EXPIRES", "READY", "PODS", "AGE"):
            assert title in titles
        for cell in ("columns", '["anyuid"]', "User jane", "2030-01-31T18:00:00Z", "True", "3"):
            assert cell in row
    finally:
        kubectl("delete", short, "columns")
