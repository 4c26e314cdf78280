"""The `rollout` command: exit status 0 done, 1 refused or found wrong, 2 could not run."""

import gc
import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING

from bot.cli.root import app

if TYPE_CHECKING:
    from bot.process.redaction import SecretRedactor

# New objects before the next search for garbage: a start makes many that stay, and searching them took a tenth of it.
_GARBAGE_THRESHOLD = 20_000


def main() -> None:
    """The console script. If it cannot run, it prints why in one line and exits with status 2."""
    gc.set_threshold(_GARBAGE_THRESHOLD)
    # Pydantic would read the metadata of every installed package for plugins, and let them change how it reads.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

    from bot.settings import SettingsError
    from core.files.syntax.problems import UnreadableFile
    from core.rollout.refusal import Refused
    from core.store.errors import StoreError

    _replace_unknown_characters()
    try:
        app()
    except (SettingsError, StoreError, UnreadableFile, Refused, OSError) as error:
        why = _describe_file_error(error) if isinstance(error, OSError) else str(error)
    except Exception as error:
        if not _is_database_error(error):
            _build_redactor().install_excepthooks()
            raise
        first = str(getattr(error, "orig", error)).strip().splitlines()[0]
        why = f"The database of DATABASE_URL cannot be used: {first}"
    else:
        return
    print(_build_redactor()(f"rollout: {why}"), file=sys.stderr)
    sys.exit(2)


def _describe_file_error(error: OSError) -> str:
    """The file and what is wrong with it, without the number of the error."""
    if error.filename is None or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"


def _replace_unknown_characters() -> None:
    """Print a replacement for characters that the terminal cannot show, instead of failing after the work is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="replace")


def _build_redactor() -> "SecretRedactor":
    from bot.process.redaction import SecretRedactor
    from bot.settings import read_secrets

    return SecretRedactor(read_secrets(os.environ))


def _is_database_error(error: Exception) -> bool:
    """Whether it is an error of the database. Looked up by name, so that `--help` need not import SQLAlchemy."""
    exceptions = sys.modules.get("sqlalchemy.exc")
    return exceptions is not None and isinstance(error, exceptions.OperationalError)
