"""The door for Slack: signed requests reach Bolt, others do not, and a slow answer holds up nobody."""

import hashlib
import hmac
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from slack_bolt import App, BoltContext
from slack_bolt.authorization import AuthorizeResult

SECRET = "signing-secret"
COMMAND = urlencode({"command": "/rollout", "text": "status", "team_id": "T1", "user_id": "U1", "trigger_id": "1"})


@pytest.fixture
def slow() -> threading.Event:
    return threading.Event()


@pytest.fixture
def bolt(slow: threading.Event) -> App:
    def authorize(context: BoltContext) -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=None, team_id="T1", bot_token="xoxb-1", bot_user_id="B1", bot_id="B1")

    app = App(signing_secret=SECRET, authorize=authorize)
    app.command("/rollout")(lambda ack: ack("all is well"))
    app.command("/slow")(lambda ack: slow.wait(10) and ack("at last"))
    return app


def posted(client: httpx.Client, body: str, *, secret: str = SECRET, age: int = 0) -> httpx.Response:
    stamp = str(int(time.time()) - age)
    signature = hmac.new(secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
    headers = {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={signature}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return client.post("/slack/events", content=body, headers=headers)


def test_a_signed_command_is_answered_whatever_the_tokens(running: Any, serve: Any, bolt: App) -> None:
    answer = posted(serve(running, tokens=[("operator", "operator-token")], bolt=bolt), COMMAND)
    assert (answer.status_code, answer.text) == (200, "all is well")


def test_forged_and_old_requests_are_refused(running: Any, serve: Any, bolt: App) -> None:
    client = serve(running, bolt=bolt)
    assert posted(client, COMMAND, secret="guessed").status_code == 401
    assert posted(client, COMMAND, age=400).status_code == 401
    assert client.post("/slack/events", content=COMMAND).status_code == 401


def test_a_slow_answer_holds_up_nobody(running: Any, serve: Any, bolt: App, slow: threading.Event) -> None:
    client = serve(running, bolt=bolt)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(posted, client, COMMAND.replace("%2Frollout", "%2Fslow"))
        assert client.get("/healthz").status_code == 200
        assert client.post("/ofrep/v1/evaluate/flags", json={}).status_code == 200
        assert not waiting.done()
        slow.set()
        assert waiting.result().text == "at last"


def test_without_slack_there_is_no_such_door(running: Any, serve: Any) -> None:
    assert posted(serve(running), COMMAND).status_code == 404
