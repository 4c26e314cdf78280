"""Slack's rate limits as token buckets, in real seconds even if the demo's clock runs faster."""

import math
import threading
from collections.abc import Callable
from typing import Literal

RateLimitMode = Literal["post", "all", "off"]

# Calls per minute and method, from the tiers of https://docs.slack.dev/apis/web-api/rate-limits.
_PER_MINUTE = {
    **dict.fromkeys(("conversations.list", "users.list", "usergroups.list", "usergroups.users.list"), 20),
    **dict.fromkeys(("chat.update", "chat.delete", "conversations.info"), 50),
    **dict.fromkeys(("conversations.history", "conversations.replies"), 50),
    **dict.fromkeys(("views.open", "views.update", "views.publish", "chat.postEphemeral", "users.info"), 100),
    **dict.fromkeys(("files.getUploadURLExternal", "files.completeUploadExternal"), 100),
}
_POSTS_PER_SECOND = 1.0
_POST_BURST = 4.0  # Slack allows "short bursts" of no stated size


class RateLimits:
    """`post` limits chat.postMessage to one per second and channel; `all` adds the other methods; `off` limits none."""

    def __init__(self, monotonic: Callable[[], float], mode: RateLimitMode) -> None:
        self.mode: RateLimitMode = mode
        self._now = monotonic
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def seconds_to_wait(self, method: str, channel: str) -> int:
        """Take a token for a call; returns 0 if it may pass, else the seconds for `Retry-After`, at least 1."""
        if self.mode == "off":
            return 0
        if method == "chat.postMessage":
            return self._take_token((method, channel), rate=_POSTS_PER_SECOND, burst=_POST_BURST)
        if self.mode == "all" and method in _PER_MINUTE:
            return self._take_token((method, ""), rate=_PER_MINUTE[method] / 60, burst=float(_PER_MINUTE[method]))
        return 0

    def _take_token(self, key: tuple[str, str], *, rate: float, burst: float) -> int:
        with self._lock:
            now = self._now()
            tokens, at = self._buckets.get(key, (burst, now))
            tokens = min(burst, tokens + (now - at) * rate)
            if tokens >= 1:
                self._buckets[key] = (tokens - 1, now)
                return 0
            self._buckets[key] = (tokens, now)
            return max(1, math.ceil((1 - tokens) / rate))
