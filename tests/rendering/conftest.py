"""Rollouts to be rendered, built from the events that make them."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.rendering.blocks.blocks import Message
from bot.rendering.charts import plain_text
from bot.rendering.messages import card, event_lines, summary
from bot.rendering.messages.alerts import rollback_alert
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.model.verdict import Continue, Finding, Measure, Verdict
from core.judging.report.series import SeriesPoint
from core.rollout.notifications.announcement import notice_key
from core.rollout.plans.plan import Approvals, BehaviourChange, Expectation, NoticePlan, Plan, Risk, Stage, StageKind
from core.rollout.state import events as e
from core.rollout.state.evolve import evolve
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import Rollout, RolloutState

MONDAY = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
TUESDAY = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
ZONE = "Europe/Berlin"
FIRST_LINE_LIMIT = 140  # visible characters, as `headline` promises
HOUR = timedelta(hours=1)
STAGES = (
    Stage(kind=StageKind.EVAL, name="eval"),
    Stage(kind=StageKind.COHORT, name="internal", percent=50, where={"email_domain": "example.com"}, min_hold=2 * HOUR),
    Stage(kind=StageKind.CANARY, name="canary", percent=5, min_hold=6 * HOUR, max_hold=24 * HOUR, min_samples=1500),
    Stage(kind=StageKind.RAMP, name="ramp 25%", percent=25, min_hold=12 * HOUR),
    Stage(kind=StageKind.RAMP, name="ramp 100%", percent=100, min_hold=12 * HOUR),
    Stage(kind=StageKind.BAKE, name="bake", percent=100, min_hold=48 * HOUR),
)
PLAN = Plan(
    name="support-tone",
    surface="support-assistant",
    owner="U2DANA",
    owner_handle="@dana",
    risk=Risk.STANDARD,
    template="prompt-standard",
    from_version="v42",
    to_version="v43",
    change={"prompt": "new.md"},
    why="Shorter answers; users say replies bury the fix.",
    behaviour_changes=(
        BehaviourChange(
            audience=("support", "marketing"),
            text="Answers are about a third shorter and start with the fix.",
            example_before="Thanks for reaching out! There are several reasons why a sync...",
            example_after="Turn off 'Pause on battery' in Settings > Sync. Then press Sync now.",
        ),
        BehaviourChange(audience=("support",), text="The assistant no longer apologises before every step."),
        BehaviourChange(audience=("support",), text="Refunds still go to a person.", unchanged=True),
    ),
    expectations=(Expectation(metric="output_tokens", direction="down", low=-0.4, high=-0.2),),
    stages=STAGES,
    approvals=Approvals(required=1, groups=("@ai-leads",)),
    limits=(
        Limit(
            metric="refusal_rate",
            kind=LimitKind.RISES_BY,
            amount=0.01,
            scale=LimitScale.POINTS,
            role=LimitRole.ROLLBACK,
        ),
    ),
    notices=(
        NoticePlan(channel="#ai-rollouts", audience="engineering"),
        NoticePlan(channel="#support", audience="support", before=24 * HOUR, acknowledge=True),
        NoticePlan(channel="#marketing", audience="marketing", before=24 * HOUR),
        NoticePlan(channel="#integrations-team", audience="downstream", before=24 * HOUR),
    ),
    start=TUESDAY + HOUR,
)
BEFORE = {
    "prompt": "old.md",
    "model": {"provider": "acme-ai", "name": "large-3"},
    "tools": ["lookup_order", "search_help"],
}
FINDING = Finding(
    metric="refusal_rate",
    kind="rises_by",
    limit_text="rises by 1 pp",
    canary=0.064,
    control=0.019,
    difference=0.045,
    low=0.024,
    high=0.065,
    log_e=9.0,
    threshold=3.0,
    title="Declined to answer",
    unit="%",
)


def measure(metric: str, title: str, **changes: Any) -> Measure:
    usual = Measure(
        metric=metric,
        title=title,
        limit_text=None,
        canary=0.019,
        control=0.019,
        difference=0.001,
        low=-0.003,
        high=0.004,
        log_e=0.1,
        word="Fine",
        n_canary=8312,
        n_control=158_040,
        unit="%",
        relative=False,
        weaker=False,
    )
    return replace(usual, **changes)


MEASURES = (
    measure(
        "refusal_rate", "Declined to answer", limit_text="rises by 1 pp", role="rollback", amount=0.01, needed=5.08
    ),
    measure(
        "eval_pass_rate",
        "Answers that pass our checks",
        limit_text="drops by 2 pp",
        role="rollback",
        harm="less",
        amount=0.02,
        needed=5.08,
        n_canary=1980,
        n_control=37_600,
        canary=0.932,
        control=0.924,
        difference=0.008,
        low=-0.004,
        high=0.021,
        word="Better",
    ),
    measure(
        "cost_per_request",
        "Cost per request",
        limit_text="rises by 15 %",
        role="rollback",
        amount=0.15,
        error=0.0001,
        needed=5.08,
        canary=0.0121,
        control=0.0139,
        difference=-0.129,
        low=-0.144,
        high=-0.113,
        unit="US$",
        relative=True,
    ),
    measure(
        "latency_p95",
        "Slow responses (slowest 5 %)",
        limit_text="exceeds 4000 ms",
        role="rollback",
        amount=4000.0,
        absolute=True,
        needed=5.08,
        canary=2310.0,
        control=2620.0,
        difference=-0.118,
        low=-0.15,
        high=-0.08,
        unit="ms",
        relative=True,
    ),
    measure(
        "thumbs_up_rate",
        "Thumbs up",
        canary=None,
        control=None,
        difference=None,
        low=None,
        high=None,
        word="No data",
        n_canary=0,
        n_control=0,
    ),
)

SEGMENTS = (
    measure(
        "retry_rate",
        "People asking again",
        segment="language=en",
        limit_text="rises by 1 pp",
        role="hold",
        amount=0.01,
        needed=7.7,
        canary=0.075,
        control=0.081,
        difference=-0.006,
        low=-0.014,
        high=0.002,
        n_canary=6902,
        n_control=131_000,
    ),
    measure(
        "retry_rate",
        "People asking again",
        segment="language=de",
        limit_text="rises by 1 pp",
        role="hold",
        amount=0.01,
        log_e=4.6,
        needed=7.7,
        canary=0.098,
        control=0.079,
        difference=0.019,
        low=-0.004,
        high=0.042,
        word="Slightly worse, within limit",
        n_canary=1120,
        n_control=21_300,
    ),
    measure(
        "retry_rate",
        "People asking again",
        segment="language=sv",
        limit_text="rises by 1 pp",
        role="hold",
        amount=0.01,
        needed=7.7,
        canary=0.122,
        control=0.08,
        difference=0.042,
        low=None,
        high=None,
        word="Not enough data",
        n_canary=41,
        n_control=812,
    ),
)
POINTS = tuple(
    SeriesPoint(
        at=TUESDAY + timedelta(hours=2, minutes=10 * i),
        stage=2 if i < 30 else 3,
        difference=0.02 / (i + 1) - 0.001,
        low=-0.1 / (i + 2) if i > 2 else None,
        high=0.1 / (i + 2) if i > 2 else None,
    )
    for i in range(40)
)


@dataclass(slots=True)
class Story:
    """A rollout as it unfolds."""

    plan: Plan = PLAN
    after: dict[str, Any] = field(default_factory=lambda: {**BEFORE, "prompt": "new.md"})
    at: datetime = MONDAY
    rollout: Rollout | None = None
    entries: list[HistoryEntry] = field(default_factory=list)

    def happen(self, *events: e.RolloutEvent) -> "Story":
        for event in events:
            self.rollout = evolve(self.rollout, event, self.at)
            self.entries.append(
                HistoryEntry(position=len(self.entries) + 1, at=self.at, actor="system:engine", event=event)
            )
        return self

    def later(self, **span: float) -> "Story":
        self.at += timedelta(**span)
        return self

    @property
    def now(self) -> Rollout:
        assert self.rollout is not None
        return self.rollout

    def planned(self) -> "Story":
        event = e.Planned(
            rollout="R-118",
            plan=self.plan,
            fingerprint="7f3a19c000000000",
            from_content=BEFORE,
            to_content=self.after,
            by="slack:T1/U2DANA",
        )
        self.happen(event, self.request())
        for notice in self.plan.stakeholder_notices:
            self.happen(e.MessagePosted(key=notice_key(self.now, notice.key), channel="C1", ts="1.0"))
        return self

    def request(self, gate: str = "start", needed: int = 1) -> e.ApprovalRequested:
        return e.ApprovalRequested(
            request="R-118.1", gate=gate, needed=needed, verdict="none", expires_at=MONDAY + 24 * HOUR
        )

    def approved(self) -> "Story":
        given = e.Approved(request="R-118.1", by="slack:T1/U3LEE", handle="@lee", groups=("@ai-leads",), note="ok")
        return self.happen(given)

    def running(self, index: int = 2) -> "Story":
        """In the stage of that index; by default the canary, from Tuesday 12:00 in Berlin on."""
        self.planned().approved()
        self.at = TUESDAY + 2 * HOUR
        stage = self.plan.stages[index]
        return self.happen(
            e.Started(fingerprint=self.now.fingerprint, by="system:engine"),
            e.StageEntered(index=index, name=stage.name, percent=stage.percent),
        )

    def evidence(self, verdict: Verdict | None = None, **changes: Any) -> e.EvidenceRecorded:
        usual = e.EvidenceRecorded(
            number=412,
            reason="summary",
            verdict=verdict or Continue(),
            measures=MEASURES,
            canary_requests=8312,
            control_requests=158_040,
            canary_units=4100,
            control_units=77_900,
            first_look=1,
            last_look=9,
            state_before="a",
            looks="b",
            state_after="c",
        )
        return replace(usual, **changes)

    def rolled_back(self, **changes: Any) -> "Story":
        usual = e.RolledBack(
            by="system:engine",
            reason="rises by 1 pp",
            findings=(FINDING,),
            version="v42",
            after_done=False,
            verdict_seconds=5882.0,
            judged_seconds=0.02,
            exposed_requests=565,
            exposed_units=430,
        )
        return self.happen(replace(usual, **changes))


class Words:
    """The builders, for tests: conftest modules cannot be imported."""

    story = Story
    plan = PLAN
    stages = STAGES
    finding = FINDING
    measures = MEASURES
    segments = SEGMENTS
    points = POINTS
    measure = staticmethod(measure)
    before = BEFORE
    monday = MONDAY
    tuesday = TUESDAY
    zone = ZONE

    @staticmethod
    def text(message: Message) -> str:
        return plain_text.render_text(message)

    @staticmethod
    def later_messages(story: Story, evidence: e.EvidenceRecorded) -> list[Message]:
        """Card, summary and last line after this evidence, and the alert of the rollback that ends it."""
        now = story.later(hours=6).happen(evidence).now
        done = e.Completed(version="v43", retired="v42")
        messages = [
            card.render(now, ZONE),
            summary.render(now, evidence, story.at, ZONE),
            event_lines.render(replace(now, state=RolloutState.DONE), done, ZONE),
        ]
        back = story.rolled_back().now
        assert back.rollback is not None
        return [*messages, rollback_alert.render(back, back.rollback, story.at, None, ZONE)]


@pytest.fixture
def words() -> type[Words]:
    return Words


@pytest.fixture
def story() -> Story:
    return Story()
