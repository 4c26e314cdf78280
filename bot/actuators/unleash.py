"""Reads and writes the percentage of one `flexibleRollout` strategy through Unleash's admin API."""

import json
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from bot.outbound.attempts import Later, Never
from bot.outbound.client import Answer, Door
from core.rollout.plan import DrivenFlag

LONGEST_WAIT = 300.0  # seconds, even if Unleash asks for more
SHORTEST_WAIT = 1.0  # seconds, so that a row is never retried at once
_PASSING = frozenset({408, 409, 412, 423, 425, 429})


class Unleash:
    """One strategy of one Unleash. The token goes only to `url`, for which it was configured, whatever a file names."""

    def __init__(self, door: Door, strategy: DrivenFlag, *, url: str, token: str) -> None:
        if not token or not url:
            name = "UNLEASH_URL" if token else "UNLEASH_TOKEN"
            raise Never(f"{name} is not set, so Rampart cannot talk to {strategy.url}: set it and restart the workers")
        if strategy.url != url:
            raise Never(
                f"the plan names {strategy.url}, and the token is for {url} (UNLEASH_URL): it is sent to no other. "
                "Correct `drives.unleash.url` in a new rollout"
            )
        self._door = door
        self._strategy = strategy
        self._token = token

    def read(self) -> float:
        """The strategy's `rollout` parameter, a percentage."""
        answer = self._call("GET", {"Accept": "application/json"})
        try:
            found = json.loads(answer.body)
            name, percent = found["name"], found["parameters"].get("rollout")
        except (ValueError, LookupError, TypeError, AttributeError):
            raise Later(f"{self._strategy.url} answers, but not as Unleash does") from None
        if name != "flexibleRollout" or (share := _percent(percent)) is None:
            raise Never(
                f"strategy {self._strategy.strategy} has no percentage: it must be a gradual rollout (flexibleRollout)"
            )
        return share

    def write(self, percent: float) -> None:
        """Patch only the percentage: a PUT without the strategy's variants would remove them."""
        change = [{"op": "replace", "path": "/parameters/rollout", "value": f"{percent:g}"}]
        self._call("PATCH", {"Content-Type": "application/json"}, json.dumps(change).encode())

    def _call(self, method: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        s = self._strategy
        below = ("projects", s.project, "features", s.feature, "environments", s.environment, "strategies", s.strategy)
        path = "/".join(quote(part, safe="") for part in below)
        sent = {"Authorization": self._token, "User-Agent": "rampart", **headers}
        answer = self._door.call(method, f"{s.url}/api/admin/{path}", sent, body)
        if answer.status >= 300:
            raise self._refused(answer)
        return answer

    def _refused(self, answer: Answer) -> Later | Never:
        """The failure for an error status. Unleash's own text is left out, as it could repeat the token."""
        s = self._strategy
        if answer.status in _PASSING or answer.status >= 500:
            return Later(f"Unleash answers {answer.status}", seconds=_asked_to_wait(answer))
        match answer.status:
            case 401:
                what = "does not know the token: set UNLEASH_TOKEN to one of a service account, and restart the workers"
            case 403:
                what = (
                    f"forbids it: is there a {s.feature} in project {s.project}, and may the token change its "
                    f"strategies in {s.environment} (UPDATE_FEATURE_STRATEGY), past change requests if there are any?"
                )
            case 404:
                what = (
                    f"has no strategy {s.strategy} of {s.feature} in {s.environment}, project {s.project}: was it "
                    "deleted or archived? Set the flag there by hand"
                )
            case _:
                what = "does not take it"
        return Never(f"Unleash {what} ({answer.status})")


def _percent(written: Any) -> float | None:
    """Unleash writes the percentage as text; a number is accepted, too. None if it is neither."""
    try:
        share = float(written)
    except (TypeError, ValueError, OverflowError):
        return None
    return share if math.isfinite(share) and not isinstance(written, bool) else None


def _asked_to_wait(answer: Answer) -> float | None:
    """Seconds from the Retry-After header, given in seconds or as a date; None without one."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return min(max(float(text), SHORTEST_WAIT), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    left = (until - datetime.now(UTC)).total_seconds()
    return min(max(left, SHORTEST_WAIT), LONGEST_WAIT)
