"""How long the trials run: short in every test run, long by `make trial`."""

import os
from typing import TypeVar

T = TypeVar("T")

LONG = os.environ.get("TRIAL") == "long"


def pick(short: T, long: T) -> T:
    """The one that this run asks for."""
    return long if LONG else short
