"""The stratum that a rollback may name, taken out of its line: `--stratum free`."""

import re
from typing import NamedTuple

_STRATUM = re.compile(
    r"(?<!\S)(?:--?|—|–-?|-–)strat(?:um|a)(?![\w-])\s*[=:]?\s*(?:[\"“”']([^\"“”']*)[\"“”']|([^\s-]\S*))?", re.IGNORECASE
)
_CLOSING = ".,;:!?"


class NamedStratum(NamedTuple):
    """The name of a stratum as typed (empty if none follows the flag), and the line without it."""

    name: str
    line: str


def take_stratum(line: str) -> NamedStratum | None:
    """The stratum that a line names; None if it names none."""
    found = _STRATUM.search(line)
    if found is None:
        return None
    name = found.group(1) if found.group(1) is not None else (found.group(2) or "").rstrip(_CLOSING)
    left, right = line[: found.start()].strip(), line[found.end() :].strip()
    return NamedStratum(name.strip(), f"{left} {right}".strip())
