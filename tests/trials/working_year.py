"""A company at work: many AI features, every template, people who come late, freezes, clock changes, and harm."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from bot.http.observations import read_batch
from bot.jobs import workspace_messages
from bot.process.flip_confirmation import FlipConfirmer
from core.evals.read_run import read_with_current
from core.files.command_from_file import FileLookups
from core.files.syntax.problems import UnreadableFile
from core.files.templates import TEMPLATES
from core.flags.evaluation import choose_answer
from core.flags.snapshot import FlagAnswer, Variant
from core.rollout import commands as c
from core.rollout.context import ENGINE, Actor
from core.rollout.decisions.eval_command import build_eval_command
from core.rollout.models.retirements import ModelRetirement, find_due_warnings
from core.rollout.models.way_back import WITHOUT_WAY_BACK
from core.rollout.plans.plan import DEFAULT_EVAL_TERMS
from core.rollout.refusal import Refused
from core.rollout.serving import exposure
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.surface import RetirementTold
from core.service import apply_file, rollout_look
from core.service.outbox_tasks import MESSAGES, MessageTask
from core.service.service import CommandRequest, RolloutService
from core.store.coordination import outbox, processes
from core.store.observations import observation_sums

ZONE = "Europe/Berlin"
STEP = timedelta(hours=1)
REAL_TIME = datetime(2027, 1, 1, tzinfo=UTC)  # what the machine's own clock says all along: durations of flips use it
POLICY = f"""\
version: 1
kind: policy
timezone: {ZONE}
channels: {{engineering: "#ai", leadership: "#leads"}}
freeze:
  - {{name: weekend, from: "Fri 16:00", to: "Mon 08:00"}}
quiet_hours: {{from: "20:00", to: "08:00", applies_to: [advance, summary], never_applies_to: [rollback, alert]}}
"""
LIMITS = [
    {"metric": "eval_pass_rate", "drops_by": "3pp"},
    {"metric": "refusal_rate", "rises_by": "2pp"},
    {"metric": "cost_per_request", "rises_by": "25%"},
    {"metric": "latency_p95", "exceeds": "6000ms"},
]
REQUESTS = 150  # an hour, of those who are compared
PARTS_OF_A_STAGE = 4  # where looks are sparse, a stage is looked at so often in its least time
WAITS = timedelta(hours=4)  # where looks are sparse: between two of a rollout that waits for somebody
PEOPLE = tuple(
    (f"user-{n}", {"targetingKey": f"user-{n}", "internal": n % 50 == 0, "opt_in": n % 10 == 1}) for n in range(4_000)
)
DANA = Actor(id="slack:T1/U2", handle="@dana")
LEADS = tuple(Actor(id=f"slack:T1/U{n}", handle=f"@lead{n}") for n in (3, 4))
SUPPORT = Actor(id="slack:T1/U5", handle="@sam")
HANDLES = {"@dana": "U2"}
FIRST_MODEL = "m0-2026-01-01"
FIRST_MODEL_LASTS = timedelta(days=15)  # from the beginning: many an AI feature calls it until then


@dataclass(slots=True)
class Tried:
    """One rollout of the year: its template, whether its new version does harm, and who is slow about it."""

    template: str
    is_harmful: bool
    patience: dict[str, datetime] = field(default_factory=dict)  # when somebody gets round to something


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What a company is like. With `sparse` looks a long stage is attended to every few hours, at most every twelve."""

    templates: Sequence[str] = tuple(TEMPLATES)
    busy: float = 0.15  # the chance, in an hour of work, that somebody begins to change an AI feature
    harms: float = 0.3  # the share of new versions that do harm
    odd: float = 0.002  # the chance, whenever a rollout is attended to, that a customer finds something odd
    slowness: float = 1.0  # of people
    sparse: bool = False
    most_at_once: int = 300  # requests between two looks


class WorkingYear:
    """The company. `work(until)` lets time pass by hours; everything comes from the seed."""

    def __init__(self, service: RolloutService, *, surfaces: int, begins: datetime, seed: int, habits: Habits) -> None:
        self.service, self.at, self._habits = service, begins, habits
        self._attended: dict[str, tuple[int, datetime]] = {}  # which stage of each rollout was attended to when
        self.chance = np.random.default_rng(seed)
        self.surfaces = [f"feature-{number}" for number in range(surfaces)]
        self.tried: dict[str, Tried] = {}
        self.digests: list[str] = []
        self.refusals: list[str] = []
        self.retires: dict[str, date] = {FIRST_MODEL: (begins + FIRST_MODEL_LASTS).date()}
        self._sent = 0
        self._compared: dict[str, tuple[int, list[tuple[str, FlagAnswer]]]] = {}  # who is, in the current stage
        self._snapshot: exposure.CachedSnapshot | None = None
        self._confirmer = FlipConfirmer(service, elapsed=lambda: 0.0)
        self._apply(POLICY)
        for name in self.surfaces:
            self._apply(_write_surface(name))

    def work(self, until: datetime) -> None:
        """Hours of work until a moment."""
        while self.at < until:
            self.at += STEP
            self._tell_retirements()
            self._plan_something()
            for rollout in self.service.load_world().open_rollouts:
                if (since := self._time_since_attended(rollout)) is not None:
                    self._attend(rollout.id, since)
            self._confirm()
            workspace_messages.queue_weekly_digest(self.service, self.at)
            self._deliver()

    def _plan_something(self) -> None:
        """On working days somebody has something to change now and then."""
        local = self.at.astimezone(ZoneInfo(ZONE))
        if local.weekday() > 4 or not 9 <= local.hour < 17:
            return
        busy = {one.plan.surface for one in self.service.load_world().open_rollouts}
        for name in self.surfaces:
            if name in busy or self.chance.random() > self._habits.busy:
                continue
            template = str(self.chance.choice(self._habits.templates))
            is_harmful = bool(self.chance.random() < self._habits.harms)
            try:
                applied = self._apply(self._write_rollout(name, template))
            except UnreadableFile:  # nobody could be rolled back, so it says that it would hold instead
                template = WITHOUT_WAY_BACK
                applied = self._apply(self._write_rollout(name, template))
            self.tried[applied] = Tried(template, is_harmful)

    def _tell_retirements(self) -> None:
        """What a provider says of its models, read every hour."""
        known = [ModelRetirement(model=model, on=on) for model, on in self.retires.items()]
        today = self.at.astimezone(ZoneInfo(ZONE)).date()
        for due in find_due_warnings(self.service.load_world(), known, today):
            one = due.retirement
            told = RetirementTold(model=one.model, on=one.on, replacement="", days=due.days)
            command = c.TellRetirement(surface=due.surface, told=told)
            key = f"retirement:{due.surface}:{one.model}:{one.on}:{due.days}:{due.told}"
            self.service.handle_as_engine(command, command_id=key, at=self.at)

    def _time_since_attended(self, rollout: Rollout) -> timedelta | None:
        """How long ago it was attended to, at most half a day; None if that is not long enough to do it again."""
        every = STEP
        if self._habits.sparse and rollout.is_under_way:
            every = WAITS
        if self._habits.sparse and rollout.state is RolloutState.RUNNING:
            every = min(max(rollout.current_stage.min_hold / PARTS_OF_A_STAGE, STEP), timedelta(hours=12))
        stage, at = self._attended.get(rollout.id, (rollout.stage_index, self.at - STEP))
        since = self.at - at if stage == rollout.stage_index else STEP
        if stage == rollout.stage_index and since < every:
            return None
        self._attended[rollout.id] = (rollout.stage_index, self.at)
        return min(since, timedelta(hours=12))

    def _attend(self, rollout_id: str, since: timedelta) -> None:
        """What people, users and the program do about one open rollout in the time `since` they last did."""
        rollout, tried = self._find(rollout_id), self.tried[rollout_id]
        if rollout.request is not None and self._gets_round(tried, f"approve {rollout.request.request}", hours=20):
            for lead in LEADS:
                self._say(c.Approve(), rollout_id, lead)
        if rollout.state is RolloutState.PLANNED:
            if self._gets_round(tried, "acknowledge", hours=10):
                for notice in rollout.plan.stakeholder_notices:
                    if notice.acknowledge:
                        self._say(c.AcknowledgeNotice(notice=notice.key), rollout_id, SUPPORT)
            self._say(c.Start(), rollout_id)
        if self._find(rollout_id).state is RolloutState.ON_HOLD:
            self._decide_hold(rollout_id, tried)
        self._pass_gate(rollout_id)
        self._serve(rollout_id, tried, min(int(REQUESTS * (since / STEP)), self._habits.most_at_once))
        rollout_look.evaluate_rollout(self.service, rollout_id, self.at, every=STEP)
        rollout = self._find(rollout_id)
        index = rollout.stage_index
        if (
            index in rollout.comparisons
            and index not in rollout.decisions
            and self._gets_round(tried, "decide", hours=30)
        ):
            self._say(c.Decide(keep=not tried.is_harmful, reason="it is as good on what matters"), rollout_id)
        if self.chance.random() < self._habits.odd:
            self._say(c.RollBack(reason="a customer found something odd"), rollout_id, SUPPORT)

    def _decide_hold(self, rollout_id: str, tried: Tried) -> None:
        """The owner looks into a hold within a day, takes a harmful version back, and lets a good one go on."""
        hold = self._find(rollout_id).hold
        if hold is None or not self._gets_round(tried, f"hold {hold.key}", hours=24):
            return
        if tried.is_harmful:
            self._say(c.RollBack(reason="what it is on hold for is true"), rollout_id)
        else:
            self._say(c.Resume(reason="looked into it: nothing is wrong"), rollout_id)

    def _pass_gate(self, rollout_id: str) -> None:
        """Results of the offline run that the current gate asks for."""
        rollout = self._find(rollout_id)
        if rollout.state is not RolloutState.RUNNING:
            return
        stage = rollout.current_stage
        if stage.kind in DEFAULT_EVAL_TERMS:
            suite = stage.terms.suite if stage.terms is not None else ""
            new, old = _write_results(cost=0.0105, latency_ms=1050.0), _write_results(cost=0.010, latency_ms=1000.0)
            self._say(build_eval_command(rollout, suite, read_with_current(new, old)), rollout_id)

    def _confirm(self) -> None:
        """The only process has read everything within two seconds, so each flip and each drill is confirmed."""
        position = self.service.load_world().position
        processes.report_alive(self.service.database, "web-1", "web", position, REAL_TIME + timedelta(seconds=2))
        self._confirmer.confirm_pending(self.at)

    def _serve(self, rollout_id: str, tried: Tried, requests: int) -> None:
        """So many requests of those who are compared, reported as an application does it."""
        rollout = self._find(rollout_id)
        if not rollout.percent:
            return
        world = self.service.load_world()
        self._snapshot = exposure.build_cached_snapshot(world, self._snapshot)
        snapshot = self._snapshot.snapshot
        flags = snapshot.surfaces[rollout.plan.surface]
        stage, compared = self._compared.get(rollout_id, (-1, []))
        if stage != rollout.stage_index:
            answers = [(unit, choose_answer(flags, unit, context)) for unit, context in PEOPLE]
            compared = [one for one in answers if one[1].variant is not Variant.STABLE]
            self._compared[rollout_id] = (rollout.stage_index, compared)
        items = []
        for index in self.chance.integers(0, len(compared), requests).tolist():
            unit, answer = compared[index]
            harm = tried.is_harmful and answer.version.name == rollout.plan.to_version
            draw = self.chance.random
            items.append(
                {
                    "surface": rollout.plan.surface,
                    "unit": unit,
                    "exposure": answer.exposure,
                    "metrics": {
                        "eval_pass_rate": bool(draw() < (0.75 if harm else 0.93)),
                        "refusal_rate": bool(draw() < (0.12 if harm else 0.01)),
                        "cost_per_request": 0.01 * float(self.chance.lognormal(0, 0.2)),
                        "latency_ms": 1000 * float(self.chance.lognormal(0, 0.3)),
                        "hard_error_rate": bool(draw() < 0.003),
                        "tool_error_rate": False,
                        "llm_calls_per_request": 1.0,
                    },
                }
            )
        checked = read_batch.check_items(items, snapshot, self.at)
        placed = [one.placed for one in checked.accepted if one.placed is not None]
        with self.service.database.writing_outside_log() as connection:
            observation_sums.add_observations(connection, placed)

    def _deliver(self) -> None:
        """What is due in the outbox is posted at once."""
        while (row := outbox.claim(self.service.database, self.at, kind=MESSAGES, lease=STEP)) is not None:
            if "announcement" in row.request:
                told = MessageTask.parse(row.request).announcement
                if (
                    told.rollout and told.key not in self._find(told.rollout).messages
                ):  # what is there already is edited
                    posted = c.RecordPosted(key=told.key, channel="C1", ts=f"{row.id}.0")
                    self._say(posted, told.rollout, ENGINE)
            else:
                self.digests.append(row.idempotency_key)
            with self.service.database.writing_outside_log() as connection:
                outbox.finish(connection, row, None)

    def _gets_round(self, tried: Tried, what: str, *, hours: float) -> bool:
        """Whether the time has come that somebody needs until they do this."""
        due = tried.patience.setdefault(
            what, self.at + timedelta(hours=float(self.chance.exponential(hours * self._habits.slowness)))
        )
        return self.at >= due

    def _find(self, rollout_id: str) -> Rollout:
        return self.service.load_world().get_rollout(rollout_id)

    def _say(self, command: c.Command, rollout: str, by: Actor = DANA) -> None:
        self._sent += 1
        request = CommandRequest(command=command, command_id=f"y{self._sent}", by=by, at=self.at, rollout=rollout)
        try:
            self.service.handle(request)
        except Refused as refused:
            self.refusals.append(f"{type(command).__name__}: {refused.message}")

    def _apply(self, text: str) -> str:
        self._sent += 1
        applied = apply_file.apply_text(
            self.service,
            text,
            "file.yaml",
            by=DANA,
            at=self.at,
            command_id=f"y{self._sent}",
            lookups=FileLookups(resolve_handle=lambda handle: HANDLES.get(handle, handle)),
        )
        return applied.id

    def _write_rollout(self, surface: str, template: str) -> str:
        live = self.service.load_world().surfaces[surface].live
        number = len(self.tried) + 1
        return json.dumps(
            {
                "version": 1,
                "rollout": f"change-{number}",
                "surface": surface,
                "owner": "@dana",
                "template": template,
                "change": {
                    "from": live,
                    "to": {"prompt": f"prompt {number}", "model": {"name": f"m{number}", "snapshot": "2026-11-30"}},
                    "why": "it answers sooner",
                },
                "behaviour_changes": [{"audience": ["support"], "text": "Answers start with the fix."}],
                "assignment": {"control": "matched"},  # so that few requests are needed to compare
                "rollback_when": LIMITS,
            }
        )


def _write_surface(name: str) -> str:
    return json.dumps(
        {
            "version": 1,
            "kind": "surface",
            "surface": name,
            "title": name.title(),
            "owner": "@dana",
            "live": {"version": "v1", "prompt": "first", "model": {"name": "m0", "snapshot": "2026-01-01"}},
            "daily_requests": 24_000,
            "notify": [{"channel": "#ai", "as": "engineering"}, {"channel": "#support", "as": "support"}],
        }
    )


def _write_results(**amounts: float) -> bytes:
    rows = [{"case": f"c{n}", "category": "refund", "pass": True, **amounts} for n in range(200)]
    return "\n".join(json.dumps(row) for row in rows).encode()
