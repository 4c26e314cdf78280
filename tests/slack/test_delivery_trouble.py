"""Whatever Slack answers: nothing is lost, repeated or out of order, and what cannot be said a human learns."""

from datetime import timedelta

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from bot import doctor
from bot.delivery.messages import deliver_due
from bot.delivery.slack_api import _build_failure
from bot.outbound.errors import RetryLater
from bot.settings import Settings
from core.rollout import commands as c
from core.store.coordination import outbox

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def unsent(office):
    with office.service.database.reading() as connection:
        return outbox.measure_backlog(connection)


def rows(office, channel):
    """The rows by which messages of a channel were said, in the order in which they stand there."""
    return [m.metadata["event_payload"]["outbox"] for m in office.sandbox.list_messages(channel) if m.metadata]


def calls(office, channel):
    return [call.method for call in office.sandbox.api_calls if call.args.get("channel") == channel]


def to(office, handle):
    """What the app wrote to one person alone."""
    person = office.sandbox.workspace.find_person(handle)
    if f"D{person.id[1:]}" not in office.sandbox.workspace.channels:
        return []
    return [office.shown(m) for m in office.sandbox.list_messages(f"D{person.id[1:]}")]


def planned(office):
    office.apply(office.surface_file)
    office.apply(office.rollout_file)
    return office


IN_PASSING = ("429", "500", "503", "timeout_before", "timeout_after", "cut_before", "cut_after", "error:internal_error")


@pytest.mark.parametrize("trouble", IN_PASSING)
def test_trouble_in_passing_loses_nothing_repeats_nothing_and_keeps_the_order(office, trouble):
    planned(office)
    impatient = WebClient(token=office.client.token, base_url=office.client.base_url, timeout=1)
    for _ in range(3):
        office.sandbox.fail_next("chat.postMessage", trouble, times=1)
        deliver_due(
            office.service,
            impatient,
            lambda: office.at,
            random_fraction=lambda: 1.0,
            channel_pause=0 * SECOND,
        )
        office.later(minutes=5)
    office.deliver()
    waiting = unsent(office)
    assert (waiting.pending, waiting.leased, waiting.dead) == (0, 0, 0)
    for channel in ("#ai-rollouts", "#support", "#marketing"):
        said = rows(office, channel)
        assert said
        assert said == sorted(set(said))


def test_one_message_a_second_for_a_channel(office):
    planned(office)
    counts = []
    for _ in range(4):
        office.deliver(pace=SECOND)
        counts.append(len(rows(office, "#ai-rollouts")))
        office.later(milliseconds=999).deliver(pace=SECOND)
        counts.append(len(rows(office, "#ai-rollouts")))
        office.later(milliseconds=1)
    assert counts[:6] == [1, 1, 2, 2, 3, 3]
    assert rows(office, "#support"), "the others do not wait for it"


def test_an_edit_is_not_followed_by_a_rest(office):
    office.plan()
    office.typed("lee", "approve R-1")
    office.deliver(pace=SECOND)
    edited = {call.args["ts"] for call in office.sandbox.api_calls if call.method == "chat.update"}
    assert len(edited) == 2, "the card, and the request that is answered now"
    assert any("Approved by @lee" in text for text in office.thread())


def test_what_is_urgent_is_said_first_and_at_once(office):
    office.start()
    sam = office.directory.resolve_actor("T0SANDBOX1", "U0SAM00001", moves_forward=True)
    for number in range(3):
        office.say(c.RaiseConcern(text=f"concern {number}", notice=""), by=sam)
    office.deliver(pace=SECOND)
    office.say(c.RollBack(reason="wrong answers"))
    office.deliver(pace=SECOND)
    said = office.thread()
    assert "Rolled back" in said[-1], "though the channel rests after a message, and others wait for it"
    assert not any("concern 2" in text for text in said)
    for _ in range(5):
        office.later(seconds=1).deliver(pace=SECOND)
    assert any("concern 2" in text for text in office.thread())


def test_what_waited_behind_a_rollback_is_not_told_as_news_after_it(office):
    office.plan()
    office.typed("lee", "approve R-1")
    office.deliver()
    office.later(hours=1)
    office.say(c.Start(), by=office.directory.resolve_actor("T0SANDBOX1", "U0DANA0001", moves_forward=True))
    office.say(c.RollBack(reason="wrong answers"))
    for _ in range(20):
        office.later(seconds=1).deliver(pace=SECOND)
    support = [office.shown(m) for m in office.sandbox.list_messages("#support")]
    assert any("Switched back" in text for text in support)
    assert not any("Started: the first customers" in text for text in support)
    assert any("Rolled back" in text for text in office.thread())
    assert any("Started by @dana" in text for text in office.thread()), "what was done stays told"
    assert not any("R-1 now 5 %" in text for text in office.thread())
    assert unsent(office).pending == 0


def test_a_slow_down_holds_for_every_lane_of_the_channel(office):
    office.start()
    here = office.card().channel
    sam = office.directory.resolve_actor("T0SANDBOX1", "U0SAM00001", moves_forward=True)
    office.say(c.RaiseConcern(text="is that so?", notice=""), by=sam)
    office.sandbox.fail_next("chat.update", "429", retry_after=30, channel=here)
    office.deliver()
    asked = calls(office, here)
    office.say(c.RollBack(reason="wrong answers"))
    office.later(seconds=29).deliver()
    assert calls(office, here) == asked, "not once"
    assert any("Switched back" in office.shown(m) for m in office.sandbox.list_messages("#support")), "others go on"
    office.later(seconds=1).deliver()
    assert any("Rolled back" in text for text in office.thread())


def test_slowing_down_costs_no_attempt_however_often(office):
    office.sandbox.fail_next("chat.postMessage", "429", times=40, retry_after=1)
    planned(office)
    for _ in range(40):
        office.deliver()
        office.later(seconds=1)
    office.deliver()
    assert "Planned: R-1" in office.shown(office.card())
    assert not any(x.method.startswith("conversations.") for x in office.sandbox.api_calls), "none was a try"


def test_a_token_that_stops_working_is_mended_and_everything_goes_out(office):
    office.sandbox.fail_next("chat.postMessage", "error:invalid_auth", times=9)
    planned(office)
    office.deliver()
    assert unsent(office).errors == {"invalid_auth": 3}, "one for each channel"
    settings = Settings(
        database_url=f"sqlite:///{office.service.database.path}",
        slack_bot_token=office.sandbox.bot_token,
        slack_api_url=office.sandbox.api_url,
    )
    found = {x.what: x for x in doctor.examine_installation(settings, lambda: office.at + 6 * MINUTE)}
    assert not found["outbox"].ok
    assert "the last answer was invalid_auth; the oldest is 6 minutes late" in found["outbox"].text
    for _ in range(4):
        office.later(minutes=5).deliver()
    assert (unsent(office).pending, unsent(office).dead, unsent(office).errors) == (0, 0, {})
    assert len(office.thread()) > 1


@pytest.mark.parametrize("refusal", ["is_archived", "msg_too_long", "not_in_channel", "restricted_action"])
def test_what_slack_refuses_for_good_is_told_to_the_engineers_and_what_follows_goes_on(office, refusal):
    office.plan()
    office.typed("lee", "approve R-1")
    office.later(minutes=10).typed("ana", "start R-1")
    channel = office.sandbox.list_messages("#support")[0].channel
    office.say(c.RollBack(reason="wrong answers"))
    refuse_in(office, channel, refusal)
    office.deliver()
    assert any(f"#support could not be posted ({refusal})" in text for text in office.thread())
    assert any("Switched back" in office.shown(m) for m in office.sandbox.list_messages("#marketing"))
    assert unsent(office).dead >= 1
    assert unsent(office).pending == 0


def test_where_the_engineers_own_channel_is_broken_the_owner_is_told_alone_and_once(office):
    planned(office)
    refuse_in(office, "#ai-rollouts", "is_archived")
    office.deliver()
    (told,) = to(office, "dana")
    assert "Not delivered: R-1 support-tone. I can't post to #ai-rollouts (is_archived)." in told
    assert "Unarchive the channel" in told
    assert "Planned: R-1" in told, "the words that were to be said"
    assert office.rollout.messages["undelivered:#ai-rollouts"].ts
    assert unsent(office).dead > 1
    assert office.sandbox.list_messages("#support"), "the other channels are told as ever"


def test_a_rollback_that_its_channel_does_not_take_reaches_the_owner_whatever_was_told_before(office):
    office.start()
    refuse_in(office, office.card().channel, "is_archived")
    sam = office.directory.resolve_actor("T0SANDBOX1", "U0SAM00001", moves_forward=True)
    office.say(c.RaiseConcern(text="is that so?", notice=""), by=sam)
    office.deliver()
    assert len(to(office, "dana")) == 1
    office.say(c.RollBack(reason="wrong answers"))
    office.deliver()
    assert "Rolled back" in to(office, "dana")[-1]


def test_telling_the_owner_is_tried_again_like_everything_else(office):
    planned(office)
    refuse_in(office, "#ai-rollouts", "is_archived")
    refuse_in(office, "U0DANA0001", "internal_error", times=1)
    office.deliver()
    assert unsent(office).dead == 0, "not before somebody knows"
    office.later(minutes=5).deliver()
    assert len(to(office, "dana")) == 1


def test_an_owner_whom_slack_does_not_know_leaves_it_to_the_log_and_the_figures(office, capsys):
    office.apply(office.surface_file.replace('owner: "@dana"', 'owner: "@nobody"'))
    office.apply(office.rollout_file.replace('owner: "@dana"', 'owner: "@nobody"'), resolve=str)
    refuse_in(office, "#ai-rollouts", "channel_not_found")
    office.deliver()
    assert unsent(office).dead >= 1
    assert "the owner could not be notified" in capsys.readouterr().out


def test_a_message_that_cannot_be_made_keeps_no_other_waiting(office, capsys):
    """A fault of ours: it is logged whole, waits like any failed try, and is counted."""
    office.apply(office.surface_file)
    of_nobody = {"kind": "line", "rollout": "R-99", "channel": "#leadership", "key": "line:1", "audience": "leaders"}
    row = outbox.build_row(
        kind="slack",
        ordering_key="slack:#leadership",
        idempotency_key="broken",
        request={"announcement": of_nobody, "position": 1},
        due_at=office.at,
        position=1,
    )
    with office.service.database.writing_outside_log() as connection:
        outbox.insert_row(connection, row)
    office.apply(office.rollout_file)
    office.deliver()
    assert unsent(office).errors == {"KeyError: 'R-99'": 1}
    assert "Traceback" in capsys.readouterr().out
    assert len(office.thread()) > 1


def refuse_in(office, channel, error, times=1000):
    """From now on Slack answers every chat.postMessage and chat.update for this channel like that."""
    office.sandbox.fail_next("chat.postMessage", f"error:{error}", times=times, channel=channel)
    office.sandbox.fail_next("chat.update", f"error:{error}", times=times, channel=channel)


def deleted(office, message):
    office.client.chat_delete(channel=message.channel, ts=message.ts)


def started(office):
    office.start()
    office.deliver()
    return office


def test_after_the_card_is_deleted_a_rollback_still_reaches_the_channel(office):
    started(office)
    deleted(office, office.card())
    office.typed("sam", "rollback R-1 odd greetings")
    office.deliver()
    said = [office.shown(m) for m in office.sandbox.list_messages("#ai-rollouts")]
    assert any("Rolled back" in text and "odd greetings" in text for text in said), said
    assert to(office, "dana") == []
    assert unsent(office).dead == 0
    assert any("Switched back" in office.shown(m) for m in office.sandbox.list_messages("#support"))


def test_after_the_card_is_deleted_what_follows_stands_under_the_new_one(office):
    started(office)
    deleted(office, office.card())
    office.typed("sam", "pause R-1 odd greetings")
    office.deliver()
    card = office.rollout.messages["card"]
    replies = office.client.conversations_replies(channel=card.channel, ts=card.ts)["messages"]
    assert any("odd greetings" in str(reply) for reply in replies[1:])
    assert unsent(office).dead == 0


def test_an_approval_request_that_was_deleted_is_not_edited_and_nobody_is_alarmed(office):
    planned(office).deliver()
    deleted(office, office.message("#ai-rollouts", "Approval needed"))
    office.typed("lee", "approve R-1")
    office.deliver()
    assert to(office, "dana") == []
    assert unsent(office).dead == 0


def test_a_notice_that_was_deleted_is_not_edited_and_nobody_is_alarmed(office):
    planned(office).deliver()
    deleted(office, office.message("#support", "What customers may notice"))
    office.typed("lee", "approve R-1")
    office.later(minutes=1).typed("ana", 'start R-1 --at "12:00"')
    office.deliver()
    assert unsent(office).dead == 0
    assert not any("could not be posted" in line for line in office.thread())


def test_after_a_deleted_message_the_owner_is_still_told_once_that_the_channel_is_archived(office):
    planned(office).deliver()
    deleted(office, office.message("#ai-rollouts", "Approval needed"))
    office.typed("lee", "approve R-1")
    office.deliver()
    refuse_in(office, "#ai-rollouts", "is_archived")
    refuse_in(office, office.card().channel, "is_archived")
    office.later(minutes=10).typed("ana", "start R-1")
    office.deliver()
    assert len([text for text in to(office, "dana") if "is_archived" in text]) == 1


@pytest.mark.parametrize(
    "error", ["message_limit_exceeded", "team_added_to_org", "org_login_required", "external_channel_migrating"]
)
def test_what_slack_refuses_for_a_while_is_all_said_afterwards(office, error):
    started(office)
    office.sandbox.fail_next("chat.postMessage", f"error:{error}", times=4)
    office.sandbox.fail_next("chat.update", f"error:{error}", times=4)
    office.typed("sam", "rollback R-1 odd greetings")
    for _ in range(12):
        office.deliver()
        office.later(minutes=2)
    assert unsent(office).dead == 0
    assert "Rolled back" in office.shown(office.card())
    assert any("Switched back" in office.shown(m) for m in office.sandbox.list_messages("#support"))
    assert to(office, "dana") == []


@pytest.mark.parametrize("trouble", ["timeout_after", "cut_after"])
def test_what_was_said_in_the_channel_as_the_card_was_gone_is_not_said_twice(office, trouble):
    started(office)
    deleted(office, office.card())
    office.typed("sam", "rollback R-1 odd greetings")
    impatient = WebClient(token=office.client.token, base_url=office.client.base_url, timeout=1)
    office.sandbox.fail_next("chat.postMessage", "error:thread_not_found", times=1)
    office.sandbox.fail_next("chat.postMessage", trouble, times=1)
    for _ in range(3):
        deliver_due(
            office.service,
            impatient,
            lambda: office.at,
            random_fraction=lambda: 1.0,
            channel_pause=0 * SECOND,
        )
        office.later(minutes=5)
    said = [row for row in rows(office, "#ai-rollouts") if row is not None]
    assert len(said) == len(set(said))
    assert unsent(office).dead == 0


@pytest.mark.parametrize("said", ["ratelimited", "rate_limited"])
def test_a_slow_down_is_one_whatever_the_status_of_the_answer(said):
    """Some methods answer 200 with the error: it counts as no attempt, and holds the channel like a 429."""
    response = SlackResponse(
        client=None,
        http_verb="POST",
        api_url="chat.postMessage",
        req_args={},
        data={"ok": False, "error": said},
        headers={"Retry-After": "7"},
        status_code=200,
    )
    failure = _build_failure(SlackApiError("refused", response), is_read=False)
    assert isinstance(failure, RetryLater)
    assert (str(failure), failure.seconds, failure.counts_as_attempt) == (outbox.RATE_LIMITED, 7.0, False)
