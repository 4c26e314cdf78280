"""The errors of the store, all derived from `StoreError`."""


class StoreError(Exception):
    """Base class: the message says what happened, why, and what to do next."""


class IdempotencyConflict(StoreError):
    """An idempotency key was reused for a different request; nothing was done."""


class DatabaseBusy(StoreError):
    """A lock was held by others for too long; nothing was written, and a retry is safe."""


class DatabaseUnwritable(DatabaseBusy):
    """The database can be read but not written (standby, full disk); nothing was written, and a later retry is safe."""


LOCKED_MESSAGE = (
    "The database stayed locked by another program for too long, so nothing was written. "
    "Try again; if it persists, look for a stopped process or an open transaction."
)


class SchemaMismatch(StoreError):
    """The schema of the database is older or newer than this program."""


class UnknownEvent(StoreError):
    """A stored event has a type, version or shape unknown to this program, so nothing may be decided from it."""


class NotStorable(StoreError):
    """A value would not read back equal to what is written, so it was not stored."""


class ImportRefused(StoreError):
    """A file cannot be imported as this database's log; nothing was written."""


class LeaseLost(StoreError):
    """The lease on a timer or outbox row has passed to another worker; nothing was written."""


class BackupRefused(StoreError):
    """A backup cannot be written or restored; nothing was changed."""
