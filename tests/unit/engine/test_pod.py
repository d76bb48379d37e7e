import json

import pytest
from tests.unit.engine.builders import Json, container, pod

from scc_operator.engine.errors import InvalidObject
from scc_operator.engine.pod import Pod, SeccompProfile, decode_pod, parse_pod


def test_pods_that_differ_in_nothing_that_matters_have_one_shape() -> None:
    """Names, labels, status, the recorded SCC, images and our own annotations are not part of the question."""
    one = pod(container(), annotations={"openshift.io/scc": "a", "scc-operator.io/verdict": "fits"})
    other = pod({**container(), "image": "x", "env": [{"name": "A", "value": "B"}]}, spec={"nodeName": "n"})
    other["metadata"] = {"name": "q", "labels": {"a": "b"}}
    other["status"] = {"phase": "Running"}
    assert parse_pod(one) == parse_pod(other)
    assert hash(parse_pod(one)) == hash(parse_pod(other))


def test_what_a_container_inherits_makes_no_difference() -> None:
    """A user on the pod asks the same as that user on each container."""
    assert parse_pod(pod(container("a"), container("b"), runAsUser=5, runAsNonRoot=True)) == parse_pod(
        pod(*(container(name, runAsUser=5, runAsNonRoot=True) for name in "ab"))
    )


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"serviceAccountName": "other"}},
        {"spec": {"hostPID": True}},
        {"spec": {"hostUsers": True}},
        {"spec": {"os": {"name": "windows"}}},
        {"spec": {"volumes": [{"name": "v", "secret": {}}]}},
        {"annotations": {"openshift.io/required-scc": "a"}},
        {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}},
        {"annotations": {"container.seccomp.security.alpha.kubernetes.io/c": ""}},
        {"fsGroup": 1},
        {"supplementalGroups": []},
        {"seLinuxOptions": {}},
        {"sysctls": [{"name": "a", "value": "b"}]},
    ],
)
def test_what_matters_makes_another_shape(change: Json) -> None:
    """Everything that admission reads is part of the question."""
    assert parse_pod(pod(**change)) != parse_pod(pod())


def test_null_means_absent() -> None:
    """Null reads as absence at every depth."""
    nulls = pod(
        {"name": "c", "ports": None, "securityContext": {"capabilities": {"add": None}, "seLinuxOptions": None}},
        seLinuxOptions={"level": None},
        spec={
            "initContainers": None,
            "hostPID": None,
            "os": None,
            "volumes": [{"name": "v", "secret": None, "nfs": {}}],
        },
    )
    nulls["metadata"]["annotations"] = None
    absent = pod(container(), seLinuxOptions={}, spec={"volumes": [{"nfs": {}}]})
    assert parse_pod(nulls) == parse_pod(absent)
    assert decode_pod(json.dumps(nulls).encode()) == parse_pod(absent)


def test_text_and_object_give_the_same_shape() -> None:
    """JSON text is read like the object that it decodes to."""
    raw = pod(
        container(ports=[{"hostPort": 1}], runAsUser=5),
        annotations={"a": "b"},
        spec={"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "x"}}]}}]},
    )
    assert decode_pod(json.dumps(raw).encode()) == parse_pod(raw)


def test_an_empty_object_is_a_pod() -> None:
    """Nothing at all is required."""
    assert parse_pod({}) == Pod()


def test_the_deprecated_account_counts_where_the_name_is_empty() -> None:
    """`serviceAccount` is used only without `serviceAccountName`."""
    assert parse_pod({"spec": {"serviceAccount": "old"}}).service_account == "old"
    assert parse_pod({"spec": {"serviceAccount": "old", "serviceAccountName": "new"}}).service_account == "new"


@pytest.mark.parametrize(
    "change, field, found, allowed",
    [
        ({"spec": {"hostNetwork": "true"}}, "spec.hostNetwork", "a string", "a boolean"),
        ({"spec": {"containers": {}}}, "spec.containers", "an object", "a list"),
        ({"spec": {"volumes": [{"secret": []}]}}, "spec.volumes[0].secret", "a list", "an object"),
        (
            {"spec": {"volumes": [{"flexVolume": {"driver": 5}}]}},
            "spec.volumes[0].flexVolume.driver",
            "an integer",
            "a string",
        ),
        (
            {"spec": {"volumes": [{}, {"projected": {"sources": 1}}]}},
            "spec.volumes[1].projected.sources",
            "an integer",
            "a list",
        ),
        ({"spec": {"volumes": [{"name": 5}]}}, "spec.volumes[0].name", "an integer", "a string"),
        ({"runAsUser": 2**63}, "spec.securityContext.runAsUser", "out of range", "an integer"),
    ],
)
def test_wrong_types_name_object_field_and_what_is_allowed(change: Json, field: str, found: str, allowed: str) -> None:
    """An error says where, what stands there and what may stand there."""
    with pytest.raises(InvalidObject) as error:
        parse_pod(pod(**change))
    assert error.value.object == "Pod proj/p"
    assert (error.value.field, error.value.found) == (field, found)
    assert error.value.allowed.startswith(allowed)


def test_text_with_wrong_types_names_the_pod_too() -> None:
    """An error about JSON text names the pod as one about an object does."""
    with pytest.raises(InvalidObject, match=r"Pod proj/p: field spec\.hostPID is a string, but must be a boolean"):
        decode_pod(json.dumps(pod(spec={"hostPID": "x"})).encode())


@pytest.mark.parametrize("text", [b"{", b"\xff", b'"text"'])
def test_text_that_is_no_object_is_refused(text: bytes) -> None:
    """Malformed JSON is an invalid object too."""
    with pytest.raises(InvalidObject):
        decode_pod(text)


@pytest.mark.parametrize(
    "profile, text",
    [
        (SeccompProfile("Unconfined"), "unconfined"),
        (SeccompProfile("RuntimeDefault"), "runtime/default"),
        (SeccompProfile("Localhost", "a/b.json"), "localhost/a/b.json"),
    ],
)
def test_profiles_and_texts_stand_for_each_other(profile: SeccompProfile, text: str) -> None:
    """What a field can say an annotation can say, and back (spec §5.11)."""
    assert profile.text == text
    assert SeccompProfile.of_text(text) == profile


@pytest.mark.parametrize("profile", [SeccompProfile("Localhost"), SeccompProfile("Foo"), SeccompProfile("")])
def test_some_fields_have_no_text(profile: SeccompProfile) -> None:
    """An unknown type, or Localhost without a file, has an empty text."""
    assert profile.text == ""


@pytest.mark.parametrize("text", ["", "foo", "localhost/", "RuntimeDefault"])
def test_some_texts_have_no_field(text: str) -> None:
    """A text that fields cannot say has no field."""
    assert SeccompProfile.of_text(text) is None
