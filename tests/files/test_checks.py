"""A file that reads well may still ask for what cannot be, must not be, or is unwise."""

# ruff: noqa: E501  (what people see is quoted whole)

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from inline_snapshot import snapshot

from core.files.read_file import parse_file
from core.files.syntax.problems import select_errors
from core.rollout.state.surface import RetirementTold


def test_the_good_files_have_nothing_to_say(files, checked, small, surface, policy):
    later = replace(surface, live="v43", versions={**surface.versions, "v43": surface.live_content})
    assert checked(files("prompt-change.yaml"), policy=policy) == ""
    assert checked(files("model-upgrade.yaml"), on=later, policy=policy) == ""
    assert checked(files("surface.yaml")) == checked(files("policy.yaml")) == checked(small()) == ""


def test_somebody_shipped_in_between(small, checked, surface):
    moved = replace(
        surface, live="v44", daily_requests=None, versions={**surface.versions, "v44": surface.live_content}
    )
    assert checked(small(), on=moved) == snapshot("""\
bad.yaml:7:9: change.from: v42 is no longer live, v44 is: someone shipped in between. Write support-assistant@v44 here and review the plan again
      from: support-assistant@v42
            ^
bad.yaml 1 problem\
""")
    assert checked(small(), on=None) == ""


def test_a_change_that_changes_nothing_or_names_another_surface(small, checked):
    same = '{params: {effort: medium}, model: {provider: acme-ai, name: large-3, snapshot: "2026-03-01"}}'
    assert checked(small(('{prompt: "Fix first."}', same))) == snapshot("""\
bad.yaml:8:3: change.to: nothing changes: v42 already has exactly this content
      to: {params: {effort: medium}, model: {provider: acme-ai, name: large-3, snapshot: "2026-03-01"}}
      ^
bad.yaml 1 problem\
""")
    assert checked(small(("from: support-assistant@v42", "from: search@v42"))) == snapshot("""\
bad.yaml:7:9: change.from: "search" is not the surface of this file, which is support-assistant
      from: search@v42
            ^
bad.yaml 1 problem\
""")
    assert checked(small(('{prompt: "Fix', '{version: v42, prompt: "Fix'))) == snapshot("""\
bad.yaml:8:17: change.to.version: v42 is also the version that it starts from
      to: {version: v42, prompt: "Fix first."}
                    ^
bad.yaml 1 problem\
""")


@pytest.mark.shows("E70")
def test_a_model_that_can_change_by_itself(small, checked):
    def to(model, risk="standard"):
        return checked(
            small(
                ('{prompt: "Fix first."}', f"{{model: {model}}}"),
                ("risk: standard", f"risk: {risk}\ntemplate: tools-change"),
            )
        )

    assert to("latest") == snapshot("""\
bad.yaml:9:15: change.to.model: 'latest' can change without you. Use a dated snapshot.
      to: {model: latest}
                  ^
bad.yaml 1 problem\
""")
    assert "'large-latest' can change without you" in to("{provider: acme-ai, name: large-latest}")
    assert to("{provider: acme-ai, name: large-4}") == snapshot("""\
bad.yaml:9:15: warning: change.to.model: this model has no date, so it can change without you. Use a dated snapshot.
      to: {model: {provider: acme-ai, name: large-4}}
                  ^
bad.yaml 1 warning\
""")
    assert "warning" not in to("{provider: acme-ai, name: large-4}", risk="high").splitlines()[0]
    assert to("large-4-20261130") == to('{name: large-4, snapshot: "2026-11-30"}') == ""


def test_limits_that_leave_something_unwatched(small, checked):
    without = small(
        ("  - {metric: cost_per_request, rises_by: 15%}\n", ""),
        ("  - {metric: latency_p95, exceeds: 4000ms, for: 15m}\n", ""),
    )
    assert checked(without) == snapshot("""\
bad.yaml:18:1: warning: rollback_when: no limit covers cost or latency: add one such as cost_per_request rises_by 15%
    rollback_when:
    ^
bad.yaml 1 warning\
""")
    dry = small(("drops_by: 2pp}", "drops_by: 2pp, mode: dry_run}"))
    assert "no limit covers quality" in checked(dry)


@pytest.mark.shows("E21")
def test_a_signal_that_would_roll_back_is_warned_of(small, checked):
    limit = "{metric: retry_rate, rises_by: 1pp}\n"
    rolls_back = checked(small(("rollback_when:\n", f"rollback_when:\n  - {limit}")))
    assert "warning: rollback_when.0.metric: retry_rate is a signal: what people do has many causes" in rolls_back
    assert "problem" not in rolls_back
    assert "signal" not in checked(small(("rollback_when:\n", f"hold_when:\n  - {limit}rollback_when:\n")))


def test_high_risk_turns_advice_into_a_refusal(small, checked):
    text = small(
        ("risk: standard", "risk: high"),
        ("  - {metric: cost_per_request, rises_by: 15%}\n", ""),
        ("notify:", "approvals: {required: 1, owner_may_approve: true}\nnotify:"),
    )
    assert checked(text) == snapshot("""\
bad.yaml:13:1: stages: high risk needs an eval stage
    stages:
    ^
bad.yaml:18:1: rollback_when: no limit covers cost: add one such as cost_per_request rises_by 15%
    rollback_when:
    ^
bad.yaml:21:23: approvals.required: high risk needs at least 2 approvals, not 1
    approvals: {required: 1, owner_may_approve: true}
                          ^
bad.yaml:21:45: approvals.owner_may_approve: at high risk the owner may not approve
    approvals: {required: 1, owner_may_approve: true}
                                                ^
bad.yaml 4 problems\
""")


def test_a_limit_written_twice(small, checked):
    assert checked(small(("notify:", "  - {metric: eval_pass_rate, drops_by: 5%}\nnotify:"))) == snapshot("""\
bad.yaml:22:30: rollback_when.3.drops_by: eval_pass_rate drops_by is written twice; the first is on line 19
      - {metric: eval_pass_rate, drops_by: 5%}
                                 ^
bad.yaml:19:5: the other line
      - {metric: eval_pass_rate, drops_by: 2pp}
        ^
bad.yaml 1 problem\
""")
    assert checked(small(("notify:", "  - {metric: eval_pass_rate, changes_by: 5%}\nnotify:"))) == ""


def test_harm_that_is_expected_asks_for_a_strict_limit(small, checked):
    """Once it is proven, as it will be, a limit of the other kind goes by one estimate."""
    text = small(("{direction: down, range: [-20%, -5%]}", "{direction: up, range: [5%, 12%]}"))
    assert checked(text) == snapshot("""\
bad.yaml:20:42: warning: rollback_when.1.rises_by: line 12 expects harm in cost_per_request, so it is proven before long, and one estimate beyond the limit is enough then: write confidence: strict, which asks for proof that the limit is broken
      - {metric: cost_per_request, rises_by: 15%}
                                             ^
bad.yaml:12:37: the other line
      cost_per_request: {direction: up, range: [5%, 12%]}
                                        ^
bad.yaml 1 warning\
""")
    assert checked(text.replace("rises_by: 15%", "rises_by: 15%, confidence: strict")) == ""
    assert checked(text.replace("[5%, 12%]", "[0%, 12%]")) == ""
    drops = "eval_pass_rate: {direction: down, range: [-1pp, -0.5pp]}"
    assert "asks for proof that the limit is broken" in checked(
        small(("cost_per_request: {direction: down, range: [-20%, -5%]}", drops))
    )


def test_an_expectation_that_a_limit_forbids_points_at_both_lines(small, checked):
    text = small(("{direction: down, range: [-20%, -5%]}", "{direction: up, range: [0%, 20%]}"))
    assert checked(text) == snapshot("""\
bad.yaml:12:44: expectations.cost_per_request.range: line 12 expects what line 20 forbids: widen the limit or expect less
      cost_per_request: {direction: up, range: [0%, 20%]}
                                               ^
bad.yaml:20:32: the other line
      - {metric: cost_per_request, rises_by: 15%}
                                   ^
bad.yaml 1 problem\
""")


@pytest.mark.parametrize(
    ("expected", "limit", "said"),
    [
        ("retry_rate: {direction: down, range: [-3pp, 0pp]}", "retry_rate, drops_by: 2pp", True),
        ("retry_rate: {direction: down, range: [-3pp, 0pp]}", "retry_rate, changes_by: 2pp", True),
        ("retry_rate: {direction: down, range: [-2pp, 0pp]}", "retry_rate, changes_by: 2pp", False),
        ("retry_rate: {direction: up, range: [0pp, 3pp]}", "retry_rate, rises_by: 2%", False),
        ("retry_rate: {direction: up}", "retry_rate, rises_by: 2pp", False),
        ("complaint_rate: {direction: up, range: [0%, 60%]}", "complaint_rate, exceeds_normal_by: 50%", True),
        ("latency_p50: {direction: up, range: [0%, 60%]}", "latency_p50, exceeds: 900ms", False),
    ],
)
def test_only_a_range_beyond_a_limit_of_the_same_scale_contradicts_it(small, checked, expected, limit, said):
    text = small(
        ("expectations:\n", f"expectations:\n  {expected}\n"), ("notify:", f"hold_when: [{{metric: {limit}}}]\nnotify:")
    )
    assert ("stops for" in checked(text)) is said


@pytest.mark.shows("E63")
def test_stages_out_of_order_twice_or_shrinking(small, checked):
    head, _, tail = small().partition("stages:\n")
    stages = """\
  - canary: {percent: 5, min_hold: 1h}
  - eval: {min_pass_rate: 92%}
  - canary: {percent: 3, min_hold: 1h}
  - ramp: {steps: [50%, 25%, 75%]}
  - bake: {hold: 1h}
  - bake: {hold: 2h}
"""
    assert checked(f"{head}stages:\n{stages}rollback_when:{tail.partition('rollback_when:')[2]}") == snapshot("""\
bad.yaml:15:5: stages.1.eval: eval comes after canary; the order is eval, safety, cost_latency, rollback_drill, cohort, canary, ab, ramp, bake
      - eval: {min_pass_rate: 92%}
        ^
bad.yaml:16:5: stages.2.canary: canary is already there, as stage 1
      - canary: {percent: 3, min_hold: 1h}
        ^
bad.yaml:16:23: stages.2.canary.percent: 3% after 5%: percentages must grow
      - canary: {percent: 3, min_hold: 1h}
                          ^
bad.yaml:17:25: stages.3.ramp.steps.1: 25% after 50%: percentages must grow
      - ramp: {steps: [50%, 25%, 75%]}
                            ^
bad.yaml:17:30: stages.3.ramp.steps.2: the last step of a ramp is 100%, not 75%
      - ramp: {steps: [50%, 25%, 75%]}
                                 ^
bad.yaml:19:5: stages.5.bake: bake is already there, as stage 5
      - bake: {hold: 2h}
        ^
bad.yaml 6 problems\
""")


def test_two_cohorts_need_two_names(small, checked):
    again = "  - cohort: {name: internal, where: {plan: beta}}\n  - canary"
    assert checked(small(("  - canary", again))) == snapshot("""\
bad.yaml:15:13: stages.1.cohort: two stages are called "internal"
      - cohort: {name: internal, where: {plan: beta}}
                ^
bad.yaml 1 problem\
""")


def test_what_the_policy_lets_be_left_out(small, checked, policy):
    without = small(
        ("  - cohort: {name: internal, where: {email_domain: example.com}, hold: 2h}\n", ""),
        ("  - bake: {hold: 2h}\n", ""),
    )
    assert checked(without) == snapshot("""\
bad.yaml:13:1: warning: stages: the policy lets a standard risk rollout leave out cohort, but not bake
    stages:
    ^
bad.yaml 1 warning\
""")
    assert "warning" not in checked(without, policy=policy)
    low = without.replace("risk: standard", "risk: low")
    assert checked(low) == ""


def test_nobody_would_see_it_before_everybody(small, checked):
    head, _, tail = small().partition("stages:\n")
    rest = f"rollback_when:{tail.partition('rollback_when:')[2]}"
    assert "everybody would get the new version at once" in checked(f"{head}stages:\n  - bake: {{hold: 1h}}\n{rest}")
    one_step = f"{head}stages:\n  - canary: {{percent: 5}}\n  - bake: {{hold: 1h}}\n{rest}"
    assert checked(one_step) == snapshot("""\
bad.yaml:14:23: warning: stages.0.canary.percent: this goes from 5% to everybody in one step: consider a ramp in between
      - canary: {percent: 5}
                          ^
bad.yaml 1 warning\
""")


@pytest.mark.shows("E2", "E10", "E66")
def test_a_canary_outside_the_policy(small, checked, policy):
    text = small(("percent: 5, min_hold: 6h", "percent: 10, min_hold: 1h"))
    assert checked(text, policy=policy) == snapshot("""\
bad.yaml:15:23: stages.1.canary.percent: a canary of 10% is outside the policy (1% to 5%): choose one within it, or change canary_percent in the policy first
      - canary: {percent: 10, min_hold: 1h, max_hold: 24h, min_samples: 1500}
                          ^
bad.yaml:15:37: stages.1.canary.min_hold: the policy asks a standard risk canary to hold at least 6 h; this one holds 1 h
      - canary: {percent: 10, min_hold: 1h, max_hold: 24h, min_samples: 1500}
                                        ^
bad.yaml 2 problems\
""")
    short = {risk: replace(terms, min_canary_hold=timedelta(0)) for risk, terms in policy.risk.items()}
    assert checked(text, policy=replace(policy, canary_max=50.0, risk=short)) == ""


def test_a_template_outside_the_policy_points_at_its_name(small, checked, policy):
    head, _, tail = small().partition("stages:\n")
    text = f"{head}template: model-upgrade-high-stakes\nrollback_when:{tail.partition('rollback_when:')[2]}"
    assert checked(text, policy=replace(policy, canary_min=2.0)) == snapshot("""\
bad.yaml:13:11: template: a canary of 1% is outside the policy (2% to 5%): choose one within it, or change canary_percent in the policy first
    template: model-upgrade-high-stakes
              ^
bad.yaml 1 problem\
""")


def test_a_sample_that_would_take_longer_than_any_stage_lasts_is_an_error(small, checked, surface):
    """At 166,000 requests a day 5 % sees 3,037,800 of them in a year."""
    never = small((", max_hold: 24h, min_samples: 1500", ", min_samples: 4000000"), ("drops_by: 2pp", "drops_by: 4pp"))
    said = checked(never, on=surface)
    assert "stages.1.canary.min_samples: 4,000,000 requests are never reached: at 166,000 requests a day, " in said
    assert "warning: stages.1.canary.min_samples" not in said
    assert "never reached" not in checked(never.replace("4000000", "3000000"), on=surface)


def test_a_sample_that_the_traffic_cannot_give(small, checked, surface):
    text = small(("min_samples: 1500", "min_samples: 20000"), ("drops_by: 2pp", "drops_by: 4pp"))
    assert checked(text, on=surface) == snapshot("""\
bad.yaml:15:68: warning: stages.1.canary.min_samples: 20,000 requests cannot be reached: at 166,000 requests a day, 5% sees about 8,300 in 24 h. It would stop and ask
      - canary: {percent: 5, min_hold: 6h, max_hold: 24h, min_samples: 20000}
                                                                       ^
bad.yaml 1 warning\
""")
    assert checked(text, on=replace(surface, daily_requests=None)) == ""


def test_what_is_live_already_is_only_warned_about(files, checked):
    text = files("surface.yaml").replace('{provider: acme-ai, name: large-3, snapshot: "2026-03-01"}', "latest")
    assert checked(text) == snapshot("""\
bad.yaml:10:10: warning: live.model: 'latest' can change without you. Use a dated snapshot.
      model: latest
             ^
bad.yaml 1 warning\
""")


def test_a_policy_that_lets_one_person_decide(files, checked):
    text = files("policy.yaml").replace("high:     {approvals: 2", "high:     {approvals: 1")
    assert checked(text) == snapshot("""\
bad.yaml:12:25: warning: risk.high.approvals: high risk with 1 approval: two people should agree
      high:     {approvals: 1, min_canary_hold: 24h, may_skip: []}
                            ^
bad.yaml 1 warning\
""")


def test_warnings_do_not_refuse(small, surface):
    from core.files.checks.check_files import check
    from core.rollout.plans.policy import DEFAULT_POLICY

    file = parse_file(small(("  - {metric: cost_per_request, rises_by: 15%}\n", "")), "f")
    found = check(file, surface, DEFAULT_POLICY, None)
    assert found
    assert select_errors(found) == ()


def _staged(small: Any, stages: str) -> str:
    head, _, tail = small().partition("stages:\n")
    return f"{head}stages:\n{stages}rollback_when:{tail.partition('rollback_when:')[2]}"


@pytest.mark.parametrize("risk", ["low", "standard", "high"])
@pytest.mark.parametrize("gate", ["", "  - eval: {min_pass_rate: 92%}\n"])
def test_nobody_begins_with_a_large_step(small, checked, risk, gate):
    ramp = "  - ramp: {steps: [100%], hold: 1h}\n  - bake: {hold: 1h}\n"
    text = _staged(small, gate + ramp).replace("risk: standard", f"risk: {risk}")
    assert "100% would be the first to see it, but the policy allows at most 5%" in checked(text)
    assert '"- canary: {percent: 5, min_hold: 1h}" before the ramp' in checked(text)


@pytest.mark.shows("E74")
@pytest.mark.parametrize(
    "first",
    [
        "  - canary: {percent: 5, min_hold: 6h}\n",
        "  - cohort: {name: internal, where: {internal: true}, hold: 2h}\n",
        "  - ab: {percent: 50, days: 7}\n",
    ],
)
def test_somebody_tries_it_first(small, checked, first):
    assert "first to see it" not in checked(_staged(small, f"{first}  - ramp: {{steps: [100%], hold: 1h}}\n"))


def test_a_first_step_that_is_a_canary_in_all_but_name(small, checked, policy):
    def begins(step: str) -> bool:
        text = _staged(small, f"  - ramp: {{steps: [{step}, 50%, 100%], hold: 6h}}\n  - bake: {{hold: 1h}}\n")
        return "first to see it" not in checked(text, policy=policy)

    assert begins("5%")
    assert not begins("6%")


def test_dates_that_leave_no_time_are_warned_of(small, checked):
    why = '  to: {prompt: "Fix first."}'
    longer = ("  - bake: {hold: 2h}", "  - bake: {hold: 48h}")
    late = small(longer, (why, f"{why}\n  deadline: 2026-11-21\n  rollback_to_available_until: 2026-11-21"))
    assert checked(late) == snapshot("""\
bad.yaml:9:13: warning: change.deadline: with these holds it ends on Mon 23 Nov 2026 19:00 UTC at the earliest, which is after this deadline
      deadline: 2026-11-21
                ^
bad.yaml:10:32: warning: change.rollback_to_available_until: it is watched until Mon 23 Nov 2026 19:00 UTC at the earliest, but nobody could roll back after this day: shorten the holds, or start earlier
      rollback_to_available_until: 2026-11-21
                                   ^
bad.yaml 2 warnings\
""")
    assert checked(late.replace("2026-11-21", "2026-11-30")) == ""


@pytest.mark.shows("E69")
def test_an_old_version_that_is_switched_off_before_the_start_is_no_way_back(small, checked):
    why = '  to: {prompt: "Fix first."}'
    gone = small((why, f"{why}\n  rollback_to_available_until: 2026-11-19"))
    assert checked(gone) == snapshot("""\
bad.yaml:9:32: change.rollback_to_available_until: it starts on Sat 21 Nov 2026 09:00 UTC at the earliest, and nobody could be rolled back from its first moment: let it start by this day; if the old version cannot be called already, write template: emergency-fix, and harm holds it instead of going back
      rollback_to_available_until: 2026-11-19
                                   ^
bad.yaml 1 problem\
""")
    assert "warning: change.rollback_to_available_until" in checked(
        gone.replace("risk:", "template: emergency-fix\nrisk:")
    )


def _to_large_4(small, *more):
    return small(('to: {prompt: "Fix first."}', 'to: {model: "large-4-2026-11-30"}'), *more)


def _told(surface, model="large-3", on=date(2026, 11, 22)):
    told = RetirementTold(model=model, on=on, replacement="large-4", days=7)
    return replace(surface, daily_requests=None, retirements=(told,))


def test_a_provider_that_switches_the_old_model_off_is_warned_of_like_the_files_own_day(small, checked, surface):
    longer = _to_large_4(small, ("  - bake: {hold: 2h}", "  - bake: {hold: 48h}"))
    assert checked(longer, on=_told(surface)) == snapshot("""\
bad.yaml:7:9: warning: change.from: v42 calls large-3, which is switched off on 2026-11-22: it is watched until Mon 23 Nov 2026 19:00 UTC at the earliest, but nobody could roll back after 2026-11-21: shorten the holds, or start earlier
      from: support-assistant@v42
            ^
bad.yaml 1 warning\
""")
    gone = checked(_to_large_4(small), on=_told(surface, on=date(2026, 11, 20)))
    assert "bad.yaml:7:9: change.from: v42 calls large-3, which is switched off on 2026-11-20: it starts on" in gone
    assert "let it start by 2026-11-19" in gone
    assert checked(_to_large_4(small), on=_told(surface, on=date(2026, 12, 24))) == ""


def test_a_file_whose_day_is_later_than_the_providers_says_which_one_holds(small, checked, surface):
    why = ("behaviour_changes:", "  rollback_to_available_until: 2027-01-31\nbehaviour_changes:")
    assert checked(_to_large_4(small, why), on=_told(surface, on=date(2026, 12, 24))) == snapshot("""\
bad.yaml:9:32: warning: change.rollback_to_available_until: v42 calls large-3, which is switched off on 2026-12-24: its last day is 2026-12-23, and nobody is moved back to it later
      rollback_to_available_until: 2027-01-31
                                   ^
bad.yaml 1 warning\
""")


def test_a_new_version_whose_model_is_switched_off_is_refused_or_warned_of(small, checked, surface):
    assert checked(small(), on=_told(surface)) == snapshot("""\
bad.yaml:8:7: warning: change.to: the new version calls large-3, which is switched off on 2026-11-22: name a model such as large-4
      to: {prompt: "Fix first."}
          ^
bad.yaml 1 warning\
""")
    assert checked(_to_large_4(small), on=_told(surface, "large-4-20261130", date(2026, 11, 21))) == snapshot("""\
bad.yaml:8:7: change.to: the new version calls large-4-20261130, which is switched off on 2026-11-21: name a model such as large-4
      to: {model: "large-4-2026-11-30"}
          ^
bad.yaml 1 problem\
""")


def test_a_unit_that_is_only_a_note_says_what_to_send(small, checked):
    text = small(("rollback_when:", "assignment: {unit: account}\nrollback_when:"))
    assert "warning: assignment.unit: Rampart splits traffic by the targetingKey" in checked(text)
    assert checked(text.replace("account", "user")) == ""


@pytest.mark.parametrize("percent", ["0.00001", "0.00006%", '"0.00009%"'])
def test_a_share_that_reaches_nobody_is_refused_in_the_words_it_was_written_in(small, refused, percent):
    text = small(("percent: 5", f"percent: {percent}"))
    digits = percent.strip('"%')
    assert f"{digits}% reaches nobody: the smallest share is 0.0001%" in refused(text)


@pytest.mark.parametrize(
    "first",
    [
        "  - cohort: {name: me, where: {id: u-1}}\n",
        "  - ab: {percent: 50, hold: 1m}\n",
        "  - ramp: {steps: [1%, 5%, 50%, 100%], hold: 1m}\n",
    ],
)
def test_a_trial_that_holds_for_less_than_a_canary_must_is_none(small, checked, policy, first):
    ramp = "" if "ramp" in first else "  - ramp: {steps: [75%, 100%], hold: 1m}\n"
    text = _staged(small, f"{first}{ramp}  - bake: {{hold: 1h}}\n")
    assert "a stage must hold for 6 h, as the policy asks of a canary" in checked(text, policy=policy)
    longer = text.replace("hold: 1m}", "hold: 6h}").replace("u-1}}", "u-1}, hold: 6h}")
    assert "a stage must hold" not in checked(longer, policy=policy)


@pytest.mark.shows("E59")
def test_a_comparison_covers_whole_weeks_and_is_decided_on_what_it_can_test(small, checked):
    with_ab = small(
        (
            "  - ramp: {steps: [25%, 100%], hold: 1h}",
            "  - ab: {days: 10, decide_on: [retry_rate, latency_p95]}\n  - ramp: {steps: [100%], hold: 1h}",
        )
    )
    assert checked(with_ab) == snapshot("""\
bad.yaml:16:16: warning: stages.2.ab.days: 10 days are no whole weeks, so that some weekdays would count more than others: write 7
      - ab: {days: 10, decide_on: [retry_rate, latency_p95]}
                   ^
bad.yaml:16:44: stages.2.ab.decide_on.1: a comparison cannot be decided on latency_p95, which has no average to compare: leave it out; a limit on it is watched all the time
      - ab: {days: 10, decide_on: [retry_rate, latency_p95]}
                                               ^
bad.yaml 1 problem, 1 warning\
""")
    assert (
        checked(
            small(
                ("  - ramp: {steps: [25%, 100%], hold: 1h}", "  - ab: {days: 14}\n  - ramp: {steps: [100%], hold: 1h}")
            )
        )
        == ""
    )


def test_a_comparison_leaves_somebody_to_compare_with(small, refused):
    ramp = "  - ramp: {steps: [25%, 100%], hold: 1h}"
    said = refused(small((ramp, "  - ab: {percent: 100, days: 14}\n  - ramp: {steps: [100%], hold: 1h}")))
    assert "stages.2.ab.percent: nobody would be left to compare with: write less, such as 50%" in said


def test_a_comparison_that_would_end_before_its_length_is_refused_with_its_line(small, refused):
    ramp = "  - ramp: {steps: [25%, 100%], hold: 1h}"
    said = refused(small((ramp, "  - ab: {days: 14, max_hold: 7d}\n  - ramp: {steps: [100%], hold: 1h}")))
    assert said.startswith("bad.yaml:16:")
    assert "max_hold is shorter than" in said
