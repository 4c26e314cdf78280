"""Compare a recorded judgement with a recomputed one, up to rounding that depends on the processor."""

import json
from math import isclose
from typing import Any

RELATIVE = 1e-9
ABSOLUTE = 1e-10
"""Tolerance for sums of thousands of increments that nearly cancel; far below any digit that is used."""


def agree(said: str, computed: str) -> bool:
    """Whether two JSON texts agree: structure, strings and integers exactly, floats to a relative 1e-9."""
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
