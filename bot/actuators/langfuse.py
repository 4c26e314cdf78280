"""Reads and moves a label of a prompt through Langfuse's public API."""

import base64
from typing import Any
from urllib.parse import quote, urlencode

from bot.actuators.label_system import choose_version, describe_new_label, read_label
from bot.actuators.system_api import SystemAccess, SystemApi
from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure
from core.rollout.plans.plan import DrivenFlag

_LIST = "/api/public/v2/prompts"
_MANAGED = "latest"  # Langfuse moves this one itself, and refuses it from others


class LangfuseLabel:
    """One label of one prompt. The keys go only to the address for which they were configured."""

    def __init__(self, client: OutboundClient, label: DrivenFlag, access: SystemAccess) -> None:
        self._label = label
        self._path = f"{_LIST}/{quote(label.feature, safe='')}"
        self._api = SystemApi(
            client,
            label,
            access,
            authorization=f"Basic {base64.b64encode(access.token.encode()).decode()}",
            refusals={
                401: "rejects the keys: set LANGFUSE_TOKEN to public key:secret key, and restart the workers",
                403: f"forbids it: is {label.strategy} a protected label, which only admins and owners may move?",
                404: f"has no prompt {label.feature} with the versions {label.old} and {label.new}: was it deleted?",
            },
        )

    def read(self) -> float:
        """100 while the label names the new version, else 0."""
        return read_label(self._label, self._find_version)

    def read_dormant(self) -> float:
        """As `read`: a label cannot be off."""
        return self.read()

    def explain_doubt(self) -> str:
        """That no version has the label yet, with those there are: it may be misspelt. Empty otherwise."""
        if self._find_version() is not None:
            return ""
        found = self._describe()
        return describe_new_label(self._label, found["labels"] if found is not None else ())

    def rehearse(self, percent: float) -> None:
        """Refuse what `write` would refuse."""
        self._list_labels_of(choose_version(self._label, percent, self._find_version()))

    def write(self, percent: float) -> None:
        """Give the label to a version, which takes it from the other one. Langfuse knows no precondition, so it is read
        just before. The labels that the version has already go along, so that it keeps them."""
        version = choose_version(self._label, percent, self._find_version())
        kept = [each for each in self._list_labels_of(version) if each not in (_MANAGED, self._label.strategy)]
        self._api.send("PATCH", f"{self._path}/versions/{version}", {"newLabels": [*kept, self._label.strategy]})

    def _list_labels_of(self, version: str) -> list[str]:
        """Raises `PermanentFailure` if the prompt has no such version."""
        found = self._describe(version=version)
        if found is None:
            raise PermanentFailure(
                f"Langfuse has no prompt {self._label.feature} with the version {version}: was it deleted?"
            )
        return [str(each) for each in found["labels"]]

    def _find_version(self) -> str | None:
        """The version that has the label; None if none has."""
        found = self._describe(label=self._label.strategy)
        if found is None:
            return None
        if len(found["versions"]) != 1:  # a label is with one version
            raise self._api.unlike()
        return str(found["versions"][0])

    def _describe(self, **filtered: str) -> dict[str, list[Any]] | None:
        """The versions and labels of the prompt that match; None if none does. Its text, which can be large, is not
        read: it is listed, and what is listed has none."""
        prompts = self._api.get(f"{_LIST}?{urlencode({'name': self._label.feature, **filtered})}").get("data")
        if not isinstance(prompts, list) or not all(isinstance(one, dict) for one in prompts):
            raise self._api.unlike()
        found: dict[str, Any] | None = next((one for one in prompts if one.get("name") == self._label.feature), None)
        if found is None:
            return None
        if not all(isinstance(found.get(each), list) for each in ("versions", "labels")):
            raise self._api.unlike()
        return found
