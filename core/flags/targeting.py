"""Whether somebody belongs to a cohort: every equality and in-list must hold on the evaluation's context."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EMAIL = "email"
EMAIL_DOMAIN = "email_domain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Each attribute with the values it may have, as text; all must hold."""

    terms: tuple[tuple[str, frozenset[str]], ...]

    def holds(self, context: Mapping[str, Any]) -> bool:
        """False where an attribute is missing, or is a list, an object or null: in doubt somebody is outside."""
        return all(_text(key, context) in allowed for key, allowed in self.terms)


def where(conditions: Mapping[str, str | tuple[str, ...]]) -> Where:
    """Conditions as a file writes them: a text is an equality, a tuple an in-list. Domains ignore case."""
    terms = []
    for key, value in conditions.items():
        values = (value,) if isinstance(value, str) else value
        terms.append((key, frozenset(v.lower() if key == EMAIL_DOMAIN else v for v in values)))
    return Where(terms=tuple(terms))


def _text(key: str, context: Mapping[str, Any]) -> str | None:
    if key == EMAIL_DOMAIN:
        return _domain(context)
    match context.get(key):
        case bool() as flag:
            return "true" if flag else "false"
        case str() as text:
            return text
        case int() | float() as number:
            return f"{number:g}" if isinstance(number, float) else str(number)
        case _:
            return None


def _domain(context: Mapping[str, Any]) -> str | None:
    """The part after the last @ of `email`; where no `email` was sent, what was sent as `email_domain`."""
    email = context.get(EMAIL)
    if email is None:
        given = context.get(EMAIL_DOMAIN)
        return given.lower() if isinstance(given, str) else None
    if not isinstance(email, str):
        return None
    name, at, domain = email.strip().rpartition("@")
    return domain.lower() if at and name else None
