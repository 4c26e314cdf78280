"""What a baseline fills in: sample sizes that limits need, and amounts that a stage can notice."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.files import build_plan, rollout_form
from core.files.foresight import detection, known_traffic
from core.files.foresight.prefill import round_up
from core.files.read_file import parse_file
from core.rollout.plans.baseline import BaselineLevel, SurfaceBaseline
from core.rollout.plans.plan import StageKind
from core.rollout.plans.policy import DEFAULT_POLICY

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def level(metric, value, **changes):
    usual = {"spread": 0.0, "share": 1.0, "design_effect": 1.0, "readings": 9000}
    return BaselineLevel(metric=metric, level=value, **{**usual, **changes})


def with_baseline(surface, *levels, version="v42", daily=200_000.0):
    baseline = SurfaceBaseline(rollout="R-118", version=version, until=NOON, daily_requests=daily, levels=levels)
    return replace(surface, baseline=baseline, daily_requests=None)


@pytest.fixture
def known_surface(surface):
    return with_baseline(
        surface,
        level("refusal_rate", 0.02),
        level("eval_pass_rate", 0.9, share=0.25),
        level("cost_per_request", 0.012, spread=0.7),
        level("latency_p95", 2600.0, spread=0.5),
    )


@pytest.fixture
def templated(small):
    """A file that leaves its stages to the template."""
    head, _, rest = small().partition("stages:\n")
    return parse_file(head + "rollback_when:" + rest.partition("rollback_when:")[2], "small.yaml")


@pytest.fixture
def written_out(small):
    return parse_file(small(("min_samples: 1500", "min_samples: 77")), "small.yaml")


def canary_of(plan):
    return next(stage for stage in plan.stages if stage.kind is StageKind.CANARY)


def build(file, surface, **changes):
    return build_plan.build(file, surface, DEFAULT_POLICY, resolve_handle=lambda handle: handle, **changes)


def test_a_template_s_sample_size_is_what_its_limits_need_at_the_baseline(templated, known_surface):
    plan = build(templated, known_surface)
    known = known_traffic.recall_traffic(known_surface)
    design = detection.design_from_plan(plan)
    foreseen = detection.foresee_limits(design, canary_of(plan), known)
    hours = max(min(one.noticed or one.within, one.within).total_seconds() / 3600 for one in foreseen)
    assert canary_of(plan).min_samples == int(round_up(hours / 24 * 200_000 * 0.05))
    assert canary_of(plan).min_samples != 1500
    assert build_plan.find_baseline_used(templated, known_surface) == "R-118"


def test_a_stage_that_the_file_writes_out_keeps_its_own_sample_size(written_out, known_surface):
    assert canary_of(build(written_out, known_surface)).min_samples == 77
    assert build_plan.find_baseline_used(written_out, known_surface) == ""


def test_the_baseline_of_a_version_that_is_not_live_fills_in_nothing(templated, surface):
    old = with_baseline(surface, level("refusal_rate", 0.02), version="v41")
    assert canary_of(build(templated, old)).min_samples == 1500


def test_a_plan_that_is_known_is_built_with_the_sizes_it_had(templated, known_surface):
    agreed = build(templated, known_surface)
    sizes = {stage.name: stage.min_samples for stage in agreed.stages}
    later = replace(known_surface, baseline=None)
    assert build(templated, later, sample_sizes=sizes).fingerprint() == agreed.fingerprint()


@pytest.mark.shows("E82")
def test_limits_are_suggested_that_the_canary_can_notice_and_never_tighter_than_usual(known_surface):
    suggested = rollout_form.suggest_limits(known_surface, DEFAULT_POLICY)
    assert suggested.baseline == "R-118"
    assert float(suggested.amounts["eval_pass_rate"]) >= 2
    assert suggested.amounts["latency_p95"] == f"{round_up(2600 * 1.3):g}"
    assert suggested.amounts["complaint_rate"] == "50", "never measured, so the usual amount"
    few = replace(known_surface, baseline=replace(known_surface.baseline, daily_requests=4000.0))
    scarce = rollout_form.suggest_limits(few, DEFAULT_POLICY)
    assert float(scarce.amounts["eval_pass_rate"]) > float(suggested.amounts["eval_pass_rate"])


def test_a_starting_file_says_where_its_limits_come_from(known_surface, surface):
    assert rollout_form.write_starting_file(known_surface, DEFAULT_POLICY).startswith("# Limits: baseline from R-118\n")
    assert "baseline" not in rollout_form.write_starting_file(surface, DEFAULT_POLICY)


@pytest.mark.parametrize(("number", "rounded"), [(1234, 1300), (0.0101, 0.011), (2, 2), (0.5, 0.5), (99.1, 100)])
def test_numbers_are_rounded_up_to_two_digits(number, rounded):
    assert round_up(number) == pytest.approx(rounded)
