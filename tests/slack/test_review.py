"""The review in Slack: drafted in the thread, answered in a form, edited once it is written, and reminded of."""

from typing import Any

import pytest

from core.rollout import commands as c
from tests.slack.test_journey import HARM, look

ANSWERS = {
    "numbers": "It declined far too often.",
    "unexpected": "The translated system prompt lost a clause.",
    "behaviour": "Nobody came back.",
    "cost": "As before.",
    "next_time": "Read the translations.",
}


def rolled_back(office: Any) -> Any:
    office.start().later(minutes=1).say(c.Tick(look=look(HARM)))
    office.deliver()
    return office


def review_message(office: Any) -> Any:
    """The draft, or the review once it is written: one message either way."""
    found = [m for m in office.sandbox.list_replies(office.card()) if "Did the numbers match" in office.shown(m)]
    assert len(found) == 1
    return found[0]


def reminders(office: Any) -> list[str]:
    return [text for text in office.thread() if "please answer its four questions" in text]


def test_the_end_drafts_the_review_in_the_thread(office: Any) -> None:
    shown = office.shown(review_message(rolled_back(office)))
    assert shown.startswith("Needs review: R-1 support-tone. Please answer four questions (about 3 minutes) by")
    assert "The plan stated no expectations" in shown
    assert "The cost was not measured." in shown
    assert "Needs review by" in office.shown(office.card())


@pytest.mark.shows("E81", "E82")
def test_the_form_writes_the_review_and_the_draft_becomes_it(office: Any) -> None:
    office = rolled_back(office)
    ana = office.person("ana")
    assert ana.click(review_message(office), "Write the review…").acked
    form = office.sandbox.wait_for(lambda: office.sandbox.top_modal("ana"))
    assert ana.submit(form, ANSWERS).errors == {}
    office.deliver()
    shown = office.shown(review_message(office))
    assert shown.startswith("Reviewed by @ana: R-1 support-tone, rolled back.")
    for answer in ANSWERS.values():
        assert answer in shown
    assert "Write the review" not in shown
    assert office.rollout.review is not None
    assert "Needs review" not in office.shown(office.card())


def test_nobody_opens_the_form_who_may_not_write_it(office: Any) -> None:
    office = rolled_back(office)
    office.apply_as_admin("version: 1\nkind: policy\nroles:\n  operator: {groups: ['@ai-eng']}\n")
    assert "you need to be one of" in office.click("mia", review_message(office), "Write the review…")


@pytest.mark.shows("E81")
def test_the_owner_is_reminded_until_the_review_is_written(office: Any) -> None:
    office = rolled_back(office)
    for days, count in ((1, 0), (1, 1), (2, 1), (1, 2)):
        office.later(days=days, minutes=1).deliver()
        assert len(reminders(office)) == count
    assert "3 days late. @dana, please answer" in reminders(office)[-1]
    answers = " ".join(f'--{name} "{text}"' for name, text in ANSWERS.items() if name != "next_time")
    assert "Reviewed by" in office.typed("ana", f"review R-1 {answers}").text
    office.later(days=10).deliver()
    assert len(reminders(office)) == 2


def test_a_review_without_all_answers_is_refused_and_names_what_is_missing(office: Any) -> None:
    answer = rolled_back(office).typed("ana", 'review R-1 --numbers "fine"').text
    assert "Without an answer: Was anything unexpected? Do people behave differently?" in answer


def test_typing_the_verb_shows_the_draft(office: Any) -> None:
    assert "has not ended" in office.start().typed("ana", "review R-1").text
    office.say(c.RollBack(reason="odd greetings"))
    assert office.typed("mia", "review R-1").text.startswith("Needs review: R-1 support-tone")
