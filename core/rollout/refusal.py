"""The error that people see: what was not done, why, and what to do next."""

from datetime import datetime


class Refused(Exception):
    """A command was refused. The message is written for the person who asked and shown as is.

    `hint` says what to do next, `code` is for machines. `earliest` is set if the same command would be accepted later,
    `alternative` (a label, and a command as typed) if another one would be accepted now.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str = "refused",
        earliest: datetime | None = None,
        alternative: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.earliest = earliest
        self.alternative = alternative


class NotFound(Refused):
    """The named thing does not exist."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, code="not_found")


class Conflict(Refused):
    """Somebody else was faster, or a command id was reused for something else."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, code="conflict")
