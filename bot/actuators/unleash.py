"""Reads and writes the percentage of one `flexibleRollout` strategy through Unleash's admin API."""

import math
from typing import Any
from urllib.parse import quote

from bot.actuators.system_api import SystemAccess, SystemApi
from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure
from core.rollout.plans.plan import DrivenFlag


class UnleashFlag:
    """One strategy of one Unleash. The token goes only to the `url` for which it was configured."""

    def __init__(self, client: OutboundClient, strategy: DrivenFlag, access: SystemAccess) -> None:
        s = strategy
        self._strategy = s
        below = ("projects", s.project, "features", s.feature, "environments", s.environment, "strategies", s.strategy)
        self._path = "/api/admin/" + "/".join(quote(part, safe="") for part in below)
        self._api = SystemApi(
            client,
            strategy,
            access,
            authorization=access.token,
            refusals={
                401: ("rejects the token: set UNLEASH_TOKEN to one of a service account, and restart the workers"),
                403: (
                    f"forbids it: is there a {s.feature} in project {s.project}, and may the token change its "
                    f"strategies in {s.environment} (UPDATE_FEATURE_STRATEGY), past change requests if there are any?"
                ),
                404: (
                    f"has no strategy {s.strategy} of {s.feature} in {s.environment}, project {s.project}: was it "
                    "deleted or archived? Set the flag there by hand"
                ),
            },
        )

    def read(self) -> float:
        """The strategy's `rollout` parameter, a percentage."""
        found = self._api.get(self._path)
        try:
            name, percent = found["name"], found["parameters"].get("rollout")
        except (LookupError, TypeError, AttributeError):
            raise self._api.unlike() from None
        if name != "flexibleRollout" or (share := _parse_percent(percent)) is None:
            raise PermanentFailure(
                f"strategy {self._strategy.strategy} has no percentage: it must be a gradual rollout (flexibleRollout)"
            )
        return share

    def rehearse(self, percent: float) -> None:
        """Refuse what `write` would refuse."""
        self.read()

    def write(self, percent: float) -> None:
        """Patch only the percentage: a PUT without the strategy's variants would remove them."""
        change = [{"op": "replace", "path": "/parameters/rollout", "value": f"{percent:g}"}]
        self._api.send("PATCH", self._path, change)


def _parse_percent(written: Any) -> float | None:
    """Unleash writes the percentage as text; a number is accepted, too. None if it is neither."""
    try:
        share = float(written)
    except (TypeError, ValueError, OverflowError):
        return None
    return share if math.isfinite(share) and not isinstance(written, bool) else None
