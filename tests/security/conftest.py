"""An office with Slack, a service behind HTTP, and a door at which anybody may knock with whatever they signed."""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from bot.slack.listeners import build_app
from tests.http.conftest import Running, canary, rollout_file, running, serve, surface_file  # noqa: F401
from tests.slack.conftest import Office, _no_proxy, office  # noqa: F401

TEAM = "T0SANDBOX1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackDoor:
    """`/slack/events` of a real server, and the secret that Slack shares with it."""

    client: httpx.Client
    secret: str

    def knock(self, body: str, **headers: str | bytes) -> httpx.Response:
        """Exactly these headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return self.client.post("/slack/events", content=body.encode(), headers={**kind, **named})  # type: ignore[dict-item]

    def signed(self, body: str, *, at: float | None = None, of: str | None = None, **more: str) -> httpx.Response:
        """Signed as Slack does it, `at` some time, or for another body `of`."""
        stamp = str(int(time.time() if at is None else at))
        mark = hmac.new(self.secret.encode(), f"v0:{stamp}:{of or body}".encode(), hashlib.sha256).hexdigest()
        return self.knock(body, x_slack_request_timestamp=stamp, x_slack_signature=f"v0={mark}", **more)


@pytest.fixture
def door(office: Office, serve: Callable[..., httpx.Client]) -> Iterator[SlackDoor]:  # noqa: F811
    """The door of the office's own app, over HTTP."""
    secret = office.sandbox.signing_secret
    bolt = build_app(office.service, office.client, secret, now=lambda: office.at, directory=office.directory)
    client = serve(Running(service=office.service, clock=[office.at]), tokens=[("operator", "a-token")], bolt=bolt)
    yield SlackDoor(client=client, secret=secret)
    bolt.listener_runner.listener_executor.shutdown()


def command(text: str, **fields: Any) -> str:
    """The body of a slash command of Ana's."""
    usual = {
        "command": "/rollout",
        "text": text,
        "team_id": TEAM,
        "user_id": "U0ANA00001",
        "channel_id": "C0AIROLL01",
        "channel_name": "ai-rollouts",
        "trigger_id": "1.2.abc",
    }
    return urlencode({**usual, **fields})
