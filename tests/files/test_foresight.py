"""What could be seen: expected times checked by hand, and what would bring a limit into its stage's time."""

from dataclasses import replace
from datetime import timedelta
from math import exp, log

import pytest

from core.files.checks.check_files import check_together
from core.files.foresight.detection import DetectionDesign, foresee_best_stages, foresee_limits, select_late
from core.files.foresight.known_traffic import KnownTraffic
from core.files.foresight.readings_needed import evidence_needed, readings_to_notice
from core.files.read_file import parse_file
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.metrics.typical_levels import TYPICAL, MetricLevel
from core.rollout.plans.plan import Risk, Stage, StageKind
from core.rollout.plans.policy import GrowOn

HOUR = timedelta(hours=1)
REFUSALS = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
QUALITY = replace(REFUSALS, metric="eval_pass_rate", kind=LimitKind.DROPS_BY, amount=0.02)
COST = Limit(
    metric="cost_per_request", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.ROLLBACK
)
SLOW = Limit(
    metric="latency_p95", kind=LimitKind.EXCEEDS, amount=4000, scale=LimitScale.ABSOLUTE, role=LimitRole.ROLLBACK
)
CATEGORY = Limit(
    metric="new_error_category",
    kind=LimitKind.RATE_ABOVE,
    amount=0.002,
    scale=LimitScale.ABSOLUTE,
    role=LimitRole.ROLLBACK,
)
COMPLAINTS = Limit(
    metric="complaint_rate",
    kind=LimitKind.EXCEEDS_NORMAL_BY,
    amount=0.5,
    scale=LimitScale.RELATIVE,
    role=LimitRole.ROLLBACK,
)
CANARY = Stage(kind=StageKind.CANARY, name="canary", percent=5, min_hold=6 * HOUR, max_hold=24 * HOUR)
HALF = Stage(kind=StageKind.RAMP, name="ramp 50%", percent=50, min_hold=12 * HOUR)
KNOWN = KnownTraffic(daily_requests=100_000, pace_from="daily_requests", levels=TYPICAL)


def seen(*limits, stage=CANARY, known=KNOWN, **design):
    return foresee_limits(DetectionDesign(stages=(CANARY, HALF), limits=limits, **design), stage, known)


def test_the_evidence_that_a_limit_needs_alone():
    alone = DetectionDesign(stages=(CANARY,), limits=(REFUSALS,))
    assert evidence_needed(alone.limits, REFUSALS, segments=alone.segments) == pytest.approx(log(20) - log(0.72))
    hold = replace(REFUSALS, metric="retry_rate", role=LimitRole.HOLD)
    many = DetectionDesign(stages=(CANARY,), limits=(REFUSALS, COST, replace(SLOW, dry_run=True), hold), segments=True)
    # two limits may roll back, four fifths are everybody's, a capped mean has 0.6, a fixed limit its 0.08 more
    assert evidence_needed(many.limits, REFUSALS, segments=many.segments) == pytest.approx(
        log(20) + log(2) - log(0.8 * 0.72)
    )
    assert evidence_needed(many.limits, COST, segments=many.segments) == pytest.approx(
        log(20) + log(2) - log(0.8 * 0.72 * 0.6)
    )
    assert evidence_needed(many.limits, hold, segments=many.segments) == pytest.approx(log(20) - log(0.8 * 0.72))
    assert evidence_needed((SLOW,), SLOW, segments=False) == pytest.approx(log(20) - log(0.8))


def test_a_rise_of_a_rate_by_hand():
    # pooled .0205; KL(.03, .0205) + 19 KL(.02, .0205) = .0019694 + .0001193; 1.5 * 3.3242 / .0020887 = 2,387
    found = readings_to_notice(REFUSALS, TYPICAL["refusal_rate"], 0.01, canary_share=0.05, alpha=exp(-3.3242))
    assert found == pytest.approx(2387, rel=0.005)
    one = seen(REFUSALS)[0]
    assert one.noticed == pytest.approx(timedelta(days=2387 / 5000), rel=0.005)
    assert one.is_noticed_in_time
    assert (one.within, one.expected, one.remedies) == (24 * HOUR, 6 * HOUR, None)


def test_where_growth_waits_until_limits_are_shown_to_hold_the_stage_lasts_until_then():
    refusals, quality = seen(REFUSALS, replace(QUALITY, amount=0.03), risk=Risk.HIGH, grow_on=GrowOn.SHOWN)
    assert refusals.expected == quality.expected == max(refusals.cleared, quality.cleared) > 6 * HOUR
    refusals, watched = seen(REFUSALS, QUALITY, risk=Risk.HIGH, grow_on=GrowOn.SHOWN)
    assert watched.rare
    assert refusals.expected == refusals.cleared


def test_the_smallest_change_takes_exactly_the_stage():
    one = seen(QUALITY)[0]
    assert one.smallest is not None
    again = seen(replace(QUALITY, amount=one.smallest))[0]
    assert again.noticed is not None
    assert again.noticed / HOUR == pytest.approx(24, rel=0.001)
    assert one.smallest_by_then is not None
    assert one.smallest_by_then > one.smallest


def test_every_way_out_does_what_it_says():
    (one,) = seen(QUALITY)
    assert one.noticed is not None
    assert one.noticed > 24 * HOUR
    ways = one.remedies
    assert ways is not None
    assert ways.percent is not None
    assert ways.judging is not None
    assert ways.hold == one.noticed
    (larger,) = seen(QUALITY, stage=replace(CANARY, percent=ways.percent * 1.001))
    (longer,) = seen(QUALITY, stage=replace(CANARY, max_hold=ways.hold * 1.001))
    (wider,) = seen(replace(QUALITY, amount=ways.amount * 1.001))
    checked = replace(KNOWN, levels={**TYPICAL, "eval_pass_rate": MetricLevel(level=0.92, share=ways.judging * 1.001)})
    (more,) = seen(QUALITY, known=checked)
    assert all(x.is_noticed_in_time for x in (larger, longer, wider, more))
    (hardly,) = seen(QUALITY, stage=replace(CANARY, percent=ways.percent * 0.99))
    assert not hardly.is_noticed_in_time


def test_a_way_that_leads_nowhere_is_not_named():
    few = KNOWN.with_pace(2_000, "daily_requests")
    ways = seen(QUALITY, known=few)[0].remedies
    assert ways is not None
    assert (ways.percent, ways.judging) == (None, None)
    assert seen(COMPLAINTS, known=KNOWN)[0].remedies.judging is None  # nobody judges complaints


def test_a_mean_by_hand():
    # values that hardly vary: one unit's deviation is about 10 % of the level, and 15 % is looked for
    level = MetricLevel(level=1.0, spread=0.1)
    found = readings_to_notice(COST, level, 0.15, canary_share=0.05, alpha=0.05)
    # 1.5 ln(20) * 2 * .1^2 / (.15^2 * .95) = 4.2; cut at their 99th percentile values vary a little less
    assert found == pytest.approx(4.1, abs=0.15)


def test_a_fixed_limit_is_looked_for_a_quarter_above_it():
    (one,) = seen(SLOW)
    assert one.size == 5000
    # above 4,000 ms where the p95 is 5,000 ms, spread .5: z = 1.645 - ln(1.25)/.5 = 1.199, so 11.5 % instead of 5 %
    kl = 0.1153 * log(0.1153 / 0.05) + 0.8847 * log(0.8847 / 0.95)
    assert one.noticed == pytest.approx(timedelta(days=1.5 * (log(20) - log(0.8)) / kl / 5000), rel=0.01)
    assert one.smallest is not None
    assert 4000 < one.smallest < 4200


def test_error_categories_are_looked_for_at_twice_the_rate():
    (one,) = seen(CATEGORY)
    assert one.size == pytest.approx(0.004)
    kl = 0.004 * log(2) + 0.996 * log(0.996 / 0.998)
    assert one.noticed == pytest.approx(timedelta(days=1.5 * log(20) / kl / 5000), rel=0.01)
    assert not one.clearable


def test_certainty_beyond_the_margin_takes_longer():
    usual, certain = seen(REFUSALS, replace(REFUSALS, strict=True, metric="refusal_rate"))
    assert certain.size == pytest.approx(0.02)
    assert certain.smallest > usual.smallest
    assert certain.smallest > 0.01


def test_requests_of_few_users_tell_less():
    clustered = replace(KNOWN, levels={**TYPICAL, "refusal_rate": MetricLevel(level=0.02, design_effect=3.0)})
    assert seen(REFUSALS, known=clustered)[0].noticed == pytest.approx(3 * seen(REFUSALS)[0].noticed, rel=1e-6)


def test_a_matched_control_is_as_small_as_the_canary():
    assert seen(REFUSALS, control="matched")[0].noticed > 1.5 * seen(REFUSALS)[0].noticed


def test_what_cannot_be_shown_to_be_kept_is_watched():
    found = seen(REFUSALS, COMPLAINTS, COST, CATEGORY)
    assert [x.limit.metric for x in found if not x.is_cleared_in_time] == ["complaint_rate"]
    assert [x.rare for x in found] == [False, True, False, False]
    (mean,) = seen(replace(COST, amount=0.01))
    assert (mean.is_cleared_in_time, mean.rare) == (False, False)  # a mean is waited for


def test_the_best_stage_counts():
    design = DetectionDesign(stages=(CANARY, HALF), limits=(QUALITY, COMPLAINTS))
    assert [x.stage for x in foresee_best_stages(design, KNOWN)] == ["ramp 50%", "ramp 50%"]
    assert [x.limit.metric for x in select_late(foresee_best_stages(design, KNOWN))] == ["complaint_rate"]


def test_high_risk_has_its_longest_hold():
    open_ended = replace(CANARY, max_hold=None)
    assert DetectionDesign(stages=(open_ended,), limits=()).longest_time_in(open_ended) == 6 * HOUR
    assert DetectionDesign(stages=(open_ended,), limits=(), risk=Risk.HIGH).longest_time_in(open_ended) == 24 * HOUR


def test_without_traffic_nothing_is_foreseen():
    assert seen(REFUSALS, known=replace(KNOWN, daily_requests=None)) == ()


def test_a_file_is_warned_at_the_line_of_the_limit(small, checked, surface):
    said = checked(small(), on=surface)
    assert "bad.yaml:19:40: warning: rollback_when.0.drops_by: too late: " in said
    assert "you can notice a 2 pp drop only after about 32 h; canary lasts at most 24 h, enough for 2.3 pp" in said
    assert said.endswith("1 warning")
    assert checked(small(("drops_by: 2pp", "drops_by: 3pp")), on=surface) == ""
    assert checked(small(("[25%, 100%], hold: 1h", "[25%, 100%], hold: 12h")), on=surface) == ""  # found in the ramp


def test_lint_knows_the_traffic_from_a_surface_file_beside_the_rollout(small, files):
    surface = parse_file(files("surface.yaml"), "surface.yaml")
    rollout = parse_file(small(), "bad.yaml")
    (problem,) = check_together([surface, rollout])
    assert (problem.file, problem.line, problem.severity) == ("bad.yaml", 19, "warning")
    assert check_together([rollout]) == ()
