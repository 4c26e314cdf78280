"""`--dry-run` says what a command would do and does nothing; `--json` is for programs; plans are shown."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from core.rollout import commands as c
from core.rollout.notifications.announcement import Announcement
from core.rollout.state.model import RolloutState
from core.service.outbox_tasks import MESSAGES, MessageTask
from core.store.models import outbox
from tests.slack.conftest import ROLLOUT, SURFACE
from tests.slack.test_subscriptions import follow


def queued(office: Any) -> list[Announcement]:
    """Every message that was ever queued, oldest first."""
    with office.service.database.reading() as connection:
        rows = connection.execute(select(outbox.c.request).where(outbox.c.kind == MESSAGES).order_by(outbox.c.id))
        return [MessageTask.parse(json.loads(row.request)).announcement for row in rows]


def shown(office: Any, handle: str, line: str) -> str:
    assert office.typed(handle, line).acked
    return str(office.shown(office.whispered(handle)))


@pytest.mark.parametrize(
    ("line", "event", "message"),
    [
        ("pause R-1 odd greetings --dry-run", "rollout.paused: Paused by", "the card is edited, a line in the thread"),
        ("rollback R-1 --dry-run", "rollout.rolled_back: Rolled back by", "the rollback alert, shown in the channel"),
        ("feels-off R-1 --dry-run", "rollout.felt_off", "the card is edited, a line in the thread"),
    ],
)
def test_what_would_happen_is_shown_and_does_not_happen(office: Any, line: str, event: str, message: str) -> None:
    office.start()
    before = len(office.service.load_history("R-1"))
    answer = shown(office, "sam", line)
    assert "Dry run: nothing was done." in answer
    assert event in answer.replace("`", "")
    assert message in answer
    assert office.rollout.state is RolloutState.RUNNING
    assert len(office.service.load_history("R-1")) == before
    assert office.deliver() == 0


def test_what_the_surface_would_record_and_whom_it_would_tell_is_part_of_it(office: Any) -> None:
    follow(office, "mia", "marketing")
    office.start()
    answer = shown(office, "sam", "rollback R-1 --dry-run").replace("`", "")
    assert "surface.freed" in answer
    assert "#support: what became of it, the notice is edited" in answer
    assert "@mia: what became of it, as a direct message" in answer


def test_a_refusal_is_the_same_as_without_it(office: Any) -> None:
    office.plan()
    assert office.typed("ana", "start R-1 --dry-run").text == office.typed("ana", "start R-1").text


def test_what_is_so_already_would_change_nothing(office: Any) -> None:
    office.start()
    assert office.typed("sam", "pause R-1").acked
    assert "would change nothing" in shown(office, "sam", "pause R-1 --dry-run")


def test_json_is_what_the_command_line_prints(office: Any) -> None:
    office.plan()
    answer = shown(office, "sam", "status R-1 --json")
    found = json.loads(answer[answer.index("{") : answer.rindex("}") + 1])
    assert (found["id"], found["state"]) == ("R-1", "planned")


def test_json_that_holds_prompts_stays_with_those_who_may_read_them(office: Any) -> None:
    office.plan()
    assert "does not go into a channel" in office.typed("dana", "history R-1 --json --public").text
    roles = "{operator: {groups: ['@ai-eng']}, approver: {groups: ['@ai-leads']}}"
    office.apply_as_admin(f"version: 1\nkind: policy\nroles: {roles}\n")
    assert "can read prompts" in office.typed("sam", "history R-1 --json").text
    assert office.typed("dana", "history R-1 --json").text.startswith("`history R-1` as JSON.")


def test_the_plan_of_a_rollout_is_shown_with_its_dates_and_what_it_could_notice(office: Any) -> None:
    office.plan()
    answer = shown(office, "sam", "plan R-1")
    assert "Planned: R-1 support-tone, v42 -> v43. Needs 1 more approval." in answer
    assert "noticed after about 5 min in the small test (5 %)" in answer
    assert "When, if no limit breaks  small test 5 %" in answer
    office.start()
    assert "What you could notice in canary: at 5 % about 144,000 requests a day" in shown(office, "sam", "plan R-1")


def test_a_pasted_file_is_checked_and_nothing_is_planned(office: Any) -> None:
    office.apply_as_admin(SURFACE)
    assert "Nothing was planned. `rollout apply FILE` plans it" in shown(office, "sam", f"plan\n{ROLLOUT}")
    broken = shown(office, "sam", "plan\n" + ROLLOUT.replace("drops_by: 2pp", "drops_by: 2"))
    assert "This file cannot be used as it is." in broken
    assert "rollback_when.1.drops_by" in broken
    assert office.service.load_world().rollouts == {}


def test_a_busy_feature_offers_to_queue_and_the_second_starts_after_the_first(office: Any) -> None:
    office.start()
    office.apply(ROLLOUT.replace("support-tone", "shorter-still").replace("9f2c51e0", "77aa51e0"))
    office.deliver()
    assert office.typed("lee", "approve R-2").acked
    office.later(minutes=10)
    refused = office.typed("ana", "start R-2")
    assert "support-assistant is already changing (R-1)" in refused.text
    assert "Scheduled by" in office.click("ana", office.whispered("ana"), "Queue after R-1")
    assert office.typed("sam", "rollback R-1").acked
    office.later(minutes=1).say(c.Tick(), rollout="R-2")
    assert office.service.load_world().rollouts["R-2"].state is RolloutState.RUNNING


def test_a_step_that_comes_too_early_says_what_it_waits_for(office: Any) -> None:
    office.start()
    refused = office.typed("ana", "advance R-1")
    assert refused.text.startswith(
        "Not yet: the small test (5 %) has run for 0 s of its 2 min. Earliest: Mon 23 Nov 10:12 CET"
    )
    assert "It continues on its own." in refused.text
    assert "--skip-wait" in refused.text


@pytest.mark.parametrize(
    ("handle", "line"),
    [
        ("ana", "start R-1"),
        ("sam", "rollback R-1 answers are wrong"),
        ("sam", "pause R-1 odd greetings"),
        ("sam", "feels-off R-1 too short"),
    ],
)
def test_the_messages_that_it_names_are_those_that_the_command_queues(office: Any, handle: str, line: str) -> None:
    follow(office, "mia", "marketing")
    office.apply_as_admin(SURFACE)
    office.apply(ROLLOUT + "testers:\n  - {person: '@mia', unit: user-1}\n  - {channel: '#support'}\n")
    office.deliver()
    assert office.typed("lee", "approve R-1").acked
    office.later(minutes=10).deliver()
    if not line.startswith("start"):
        assert office.typed("ana", "start R-1").acked
        office.deliver()
    answer = shown(office, handle, f"{line} --dry-run")
    before = queued(office)
    assert office.typed(handle, line).acked
    by_place: dict[str, list[str]] = {}
    for one in queued(office)[len(before) :]:
        place = one.channel if one.channel.startswith("#") else "@mia"  # the only person who is written to
        by_place.setdefault(place, []).append(one.kind.delivery.words)
    assert by_place
    assert [text for text in map(str.strip, answer.splitlines()) if text.startswith(("• #", "• @"))] == [
        f"• {place}: {', '.join(dict.fromkeys(names))}" for place, names in sorted(by_place.items())
    ]
