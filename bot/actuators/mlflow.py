"""Reads and moves an alias of a registered model through MLflow's REST API."""

import base64
from urllib.parse import urlencode

from bot.actuators.label_system import choose_version, describe_new_label, read_label
from bot.actuators.system_api import SystemAccess, SystemApi
from bot.outbound.client import OutboundClient
from core.rollout.plans.plan import DrivenFlag

_API = "/api/2.0/mlflow"
_PATH = f"{_API}/registered-models/alias"
_NO_ALIAS = "INVALID_PARAMETER_VALUE"


class MlflowAlias:
    """One alias of one model. The credentials go only to the address for which they were configured."""

    def __init__(self, client: OutboundClient, alias: DrivenFlag, access: SystemAccess) -> None:
        self._alias = alias
        self._api = SystemApi(
            client,
            alias,
            access,
            authorization=_authorize(access.token),
            needs_token=False,
            refusals={
                400: f"rejects it: is there a model {alias.feature} with the versions {alias.old} and {alias.new}?",
                403: f"forbids it: the user of MLFLOW_TOKEN needs the permission EDIT on the model {alias.feature}",
                404: f"has no model {alias.feature} with the versions {alias.old} and {alias.new}: was it deleted?",
            },
        )

    def read(self) -> float:
        """100 while the alias names the new version, else 0."""
        return read_label(self._alias, self._find_version)

    def read_dormant(self) -> float:
        """As `read`: a label cannot be off."""
        return self.read()

    def explain_doubt(self) -> str:
        """That the model has no such alias yet, with those it has: it may be misspelt. Empty otherwise."""
        if self._find_version() is not None:
            return ""
        return describe_new_label(self._alias, self._list_aliases())

    def rehearse(self, percent: float) -> None:
        """Refuse what `write` would refuse."""
        version = choose_version(self._alias, percent, self._find_version())
        self._api.get(f"{_API}/model-versions/get?{urlencode({'name': self._alias.feature, 'version': version})}")

    def write(self, percent: float) -> None:
        """Move the alias. MLflow knows no precondition, so it is read just before."""
        version = choose_version(self._alias, percent, self._find_version())
        self._api.send("POST", _PATH, {"name": self._alias.feature, "alias": self._alias.strategy, "version": version})

    def _find_version(self) -> str | None:
        """The version that the alias names; None if there is no such alias."""
        asked = urlencode({"name": self._alias.feature, "alias": self._alias.strategy})
        answer = self._api.call("GET", f"{_PATH}?{asked}", allowed={400, 404})
        if answer.status == 404:  # there is no model, or the version that the alias still names was deleted
            return self._list_aliases().get(self._alias.strategy)
        if answer.status == 400:  # of a model that is there, the alias is not set; without the model it is 404
            if self._api.parse(answer).get("error_code") != _NO_ALIAS:
                raise self._api.unlike()
            return None
        try:
            return str(self._api.parse(answer)["model_version"]["version"])
        except (LookupError, TypeError):
            raise self._api.unlike() from None

    def _list_aliases(self) -> dict[str, str]:
        """The version of each alias of the model."""
        asked = urlencode({"name": self._alias.feature})
        try:
            model = self._api.get(f"{_API}/registered-models/get?{asked}")["registered_model"]
            return {str(one["alias"]): str(one["version"]) for one in model.get("aliases", ())}
        except (LookupError, TypeError, AttributeError):
            raise self._api.unlike() from None


def _authorize(token: str) -> str:
    """`user:password` as Basic, anything else as Bearer; nothing without a token."""
    if not token:
        return ""
    return f"Basic {base64.b64encode(token.encode()).decode()}" if ":" in token else f"Bearer {token}"
