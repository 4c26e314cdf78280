"""Whatever is thrown at the doors is answered with what is wrong, and nothing of it is kept."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from bot.sandbox.workspace.people import SIGNING_SECRET
from core.rollout.state.model import RolloutState
from tests.journey.house import ROLLOUT, House

MUCH = b" " * 10_000_000
COMMANDS = "/api/v1/rollouts/R-1/commands"
BODIES = {
    "nothing": b"",
    "no JSON": b"{broken",
    "not UTF-8": b"\xff\xfe\x00",
    "too deep": b"[" * 100_000,
    "a number": b"7",
    "a list": b"[]",
    "NaN": b"NaN",
    "a lone surrogate": b'{"command": "pause", "reason": "\\ud800"}',
    "a NUL": b'{"command": "pause", "reason": "a\\u0000b"}',
    "an endless reason": json.dumps({"command": "pause", "reason": "x" * 5000}).encode(),
    "a wrong type": b'{"command": ["pause"]}',
    "an unknown field": b'{"command": "pause", "resaon": "?"}',
    "an unknown verb": b'{"command": "paus"}',
    "a percentage beyond all": b'{"command": "advance", "to_percent": 1e308}',
    "a time without a zone": b'{"command": "start", "then": "2026-11-24T12:00:00"}',
}
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(c)}: &{chr(c)} [{', '.join(['*' + chr(c - 1)] * 9)}]\n" for c in range(ord("b"), ord("k"))
)
FILES = {
    "nothing": "",
    "no mapping": "- a\n- b\n",
    "broken YAML": "version: 1\nrollout: [unclosed\n",
    "a NUL": "version: 1\nrollout: a\0b\n",
    "an alias bomb": LAUGHS,
    "code": "!!python/object/apply:os.system ['true']",
    "an unknown surface": ROLLOUT.replace("support-assistant", "nobody-knows"),
    "an unknown metric": ROLLOUT.replace("refusal_rate", "refusel_rate"),
    "a wrong unit": ROLLOUT.replace("1pp", "1ms"),
    "an impossible plan": ROLLOUT.replace("[50%, 100%]", "[50%, 10%]"),
    "a key twice": ROLLOUT + "risk: low\n",
}


@pytest.fixture
def house(database_url: str, open_house: Callable[..., House]) -> House:
    opened = open_house(database_url)
    opened.plan()
    opened.said("#marketing", "Answers start with the fix")
    opened.until(lambda: not opened.waiting_to_be_said(), "everything is said")
    return opened


def complaint(answer: httpx.Response) -> Any:
    """The error in its one shape."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
    body = answer.json()
    assert set(body) >= {"code", "message", "hint"}, body
    assert body["message"]
    return body


def test_http_refuses_clearly_and_keeps_nothing(house: House) -> None:
    before = house.program.service.load_world().position
    with httpx.Client(base_url=house.url, trust_env=False, timeout=60) as client:
        for what, body in BODIES.items():
            answer = client.post(COMMANDS, content=body, headers={"content-type": "application/json"})
            assert complaint(answer), what
        for what, text in FILES.items():
            answer = client.post("/api/v1/files", content=text.encode())
            assert complaint(answer), what
        for path in (COMMANDS, "/api/v1/files", "/api/v1/observations", "/slack/events"):
            assert client.post(path, content=MUCH).status_code == 413, path
        assert complaint(client.get("/api/v1/rollouts/R-99"))["code"] == "not_found"
        assert complaint(client.get("/nowhere"))["code"] == "not_found"
        assert complaint(client.put("/api/v1/rollouts/R-1"))["code"] == "method_not_allowed"
        assert client.get("/healthz").status_code == 200
    assert house.program.service.load_world().position == before
    assert house.rollout.state is RolloutState.PLANNED
    assert house.problems_of_the_log() == ()


def test_only_slack_itself_speaks_at_its_door(house: House) -> None:
    body = urlencode({"command": "/rollout", "text": "rollback R-1", "user_id": "U0ANA00001"}).encode()

    def knock(at: float, secret: str, sent: bytes = body) -> int:
        stamp = str(int(at))
        mark = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        headers = {
            "x-slack-request-timestamp": stamp,
            "x-slack-signature": f"v0={mark}",
            "content-type": "application/x-www-form-urlencoded",
        }
        answer = httpx.post(f"{house.url}/slack/events", content=sent, headers=headers, trust_env=False, timeout=20)
        return answer.status_code

    now = time.time()
    assert knock(now, "another-secret") == 401
    assert knock(now - 400, SIGNING_SECRET) == 401, "a recording of earlier"
    assert knock(now + 400, SIGNING_SECRET) == 401
    assert knock(now, SIGNING_SECRET, body + b"&x=1") == 401, "another body than the one that was signed"
    assert httpx.post(f"{house.url}/slack/events", content=body, trust_env=False).status_code == 401
    assert house.rollout.state is RolloutState.PLANNED


@pytest.mark.parametrize(
    ("line", "answered"),
    [
        ("advnace R-1", "Did you mean"),
        ("rollback R-99", "There is no R-99"),
        ("metrics R-1 refusel_rate", "refus"),
        ("start R-1 \0", "R-1"),
        ("pause R-1 " + "x" * 3000, "R-1"),
        ("🚀", "help"),
        ("start R-1 --when tomorrow", "when"),
    ],
)
def test_whatever_is_typed_is_answered(
    open_house: Callable[..., House], sqlite_url: str, line: str, answered: str
) -> None:
    house = open_house(sqlite_url)
    house.plan()
    reply = house.person("ana").type_command(f"/rollout {line}")
    assert reply.acked
    assert answered in reply.text + str(reply.blocks)
    assert house.rollout.state is RolloutState.PLANNED
    assert house.sandbox.violations == []


def test_an_approval_of_a_plan_that_has_changed_applies_nothing(house: House) -> None:
    asked = house.said("#ai-rollouts", "Approval needed")
    house.apply(ROLLOUT.replace("1pp", "2pp"))
    house.until(lambda: house.rollout.requests_made == 2, "it is asked anew")
    house.person("lee").click(asked, "Approve")
    house.whispered("lee", "changed since this request")
    assert not house.rollout.approvals
    house.until(lambda: house.said("#ai-rollouts", "Approval needed").ts != asked.ts, "the new request is posted")
    house.person("lee").click(house.said("#ai-rollouts", "Approval needed"), "Approve")
    house.whispered("lee", "Approved by @lee")
    assert len(house.rollout.approvals) == 1
