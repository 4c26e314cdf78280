"""Support hears of customers who get a change before the others: a cohort may be of customers, not of colleagues."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.rendering.charts import plain_text
from bot.rendering.messages.notices import change_status, follow_up, notice, notice_note
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.state import events as e

HOUR = timedelta(hours=1)
STAGES = (
    Stage(kind=StageKind.EVAL, name="eval"),
    Stage(kind=StageKind.COHORT, name="internal", percent=50, where={"internal": "true"}, min_hold=2 * HOUR),
    Stage(kind=StageKind.COHORT, name="power-users", percent=50, where={"opt_in": "true"}, min_hold=48 * HOUR),
    Stage(kind=StageKind.CANARY, name="canary", percent=5, min_hold=6 * HOUR),
    Stage(kind=StageKind.RAMP, name="ramp 100%", percent=100, min_hold=12 * HOUR),
    Stage(kind=StageKind.BAKE, name="bake", percent=100, min_hold=48 * HOUR),
)
TITLE = "Support assistant"


@pytest.fixture
def story(words: Any) -> Any:
    return words.story(plan=replace(words.plan, stages=STAGES))


def noticed(words: Any, story: Any) -> str:
    planned = next(n for n in story.now.plan.stakeholder_notices if n.audience == "support")
    return plain_text.render_text(
        notice.render(story.now, planned, TITLE, words.monday, story.at, words.zone, (), is_closed=False)
    )


def test_the_notice_names_them_with_their_date_before_the_others(words: Any, story: Any) -> None:
    told = noticed(words, story.planned())
    assert told.startswith(
        "A change to the support assistant is planned. It starts Thu 26 Nov 13:00 CET at the earliest, for 5 in "
        "100 customers first. Chosen customers (power-users) get it before that, Tue 24 Nov 13:00 CET at the "
        "earliest."
    )
    steps = [line for line in told.splitlines() if line.startswith(" • ") and "CET" in line]
    assert steps[:2] == [
        " • Tue 24 Nov 13:00 CET: chosen customers (power-users)",
        " • Thu 26 Nov 13:00 CET: 5 in 100 customers",
    ]


def test_that_they_have_it_is_told_when_they_get_it(words: Any, story: Any) -> None:
    before = story.running(1).now
    entered = e.StageEntered(index=2, name="power-users", percent=50)
    after = story.later(hours=2).happen(entered).now
    note = notice_note.render(before, after, entered, "support assistant", words.zone, is_closed=False)
    assert note is not None
    assert note.text == (
        "Started for some: chosen customers (power-users) now get the new version of the support assistant; no other "
        "customer has it yet."
    )
    told = noticed(words, story)
    assert "nobody but chosen customers (power-users) has it yet." in told
    assert "Who is affected now: chosen customers (power-users); other customers come later, at first 5 in 100" in told
    assert " • now, since Tue 24 Nov 14:00 CET: chosen customers (power-users)" in told


def test_the_line_at_the_start_names_them_too(words: Any, story: Any) -> None:
    story.running(0)
    started = next(one.event for one in story.entries if isinstance(one.event, e.Started))
    told = plain_text.render_text(follow_up.render(story.now, started, "support", TITLE, story.at, words.zone, ()))
    assert "Chosen customers (power-users) get it before that, " in told


def test_colleagues_are_no_customers(words: Any, story: Any) -> None:
    now = story.running(1).now
    assert change_status.describe_selected(now) == "a few selected people have it now; no customer has it yet"
    assert "chosen customers (internal)" not in noticed(words, story)
