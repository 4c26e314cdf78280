"""What was probably meant by a name that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches


def suggest_nearest(name: str, choices: Iterable[str], after: str = "") -> str:
    """`Did you mean "x"?`, if one of the choices is close; `after` ends the sentence before it."""
    near = get_close_matches(name.lower(), list(choices), n=1, cutoff=0.6)
    return f'{after} Did you mean "{near[0]}"?' if near else ""
