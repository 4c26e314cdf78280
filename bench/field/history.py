"""One history of the field trial: a rollout from plan to end, through the real log, intake, judgement and decider."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.random import Generator

from bench.field import plans
from bench.field.harms import HARMS
from bench.field.people import gather
from bench.field.requests import Application, Requests
from bot.http.observations import read_batch, writer
from bot.http.observations.read_batch import CheckedBatch
from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.plans.plan import Stage
from core.rollout.refusal import Refused
from core.rollout.serving import exposure
from core.rollout.state import holds
from core.rollout.state.model import TERMINAL_STATES, Rollout, RolloutState
from core.service import apply_file, rollout_look
from core.service.service import CommandRequest, RolloutService
from core.store.database.connections import Database, connect
from core.store.observations import observation_sums
from core.store.observations.segment_names import SegmentVocabulary
from core.store.observations.unit_caps import UnitCaps
from core.store.schema import migrations
from core.store.units import complaints

BEGINS = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
TICK = timedelta(seconds=10)
PATIENCE = 4
"""So many of a stage's longest times go by until a history that does not move on is given up as stalled."""
LONGEST = 3
"""A history that has taken so many times the requests that are meant for one waits for something: it has stalled."""
LOOKS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0)
"""When a stage is looked at, as parts of its hold; after its hold, every fifth of it."""
OWNER, LEAD = Actor(id="slack:T1/U2", handle="@dana"), Actor(id="slack:T1/U3", handle="@lee")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a history ended. `ended` is a state, or `stopped` where a harmed rollout was held or asked about: people
    would look at it then. `reached` is the largest share of everybody on the new version, 0 to 100; `exposed` are
    people."""

    scenario: str
    number: int
    plan: str
    risk: str
    ended: str
    by: str
    held: tuple[str, ...]
    reached: float
    after: timedelta
    exposed: int
    requests: int


def play(scenario: str, number: int, seed: int) -> Outcome:
    """The history `number` of a scenario ("" is no harm); the same three give the same history."""
    chance = np.random.default_rng([seed, [*HARMS].index(scenario) + 1 if scenario else 0, number])
    with (
        tempfile.TemporaryDirectory(dir=_memory()) as folder,
        connect(f"sqlite:///{folder}/rollout.db") as database,
    ):
        migrations.migrate(database)
        return _History(database, scenario, number, chance).play()


def _memory() -> str | None:
    """Where files are held in memory, if there is such a place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


class _History:
    def __init__(self, database: Database, scenario: str, number: int, chance: Generator) -> None:
        self.service, self.database, self.chance = RolloutService(database), database, chance
        self.scenario, self.number = scenario, number
        self.at, self.said = BEGINS, 0
        self.held: list[str] = []
        self.reached = 0.0
        self.vocabulary, self.allowances = SegmentVocabulary(), UnitCaps()
        apply_file.apply_text(
            self.service, plans.SURFACE_FILE, "surface.json", by=OWNER, at=self.at, command_id="surface"
        )
        world = self.service.load_world()
        self.tried = plans.drawn(number, world.surfaces[plans.SURFACE], world, chance)
        length = sum((one.min_hold for one in self.tried.plan.stages), timedelta(0))
        count = int(np.clip(self.tried.requests_a_day * (length / timedelta(days=1)) / 12, 300, 6000))
        self.requests = Requests(
            people=gather(count, chance, opted_in_quality=float(chance.choice([0.0, 0.05, 0.09]))),
            application=_application(chance),
            harm=HARMS[scenario] if scenario else None,
            chance=chance,
            begins=self.at,
            length=length,
            a_day=self.tried.requests_a_day,
        )

    @property
    def rollout(self) -> Rollout:
        return self.service.cached_world().rollouts["R-1"]  # nobody else writes

    def play(self) -> Outcome:
        self._say(c.PlanRollout(plan=self.tried.plan), OWNER, to=None)
        if self.tried.plan.approvals.required:
            for lead in range(self.tried.plan.approvals.required):
                self._say(c.Approve(), Actor(id=f"slack:T1/L{lead}", handle=f"@lead{lead}"))
        self._say(c.Start(), OWNER)
        while self.rollout.state not in TERMINAL_STATES:
            index = self.rollout.stage_index
            if self._live_through(index):
                return self._outcome("stopped", self.held[-1])
            if self.requests.served >= LONGEST * plans.MOST_REQUESTS:
                return self._outcome("stalled", self.rollout.waiting_for)
            if self.rollout.stage_index == index and self.rollout.state not in TERMINAL_STATES:
                return self._outcome("stalled", self.rollout.waiting_for)
        ended = self.rollout
        by = ended.rollback.findings[0].metric if ended.rollback and ended.rollback.findings else ""
        return self._outcome(str(ended.state), by)

    def _live_through(self, index: int) -> bool:
        """Time passes until the stage is left; True where a harmed rollout was stopped."""
        stage = self.tried.plan.stages[index]
        for until in _moments(stage, self.at):
            rollout = self.rollout
            flags = exposure.build_snapshot(self.service.cached_world()).surfaces[plans.SURFACE]
            if stage.where is None:
                self.reached = max(self.reached, rollout.percent)
            self.requests.serve(flags, self.at, until, 0.0 if stage.where is not None else rollout.percent)
            self.at = until
            self._take_in()
            rollout_look.evaluate_rollout(self.service, "R-1", self.at, every=TICK)
            if self._was_stopped():
                return True
            if self.rollout.state in TERMINAL_STATES or self.rollout.stage_index != index:
                return False
            if self.requests.served >= LONGEST * plans.MOST_REQUESTS:
                return False
        return False

    def _take_in(self) -> None:
        snapshot = exposure.build_snapshot(self.service.cached_world())
        each = [read_batch.check_items([report], snapshot, at) for at, report in self.requests.arrived(self.at)]
        good = [one for found in each for one in found.accepted]
        flawed = [one for found in each for one in found.flaw_events]
        with self.database.writing_outside_log() as connection:
            fresh, _ = writer.drop_duplicates(connection, CheckedBatch(accepted=good, rejected=()), self.at)
            if placed := [*fresh.placed, *flawed]:
                counted = complaints.deduplicate_hourly(connection, placed, self.at)
                observation_sums.add_observations(connection, counted, self.vocabulary, self.allowances)

    def _was_stopped(self) -> bool:
        """What people do about holds: a harmed rollout stays where it is; a harmless one goes on."""
        rollout = self.rollout
        if rollout.state is RolloutState.WAITING:
            for lead in range(3):
                self._say(c.Approve(), Actor(id=f"slack:T1/L{lead}", handle=f"@lead{lead}"))
            return False
        if rollout.state is not RolloutState.ON_HOLD or rollout.hold is None:
            return False
        key = rollout.hold.key
        if not self.held or self.held[-1] != key:
            self.held.append(key)
        if holds.clears_itself(key) and key.startswith((holds.NO_DATA, "source")):
            return False
        if self.scenario:
            return True
        if key.startswith(holds.DECISION):
            self._say(c.Decide(keep=True, reason="nothing is wrong"), OWNER)
            return False
        self._say(c.Resume(reason="nothing is wrong"), OWNER)
        if key.startswith("undecided"):
            self._say(c.Advance(reason="nothing is wrong"), OWNER)
        return False

    def _say(self, command: c.Command, by: Actor, to: str | None = "R-1") -> None:
        self.said += 1
        request = CommandRequest(command=command, command_id=f"say-{self.said}", by=by, at=self.at, rollout=to or "")
        try:
            self.service.handle(request)
        except Refused:
            if isinstance(command, c.PlanRollout | c.Start):
                raise

    def _outcome(self, ended: str, by: str) -> Outcome:
        return Outcome(
            scenario=self.scenario,
            number=self.number,
            plan=self.tried.name,
            risk=str(self.tried.plan.risk),
            ended=ended,
            by=by,
            held=tuple(self.held),
            reached=self.reached,
            after=self.at - BEGINS,
            exposed=len(self.requests.exposed),
            requests=self.requests.served,
        )


def _moments(stage: Stage, since: datetime) -> Iterator[datetime]:
    hold = max(stage.min_hold, 3 * TICK)
    yield since + min(TICK, hold / 10)
    for part in LOOKS:
        yield since + hold * part + TICK
    for more in range(1, 61):
        yield since + hold + PATIENCE * stage.longest_hold * (more / 60) ** 2 + TICK


def _application(chance: Generator) -> Application:
    incidents = tuple(
        (begin, begin + chance.uniform(0.001, 0.01)) for begin in chance.uniform(0, 1, chance.poisson(1.0)).tolist()
    )
    return Application(
        echo=chance.choice(["exposure", "variant", "variant and time"]),
        model_time=float(chance.choice([0.5, 2.0, 8.0, 30.0])),
        batch=float(chance.choice([0.0, 5.0, 60.0])),
        lost=float(chance.choice([0.0, 0.05])),
        repeated=float(chance.choice([0.0, 0.01, 0.05])),
        unpriced=float(chance.choice([0.0, 0.1])),
        drift=float(chance.choice([0.0, -0.03, 0.03])),
        deploy_at=float(chance.random()),
        incidents=incidents,
    )
