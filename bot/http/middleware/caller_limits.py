"""Limits how often one token may change something, with a token bucket per caller."""

import threading
import time
from collections.abc import Callable

from bot.http.middleware.auth import AccessDenied, Caller

REQUESTS_PER_SECOND = 100.0
BURST = 300.0


class RateLimiter:
    """A token bucket for each caller: `per_second` requests on average, `burst` at once."""

    def __init__(
        self,
        per_second: float = REQUESTS_PER_SECOND,
        burst: float = BURST,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second, self._burst, self._monotonic = per_second, burst, monotonic
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}  # by caller key: (requests left, monotonic seconds)

    def count_request(self, caller: Caller) -> None:
        """Count one request; raises `AccessDenied` with 429 if there were too many."""
        with self._lock:
            now = self._monotonic()
            left, at = self._buckets.get(caller.key, (self._burst, now))
            left = min(self._burst, left + (now - at) * self._per_second)
            enough = left >= 1
            self._buckets[caller.key] = (left - 1 if enough else left, now)
        if not enough:
            raise AccessDenied(
                429,
                "too_fast",
                f"This token asked for more than {self._per_second:g} changes a second.",
                "Nothing was done. Send it again a second later.",
                retry_after=1,
            )
