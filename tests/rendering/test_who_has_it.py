"""Who has the new version: selected people are no share of the customers, and those held back do not have it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.rendering import reach_words, wording
from bot.rendering.answers import home_tab
from bot.rendering.answers.served import whois
from bot.rendering.answers.served.whois import UnitHistory
from bot.rendering.charts import plain_text
from bot.rendering.messages import event_lines, event_words, summary
from bot.rendering.messages.notices import notice, notice_note
from bot.rendering.sentences import headline, schedule
from core.flags.possible_answers import PossibleAnswer
from core.flags.snapshot import FlagAnswer, Reason, Variant, Version
from core.rollout.plans.layers import LayerSlots
from core.rollout.plans.plan import Holdout
from core.rollout.serving.assignment_history import Assignment
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.surface import Surface
from core.rollout.workspace.subscriptions import Subscriber

CHECKS, INTERNAL, CANARY, EVERYONE = 0, 1, 2, 4
TITLE, NAME = "Support assistant", "support assistant"
HELD = e.Held(key="felt_off:1", text="it feels off")
RESUMED = e.Resumed(by="slack:T1/U2DANA", reason="fine")


def notice_of(words: Any, story: Any) -> str:
    """The notice to support, as it reads now."""
    planned = next(n for n in story.now.plan.stakeholder_notices if n.audience == "support")
    message = notice.render(story.now, planned, TITLE, words.monday, story.at, words.zone, is_closed=False)
    return str(words.text(message))


def note_of(words: Any, story: Any, event: Any) -> str:
    """The note in the thread of a notice about this event, which happens now."""
    before = story.now
    message = notice_note.render(before, story.happen(event).now, event, NAME, words.zone, is_closed=False)
    assert message is not None
    return str(message.text)


def progress_of(words: Any, story: Any, at: Any = None) -> str:
    """How far it is, on the home tab of somebody in support who reads it at `at`."""
    tab = home_tab.HomeTab(
        person=Subscriber(user="U4SAM", role="support"),
        is_full_member=False,
        may_plan=False,
        to_approve=(),
        to_decide=(),
        to_confirm=(),
        to_review=(),
        running=(),
        changing=(story.now,),
        surfaces=(),
        frozen={},
        zone=words.zone,
        at=at,
    )
    (text,) = [b["text"]["text"] for b in home_tab.render(tab) if "(R-118): " in str(b)]
    return str(text).splitlines()[0].partition("(R-118): ")[2]


def with_holdout(words: Any) -> Any:
    """A rollout that is done and holds back 5 % for two weeks."""
    plan = replace(words.plan, holdout=Holdout(percent=5, lasts=timedelta(days=14)))
    return words.story(plan=plan).running(EVERYONE).happen(e.Completed(version="v43", retired=""))


def test_the_home_tab_promises_no_date_that_has_passed(words: Any, story: Any) -> None:
    planned = story.planned()
    assert "Tue 24 Nov 13:00 CET> at the earliest" in progress_of(words, planned, planned.at)
    assert progress_of(words, planned, planned.at + timedelta(days=7)) == "starts on a date that is not set yet."


def test_the_home_tab_counts_customers_and_not_selected_people(words: Any) -> None:
    assert progress_of(words, words.story().running(CHECKS)) == "being checked; nobody has it yet."
    inside = words.story().running(INTERNAL)
    assert progress_of(words, inside) == "a few selected people have it now; no customer has it yet."
    stages = tuple(replace(s, percent=100) if i == INTERNAL else s for i, s in enumerate(words.stages))
    all_inside = words.story(plan=replace(words.plan, stages=stages)).running(INTERNAL)
    assert "no customer has it yet" in progress_of(words, all_inside)
    assert progress_of(words, words.story().running(CANARY)) == "5 in 100 customers have it now."
    held = words.story().running(CANARY).happen(HELD)
    assert progress_of(words, held) == "5 in 100 customers have it now. It does not grow at the moment."


def test_what_stays_with_a_cohort_is_a_share_of_the_cohort(words: Any) -> None:
    inside = headline.render(words.story().running(INTERNAL).happen(HELD).now, words.zone)
    assert wording.strip_markup(inside) == (
        "On hold: R-118 support-tone: it feels off. It stays with 50 % of internal until @dana decides."
    )
    paused = headline.render(words.story().running(CANARY).happen(e.Paused(by="U4", reason="x")).now, words.zone)
    assert paused.endswith("It stays at 5 % until somebody resumes it.")
    frozen = replace(words.story().running(INTERNAL).now, frozen_until=words.tuesday)
    stages = tuple(replace(s, name="Staff") if i == INTERNAL else s for i, s in enumerate(words.stages))
    frozen = replace(frozen, plan=replace(frozen.plan, stages=stages))
    assert headline.render(frozen, words.zone).endswith(": it stays with 50 % of Staff.")


def test_those_held_back_are_not_counted_among_those_who_have_it(words: Any) -> None:
    story = with_holdout(words)
    told = notice_of(words, story)
    assert "When: all but 5 in 100 customers got it; those get it Tue 8 Dec 12:00 CET, or earlier." in told
    assert "Who is affected now: all but 5 in 100 customers." in told
    assert progress_of(words, story) == "all but 5 in 100 customers got it."
    story.happen(e.HoldoutEnded(by="system:engine", cause="time", reason=""))
    assert "When: everyone got it." in notice_of(words, story)
    assert "Who is affected now: everyone." in notice_of(words, story)
    assert progress_of(words, story) == "everyone got it."


STOPPED = {
    CHECKS: "nobody has {} yet, and nobody gets it for now.",
    INTERNAL: "only a few selected people have {}; customers do not get it for now.",
    CANARY: "no more customers get {} for now; about 5 in 100 customers keep it.",
    EVERYONE: "everyone has {}; it is not final.",
}
WAITS = {
    CHECKS: "no customer gets it until @dana decides. You will be told here.",
    INTERNAL: "no customer gets it until @dana decides. You will be told here.",
    CANARY: "no more customers get it until @dana decides. You will be told here.",
    EVERYONE: "everyone has it; whether it stays is open until @dana decides. You will be told here.",
}
GOES_ON = {
    CHECKS: "customers will get it, step by step.",
    INTERNAL: "customers will get it, step by step.",
    CANARY: "more customers will get it, step by step.",
    EVERYONE: "everyone has it, and we keep watching.",
}


@pytest.mark.parametrize("stage", STOPPED)
def test_a_hold_says_who_has_it_in_every_stage(words: Any, story: Any, stage: int) -> None:
    story.running(stage)
    assert note_of(words, story, HELD).startswith(
        f"On hold: {STOPPED[stage].format('the new version')} Two people said that the new version feels off."
    )
    told = notice_of(words, story)
    assert told.startswith(f"On hold: {STOPPED[stage].format('the new version of the support assistant')}\n")
    assert f"When: {WAITS[stage]}" in told
    assert note_of(words, story, RESUMED) == f"Continuing: {GOES_ON[stage]}"
    paused = e.Paused(by="slack:T1/U4SAM", reason="odd")
    assert note_of(words, story, paused).startswith(f"Paused: {STOPPED[stage].format('the new version')} ")


def test_a_hold_that_clears_itself_leaves_nothing_open_once_everyone_has_it(words: Any, story: Any) -> None:
    story.running(EVERYONE).happen(e.Held(key="no_data", text="requests have stopped arriving"))
    told = notice_of(words, story)
    assert "When: everyone has it; once this clears, watching goes on by itself. You will be told here." in told


def test_a_change_that_follows_another_needs_no_new_plan_by_a_person(words: Any, story: Any) -> None:
    story.planned()
    said = note_of(words, story, e.BaseChanged(live="v44"))
    assert said == (
        "Delayed: another change came first. This one follows it; what people may notice stays the same, and the "
        "dates above will be updated."
    )
    told = notice_of(words, story)
    first = "Delayed: another change to the support assistant came first"
    assert told.startswith(f"{first}. This one follows it; the date is not set yet.\n")
    assert "When: the date is not set yet." in told
    unset = words.story(plan=replace(words.plan, start=None)).planned().happen(e.BaseChanged(live="v44"))
    assert notice_of(words, unset).startswith(f"{first}, so this one needs a new plan before it can start.")


def test_only_customers_who_come_first_have_a_date_that_is_set(words: Any, story: Any) -> None:
    first = "A change to the support assistant is planned. It starts Tue 24 Nov"
    after_checks = notice_of(words, story.planned())
    assert after_checks.startswith(f"{first} 13:00 CET at the earliest, for 5 in 100 customers first.")
    at_once = words.story(plan=replace(words.plan, stages=words.stages[CANARY:])).planned()
    assert notice_of(words, at_once).startswith(f"{first} 11:00 CET, for 5 in 100 customers first.")
    notices = tuple(replace(one, before=None) for one in words.plan.notices)
    undated = words.story(plan=replace(words.plan, start=None, notices=notices)).planned()
    assert notice_of(words, undated).startswith(
        "A change to the support assistant is planned. It starts on a date that is not set yet, for 5 in 100 customers"
    )
    dates = schedule.estimate_dates(undated.now, undated.at)
    assert schedule.format_start(dates, words.zone) == "on a date that is not set yet"
    assert progress_of(words, undated) == "starts on a date that is not set yet."


def test_every_line_says_of_whom_a_cohorts_share_is(words: Any) -> None:
    story = words.story().running(INTERNAL)
    paused = e.Paused(by="U4SAM", reason="odd")
    entered = e.StageEntered(index=INTERNAL, name="internal", percent=50)
    assert "Small test: R-118 now 50 % of internal." in event_words.describe_event(story.now, entered, words.zone)
    stopped = story.happen(paused).now
    assert event_words.describe_event(stopped, paused, words.zone).endswith("It stays with 50 % of internal.")
    story = words.story().running(INTERNAL).happen(HELD)
    line = summary.format_first_line(story.now, story.evidence(), words.tuesday, words.zone)
    assert line == "On hold: R-118 support-tone, it feels off. It stays with 50 % of internal."


def test_a_whole_cohort_is_not_everybody(words: Any) -> None:
    stages = tuple(replace(s, percent=100) if i == INTERNAL else s for i, s in enumerate(words.stages))
    story = words.story(plan=replace(words.plan, stages=stages)).running(INTERNAL)
    assert "so, no more customers get it until @dana decides." in notice_of(words, story)
    doubt = e.FeltOff(by="slack:T1/U4SAM", handle="@sam", text="odd")
    assert "no more customers get it until" in event_lines.format_line(story.happen(doubt).now, doubt, words.zone)


def with_layer(words: Any, stage: int) -> Any:
    """A rollout at that stage of which a layer leaves it 60 % of the users."""
    return replace(words.story().running(stage).now, layer=LayerSlots(layer="assistants", ranges=((0, 600_000),)))


def test_why_it_holds_has_more_room_than_of_whom_the_share_is(words: Any) -> None:
    held = replace(words.plan, holdout=Holdout(percent=5, lasts=timedelta(days=1)))
    stopped = e.Held(key=holds.NO_DATA, text="requests on the new version have stopped arriving")
    story = words.story(plan=held).running(EVERYONE)
    layered = replace(story.now, layer=LayerSlots(layer="chat", ranges=((0, 500_000),)))
    assert headline.render(replace(story.happen(stopped).now, layer=layered.layer), words.zone) == (
        "On hold: R-118 support-tone: requests on the new version have stopped… It stays at 95 % of its 50 %; "
        "it continues once this clears."
    )


def test_of_one_that_is_done_those_who_are_held_back_are_no_part(words: Any) -> None:
    plan = replace(words.plan, holdout=Holdout(percent=5, lasts=timedelta(days=1)))
    done = words.story(plan=plan).running(EVERYONE).happen(e.Completed(version="v43", retired="v42"))
    assert reach_words.format_share(done.now) == "95 % (5 % held back)"


def test_a_share_in_a_layer_is_one_of_the_layers_users(words: Any) -> None:
    small, all_of_them = with_layer(words, CANARY), with_layer(words, EVERYONE)
    assert reach_words.format_share(small) == "5 % of its 60 % of the users"
    first = wording.strip_markup(headline.render(small, words.zone))
    assert first.startswith("Small test (5 % of its 60 %): R-118 support-tone. Next: 25 % of its 60 %")
    assert headline.render(all_of_them, words.zone).startswith("Growing (100 % of its 60 %): R-118")
    assert headline.format_stage_progress(all_of_them).endswith("its 60 % of the users (now) · watching")


def test_nobody_says_everyone_where_some_are_left_out(words: Any) -> None:
    plan = replace(words.plan, holdout=Holdout(percent=5, lasts=timedelta(days=14)))
    story = words.story(plan=plan).running(EVERYONE)
    assert reach_words.format_share(story.now) == "95 % (5 % held back)"
    assert headline.render(story.now, words.zone).startswith("Growing (95 %): R-118")
    told = notice_of(words, story)
    assert told.startswith(
        "All steps taken, still being watched: all but 5 in 100 customers get the new version of the support assistant."
    )
    assert "Who is affected now: all but 5 in 100 customers." in told
    assert "everyone" not in told.lower()
    assert progress_of(words, story) == "all but 5 in 100 customers have it, and we still watch it."
    stopped = note_of(words, story, HELD)
    assert stopped.startswith("On hold: all but 5 in 100 customers have the new version; it is not final.")


def test_a_group_that_went_back_alone_is_not_among_those_who_have_it(words: Any) -> None:
    back = e.StratumRolledBack(by="U4SAM", reason="odd", stratum="internal", version="v42")
    small = words.story().running(CANARY).happen(back)
    assert reach_words.format_share(small.now) == "5 %, without internal"
    story = words.story().running(EVERYONE).happen(back)
    assert "all but the group internal get the new version" in notice_of(words, story)
    inside = words.story().running(INTERNAL).happen(back)
    assert reach_words.format_share(inside.now) == "0 % of internal (rolled back)"


def test_whois_speaks_of_what_is_over_in_the_past_tense(words: Any) -> None:
    story = words.story().running()
    surface = Surface(name="support-assistant", title="", owner="", live="v42", versions={"v42": {}})
    old = FlagAnswer(version=Version("v42", {}), variant=Variant.CONTROL, reason=Reason.SPLIT)
    since = story.at - timedelta(hours=3)
    told = [
        Assignment(
            since=since + timedelta(hours=hour),
            until=since + timedelta(hours=hour + 1) if hour < 1 else None,
            answers=(PossibleAnswer(answer=old, cohort=None),),
            bucket=5,
            rollout=story.now.id,
            stages=(1,),
            percent=5,
        )
        for hour in range(2)
    ]
    history = UnitHistory(
        surface=surface, assignments=told, rollouts={story.now.id: story.now}, seen={}, told_from=since
    )
    now = plain_text.render_text(whois.render("u1", [history], words.zone))
    assert "not among the random 5 % who get the new version in R-118 (bucket" in now
    assert "not among the random 5 % who got the new version in R-118)" in now
    then = plain_text.render_text(whois.render("u1", [history], words.zone, since))
    assert "who got the new version" in then
    assert "who get the new version" not in then
