"""A whole rollout in virtual time: real log, real intake, real judgement; only the clock is turned by hand."""

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.demo import traffic
from bot.http.observations.writer import ObservationBatch, ObservationWriter
from bot.jobs import looking
from core.files.command_from_file import FileLookups
from core.rollout import commands as c
from core.rollout.context import ENGINE, Actor
from core.rollout.notifications.announcement import notice_key
from core.rollout.serving import exposure
from core.rollout.state.model import TERMINAL_STATES, Rollout
from core.service import apply_file
from core.service.service import CommandRequest, RolloutService
from tests.served import evaluate

EXAMPLES = Path(__file__).parents[1] / "examples"
SURFACE = "support-assistant"
TICK = timedelta(seconds=10)
DANA = Actor(id="slack:T1/U2", handle="@dana")
LEE = Actor(id="slack:T1/U3", handle="@lee")


@dataclass(slots=True)
class Rehearsal:
    """`requests_a_minute` of one scenario against one rollout, a tick at a time."""

    service: RolloutService
    scenario: str
    seed: int
    requests_a_minute: int = 2000
    tick: timedelta = TICK
    at: datetime = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    intake: ObservationWriter = field(init=False)
    chance: random.Random = field(init=False)
    requests: int = 0
    served: int = 0  # ticks
    said: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.intake = ObservationWriter(
            self.service.database, lambda: exposure.build_snapshot(self.service.cached_world()), lambda: self.at
        )

    def begin(self, rollout_file: str) -> "Rehearsal":
        """Apply, tell, approve and start."""
        for name, text in (("surface", (EXAMPLES / "surface.yaml").read_text()), ("rollout", rollout_file)):
            apply_file.apply_text(
                self.service,
                text,
                name,
                by=DANA,
                at=self.at,
                command_id=name,
                lookups=FileLookups(resolve_handle=lambda handle: {"@dana": "U2"}.get(handle, handle)),
            )
        for notice in self.rollout.plan.stakeholder_notices:
            posted = c.RecordPosted(key=notice_key(self.rollout, notice.key), channel="C1", ts="1.0")
            self._say(posted, ENGINE)
        self._say(c.Approve(), LEE)
        self.at += timedelta(minutes=1)
        self._say(c.Start(), DANA)
        return self

    @property
    def rollout(self) -> Rollout:
        return self.service.load_world().rollouts["R-1"]

    def play(self, minutes: float) -> "Rehearsal":
        """Let traffic flow and time pass, until the rollout ends."""
        until = self.at + timedelta(minutes=minutes)
        while self.at < until and self.rollout.state not in TERMINAL_STATES:
            due = round(self.requests_a_minute * self.tick.total_seconds() / 60 * (self.served + 1))
            self._serve(due - self.requests)
            self.at += self.tick
            looking.tick(self.service, self.at, self.tick)
        return self

    def observe(self, seen: list[dict[str, object]]) -> list[dict[str, object]]:
        """What the application reports of a tick's requests; a test may add to it."""
        return seen

    def _serve(self, count: int) -> None:
        snapshot = exposure.build_snapshot(self.service.cached_world())

        def serve(visitor: traffic.Visitor) -> tuple[str, str]:
            served = evaluate(snapshot, SURFACE, visitor.unit, visitor.context)
            return served.variant, served.version.name

        seen = self.observe(traffic.simulate_requests(self.chance, self.scenario, self.at, count, serve, "v42"))
        self.served += 1
        self.requests += count
        body = json.dumps({"observations": [{"surface": SURFACE, **one} for one in seen]}).encode()
        batch = ObservationBatch(body=body, content_type="application/json", token="", key=str(self.served))
        answer = json.loads(self.intake.submit(batch).result())
        assert answer == {"accepted": count, "rejected": []}

    def _say(self, command: c.Command, by: Actor) -> None:
        self.said += 1
        command_id = f"say-{self.said}"
        self.service.handle(CommandRequest(command=command, command_id=command_id, by=by, at=self.at, rollout="R-1"))
