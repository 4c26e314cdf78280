"""Rollouts to measure with: applied and started through the service, as people would."""

from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from uuid import uuid4

from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.state.model import Rollout
from core.service import apply_file
from core.service.service import CommandOutcome, CommandRequest, RolloutService

SURFACE = "support-assistant"
OLD, NEW = "v42", "v43"
ANA = Actor(id="slack:T0SANDBOX1/U0ANA00001", handle="@ana")
COHORTS = """\
  - cohort: {name: internal, where: {email_domain: example.com}, percent: 100, hold: 1m}
  - cohort: {name: staff, where: {plan: staff}, percent: 100, hold: 1m}
  - cohort: {name: north, where: {region: ["no", se, fi]}, percent: 100, hold: 1m}
"""
LIMITS = """\
  - {metric: eval_pass_rate, drops_by: 2pp}
  - {metric: refusal_rate, rises_by: 1pp}
  - {metric: cost_per_request, rises_by: 15%}
  - {metric: latency_p95, exceeds: 4000ms}
"""
TEN_METRICS = """\
  - {metric: eval_pass_rate, drops_by: 2pp}
  - {metric: cost_per_request, rises_by: 15%}
  - {metric: latency_p95, exceeds: 4000ms}
  - {metric: hard_error_rate, rises_by: 0.5pp}
  - {metric: refusal_rate, rises_by: 1pp}
  - {metric: new_error_category, rate_above: 0.2%, min_events: 5}
  - {metric: complaint_rate, exceeds_normal_by: 50%}
  - {metric: retry_rate, rises_by: 1pp}
  - {metric: conversation_turns, changes_by: 8%}
  - {metric: moderation_flag_rate, rises_by: 0.5pp}
"""
_SURFACE_FILE = Path(__file__).parents[2] / "examples" / "surface.yaml"
_FILE = """\
version: 1
rollout: {name}
surface: {surface}
owner: "@dana"
risk: low
change:
  from: {surface}@v42
  to: {{prompt: "You are the support assistant. Give the steps to fix it first, then the cause."}}
  why: "Customers say that replies bury the fix."
stages:
{cohorts}  - canary: {{percent: 5, min_hold: 2h, max_hold: 24h, min_samples: 200000}}
  - ramp: {{steps: [50%, 100%], hold: 1h}}
  - bake: {{hold: 1h}}
rollback_when:
{limits}notify:
  - {{channel: "#ai-rollouts", as: engineering}}
"""
_names = count(1)


def now() -> datetime:
    """Real time."""
    return datetime.now(UTC)


def say(
    service: RolloutService, command: c.Command, rollout: str = "R-1", by: Actor = ANA, at: datetime | None = None
) -> CommandOutcome:
    """Hand in one command, now if no other time is given."""
    return service.handle(
        CommandRequest(command=command, command_id=uuid4().hex, by=by, at=at or now(), rollout=rollout)
    )


def begin(
    service: RolloutService,
    *,
    surface: str = SURFACE,
    sources: str = "",
    cohorts: str = "",
    limits: str = LIMITS,
    at: datetime | None = None,
) -> Rollout:
    """A new low-risk rollout in its 5 % canary since `at`; with `cohorts`, these are behind it.

    `sources` is what the file of a surface that is new says of its sources.
    """
    text = _FILE.format(name=f"bench-{next(_names)}", surface=surface, cohorts=cohorts, limits=limits)
    if surface not in service.load_world().surfaces:
        _apply(service, _SURFACE_FILE.read_text(encoding="utf-8").replace(SURFACE, surface) + sources, at)
    rollout = _apply(service, text, at).id
    outcome = say(service, c.Start(), rollout, at=at)
    for _ in cohorts.splitlines():
        outcome = say(service, c.Advance(reason="known to be well"), rollout, at=at)
    assert outcome.rollout is not None
    assert outcome.rollout.stage is not None
    if outcome.rollout.stage.name != "canary":
        raise RuntimeError(f"{rollout} is in {outcome.rollout.stage.name}, not in its canary")
    return outcome.rollout


def _apply(service: RolloutService, text: str, at: datetime | None) -> apply_file.AppliedFile:
    return apply_file.apply_text(service, text, "bench.yaml", by=ANA, at=at or now(), command_id=uuid4().hex)
