"""Everything the store may refuse, as one tree."""


class StoreError(Exception):
    """The store could not do what was asked; the text says what happened, why, and what to do next."""


class Conflict(StoreError):
    """The same key was used for something else: load again and decide again."""


class Busy(StoreError):
    """Another process held a lock for too long; nothing was written, and trying again is safe."""


class Unwritable(Busy):
    """The database can be read and takes nothing new: nothing was written, and trying again later is safe."""


LOCKED = (
    "The database stayed locked by another program for too long, so nothing was written. "
    "Try again; if it persists, look for a stopped process or an open transaction."
)


class SchemaMismatch(StoreError):
    """The tables are older or newer than this program."""


class UnknownEvent(StoreError):
    """A stored event that this program does not know: it must not decide anything from it."""


class NotStorable(StoreError):
    """An event that could not be read back as it is written."""


class ImportRefused(StoreError):
    """A file that may not become this database's log; nothing was written."""


class LeaseLost(StoreError):
    """What was claimed belongs to somebody else by now; nothing was written."""


class BackupRefused(StoreError):
    """A backup that cannot be written, or may not become this database; nothing was changed."""
