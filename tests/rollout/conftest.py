"""Given past events, when a command, then new events: the words the specification of a rollout is written in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.model.judgement import Judgement
from core.judging.model.state import JudgingState as EngineState
from core.judging.model.verdict import Continue, Finding, Measure, MeasureLabel, RollBack, Verdict
from core.rollout import commands as c
from core.rollout.consequences import surface_events_for
from core.rollout.context import ENGINE, Actor, Context
from core.rollout.decisions.decider import decide
from core.rollout.plans.plan import Approvals, NoticePlan, Plan, Risk, Stage, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY, Policy
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.evolve import evolve
from core.rollout.state.model import Rollout
from core.rollout.state.surface import Surface
from core.rollout.state.surface import evolve as evolve_surface

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ANA = Actor(id="slack:T1/U1", handle="@ana", groups=("@ai-eng",))
DANA = Actor(id="slack:T1/U2", handle="@dana", groups=("@ai-eng",))
LEE = Actor(id="slack:T1/U3", handle="@lee", groups=("@ai-leads",))
MIRA = Actor(id="slack:T1/U4", handle="@mira", groups=("@support-leads",))
GUEST = Actor(id="slack:T1/U9", handle="@gil", is_full_member=False)

LIMITS = (
    Limit(
        metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
    ),
    Limit(metric="retry_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.HOLD),
)
STAGES = (
    Stage(
        kind=StageKind.CANARY,
        name="canary",
        percent=5,
        min_hold=timedelta(hours=6),
        max_hold=timedelta(hours=24),
        min_samples=1500,
    ),
    Stage(kind=StageKind.RAMP, name="ramp 25%", percent=25, min_hold=timedelta(hours=12)),
    Stage(kind=StageKind.RAMP, name="ramp 100%", percent=100, min_hold=timedelta(hours=12)),
    Stage(kind=StageKind.BAKE, name="bake", percent=100, min_hold=timedelta(hours=48)),
)


def plan_of(**changes: Any) -> Plan:
    """An ordinary plan: one approval, support is told an hour before."""
    usual = Plan(
        name="support-tone",
        surface="support-assistant",
        owner="U2",
        owner_handle="@dana",
        risk=Risk.STANDARD,
        template="prompt-standard",
        from_version="v42",
        to_version="v43",
        change={"prompt": "new.md"},
        stages=STAGES,
        approvals=Approvals(required=1),
        limits=LIMITS,
        notices=(
            NoticePlan(channel="#ai-rollouts", audience="engineering"),
            NoticePlan(channel="#support", audience="support", before=timedelta(hours=1)),
        ),
    )
    return replace(usual, **changes)


def surface_of(**changes: Any) -> Surface:
    usual = Surface(
        name="support-assistant",
        title="Support assistant",
        owner="U2",
        live="v42",
        versions={"v42": {"prompt": "old.md"}},
    )
    return replace(usual, **changes)


def measure_of(metric: str, word: MeasureLabel = "Fine") -> Measure:
    """A row of a summary; only its metric and its word matter here."""
    return Measure(
        metric=metric,
        title=metric,
        limit_text=None,
        canary=None,
        control=None,
        difference=None,
        low=None,
        high=None,
        log_e=0.0,
        word=word,
        n_canary=0,
        n_control=0,
        unit="%",
        relative=False,
        weaker=False,
    )


def look_of(
    verdict: Verdict | None = None,
    *,
    requests: int = 2000,
    look: int = 1,
    measures: tuple[Measure, ...] = (),
    pending: tuple[Finding, ...] = (),
) -> c.LookResult:
    """What a look brings in; by default nothing speaks against the new version."""
    return c.LookResult(
        judgement=Judgement(
            verdict=verdict or Continue(),
            measures=measures,
            state=EngineState(),
            canary_requests=requests,
            control_requests=19 * requests,
            canary_units=requests // 2,
            control_units=requests,
            exposed_requests=requests,
            exposed_units=requests // 2,
            pending=pending,
        ),
        first_look=1,
        last_look=look,
        state_before="",
        looks="",
        state_after="",
        judged_seconds=0.01,
    )


def finding_of(metric: str = "refusal_rate", kind: str = "rises_by") -> Finding:
    return Finding(
        metric=metric,
        kind=kind,
        limit_text="rises by 1 pp",
        canary=0.064,
        control=0.019,
        difference=0.045,
        low=0.024,
        high=0.065,
        log_e=9.0,
        threshold=3.0,
    )


HARM = RollBack(findings=(finding_of(),))


@dataclass(slots=True)
class Story:
    """A rollout as it unfolds; `at` moves only when told."""

    at: datetime = MONDAY
    surface: Surface = field(default_factory=surface_of)
    policy: Policy = DEFAULT_POLICY
    rollout: Rollout | None = None
    last: list[e.RolloutEvent] = field(default_factory=list)

    def happen(self, *events: e.RolloutEvent) -> "Story":
        for event in events:
            self.rollout = evolve(self.rollout, event, self.at)
            for consequence in surface_events_for(event, self.rollout.id, self.at):
                self.surface = evolve_surface(self.surface, consequence)
        return self

    def when(self, command: c.RolloutCommand, by: Actor = ANA) -> "Story":
        others = tuple(r for r in self.surface.running if self.rollout is None or r != self.rollout.id)
        context = Context(
            at=self.at, by=by, policy=self.policy, surface=self.surface, new_id="R-1", other_rollouts_on_surface=others
        )
        self.last = decide(self.rollout, command, context)
        return self.happen(*self.last)

    def later(self, **span: float) -> "Story":
        self.at += timedelta(**span)
        return self

    def tick(self, look: c.LookResult | None = None) -> "Story":
        return self.when(c.Tick(look=look), by=ENGINE)

    def then(self, *kinds: type) -> "Story":
        assert [type(event) for event in self.last] == list(kinds)
        return self

    def refuses(self, command: c.RolloutCommand, saying: str, by: Actor = ANA) -> Refused:
        before = self.rollout
        with pytest.raises(Refused, match=saying) as caught:
            self.when(command, by=by)
        assert self.rollout is before
        return caught.value

    @property
    def now(self) -> Rollout:
        assert self.rollout is not None
        return self.rollout

    def notices_posted(self) -> "Story":
        for notice in self.now.plan.stakeholder_notices:
            key = f"notice:{self.now.fingerprint}:{notice.key}"
            self.happen(e.MessagePosted(key=key, channel="C1", ts=f"{len(self.now.messages)}.0"))
        return self


@pytest.fixture
def planned() -> Callable[..., Story]:
    """A rollout of which the file was applied and the notices have gone out."""

    def start(story: Story | None = None, **changes: Any) -> Story:
        story = story or Story()
        return story.when(c.PlanRollout(plan=plan_of(**changes)), by=DANA).notices_posted()

    return start


@pytest.fixture
def running(planned: Callable[..., Story]) -> Callable[..., Story]:
    """A rollout that was approved and has just entered its first stage."""

    def start(story: Story | None = None, **changes: Any) -> Story:
        story = planned(story, **changes)
        for approver in (LEE, MIRA)[: story.now.plan.approvals.required]:
            story.when(c.Approve(), by=approver)
        return story.later(hours=1).when(c.Start())

    return start


@pytest.fixture
def cast() -> dict[str, Actor]:
    return {"ana": ANA, "dana": DANA, "lee": LEE, "mira": MIRA, "guest": GUEST}


@pytest.fixture
def words() -> "Words":
    return Words()


class Words:
    """The builders, for tests: conftest modules cannot be imported."""

    plan = staticmethod(plan_of)
    surface = staticmethod(surface_of)
    look = staticmethod(look_of)
    measure = staticmethod(measure_of)
    finding = staticmethod(finding_of)
    harm = HARM
    stages: Sequence[Stage] = STAGES
    limits = LIMITS
    story = Story
    monday = MONDAY
