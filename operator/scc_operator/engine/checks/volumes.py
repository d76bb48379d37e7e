"""volumes: the types of volumes that a pod mounts, and the drivers of its flexVolumes.

Pod fields:  spec.volumes[], by the source of each
SCC fields:  volumes: types, `*` = any; allowedFlexVolumes: drivers, none = any
Fills in:    nothing
Objects to:  VolumeTypeNotAllowed, UnknownVolumeType, FlexVolumeDriverNotAllowed
Rule:        spec/admission.md §7
"""

from collections.abc import Sequence

from scc_operator.engine.checks.base import PodCheck, PodDraft, Terms
from scc_operator.engine.pod import Volume
from scc_operator.engine.scc import ANY
from scc_operator.engine.verdict import Objection, go_quote
from scc_operator.engine.volume_types import FLEX_VOLUME, SECRET


def pod(terms: Terms) -> PodCheck | None:
    """The check under an SCC."""
    types = frozenset(terms.scc.volumes or ())
    drivers = frozenset(allowed.driver for allowed in terms.scc.allowed_flex_volumes)
    if not types & {FLEX_VOLUME, ANY}:
        drivers = frozenset()
    return None if ANY in types and not drivers else Volumes(types, drivers)


class Volumes(PodCheck):
    """Each volume is of an allowed type, and each flexVolume has an allowed driver."""

    def __init__(self, types: frozenset[str], drivers: frozenset[str]) -> None:
        self.types = types
        self.any_type = ANY in types
        self.drivers = drivers

    def objections(self, pod: PodDraft) -> Sequence[Objection]:
        """First each volume whose type is not allowed, then each driver that is not."""
        found: list[Objection] = []
        volumes = pod.pod.volumes
        if not self.any_type:
            for index, volume in enumerate(volumes):
                if volume.type not in self.types and not (volume.only_service_account_token and SECRET in self.types):
                    found.append(_objection(index, volume))
        if self.drivers:
            detail, code = "Flexvolume driver is not allowed to be used", "FlexVolumeDriverNotAllowed"
            for index, volume in enumerate(volumes):
                if volume.flex_driver is not None and volume.flex_driver not in self.drivers:
                    found.append(pod.invalid(f"volumes[{index}].driver", volume.flex_driver, detail, code))
        return found


def _objection(index: int, volume: Volume) -> Objection:
    path = f"spec.volumes[{index}]"
    if volume.type:
        detail = f"{volume.type} volumes are not allowed to be used"
        return Objection("Invalid", path, volume.type, detail, "VolumeTypeNotAllowed")
    source = f"core.VolumeSource{{{_GO_NIL_SOURCES}}}"
    detail = f"unknown volume type for volume: core.Volume{{Name:{go_quote(volume.name)}, VolumeSource:{source}}}"
    return Objection("Invalid", path, "", detail, "UnknownVolumeType")


_GO_SOURCES = (
    ("HostPath", "HostPathVolumeSource"),
    ("EmptyDir", "EmptyDirVolumeSource"),
    ("GCEPersistentDisk", "GCEPersistentDiskVolumeSource"),
    ("AWSElasticBlockStore", "AWSElasticBlockStoreVolumeSource"),
    ("GitRepo", "GitRepoVolumeSource"),
    ("Secret", "SecretVolumeSource"),
    ("NFS", "NFSVolumeSource"),
    ("ISCSI", "ISCSIVolumeSource"),
    ("Glusterfs", "GlusterfsVolumeSource"),
    ("PersistentVolumeClaim", "PersistentVolumeClaimVolumeSource"),
    ("RBD", "RBDVolumeSource"),
    ("Quobyte", "QuobyteVolumeSource"),
    ("FlexVolume", "FlexVolumeSource"),
    ("Cinder", "CinderVolumeSource"),
    ("CephFS", "CephFSVolumeSource"),
    ("Flocker", "FlockerVolumeSource"),
    ("DownwardAPI", "DownwardAPIVolumeSource"),
    ("FC", "FCVolumeSource"),
    ("AzureFile", "AzureFileVolumeSource"),
    ("ConfigMap", "ConfigMapVolumeSource"),
    ("VsphereVolume", "VsphereVirtualDiskVolumeSource"),
    ("AzureDisk", "AzureDiskVolumeSource"),
    ("PhotonPersistentDisk", "PhotonPersistentDiskVolumeSource"),
    ("Projected", "ProjectedVolumeSource"),
    ("PortworxVolume", "PortworxVolumeSource"),
    ("ScaleIO", "ScaleIOVolumeSource"),
    ("StorageOS", "StorageOSVolumeSource"),
    ("CSI", "CSIVolumeSource"),
    ("Ephemeral", "EphemeralVolumeSource"),
    ("Image", "ImageVolumeSource"),
)
_GO_NIL_SOURCES = ", ".join(f"{field}:(*core.{source})(nil)" for field, source in _GO_SOURCES)
"""The sources of a volume that has none, as Go prints them and OpenShift shows them."""
