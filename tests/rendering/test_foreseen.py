"""What could be seen and what a simulation found, as people read it."""

# ruff: noqa: E501

from dataclasses import replace
from datetime import timedelta

import pytest
from inline_snapshot import snapshot

from bot.rendering.answers.planning import plan_foresight, simulation
from core.files.foresight.detection import DetectionDesign, foresee_limits
from core.files.foresight.known_traffic import KnownTraffic
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.metrics.typical_levels import TYPICAL
from core.rollout.plans.plan import Approvals, Plan, Risk, Stage, StageKind
from core.simulation import report
from core.simulation.harm import SimulatedHarm
from core.simulation.run import SimulatedRun, SimulatedStop
from core.simulation.study import Study, StudyResult

HOUR = timedelta(hours=1)
LIMITS = (
    Limit(
        metric="eval_pass_rate", kind=LimitKind.DROPS_BY, amount=0.02, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
    ),
    Limit(
        metric="cost_per_request",
        kind=LimitKind.RISES_BY,
        amount=0.15,
        scale=LimitScale.RELATIVE,
        role=LimitRole.ROLLBACK,
    ),
    Limit(
        metric="latency_p95", kind=LimitKind.EXCEEDS, amount=2800, scale=LimitScale.ABSOLUTE, role=LimitRole.ROLLBACK
    ),
    Limit(
        metric="new_error_category",
        kind=LimitKind.RATE_ABOVE,
        amount=0.002,
        scale=LimitScale.ABSOLUTE,
        role=LimitRole.ROLLBACK,
    ),
    Limit(
        metric="suggestion_ctr", kind=LimitKind.CHANGES_BY, amount=0.05, scale=LimitScale.RELATIVE, role=LimitRole.HOLD
    ),
)
CANARY = Stage(kind=StageKind.CANARY, name="canary", percent=5, min_hold=6 * HOUR, max_hold=24 * HOUR)
KNOWN = KnownTraffic(daily_requests=60_000, pace_from="daily_requests", levels=TYPICAL, measured="R-3")


@pytest.fixture
def seen():
    def see(risk=Risk.STANDARD, known=KNOWN):
        return foresee_limits(DetectionDesign(stages=(CANARY,), limits=LIMITS, risk=risk), CANARY, known)

    return see


def test_the_table_of_a_stage(seen):
    assert "\n".join(plan_foresight.render_lines(seen(), KNOWN)) == snapshot("""\
What canary could detect at 5 %; it continues after 6 h and lasts 24 h at most:
  limit                                a change that large noticed after  smallest noticed in 6 h  smallest noticed in 24 h  shown to hold after
  eval_pass_rate drops by 2 pp         3.9 days                           -8.8 pp                  -4.1 pp                   46 h, only watched
  cost_per_request rises by 15 %       4.3 h                              +15 %                    +15 %                     2.5 h
  latency_p95 exceeds 2.8 s            99 min (3.5 s)                     3.2 s                    3 s                       48 h
  new_error_category rate above 0.2 %  2.8 days (0.4 %)                   1.1 %                    0.57 %                    –
  suggestion_ctr changes by 5 %        4 days                             ±21 %                    ±11 %                     2.2 days, only watched
  Based on 60,000 requests a day (daily_requests) and levels as measured in R-3. Times are expected values; a limit acts only while the estimate is beyond it too.\
""")


def test_what_deserves_red(seen):
    assert "\n".join(plan_foresight.render_warnings(seen(), Risk.STANDARD)) == snapshot("""\
eval_pass_rate drops by 2 pp: noticed after about 3.9 days; canary lasts 24 h at most, enough for 4.1 pp. Any of these would do: a canary of 26 %; checking 99 % of the answers; a min_hold of 95 h; a limit of 4.1 pp.
new_error_category rate above 0.2 %: 0.4 % is noticed after about 2.8 days; canary lasts 24 h at most, enough for 0.57 %. Any of these would do: a canary of 15 %; a min_hold of 68 h; a limit of 0.57 %.
suggestion_ctr changes by 5 %: noticed after about 4 days; canary lasts 24 h at most, enough for 11 %. Any of these would do: a canary of 26 %; a min_hold of 4 days; a limit of 11 %.
Only watched: eval_pass_rate, suggestion_ctr. canary is too short to show that they hold.\
""")


def test_high_risk_is_told_what_it_would_wait_for_in_vain(seen):
    said = plan_foresight.render_warnings(seen(Risk.HIGH), Risk.HIGH)
    assert said[-1] == snapshot(
        "A high-risk rollout grows only once every limit is shown to hold. latency_p95 cannot be within 24 h, so canary would stop undecided and ask. It takes about 48 h."
    )
    assert "max_hold" in said[0]


def test_where_nothing_is_known_nothing_is_said(seen):
    nothing = seen(known=replace(KNOWN, daily_requests=None))
    assert plan_foresight.render_lines(nothing, KNOWN) == []
    assert plan_foresight.render_warnings(nothing, Risk.STANDARD) == []


def test_a_stage_is_foreseen_once_for_the_same_numbers_and_anew_for_others(seen):
    assert seen() is seen(known=replace(KNOWN, measured="R-4")), "where numbers come from changes nothing"
    busier = seen(known=KNOWN.with_pace(120_000, "daily_requests"))
    assert [one.noticed for one in busier] != [one.noticed for one in seen()]
    steadier = {**TYPICAL, "cost_per_request": replace(TYPICAL["cost_per_request"], spread=0.1)}
    assert seen(known=replace(KNOWN, levels=steadier)) != seen()
    assert seen(risk=Risk.HIGH) != seen()


@pytest.fixture
def study():
    plan = Plan(
        name="tone",
        surface="support",
        owner="@dana",
        risk=Risk.STANDARD,
        template="prompt-standard",
        from_version="v42",
        to_version="v43",
        change={},
        stages=(CANARY,),
        approvals=Approvals(),
        limits=LIMITS,
        notices=(),
    )
    return Study(plan=plan, known=KNOWN, harms=(), runs=4)


def run(hours=None, held=False, undecided=()):
    stop = SimulatedStop(metric="eval_pass_rate", after=(hours or 3) * HOUR, stage="canary", users=1200, requests=2400)
    return SimulatedRun(
        rollback=stop if hours else None,
        held=replace(stop, metric="suggestion_ctr") if held else None,
        undecided=undecided,
        lasted=(hours or 30) * HOUR,
    )


def test_the_report_of_a_simulation(study):
    harm = SimulatedHarm(metric="eval_pass_rate", text="eval_pass_rate -4 pp", shift=-0.04)
    click = SimulatedHarm(metric="suggestion_ctr", text="suggestion_ctr -10 %", ratio=0.9)
    outcome = StudyResult(
        harmless=report.summarise_harmless([run(), run(), run(held=True), run(undecided=("canary",))]),
        harms=(
            report.summarise_harm(harm, [run(1), run(2), run(5, held=True), run()], by_hold=False),
            report.summarise_harm(click, [run(held=True)] * 4, by_hold=True),
        ),
    )
    assert simulation.render_report(study, outcome) == snapshot("""\
tone: support v42 -> v43, 4 simulated runs each
Traffic: 60,000 requests a day (daily_requests); levels as measured in R-3.
Looks: about 60 a run, at least 6 a stage, instead of one every few seconds: times are rounded up to the next look.
Gates and approvals are given at once, and holds are overridden at once.

Nothing changed (30 h on the rollout's clock)
  rolled back  0 of 4: true rate at most 52.7 % (95 % confidence)
  held         1 of 4 (suggestion_ctr 1)
  undecided    canary (1): the longest hold passed before it could continue

harm                  found   median  9 of 10  reached by then              what stopped it
eval_pass_rate -4 pp  3 of 4  2 h     –        2,400 requests, 1,200 users  eval_pass_rate 3; 1 held before
suggestion_ctr -10 %  4 of 4  3 h     3 h      2,400 requests, 1,200 users  held by suggestion_ctr 4
Reached everyone unnoticed: eval_pass_rate -4 pp (1 of 4). rollout plan says what would help.\
""")
    told = simulation.to_json(study, outcome)
    assert told["harmless"]["rolled_back"] == 0
    assert told["levels"] == "R-3"
    assert [(x["harm"], x["stopped"], x["median"], x["slow"]) for x in told["harms"]] == [
        ("eval_pass_rate -4 pp", 3, 7200.0, None),
        ("suggestion_ctr -10 %", 4, 10800.0, 10800.0),
    ]
