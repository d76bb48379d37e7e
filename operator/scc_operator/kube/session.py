"""A person's connection to an API server, for a command that runs once: blocking calls, a kubeconfig, impersonation."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from scc_operator.kube.client import Api
from scc_operator.kube.errors import ApiError, LoginError
from scc_operator.kube.login import Login, kubeconfig_files
from scc_operator.kube.paths import Resource

PAGE = 500
OnPage = Callable[[int, int | None], None]
"""Told after each page: how many objects have come, and how many there are in all where the server says so."""

_POOL = 10
_GONE = 410


class Session:
    """One login, used from synchronous code. Close it, or use it in a `with` statement.

    Every call raises `ApiError` or `ApiUnreachableError` as `Api` does.

    Raises:
        LoginError: there is no way to log in.
    """

    def __init__(self, login: Login) -> None:
        self._runner = asyncio.Runner()
        self.namespace = "default"
        """The namespace of the context."""
        try:
            self._api = self._runner.run(self._log_in(login))
        except BaseException:
            self._runner.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._runner.run(self._api.close())
        self._runner.close()

    @property
    def server(self) -> str:
        """The API server's address."""
        return self._api.server

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Read one object."""
        return self._runner.run(self._api.get(path, query=query))

    def find(self, path: str) -> Any:
        """Read one object; None where there is none."""
        return self._runner.run(self._api.find(path))

    def collect(
        self,
        wanted: Iterable[tuple[Resource, str]],
        query: Mapping[str, str] | None = None,
        on_page: OnPage | None = None,
    ) -> list[list[dict[str, Any]] | ApiError]:
        """The objects of several kinds at once: each a resource and a namespace, where an empty one means all.

        A list that the server refuses is returned as its error, in its place.
        """

        async def together() -> list[list[dict[str, Any]] | ApiError]:
            return await asyncio.gather(*(self._collect(*each, query or {}, on_page) for each in wanted))

        return self._runner.run(together())

    def write(
        self, method: str, path: str, body: object = None, *, manager: str, dry_run: bool = False
    ) -> dict[str, Any]:
        """Create (POST), replace (PUT) or delete (DELETE) one object; with `dry_run` nothing is stored.

        Args:
            method: the HTTP method.
            path: the collection for POST, else the object.
            body: the object, or a delete's options.
            manager: the field manager under which the server records the write.
            dry_run: whether the server only says what it would do.
        """
        query = {} if method == "DELETE" else {"fieldManager": manager}
        if dry_run:
            query["dryRun"] = "All"
        answer = self._runner.run(self._api.request(method, path, query=query, body=body))
        decoded: dict[str, Any] = msgspec.json.decode(answer)
        return decoded

    async def _collect(
        self, resource: Resource, namespace: str, query: Mapping[str, str], on_page: OnPage | None
    ) -> list[dict[str, Any]] | ApiError:
        for last in (False, True):
            try:
                return await self._pages(resource.path(namespace), query, on_page)
            except ApiError as error:
                if error.status != _GONE or last:  # the list's snapshot expired between two pages: once more
                    return error
        raise AssertionError

    async def _pages(self, path: str, query: Mapping[str, str], on_page: OnPage | None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async for page in self._api.pages(path, limit=PAGE, query=query):
            decoded = _DECODER.decode(page.body)
            found += decoded.items
            if on_page is not None:
                remaining = decoded.metadata.remaining_item_count
                on_page(len(decoded.items), None if remaining is None else len(found) + remaining)
        return found

    async def _log_in(self, login: Login) -> Api:
        configuration = Configuration()
        configuration.connection_pool_maxsize = _POOL
        configuration.retries = None
        said = _Said()
        logger = logging.getLogger("kubernetes.aio.config.kube_config")
        logger.addHandler(said)
        logger.propagate = False  # what a credential plugin does wrong is told by us, once
        try:
            files = kubeconfig_files(login, os.environ)
            if files or login.context:
                loader = await load_kube_config(
                    config_file=os.pathsep.join(map(str, files)) or None,
                    context=login.context or None,
                    client_configuration=configuration,
                    persist_config=False,
                )
                self.namespace = (loader.current_context.get("context") or {}).get("namespace") or self.namespace
            else:
                load_incluster_config(client_configuration=configuration)
                self.namespace = _in_cluster_namespace() or self.namespace
        except (ConfigException, OSError) as error:
            raise LoginError(str(error)) from error
        finally:
            logger.removeHandler(said)
            logger.propagate = True
        if said.errors:
            raise LoginError("; ".join(said.errors))
        headers = [("Impersonate-User", login.user)] if login.user else []
        return Api.of(configuration, [*headers, *(("Impersonate-Group", group) for group in login.groups)])


def _in_cluster_namespace() -> str:
    file = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return file.read_text(encoding="utf-8").strip() if file.exists() else ""


class _Said(logging.Handler):
    """What the loader only logs: a credential plugin that failed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self.errors.append(record.getMessage())


class _ListMeta(msgspec.Struct, rename="camel"):
    remaining_item_count: int | None = None


class _List(msgspec.Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[dict[str, Any]] = []


_DECODER = msgspec.json.Decoder(_List)
