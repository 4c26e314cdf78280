"""A world with one rollout, in any stage, as the fold of its events would give it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.rollout.plans.plan import Approvals, DrivenFlag, NoticePlan, Plan, Risk, Stage, StageKind
from core.rollout.state.model import Rollout, RolloutState, StageSpan
from core.rollout.state.surface import Surface
from core.rollout.state.world import World

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OLD, NEW = {"prompt": "old"}, {"prompt": "new"}
STAGES = (
    Stage(kind=StageKind.EVAL, name="eval"),
    Stage(kind=StageKind.COHORT, name="internal", percent=50, where={"email_domain": "example.com"}),
    Stage(kind=StageKind.CANARY, name="canary", percent=5),
    Stage(kind=StageKind.AB, name="ab", percent=50),
    Stage(kind=StageKind.RAMP, name="ramp 75%", percent=75),
    Stage(kind=StageKind.BAKE, name="bake", percent=100),
)


def world_in(
    stage: int | None,
    *,
    state: RolloutState = RolloutState.RUNNING,
    control: str = "concurrent",
    live: str = "v42",
    drives: DrivenFlag | None = None,
    unset: int | None = None,
    stages: tuple[Stage, ...] = STAGES,
    hold: timedelta = timedelta(0),
) -> World:
    """R-1 in `stage` of `stages` (None: not begun), having spent an hour in each stage before it.
    What it drives was never brought to the percentage of stage `unset`. Each stage holds for `hold` at least."""
    plan = Plan(
        name="tone",
        surface="support",
        owner="U1",
        risk=Risk.STANDARD,
        template="prompt-standard",
        from_version="v42",
        to_version="v43",
        change=NEW,
        stages=tuple(replace(one, min_hold=hold) for one in stages),
        control=control,
        segments=("language",),
        approvals=Approvals(),
        limits=(
            Limit(
                metric="latency_p95",
                kind=LimitKind.EXCEEDS,
                amount=4000,
                scale=LimitScale.ABSOLUTE,
                role=LimitRole.ROLLBACK,
            ),
        ),
        notices=(NoticePlan(channel="#ai", audience="engineering"),),
        drives=drives,
    )
    spans = tuple(
        StageSpan(
            index=i,
            since=NOON + timedelta(hours=i),
            driven_since=NOON + timedelta(hours=i) if drives is not None and i != unset else None,
            until=NOON + timedelta(hours=i + 1)
            if i != stage or state in {RolloutState.ROLLED_BACK, RolloutState.DONE}
            else None,
        )
        for i in range(0 if stage is None else stage + 1)
    )
    rollout = Rollout(
        id="R-1",
        plan=plan,
        fingerprint="f",
        from_content=OLD,
        to_content=NEW,
        state=RolloutState.PLANNED if stage is None else state,
        planned_at=NOON,
        planned_by="U1",
        spans=spans,
    )
    surface = Surface(name="support", title="", owner="U1", live=live, versions={"v42": OLD, "v43": NEW, "v41": {}})
    return World(position=7, rollouts={"R-1": rollout}, surfaces={"support": surface})


@pytest.fixture
def world() -> Callable[..., World]:
    return world_in


@pytest.fixture
def hour() -> Callable[[float], Any]:
    """So many hours after the rollout began: hour n lies at the beginning of stage n."""
    return lambda hours: NOON + timedelta(hours=hours)
