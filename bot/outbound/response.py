"""What another system answered to a call, and whether the same call may succeed later."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 300.0  # seconds, even if the system asks for more
MIN_RETRY_AFTER = 1.0  # seconds, so that nothing is tried again at once
_TEMPORARY_STATUSES = frozenset({408, 409, 423, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundResponse:
    """A response. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_temporary_failure(self) -> bool:
        """Whether the status says that the same call may succeed later."""
        return self.status in _TEMPORARY_STATUSES or self.status >= 500

    @property
    def retry_after(self) -> float | None:
        """Seconds from the Retry-After header, given in seconds or as a date, within bounds; None without one."""
        text = self.headers.get("retry-after", "").strip()
        if text.isdecimal():
            seconds = float(text)
        else:
            try:
                seconds = (parsedate_to_datetime(text).astimezone(UTC) - datetime.now(UTC)).total_seconds()
            except (ValueError, OverflowError):
                return None
        return min(max(seconds, MIN_RETRY_AFTER), MAX_RETRY_AFTER)
