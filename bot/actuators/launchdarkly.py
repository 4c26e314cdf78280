"""Reads and writes the percentage of a flag's default rule through LaunchDarkly's REST API, by semantic patches."""

from typing import Any
from urllib.parse import quote

from bot.actuators.system_api import SystemAccess, SystemApi
from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure
from core.rollout.plans.plan import DrivenFlag

_WHOLE = 100_000  # weights are in thousandths of a percent
_SEMANTIC_PATCH = "application/json; domain-model=launchdarkly.semanticpatch"


class LaunchdarklyFlag:
    """The default rule of one flag in one environment. The token goes only to the address it was configured for."""

    def __init__(self, client: OutboundClient, flag: DrivenFlag, access: SystemAccess) -> None:
        self._flag = flag
        self._path = f"/api/v2/flags/{quote(flag.project, safe='')}/{quote(flag.feature, safe='')}"
        where = f"{flag.feature} in {flag.environment}, project {flag.project}"
        self._api = SystemApi(
            client,
            flag,
            access,
            authorization=access.token,
            refusals={
                400: f"rejects it: does {where} have the variations {flag.new} and {flag.old}?",
                403: f"forbids it: the token needs a role that may change the targeting of {where}",
                404: f"has no {where}: was it deleted or archived? Set the flag there by hand",
                405: f"asks for an approval: let the token past approvals in {flag.environment}",
            },
        )

    def read(self) -> float:
        """What share the default rule gives the new variation; while targeting is off, what the off variation does."""
        return self._find_weights(self._find_flag())[self._flag.new or ""] / 1000

    def read_dormant(self) -> float:
        """What the default rule gives the new variation once targeting is on."""
        found = self._find_flag()
        return self._find_weights(found, is_on=True)[self._flag.new or ""] / 1000

    def explain_doubt(self) -> str:
        """Nothing: whatever is misspelt is not there, and refused."""
        return ""

    def rehearse(self, percent: float) -> None:
        """Refuse what `write` would refuse."""
        self._build_instructions(percent)

    def write(self, percent: float) -> None:
        """Change the weights of the two variations only. A 409, somebody else's change at the same time, is retried."""
        body = {
            "environmentKey": self._flag.environment,
            "comment": f"Rampart: {percent:g} %",
            "instructions": self._build_instructions(percent),
        }
        self._api.send("PATCH", self._path, body, _SEMANTIC_PATCH)

    def _build_instructions(self, percent: float) -> list[dict[str, Any]]:
        found = self._find_flag()
        weights, new, old = self._find_weights(found), self._flag.new or "", self._flag.old or ""
        others = sum(weight for variation, weight in weights.items() if variation not in (new, old))
        wanted = round(percent * 1000)
        self._refuse_growth(found, percent, others)
        weights |= {new: wanted, old: _WHOLE - others - wanted}
        rollout = self._environment(found).get("fallthrough", {}).get("rollout") or {}
        instruction: dict[str, Any] = {"kind": "updateFallthroughVariationOrRollout", "rolloutWeights": weights}
        if rollout.get("contextKind"):
            instruction["rolloutContextKind"] = rollout["contextKind"]
        if rollout.get("bucketBy"):
            instruction["rolloutBucketBy"] = rollout["bucketBy"]
        instructions = [instruction]
        if not self._environment(found)["on"]:  # what is off serves the off variation to everybody: that has to change
            instructions.append({"kind": "updateOffVariation", "variationId": old})
        return instructions

    def _refuse_growth(self, found: dict[str, Any], percent: float, others: int) -> None:
        if percent <= 0:
            return
        if found.get("archived"):
            raise PermanentFailure(f"{self._flag.feature} is archived: no application gets it. Restore it there")
        if not self._environment(found)["on"]:
            raise PermanentFailure(
                f"targeting of {self._flag.feature} is off in {self._flag.environment}: turn it on there"
            )
        if self._is_given_out_elsewhere(found):
            raise PermanentFailure(
                f"targets or rules of {self._flag.feature} in {self._flag.environment} serve {self._flag.new}, too: "
                "they would go on at 0 %, so remove them there"
            )
        if others:
            raise PermanentFailure(
                f"the default rule of {self._flag.feature} serves other variations, too: let it serve "
                f"{self._flag.new} and {self._flag.old} only"
            )

    def _is_given_out_elsewhere(self, found: dict[str, Any]) -> bool:
        """Whether anything but the default rule, which is all that is driven, serves the new variation."""
        environment = self._environment(found)
        try:
            new = [variation["_id"] for variation in found["variations"]].index(self._flag.new)
            targets = [*environment.get("targets", ()), *environment.get("contextTargets", ())]
            rules = environment.get("rules", ())
            return any(one["variation"] == new and one.get("values") for one in targets) or any(
                rule.get("variation") == new
                or any(
                    one["variation"] == new and one["weight"] for one in rule.get("rollout", {}).get("variations", ())
                )
                for rule in rules
            )
        except (LookupError, TypeError, ValueError, AttributeError):
            raise self._api.unlike() from None

    def _find_flag(self) -> dict[str, Any]:
        found: dict[str, Any] = self._api.get(f"{self._path}?env={quote(self._flag.environment, safe='')}")
        return found

    def _environment(self, found: dict[str, Any]) -> dict[str, Any]:
        try:
            environment: dict[str, Any] = found["environments"][self._flag.environment]
            if not isinstance(environment["on"], bool):
                raise self._api.unlike()
        except (LookupError, TypeError):
            raise self._api.unlike() from None
        return environment

    def _find_weights(self, found: dict[str, Any], *, is_on: bool = False) -> dict[str, int]:
        """The weight of each variation, by id, as everybody gets it whom no target and no rule catches.

        `is_on`: what it would be with targeting on, whatever it is now.
        """
        environment = self._environment(found)
        try:
            ids = [str(variation["_id"]) for variation in found["variations"]]
            rule: dict[str, Any] = (
                environment["fallthrough"]
                if is_on or environment["on"]
                else {"variation": environment.get("offVariation")}
            )
            if "rollout" in rule:
                shares = {one["variation"]: int(one["weight"]) for one in rule["rollout"]["variations"]}
            else:
                shares = {rule["variation"]: _WHOLE}
            weights = {one: shares.get(index, 0) for index, one in enumerate(ids)}
        except (LookupError, TypeError, ValueError, AttributeError):
            raise self._api.unlike() from None
        if self._flag.new not in weights or self._flag.old not in weights:
            known = ", ".join(ids)
            raise PermanentFailure(
                f"{self._flag.feature} has no variation {self._flag.new} or {self._flag.old}; it has {known[:200]}"
            )
        return weights
