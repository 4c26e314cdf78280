"""A service on a real database, with one AI feature declared."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from core.files.command_from_file import FileLookups
from core.rollout import commands as c
from core.rollout.context import Actor
from core.service import apply_file
from core.service.service import CommandOutcome, CommandRequest, RolloutService
from core.store.database.connections import Database

SURFACE = """\
version: 1
kind: surface
surface: support-assistant
title: Support assistant
owner: "@dana"
live:
  version: v42
  prompt: prompts/system.md@sha256:11aa90c4
  model: {provider: acme-ai, name: large-3, snapshot: "2026-03-01"}
daily_requests: 2880000
notify:
  - {channel: "#ai-rollouts", as: engineering}
"""
ROLLOUT = """\
version: 1
rollout: support-tone
surface: support-assistant
owner: "@dana"
risk: standard
change:
  from: support-assistant@v42
  to: {prompt: prompts/system.md@sha256:9f2c51e0}
  why: Shorter answers.
behaviour_changes:
  - {audience: [support, marketing], text: Answers are about a third shorter and start with the fix.}
stages:
  - canary: {percent: 5, min_hold: 2m, max_hold: 30m, min_samples: 200}
  - ramp: {steps: [50%, 100%], hold: 1m}
  - bake: {hold: 2m}
rollback_when:
  - {metric: refusal_rate, rises_by: 1pp}
  - {metric: eval_pass_rate, drops_by: 2pp}
  - {metric: cost_per_request, rises_by: 15%}
  - {metric: latency_p95, exceeds: 4000ms}
notify:
  - {channel: "#ai-rollouts", as: engineering}
  - {channel: "#support", as: support, before: 1m}
"""
MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DANA = Actor(id="slack:T1/U2", handle="@dana")
LEE = Actor(id="slack:T1/U3", handle="@lee")


class Desk:
    """Somebody at work: applies files, gives commands, lets time pass."""

    def __init__(self, service: RolloutService) -> None:
        self.service = service
        self.at = MONDAY
        self._ids = count(1)

    def apply(self, text: str, **changes: object) -> apply_file.AppliedFile:
        return apply_file.apply_text(
            self.service,
            text,
            "file.yaml",
            by=DANA,
            at=self.at,
            command_id=f"apply-{next(self._ids)}",
            lookups=FileLookups(resolve_handle=lambda handle: {"@dana": "U2"}.get(handle, handle)),
        )

    def say(self, command: c.Command, *, by: Actor = LEE, command_id: str = "", rollout: str = "R-1") -> CommandOutcome:
        given = command_id or f"command-{next(self._ids)}"
        return self.service.handle(
            CommandRequest(command=command, command_id=given, by=by, at=self.at, rollout=rollout)
        )

    def later(self, **span: float) -> "Desk":
        self.at += timedelta(**span)
        return self

    def start(self) -> "Desk":
        """From a file to the canary, as delivery and people would do it."""
        self.apply(SURFACE)
        self.apply(ROLLOUT)
        fingerprint = self.service.load_world().rollouts["R-1"].fingerprint
        self.say(c.RecordPosted(key=f"notice:{fingerprint}:support:#support", channel="C2", ts="1.0"))
        self.say(c.Approve())
        self.later(minutes=1).say(c.Start())
        return self


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(RolloutService(database))


@pytest.fixture
def second(database: Database) -> Callable[[], RolloutService]:
    """Another process on the same database, as far as memory goes."""
    return lambda: RolloutService(database)


@pytest.fixture
def files() -> dict[str, str]:
    return {"surface": SURFACE, "rollout": ROLLOUT}
