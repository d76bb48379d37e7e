"""What can go wrong between us and the API server."""


class ApiError(Exception):
    """The API server answered with an error status.

    Attributes:
        status: the HTTP status.
        reason: the Kubernetes reason such as `Conflict`, or an empty string.
        message: the server's text.
        retry_after: seconds that the server asks to wait, or None.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def gone(self) -> bool:
        """Whether the object that the request meant is no more: missing, or another one under the same name."""
        # A merge patch with the uid of a vanished object answers 404, or 422 where a namesake has come; a precondition
        # answers 409 (measured). The texts are looked for as no name can hold them: a name may well contain "uid".
        if self.status == 422:
            return "metadata.uid: " in self.message
        return self.status == 404 or (self.status == 409 and "UID in" in self.message)

    @property
    def transient(self) -> bool:
        """Whether the same request may go through later."""
        return self.status in {408, 429} or self.status >= 500


class ApiUnreachableError(Exception):
    """No answer came: the server is away, the connection broke or timed out."""


class LoginError(Exception):
    """There is no way to log in: no kubeconfig, no such context, or a credential plugin that failed."""
