"""Every knob of the operator, once: environment variables with the prefix `SCC_OPERATOR_`.

A setting is read once at start. An invalid value stops the operator with a text that names the variable, what was found
and what is allowed: running with half of a security configuration is worse than not running.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import msgspec

PREFIX = "SCC_OPERATOR_"


class InvalidSettingError(ValueError):
    """A setting has a value that is not allowed; the text names variable, value and what is allowed."""


class AdmissionRecord(StrEnum):
    """Whether an `openshift.io/scc` that is already on a pod is believed."""

    NONE = "none"
    """Never: the annotation is the audit's own, a forged or copied one is overwritten."""
    OPENSHIFT = "openshift"
    """Believed together with OpenShift's subject-type annotation, outside exempt namespaces."""


class Switch(StrEnum):
    """A feature that is on, off, or decided by where the operator runs."""

    ON = "on"
    OFF = "off"
    AUTO = "auto"


Count = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's configuration. Times are in seconds."""

    admission_record: AdmissionRecord = AdmissionRecord.NONE
    """Which admission records of pods stay as they are."""
    exempt_namespaces: frozenset[str] = frozenset({"kube-system", "kube-public", "kube-node-lease"})
    """Namespaces whose pods are `exempt`; the operator's own namespace is always added."""
    default_sccs: Switch = Switch.ON
    """Create the default SCCs with their roles and bindings at start where they are missing."""
    ranges: Switch = Switch.ON
    """Give namespaces their UID block, MCS label and group range."""
    uid_range: str = "1000000000-1999999999/10000"
    """`first-last/size` of the UID blocks, as in RangeAllocation `scc-uid`."""
    mcs_range: str = "s0:/2"
    """SELinux levels that are handed out, `prefix/labels per level` (spec/namespaces.md §2)."""
    mcs_labels_per_project: Count = 5
    """Distance between the labels of neighbouring UID blocks."""
    ranges_quarantine: Seconds = 86400.0
    """How long the UID block of a namespace that is gone is given to nobody else, however few are free."""
    ranges_leak_grace: Seconds = 60.0
    """How long a UID block may be taken for nobody known before it is freed: longer than any allocator that shares the
    ledger needs between taking a block and annotating."""
    lease: Switch = Switch.AUTO
    """Wait for a Lease before working; auto: in a cluster yes, on a workstation no."""
    lease_name: str = "scc-operator"
    """Name of the Lease in the operator's namespace."""
    lease_duration: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    """How long a leader that went silent keeps others from taking over."""
    namespace: str = "scc-operator"
    """The operator's own namespace; in a cluster it is read from the service account's files."""
    write_concurrency: Count = 20
    """API writes in flight at most."""
    page_size: Count = 500
    """Objects per page of a list."""
    resync_interval: Annotated[float, msgspec.Meta(ge=1)] = 1800.0
    """Every kind is listed again and replaced in the mirror at least this often."""
    ranges_grace: Seconds = 10.0
    """How long a pod in a namespace without ranges stays unjudged before it is called `unknown`."""
    http_host: str = "0.0.0.0"  # noqa: S104 - probes and Prometheus come from other addresses
    """Address of `/healthz`, `/readyz` and `/metrics`."""
    http_port: Port = 8080
    """Port of the same; 0 turns the server off."""
    metrics_port: Port = 0
    """A port of its own for `/metrics`; 0 leaves it at `http_port`."""


def load(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables such as `SCC_OPERATOR_UID_RANGE`.

    Raises:
        InvalidSettingError: a variable holds a value that is not allowed, or no setting has that name.
    """
    types = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    values: dict[str, object] = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in types:
            known = ", ".join(PREFIX + each.upper() for each in sorted(types))
            raise InvalidSettingError(f"{variable}: no such setting; known are {known}")
        values[name] = _convert(variable, text, types[name])
    return Settings(**values)  # type: ignore[arg-type]


def _convert(variable: str, text: str, kind: object) -> object:
    raw: object = [item.strip() for item in text.split(",") if item.strip()] if kind == frozenset[str] else text
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        enum = isinstance(kind, type) and issubclass(kind, StrEnum)
        allowed = ", ".join(kind) if enum else getattr(kind, "__name__", kind)  # type: ignore[arg-type]
        raise InvalidSettingError(f"{variable}: found {text!r}, allowed: {allowed} ({error})") from None
