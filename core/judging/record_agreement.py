"""Whether two records say the same: everything exactly but the last digits of numbers, which depend on a processor."""

import json
from math import isclose
from typing import Any

RELATIVE = 1e-9
ABSOLUTE = 1e-10
"""What sums of thousands of gains that nearly cancel may be off by; far below anything that is read."""


def agree(said: str, computed: str) -> bool:
    """Of two JSON texts: the same shape, names, words and whole numbers, and numbers equal to 1e-9."""
    return said == computed or _same(json.loads(said), json.loads(computed))


def _same(said: Any, computed: Any) -> bool:
    match said, computed:
        case dict(), dict():
            return said.keys() == computed.keys() and all(_same(said[key], computed[key]) for key in said)
        case list(), list():
            return len(said) == len(computed) and all(_same(a, b) for a, b in zip(said, computed, strict=True))
        case float(), float():
            return said == computed or isclose(said, computed, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
        case _:
            return type(said) is type(computed) and bool(said == computed)
