"""A plan is written as a file that reads back to the same plan."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.files.checks import check_files
from core.files.read_file import parse_file
from core.files.sections.limit_terms import LimitTerms, format_limit
from core.files.syntax.problems import select_errors
from core.files.templates import TEMPLATES
from core.files.write_file import export_next_attempt, export_plan
from core.judging.limits.limits import LimitRole
from core.metrics.catalogue import CATALOGUE
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY

amounts = st.decimals("0.0001", "0.9", places=6).map(lambda n: f"{n * 100:f}")
kinds = st.sampled_from(["drops_by", "rises_by", "changes_by", "exceeds_normal_by"])
relative = sorted(set(CATALOGUE) - {"new_error_category"})


@pytest.mark.parametrize("name", ["prompt-change.yaml", "model-upgrade.yaml"])
def test_a_file_survives_the_round_trip(files, built, surface, policy, now, name):
    on = surface if name == "prompt-change.yaml" else replace(surface, versions={**surface.versions, "v43": {}})
    plan = built(files(name), on=on, policy=policy)
    again = export_plan(plan)
    assert built(again, on=on, policy=policy) == plan
    assert built(again, on=on, policy=policy).fingerprint() == plan.fingerprint()
    assert export_plan(built(again, on=on, policy=policy)) == again


def test_another_attempt_starts_from_what_is_live_under_names_of_its_own(files, built, surface, policy):
    plan = built(files("prompt-change.yaml"), policy=policy)
    tried = replace(surface, versions={**surface.versions, plan.to_version: {**surface.live_content, **plan.change}})
    again = built(export_next_attempt(plan, "support-tone-v43-2", surface.live), on=tried, policy=policy)
    assert (again.name, again.from_version, again.start) == ("support-tone-v43-2", surface.live, None)
    assert again.to_version not in tried.versions
    assert (again.change, again.limits, again.stages) == (plan.change, plan.limits, plan.stages)


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_every_template_survives_it_and_is_still_allowed(small, built, surface, name):
    head, _, tail = small().partition("stages:")
    rest = "rollback_when:" + tail.partition("rollback_when:")[2]
    plan = built(f"{head}template: {name}\n{rest}")
    text = export_plan(plan)
    assert plan.template == name
    assert built(text) == plan
    assert select_errors(check_files.check(parse_file(text, "f"), surface, DEFAULT_POLICY, None)) == ()


def test_awkward_content_survives_it(small, built):
    awkward = '"a: b # c\\n\\t- yes \\u2028 \\U0001F600 *x &y 20:00 "'
    text = small(
        (
            '{prompt: "Fix first."}',
            f'{{prompt: {awkward}, params: {{when: "2026-01-01", at: "20:00", no: "no", n: 1.0e-7}}}}',
        ),
        ("Answers start with the fix.", "Says ‘hello’: twice – # always"),
    )
    plan = built(text)
    assert built(export_plan(plan)) == plan


def test_ramp_steps_are_written_together_where_they_are_alike(small, built):
    plan = built(small())
    assert "- 25%\n    - 100%\n" in export_plan(plan)
    odd = Stage(kind=StageKind.RAMP, name="ramp 50%", percent=50, min_hold=timedelta(minutes=5))
    mixed = replace(plan, stages=(*plan.stages[:3], odd, *plan.stages[3:]))
    assert built(export_plan(mixed)) == mixed


@given(st.sampled_from(relative), kinds, amounts, st.booleans(), st.sampled_from([None, "15m", "90s"]))
def test_every_limit_that_compares_survives_it(metric, kind, amount, strict, lasting):
    terms = {"metric": metric, kind: f"{amount}%", "confidence": "strict" if strict else "any_harm", "for": lasting}
    limit = LimitTerms.model_validate({key: value for key, value in terms.items() if value}).to_limit(LimitRole.HOLD)
    assert LimitTerms.model_validate(format_limit(limit)).to_limit(LimitRole.HOLD) == limit


@pytest.mark.parametrize(
    "terms",
    [
        {"metric": "latency_p95", "exceeds": "4s", "for": "15m"},
        {"metric": "cost_per_request", "exceeds": "$0.02"},
        {"metric": "refusal_rate", "exceeds": "5%"},
        {"metric": "output_tokens", "exceeds": 900},
        {"metric": "eval_score", "drops_by": "2pp"},
        {"metric": "complaint_rate", "exceeds": "0.3%"},
        {"metric": "new_error_category", "rate_above": "0.2%", "min_events": 5, "mode": "dry_run"},
    ],
)
def test_every_absolute_limit_survives_it(terms):
    limit = LimitTerms.model_validate(terms).to_limit(LimitRole.ROLLBACK)
    assert LimitTerms.model_validate(format_limit(limit)).to_limit(LimitRole.ROLLBACK) == limit
