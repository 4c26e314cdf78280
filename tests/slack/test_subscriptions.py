"""Those who follow an AI feature are told in person, in the words of their audience, and not at night."""

from datetime import time
from typing import Any

from bot.jobs import message_edits
from bot.sandbox.workspace.workspace import SandboxMessage
from core.rollout import commands as c
from tests.slack.conftest import ROLLOUT, SURFACE
from tests.slack.test_journey import HARM, look


def direct(office: Any, handle: str) -> list[SandboxMessage]:
    """What this person got as direct messages, in order."""
    person = office.sandbox.workspace.find_person(handle)
    found: list[SandboxMessage] = office.sandbox.workspace.visible_messages(f"D{person.id[1:]}", person.id)
    return found


def follow(office: Any, handle: str, audience: str) -> None:
    office.apply_as_admin(SURFACE)
    assert (
        f"now follow the support assistant (as {audience})."
        in office.typed(handle, f"subscribe support-assistant as {audience}").text
    )


def test_a_follower_gets_the_notice_and_what_follows(office: Any) -> None:
    follow(office, "sam", "support")
    office.start()
    told = [office.shown(m) for m in direct(office, "sam")]
    assert "What customers may notice" in told[0]
    assert "You get this because you follow the support assistant (as support)." in told[0]
    assert told[1].startswith("Started:")
    office.click("sam", direct(office, "sam")[0], "Got it")
    assert office.rollout.acknowledged == {"support:#support": ("@sam",)}


def test_a_date_that_has_passed_leaves_direct_notices_and_the_card_too(office: Any) -> None:
    follow(office, "mia", "marketing")
    office.start()
    office.later(minutes=4)
    message_edits.queue_overdue_edits(office.service, office.at)
    office.deliver()
    assert office.rollout.percent == 5
    assert "next, as soon as enough is known: 50 in 100 customers" in office.shown(direct(office, "mia")[0])
    assert "Next: 50 %, as soon as enough is known." in office.shown(office.card())


def test_everybody_reads_the_words_of_their_own_audience(office: Any) -> None:
    follow(office, "sam", "downstream")
    follow(office, "mia", "marketing")
    office.plan()
    downstream, marketing = office.shown(direct(office, "sam")[0]), office.shown(direct(office, "mia")[0])
    assert "What your code may see" in downstream
    assert "[ Got it ]" not in downstream, "no channel of that audience is told, so there is nothing to confirm"
    assert "What your code may see" not in marketing


def test_a_message_waits_for_the_end_of_the_quiet_hours_and_a_rollback_does_not(office: Any) -> None:
    office.apply_as_admin(SURFACE)
    sam = office.directory.resolve_actor("T0SANDBOX1", "U0SAM00001", moves_forward=False)
    quiet = c.ChangeNotifications(
        role="", quiet_from=time(9), quiet_until=time(9, 5), zone="UTC", topics=(("support-assistant", "support"),)
    )
    office.say(quiet, by=sam, rollout="")
    office.plan()
    assert direct(office, "sam") == []
    office.later(minutes=5).deliver()
    assert len(direct(office, "sam")) == 1
    office.say(
        c.ChangeNotifications(
            role="", quiet_from=time(9, 4), quiet_until=time(20), zone="UTC", topics=(("support-assistant", "support"),)
        ),
        by=sam,
        rollout="",
    )
    assert office.typed("lee", "approve R-1").acked
    assert office.later(minutes=10).typed("ana", "start R-1").acked
    office.deliver()
    assert len(direct(office, "sam")) == 1, "that it started can wait"
    office.later(minutes=1).say(c.Tick(look=look(HARM)))
    office.deliver()
    told = [office.shown(m) for m in direct(office, "sam")]
    assert "Switched back" in told[-1]
    assert "Switched back" in told[0], "the notice is kept true as well"


def test_who_stopped_following_gets_nothing_more(office: Any) -> None:
    follow(office, "sam", "support")
    assert office.typed("sam", "unsubscribe").text == "You no longer follow support-assistant (as support)."
    office.plan()
    assert direct(office, "sam") == []
    assert "Nothing to stop" in office.typed("sam", "unsubscribe support-assistant").text


def test_who_began_to_follow_after_the_plan_gets_the_notice_when_it_starts(office: Any) -> None:
    office.plan()
    answer = office.typed("sam", "subscribe support-assistant as support")
    assert "R-1 support-tone" in str(answer.blocks), "what is planned already is part of the answer"
    assert office.typed("lee", "approve R-1").acked
    assert office.later(minutes=10).typed("ana", "start R-1").acked
    office.deliver()
    assert "What customers may notice" in office.shown(direct(office, "sam")[0])
    assert office.shown(direct(office, "sam")[1]).startswith("Started:")


def test_a_changed_plan_sends_a_new_notice(office: Any) -> None:
    follow(office, "sam", "support")
    office.plan()
    office.apply(ROLLOUT.replace("about a third shorter", "half as long"))
    office.deliver()
    assert "half as long" in office.shown(direct(office, "sam")[-1])


def test_the_form_of_the_verb_is_asked_for(office: Any) -> None:
    office.apply_as_admin(SURFACE)
    asked = office.typed("sam", "subscribe support-assistant")
    assert "As whom do you want to follow support-assistant?" in asked.text
    assert "now follow" in office.click("sam", office.whispered("sam"), "As marketing")
    wrong = office.typed("sam", "subscribe support-assistant as marketng")
    assert 'There is no audience "marketng"' in wrong.text


def test_somebody_whom_slack_no_longer_reaches_is_no_line_in_the_channel(office: Any) -> None:
    follow(office, "sam", "support")
    office.sandbox.fail_next("chat.postMessage", "error:user_not_found", channel="U0SAM00001")
    office.plan()
    assert not any("cannot be delivered" in line or "U0SAM" in line for line in office.thread())
