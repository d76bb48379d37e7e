"""The layer that is a live cluster. Imported only when one is asked: it loads the cluster's client."""

from collections.abc import Sequence
from typing import Any

from scc_operator.cli.errors import CLIError
from scc_operator.cli.kinds import OPTIONAL, ObjectKind
from scc_operator.cli.progress import Progress
from scc_operator.cli.sources import Raw, Unreadable, Wanted
from scc_operator.kube.errors import ApiError, ApiUnreachableError, LoginError
from scc_operator.kube.login import Login
from scc_operator.kube.session import Session

_FORBIDDEN = 403
_NOT_FOUND = 404
_UNAUTHORIZED = 401


class Live:
    """A cluster that is reached with a kubeconfig.

    Raises:
        CLIError: there is no way to log in.
    """

    def __init__(self, login: Login) -> None:
        self._login = login
        try:
            self.session = Session(login)
        except LoginError as error:
            raise CLIError(
                f"cannot log in: {error}; see `kubectl config get-contexts`, "
                "or work without a cluster: --snapshot, --offline"
            ) from error
        self.title = f"cluster {self.session.server}"

    def read(self, wanted: Sequence[Wanted]) -> list[list[Raw] | Unreadable | None]:
        """All lists at once, with a progress bar where they are long."""
        with Progress("reading the cluster") as progress:
            answers = self._ask(
                lambda: self.session.collect(
                    [(kind.resource, namespace) for kind, namespace in wanted], on_page=progress.page
                )
            )
        return [self._told(kind, namespace, found) for (kind, namespace), found in zip(wanted, answers, strict=True)]

    def find(self, kind: ObjectKind, namespace: str, name: str) -> Raw | Unreadable | None:
        """One object by its name."""
        try:
            found: Raw | None = self._ask(lambda: self.session.find(kind.resource.path(namespace, name)))
        except ApiError as error:
            return self._refusal(namespace, error)
        return found

    def serves(self, kind: ObjectKind) -> bool:
        """Whether the cluster has this kind at all."""
        group = self._ask(lambda: self.session.find(f"/apis/{kind.resource.group}/{kind.resource.version}"))
        return any(each["name"] == kind.resource.plural for each in (group or {}).get("resources") or ())

    def write(self, method: str, path: str, body: object = None, *, dry_run: bool = False) -> Raw:
        """One write. Raises `ApiError` for what the server refuses."""
        written: Raw = self._ask(lambda: self.session.write(method, path, body, manager="kubectl-scc", dry_run=dry_run))
        return written

    def _told(self, kind: ObjectKind, namespace: str, found: list[Raw] | ApiError) -> list[Raw] | Unreadable | None:
        if not isinstance(found, ApiError):
            return found
        if found.status == _NOT_FOUND and kind in OPTIONAL:
            return None
        return self._refusal(namespace, found)

    def _refusal(self, namespace: str, error: ApiError) -> Unreadable:
        if error.status == _FORBIDDEN:
            whom = f" for {self._login.user}" if self._login.user else ""
            where = f"in namespace {namespace}" if namespace else "in the whole cluster"
            return Unreadable(f"may not be read {where}{whom}: {error.message}")
        if error.status == _UNAUTHORIZED:
            raise CLIError(f"{self.title} refused the credentials (401): log in again, or choose another --context")
        return Unreadable(f"could not be read: {error}")

    def _ask(self, call: Any) -> Any:
        try:
            return call()
        except ApiUnreachableError as error:
            raise CLIError(
                f"{self.title} does not answer: {error}; check the --context and the network, "
                "or work without it: --snapshot, --offline"
            ) from error
