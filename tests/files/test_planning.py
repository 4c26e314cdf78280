"""A file becomes a plan: the template filled in, stages named, approvals at their larger, versions named."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.files.syntax.problems import UnreadableFile
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.rollout.plans.plan import AdvanceMode, Approvals, EvalTerms, Expectation, NoticePlan, Risk, Stage, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY

HOUR = timedelta(hours=1)


def test_the_prompt_change_as_a_plan(files, built, policy):
    plan = built(files("prompt-change.yaml"), policy=policy)
    assert (plan.name, plan.surface, plan.risk) == ("support-tone-v43", "support-assistant", Risk.STANDARD)
    assert (plan.owner, plan.owner_handle) == ("U0DANA", "@dana")
    assert (plan.from_version, plan.to_version) == ("v42", "v43")
    assert plan.change == {"prompt": "prompts/support/system.md@sha256:9f2c51e0"}
    assert plan.stages == (
        Stage(
            kind=StageKind.EVAL,
            name="eval",
            terms=EvalTerms(
                suite="evals/support.yaml",
                min_pass_rate=0.92,
                no_new_failures_in=("privacy", "billing-advice", "self-harm"),
            ),
        ),
        Stage(
            kind=StageKind.COHORT, name="internal", percent=50, where={"email_domain": "example.com"}, min_hold=2 * HOUR
        ),
        Stage(kind=StageKind.CANARY, name="canary", percent=5, min_hold=6 * HOUR, max_hold=24 * HOUR, min_samples=1500),
        *(Stage(kind=StageKind.RAMP, name=f"ramp {p}%", percent=p, min_hold=12 * HOUR) for p in (10, 25, 50, 100)),
        Stage(kind=StageKind.BAKE, name="bake", percent=100, min_hold=48 * HOUR),
    )
    assert plan.approvals == Approvals(required=1)
    assert plan.start == datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    assert plan.segments == ("plan", "language", "region")
    assert plan.expectations[0] == Expectation(metric="output_tokens", direction="down", low=-0.4, high=-0.2)
    assert plan.behaviour_changes[2].unchanged
    assert plan.notices[1] == NoticePlan(channel="#support", audience="support", before=24 * HOUR, acknowledge=True)
    assert [limit.metric for limit in plan.limits if limit.role is LimitRole.HOLD] == [
        "retry_rate",
        "conversation_turns",
        "suggestion_ctr",
    ]
    assert plan.limits[:4] == (
        Limit(
            metric="eval_pass_rate",
            kind=LimitKind.DROPS_BY,
            amount=0.02,
            scale=LimitScale.POINTS,
            role=LimitRole.ROLLBACK,
        ),
        Limit(
            metric="cost_per_request",
            kind=LimitKind.RISES_BY,
            amount=0.15,
            scale=LimitScale.RELATIVE,
            role=LimitRole.ROLLBACK,
        ),
        Limit(
            metric="latency_p95",
            kind=LimitKind.EXCEEDS,
            amount=4000,
            scale=LimitScale.ABSOLUTE,
            role=LimitRole.ROLLBACK,
            lasting=timedelta(minutes=15),
        ),
        Limit(
            metric="new_error_category",
            kind=LimitKind.RATE_ABOVE,
            amount=0.002,
            scale=LimitScale.ABSOLUTE,
            role=LimitRole.ROLLBACK,
            min_events=5,
        ),
    )


@pytest.mark.shows("E63", "E64", "E65", "E66", "E68")
def test_the_model_upgrade_as_a_plan(files, built, surface, policy):
    on = replace(surface, live="v43", versions={**surface.versions, "v43": surface.live_content})
    plan = built(files("model-upgrade.yaml"), on=on, policy=policy)
    assert plan.to_version == "v44"
    assert ", ".join(stage.name for stage in plan.stages) == (
        "eval, safety, cost_latency, rollback_drill, internal, canary, ab, ramp 75%, ramp 100%, bake"
    )
    assert plan.stages[1].terms == EvalTerms(suite="evals/safety.yaml", no_new_failures_in=("*",))
    assert plan.stages[2].terms == EvalTerms(suite="last-2000-requests", max_cost_rise=0.25, max_p95_rise=0.2)
    assert plan.stages[3].drill_within == timedelta(seconds=10)
    assert plan.stages[6].min_hold == timedelta(days=14)
    assert plan.stages[6].decide_on == ("eval_pass_rate", "retry_rate", "escalation_rate")
    assert [stage.advance for stage in plan.stages[6:9]] == [AdvanceMode.AUTO, AdvanceMode.APPROVE, AdvanceMode.APPROVE]
    assert plan.approvals == Approvals(required=2, groups=("@ai-leads", "@support-leads"))
    assert plan.rollback_until == plan.deadline == "2027-02-15"
    assert plan.expectations[0].points


@pytest.mark.parametrize(
    ("risk", "written", "required"), [("low", "", 0), ("low", 2, 2), ("standard", 0, 1), ("high", 1, 2), ("high", 3, 3)]
)
def test_approvals_are_the_larger_of_file_and_risk_class(small, built, risk, written, required):
    asked = f"approvals: {{required: {written}}}\nnotify:" if written != "" else "notify:"
    plan = built(small(("risk: standard", f"risk: {risk}"), ("notify:", asked)))
    assert plan.approvals.required == required


def test_the_next_version_is_one_above_the_highest_ever(small, built, surface):
    assert built(small()).to_version == "v43"
    retired = replace(surface, versions={**surface.versions, "v57": {}})
    assert built(small(), on=retired).to_version == "v58"
    assert built(small(), to_version="v43").to_version == "v43"
    assert (
        built(small(('{prompt: "Fix', '{version: kind-words, prompt: "Fix')), to_version="v43").to_version
        == "kind-words"
    )


def test_settings_are_changed_one_by_one_and_other_parts_whole(small, built):
    text = small(
        (
            '{prompt: "Fix first."}',
            '{params: {temperature: 0.1}, tools: [search_help], prompt: {text: "Fix"}, routing: {default: large-3}}',
        )
    )
    assert built(text).change == {
        "params": {"temperature": 0.1, "effort": "medium"},
        "tools": ["search_help"],
        "prompt": {"text": "Fix"},
    }


def test_a_plan_may_start_from_an_older_version_by_name(small, built):
    text = small(("@v42", "@v41"), ('{prompt: "Fix first."}', "{params: {effort: high}}"))
    assert built(text).change == {"params": {"temperature": 0.5, "effort": "high"}}


def test_what_cannot_become_a_plan_is_refused_at_its_line(small, built, surface, policy):
    with pytest.raises(
        UnreadableFile, match=r"7:9: change\.from: support-assistant has never had a version v7, only v41, v42"
    ):
        built(small(("@v42", "@v7")))
    with pytest.raises(UnreadableFile, match=r"8:3: change\.to: nothing changes"):
        built(small(('{prompt: "Fix first."}', "{tools: [lookup_order, search_help]}")))
    with pytest.raises(UnreadableFile, match="the rollout would have no card"):
        built(small(('  - {channel: "#ai-rollouts", as: engineering}\n', "")), on=replace(surface, notices=()))
    with pytest.raises(UnreadableFile, match="the clocks skip it"):
        built(small() + 'start: "2027-03-28 02:30"\n', policy=policy)


def test_without_notify_the_surface_says_who_and_the_template_how_long_before(small, built):
    text = small().partition("notify:")[0]
    assert built(text).notices == (
        NoticePlan(channel="#ai-rollouts", audience="engineering"),
        NoticePlan(channel="#support", audience="support", before=24 * HOUR),
        NoticePlan(channel="#marketing", audience="marketing", before=24 * HOUR),
    )


def test_a_low_risk_that_nobody_notices_needs_no_notice(small, built):
    text = small(("risk: standard", "risk: low")).partition("notify:")[0]
    assert len(built(text).notices) == 3
    unseen = text.replace('text: "Answers start with the fix."', "text: Nothing changes for refunds., kind: unchanged")
    assert [notice.audience for notice in built(unseen).notices] == ["engineering"]


def test_the_card_goes_to_the_surface_where_the_file_names_nobody(small, built):
    plan = built(small(('  - {channel: "#ai-rollouts", as: engineering}\n', "")))
    assert plan.engineering_channel == "#ai-rollouts"
    assert len(plan.stakeholder_notices) == 1


def test_the_owner_is_the_surfaces_where_the_file_names_nobody(small, built):
    assert built(small(('owner: "@dana"\n', ""))).owner_handle == "@dana"


def test_a_start_without_a_zone_is_in_the_policys(small, built, policy):
    text = small() + "start: 2026-07-01 10:00\n"
    assert built(text).start == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert built(text, policy=policy).start == datetime(2026, 7, 1, 8, tzinfo=UTC)
    for written in ("2026-07-01T10:00:00+02:00", "2026-07-01 08:00 Z", "2026-07-01 04:00 America/New_York"):
        assert built(small() + f'start: "{written}"\n').start == datetime(2026, 7, 1, 8, tzinfo=UTC)


def test_an_hour_that_the_clocks_repeat_means_the_first(small, built):
    plan = built(small() + 'start: "2026-10-25 02:30 Europe/Berlin"\n')
    assert plan.start == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_limits_carry_their_confidence_and_mode(small, built):
    plan = built(small(("drops_by: 2pp}", "drops_by: 2pp, confidence: strict, mode: dry_run}")))
    assert (plan.limits[0].strict, plan.limits[0].dry_run) == (True, True)
    assert (plan.limits[1].strict, plan.limits[1].dry_run) == (False, False)


def test_one_and_a_half_times_is_half_more(small, built):
    limit = built(small(("rises_by: 15%", "rises_by: 1.5x"))).limits[1]
    assert (limit.amount, limit.scale) == (0.5, LimitScale.RELATIVE)


def test_cohorts_take_equalities_and_lists_as_texts(small, built):
    where = "{plan: [pro, team], internal: true, region: 7}"
    text = small(("{email_domain: example.com}", where))
    assert built(text).stages[0].where == {"plan": ("pro", "team"), "internal": "true", "region": "7"}


def test_the_policy_decides_what_a_risk_class_asks(small, built):
    strict = replace(
        DEFAULT_POLICY,
        risk={**DEFAULT_POLICY.risk, Risk.STANDARD: replace(DEFAULT_POLICY.risk[Risk.STANDARD], approvals=3)},
    )
    assert built(small(), policy=strict).approvals.required == 3


def test_the_same_text_has_the_same_fingerprint(small, built):
    assert built(small()).fingerprint() == built("# a comment\n" + small()).fingerprint()
    assert built(small()).fingerprint() != built(small(("min_hold: 6h", "min_hold: 7h"))).fingerprint()
