"""JSON calls of a driven system's API, with the credentials of the settings and failures in words."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater, SettingMissing
from bot.outbound.response import OutboundResponse
from core.rollout.plans.driven_systems import DRIVEN_SYSTEMS
from core.rollout.plans.plan import DrivenFlag


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemAccess:
    """What the settings say of one driven system: where it is, and the secret that is sent there and nowhere else."""

    url: str = ""  # a bare address; of a system of files, the folder
    token: str = field(default="", repr=False)


class SystemApi:
    """The API of one system, as one plan uses it. What the system itself says is never repeated: it could quote the
    token."""

    def __init__(
        self,
        client: OutboundClient,
        driven: DrivenFlag,
        access: SystemAccess,
        *,
        authorization: str,
        needs_token: bool = True,
        refusals: Mapping[int, str],
    ) -> None:
        """`authorization` is the header, empty for none; `refusals` says what a status means here and what to do.

        Raises `PermanentFailure` where nothing is set up, or where the plan names another address than the settings.
        """
        known, prefix = DRIVEN_SYSTEMS[driven.system], driven.system.upper()
        if not access.url or (needs_token and not access.token):
            missing = f"{prefix}_URL" if access.token or not needs_token else f"{prefix}_TOKEN"
            raise SettingMissing(
                f"{missing} is not set, so Rampart cannot talk to {driven.url}: set it and restart the workers"
            )
        if driven.url != access.url:
            raise PermanentFailure(
                f"the plan names {driven.url}, but the token is for {access.url} ({prefix}_URL) and is sent nowhere "
                f"else. Correct `drives.{driven.system}.{known.address_field}` in a new rollout"
            )
        self._client, self._url, self._title = client, access.url, known.title
        self._headers = {"Authorization": authorization} if authorization else {}
        self._refusals = {401: f"rejects the token: set {prefix}_TOKEN to a valid one, and restart the workers"}
        self._refusals |= refusals

    def get(self, path: str) -> Any:
        """What stands at `path`, parsed."""
        return self.parse(self.call("GET", path))

    def send(self, method: str, path: str, body: Any, content_type: str = "application/json") -> OutboundResponse:
        """Send `body` as JSON."""
        return self.call(method, path, json.dumps(body).encode(), content_type)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "",
        *,
        allowed: Collection[int] = (),
    ) -> OutboundResponse:
        """One call; a status of 300 or more is a failure, except for those `allowed`."""
        sent = {"Accept": "application/json", "User-Agent": "rampart", **self._headers}
        answer = self._client.call(
            method, self._url + path, sent | ({"Content-Type": content_type} if content_type else {}), body
        )
        if answer.status >= 300 and answer.status not in allowed:
            raise self._build_failure(answer)
        return answer

    def parse(self, answer: OutboundResponse) -> Any:
        """The answer's JSON object."""
        try:
            found = json.loads(answer.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self.unlike()
        return found

    def unlike(self) -> RetryLater:
        """The failure for an answer that the system would not give."""
        return RetryLater(f"{self._url} answers, but not like {self._title}")

    def _build_failure(self, answer: OutboundResponse) -> RetryLater | PermanentFailure:
        # 412: somebody changed it at the same time
        if (answer.is_temporary_failure or answer.status == 412) and answer.status not in self._refusals:
            from_gateway = answer.status in {502, 504}  # what is behind it may still carry it out
            why = f"{self._title} answers {answer.status}"
            return RetryLater(why, seconds=answer.retry_after, may_arrive=from_gateway)
        what = self._refusals.get(answer.status, "rejects the change")
        return PermanentFailure(f"{self._title} {what} ({answer.status})")
