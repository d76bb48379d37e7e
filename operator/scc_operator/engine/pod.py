"""The security-relevant shape of a pod: everything that SCC admission reads of it, and nothing else.

Two pods of equal shape get the same answer in the same namespace, so ten thousand replicas are one question. Values
that a container inherits from its pod stand with the container already: `run_as_user`, `run_as_non_root` and
`se_linux_options` are the container's own where it has them, else the pod's (spec/admission.md §0.4).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from scc_operator.engine.errors import InvalidObject
from scc_operator.engine.scc import SELinuxOptions
from scc_operator.engine.volume_types import FLEX_VOLUME, PROJECTED, SOURCE_RANK, VOLUME_TYPES
from scc_operator.engine.wire import Int64, convert, describe, invalid
from scc_operator.names import REQUIRED_SCC, SECCOMP_CONTAINER_PREFIX, SECCOMP_POD

ContainerKind = Literal["initContainers", "containers", "ephemeralContainers"]

RUNTIME_DEFAULT = "runtime/default"
DOCKER_DEFAULT = "docker/default"
UNCONFINED = "unconfined"
LOCALHOST_PREFIX = "localhost/"


class SeccompProfile(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A seccompProfile field; seccomp annotations hold the same as text (spec/admission.md §5.11)."""

    type: str = ""
    localhost_profile: str | None = None

    @property
    def text(self) -> str:
        """The profile as an annotation would say it; empty for a type that annotations do not know."""
        if self.type == "RuntimeDefault":
            return RUNTIME_DEFAULT
        if self.type == "Unconfined":
            return UNCONFINED
        if self.type == "Localhost" and self.localhost_profile is not None:
            return LOCALHOST_PREFIX + self.localhost_profile
        return ""

    @staticmethod
    def of_text(text: str) -> "SeccompProfile | None":
        """The field for the text of an annotation; None for a text that fields cannot say."""
        if text in (RUNTIME_DEFAULT, DOCKER_DEFAULT):
            return _RUNTIME_DEFAULT_PROFILE
        if text == UNCONFINED:
            return _UNCONFINED_PROFILE
        if text.startswith(LOCALHOST_PREFIX) and text != LOCALHOST_PREFIX:
            return SeccompProfile("Localhost", text.removeprefix(LOCALHOST_PREFIX))
        return None


_RUNTIME_DEFAULT_PROFILE = SeccompProfile("RuntimeDefault")
_UNCONFINED_PROFILE = SeccompProfile("Unconfined")


class Place(msgspec.Struct, frozen=True, gc=False):
    """Which container of a pod."""

    kind: ContainerKind
    index: int
    name: str

    def __str__(self) -> str:
        return f"{self.kind}[{self.index}]"


class Container(msgspec.Struct, frozen=True, gc=False):
    """What SCC admission reads of a container, of whichever kind.

    `seccomp_annotation` is None where the pod has no annotation for this container; an empty one counts as present.
    """

    place: Place
    run_as_user: int | None = None
    run_as_non_root: bool | None = None
    se_linux_options: SELinuxOptions | None = None
    privileged: bool = False
    capabilities_add: tuple[str, ...] = ()
    capabilities_drop: tuple[str, ...] = ()
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    seccomp_profile: SeccompProfile | None = None
    seccomp_annotation: str | None = None


class HostPort(msgspec.Struct, frozen=True, gc=False):
    """A port of the node that a container asks for; `path` is the field's path from the pod's spec on."""

    path: str
    port: int


class Volume(msgspec.Struct, frozen=True, gc=False):
    """What SCC admission reads of a volume.

    Attributes:
        type: the volume type as SCCs name it; empty when the volume has no source that is known.
        name: kept only for a volume without a known source, since only its error text shows the name.
        flex_driver: the driver where there is a flexVolume source.
        only_service_account_token: the projected source holds no more than what a service account token volume does
            (spec/admission.md §7.3), so an SCC that allows secrets allows it.
    """

    type: str
    name: str = ""
    flex_driver: str | None = None
    only_service_account_token: bool = False


class Pod(msgspec.Struct, frozen=True, cache_hash=True, gc=False):
    """What SCC admission reads of a pod; containers of all kinds in visiting order (spec/admission.md §0.3).

    Attributes:
        host_ports: the ports above zero of all containers, in visiting order.
        seccomp_annotation: the pod's legacy annotation; empty when missing.
    """

    service_account: str = ""
    required_scc: str = ""
    windows: bool = False
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    host_users: bool | None = None
    fs_group: int | None = None
    supplemental_groups: tuple[int, ...] | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    seccomp_annotation: str = ""
    sysctls: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    host_ports: tuple[HostPort, ...] = ()
    containers: tuple[Container, ...] = ()


# --- the pod as the API writes it, as far as it is read ---------------------------------------------------------


class _Capabilities(msgspec.Struct, gc=False):
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class _ContainerSecurityContext(msgspec.Struct, rename="camel", gc=False):
    run_as_user: Int64 | None = None
    run_as_non_root: bool | None = None
    se_linux_options: SELinuxOptions | None = None
    privileged: bool = False
    capabilities: _Capabilities | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    seccomp_profile: SeccompProfile | None = None


class _Port(msgspec.Struct, rename="camel", gc=False):
    host_port: int = 0


class _Container(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    ports: tuple[_Port, ...] = ()
    security_context: _ContainerSecurityContext | None = None


class _Sysctl(msgspec.Struct, gc=False):
    name: str = ""


class _PodSecurityContext(msgspec.Struct, rename="camel", gc=False):
    run_as_user: Int64 | None = None
    run_as_non_root: bool | None = None
    se_linux_options: SELinuxOptions | None = None
    fs_group: Int64 | None = None
    supplemental_groups: tuple[Int64, ...] | None = None
    seccomp_profile: SeccompProfile | None = None
    sysctls: tuple[_Sysctl, ...] = ()


class _OS(msgspec.Struct, gc=False):
    name: str = ""


class _Spec(msgspec.Struct, rename="camel", gc=False):
    service_account_name: str = ""
    service_account: str = ""
    os: _OS | None = None
    host_network: bool = False
    host_pid: bool = msgspec.field(default=False, name="hostPID")
    host_ipc: bool = msgspec.field(default=False, name="hostIPC")
    host_users: bool | None = None
    security_context: _PodSecurityContext | None = None
    volumes: tuple[dict[str, Any], ...] = ()
    init_containers: tuple[_Container, ...] = ()
    containers: tuple[_Container, ...] = ()
    ephemeral_containers: tuple[_Container, ...] = ()


class _Metadata(msgspec.Struct, gc=False):
    annotations: dict[str, str] = {}


class _Document(msgspec.Struct, gc=False):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    spec: _Spec = msgspec.field(default_factory=_Spec)


class _KeyPath(msgspec.Struct, gc=False):
    key: str = ""
    path: str = ""


class _ConfigMapProjection(msgspec.Struct, gc=False):
    name: str = ""
    items: tuple[_KeyPath, ...] = ()


class _FieldRef(msgspec.Struct, rename="camel", gc=False):
    api_version: str = ""
    field_path: str = ""


class _DownwardAPIItem(msgspec.Struct, rename="camel", gc=False):
    path: str = ""
    field_ref: _FieldRef | None = None


class _DownwardAPIProjection(msgspec.Struct, gc=False):
    items: tuple[_DownwardAPIItem, ...] = ()


class _TokenProjection(msgspec.Struct, gc=False):
    path: str = ""
    audience: str = ""


class _Projection(msgspec.Struct, rename="camel", gc=False):
    service_account_token: _TokenProjection | None = None
    config_map: _ConfigMapProjection | None = None
    downward_api: _DownwardAPIProjection | None = msgspec.field(default=None, name="downwardAPI")


class _Projected(msgspec.Struct, gc=False):
    sources: tuple[_Projection, ...] = ()


class _NamedVolume(msgspec.Struct, gc=False):
    name: str = ""


class _Flex(msgspec.Struct, gc=False):
    driver: str = ""


_EMPTY_POD_CONTEXT = _PodSecurityContext()
_EMPTY_CONTAINER_CONTEXT = _ContainerSecurityContext()
_EMPTY_CAPABILITIES = _Capabilities()
_DECODER = msgspec.json.Decoder(_Document)
_KIND = "Pod"


def parse_pod(raw: Mapping[str, Any]) -> Pod:
    """The shape of a v1 Pod that was decoded from JSON or YAML; fields that the engine does not know are ignored.

    Raises:
        InvalidObject: a field that the engine reads has a wrong type.
    """
    return _shape(convert(raw, _Document, _KIND), raw)


def decode_pod(data: bytes) -> Pod:
    """The shape of a v1 Pod in JSON text, as `parse_pod` gives it, without building the rest of the pod.

    Raises:
        InvalidObject: a field that the engine reads has a wrong type, or the text is no JSON.
    """
    try:
        document = _DECODER.decode(data)
    except msgspec.ValidationError:
        return parse_pod(msgspec.json.decode(data))  # has nulls, or gets an error that names the pod
    except msgspec.DecodeError as error:
        raise invalid("Pod in JSON", str(error)) from error
    return _shape(document, None)


def _shape(document: _Document, raw: object) -> Pod:
    spec = document.spec
    annotations = document.metadata.annotations
    context = spec.security_context or _EMPTY_POD_CONTEXT
    return Pod(
        service_account=spec.service_account_name or spec.service_account,
        required_scc=annotations.get(REQUIRED_SCC, ""),
        windows=spec.os is not None and spec.os.name == "windows",
        host_network=spec.host_network,
        host_pid=spec.host_pid,
        host_ipc=spec.host_ipc,
        host_users=spec.host_users,
        fs_group=context.fs_group,
        supplemental_groups=context.supplemental_groups,
        se_linux_options=context.se_linux_options,
        seccomp_profile=context.seccomp_profile,
        seccomp_annotation=annotations.get(SECCOMP_POD, ""),
        sysctls=tuple([sysctl.name for sysctl in context.sysctls]),
        volumes=tuple([_volume(volume, at, raw) for at, volume in enumerate(spec.volumes)]),
        host_ports=tuple(_host_ports(spec)),
        containers=tuple(
            [
                _container(container, Place(kind, index, container.name), context, annotations)
                for kind, index, container in _visit(spec)
            ]
        ),
    )


def _visit(spec: _Spec) -> Iterator[tuple[ContainerKind, int, _Container]]:
    """All containers in the order in which admission visits them."""
    for index, container in enumerate(spec.init_containers):
        yield "initContainers", index, container
    for index, container in enumerate(spec.containers):
        yield "containers", index, container
    for index, container in enumerate(spec.ephemeral_containers):
        yield "ephemeralContainers", index, container


def _container(
    container: _Container, place: Place, pod: _PodSecurityContext, annotations: Mapping[str, str]
) -> Container:
    own = container.security_context or _EMPTY_CONTAINER_CONTEXT
    capabilities = own.capabilities or _EMPTY_CAPABILITIES
    return Container(
        place=place,
        run_as_user=pod.run_as_user if own.run_as_user is None else own.run_as_user,
        run_as_non_root=pod.run_as_non_root if own.run_as_non_root is None else own.run_as_non_root,
        se_linux_options=pod.se_linux_options if own.se_linux_options is None else own.se_linux_options,
        privileged=own.privileged,
        capabilities_add=capabilities.add,
        capabilities_drop=capabilities.drop,
        read_only_root_filesystem=own.read_only_root_filesystem,
        allow_privilege_escalation=own.allow_privilege_escalation,
        seccomp_profile=own.seccomp_profile,
        seccomp_annotation=annotations.get(SECCOMP_CONTAINER_PREFIX + place.name) if annotations else None,
    )


def _host_ports(spec: _Spec) -> Iterator[HostPort]:
    for kind, index, container in _visit(spec):
        for port in container.ports:
            if port.host_port > 0:
                yield HostPort(f"{kind}[{index}].hostPort", port.host_port)


def _volume(volume: Mapping[str, Any], at: int, raw: object) -> Volume:
    sources = [key for key, source in volume.items() if key in SOURCE_RANK and source is not None]
    for key in sources:
        if not isinstance(volume[key], Mapping):
            found = type(volume[key]).__name__
            raise InvalidObject(describe(raw, _KIND), f"spec.volumes[{at}].{key}", f"a {found}", "an object")
    if not sources:
        return Volume("", name=convert(volume, _NamedVolume, _KIND, within=raw, path=f"spec.volumes[{at}]").name)
    source = min(sources, key=SOURCE_RANK.__getitem__)
    driver = None
    if FLEX_VOLUME in sources:
        path = f"spec.volumes[{at}].{FLEX_VOLUME}"
        driver = convert(volume[FLEX_VOLUME], _Flex, _KIND, within=raw, path=path).driver
    only_token = False
    if source == PROJECTED:
        path = f"spec.volumes[{at}].{PROJECTED}"
        projected = convert(volume[PROJECTED], _Projected, _KIND, within=raw, path=path)
        only_token = all(_is_token_source(entry) for entry in projected.sources)
    return Volume(VOLUME_TYPES[source], flex_driver=driver, only_service_account_token=only_token)


def _is_token_source(entry: _Projection) -> bool:
    """Whether an entry of a projected volume is one that a service account token volume has (§7.3)."""
    token, config_map, downward = entry.service_account_token, entry.config_map, entry.downward_api
    if token is None and config_map is None and downward is None:
        return False
    if token is not None and (token.path != "token" or token.audience):
        return False
    if config_map is not None:
        certificate = _CERTIFICATES.get(config_map.name)
        if certificate is None or config_map.items != (_KeyPath(certificate, certificate),):
            return False
    return downward is None or all(item == _NAMESPACE_ITEM for item in downward.items)


_CERTIFICATES = {"kube-root-ca.crt": "ca.crt", "openshift-service-ca.crt": "service-ca.crt"}
_NAMESPACE_ITEM = _DownwardAPIItem("namespace", _FieldRef("v1", "metadata.namespace"))
