"""Without a template, what is changed a lot at high risk is compared for weeks."""

import pytest

from core.files.build_plan import build
from core.files.choose_template import with_chosen_template
from core.files.read_file import parse_file
from core.rollout.plans.plan import StageKind
from core.rollout.plans.policy import DEFAULT_POLICY

OLD = (
    "Answer the question of the customer in a friendly tone. Name the order. Then say what happens next and thank them."
)
FEW_WORDS = OLD.replace("friendly", "calm")
REWRITE = (
    "You are a support agent. Give the fix in one sentence, then the steps. Never apologise twice or promise dates."
)

FILE = """\
version: 1
rollout: rewrite
surface: support-assistant
owner: "@dana"
risk: {risk}
change:
  from: support-assistant@v42
  to: {to}
  why: It buries the fix.
behaviour_changes:
  - {{audience: [support], text: Answers start with the fix.}}
rollback_when:
  - {{metric: eval_pass_rate, drops_by: 2pp}}
  - {{metric: cost_per_request, rises_by: 15%}}
  - {{metric: latency_p95, exceeds: 4000ms}}
notify:
  - {{channel: "#ai-rollouts", as: engineering}}
  - {{channel: "#support", as: support, before: 72h, acknowledge: true}}
"""


@pytest.fixture
def chosen(surface):
    """The template that a change gets."""
    from dataclasses import replace

    known = replace(surface, versions={"v42": {"prompt": OLD, "model": "large-3-20260301"}}, live="v42")

    def choose(to, risk="high", extra=""):
        file = parse_file(FILE.format(risk=risk, to=to) + extra, "file.yaml")
        plan = build(file, known, DEFAULT_POLICY, resolve_handle=lambda handle: handle)
        assert plan.template == with_chosen_template(file, known).template
        return plan

    return choose


@pytest.mark.shows("E62")
def test_another_model_at_high_risk_is_a_model_upgrade(chosen):
    plan = chosen("{model: large-4-20261130}")
    assert plan.template == "model-upgrade-high-stakes"
    assert [stage.kind for stage in plan.stages][-5:] == [
        StageKind.CANARY,
        StageKind.AB,
        StageKind.RAMP,
        StageKind.RAMP,
        StageKind.BAKE,
    ]


@pytest.mark.shows("E62")
def test_a_rewritten_prompt_at_high_risk_is_compared_for_weeks(chosen):
    plan = chosen(f"{{prompt: {REWRITE!r}}}")
    assert plan.template == "prompt-rewrite-long-ab"
    assert any(stage.is_decided_at_end for stage in plan.stages)


@pytest.mark.parametrize(
    ("to", "risk", "extra"),
    [
        (f"{{prompt: {FEW_WORDS!r}}}", "high", ""),
        (f"{{prompt: {REWRITE!r}}}", "standard", ""),
        ("{model: large-4-20261130}", "standard", ""),
        (f"{{prompt: {REWRITE!r}}}", "high", "template: prompt-standard\n"),
    ],
)
def test_everything_else_keeps_the_default(chosen, to, risk, extra):
    assert chosen(to, risk, extra).template == "prompt-standard"


def test_a_file_with_stages_of_its_own_keeps_them(chosen):
    stages = (
        "stages:\n  - eval\n  - canary: {percent: 5, min_hold: 1h}\n  - ramp: {steps: [100%]}\n  - bake: {hold: 1h}\n"
    )
    assert chosen("{model: large-4-20261130}", extra=stages).template == "prompt-standard"


@pytest.mark.shows("E67")
def test_an_upgrade_judges_every_segment_and_takes_twice_the_canarys_sample(chosen):
    plan = chosen("{model: large-4-20261130}")
    assert plan.segments == ("*",)
    canary, ab = (next(s for s in plan.stages if s.kind is kind) for kind in (StageKind.CANARY, StageKind.AB))
    assert (canary.min_samples, ab.min_samples) == (3000, 6000)
