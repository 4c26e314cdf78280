"""Reads and parses the file that a command is given, or says why it cannot and exits."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli import text_files
from bot.cli.failures import explain_failure
from bot.cli.files import prompt_files

if TYPE_CHECKING:
    from core.files.read_file import AnyFile


def read_given_file(path: Path) -> "AnyFile":
    """The parsed file, with prompts that stand beside it. Exits after printing why: 2 if it cannot be read, else 1."""
    from core.files.read_file import parse_file
    from core.files.syntax.problems import UnreadableFile, render_text

    try:
        return parse_file(text_files.read_text(path), str(path), prompt_files.read_beside(path))
    except OSError as error:
        print(f"rollout: {explain_failure(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except UnreadableFile as unreadable:
        print(render_text(unreadable.problems), file=sys.stderr)
        raise SystemExit(1) from None
