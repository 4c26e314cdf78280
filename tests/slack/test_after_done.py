"""After the end: what the card says of the live version and of the way back stays true when things change."""

from typing import Any

import pytest

from bot.jobs import message_edits
from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from tests.http.test_pages import look

NEXT = {
    "rollout: support-tone": "rollout: support-tone-2",
    "support-assistant@v42": "support-assistant@v43",
    "prompts/system.md@sha256:9f2c51e0": "prompts/system.md@sha256:77aa51e0",
}


def finish(office: Any, rollout: str) -> None:
    """Take every step until it is done."""
    office.later(minutes=3)
    for _ in range(3):
        office.say(c.Advance(reason="seen by all of us"), rollout=rollout)
        office.later(minutes=3)
    office.say(c.Tick(look=look()), rollout=rollout)
    assert office.service.load_world().rollouts[rollout].state is RolloutState.DONE
    office.deliver()


@pytest.fixture
def done(office: Any) -> Any:
    """R-1 is done, and v42 can be called until the last day of November."""
    why = "  why: Shorter answers."
    dated = office.rollout_file.replace(why, f"{why}\n  rollback_to_available_until: 2026-11-30")
    office.apply(office.surface_file)
    office.apply(dated)
    office.deliver()
    office.typed("lee", "approve R-1")
    office.later(minutes=10).typed("ana", "start R-1")
    finish(office, "R-1")
    return office


def first_line(office: Any) -> str:
    return str(office.shown(office.card()).splitlines()[0])


def test_the_way_back_has_its_last_day_and_is_gone_after_it(done: Any) -> None:
    assert first_line(done) == (
        "Needs review: R-1 support-tone. v43 is live. You can still roll back until 2026-11-30."
    )
    assert "Roll back" in done.shown(done.card())
    done.later(days=8)
    message_edits.queue_overdue_edits(done.service, done.at)
    done.deliver()
    assert first_line(done) == "Needs review: R-1 support-tone. v43 is live; v42 can no longer be called."
    assert "Roll back" not in done.shown(done.card())
    message_edits.queue_overdue_edits(done.service, done.at)
    assert done.deliver() == 0, "once is enough"


def test_the_card_says_so_once_a_newer_version_is_live(done: Any) -> None:
    text = done.rollout_file
    for old, new in NEXT.items():
        text = text.replace(old, new)
    done.apply(text)
    done.deliver()
    done.typed("lee", "approve R-2")
    done.later(minutes=10).typed("ana", "start R-2")
    assert first_line(done).endswith("v43 is live. You can still roll back until 2026-11-30."), "5 % get v44"
    finish(done, "R-2")
    assert first_line(done) == "Needs review: R-1 support-tone. v43 was live; now v44 is."
    assert "Roll back" not in done.shown(done.card())
    done.typed("ana", "list --all")
    listed = done.shown(done.whispered("ana"))
    assert "R-1 support-tone. v43 was live; now v44 is." in listed
    assert "R-2 support-tone-2. v44 is live. You can still roll back." in listed
    done.typed("ana", "rollback R-2 odd")
    done.deliver()
    assert first_line(done) == "Needs review: R-1 support-tone. v43 is live."


def test_the_line_in_the_thread_promises_nothing_for_ever(done: Any) -> None:
    (line,) = [text for text in done.thread() if text.startswith("Done: R-1")]
    assert "You can still roll back" not in line
    assert line.endswith(
        "You can go back to v42 until 2026-11-30, as long as nothing newer is live: /rollout rollback R-1"
    )
