"""A short plan with one limit, and traffic for it, so that a run takes a fraction of a second."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from core.files.foresight.known_traffic import KnownTraffic
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.metrics.typical_levels import TYPICAL
from core.rollout.plans.plan import Approvals, Plan, Risk, Stage, StageKind
from core.simulation.study import Study

HOUR = timedelta(hours=1)
REFUSALS = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
CANARY = Stage(kind=StageKind.CANARY, name="canary", percent=20, min_hold=6 * HOUR, max_hold=24 * HOUR, min_samples=100)
EVERYBODY = Stage(kind=StageKind.RAMP, name="ramp 100%", percent=100, min_hold=HOUR)
PLAN = Plan(
    name="tone",
    surface="support",
    owner="@dana",
    risk=Risk.LOW,  # it grows by time: what it may grow on is tested beside
    template="prompt-standard",
    from_version="v1",
    to_version="v2",
    change={"prompt": "Fix first."},
    stages=(CANARY, EVERYBODY),
    approvals=Approvals(),
    limits=(REFUSALS,),
    notices=(),
)
KNOWN = KnownTraffic(daily_requests=20_000, pace_from="daily_requests", levels=TYPICAL)


@pytest.fixture
def plan() -> Callable[..., Plan]:
    """The plan with some of it replaced."""
    return lambda **parts: replace(PLAN, **parts)


@pytest.fixture
def canary() -> Callable[..., Stage]:
    """The canary with some of it replaced."""
    return lambda **parts: replace(CANARY, **parts)


@pytest.fixture
def known() -> KnownTraffic:
    return KNOWN


@pytest.fixture
def study(known: KnownTraffic) -> Callable[..., Study]:
    """A study of the plan with few runs and looks."""
    return lambda **parts: Study(**{"plan": PLAN, "known": known, "harms": (), "runs": 3, "looks": 12, **parts})
