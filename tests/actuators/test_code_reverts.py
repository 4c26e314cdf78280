"""Code behind a flag: the flag goes off at once, the revert is asked for, and what is not undone is said."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bot.delivery import code_reverts
from bot.outbound.client import OutboundClient
from bot.rendering.messages import card, rollback_words
from bot.rendering.messages.alerts import rollback_alert
from bot.settings import Settings
from bot.startup.connections import open_revert_system
from core.rollout import commands as c
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.service.service import RolloutService
from tests.service.conftest import ROLLOUT, SURFACE, Desk

KEY = b"a key of 24 bytes in all"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
TOKEN = "ghp_for-tests"
REVERT = "https://github.com/acme/assistant/pull/912"


@dataclass(slots=True)
class Answering:
    """Both systems in small: GitHub with one merged pull request, and a deploy system. `calls` is what reached them."""

    url: str = ""
    merged: bool = True
    reverts: list[str] = field(default_factory=list)
    calls: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    fails: list[int | tuple[int, Any]] = field(default_factory=list)  # statuses of the next calls, or with a body
    lose_answer: bool = False  # of the next write

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        self.calls.append((method, path, headers, body))
        if self.fails:
            failure = self.fails.pop(0)
            return failure if isinstance(failure, tuple) else (failure, {})
        if path == "/revert":
            return 202, {}
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"message": "Bad credentials"}
        if path == "/repos/acme/assistant/pulls/881":
            when = "2026-11-20T09:00:00Z" if self.merged else None
            return 200, {"node_id": "PR_881", "merged_at": when, "head": {"ref": "new-flow"}}
        if path.startswith("/repos/acme/assistant/pulls?"):
            assert "head=acme%3Arevert-881-new-flow" in path
            assert "state=all" in path
            return 200, [{"html_url": url, "state": "open"} for url in self.reverts]
        if path == "/graphql":
            asked = json.loads(body)
            assert asked["variables"]["input"]["pullRequestId"] == "PR_881"
            assert "revertPullRequest(input: $input)" in asked["query"]
            self.reverts.append(REVERT)
            if self.lose_answer:
                self.lose_answer = False
                return 502, {}
            return 200, {"data": {"revertPullRequest": {"revertPullRequest": {"number": 912, "url": REVERT}}}}
        return 404, {}


@pytest.fixture
def systems() -> Iterator[Answering]:
    made = Answering()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, content = made.answer(self.command, self.path, headers, body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        do_GET = do_POST = _answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()


class Shop(Desk):
    """A desk whose rollout ships code, and a worker that asks for its revert."""

    def __init__(self, service: RolloutService, systems: Answering) -> None:
        super().__init__(service)
        self.settings = Settings(
            github_url=systems.url, github_token=TOKEN, webhook_url=f"{systems.url}/revert", webhook_secret=SECRET
        )

    def begin(self, reverts: str) -> "Shop":
        self.apply(SURFACE)
        code = ROLLOUT.replace("prompt: prompts/system.md@sha256:9f2c51e0", 'code: "build-77"')
        self.apply(f"{code}reverts: {{{reverts}}}\n")
        fingerprint = self.service.load_world().rollouts["R-1"].fingerprint
        self.say(c.RecordPosted(key=f"notice:{fingerprint}:support:#support", channel="C2", ts="1.0"))
        self.say(c.Approve())
        self.later(minutes=1).say(c.Start())
        return self

    def work(self, allowed: tuple[str, ...] = ("127.0.0.1",)) -> int:
        opening = partial(open_revert_system, self.settings, OutboundClient(allowed))
        return code_reverts.deliver_due(self.service, opening, lambda: self.at)

    @property
    def now(self) -> Any:
        return self.service.load_world().rollouts["R-1"]

    @property
    def told(self) -> str:
        """What the alert says of the code."""
        return rollback_words.describe_code(self.now)


@pytest.fixture
def shop(sqlite_database: Any, systems: Answering) -> Callable[..., Shop]:
    def begin(*reverts: str) -> Shop:
        return Shop(RolloutService(sqlite_database), systems).begin(", ".join(reverts))

    return begin


@pytest.fixture
def github(systems: Answering) -> str:
    return f"github: {{repository: acme/assistant, pull_request: 881, url: {systems.url!r}}}"


@pytest.fixture
def webhook(systems: Answering) -> str:
    return f"webhook: {{url: {systems.url + '/revert'!r}}}"


@pytest.mark.shows("E56")
def test_the_flag_is_off_before_anybody_is_asked_for_a_revert(shop, systems, github):
    here = shop(github)
    assert here.now.kind == "code"
    here.say(c.RollBack(reason="the new flow loses orders"))
    assert (here.now.state, here.now.percent) == (RolloutState.ROLLED_BACK, 0)
    assert systems.calls == []
    assert here.told.startswith("Flag off now. The revert of acme/assistant#881 is being requested.")
    assert here.work() == 1
    assert here.told == (
        f"Flag off now. The revert PR {REVERT} still needs your pipeline. Once it is deployed: `/rollout reverted R-1`"
    )


@pytest.mark.shows("E56")
def test_until_it_is_reverted_the_alert_and_the_card_say_so(shop, github):
    here = shop(github)
    here.say(c.RollBack())
    here.work()
    event = here.now.rollback
    alert = rollback_alert.render(here.now, event, here.at, None, "UTC")
    assert "The code is not reverted yet." in alert.text
    assert "still needs your pipeline" in str(alert.blocks)
    assert "still needs your pipeline" in str(card.render(here.now, "UTC").blocks)
    here.say(c.ConfirmReverted(note="deployed as build-78"))
    assert here.told == "reverted, as U3 confirmed"
    reverted = rollback_alert.render(here.now, event, here.at, None, "UTC").text
    assert "Next: write its review, by Wed 25 Nov" in reverted
    assert "not reverted" not in reverted


def test_a_revert_that_is_there_already_is_found_and_none_is_opened(shop, systems, github):
    systems.reverts.append(REVERT)
    here = shop(github)
    here.say(c.RollBack())
    here.work()
    assert REVERT in here.told
    assert [method for method, *_ in systems.calls] == ["GET", "GET"]


def test_where_an_answer_was_lost_no_second_pull_request_is_opened(shop, systems, github):
    systems.lose_answer = True
    here = shop(github)
    here.say(c.RollBack())
    here.work()
    assert "is being requested" in here.told
    here.later(minutes=10).work()
    assert systems.reverts == [REVERT]
    assert REVERT in here.told


@pytest.mark.shows("E56")
def test_the_webhook_is_signed_as_standard_webhooks_has_it(shop, systems, webhook):
    here = shop(webhook)
    here.say(c.RollBack(reason="Dana said it is odd"))
    here.work()
    (method, path, headers, body), *_ = systems.calls
    assert (method, path) == ("POST", "/revert")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(datetime.now(UTC).timestamp() - int(headers["webhook-timestamp"])) < 300
    sent = json.loads(body)
    assert sent["type"] == "rollout.rolled_back"
    assert (sent["data"]["rollout"], sent["data"]["version"], sent["data"]["code"]) == ("R-1", "v42", "build-77")
    assert "Dana" not in body.decode(), "words of people stay here"
    assert "was asked to revert the code and has not confirmed it" in here.told
    assert "/revert" not in here.told, "the path of a webhook may be a secret"


def test_a_webhook_that_is_tried_again_keeps_its_id(shop, systems, webhook):
    systems.fails += [503]
    here = shop(webhook)
    here.say(c.RollBack())
    here.work()
    here.later(minutes=10).work()
    ids = [headers["webhook-id"] for _, _, headers, _ in systems.calls]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_one_rollback_asks_several_systems_each_with_its_seconds(shop, github, webhook):
    here = shop(github, webhook)
    here.say(c.RollBack())
    assert here.work() == 2
    assert sorted(here.now.reverts_requested) == [0, 1]
    assert all(one.seconds >= 0 for one in here.now.reverts_requested.values())


def test_one_that_fails_does_not_keep_the_other(shop, systems, github, webhook):
    here = shop(github, webhook)
    systems.merged = False
    here.say(c.RollBack())
    here.work()
    assert sorted(here.now.reverts_requested) == [1]
    assert "acme/assistant#881 could not be reverted: acme/assistant#881 is not merged" in here.told


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"github_token": ""}, "GITHUB_TOKEN is not set"),
        ({"github_token": "ghp_wrong"}, "GitHub rejects the token"),
        ({"github_url": "https://api.github.com"}, "but the token is for https://api.github.com"),
    ],
)
def test_what_a_person_has_to_mend_is_said(shop, systems, github, changed, said):
    here = shop(github)
    here.settings = replace(here.settings, **changed)
    here.say(c.RollBack())
    here.work()
    assert said in here.told
    assert systems.reverts == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"webhook_secret": ""}, "DEPLOY_WEBHOOK_SECRET is not set"),
        ({"webhook_secret": "whsec_no base64"}, "DEPLOY_WEBHOOK_SECRET is not whsec_"),
        ({"webhook_url": "https://deploy.example.com/hook"}, "but the secret is for another address"),
    ],
)
def test_the_secret_is_used_for_its_own_address_only(shop, systems, webhook, changed, said):
    here = shop(webhook)
    here.settings = replace(here.settings, **changed)
    here.say(c.RollBack())
    here.work()
    assert said in here.told
    assert systems.calls == []


def test_a_private_address_is_not_called_unless_it_is_allowed(shop, systems, webhook):
    here = shop(webhook)
    here.say(c.RollBack())
    here.work(allowed=())
    assert "could not be reverted" in here.told
    assert systems.calls == []


SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}
INTERNAL = {"errors": [{"message": "Something went wrong while executing your query. Please include `C0:1` when …"}]}


@pytest.mark.parametrize(
    "failures",
    [
        [(403, SECONDARY)],
        [429],
        [200, 200, (200, {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]})],
        [200, 200, (200, INTERNAL)],
    ],
)
def test_github_that_asks_to_wait_is_asked_again(shop, systems, github, failures):
    here = shop(github)
    found = {"node_id": "PR_881", "merged_at": "2026-11-20T09:00:00Z", "head": {"ref": "new-flow"}}
    bodies = iter([found, []])
    systems.fails += [(200, next(bodies)) if failure == 200 else failure for failure in failures]
    here.say(c.RollBack())
    here.work()
    assert "is being requested" in here.told
    here.later(minutes=10).work()
    assert REVERT in here.told


MERGED = {"node_id": "PR_881", "merged_at": "2026-11-20T09:00:00Z", "head": {"ref": "new-flow"}}


@pytest.mark.parametrize(
    "answers",
    [
        [{"status": "ok"}],
        [[]],
        ["log in first"],
        [{"node_id": "PR_881", "merged_at": "2026-11-20T09:00:00Z"}],
        [MERGED, {"status": "ok"}],
        [MERGED, [{"number": 912}]],
        [MERGED, [], []],
        [MERGED, [], {"errors": {"message": "no"}}],
        [MERGED, [], {"data": None}],
    ],
)
def test_what_does_not_answer_like_github_is_not_taken_for_it(shop, systems, github, answers):
    """As of a proxy in between: nothing follows from it, least of all that the pull request is not merged."""
    here = shop(github)
    systems.fails += [(200, answer) for _ in range(4) for answer in answers]
    here.say(c.RollBack())
    for _ in range(4):
        here.work()
        here.later(minutes=10)
    assert f"{systems.url} answers, but not like GitHub" in here.told
    assert "is not merged" not in here.told
    here.work()
    assert REVERT in here.told


def test_trouble_that_lasts_is_told_once_and_over_when_it_works(shop, systems, webhook):
    systems.fails += [503] * 5
    here = shop(webhook)
    here.say(c.RollBack())
    for _ in range(5):
        here.later(minutes=10).work()
    trouble = [x.event for x in here.service.load_history("R-1") if isinstance(x.event, e.RevertNotRequested)]
    assert [(one.error, one.trying) for one in trouble] == [("the deploy system answers 503", True)]
    here.later(minutes=10).work()
    assert "was asked to revert" in here.told


def test_only_code_that_was_rolled_back_is_confirmed(shop, webhook):
    here = shop(webhook)
    with pytest.raises(Refused, match="was not rolled back"):
        here.say(c.ConfirmReverted())
    here.say(c.RollBack())
    here.say(c.ConfirmReverted())
    before = here.service.load_world().position
    here.say(c.ConfirmReverted())
    assert here.service.load_world().position == before
    assert here.later(hours=1).work() == 1
    assert here.now.reverts_requested == {}, "what is reverted already is not asked for"
