"""Reads and moves a label of a prompt through Langfuse's public API."""

import base64
from urllib.parse import quote, urlencode

from bot.actuators.label_system import choose_version, read_label
from bot.actuators.system_api import SystemAccess, SystemApi
from bot.outbound.client import OutboundClient
from core.rollout.plans.plan import DrivenFlag

_MANAGED = "latest"  # Langfuse moves this one itself, and refuses it from others


class LangfuseLabel:
    """One label of one prompt. The keys go only to the address for which they were configured."""

    def __init__(self, client: OutboundClient, label: DrivenFlag, access: SystemAccess) -> None:
        self._label = label
        self._path = f"/api/public/v2/prompts/{quote(label.feature, safe='')}"
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
        return _list_labels(self._api.get(f"{self._path}?{urlencode({'version': version})}"))

    def _find_version(self) -> str | None:
        """The version that has the label; None if none has."""
        answer = self._api.call("GET", f"{self._path}?{urlencode({'label': self._label.strategy})}", allowed={404})
        if answer.status == 404:
            return None
        found = self._api.parse(answer)
        if self._label.strategy not in _list_labels(found) or "version" not in found:
            raise self._api.unlike()
        return str(found["version"])


def _list_labels(prompt: dict[str, object]) -> list[str]:
    labels = prompt.get("labels")
    return [str(each) for each in labels] if isinstance(labels, list) else []
