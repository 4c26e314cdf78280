"""How long a snapshot may be served after its server knew what the log says, by a clock that nobody sets."""

import time
from collections.abc import Callable
from functools import partial

SERVING_SECONDS = 15.0
"""How long a snapshot is served after its server last knew what the log says; after that, only live versions are."""

# CLOCK_BOOTTIME, where available, also counts while the machine sleeps: a rollback may happen meanwhile.
elapsed_seconds: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)


def find_deadline(asked_at: float, age: float) -> float:
    """Until when a snapshot may be served that was asked for at `asked_at` and was `age` seconds old when sent."""
    return asked_at - age + SERVING_SECONDS
