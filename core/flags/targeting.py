"""Cohort targeting: every condition (equality or in-list) must hold for the evaluation's context."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

EMAIL = "email"
EMAIL_DOMAIN = "email_domain"


ContextPredicate: TypeAlias = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortConditions:
    """Conditions of a cohort: attributes with their allowed values as text. All must hold.

    `matches(context)` is False if an attribute is missing, or is a list, an object or null: in doubt, somebody is
    outside. It is compiled once, since every evaluation calls it.
    """

    conditions: tuple[tuple[str, frozenset[str]], ...]
    matches: ContextPredicate = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tests = [_build_condition_test(key, allowed) for key, allowed in self.conditions]
        together = tests[0] if len(tests) == 1 else lambda context: all(test(context) for test in tests)
        object.__setattr__(self, "matches", together)

    def holds_for(self, key: str, context: Mapping[str, Any]) -> bool:
        """Whether the conditions on this one attribute hold."""
        return all(_build_condition_test(name, allowed)(context) for name, allowed in self.conditions if name == key)


def parse_conditions(conditions: Mapping[str, str | tuple[str, ...]]) -> CohortConditions:
    """Parse conditions as written in a file: a text is an equality, a tuple an in-list. Domains ignore case."""
    terms = []
    for key, value in conditions.items():
        values = (value,) if isinstance(value, str) else value
        terms.append((key, frozenset(v.lower() if key == EMAIL_DOMAIN else v for v in values)))
    return CohortConditions(conditions=tuple(terms))


def _build_condition_test(key: str, allowed: frozenset[str]) -> ContextPredicate:
    if key == EMAIL_DOMAIN:
        return lambda context: _email_domain(context) in allowed

    def matches(context: Mapping[str, Any]) -> bool:
        value = context.get(key)
        return (value if type(value) is str else _to_text(value)) in allowed

    return matches


def _to_text(value: object) -> str | None:
    match value:
        case bool() as flag:
            return "true" if flag else "false"
        case str() as text:
            return text
        case int() | float() as number:
            return f"{number:g}" if isinstance(number, float) else str(number)
        case _:
            return None


def _email_domain(context: Mapping[str, Any]) -> str | None:
    """The lower-case domain of `email`; without an `email`, the `email_domain` that was sent. None if there is none."""
    email = context.get(EMAIL)
    if email is None:
        given = context.get(EMAIL_DOMAIN)
        return given.lower() if isinstance(given, str) else None
    if not isinstance(email, str):
        return None
    name, at, domain = email.strip().rpartition("@")
    return domain.lower() if at and name else None
