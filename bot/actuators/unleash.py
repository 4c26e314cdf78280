"""Reads and writes the percentage of one `flexibleRollout` strategy through Unleash's admin API."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bot.actuators.system_api import SystemAccess, SystemApi
from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure
from core.rollout.plans.plan import DrivenFlag


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyFound:
    """One strategy as Unleash has it: its percentage; why nobody gets it, and why it may not grow, mostly empty."""

    share: float
    off: str = ""
    unfit: str = ""


class UnleashFlag:
    """One strategy of one Unleash. The token goes only to the `url` for which it was configured."""

    def __init__(self, client: OutboundClient, strategy: DrivenFlag, access: SystemAccess) -> None:
        s = strategy
        self._strategy, self._obstacle = s, ""
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
                    f"has no {s.feature} in {s.environment}, project {s.project}, with the strategy {s.strategy}: was "
                    "it deleted or archived? Set the flag there by hand"
                ),
            },
        )

    def read(self) -> float:
        """The strategy's `rollout` parameter as a percentage; 0 while the feature or the strategy is off."""
        found = self._find_strategy()
        self._obstacle = found.off or found.unfit
        return 0.0 if found.off else found.share

    def read_dormant(self) -> float:
        """The `rollout` parameter, whether anything is off or not."""
        return self._find_strategy().share

    def explain_doubt(self) -> str:
        """Nothing: whatever is misspelt is not there, and refused."""
        return ""

    def rehearse(self, percent: float) -> None:
        """Refuse what would be refused, would reach nobody, or could not be taken back."""
        found = self._find_strategy()
        if percent > 0 and (obstacle := found.off or found.unfit):
            raise PermanentFailure(obstacle)

    def write(self, percent: float) -> None:
        """Patch only the percentage: a PUT without the strategy's variants would remove them.

        Nothing grows that was off when it was last read, or that 0 % would not take back from everybody.
        """
        if percent > 0 and self._obstacle:
            raise PermanentFailure(self._obstacle)
        change = [{"op": "replace", "path": "/parameters/rollout", "value": f"{percent:g}"}]
        self._api.send("PATCH", self._path, change)

    def _find_strategy(self) -> StrategyFound:
        """The strategy as it is now.

        It is looked for in its environment: by its id alone, Unleash finds a strategy of any environment.
        """
        s, found = self._strategy, self._api.get(self._environment_path)
        try:
            is_enabled, strategies = found["enabled"], {one["id"]: one for one in found["strategies"]}
            strategy = strategies.get(s.strategy)
            if strategy is not None:
                name, percent = strategy["name"], strategy["parameters"].get("rollout")
                unfit = self._explain_unfit(strategy, strategies.values())
        except (LookupError, TypeError, AttributeError):
            raise self._api.unlike() from None
        if strategy is None:
            raise PermanentFailure(
                f"{s.feature} has no strategy {s.strategy} in {s.environment}: was it deleted, or is it one of another "
                "environment? Set the flag there by hand"
            )
        if name != "flexibleRollout" or (share := _parse_percent(percent)) is None:
            raise PermanentFailure(
                f"strategy {s.strategy} has no percentage: it must be a gradual rollout (flexibleRollout)"
            )
        if not is_enabled:
            return StrategyFound(share=share, off=f"{s.feature} is off in {s.environment}: turn it on there")
        if strategy.get("disabled"):
            off = f"strategy {s.strategy} of {s.feature} is disabled: enable it there"
            return StrategyFound(share=share, off=off)
        return StrategyFound(share=share, unfit=unfit)

    def _explain_unfit(self, strategy: Mapping[str, Any], all_of_them: Iterable[Mapping[str, Any]]) -> str:
        """Why it may not grow: it is drawn anew at each request, or another strategy gives the feature out, too."""
        s = self._strategy
        if strategy["parameters"].get("stickiness") == "random":
            return (
                f"strategy {s.strategy} of {s.feature} has the stickiness random: everybody would change versions from "
                "request to request. Let it stick to userId there"
            )
        if other := next((one for one in all_of_them if one is not strategy and _gives_out(one)), None):
            return (
                f"strategy {other['id']} of {s.feature} in {s.environment} turns it on, too: its people would keep the "
                "new version at 0 %. Remove or disable it there"
            )
        return ""


def _gives_out(strategy: Mapping[str, Any]) -> bool:
    """Whether a strategy turns the feature on for anybody; one of another kind than a gradual rollout may."""
    return not strategy.get("disabled") and _parse_percent((strategy.get("parameters") or {}).get("rollout")) != 0


def _parse_percent(written: Any) -> float | None:
    """Unleash writes the percentage as text; a number is accepted, too. None if it is neither."""
    try:
        share = float(written)
    except (TypeError, ValueError, OverflowError):
        return None
    return share if math.isfinite(share) and not isinstance(written, bool) else None
