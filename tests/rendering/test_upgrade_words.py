"""What is said of a model upgrade is true: what a step waits for, which stage it is, which gate."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from bot.rendering.charts import plain_text
from bot.rendering.messages import announcement_messages, approval, card, event_lines, event_words, summary
from bot.rendering.messages.notices import change_status, notice
from bot.rendering.numbers.detectability import known_areas
from bot.rendering.sentences import schedule
from core.judging.model import verdict as v
from core.reviews import draft
from core.rollout.concurrency.neighbours import Neighbours
from core.rollout.notifications.announcement import Announcement, notice_key
from core.rollout.notifications.announcement_kinds import AnnouncementKind
from core.rollout.plans.plan import Risk, Stage, StageKind
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.surface import RetirementTold, Surface
from core.rollout.state.world import World

DAY = timedelta(days=1)
STAGES = (
    Stage(kind=StageKind.EVAL, name="eval"),
    Stage(kind=StageKind.SAFETY, name="safety"),
    Stage(kind=StageKind.COST_LATENCY, name="cost_latency"),
    Stage(kind=StageKind.COHORT, name="internal", percent=50, where={"email_domain": "example.com"}, min_hold=DAY),
    Stage(kind=StageKind.CANARY, name="canary", percent=1, min_hold=DAY),
    Stage(kind=StageKind.AB, name="ab", percent=50, min_hold=14 * DAY, decide_on=("eval_pass_rate",)),
    Stage(kind=StageKind.RAMP, name="ramp 75%", percent=75, min_hold=DAY),
    Stage(kind=StageKind.RAMP, name="ramp 100%", percent=100, min_hold=DAY),
    Stage(kind=StageKind.BAKE, name="bake", percent=100, min_hold=7 * DAY),
)
COHORT, CANARY, AB, SEVENTY_FIVE = 3, 4, 5, 6


@pytest.fixture
def upgrade(words: Any) -> Any:
    """A story of a high-risk rollout with every kind of stage."""
    return words.story(plan=replace(words.plan, risk=Risk.HIGH, stages=STAGES))


def passed(stage: int) -> e.EvalRecorded:
    return e.EvalRecorded(
        stage=stage, suite="", ok=True, passed=196, failed=4, errors=0, reasons=(), cases=(), digest="d", by="cli:ana"
    )


def summed_up(words: Any, story: Any) -> str:
    kept = (words.measure("hard_error_rate", "Failed requests"), *words.measures[:4])
    evidence = story.evidence(v.Cleared(), measures=kept, canary_requests=90_000)
    return summary.render(story.now, evidence, story.at, words.zone).text


def requested(words: Any, story: Any, gate: str) -> str:
    request = story.request(gate=gate, needed=2)
    story.happen(request)
    return plain_text.render_text(approval.render(story.now, request, (), story.at, words.zone))


def test_a_step_that_people_approve_is_not_called_automatic(words: Any, upgrade: Any) -> None:
    told = summed_up(words, upgrade.running(CANARY))
    assert "automatically" not in told
    assert told.endswith("Next: long comparison 50 % Wed 25 Nov 12:00 CET, with 2 approvals.")


def test_the_step_after_a_long_comparison_waits_for_the_decision(words: Any, upgrade: Any) -> None:
    told = summed_up(words, upgrade.running(AB))
    assert told.endswith("Next: a decision Tue 8 Dec 12:00 CET.")
    nobody_approves = replace(words.plan, stages=STAGES)
    told = summed_up(words, words.story(plan=nobody_approves).running(AB))
    assert told.endswith("Next: a decision Tue 8 Dec 12:00 CET.")


def test_once_it_is_decided_the_next_step_is_the_one_that_it_takes(words: Any, upgrade: Any) -> None:
    story = upgrade.running(AB)
    kept = (words.measure("hard_error_rate", "Failed requests"), *words.measures[:4])
    step = story.evidence(v.Cleared(), measures=kept, canary_requests=90_000, reason="step")
    told = summary.render(story.now, step, story.later(days=15).at, words.zone).text
    assert told.endswith("Next: 75 %, now.")


def test_the_card_and_the_thread_say_that_a_decision_comes(words: Any, upgrade: Any) -> None:
    story = upgrade.running(AB)
    entered = e.StageEntered(index=AB, name="ab", percent=50)
    due = "Next: a decision Tue 8 Dec 12:00 CET at the earliest."
    assert event_lines.render(story.now, entered, words.zone).text == f"Long comparison: R-118 now 50 %. {due}"
    assert card.render(story.now, words.zone).text.endswith(due)


def test_watching_begins_without_an_approval_at_high_risk_too(words: Any, upgrade: Any) -> None:
    assert summed_up(words, upgrade.running(7)).endswith("Next: watching Wed 25 Nov 12:00 CET, automatically.")


def test_two_weeks_of_half_the_traffic_are_no_small_test(words: Any, upgrade: Any) -> None:
    story = upgrade.running(AB)
    entered = e.StageEntered(index=AB, name="ab", percent=50)
    assert event_lines.render(story.now, entered, words.zone).text.startswith("Long comparison: R-118 now 50 %.")
    assert "(long comparison, 50 %)" in summed_up(words, story)
    assert card.render(story.now, words.zone).text.startswith("Long comparison (50 %): R-118")


def test_a_share_of_a_cohort_is_not_told_as_one_of_everybody(words: Any, upgrade: Any) -> None:
    story = upgrade.running(COHORT)
    assert "(small test, 50 % of internal)" in summed_up(words, story)
    assert "from 50 % of internal to small test 1 %." in requested(words, story, "canary")


def test_the_stage_that_waits_for_approval_has_the_name_that_the_card_gives_it(words: Any, upgrade: Any) -> None:
    story = upgrade.running(CANARY)
    request = story.request(gate="ab", needed=2)
    assert summed_up(words, story.happen(request)).endswith("Waiting for approval: long comparison 50 %.")
    asked = event_words.describe_event(story.now, request, words.zone)
    assert asked == "Approval needed: R-118 needs 2 approvals for the long comparison (50 %)."


def test_each_gate_is_named_where_no_suite_tells_them_apart(words: Any, upgrade: Any) -> None:
    story = upgrade.running(COHORT).happen(passed(0), passed(1), passed(2))
    told = plain_text.render_text(card.render(story.now, words.zone))
    assert "\nChecks: 196/200 (98.0 %)\nSafety checks: 196/200" in told
    assert "\nCost and speed checks: 196/200" in told
    asked = requested(words, story, "canary")
    assert "checks passed: 196 of 200 · safety checks passed: 196 of 200 · cost and speed checks passed" in asked
    line = event_words.describe_event(story.now, passed(1), words.zone)
    assert line == "Safety checks passed: R-118, 196 of 200 passed."


def test_new_kinds_of_errors_need_the_old_version_beside_them(words: Any, upgrade: Any) -> None:
    story = upgrade.running(8)
    kinds = words.measure("new_error_category", "New kinds of errors", word="No data", n_control=0, role="rollback")
    failed = words.measure("hard_error_rate", "Failed requests")
    measures = (*words.measures[:4], failed, replace(kinds, limit_text="rate above 3 %"))
    assert known_areas.summarize_open(measures) == "new kinds of errors not known yet", "failed requests are known"
    past = tuple(replace(one, weaker=True) for one in measures)
    told = known_areas.describe_open(story.now, past, story.at)
    assert told == ("Cannot be told any more: new kinds of errors, as nobody has the old version to compare with.")
    assert known_areas.summarize_open(past) == "new kinds of errors cannot be told any more"
    quality = replace(past[1], word="Not enough data")
    both = known_areas.summarize_open((past[0], quality, *past[2:]))
    assert both == "quality not known yet; new kinds of errors cannot be told any more"
    seen = story.evidence(measures=past)
    shown = plain_text.render_text(summary.render(story.now, seen, story.at, words.zone))
    assert "too little data to judge" not in shown, "no amount of data would tell it"


def test_segments_in_which_nothing_stands_out_do_not_speak_against_it(words: Any, upgrade: Any) -> None:
    story = upgrade.running(CANARY)
    measures = tuple(words.measure(m.metric, m.title) for m in words.measures[:2])
    story.happen(story.evidence(measures=measures, segments=words.segments, segments_checked=14))
    asked = requested(words, story, "ab")
    assert "Against  nothing so far" in asked
    assert "nothing stands out in 14 segments" in asked.partition("Against")[0]


def test_what_the_engine_asks_later_was_not_asked_by_whoever_applied_the_file(words: Any, upgrade: Any) -> None:
    assert "Asked by Rampart for @dana, " in requested(words, upgrade.running(CANARY), "ab")


def test_the_end_of_a_comparison_that_was_planned_is_no_surprise(words: Any, upgrade: Any) -> None:
    story = upgrade.running(AB)
    story.happen(e.Held(key=f"{holds.DECISION}{AB}", text="the comparison is over after 14 days", findings=()))
    story.happen(e.Held(key=holds.COMPLAINTS, text="complaints are above normal", findings=()))
    story.rolled_back(findings=(), reason="complaints")
    unexpected = draft.draft_review(story.now, story.entries, None).unexpected
    assert [one.text for one in unexpected] == ["complaints are above normal"]


def test_what_a_provider_says_closes_the_way_back_of_a_notice_as_the_files_day_does(words: Any, upgrade: Any) -> None:
    """The file names no day, or a later one."""
    told = RetirementTold(model="large-3", on=date(2026, 12, 15), replacement="large-4", days=14)
    for named in ("", "2026-12-31"):
        plan = replace(words.plan, stages=STAGES, change={"model": "large-4"}, rollback_until=named)
        story = words.story(plan=plan).running(SEVENTY_FIVE)
        planned = story.now.plan.stakeholder_notices[0]
        surface = Surface(
            name=plan.surface,
            title="",
            owner="",
            live="v42",
            versions={"v42": {"model": "large-3"}},
            retirements=(told,),
        )
        world = World(rollouts={story.now.id: story.now}, surfaces={plan.surface: surface})
        asked = Announcement(
            kind=AnnouncementKind.NOTICE,
            rollout=story.now.id,
            channel=planned.channel,
            key=notice_key(story.now, planned.key),
        )
        for day, is_open in ((13, True), (16, False)):
            at = datetime(2026, 12, day, tzinfo=UTC)
            message = announcement_messages.render(asked, 0, world, story.entries, at)
            assert message is not None
            assert ("switch back" in plain_text.render_text(message)) == is_open


def test_once_the_old_model_is_switched_off_nobody_is_told_that_one_can_go_back(words: Any) -> None:
    plan = replace(words.plan, risk=Risk.HIGH, stages=STAGES, rollback_until="2026-12-14")
    story = words.story(plan=plan).running(SEVENTY_FIVE)
    for days, is_open in ((19, True), (22, False)):  # 13 and 16 December
        at = words.tuesday + days * DAY
        request = story.request(gate="ramp 100%", needed=2)
        asked = plain_text.render_text(approval.render(story.now, request, (), at, words.zone))
        assert ("can also switch back to v42 in seconds" in asked) == is_open
        assert ("v42 can no longer be called, so nobody is moved back to it" in asked) != is_open
        for planned in story.now.plan.stakeholder_notices:
            shown = notice.render(story.now, planned, "Support", words.monday, at, words.zone, is_closed=not is_open)
            told = plain_text.render_text(shown)
            assert ("switch back" in told) == is_open, planned.audience


def test_the_watch_after_that_day_promises_no_way_back(words: Any) -> None:
    plan = replace(words.plan, risk=Risk.HIGH, stages=STAGES, rollback_until="2026-12-14")
    bake = e.StageEntered(index=8, name="bake", percent=100)
    early = words.story(plan=plan).running(8)
    assert "; its limits are still watched." in event_words.describe_event(early.now, bake, words.zone)
    late = words.story(plan=plan).running(7).later(days=22).happen(bake)
    assert "back" not in event_words.describe_event(late.now, bake, words.zone)
    status = change_status.describe(
        late.now, "assistant", schedule.estimate_dates(late.now, late.at), late.at, words.zone, is_closed=True
    )
    assert status.endswith("The old version can no longer be used; we post “Watching is over” when watching is over.")


def test_the_dialog_of_the_button_names_the_day_that_holds(words: Any) -> None:
    plan = replace(words.plan, risk=Risk.HIGH, stages=STAGES, rollback_until="2026-12-31")
    story = words.story(plan=plan).running(8)
    shown = str(card.render(story.now, words.zone, neighbours=Neighbours(last_day=date(2026, 12, 14))).blocks)
    assert "v42 can be called until 2026-12-14." in shown
    assert "2026-12-31" not in shown
