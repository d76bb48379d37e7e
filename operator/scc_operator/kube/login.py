"""How a person logs in, told without loading the client."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec


class Login(msgspec.Struct, frozen=True):
    """How to log in; empty fields are as kubectl has them: the default kubeconfig, its current context, oneself."""

    kubeconfig: str = ""
    context: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()


def kubeconfig_files(login: Login, environment: Mapping[str, str]) -> list[Path]:
    """The kubeconfig files that exist, where kubectl looks for them; one that was named counts whether it exists."""
    if login.kubeconfig:
        return [Path(login.kubeconfig).expanduser()]
    named = environment.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    places = (Path(place).expanduser() for place in named.split(os.pathsep) if place)
    return [place for place in places if place.exists()]


def has_cluster(login: Login, environment: Mapping[str, str]) -> bool:
    """Whether there is any cluster to talk to: a kubeconfig, or the one that this process runs in."""
    return bool(login.context or kubeconfig_files(login, environment) or environment.get("KUBERNETES_SERVICE_HOST"))


def contexts_of(login: Login, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The names of the contexts in the kubeconfig."""
    import yaml  # noqa: PLC0415 - only completion needs it

    found: list[str] = []
    for file in kubeconfig_files(login, environment):
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        found += [each["name"] for each in content.get("contexts") or () if each["name"] not in found]
    return found
