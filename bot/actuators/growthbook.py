"""Reads and writes the coverage of one rule of a feature through GrowthBook's REST API (v2)."""

from typing import Any
from urllib.parse import quote

from bot.actuators.system_api import SystemAccess, SystemApi
from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure
from core.rollout.plans.plan import DrivenFlag


class GrowthbookFlag:
    """One percentage rule of one feature. The key goes only to the address for which it was configured."""

    def __init__(self, client: OutboundClient, rule: DrivenFlag, access: SystemAccess) -> None:
        self._rule = rule
        self._path = f"/v2/features/{quote(rule.feature, safe='')}"
        self._api = SystemApi(
            client,
            rule,
            access,
            authorization=f"Bearer {access.token}",
            refusals={
                403: (
                    f"forbids it: may the key publish {rule.feature}? Where changes need an approval, let the REST API "
                    "bypass it in the organization's settings"
                ),
                404: f"has no feature {rule.feature}: was it deleted or archived? Set the flag there by hand",
            },
        )

    def read(self) -> float:
        """The rule's coverage as a percentage; 0 while the rule is disabled."""
        rule = self._find_rule(self._list_rules(self._find_feature()))
        return _to_percent(rule) if rule.get("enabled", True) else 0.0

    def rehearse(self, percent: float) -> None:
        """Refuse what `write` would refuse."""
        self._build_rules(percent)

    def write(self, percent: float) -> None:
        """Publish the feature's rules with another coverage of this one.

        GrowthBook replaces all of them at once and knows no precondition, so they are read just before.
        """
        self._api.send("POST", self._path, {"rules": self._build_rules(percent)})

    def _build_rules(self, percent: float) -> list[dict[str, Any]]:
        feature = self._find_feature()
        rules = self._list_rules(feature)
        rule = self._find_rule(rules)
        if percent > 0 and feature.get("archived"):
            raise PermanentFailure(f"{self._rule.feature} is archived: no application gets it. Unarchive it there")
        if percent > 0 and not rule.get("enabled", True):
            raise PermanentFailure(f"rule {self._rule.strategy} of {self._rule.feature} is disabled: enable it there")
        rule["coverage"] = round(percent / 100, 6)
        return rules

    def _find_feature(self) -> dict[str, Any]:
        feature = self._api.get(self._path).get("feature")
        if not isinstance(feature, dict):
            raise self._api.unlike()
        return feature

    def _list_rules(self, feature: dict[str, Any]) -> list[dict[str, Any]]:
        rules = feature.get("rules")
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            raise self._api.unlike()
        return rules

    def _find_rule(self, rules: list[dict[str, Any]]) -> dict[str, Any]:
        """The rule in the list; raises `PermanentFailure` if it is not there or has no percentage."""
        name = f"rule {self._rule.strategy} of {self._rule.feature}"
        rule = next((each for each in rules if each.get("id") == self._rule.strategy), None)
        if rule is None:
            raise PermanentFailure(f"GrowthBook has no {name}: was it deleted? Set the flag there by hand")
        coverage = rule.get("coverage")
        is_share = isinstance(coverage, int | float) and not isinstance(coverage, bool) and 0 <= coverage <= 1
        if rule.get("type") != "rollout" or not is_share:
            raise PermanentFailure(f"{name} has no percentage: it must be a percentage rollout")
        return rule


def _to_percent(rule: dict[str, Any]) -> float:
    return round(float(rule["coverage"]) * 100, 6)
