from typing import Any

import pytest
from tests.unit.engine.builders import POD, Json, fills, objections, pod, scc, texts

from scc_operator.engine.volume_types import VOLUME_TYPES

TOKEN = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
CA: Json = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
SERVICE_CA = {
    "configMap": {"name": "openshift-service-ca.crt", "items": [{"key": "service-ca.crt", "path": "service-ca.crt"}]}
}
NAMESPACE_REF = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
NAMESPACE = {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": NAMESPACE_REF}]}}


def mounting(*sources: Any) -> Json:
    """A pod with these volumes."""
    return pod(spec={"volumes": [{"name": f"v{index}", **source} for index, source in enumerate(sources)]})


def projecting(*sources: Any) -> Json:
    """A pod with one projected volume of these sources."""
    return mounting({"projected": {"sources": list(sources)}})


def allows(volumes: Any, asked: Json) -> bool:
    """Whether an SCC with these volume types allows the pod."""
    return not objections(scc(volumes=volumes), asked)


@pytest.mark.parametrize("source, volume_type", VOLUME_TYPES.items())
def test_each_source_has_its_type(source: Any, volume_type: str) -> None:
    """An SCC that allows just the type of a volume's source allows the volume."""
    assert allows([volume_type], mounting({source: {}}))
    assert objections(scc(volumes=["none"]), mounting({source: {}})) == [
        ("VolumeTypeNotAllowed", "spec.volumes[0]", f"{volume_type} volumes are not allowed to be used")
    ]


@pytest.mark.parametrize(
    "volumes, asked, allowed",
    [
        pytest.param(None, mounting({"emptyDir": {}}), False, id="93: null allows nothing"),
        pytest.param([], mounting({"emptyDir": {}}), False, id="an empty list allows nothing"),
        pytest.param(["none"], pod(), True, id="93: no volumes"),
        pytest.param(["none", "emptyDir"], mounting({"emptyDir": {}}), True, id="none beside others means nothing"),
        pytest.param(["emptyDir"], mounting({"emptyDir": {}, "hostPath": {}}), False, id="94: hostPath decides"),
        pytest.param(["hostPath"], mounting({"emptyDir": {}, "hostPath": {}}), True, id="94: and is enough"),
        pytest.param(["*"], mounting({}), True, id="95: * allows even an unknown source"),
        pytest.param(["cephFS"], mounting({"cephfs": {}}), True, id="100: the name of the type"),
        pytest.param(["cephfs"], mounting({"cephfs": {}}), False, id="100: not the name of the source"),
    ],
)
def test_types_are_matched_exactly(volumes: Any, asked: Json, allowed: bool) -> None:
    """A volume is allowed by the type of its first source (cases 93 to 95, 100)."""
    assert allows(volumes, asked) is allowed


def test_a_volume_without_a_known_source_is_named() -> None:
    """A volume without a source that the engine knows is refused by name (case 95)."""
    ((code, path, detail),) = objections(scc(volumes=["emptyDir"]), mounting({"newSource": {}}))
    assert (code, path) == ("UnknownVolumeType", "spec.volumes[0]")
    assert detail.startswith('unknown volume type for volume: core.Volume{Name:"v0", VolumeSource:core.VolumeSource{')
    assert detail.endswith("Image:(*core.ImageVolumeSource)(nil)}}")
    assert detail.count("(nil)") == len(VOLUME_TYPES)
    (text,) = texts(scc(volumes=["emptyDir"]), mounting({}))
    assert text.startswith('spec.volumes[0]: Invalid value: "": unknown volume type')


@pytest.mark.parametrize(
    "sources",
    [
        pytest.param([TOKEN, CA, NAMESPACE, SERVICE_CA], id="96: all that a cluster projects"),
        pytest.param([], id="96: nothing"),
        pytest.param([{"serviceAccountToken": TOKEN["serviceAccountToken"], "secret": {"name": "s"}}], id="98"),
        pytest.param([{"downwardAPI": {}}], id="a downwardAPI without items"),
    ],
)
def test_a_service_account_token_passes_as_a_secret(sources: Any) -> None:
    """A projected volume that holds no more than a token is allowed where secrets are (cases 96, 98)."""
    assert allows(["secret"], projecting(*sources))
    assert not allows(["emptyDir"], projecting(*sources))


@pytest.mark.parametrize(
    "source",
    [
        pytest.param({"serviceAccountToken": {"path": "tok"}}, id="another path"),
        pytest.param({"serviceAccountToken": {"path": "token", "audience": "vault"}}, id="an audience"),
        pytest.param({"configMap": {"name": "kube-root-ca.crt"}}, id="a config map without items"),
        pytest.param({"configMap": {"name": "mine", "items": CA["configMap"]["items"]}}, id="another config map"),
        pytest.param(
            {"configMap": {"name": "kube-root-ca.crt", "items": CA["configMap"]["items"] * 2}}, id="two items"
        ),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            id="a field without apiVersion",
        ),
        pytest.param({"downwardAPI": {"items": [{"path": "namespace"}]}}, id="no field"),
        pytest.param({"secret": {"name": "s"}}, id="a secret alone"),
        pytest.param({"clusterTrustBundle": {"path": "x"}}, id="a trust bundle"),
    ],
)
def test_any_other_projection_does_not_pass_as_a_secret(source: Any) -> None:
    """One source that a token volume does not have makes the volume an ordinary projected one (case 97)."""
    assert not allows(["secret"], projecting(TOKEN, source))
    assert allows(["projected"], projecting(TOKEN, source))


def test_flex_drivers_are_checked_even_under_the_wildcard() -> None:
    """Where the SCC lists drivers each flexVolume needs one of them (case 99)."""
    under = scc(volumes=["*"], allowedFlexVolumes=[{"driver": "a/b"}])
    asked = mounting({"flexVolume": {"driver": "a/b"}}, {"flexVolume": {"driver": "c/d"}})
    detail = "Flexvolume driver is not allowed to be used"
    assert objections(under, asked) == [("FlexVolumeDriverNotAllowed", f"{POD}.volumes[1].driver", detail)]
    assert texts(under, asked) == [f'{POD}.volumes[1].driver: Invalid value: "c/d": {detail}']


def test_without_listed_drivers_all_are_allowed() -> None:
    """An empty list of drivers allows every driver."""
    assert fills(scc(volumes=["flexVolume"]), mounting({"flexVolume": {"driver": "c/d"}})) == {}


def test_drivers_do_not_matter_where_flex_volumes_are_not_allowed() -> None:
    """A flexVolume that is refused as a type is not refused again for its driver."""
    under = scc(volumes=["secret"], allowedFlexVolumes=[{"driver": "a/b"}])
    found = objections(under, mounting({"flexVolume": {"driver": "c/d"}}))
    assert [code for code, _, _ in found] == ["VolumeTypeNotAllowed"]
