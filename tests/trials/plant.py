"""Rampart without its threads: the processes of one installation, on a clock that is turned by hand."""

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import case, func, select

from bot.delivery.consumer import LEASE
from bot.delivery.messages import deliver_due
from bot.demo import traffic
from bot.http.observations.writer import ObservationBatch, ObservationWriter
from bot.jobs import looking
from bot.process.flip_confirmation import FlipConfirmer
from core.files import build_plan
from core.files.kinds.rollout_file import RolloutFile
from core.files.read_file import parse_file
from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.plans.plan import Plan
from core.rollout.serving import exposure
from core.rollout.state.model import RolloutState
from core.rollout.state.world import World
from core.service import apply_file
from core.service.service import CommandOutcome, CommandRequest, RolloutService
from core.store.coordination import processes
from core.store.database.connections import Database
from core.store.models import is_unfinished
from core.store.models import outbox as rows
from tests.served import evaluate
from tests.trials.broken_driver import Trouble, troubled
from tests.trials.slack_in_process import Slack

SURFACE = "support-assistant"
SURFACE_FILE = """\
version: 1
kind: surface
surface: support-assistant
title: Support assistant
owner: "@dana"
live:
  version: v42
  prompt: prompts/system.md@sha256:11aa90c4
daily_requests: 2880000
notify:
  - {channel: "#ai-rollouts", as: engineering}
"""
ROLLOUT_FILE = """\
version: 1
rollout: change-NUMBER
surface: support-assistant
owner: "@dana"
risk: standard
change:
  from: support-assistant@FROM
  to: {prompt: "prompts/system.md@sha256:0000000NUMBER"}
  why: Shorter answers.
behaviour_changes:
  - {audience: [support], text: Answers are shorter.}
stages:
  - canary: {percent: 20, min_hold: 2m, max_hold: 30m, min_samples: 20}
  - ramp: {steps: [50%, 100%], hold: 1m}
  - bake: {hold: 2m}
rollback_when:
  - {metric: refusal_rate, rises_by: 1pp}
  - {metric: cost_per_request, rises_by: 15%}
hold_when:
  - {metric: retry_rate, rises_by: 2pp}
notify:
  - {channel: "#ai-rollouts", as: engineering}
  - {channel: "#support", as: support, before: 1m}
"""
MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TICK = timedelta(seconds=10)
DANA = Actor(id="slack:T1/U2", handle="@dana")
LEE = Actor(id="slack:T1/U3", handle="@lee")
MIRA = Actor(id="slack:T1/U4", handle="@mira")


def plan_of(world: World, number: int, *, careful: bool = False) -> Plan:
    """The `number`-th change, built on what is live; if `careful`, somebody approves every larger step.

    Unlike `apply_text` it looks for nothing unwise, which is slow.
    """
    surface = world.surfaces[SURFACE]
    text = ROLLOUT_FILE.replace("hold: 1m}", "hold: 1m, advance: approve}") if careful else ROLLOUT_FILE
    file = parse_file(text.replace("NUMBER", str(number)).replace("FROM", surface.live), "rollout.yaml")
    assert isinstance(file, RolloutFile)
    known = world.find_named(file.rollout)  # asked again, it is the same plan
    name = known.plan.to_version if known is not None and known.state is not RolloutState.ABANDONED else None
    return build_plan.build(
        file, surface, world.policy, resolve_handle=lambda handle: {"@dana": "U2"}.get(handle, handle), to_version=name
    )


@dataclass(slots=True)
class Clock:
    """The rollouts' clock, and every process's idea of real time."""

    at: datetime = MONDAY

    def now(self) -> datetime:
        return self.at

    def turn(self, **span: float) -> None:
        self.at += timedelta(**span)


@dataclass(slots=True)
class Process:
    """One process: its memory, and its own connections to the database."""

    name: str
    url: str
    clock: Clock
    slack: Slack
    database: Database = field(init=False)
    trouble: Trouble = field(init=False)
    service: RolloutService = field(init=False)
    intake: ObservationWriter = field(init=False)
    confirming: FlipConfirmer = field(init=False)
    batches: int = 0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.database, self.trouble = troubled(self.url)
        self.service = RolloutService(self.database, real_time=self.clock.now)
        self.confirming = FlipConfirmer(self.service, elapsed=lambda: (self.clock.at - MONDAY).total_seconds())
        self.intake = ObservationWriter(
            self.database, lambda: exposure.build_snapshot(self.service.cached_world()), self.clock.now
        )

    def stop(self) -> None:
        self.intake.close()
        self.database.close()

    def restart(self) -> None:
        """Everything that was in memory is gone."""
        self.stop()
        self.start()

    @property
    def world(self) -> World:
        return self.service.load_world()

    def declare(self) -> None:
        apply_file.apply_text(
            self.service, SURFACE_FILE, "surface.yaml", by=DANA, at=self.clock.at, command_id="surface"
        )

    def plan(self, number: int, command_id: str, *, careful: bool = False) -> CommandOutcome:
        plan = plan_of(self.world, number, careful=careful)
        return self.say(c.PlanRollout(plan=plan), command_id, by=DANA, rollout="")

    def say(self, command: c.Command, command_id: str, *, by: Actor = LEE, rollout: str = "R-1") -> CommandOutcome:
        return self.service.handle(
            CommandRequest(command=command, command_id=command_id, by=by, at=self.clock.at, rollout=rollout)
        )

    def follow(self) -> None:
        """What every process does once a second: learn what others have written."""
        self.service.load_world()

    def tick(self) -> None:
        """What the clock's jobs do, once."""
        position = self.world.position
        processes.report_alive(self.database, self.name, "web", position, self.clock.at)
        looking.tick(self.service, self.clock.at, TICK)
        self.confirming.confirm_pending(self.clock.at)

    def deliver(self) -> int:
        return deliver_due(
            self.service,
            self.slack.client,
            self.clock.now,
            random_fraction=lambda: 0.5,
            channel_pause=timedelta(0),  # the clock is turned by hand, and Slack takes whatever comes
        )

    def serve(self, count: int, scenario: str, seed: int, late: timedelta = timedelta(0)) -> dict[str, Any]:
        """`count` requests are answered and reported under an Idempotency-Key, `late` by so much."""
        snapshot = exposure.build_snapshot(self.service.cached_world())
        live = snapshot.surfaces[SURFACE].live.version.name

        def answer(visitor: traffic.Visitor) -> tuple[str, str]:
            served = evaluate(snapshot, SURFACE, visitor.unit, visitor.context)
            return served.variant, served.version.name

        seen = traffic.simulate_requests(random.Random(seed), scenario, self.clock.at - late, count, answer, live)
        body = json.dumps({"observations": [{"surface": SURFACE, **one} for one in seen]}).encode()
        batch = ObservationBatch(body=body, content_type="application/json", token="", key=f"{self.name}:{seed}")
        answered: dict[str, Any] = json.loads(self.intake.submit(batch).result())
        return answered

    def drain(self) -> None:
        """Let time pass until nothing is left to be sent."""
        for _ in range(2_000):
            self.deliver()
            with self.database.reading() as connection:
                moment = case((rows.c.state == "leased", rows.c.lease_until), else_=rows.c.due_at)
                due = connection.execute(select(func.min(moment)).where(is_unfinished(rows))).scalar_one()
            if due is None or due > self.clock.at + timedelta(days=1):  # a reminder of a review, days from now
                return
            # What is due and not sent waits for a row before it, whose lease has to run out.
            self.clock.at = due if due > self.clock.at else self.clock.at + LEASE
        raise AssertionError("the outbox does not empty")
