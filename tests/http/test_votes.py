"""Testers vote over HTTP with a token of their own, and on the command line under their own name."""

from typing import Any

import pytest

from core.rollout import commands as c
from core.rollout.state.events import VoteCast
from core.rollout.votes.tally import count_votes
from tests.journey.processes import run

MIA = "U0MIA000001"
TOKENS = (
    (f"operator@{MIA}", "of-mia"),
    ("operator@U0SAM000001", "of-sam"),
    ("operator", "of-nobody"),
    ("ingest", "of-an-application"),
)


def begin(running: Any, rollout_file: str, testers: str) -> Any:
    running.apply(f"{rollout_file}testers:\n{testers}")
    running.do(c.Start())
    running.wait(minutes=2)
    running.do(c.Advance(reason="the cohort is happy"))
    running.wait(minutes=1)
    return running


@pytest.fixture
def trial(running: Any, rollout_file: str) -> Any:
    return begin(running, rollout_file, f"  - {{person: {MIA}, unit: user-7}}\n")


def say(client: Any, token: str, **body: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    return client.post("/api/v1/rollouts/R-1/commands", json={"command": "vote", **body}, headers=headers)


def votes(running: Any) -> list[VoteCast]:
    return [x.event for x in running.service.load_history("R-1") if isinstance(x.event, VoteCast)]


def test_a_token_of_a_tester_votes_and_the_arm_is_what_applications_reported(serve: Any, trial: Any) -> None:
    client = serve(trial, TOKENS, "of-an-application")
    reported = {
        "surface": "support-assistant",
        "unit": "user-7",
        "variant": "canary",
        "metrics": {"refusal_rate": False},
    }
    assert client.post("/api/v1/observations", json={"observations": [reported]}).json()["accepted"] == 1
    answer = say(client, "of-mia", choice="worse", reason="too short", stage=1)
    assert answer.status_code == 200, answer.text
    assert [(vote.voter, vote.choice, vote.text, vote.arm, vote.stage) for vote in votes(trial)] == [
        (MIA, "worse", "too short", "canary", 1)
    ]
    evidence = client.get("/api/v1/rollouts/R-1/evidence", headers={"Authorization": "Bearer of-nobody"}).json()
    assert [(one["stage"], one["canary"]["worse"]) for one in evidence["testers"]] == [("canary", 1)]
    assert say(client, "of-mia", choice="withdraw").status_code == 200
    assert count_votes(trial.service.load_world().rollouts["R-1"], 1).total == 0


def test_the_arm_cannot_be_sent(serve: Any, trial: Any) -> None:
    client = serve(trial, TOKENS)
    assert say(client, "of-mia", choice="worse", arm="canary").status_code == 422


@pytest.mark.parametrize("token", ["of-sam", "of-nobody"])
def test_nobody_else_votes(serve: Any, trial: Any, token: str) -> None:
    client = serve(trial, TOKENS)
    refused = say(client, token, choice="worse")
    assert refused.status_code == 403
    assert "Only the testers of R-1 can vote" in refused.text
    assert votes(trial) == []


def test_an_answer_that_is_none_is_named_and_so_is_an_earlier_stage(serve: Any, trial: Any) -> None:
    client = serve(trial, TOKENS)
    assert "good, worse, cant-tell or withdraw" in say(client, "of-mia", choice="lovely").text
    early = say(client, "of-mia", choice="good", stage=0)
    assert early.status_code == 409
    assert "an earlier stage" in early.text


def test_the_command_line_votes_for_who_is_logged_in(running: Any, rollout_file: str, sqlite_url: str) -> None:
    begin(running, rollout_file, '  - {person: "@kim"}\n')
    said = run("vote", "R-1", "worse", "it", "never", "says", "sorry", DATABASE_URL=sqlite_url, LOGNAME="kim")
    assert "Your vote on R-1: worse." in said.stdout, said.stderr
    assert [(vote.voter, vote.handle, vote.choice, vote.text, vote.arm) for vote in votes(running)] == [
        ("@kim", "@kim", "worse", "it never says sorry", "")
    ]
    other = run("vote", "R-1", "worse", DATABASE_URL=sqlite_url, LOGNAME="ben")
    assert other.returncode == 1
    assert "Only the testers of R-1 can vote" in other.stderr
