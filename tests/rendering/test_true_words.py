"""What people read is true: of what it says, to whom it says it, and still when it is read later."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from inline_snapshot import snapshot

from bot.commands import help_pages
from bot.commands.verbs import TYPED_VERBS
from bot.rendering import wording
from bot.rendering.answers.evidence import explain
from bot.rendering.charts import plain_text
from bot.rendering.messages import announcement_messages, approval, card, event_lines, summary
from bot.rendering.messages.alerts import rollback_alert
from bot.rendering.messages.notices import change_status, follow_up, notice, notice_note
from bot.rendering.numbers import measure_rows, technical_words
from bot.rendering.numbers.latest_numbers import LatestNumbers, detection_power
from bot.rendering.sentences import schedule
from core.files.foresight.known_traffic import assume_traffic
from core.files.foresight.outlook import build_outlook
from core.judging.model.judgement import Judgement
from core.judging.model.state import JudgingState
from core.judging.model.verdict import Continue, Hold, NoControl
from core.judging.report.power import Power
from core.rollout.notifications.announcement import Announcement
from core.rollout.notifications.announcement_kinds import AnnouncementKind
from core.rollout.notifications.rollout_announcements import announce
from core.rollout.plans.layers import LayerSlots
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import RolloutState
from core.rollout.state.surface import Surface
from core.rollout.state.world import World
from tests.rendering.test_blindness import SPOT

TITLE = "Support assistant"


def told_after(words: Any, story: Any, event: Any, audience: str = "support", others: Any = ()) -> str:
    return plain_text.render_text(follow_up.render(story.now, event, audience, TITLE, story.at, words.zone, others))


def notice_to(words: Any, story: Any, audience: str, others: Any = ()) -> str:
    planned = next(n for n in story.now.plan.stakeholder_notices if n.audience == audience)
    return plain_text.render_text(
        notice.render(story.now, planned, TITLE, words.monday, story.at, words.zone, others, is_closed=False)
    )


def edited(story: Any, event: e.RolloutEvent) -> set[str]:
    """The channels whose notice is edited after the event."""
    before = story.now
    return {
        a.channel for a in announce(event, 9, before, story.happen(event).now) if a.kind is AnnouncementKind.NOTICE_EDIT
    }


NOTICED = {"#support", "#marketing", "#integrations-team"}


def test_notices_are_edited_when_it_changes_who_is_affected(words: Any, story: Any) -> None:
    story.running(2)
    assert edited(story, e.StageEntered(index=3, name="ramp 25%", percent=25)) == NOTICED
    assert "Who is affected now: about 25 in 100 customers." in notice_to(words, story, "support")
    assert edited(story, e.StageEntered(index=4, name="ramp 100%", percent=100)) == NOTICED
    assert "When: everyone has it." in notice_to(words, story, "support")
    assert notice_to(words, story, "support").startswith(
        "Everyone has it, still being watched: all customers get the new version of the support assistant. "
        "We may still switch back; we post “Watching is over” when that is final."
    )
    told = notice_to(words, story, "marketing")
    assert "Do not announce it yet. After we post “Watching is over”, you may say: “Answers are" in told
    assert "This is how the plan describes it; Rampart has not measured it." in told
    assert "When: everyone has it; Fri 27 Nov 00:00 CET at the earliest: watching is over; you may announce it." in told
    assert edited(story, e.Completed(version="v43", retired="v42")) == NOTICED
    assert "Who is affected now: everyone." in notice_to(words, story, "marketing")
    over = notice_to(words, story, "marketing")
    assert over.startswith("Watching is over: all customers keep the new version of the support assistant.")
    assert "You may now say publicly: “Answers are" in over
    assert "This is how the plan describes it; Rampart has not measured it." in over
    assert "Please do not say: faster, more accurate, smarter." in over
    assert "Got it" not in over


def test_the_steps_say_which_were_taken_and_which_one_is_now(words: Any, story: Any) -> None:
    story.running(2).later(hours=6)
    story.happen(e.StageEntered(index=3, name="ramp 25%", percent=25))
    told = notice_to(words, story, "marketing")
    steps = told[told.index("When (each step only if all goes well)") :].splitlines()[1:5]
    assert steps == snapshot(
        [
            " • ✓ Tue 24 Nov 12:00 CET: 5 in 100 customers",
            " • now, since Tue 24 Nov 18:00 CET: 25 in 100 customers",
            " • Wed 25 Nov 06:00 CET at the earliest: everyone",
            " • Fri 27 Nov 18:00 CET at the earliest: watching is over; you may announce it",
        ]
    )


def test_marketing_takes_back_what_it_was_given_to_say(words: Any, story: Any) -> None:
    story.running().rolled_back()
    withdrawn = (
        "Please don't mention this change in public. The wording we gave you is withdrawn; if you have posted it, "
        "take it down or ask @dana."
    )
    assert withdrawn in notice_to(words, story, "marketing")
    assert withdrawn in told_after(words, story, story.now.rollback, "marketing")
    assert "in public" not in notice_to(words, story, "support")
    asked = "Which version did a customer see? Type /rollout whois <customer id>"
    assert asked in notice_to(words, story, "support")


def test_notices_are_edited_when_nothing_comes_of_it(words: Any, story: Any) -> None:
    assert edited(words.story().planned(), e.Abandoned(by="slack:T1/U2DANA", reason="no")) == NOTICED
    story.running().rolled_back()
    assert notice_to(words, story, "support").splitlines()[:6] == [
        "Switched back: the support assistant answers as before again (since Tue 24 Nov 12:00 CET).",
        "About 430 customers saw the new version (Tue 24 Nov 12:00 CET). It refused to answer too often.",
        "If a customer complains about an answer from that time, you can say: “Sorry, that was a mistake on our side. "
        "Please ask again.”",
        "What we announced no longer applies",
        " • ~Answers are about a third shorter and start with the fix.~",
        " • ~The assistant no longer apologises before every step.~",
    ]
    assert "Who is affected now: nobody." in notice_to(words, story, "support")
    assert "Got it" not in notice_to(words, story, "support")


def test_nobody_is_affected_before_the_first_customers(words: Any, story: Any) -> None:
    story.running(0)
    assert "Who is affected now: nobody yet." in notice_to(words, story, "support")


def test_one_of_two_plans_given_up_does_not_mean_that_nothing_changes(words: Any, story: Any) -> None:
    other = replace(words.story().planned().now, id="R-119")
    gone = e.Abandoned(by="slack:T1/U2DANA", reason="not now")
    story.planned().happen(gone)
    assert "will not change after all" in told_after(words, story, gone)
    for said in (told_after(words, story, gone, others=[other]), notice_to(words, story, "support", [other])):
        assert "will not change after all" not in said
        assert "Cancelled: this change to the support assistant is not happening." in said
        assert "Another change to it is planned or under way (R-119 support-tone) and has its own notice." in said
    back = words.story().running().rolled_back()
    assert "It stays that way" in told_after(words, back, back.now.rollback)
    assert "It stays that way" not in told_after(words, back, back.now.rollback, others=[other])


def finding(words: Any, metric: str, **changes: Any) -> Any:
    return replace(words.finding, metric=metric, title="", **changes)


@pytest.mark.shows("E15")
def test_every_later_message_says_that_a_wait_was_skipped_and_by_whom(words: Any, story: Any) -> None:
    skipped = (
        "Risk accepted by <@U1ANA>: the wait in the small test (5 %) and the step to 25 % were skipped, “launch day”."
    )
    story.running().happen(
        e.StageEntered(index=4, name="ramp 100%", percent=100, skipped="launch day", skipped_by="slack:T1/U1ANA")
    )
    for message in words.later_messages(story, story.evidence()):
        assert any(skipped in str(block) for block in message.blocks), message.text


def test_in_a_layer_a_version_is_not_with_everyone_before_it_is_done(words: Any, story: Any) -> None:
    bake = len(story.plan.stages) - 1
    entered = e.StageEntered(index=bake, name="bake", percent=100.0)
    story.running().happen(entered)
    everyone = event_lines.render(story.now, entered, words.zone).text
    assert "is with everyone; its limits are still watched" in everyone
    slots = LayerSlots(layer="chat", ranges=((0, 600_000),))
    layered = event_lines.render(replace(story.now, layer=slots), entered, words.zone).text
    assert "is with its 60 % of the users; its limits are still watched" in layered


def test_nobody_apologises_for_what_customers_could_not_notice(words: Any, story: Any) -> None:
    cost = finding(words, "cost_per_request", unit="US$", relative=True)
    story.running().rolled_back(findings=(cost,))
    said = told_after(words, story, story.now.rollback)
    assert "mistake on our side" not in said
    assert (
        "We switched back because its cost per request rose too much ($0.0640 instead of $0.0190). "
        "Apart from what was announced, we know of nothing that customers could have noticed." in said
    )


def test_what_hit_one_segment_is_not_said_of_everybody(words: Any, story: Any) -> None:
    row = words.measure(
        "refusal_rate", "Declined to answer", segment="language=ja", canary=11 / 23, n_canary=23, word="Worse"
    )
    hit = finding(words, "refusal_rate", segment="language=ja")
    story.running().happen(story.evidence(segments=(row,))).rolled_back(findings=(hit,), exposed_units=319)
    said = told_after(words, story, story.now.rollback)
    assert "About 319 customers saw the new version (Tue 24 Nov 12:00 CET)." in said
    counted = "11 of 23 requests; with the old version it would have been almost none"
    fault = f"For customers with language “ja”, it refused to answer too often ({counted})."
    assert f"{fault} For other customers, no fault was shown." in said
    assert "If one of the customers with language “ja” complains about an answer from that time, you can say:" in said
    too = finding(words, "refusal_rate", segment="plan=paid")
    both = words.story().running().happen(words.story().evidence(segments=(row,))).rolled_back(findings=(hit, too))
    assert "For other customers" not in told_after(words, both, both.now.rollback)


def test_that_nobody_saw_it_is_said_only_where_nobody_could(words: Any, story: Any) -> None:
    story.running().rolled_back(by="slack:T1/U2DANA", findings=(), exposed_units=0, exposed_requests=0)
    said = told_after(words, story, story.now.rollback)
    could = "Customers could have seen the new version (Tue 24 Nov 12:00 CET)"
    assert f"{could}; nobody has been reported to have had it so far." in said
    assert "No customer saw" not in said


@pytest.mark.parametrize("audience", ["marketing", "downstream"])
def test_only_support_gets_words_for_those_who_write_in(words: Any, story: Any, audience: str) -> None:
    story.running().rolled_back()
    assert "you can say" in told_after(words, story, story.now.rollback, "support")
    assert "you can say" not in told_after(words, story, story.now.rollback, audience)


def test_a_change_in_the_harmless_direction_is_not_called_too_often(words: Any, story: Any) -> None:
    fewer = finding(words, "refusal_rate", difference=-0.04)
    story.running().rolled_back(findings=(fewer,))
    said = told_after(words, story, story.now.rollback)
    assert "too often" not in said
    assert "It broke a limit that was agreed beforehand" in said


def test_what_a_person_rolled_back_has_no_limit_to_point_to_and_keeps_its_reason(words: Any, story: Any) -> None:
    story.running().rolled_back(by="slack:T1/U2DANA", reason="odd greetings", findings=(), verdict_seconds=None)
    said = plain_text.render_text(rollback_alert.render(story.now, story.now.rollback, story.at, None, words.zone))
    assert "can't be overruled" not in said
    assert "odd greetings" in said
    assert "switched it back: “odd greetings”" in told_after(words, story, story.now.rollback)


def test_a_switch_takes_some_time() -> None:
    assert wording.format_duration(0.003) == "under 0.01 s"
    assert wording.format_duration(0.41) == "0.41 s"


def test_an_alert_sends_nobody_where_only_chance_is_seen(words: Any, story: Any) -> None:
    noise = words.measure(
        "refusal_rate",
        "Declined to answer",
        segment="language=de",
        limit_text="rises by 1 pp",
        canary=4 / 23,
        n_canary=23,
        log_e=1.0,
        needed=7.7,
    )
    story.running().happen(story.evidence(segments=(noise,))).rolled_back()
    said = plain_text.render_text(rollback_alert.render(story.now, story.now.rollback, story.at, None, words.zone))
    assert "language=de" not in said


def test_an_alert_says_once_where_it_is_worst_and_names_limits_in_plain_words(words: Any, story: Any) -> None:
    there = words.measure(
        "refusal_rate",
        "Declined to answer",
        segment="language=ja",
        limit_text="rises by 1 pp",
        canary=0.5,
        control=0.02,
        n_canary=200,
        n_control=4000,
        low=0.3,
        high=0.6,
        difference=0.48,
        log_e=30.0,
        needed=7.7,
        word="Worse",
    )
    hit = finding(words, "refusal_rate", limit_text="rises by 1 pp", note="above 1: 5 of requests; most in language=ja")
    story.running().happen(story.evidence(segments=(there,))).rolled_back(findings=(hit,))
    said = plain_text.render_text(rollback_alert.render(story.now, story.now.rollback, story.at, None, words.zone))
    assert "Where  language=ja most: 50.0 % vs 2.0 %" in said
    assert said.count("language=ja") == 1
    assert "Agreed limit: a rise of 1 pp" in said
    assert "rises by" not in said


def test_each_version_has_one_name_in_all_messages(words: Any, story: Any) -> None:
    """Tables call them new and old, and so does everything beside them."""
    story.running()
    for message in words.later_messages(story, story.evidence()):
        said = plain_text.render_text(message)
        assert "current one" not in said, said
        assert "current version" not in said, said


UNKNOWN_QUALITY = {"word": "Not enough data", "limit_text": "drops by 2 pp", "role": "rollback"}


def test_the_first_word_is_that_of_the_weakest_limit(words: Any, story: Any) -> None:
    quality = words.measure("eval_pass_rate", "Answers that pass our checks", **UNKNOWN_QUALITY)
    seen = story.evidence(Continue(), measures=(words.measures[0], quality))
    story.running().happen(seen)
    first = summary.format_first_line(story.now, seen, story.at, words.zone)
    assert first.startswith("Not fully judged: R-118 support-tone (small test, 5 %), too little known yet.")
    assert "automatically" not in first
    shown = plain_text.render_text(card.render(story.now, words.zone))
    assert "Not fully judged: too little known yet · 8,312 requests" in shown


def test_what_is_open_at_the_end_is_said_once_and_not_denied(words: Any, story: Any) -> None:
    quality = words.measure("eval_pass_rate", "Answers that pass our checks", **UNKNOWN_QUALITY)
    seen = story.evidence(Continue(), measures=(words.measures[0], quality), reason="step")
    story.running(len(words.stages) - 1).happen(seen)
    first = summary.format_first_line(story.now, seen, story.at, words.zone)
    assert first.endswith("Done now; could not be judged: answers that pass our checks.")
    said = plain_text.render_text(summary.render(story.now, seen, story.at, words.zone))
    assert "(answers that pass our checks)" not in said


def test_that_no_control_is_left_is_said_once(words: Any, story: Any) -> None:
    weaker = tuple(replace(m, weaker=True) for m in words.measures)
    seen = story.evidence(NoControl(), measures=weaker)
    said = plain_text.render_text(summary.render(story.running().happen(seen).now, seen, story.at, words.zone))
    assert said.count("weaker") == 1
    assert "as nobody gets the old version any more, which is weaker" in said


def test_what_rounds_to_nothing_has_no_sign() -> None:
    assert wording.format_difference(-0.0004, "%", relative=False) == "0.0 pp"
    assert wording.format_difference(-1.11e-16, "0 to 1", relative=False) == "+0.00"
    assert wording.format_interval(-0.0004, 0.02, "%", relative=False) == "(0.0 … +2.0)"


def test_a_date_that_has_passed_is_on_no_card(words: Any, story: Any) -> None:
    story.running()
    dated = card.render(story.now, words.zone, at=story.at).text
    assert dated.endswith("Next: 25 % Tue 24 Nov 18:00 CET at the earliest.")
    over = card.render(story.now, words.zone, at=story.at + timedelta(hours=6)).text
    assert over.endswith("Next: 25 %, as soon as enough is known.")


def test_segments_of_which_nothing_is_known_leave_no_empty_line(words: Any, story: Any) -> None:
    story.running().happen(story.evidence(segments=words.segments, segments_checked=0))
    assert "\n\n" not in str(card.render(story.now, words.zone).blocks)


def test_the_card_says_of_when_its_numbers_are(words: Any, story: Any) -> None:
    story.running().happen(story.evidence()).later(hours=2)
    assert "evidence #412, Tue 24 Nov 12:00 CET" in plain_text.render_text(card.render(story.now, words.zone))


def test_the_card_says_that_its_numbers_are_of_before_the_step_that_was_taken_on_them(words: Any, story: Any) -> None:
    step = story.running().evidence(reason="step")
    story.happen(step, e.StageEntered(index=3, name="ramp 25%", percent=25))
    said = plain_text.render_text(card.render(story.now, words.zone))
    assert "8,312 requests on the new version, 158,040 on the old one before this step · evidence #412" in said
    story.later(hours=1).happen(story.evidence(number=413))
    assert "before this step" not in plain_text.render_text(card.render(story.now, words.zone))


def test_the_card_does_not_say_that_nobody_uses_what_everybody_has(words: Any, story: Any) -> None:
    story.running(4).happen(story.evidence(NoControl(), canary_requests=0, control_requests=0, canary_units=0))
    said = plain_text.render_text(card.render(story.now, words.zone))
    assert "no requests in this stage yet · evidence #412" in said


def test_a_notice_says_when_it_will_probably_take_longer_than_its_earliest_dates(words: Any, story: Any) -> None:
    planned = story.planned().now
    surface = Surface(
        name="support-assistant", title="", owner="", live="v42", versions={"v42": {}}, daily_requests=20_000
    )
    outlook = build_outlook(
        planned.plan, surface, DEFAULT_POLICY, assume_traffic(surface), words.monday, begin=planned.start
    )
    likely = schedule.find_likely_dates(outlook)
    assert likely is not None

    def told(number: int, rollout: Any, foreseen: Any) -> str:
        one = rollout.plan.stakeholder_notices[number]
        shown = notice.render(
            rollout, one, TITLE, words.monday, words.monday, words.zone, is_closed=False, likely=foreseen
        )
        return plain_text.render_text(shown)

    said = "Probably later, at the usual traffic: everyone has it "
    assert said in told(0, planned, likely)
    assert ", watching is over " not in told(0, planned, likely), "support has no date for that"
    assert ", watching is over " in told(1, planned, likely)
    assert said not in told(0, planned, None)
    shortest = schedule.estimate_dates(planned, words.monday)
    soon = replace(likely, everyone_at=shortest.everyone_at, ends_at=shortest.ends_at)
    assert said not in told(0, planned, soon)
    assert said not in told(0, story.running().now, likely), "the steps that were taken say how long it takes"


def test_a_change_that_was_shown_is_not_told_with_a_range_that_denies_it(words: Any) -> None:
    found = finding(words, "refusal_rate", kind="rises_by", difference=0.0266, low=-0.0026, high=0.0749)
    assert measure_rows.format_difference_with_range(found) == "+2.7 pp (above 0.0)"
    capped = replace(found, note="above 0.05: 12.0% of requests on the new version, 0.5% on the current one")
    assert measure_rows.format_difference_with_range(capped) == "+2.7 pp (-0.3 … +7.5)", "its tail was shown, not this"
    row = next(one for one in words.measures if one.metric == "refusal_rate")
    worse = replace(row, word="Worse", difference=0.0266, low=-0.0026, high=0.0749, error=None)
    assert measure_rows.format_difference_with_range(worse) == "+2.7 pp (above 0.0)"
    assert measure_rows.format_difference_with_range(replace(worse, word="Fine")) == "+2.7 pp (-0.3 … +7.5)"


def test_a_limit_is_fine_only_so_far_until_it_is_shown_to_hold(words: Any, story: Any) -> None:
    row = next(one for one in words.measures if one.metric == "refusal_rate")
    assert measure_rows.verdict_label(row) == "Fine so far"
    assert measure_rows.verdict_label(replace(row, cleared=True)) == "Fine"
    assert measure_rows.verdict_label(replace(row, implied=True)) == "Fine", "nobody agreed on it"


def test_the_summary_does_not_say_of_one_metric_what_it_noticed_and_what_it_could_have_missed(
    words: Any, story: Any
) -> None:
    story.running()
    for blind, expected in (((), True), ((SPOT,), False)):
        evidence = story.evidence(blind=blind or None)
        told = plain_text.render_text(summary.render(story.now, evidence, story.at, words.zone))
        assert ("we would have noticed a drop of 2.5 pp (answers that pass our checks)" in told) is expected


def test_the_card_says_why_it_does_not_grow_on_what_has_not_lasted_yet(words: Any, story: Any) -> None:
    evidence = story.running().evidence()
    story.happen(evidence)
    found = finding(words, "refusal_rate", limit_text="rises by 3 pp for 30 min")
    seen = Judgement(
        verdict=evidence.verdict,
        measures=evidence.measures,
        state=JudgingState(),
        canary_requests=evidence.canary_requests,
        control_requests=evidence.control_requests,
        canary_units=evidence.canary_units,
        control_units=evidence.control_units,
        exposed_requests=evidence.canary_requests,
        exposed_units=evidence.canary_units,
        pending=(found,),
    )
    told = plain_text.render_text(card.render(story.now, words.zone, (seen, story.at)))
    said = "Beyond its limit, but not for long enough yet: Declined to answer (a rise of 3 pp for 30 min)."
    assert f"{said} Nobody else gets the new version meanwhile." in told
    resumed = e.Resumed(by="slack:T1/U1ANA", reason="known", overrides=holds.hold_key(found))
    assert said not in plain_text.render_text(card.render(story.happen(resumed).now, words.zone, (seen, story.at)))


def seen_by(story: Any, words: Any, **rows: Any) -> LatestNumbers:
    usual: dict[str, Any] = {
        "measures": words.measures,
        "segments": (),
        "segments_checked": 0,
        "notes": (),
        "at": story.at,
    }
    return LatestNumbers(**{**usual, **rows})


@pytest.mark.parametrize("plainly", [True, False])
def test_a_metric_that_is_worse_for_some_is_not_explained_as_fine(words: Any, story: Any, plainly: bool) -> None:
    row = replace(words.measures[0], segment="language=ja", canary=0.5, word="Worse", n_canary=23)
    story.running().rolled_back(findings=(finding(words, "refusal_rate", segment="language=ja"),))
    seen = seen_by(story, words, segments=(row,), segments_checked=39)
    said = plain_text.render_text(
        explain.render_plain(story.now, seen, "refusal_rate", "now")
        if plainly
        else explain.render_technical(story.now, seen, "refusal_rate", (), words.zone, "now")
    )
    assert said.startswith("Worse where language is ja: declined to answer in R-118 support-tone, 50.0 % new")
    assert "All traffic together: Declined to answer" in said


def test_a_request_that_is_on_its_way_is_edited_for_what_happens_meanwhile(words: Any, story: Any) -> None:
    before = story.planned().now
    assert "approval:R-118.1" not in before.messages, "it is not known to be posted yet"
    concern = e.ConcernRaised(notice="support:#support", by="slack:T1/U4SAM", handle="@sam", text="too curt")
    told = announce(concern, 9, before, story.happen(concern).now)
    assert [one.key for one in told if one.kind is AnnouncementKind.APPROVAL_CLOSED] == ["approval:R-118.1"]


def test_after_the_end_nothing_is_expected_to_show_any_more(words: Any, story: Any) -> None:
    undecided = replace(words.measures[0], n_canary=40, n_control=760, log_e=0.0)
    story.running().later(minutes=10)
    assert detection_power(story.now, undecided, story.at).decided_in
    story.rolled_back()
    assert detection_power(story.now, undecided, story.at).decided_in is None


def test_a_fall_in_complaints_is_not_watched_for_as_harm(words: Any, story: Any) -> None:
    fewer = words.measure(
        "complaint_rate",
        "Complaints (support)",
        limit_text="drops by 50 %",
        implied=True,
        harm="less",
        role="watch",
        amount=0.5,
        needed=7.0,
        unit="per 1,000 requests",
        relative=True,
    )
    seen = seen_by(story.running(), words, measures=(fewer,))
    said = plain_text.render_text(explain.render_technical(story.now, seen, "complaint_rate", (), words.zone, "now"))
    assert "Limit  none agreed; noted if it improves (a drop of 50 %)" in said
    assert "of harm" not in said
    assert "what was agreed" not in said


def test_one_doubt_does_not_hold(words: Any, story: Any) -> None:
    doubt = e.FeltOff(by="slack:T1/U4SAM", handle="@sam", text="odd")
    story.running().happen(doubt)
    assert event_lines.format_line(story.now, doubt, words.zone).endswith(
        "“odd”. If a second person says so, no more customers get it until @dana decides."
    )
    story.happen(replace(doubt, by="slack:T1/U5MIA", handle="@mia"))
    assert event_lines.format_line(story.now, doubt, words.zone).endswith("“odd”.")


def test_a_request_names_who_asked_and_for_whom(words: Any, story: Any) -> None:
    request = story.request()
    story.planned()
    asked = plain_text.render_text(approval.render(story.now, request, (), story.at, words.zone))
    assert "Asked by @dana, " in asked
    by_command = replace(story.now, planned_by="cli:ana")
    asked = plain_text.render_text(approval.render(by_command, request, (), story.at, words.zone))
    assert "Asked by ana (command line) for @dana, " in asked


def test_help_promises_guests_nothing() -> None:
    pages = plain_text.render_text(help_pages.render_overview()) + "".join(page.does for page in TYPED_VERBS.values())
    assert "guests can look" in pages
    for promise in ("Everyone can", "Anyone can", "anyone can"):
        assert promise not in pages


def test_what_was_not_measured_is_not_said_to_be(words: Any, story: Any) -> None:
    cheaper = replace(words.measures[2], word="Better")
    done = e.Completed(version="v43", retired="v42")
    story.running(4).happen(story.evidence(measures=(cheaper,)), done)
    said = told_after(words, story, done, "marketing")
    assert "This is how the plan describes it; Rampart has not measured it." in said
    assert "Cost per request" not in said, "what it costs us is not for the public"


def told_at_the_start(words: Any, story: Any, first: Stage) -> str:
    """What support is told at the start of a plan with this stage before its canary."""
    now = story.running().now
    rollout = replace(now, plan=replace(now.plan, stages=(first, *words.stages)))
    started = e.Started(fingerprint="", by="U2")
    return plain_text.render_text(follow_up.render(rollout, started, "support", TITLE, story.at, words.zone))


def test_a_start_with_checks_does_not_say_that_customers_have_it(words: Any, story: Any) -> None:
    told = told_at_the_start(words, story, Stage(kind=StageKind.EVAL, name="eval", percent=0))
    assert told.startswith("Starting: the new version of the support assistant is being checked; nobody has it yet.")
    assert "The first customers get it Tue 24 Nov" in told
    assert "customers now get" not in told


def test_while_checks_stand_before_customers_no_date_is_named_that_is_over(words: Any, story: Any) -> None:
    now = story.running(0).now
    gate = Stage(kind=StageKind.EVAL, name="eval", percent=0)
    stages = (gate, *(stage for stage in words.stages if stage.kind is not StageKind.COHORT))
    rollout = replace(now, plan=replace(now.plan, stages=stages))
    started = e.Started(fingerprint="", by="U2")
    told = plain_text.render_text(follow_up.render(rollout, started, "support", TITLE, story.at, words.zone))
    assert "The first customers get it once the checks have passed. The notice above says" in told
    assert "everyone has it" not in told, "a date there would not be corrected"
    dates = schedule.estimate_dates(rollout, story.at, story.at + timedelta(minutes=1))
    (said,) = change_status.describe_dates(rollout, dates, words.zone)
    assert said.startswith("*When:* the first customers get it once the checks have passed. If all goes well, everyone")
    inside = Stage(kind=StageKind.COHORT, name="internal", percent=50, where={"internal": "true"})
    with_people = replace(rollout, plan=replace(rollout.plan, stages=(inside, *stages[1:])))
    assert "once enough is known from the people chosen" in change_status.describe_dates(with_people, dates, "UTC")[0]
    waiting = replace(rollout, state=RolloutState.WAITING)
    assert "once it is approved" in change_status.describe_dates(waiting, dates, words.zone)[0]
    planned = replace(rollout, state=RolloutState.PLANNED)
    assert "the date is not set yet" in change_status.describe_dates(planned, dates, words.zone)[0]


def test_checks_without_a_suite_are_told_without_a_gap(words: Any, story: Any) -> None:
    checked = e.EvalRecorded(
        stage=0, suite="", passed=196, failed=4, errors=0, ok=True, reasons=(), cases=(), digest="", by="U2"
    )
    said = event_lines.format_line(story.running().now, checked, words.zone)
    assert said == "Checks passed: R-118, 196 of 200 passed."


def test_a_start_with_selected_people_says_that_no_customer_has_it(words: Any, story: Any) -> None:
    inside = Stage(kind=StageKind.COHORT, name="internal", percent=50, where={"internal": "true"})
    told = told_at_the_start(words, story, inside)
    assert told.startswith(
        "Started: a few selected people now get the new version of the support assistant; no customer"
    )
    assert "at the earliest" in told


def test_a_summary_that_waited_behind_a_rollback_is_not_told_after_it(words: Any, story: Any) -> None:
    """It would say that somebody has to decide, and that the rollout stays where it was."""
    held = story.running().evidence(Hold(findings=(finding(words, "refusal_rate"),)), reason="hold")
    story.happen(held)
    position = len(story.entries)
    told = Announcement(kind=AnnouncementKind.SUMMARY, rollout=story.now.id, channel="#x", key="summary:1")

    def render() -> Any:
        world = World(rollouts={story.now.id: story.now})
        return announcement_messages.render(told, position, world, story.entries, story.at)

    assert "to decide; we stay at 5 % until then" in plain_text.render_text(render())
    story.rolled_back()
    assert render() is None


def test_a_line_about_the_start_that_waited_says_after_the_rollback_that_it_was_earlier(words: Any, story: Any) -> None:
    story.running(2)
    started = next(one for one in story.entries if isinstance(one.event, e.Started))
    line = Announcement(kind=AnnouncementKind.LINE, rollout=story.now.id, channel="C1", key="", audience="")

    def render() -> Any:
        world = World(rollouts={story.now.id: story.now})
        return announcement_messages.render(line, started.position, world, story.entries, story.at)

    assert plain_text.render_text(render()).startswith("Started by ")
    story.rolled_back()
    assert plain_text.render_text(render()).startswith("Earlier, Tue 24 Nov 11:00 UTC: Started by ")


def test_a_note_of_the_engine_has_the_unit_and_the_names_of_the_message_around_it() -> None:
    note = "above 0.04207: 13.0% of requests on the new version, 1.4% on the current one; most in plan=free"
    said = "above $0.0421: 13.0 % of requests on the new version, 1.4 % on the old one"
    assert measure_rows.phrase_note(note, "US$") == said


def test_the_end_of_a_comparison_is_not_told_as_something_that_was_stopped(words: Any, story: Any) -> None:
    before = story.running(2).now
    held = e.Held(key=f"{holds.DECISION}2", text="the comparison is over after 14 days")
    told = notice_note.render(before, story.happen(held).now, held, "support assistant", words.zone, is_closed=False)
    assert told is not None
    assert "Both versions were compared for as long as was planned. @dana decides what happens next." in told.text
    assert "stopped" not in told.text


def test_the_line_of_a_rollback_by_a_limit_names_the_metric_and_the_limit_in_plain_words(
    words: Any, story: Any
) -> None:
    hit = replace(words.finding, limit_text="rises by 1 pp")
    back = story.running().rolled_back(findings=(hit,), reason="rises by 1 pp").now.rollback
    said = event_lines.format_line(story.now, back, words.zone)
    assert "Rolled back by Rampart: R-118, because a limit was broken: declined to answer, a rise of 1 pp." in said


def test_what_nobody_could_make_use_of_is_not_said_to_be_noticeable(words: Any) -> None:
    slow = words.measure("latency_p95", "Slow responses", unit="ms", relative=True, absolute=True)
    power = Power(noticeable=3075.5, could_still_be=None, decided_in=None)
    assert technical_words.format_noticeable(slow, power) == ""
    assert technical_words.format_noticeable(slow, replace(power, noticeable=0.5)) != ""


def test_of_what_a_person_took_out_of_a_hold_the_finding_is_told_in_plain_words(words: Any, story: Any) -> None:
    held = finding(words, "complaint_rate", unit="per 1,000 requests", canary=5 / 446, control=0.0)
    row = words.measure("complaint_rate", "Complaints", unit="per 1,000 requests", canary=5 / 446, control=0.0)
    worse = replace(row, n_canary=446, n_control=1370, word="Worse")
    story.running().happen(story.evidence(Hold(findings=(held,)), measures=(worse,)))
    by_hand = {"by": "slack:T1/U1ANA", "reason": "customers complain", "findings": ()}
    back = story.rolled_back(**by_hand).now
    for said in (told_after(words, story, back.rollback), notice_to(words, story, "support")):
        fault = "It drew more complaints (5 in 446 requests; with the old version it would have been almost none)."
        assert fault in said
        assert "<@U1ANA> switched it back: “customers complain”" in said
        assert "If a customer complains about an answer from that time, you can say:" in said
    again = e.StageEntered(index=3, name="ramp 25%", percent=25)
    later = words.story().running().happen(again, story.evidence(Hold(findings=(held,)), measures=(worse,)))
    later.rolled_back(**by_hand)
    assert "(5 in the last 446 requests;" in told_after(words, later, later.now.rollback)
    overruled = replace(back, overridden=frozenset({holds.hold_key(held)}))
    assert "drew more complaints" not in told_after(words, replace_now(story, overruled), back.rollback)


def replace_now(story: Any, rollout: Any) -> Any:
    story.rollout = rollout
    return story


def test_a_notice_of_a_step_after_the_first_does_not_say_that_it_starts(words: Any, story: Any) -> None:
    first = notice_to(words, story.running(2), "support")
    assert first.startswith("Started: about 5 in 100 customers now get the new version of the support assistant.")
    story.happen(e.StageEntered(index=3, name="ramp 25%", percent=25))
    told = notice_to(words, story, "support")
    assert told.startswith(
        "More customers: about 25 in 100 customers now get the new version of the support assistant."
    )


def test_while_it_is_stopped_nobody_is_told_that_doubts_would_stop_it(words: Any, story: Any) -> None:
    running = notice_to(words, story.running(2), "support")
    assert "Once two people have said so, no more customers get it until @dana decides." in running
    story.happen(e.Paused(by="slack:T1/U4SAM", reason="odd greetings"))
    told = notice_to(words, story, "support")
    assert "Once two people have said so, @dana has to decide how it goes on." in told


def test_what_is_told_once_at_the_start_has_no_date_that_could_move(words: Any, story: Any) -> None:
    story.running(2)
    started = e.Started(fingerprint="", by="U2")
    stages = words.stages[2:]
    rollout = replace(story.now, plan=replace(story.now.plan, stages=stages))
    told = plain_text.render_text(follow_up.render(rollout, started, "support", TITLE, story.at, words.zone))
    assert told.splitlines()[:2] == [
        "Started: the first customers now get the new version of the support assistant.",
        "More get it step by step, if all goes well. The notice above says what they may notice; it always shows how "
        "many have it and what comes next.",
    ]
