"""Signed slash commands at 50 a second, and of twenty people at once, against a Bolt app with an empty handler."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from urllib.parse import urlencode

from bench.measuring import databases, load, processes, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort
from bot.sandbox.control import Sandbox
from bot.sandbox.workspace import people
from core.rollout import commands as c
from core.service.service import RolloutService
from core.store import models
from core.store.coordination import outbox
from core.store.database.connections import Database, connect

RATE = 50
GOAL = 1.5
MOST = 0.9  # but one; commands overlap: a pause that overtakes a resume finds that it is paused already
DONE_WITHIN = 30  # seconds
SENT_WITHIN = 30  # seconds
PEOPLE = 20
EACH_EVERY = 2  # seconds between two commands of one person
CROWD_GOAL = 1.2  # times the empty handler
ANSWERED_WITHIN = 1000  # milliseconds
CROWD_ROUNDS = 5  # times as long as a round of the others: a command each for some hundred
CROWD = (
    "status {}",
    "help",
    "list --all",
    "metrics {}",
    "segments {}",
    "explain {} refusal_rate",
    "history {}",
    "summary {}",
    "versions support-assistant",
    "whois user-17",
    "notice {}",
    "plan {}",
)
READING = ("status {}",)
WRITING = ('pause {} "we look at it"', 'resume {} "it is fine"')


def measure(effort: Effort) -> Iterator[Figure]:
    """Milliseconds from when a command was due to its acknowledgement; our answer comes with it, after the commit."""
    names = ("peer", "status", "pause and resume", "peer of the crowd", "crowd")
    found: dict[str, list[load.Answered]] = {name: [] for name in names}
    with ExitStack() as stack:
        folder = stack.enter_context(databases.folder())
        slack = stack.enter_context(Sandbox.start(rate_limits="off"))
        url = databases.sqlite(folder)
        database = stack.enter_context(connect(url))
        service = RolloutService(database)
        rollout = rollouts.begin(service).id
        environment = {
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_SIGNING_SECRET": slack.signing_secret,
            "SLACK_API_URL": slack.api_url,
        }
        ours = stack.enter_context(processes.rampart("serve", url, **environment))
        theirs = stack.enter_context(processes.peer("bolt_empty"))
        parties = (
            ("peer", theirs, READING),
            ("status", ours, READING),
            ("pause and resume", ours, WRITING),
            ("peer of the crowd", theirs, CROWD),
            ("crowd", ours, CROWD),
        )
        for number in range(effort.rounds + 1):
            for name, server, lines in parties:
                _drop_unsent(database)
                before = len(service.load_history(rollout))
                answered = load.run(_load(server, tuple(line.format(rollout) for line in lines), effort, slack.url))
                least = MOST * answered.count - 1 if lines is WRITING else 0
                did = _count_done(service, rollout, before, least)
                if did < least:
                    raise RuntimeError(f"only {did} of {answered.count} commands did something: {answered.sample}")
                if number:  # the first round warms up
                    found[name].append(answered)
            rollouts.say(service, c.RollBack(reason="this round is over"), rollout)
            rollout = rollouts.begin(service).id
    for which, goal in (("p50", None), ("p99", CROWD_GOAL)):
        yield Figure(
            name=f"{PEOPLE} people, {len(CROWD)} commands, acknowledged, {which}: Bolt, empty handler",
            ours=_milliseconds(found["crowd"], which),
            peer=_milliseconds(found["peer of the crowd"], which),
            unit="ms",
            goal=goal,
            better="less",
        )
    yield Figure(
        name="… answered, p99",
        ours=_milliseconds(found["crowd"], "p99"),
        unit="ms",
        goal=ANSWERED_WITHIN,
        better="less",
    )
    for name in ("status", "pause and resume"):
        for which, goal in (("p50", None), ("p99", GOAL)):
            yield Figure(
                name=f"/rollout {name}, acknowledged, {which} at {RATE}/s: Bolt, empty handler",
                ours=_milliseconds(found[name], which),
                peer=_milliseconds(found["peer"], which),
                unit="ms",
                goal=goal,
                better="less",
            )


def _drop_unsent(database: Database) -> None:
    """What the round before wrote would be told to Slack for minutes, at a message a second: that must not fall on the
    next round, and nobody waits for it. Only what is being sent is waited for."""
    with database.writing_outside_log() as connection:
        connection.execute(models.outbox.delete().where(models.outbox.c.state == "pending"))
    give_up = time.monotonic() + SENT_WITHIN
    while time.monotonic() < give_up:
        with database.reading() as connection:
            if outbox.measure_backlog(connection).leased == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"a message was still being sent to Slack after {SENT_WITHIN} s")


def _count_done(service: RolloutService, rollout: str, before: int, least: float) -> int:
    """Events since; those of commands that were acknowledged before their commit are waited for."""
    give_up = time.monotonic() + DONE_WITHIN
    while (did := len(service.load_history(rollout)) - before) < least and time.monotonic() < give_up:
        time.sleep(0.1)
    return did


def _load(server: processes.Running, lines: tuple[str, ...], effort: Effort, slack: str) -> load.Load:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    is_crowd = len(lines) == len(CROWD)
    return load.Load(
        url=server.url,
        asks=tuple(load.Ask(path="/slack/events", headers=headers, body=_form(line, slack)) for line in lines),
        seconds=CROWD_ROUNDS * effort.seconds if is_crowd else effort.seconds,
        connections=PEOPLE if is_crowd and effort.connections > 1 else effort.connections,
        rate=PEOPLE / EACH_EVERY if is_crowd else RATE,
        secret=people.SIGNING_SECRET,
    )


def _form(line: str, slack: str) -> str:
    fields = {
        "token": "bench",
        "team_id": people.TEAM_ID,
        "team_domain": people.TEAM_DOMAIN,
        "channel_id": people.CHANNELS[0].id,
        "channel_name": people.CHANNELS[0].name,
        "user_id": people.ANA.id,
        "user_name": people.ANA.handle,
        "command": "/rollout",
        "text": line,
        "api_app_id": people.APP_ID,
        "is_enterprise_install": "false",
        "response_url": f"{slack}/response/of-nobody",  # an answer is only posted to Slack, and none comes late enough
    }
    # Braces must survive the encoding: the generator replaces the mark with a new id every time.
    return f"{urlencode(fields)}&trigger_id={load.UNIQUE}"


def _milliseconds(answered: list[load.Answered], which: str) -> float:
    return 1000 * median(one.p50 if which == "p50" else one.p99 for one in answered)
