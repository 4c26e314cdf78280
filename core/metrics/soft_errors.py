"""Soft errors: answers that came without a failure and are of no use, by a taxonomy that a surface may extend."""

from collections.abc import Mapping
from types import MappingProxyType

SOFT_ERRORS: Mapping[str, str] = MappingProxyType(
    {
        "refusal": "Declined to answer",
        "empty": "Empty answer",
        "truncated": "Answer cut off",
        "wrong_language": "Wrong language",
        "schema_invalid": "Wrong format",
        "ungrounded": "Not backed by sources",
        "loop": "Repeats itself",
        "tool_misuse": "Tools used wrongly",
        "fallback": "Fell back to a backup answer",
    }
)
"""The built-in categories, and what people read."""

OTHER = "other"
"""The category that unknown ones are counted as."""
SOFT_ERROR_PREFIX = "soft:"
"""How the name of an error category begins that stands for a soft error."""


def to_error_category(soft_error: str) -> str:
    """The error category as which a soft error is counted, so that one that only the new version shows is found."""
    return f"{SOFT_ERROR_PREFIX}{soft_error}"


def from_error_category(category: str) -> str | None:
    """The soft error that an error category stands for; None if it is another kind of error."""
    return category.removeprefix(SOFT_ERROR_PREFIX) if category.startswith(SOFT_ERROR_PREFIX) else None


def format_title(soft_error: str) -> str:
    """What people read for a category; a surface's own ones are read by their name."""
    if soft_error == OTHER:
        return "Other soft errors"
    return SOFT_ERRORS.get(soft_error) or soft_error.replace("_", " ").capitalize()
