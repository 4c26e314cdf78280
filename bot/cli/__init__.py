"""The `rollout` command: exit status 0 done, 1 refused or found wrong, 2 could not run."""

import gc
import os
import sys
from io import TextIOWrapper

from bot.cli.failures import build_redactor, explain_failure
from bot.cli.root import app

# New objects before the next search for garbage: a start makes many that stay, and searching them took a tenth of it.
_GARBAGE_THRESHOLD = 20_000


def main() -> None:
    """The console script. If it cannot run, it prints why in one line and exits with status 2."""
    gc.set_threshold(_GARBAGE_THRESHOLD)
    # Pydantic would read the metadata of every installed package for plugins, and let them change how it reads.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

    _replace_unknown_characters()
    try:
        app()
    except Exception as error:
        why = explain_failure(error)
        if why is None:
            build_redactor().install_excepthooks()
            raise
        print(f"rollout: {why}", file=sys.stderr)
        sys.exit(2)


def _replace_unknown_characters() -> None:
    """Print a replacement for characters that the terminal cannot show, instead of failing after the work is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="replace")
