"""What to say when a command cannot run: one line, without secrets."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.log_output.redaction import SecretRedactor


_INSUFFICIENT_PRIVILEGE = "42501"  # of Postgres


def explain_failure(error: Exception) -> str | None:
    """Why a command could not run; None if `error` is none of the failures that a person can do something about."""
    from bot.settings import SettingsError
    from core.files.syntax.problems import UnreadableFile
    from core.rollout.refusal import Refused
    from core.store.errors import StoreError

    if isinstance(error, OSError):
        why = _describe_file_error(error)
    elif isinstance(error, SettingsError | StoreError | UnreadableFile | Refused):
        why = str(error)
    elif _is_database_error(error):
        why = f"The database of DATABASE_URL cannot be used: {_first_line(error)}"
    elif getattr(getattr(error, "orig", None), "sqlstate", None) == _INSUFFICIENT_PRIVILEGE:
        why = (
            f"The database refuses this to the role of DATABASE_URL: {_first_line(error)}. "
            "`rollout migrate --app-role NAME`, run as the tables' owner, gives a role what the program needs."
        )
    else:
        return None
    return build_redactor()(why)


def build_redactor() -> "SecretRedactor":
    """Takes the secrets of the environment out of texts."""
    from bot.log_output.redaction import SecretRedactor
    from bot.settings import read_secrets

    return SecretRedactor(read_secrets(os.environ))


def _describe_file_error(error: OSError) -> str:
    """The file and what is wrong with it, without the number of the error."""
    if error.filename is None or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"


def _first_line(error: Exception) -> str:
    """What the database itself says."""
    return str(getattr(error, "orig", error)).strip().splitlines()[0]


def _is_database_error(error: Exception) -> bool:
    """Whether it is an error of the database. Looked up by name, so that `--help` need not import SQLAlchemy."""
    exceptions = sys.modules.get("sqlalchemy.exc")
    return exceptions is not None and isinstance(error, exceptions.OperationalError)
