"""Systems that rollouts drive, as small as their published APIs allow: what they take, refuse and answer."""

import copy
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from core.rollout.plans.plan import DrivenFlag
from tests.actuators.api_server import Answer, ApiCall

TOKEN = "a-token-for-tests:which-is-secret"
NEW, OLD, THIRD = "5f0c-new", "5f0c-old", "5f0c-third"


@dataclass(slots=True)
class LaunchDarkly:
    """The flag API (`/api/v2/flags`) of one flag with three variations, by semantic patches."""

    environment: dict[str, Any] = field(
        default_factory=lambda: {"on": True, "offVariation": 1, "fallthrough": {"variation": 1}, "_version": 1}
    )
    approvals: bool = False

    def driven(self, url: str) -> DrivenFlag:
        return DrivenFlag(
            system="launchdarkly",
            url=url,
            project="default",
            environment="production",
            feature="new-prompt",
            strategy="",
            new=NEW,
            old=OLD,
        )

    def weigh(self, new: int, old: int, third: int = 0) -> None:
        variations = [{"variation": index, "weight": weight} for index, weight in enumerate((new, old, third))]
        self.environment["fallthrough"] = {"rollout": {"variations": variations, "contextKind": "account"}}

    def answer(self, call: ApiCall) -> Answer:
        if call.headers.get("authorization") != TOKEN:
            return 401, {"code": "unauthorized", "message": f"{TOKEN} is not valid"}
        if call.path != ("api", "v2", "flags", "default", "new-prompt"):
            return 404, {"code": "not_found"}
        if call.method == "PATCH":
            refused = self._patch(call)
            if refused is not None:
                return refused
        elif call.query != {"env": "production"}:
            return 400, {"code": "invalid_request"}
        variations = [{"_id": one, "value": one} for one in (NEW, OLD, THIRD)]
        environments = {"production": copy.deepcopy(self.environment)}
        return 200, {"key": "new-prompt", "variations": variations, "environments": environments}

    def _patch(self, call: ApiCall) -> Answer | None:
        if call.headers["content-type"] != "application/json; domain-model=launchdarkly.semanticpatch":
            return 400, {"code": "invalid_request", "message": "a JSON patch was expected"}
        if self.approvals:
            return 405, {"code": "method_not_allowed", "message": "Approval is required"}
        if call.body["environmentKey"] != "production":
            return 400, {"code": "invalid_request"}
        for one in call.body["instructions"]:
            match one:
                case {"kind": "updateFallthroughVariationOrRollout", "rolloutWeights": weights}:
                    if sum(weights.values()) != 100_000 or not set(weights) <= {NEW, OLD, THIRD}:
                        return 400, {"code": "invalid_request", "message": "weights must add up to 100000"}
                    if not all(isinstance(weight, int) and weight >= 0 for weight in weights.values()):
                        return 400, {"code": "invalid_request"}
                    self.weigh(*(weights.get(name, 0) for name in (NEW, OLD, THIRD)))
                    kind = one.get("rolloutContextKind", "user")
                    self.environment["fallthrough"]["rollout"]["contextKind"] = kind
                case {"kind": "updateOffVariation", "variationId": variation}:
                    self.environment["offVariation"] = [NEW, OLD, THIRD].index(variation)
                case _:
                    return 400, {"code": "invalid_request", "message": f"unknown instruction {one}"}
        self.environment["_version"] += 1
        return None


@dataclass(slots=True)
class GrowthBook:
    """Features of the REST API, version 2. `rules` is replaced as a whole, as there."""

    rules: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"id": "fr_force", "type": "force", "value": "false", "enabled": True, "allEnvironments": True},
            {
                "id": "fr_new",
                "type": "rollout",
                "value": "true",
                "coverage": 0,
                "hashAttribute": "id",
                "enabled": True,
                "allEnvironments": False,
                "environments": ["production"],
            },
        ]
    )
    feature: dict[str, Any] = field(
        default_factory=lambda: {
            "defaultValue": "false",
            "environments": {"production": {"enabled": True}, "dev": {"enabled": False}},
        }
    )
    approvals: bool = False
    on_read: Callable[[], None] = lambda: None

    def driven(self, url: str) -> DrivenFlag:
        return DrivenFlag(
            system="growthbook", url=url, project="", environment="", feature="new-prompt", strategy="fr_new"
        )

    def answer(self, call: ApiCall) -> Answer:
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"message": f"{TOKEN} is not valid"}
        if call.path != ("v2", "features", "new-prompt"):
            return 404, {"message": "Could not find a feature with that key"}
        if call.method == "POST":
            if self.approvals:
                return 403, {"message": "Approval rules are enabled"}
            rules = call.body["rules"]
            if set(call.body) != {"rules"} or not all("id" in rule and "type" in rule for rule in rules):
                return 400, {"message": "Request body is wrong"}
            self.rules = rules
        else:
            self.on_read()
        feature = {"id": "new-prompt", "valueType": "boolean", "rules": copy.deepcopy(self.rules)}
        return 200, {"feature": {**feature, **copy.deepcopy(self.feature), "revision": {"version": 4}}}


@dataclass(slots=True)
class Langfuse:
    """The prompts API, version 2. `replaces`: whether new labels replace those of a version or are added to them."""

    labels: dict[int, list[str]] = field(
        default_factory=lambda: {3: ["production", "eu"], 4: ["latest", "staging"], 5: []}
    )
    protected: bool = False
    replaces: bool = True

    def driven(self, url: str, **changes: str) -> DrivenFlag:
        return DrivenFlag(
            system="langfuse",
            url=url,
            project="",
            environment="",
            feature="support/assistant",
            strategy="production",
            new="4",
            old="3",
            moves="everyone",
            **changes,
        )

    def answer(self, call: ApiCall) -> Answer:
        if call.headers.get("authorization") != "Basic " + b64encode(TOKEN.encode()).decode():
            return 401, {"error": "UnauthorizedError", "message": f"{TOKEN} is not valid"}
        match call.path:
            case ("api", "public", "v2", "prompts") if call.method == "GET":
                return self._list(call.query)
            case ("api", "public", "v2", "prompts", "support/assistant", "versions", version) if call.method == "PATCH":
                return self._patch(int(version), call.body["newLabels"])
        return 404, {"error": "LangfuseNotFoundError", "message": "Prompt not found"}

    def _list(self, query: dict[str, str]) -> Answer:
        """What matches, with its versions and labels and without its text. Nothing that matches is no error."""
        found = {
            version: labels
            for version, labels in self.labels.items()
            if query.get("name") in (None, "support/assistant")
            and query.get("version") in (None, str(version))
            and query.get("label") in (None, *labels)
        }
        listed = {
            "name": "support/assistant",
            "type": "text",
            "versions": sorted(found),
            "labels": sorted({label for labels in found.values() for label in labels}),
            "tags": [],
            "lastUpdatedAt": "2026-11-30T00:00:00.000Z",
            "lastConfig": {},
        }
        meta = {"page": 1, "limit": 50, "totalPages": 1, "totalItems": len(found)}
        return 200, {"data": [listed] if found else [], "meta": meta}

    def _patch(self, version: int, labels: list[str]) -> Answer:
        if self.protected:
            return 403, {"error": "ForbiddenError", "message": "The label production is protected"}
        if version not in self.labels or "latest" in labels:
            return (404, {"error": "LangfuseNotFoundError"}) if version not in self.labels else (400, {})
        for one, given in self.labels.items():
            self.labels[one] = [label for label in given if label not in labels or one == version]
        kept = [label for label in self.labels[version] if not self.replaces or label == "latest"]
        self.labels[version] = list(dict.fromkeys([*kept, *labels]))
        return 200, self._describe(version)

    def _describe(self, version: int) -> dict[str, Any]:
        return {"name": "support/assistant", "version": version, "labels": list(self.labels[version]), "prompt": "…"}


@dataclass(slots=True)
class Mlflow:
    """Aliases of one model with versions 1 to 3; the answers are those of MLflow 3.17.2."""

    aliases: dict[str, str] = field(default_factory=lambda: {"production": "1"})
    versions: set[str] = field(default_factory=lambda: {"1", "2", "3"})

    def driven(self, url: str) -> DrivenFlag:
        return DrivenFlag(
            system="mlflow",
            url=url,
            project="",
            environment="",
            feature="summarizer",
            strategy="production",
            new="2",
            old="1",
            moves="everyone",
        )

    def answer(self, call: ApiCall) -> Answer:
        if call.headers.get("authorization") != "Basic " + b64encode(TOKEN.encode()).decode():
            return 401, {"message": f"{TOKEN} is not valid"}
        given = call.query if call.method == "GET" else call.body
        if given["name"] != "summarizer" or given.get("version") not in (None, *self.versions):
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Registered Model not found"}
        match call.path[3:]:
            case ("registered-models", "alias"):
                pass
            case ("model-versions", "get"):
                return 200, {"model_version": {"name": "summarizer", "version": given["version"]}}
            case ("registered-models", "get"):
                named = [{"alias": alias, "version": version} for alias, version in self.aliases.items()]
                return 200, {"registered_model": {"name": "summarizer", "aliases": named}}
            case _:
                return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "no such endpoint"}
        if call.method == "POST":
            self.aliases[given["alias"]] = given["version"]
            return 200, {}
        if given["alias"] not in self.aliases:
            message = f"Registered model alias {given['alias']} not found."
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": message}
        if self.aliases[given["alias"]] not in self.versions:  # an alias outlives the version it names
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Model Version not found"}
        return 200, {"model_version": {"name": "summarizer", "version": self.aliases[given["alias"]]}}
