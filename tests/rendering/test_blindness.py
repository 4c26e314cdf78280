"""What could have been missed, and what was accepted unseen, as people read it."""

from dataclasses import replace
from datetime import timedelta

from bot.rendering.numbers.detectability import blind_spot_words
from core.judging.model.verdict import BlindSpot

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
