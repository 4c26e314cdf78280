"""Reads the text files that a command is given."""

from collections.abc import Iterator
from pathlib import Path


def read_text(path: Path) -> str:
    """The whole text. OSError if the file cannot be read, or is not UTF-8."""
    return "".join(iterate_lines(path))


def iterate_lines(path: Path) -> Iterator[str]:
    """The lines with their ends, without a byte order mark, one at a time. OSError as for `read_text`."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            yield from lines
    except UnicodeDecodeError:
        raise OSError(f"{path} is not UTF-8 text: save it as UTF-8") from None
