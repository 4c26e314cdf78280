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
        path = "/api/admin/" + "/".join(quote(part, safe="") for part in below)
        self._path, self._environment_path = path, path.rpartition("/strategies/")[0]
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
        """Refuse what would be refused, or would reach nobody. A strategy is read by its id alone, of whatever
        environment it is, so that it is looked for in this one, too."""
        self.read()
        s = self._strategy
        found = self._api.get(self._environment_path)
        try:
            is_enabled, strategies = found["enabled"], {one["id"]: one for one in found["strategies"]}
        except (LookupError, TypeError):
            raise self._api.unlike() from None
        if s.strategy not in strategies:
            raise PermanentFailure(
                f"{s.feature} has no strategy {s.strategy} in {s.environment}: is it one of another environment?"
            )
        if percent > 0 and not is_enabled:
            raise PermanentFailure(f"{s.feature} is off in {s.environment}: turn it on there")
        if percent > 0 and strategies[s.strategy].get("disabled"):
            raise PermanentFailure(f"strategy {s.strategy} of {s.feature} is disabled: enable it there")

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
