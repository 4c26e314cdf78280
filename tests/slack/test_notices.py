"""Notices stay true: each is edited with everything that happens, and its thread says what changed."""

from datetime import timedelta

import pytest

from bot.jobs import message_edits
from core.judging.model.verdict import Cleared
from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from tests.slack.test_journey import HARM, look

SUPPORT = "#support"
FIRST = "A change to the support assistant is planned."


def _notice(office):
    """The first message in the channel: the notice."""
    return office.sandbox.list_messages(SUPPORT)[0]


def _says(office) -> str:
    return office.shown(_notice(office))


def _thread(office) -> list[str]:
    return [office.shown(m).splitlines()[0] for m in office.sandbox.list_replies(_notice(office))]


def _pass(office, **span: float) -> None:
    """Time passes, and the workers do what they do every minute."""
    office.later(**span)
    message_edits.queue_overdue_edits(office.service, office.at)
    office.deliver()


def test_a_notice_follows_a_rollout_from_its_plan_to_its_pause(office):
    office.plan()
    assert _says(office).startswith(FIRST)
    assert "Who is affected now: nobody yet." in _says(office)
    office.typed("lee", "approve R-1")
    office.later(minutes=10).typed("ana", "start R-1")
    office.deliver()
    assert _says(office).startswith("Started: about 5 in 100 customers now get the new version")
    assert _thread(office) == [], "the start has a message of its own in the channel"
    office.typed("ana", "pause R-1 support sees odd greetings")
    office.deliver()
    assert _says(office).startswith("Paused: no more customers get the new version")
    assert "When: no more customers get it until @dana decides." in _says(office)
    paused = _thread(office)[-1]
    assert paused.startswith("Paused: no more customers get the new version for now; about 5 in 100 customers keep it.")
    assert "support sees odd greetings" in paused
    office.typed("ana", "resume R-1 the greetings were unrelated")
    office.deliver()
    assert _says(office).startswith("Started: about 5 in 100 customers now get")
    assert _thread(office)[-1] == "Continuing: more customers will get it, step by step."


def test_a_date_that_has_passed_is_no_longer_shown(office):
    office.start()
    assert "next, as soon as enough is known" not in _says(office)
    _pass(office, minutes=4)
    assert office.rollout.percent == 5
    assert "next, as soon as enough is known: 50 in 100 customers" in _says(office)
    assert "after that: everyone" in _says(office)


@pytest.mark.shows("E80")
def test_a_fixed_start_is_reminded_of_and_its_passing_is_told(office):
    office.apply(office.surface_file)
    office.apply(office.rollout_file.replace("before: 10m", "before: 6h") + "start: 2026-11-24 10:00\n")
    office.at = office.rollout.start - timedelta(hours=6)
    office.deliver()
    office.later(hours=4).deliver()
    assert _thread(office)[-1].startswith("Reminder: the support assistant starts to change ")
    _pass(office, hours=2, minutes=2)
    assert _says(office).startswith("Delayed: the change to the support assistant has not started at the time")


@pytest.mark.shows("E80")
def test_a_start_that_moves_is_told_with_both_dates(office):
    office.plan()
    office.typed("lee", "approve R-1")
    office.typed("ana", 'start R-1 --at "Tue 10:00"')
    office.deliver()
    assert _thread(office)[-1].startswith("Date set: it starts Nov 24, 2026 at")
    office.typed("ana", 'start R-1 --at "Wed 10:00"')
    office.deliver()
    moved = _thread(office)[-1]
    assert moved.startswith("Moved: it starts Nov 25, 2026 at")
    assert moved.index("Nov 25") < moved.index("not") < moved.index("Nov 24")


def test_the_notice_of_a_plan_that_was_replaced_says_so(office):
    office.plan()
    office.apply(office.rollout_file.replace("a third shorter", "half as long"))
    office.deliver()
    assert _says(office).startswith("Replaced: the plan for this change to the support assistant was changed")
    assert "half as long" in office.shown(office.message(SUPPORT, FIRST))


def test_a_deleted_notice_comes_back_with_its_next_edit_and_keeps_its_lead_time(office):
    office.plan()
    given = office.rollout.notice_posted_at("support:#support")
    office.client.chat_delete(channel=office.rollout.channel_ids[SUPPORT], ts=_notice(office).ts)
    office.later(minutes=5).person("sam").type_command("/rollout notice R-1 ack", SUPPORT)
    office.deliver()
    assert "@sam pressed Got it" in office.shown(office.message(SUPPORT, FIRST))
    assert office.rollout.notice_posted_at("support:#support") == given


def test_a_concern_waits_for_an_answer_and_gets_it_in_the_thread(office):
    office.plan()
    sam = office.directory.resolve_actor("T0SANDBOX1", "U0SAM00001", moves_forward=False)
    office.say(c.RaiseConcern(notice="support:#support", text="what about refunds?"), by=sam)
    office.deliver()
    assert office.rollout.open_concerns == ("support:#support",)
    assert (
        "@ana answered the concerns about R-1: “refunds still go to a person”."
        in office.typed("ana", "answer R-1 refunds still go to a person").text
    )
    office.deliver()
    assert "answered your concern: “refunds still go to a person”" in _thread(office)[-1]
    assert office.rollout.open_concerns == ()


def test_at_high_risk_an_open_concern_keeps_it_from_starting(office):
    high = office.rollout_file.replace("risk: standard", "risk: high").replace("stages:", "stages:\n  - eval: {}")
    office.apply(office.surface_file)
    office.apply(high)
    office.deliver()
    sam = office.directory.resolve_actor("T0SANDBOX1", "U0SAM00001", moves_forward=False)
    office.say(c.RaiseConcern(notice="support:#support", text="what about refunds?"), by=sam)
    asked = "A concern from #support has no answer yet (high risk)."
    assert asked in office.later(minutes=11).typed("ana", "start R-1").text
    for who in ("lee", "ana"):
        office.typed(who, "approve R-1")
    assert f"Cannot start yet: {asked}" in office.typed("ana", "status R-1").text
    office.typed("ana", "answer R-1 they still go to a person")
    assert asked not in office.typed("ana", "status R-1").text
    assert asked not in office.typed("ana", "start R-1").text


def test_who_asked_to_be_reminded_is_told_how_it_ends(office):
    office.start()
    assert "We'll message you when watching R-1 is over, or when it is switched back." in office.click(
        "mia", _marketing(office), "Remind me when watching is over"
    )
    office.typed("ana", "rollback R-1 answers are odd")
    office.deliver()
    told = [office.shown(m) for m in office.sandbox.list_messages("#rampart-and-mia")]
    assert [line.splitlines()[0] for line in told if "Switched back" in line] != []
    assert office.rollout.state is RolloutState.ROLLED_BACK


def _marketing(office):
    return office.sandbox.list_messages("#marketing")[0]


def test_a_date_is_that_of_the_first_customers_as_in_the_notice(office):
    """A plan that begins with colleagues starts a day before its customers get anything."""
    cohort = "stages:\n  - cohort: {name: internal, where: {internal: true}, hold: 24h}\n"
    office.apply(office.surface_file)
    text = office.rollout_file.replace("stages:\n", cohort).replace("before: 10m", "before: 6h")
    office.apply(text + "start: 2026-11-24 10:00\n")
    office.at = office.rollout.start - timedelta(hours=6)
    office.deliver()
    notice = _says(office)
    assert "Nov 25" in notice.splitlines()[0]
    office.typed("lee", "approve R-1")
    office.typed("ana", 'start R-1 --at "Wed 10:00"')
    office.deliver()
    moved = _thread(office)[-1]
    assert moved.index("Nov 26") < moved.index("not") < moved.index("Nov 25")
    _pass(office, days=1, hours=4)
    assert _thread(office)[-1].startswith("Reminder: the support assistant starts to change ")
    assert "Nov 26" in _thread(office)[-1]


NOTIFIED = ("#support", "#marketing")


@pytest.fixture
def dated(office):
    """R-1 starts at ten, and both channels have been told six hours before."""
    office.apply(office.surface_file)
    office.apply(office.rollout_file.replace("before: 10m", "before: 6h") + "start: 2026-11-24 10:00\n")
    office.at = office.rollout.start - timedelta(hours=6)
    office.deliver()
    return office


def _first_lines(office, channel: str) -> list[str]:
    """How each message that the channel got after the notice begins, oldest first."""
    office.deliver()
    return [office.shown(message).splitlines()[0] for message in office.sandbox.list_messages(channel)[1:]]


def _begin_on_time(office) -> None:
    office.typed("lee", "approve R-1")
    office.at = office.rollout.start
    office.say(c.Start())
    assert office.rollout.percent == 5


@pytest.mark.shows("E80")
def test_whoever_was_told_is_told_of_the_day_the_start_and_that_everyone_has_it(dated):
    office = dated
    _pass(office, hours=4)  # the morning of that day
    _begin_on_time(office)
    while office.rollout.state is not RolloutState.DONE:
        _pass(office, minutes=3)
        if office.rollout.percent < 100:
            office.say(c.Advance(reason="seen by all of us"))
        office.say(c.Tick(look=look(Cleared())))
    for channel in NOTIFIED:
        said = [line.partition(":")[0] for line in _first_lines(office, channel)]
        assert said == [
            "Reminder",
            "Started",
            "More customers",
            "Everyone has it, still being watched",
            "Watching is over",
        ]


@pytest.mark.shows("E80")
def test_whoever_was_told_is_told_that_nothing_changes_for_customers_after_all(dated):
    office = dated
    _begin_on_time(office)
    _pass(office, minutes=1)
    office.say(c.Tick(look=look(HARM)))
    for channel in NOTIFIED:
        said = _first_lines(office, channel)
        assert [line.partition(":")[0] for line in said] == ["Started", "Switched back"]
        assert said[-1].startswith("Switched back: the support assistant answers as before again")
        notice = office.shown(office.sandbox.list_messages(channel)[0])
        assert notice.startswith("Switched back: the support assistant answers as before again")
        assert "now get the new version" not in notice
