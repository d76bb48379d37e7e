from typing import Any

import pytest
from tests.unit.engine.builders import SCC, Json, completed, container, create, fills, objections, pod, scc, texts

POD_KEY = "seccomp.security.alpha.kubernetes.io/pod"
CONTAINER_KEY = "container.seccomp.security.alpha.kubernetes.io/c"
POD_PATH = f"pod.metadata.annotations[{POD_KEY}]"
CONTAINER_PATH = f"pod.metadata.annotations[{CONTAINER_KEY}]"

RUNTIME_DEFAULT = {"type": "RuntimeDefault"}
UNCONFINED = {"type": "Unconfined"}
NOT_SET = "seccomp may not be set"


def profiles(*names: str) -> SCC:
    """An SCC with these seccomp profiles."""
    return scc(seccompProfiles=list(names))


def seccomp(*containers: Json, annotation: Any = None, for_container: Any = None, **context: Any) -> Json:
    """A pod with these annotations."""
    annotations = {POD_KEY: annotation, CONTAINER_KEY: for_container}
    given = {key: value for key, value in annotations.items() if value is not None}
    return pod(*containers, annotations=given, **context)


def with_field(profile: Json) -> Json:
    """A pod with this profile in its own security context."""
    return seccomp(seccompProfile=profile)


def test_without_profiles_even_the_runtimes_default_is_refused() -> None:
    """An SCC without profiles refuses a pod's profile, for the pod and for each container under it (case 78)."""
    assert objections(profiles(), with_field(RUNTIME_DEFAULT)) == [
        ("SeccompNotAllowed", POD_PATH, NOT_SET),
        ("SeccompNotAllowed", CONTAINER_PATH, NOT_SET),
    ]
    assert texts(profiles(), with_field(RUNTIME_DEFAULT))[0] == f"{POD_PATH}: Forbidden: {NOT_SET}"


def test_a_containers_own_profile_is_refused_once() -> None:
    """A container's profile is an objection to that container alone (case 79)."""
    asked = seccomp(container(seccompProfile=RUNTIME_DEFAULT))
    assert objections(profiles(), asked) == [("SeccompNotAllowed", CONTAINER_PATH, NOT_SET)]


def test_an_empty_annotation_erases_the_containers_field() -> None:
    """An annotation for a container decides even when empty (case 80)."""
    asked = seccomp(container(seccompProfile=RUNTIME_DEFAULT), for_container="")
    assert fills(profiles(), asked) == {"c.seccompProfile": ""}
    context = completed(create(asked, profiles()))["spec"]["containers"][0]["securityContext"]
    assert "seccompProfile" not in context


def test_a_field_that_annotations_cannot_say_counts_as_no_profile() -> None:
    """A Localhost profile without a file has no text, so nothing is asked for and nothing changes (case 81)."""
    assert fills(profiles(), with_field({"type": "Localhost"})) == {}


@pytest.mark.parametrize(
    "allowed, annotation, field",
    [
        pytest.param(["runtime/default"], "runtime/default", RUNTIME_DEFAULT, id="82: the first profile"),
        pytest.param(["*", "runtime/default"], "runtime/default", RUNTIME_DEFAULT, id="88: the first name beside *"),
        pytest.param(["docker/default"], "docker/default", RUNTIME_DEFAULT, id="89: docker/default"),
        pytest.param(["foo"], "foo", None, id="90: a text that fields cannot say"),
        pytest.param(["localhost/"], "localhost/", None, id="90: localhost without a file"),
        pytest.param(["localhost/a"], "localhost/a", {"type": "Localhost", "localhostProfile": "a"}, id="localhost"),
        pytest.param(["unconfined"], "unconfined", UNCONFINED, id="unconfined"),
    ],
)
def test_a_silent_pod_gets_the_first_profile(allowed: str, annotation: Any, field: str) -> None:
    """Annotation and field of the pod are filled in, a container's field is not (cases 82, 88 to 90)."""
    result = completed(create(pod(), profiles(*allowed)))
    assert result["metadata"]["annotations"][POD_KEY] == annotation
    assert result["spec"]["securityContext"].get("seccompProfile") == field
    assert fills(profiles(*allowed), pod()) == {"seccompProfile": annotation}


def test_only_the_wildcard_fills_in_nothing() -> None:
    """With `*` alone there is no profile to fill in."""
    assert fills(profiles("*"), pod()) == {}


def test_docker_default_and_runtime_default_are_the_same() -> None:
    """One allows the other; the annotation is kept and the field follows it (case 83)."""
    result = completed(create(seccomp(annotation="docker/default"), profiles("runtime/default")))
    assert result["metadata"]["annotations"][POD_KEY] == "docker/default"
    assert result["spec"]["securityContext"]["seccompProfile"] == RUNTIME_DEFAULT


def test_the_pods_annotation_wins_over_its_field() -> None:
    """The field follows the annotation (case 84)."""
    asked = seccomp(annotation="runtime/default", seccompProfile=UNCONFINED)
    result = completed(create(asked, profiles("runtime/default")))
    assert result["spec"]["securityContext"]["seccompProfile"] == RUNTIME_DEFAULT


def test_a_containers_field_does_not_follow_the_pods_annotation() -> None:
    """A container's own field stands for itself (case 85)."""
    asked = seccomp(container(seccompProfile=UNCONFINED), annotation="runtime/default", seccompProfile=UNCONFINED)
    assert objections(profiles("runtime/default"), asked) == [
        (
            "SeccompProfileNotAllowed",
            CONTAINER_PATH,
            "unconfined is not an allowed seccomp profile. Valid values are [runtime/default]",
        )
    ]


def test_the_text_of_no_profile_leaves_its_space() -> None:
    """A profile without a text is refused with an empty name (case 86)."""
    first, _ = texts(profiles("runtime/default"), with_field({"type": "Localhost"}))
    detail = " is not an allowed seccomp profile. Valid values are [runtime/default]"
    assert first == f"{POD_PATH}: Forbidden: {detail}"


@pytest.mark.parametrize(
    "asked, annotation",
    [
        pytest.param(seccomp(annotation="garbage", seccompProfile=RUNTIME_DEFAULT), "garbage", id="87"),
        pytest.param(with_field({"type": "Localhost", "localhostProfile": ""}), "localhost/", id="91"),
    ],
)
def test_what_fields_cannot_say_is_erased_from_the_field(asked: Json, annotation: Any) -> None:
    """A text that fields cannot say clears the field and stays as annotation (cases 87, 91)."""
    result = completed(create(asked, profiles("*")))
    assert result["metadata"]["annotations"][POD_KEY] == annotation
    assert "seccompProfile" not in result["spec"]["securityContext"]


def test_a_containers_annotation_wins_over_its_field() -> None:
    """The container's field follows its annotation (case 92)."""
    asked = seccomp(container(seccompProfile=UNCONFINED), for_container="runtime/default")
    result = completed(create(asked, profiles("runtime/default")))
    assert result["spec"]["containers"][0]["securityContext"]["seccompProfile"] == RUNTIME_DEFAULT


def test_a_field_alone_creates_the_annotation() -> None:
    """A pod's field is said as annotation too."""
    assert fills(profiles("*"), with_field(UNCONFINED)) == {"seccompProfile": "unconfined"}


def test_valid_values_leave_out_the_wildcard_and_are_separated_by_spaces() -> None:
    """All names of the SCC are listed in its order."""
    (_, _, detail), _ = objections(profiles("runtime/default", "localhost/a"), seccomp(annotation="unconfined"))
    assert detail.endswith("Valid values are [runtime/default localhost/a]")
