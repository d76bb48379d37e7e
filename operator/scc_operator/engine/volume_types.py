"""The names of volume types: what a pod's volume calls its source, and what an SCC calls it."""

from types import MappingProxyType
from typing import Final

HOST_PATH: Final = "hostPath"
FLEX_VOLUME: Final = "flexVolume"
PROJECTED: Final = "projected"
SECRET: Final = "secret"  # noqa: S105  # a volume type
NO_VOLUME: Final = "none"

VOLUME_TYPES = MappingProxyType(
    {
        "hostPath": "hostPath",
        "emptyDir": "emptyDir",
        "gcePersistentDisk": "gcePersistentDisk",
        "awsElasticBlockStore": "awsElasticBlockStore",
        "gitRepo": "gitRepo",
        "secret": "secret",
        "nfs": "nfs",
        "iscsi": "iscsi",
        "glusterfs": "glusterfs",
        "persistentVolumeClaim": "persistentVolumeClaim",
        "rbd": "rbd",
        "flexVolume": "flexVolume",
        "cinder": "cinder",
        "cephfs": "cephFS",
        "flocker": "flocker",
        "downwardAPI": "downwardAPI",
        "fc": "fc",
        "azureFile": "azureFile",
        "configMap": "configMap",
        "vsphereVolume": "vsphere",
        "quobyte": "quobyte",
        "azureDisk": "azureDisk",
        "photonPersistentDisk": "photonPersistentDisk",
        "projected": "projected",
        "portworxVolume": "portworxVolume",
        "scaleIO": "scaleIO",
        "storageos": "storageOS",
        "csi": "csi",
        "ephemeral": "ephemeral",
        "image": "image",
    }
)
"""Source key of a pod's volume → volume type of an SCC, in the order that decides for a volume with several sources
(spec/admission.md §7.1)."""

SOURCE_RANK = MappingProxyType({source: rank for rank, source in enumerate(VOLUME_TYPES)})
