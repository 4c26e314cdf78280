"""All eight templates make a plan out of the shortest file there is, and keep to the built-in policy."""

from datetime import timedelta

import pytest
from inline_snapshot import snapshot

from core.files.templates import TEMPLATES
from core.judging.limits.limits import LimitRole
from core.rollout.plans.plan import Risk, StageKind

SHORTEST = """\
version: 1
rollout: shortest
surface: support-assistant
template: {template}
change:
  from: v42
  to: {{model: {{name: large-4, snapshot: "2026-11-30"}}}}
behaviour_changes: [{{text: "Answers name a day instead of a range."}}]
rollback_when:
  - {{metric: eval_pass_rate, drops_by: 2pp}}
  - {{metric: cost_per_request, rises_by: 15%}}
  - {{metric: latency_p95, exceeds: 4000ms}}
"""
NAMES = (
    "prompt-low-stakes",
    "prompt-standard",
    "model-upgrade-high-stakes",
    "prompt-rewrite-long-ab",
    "tools-change",
    "routing-change",
    "power-users-first",
    "emergency-fix",
)


def test_there_are_eight():
    assert tuple(TEMPLATES) == NAMES


@pytest.mark.shows("E35")
@pytest.mark.parametrize("name", NAMES)
def test_each_builds_and_is_in_order(name, built, checked):
    text = SHORTEST.format(template=name)
    plan = built(text)
    shown = [stage.percent for stage in plan.stages if stage.has_exposure and stage.where is None]
    assert shown == sorted(shown)
    assert shown[-2:] == [100, 100]
    assert plan.template == name
    assert checked(text) == ""


@pytest.mark.shows("E12", "E74")
@pytest.mark.parametrize(
    ("name", "stages", "least"),
    [
        ("prompt-low-stakes", "eval, canary, ramp 50%, ramp 100%, bake", timedelta(hours=7)),
        (
            "prompt-standard",
            "eval, internal, canary, ramp 10%, ramp 25%, ramp 50%, ramp 100%, bake",
            timedelta(hours=2 + 6 + 48 + 48),
        ),
        (
            "model-upgrade-high-stakes",
            "eval, safety, cost_latency, rollback_drill, internal, canary, ab, ramp 75%, ramp 100%, bake",
            timedelta(days=1 + 1 + 14 + 2 + 7),
        ),
        ("emergency-fix", "canary, ramp 100%, bake", timedelta(hours=4, minutes=45)),
    ],
)
def test_their_stages_and_how_long_they_take_at_least(name, stages, least, built):
    plan = built(SHORTEST.format(template=name))
    assert ", ".join(stage.name for stage in plan.stages) == stages
    assert sum((stage.min_hold for stage in plan.stages), timedelta(0)) == least


def test_a_template_brings_its_risk_its_limits_and_its_segments(built):
    high = built(SHORTEST.format(template="model-upgrade-high-stakes"))
    assert (high.risk, high.approvals.required) == (Risk.HIGH, 2)
    assert [notice.acknowledge for notice in high.notices] == [False, True, False]
    tools = built(SHORTEST.format(template="tools-change"))
    added = [limit.metric for limit in tools.limits if limit.role is LimitRole.ROLLBACK][3:]
    assert added == ["tool_error_rate", "llm_calls_per_request"]
    assert built(SHORTEST.format(template="routing-change")).segments == ("route",)


def test_a_limit_of_the_file_replaces_the_templates_on_that_metric(built):
    own = SHORTEST.format(template="tools-change") + "  - {metric: tool_error_rate, rises_by: 3pp}\n"
    amounts = {limit.metric: limit.amount for limit in built(own).limits}
    assert amounts["tool_error_rate"] == 0.03
    assert amounts["llm_calls_per_request"] == 0.1


def test_stages_of_the_file_replace_the_whole_list(built):
    own = SHORTEST.format(template="prompt-standard") + "stages: [canary: {percent: 2}, bake: {hold: 5s}]\n"
    assert [stage.name for stage in built(own).stages] == ["canary", "bake"]


def test_a_model_upgrade_must_name_a_dated_snapshot(checked):
    undated = SHORTEST.format(template="model-upgrade-high-stakes").replace(', snapshot: "2026-11-30"', "")
    assert "this model has no date" in checked(undated)
    assert "warning" not in checked(undated)


def test_a_comparison_without_metrics_is_decided_on_the_limits_that_have_an_average(built):
    (ab,) = [s for s in built(SHORTEST.format(template="prompt-rewrite-long-ab")).stages if s.kind is StageKind.AB]
    assert ab.decide_on == snapshot(("eval_pass_rate", "cost_per_request"))
