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

    def read_dormant(self) -> float:
        """The rule's coverage as a percentage, whether it is enabled or not."""
        return _to_percent(self._find_rule(self._list_rules(self._find_feature())))

    def explain_doubt(self) -> str:
        """Nothing: whatever is misspelt is not there, and refused."""
        return ""

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
        if percent > 0:
            self._refuse_growth(feature, rules, rule)
        rule["coverage"] = round(percent / 100, 6)
        return rules

    def _refuse_growth(self, feature: dict[str, Any], rules: list[dict[str, Any]], rule: dict[str, Any]) -> None:
        name = self._rule.feature
        if feature.get("archived"):
            raise PermanentFailure(f"{name} is archived: no application gets it. Unarchive it there")
        if not rule.get("enabled", True):
            raise PermanentFailure(f"rule {self._rule.strategy} of {name} is disabled: enable it there")
        if _is_off(feature, rule):
            raise PermanentFailure(
                f"{name} is off in every environment of rule {self._rule.strategy}: turn it on there"
            )
        if feature.get("defaultValue") == rule.get("value") is not None:
            raise PermanentFailure(
                f"{name} serves the value of rule {self._rule.strategy} by default: people outside the rule have "
                "the new version, and would keep it at 0 %. Let its default be the old version"
            )
        others = [one for one in rules if one is not rule and one.get("enabled", True)]
        if found := next((one for one in others if _gives_out(one, rule.get("value"))), None):
            raise PermanentFailure(
                f"rule {found.get('id')} of {name} serves the value of rule {self._rule.strategy}, too: its people "
                "would keep the new version at 0 %. Remove or disable it there"
            )

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


def _is_off(feature: dict[str, Any], rule: dict[str, Any]) -> bool:
    """Whether the feature is disabled in all environments that the rule is for. What is not said is on."""
    environments = feature.get("environments")
    if not isinstance(environments, dict) or not environments:
        return False
    named = environments if rule.get("allEnvironments") else rule.get("environments") or environments
    said = [environments[one] for one in named if isinstance(environments.get(one), dict)]
    return bool(said) and not any(one.get("enabled", True) for one in said)


def _gives_out(rule: dict[str, Any], value: Any) -> bool:
    """Whether another rule gives this value to anybody: as its own, or as that of one of its variations."""
    if value is None or rule.get("coverage") == 0:
        return False
    variations = rule.get("variations")
    values = [one.get("value") for one in variations if isinstance(one, dict)] if isinstance(variations, list) else []
    return value in (rule.get("value"), rule.get("variationValue"), rule.get("controlValue"), *values)


def _to_percent(rule: dict[str, Any]) -> float:
    return round(float(rule["coverage"]) * 100, 6)
