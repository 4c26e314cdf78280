"""Cohort conditions: pairs of an attribute and its allowed texts, all of which must hold."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

ContextTest: TypeAlias = Callable[[Mapping[str, Any]], bool]

_EMAIL = "email"
_EMAIL_DOMAIN = "email_domain"


def compile_conditions(conditions: Sequence[tuple[str, Sequence[str]]]) -> ContextTest:
    """A test of an evaluation's context. In doubt somebody is outside: a list, an object or null matches nothing."""
    tests = [_build_test(attribute, frozenset(allowed)) for attribute, allowed in conditions]
    if len(tests) == 1:
        return tests[0]
    return lambda context: all(test(context) for test in tests)


def _build_test(attribute: str, allowed: frozenset[str]) -> ContextTest:
    if attribute == _EMAIL_DOMAIN:
        return lambda context: _find_email_domain(context) in allowed

    def matches(context: Mapping[str, Any]) -> bool:
        value = context.get(attribute)
        return (value if type(value) is str else _format_value(value)) in allowed

    return matches


def _format_value(value: object) -> str | None:
    match value:
        case bool() as flag:
            return "true" if flag else "false"
        case str() as text:
            return text
        case int() as number:
            return str(number)
        case float() as number:
            return f"{number:g}"
        case _:
            return None


def _find_email_domain(context: Mapping[str, Any]) -> str | None:
    """The lower-case domain of `email`; without an `email`, the `email_domain` that was given. None without either."""
    email = context.get(_EMAIL)
    if email is None:
        given = context.get(_EMAIL_DOMAIN)
        return given.lower() if isinstance(given, str) else None
    if not isinstance(email, str):
        return None
    name, at, domain = email.strip().rpartition("@")
    return domain.lower() if at and name else None
