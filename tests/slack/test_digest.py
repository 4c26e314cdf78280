"""The digest of a week is posted once, on Monday at nine where the policy's people are, and one line to the leaders."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.jobs import workspace_messages
from core.rollout import commands as c
from core.service.outbox_tasks import MESSAGES
from core.service.service import RolloutService
from core.store.audit import witnesses
from core.store.coordination import outbox

POLICY = """\
version: 1
kind: policy
timezone: Europe/Berlin
channels: {engineering: "#ai-rollouts", leadership: "#leadership"}
"""
NINE = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)  # in Berlin; the office's first day is Monday 23 Nov


def ask(office: Any, at: datetime) -> None:
    office.at = at
    workspace_messages.queue_weekly_digest(office.service, at)
    office.deliver()


def posted(office: Any, channel: str) -> list[str]:
    return [m.text for m in office.sandbox.list_messages(channel) if "23 to 29 November" in m.text]


@pytest.fixture
def busy(office: Any) -> Any:
    """A rollout that a person took back in week 48."""
    office.apply_as_admin(POLICY)
    office.start().say(c.RollBack(reason="odd greetings"))
    return office


@pytest.mark.shows("E84")
def test_it_is_posted_on_monday_at_nine_in_the_zone_of_the_policy(busy: Any) -> None:
    ask(busy, NINE.replace(hour=7, minute=59))
    assert posted(busy, "#ai-rollouts") == []
    ask(busy, NINE)
    (text,) = posted(busy, "#ai-rollouts")
    assert text == "Week of 23 to 29 November: 0 changes shipped, 1 rolled back, 0 under way, 1 review owed."
    shown = busy.shown(busy.message("#ai-rollouts", "Week of 23 to 29 November"))
    assert "1 rolled back, by a person" in shown
    assert "The review of R-1 is 4 days late (@dana)" in shown


def test_leaders_read_one_line(busy: Any) -> None:
    ask(busy, NINE)
    (text,) = posted(busy, "#leadership")
    assert text.startswith("AI changes in the week of 23 to 29 November: 0 changes shipped, 1 rolled back")
    assert "\n" not in busy.shown(busy.message("#leadership", "23 to 29 November"))


def test_it_is_posted_once_however_often_and_by_however_many_it_is_asked_for(busy: Any) -> None:
    for hours in range(3):
        workspace_messages.queue_weekly_digest(RolloutService(busy.service.database), NINE.replace(hour=8 + hours))
    ask(busy, NINE.replace(day=30, hour=20))
    assert len(posted(busy, "#ai-rollouts")) == 1


def test_an_answer_of_slack_that_is_lost_posts_nothing_twice(busy: Any) -> None:
    busy.deliver()
    busy.sandbox.fail_next("chat.postMessage", "cut_after", channel="#ai-rollouts")
    ask(busy, NINE)
    busy.later(minutes=10).deliver()
    assert len(posted(busy, "#ai-rollouts")) == 1


def test_without_a_policy_it_goes_where_the_newest_rollout_is_told(office: Any) -> None:
    office.start().say(c.RollBack(reason="odd greetings"))
    ask(office, NINE.replace(hour=9))
    assert len(posted(office, "#ai-rollouts")) == 1
    assert posted(office, "#leadership") == []


def test_a_week_without_a_rollout_has_no_digest(office: Any) -> None:
    ask(office, NINE)
    assert office.sandbox.list_messages("#ai-rollouts") == []


def test_the_witness_of_the_day_goes_to_the_channel_of_the_workspace(office: Any) -> None:
    office.apply_as_admin(POLICY.replace('engineering: "#ai-rollouts"', 'engineering: "#integrations-team"'))
    office.start()
    workspace_messages.queue_daily_witness(office.service, office.at)
    office.deliver()
    assert len([m for m in office.sandbox.list_messages("#integrations-team") if "log witness" in m.text]) == 1


def test_a_witness_that_an_older_program_has_queued_is_still_posted(office: Any) -> None:
    """It was a message of whichever rollout had changed last."""
    office.start()
    position = office.service.load_world().position
    told = {"kind": "daily_witness", "rollout": "R-1", "channel": "#ai-rollouts", "key": "daily_witness:2026-11-23"}
    row = outbox.build_row(
        kind=MESSAGES,
        ordering_key="slack:#ai-rollouts",
        idempotency_key="daily_witness:2026-11-23",
        request={"announcement": {**told, "audience": "engineering", "due_at": None}, "position": position},
        due_at=office.at,
        position=position,
        supersede_key=None,
    )
    with office.service.database.writing_outside_log() as connection:
        outbox.insert_row(connection, row)
    office.deliver()
    with office.service.database.reading() as connection:
        assert [anchor.position for anchor in witnesses.load_anchors(connection)] == [position]
