"""Compare a recorded judgement with a recomputed one, up to rounding that depends on the processor."""

import json
from math import isclose
from typing import Any

RELATIVE_TOLERANCE = 1e-9
ABSOLUTE_TOLERANCE = 1e-10
"""Tolerance for sums of thousands of increments that nearly cancel; far below any digit that is used."""


def records_agree(recorded: str, computed: str) -> bool:
    """Whether two JSON texts agree: structure, strings and integers exactly, floats to a relative 1e-9."""
    return recorded == computed or _values_agree(json.loads(recorded), json.loads(computed))


def _values_agree(recorded: Any, computed: Any) -> bool:
    match recorded, computed:
        case dict(), dict():
            return recorded.keys() == computed.keys() and all(
                _values_agree(recorded[key], computed[key]) for key in recorded
            )
        case list(), list():
            return len(recorded) == len(computed) and all(
                _values_agree(a, b) for a, b in zip(recorded, computed, strict=True)
            )
        case float(), float():
            return recorded == computed or isclose(
                recorded, computed, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE
            )
        case _:
            return type(recorded) is type(computed) and bool(recorded == computed)
