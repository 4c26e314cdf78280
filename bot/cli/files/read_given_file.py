"""Reads and parses the file that a command is given, or says why it cannot and exits."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli.files import prompt_files

if TYPE_CHECKING:
    from core.files.read_file import AnyFile


def read_given_file(path: Path) -> "AnyFile":
    """The parsed file, with prompts that stand beside it. Exits after printing why: 2 if it cannot be read, else 1."""
    from core.files.read_file import parse_file
    from core.files.syntax.problems import UnreadableFile, render_text

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        print(f"{path} cannot be read: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    try:
        return parse_file(text, str(path), prompt_files.read_beside(path))
    except UnreadableFile as unreadable:
        print(render_text(unreadable.problems), file=sys.stderr)
        raise SystemExit(1) from None
