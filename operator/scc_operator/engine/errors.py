"""What the engine raises."""


class InvalidObject(ValueError):
    """An object holds something of a wrong type.

    Attributes:
        object: kind and name, e.g. `Pod payments/web`.
        field: path of the field, e.g. `spec.hostNetwork`; empty when the object as a whole is wrong.
        found: what stands there.
        allowed: what may stand there.
    """

    def __init__(self, obj: str, field: str, found: str, allowed: str) -> None:
        place = f"field {field}" if field else "the object"
        super().__init__(f"{obj}: {place} is {found}, but must be {allowed}; correct it and try again")
        self.object = obj
        self.field = field
        self.found = found
        self.allowed = allowed


class BlockError(ValueError):
    """A block of ids in a namespace annotation cannot be read (spec/admission.md §3.4)."""


class ProviderError(ValueError):
    """Candidates cannot be evaluated in a namespace, so every pod there is refused (spec/admission.md §3.6)."""


class RequiredSCCNotFound(ValueError):
    """The SCC that a pod requires by annotation does not exist (spec/admission.md §2.2)."""
