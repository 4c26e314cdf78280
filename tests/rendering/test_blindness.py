"""What could have been missed, and what was accepted unseen, as people read it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.rendering.messages import event_lines
from bot.rendering.numbers.detectability import blind_spot_words
from core.judging.model.verdict import BlindSpot
from core.rollout.decisions import growth_conditions
from core.rollout.state import events as e

SPOT = BlindSpot(
    metric="eval_pass_rate",
    kind="drops_by",
    title="Answers that pass our checks",
    limit_text="drops by 2 pp",
    missed=0.04,
    unit="%",
    relative=False,
    harm="less",
    readings=412,
    needed=1730,
    more=timedelta(hours=9),
)


def test_a_blind_limit_says_how_much_could_have_been_missed_and_for_how_long():
    assert blind_spot_words.format_blind_spots([SPOT]) == (
        "Could still have been missed: a drop of 4 pp in answers that pass our checks. About 9 h more at this pace."
    )


def test_the_time_that_is_left_shrinks_until_it_is_over(story: Any) -> None:
    seen = replace(story.running().evidence(), blind=(SPOT,))
    story.happen(seen)

    def said(hours: int) -> str:
        return blind_spot_words.format_current_blind_spots(story.now, story.at + timedelta(hours=hours))

    assert "About 9 h more at this pace." in said(0)
    assert "About 4 h more at this pace." in said(5)
    assert "more at this pace" not in said(10)
    assert "Could still have been missed" in said(10)


def test_what_is_never_seen_at_this_pace_promises_no_time():
    assert "About" not in blind_spot_words.format_blind_spots([SPOT, replace(SPOT, more=None)])


def test_a_limit_that_was_never_read_asks_whether_it_is_reported():
    assert blind_spot_words.describe_blind_spot(replace(SPOT, unread=True, arm="canary")) == (
        "answers that pass our checks (no reading has ever arrived: is it reported?)"
    )


def test_before_readings_are_due_nobody_is_asked_for_them():
    assert blind_spot_words.describe_blind_spot(replace(SPOT, unread=True, arm="canary"), is_due=False) == (
        "answers that pass our checks (no readings yet)"
    )


def test_every_later_message_says_what_was_accepted_unseen_by_whom_and_why(words: Any, story: Any) -> None:
    accepted = (
        "Accepted in the small test (5 %) that this could have been missed: a drop of 4 pp in answers that pass our "
        "checks; by <@U1ANA>, “launch day”."
    )
    story.running().happen(
        e.BlindSpotsAccepted(by="slack:T1/U1ANA", reason="launch day", stage="canary", lasting=True, spots=(SPOT,))
    )
    for message in words.later_messages(story, replace(story.evidence(), blind=(SPOT,))):
        told = words.text(message)
        assert accepted in told, told
        assert "Could still have been missed" not in told


def test_a_hold_for_what_could_have_been_missed_says_what_helps(words: Any, story: Any) -> None:
    story.running().happen(replace(story.evidence(), blind=(SPOT,)))
    hold = e.Held(key=growth_conditions.undecided_hold_key(story.now.current_stage), text="undecided after 24 h")
    told = event_lines.render(story.happen(hold).now, hold, words.zone).text
    assert "Could still have been missed: a drop of 4 pp in answers that pass our checks." in told
    assert "What helps: judge or report more of it; wait (about 9 h more at this pace); plan a new rollout" in told
    assert 'with a wider canary; or accept it: `/rollout resume R-118 "why"`, and every message will say so.' in told
