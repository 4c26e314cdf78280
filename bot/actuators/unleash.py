"""Reads and writes the percentage of one `flexibleRollout` strategy through Unleash's admin API."""

import json
import math
from typing import Any
from urllib.parse import quote

from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater
from bot.outbound.response import OutboundResponse
from core.rollout.plans.plan import DrivenFlag


class UnleashFlag:
    """One strategy of one Unleash. The token goes only to `url`, for which it was configured, whatever a file names."""

    def __init__(self, client: OutboundClient, strategy: DrivenFlag, *, url: str, token: str) -> None:
        if not token or not url:
            name = "UNLEASH_URL" if token else "UNLEASH_TOKEN"
            raise PermanentFailure(
                f"{name} is not set, so Rampart cannot talk to {strategy.url}: set it and restart the workers"
            )
        if strategy.url != url:
            raise PermanentFailure(
                f"the plan names {strategy.url}, but the token is for {url} (UNLEASH_URL) and is sent nowhere "
                "else. Correct `drives.unleash.url` in a new rollout"
            )
        self._client = client
        self._strategy = strategy
        self._token = token

    def read(self) -> float:
        """The strategy's `rollout` parameter, a percentage."""
        answer = self._send_request("GET", {"Accept": "application/json"})
        try:
            found = json.loads(answer.body)
            name, percent = found["name"], found["parameters"].get("rollout")
        except (ValueError, LookupError, TypeError, AttributeError):
            raise RetryLater(f"{self._strategy.url} answers, but not like Unleash") from None
        if name != "flexibleRollout" or (share := _parse_percent(percent)) is None:
            raise PermanentFailure(
                f"strategy {self._strategy.strategy} has no percentage: it must be a gradual rollout (flexibleRollout)"
            )
        return share

    def write(self, percent: float) -> None:
        """Patch only the percentage: a PUT without the strategy's variants would remove them."""
        change = [{"op": "replace", "path": "/parameters/rollout", "value": f"{percent:g}"}]
        self._send_request("PATCH", {"Content-Type": "application/json"}, json.dumps(change).encode())

    def _send_request(self, method: str, headers: dict[str, str], body: bytes | None = None) -> OutboundResponse:
        s = self._strategy
        below = ("projects", s.project, "features", s.feature, "environments", s.environment, "strategies", s.strategy)
        path = "/".join(quote(part, safe="") for part in below)
        sent = {"Authorization": self._token, "User-Agent": "rampart", **headers}
        answer = self._client.call(method, f"{s.url}/api/admin/{path}", sent, body)
        if answer.status >= 300:
            raise self._build_failure(answer)
        return answer

    def _build_failure(self, answer: OutboundResponse) -> RetryLater | PermanentFailure:
        """The failure for an error status. Unleash's own text is left out, as it could repeat the token."""
        s = self._strategy
        if answer.is_temporary_failure or answer.status == 412:  # 412: somebody changed it at the same time
            return RetryLater(f"Unleash answers {answer.status}", seconds=answer.retry_after)
        match answer.status:
            case 401:
                what = "rejects the token: set UNLEASH_TOKEN to one of a service account, and restart the workers"
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
                what = "rejects the change"
        return PermanentFailure(f"Unleash {what} ({answer.status})")


def _parse_percent(written: Any) -> float | None:
    """Unleash writes the percentage as text; a number is accepted, too. None if it is neither."""
    try:
        share = float(written)
    except (TypeError, ValueError, OverflowError):
        return None
    return share if math.isfinite(share) and not isinstance(written, bool) else None
