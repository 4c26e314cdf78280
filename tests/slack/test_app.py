"""Every command and click is answered, none is applied twice, and nobody does what they may not."""

import asyncio
import json
import threading
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from bot.http import slack_events
from bot.rendering.blocks import blocks
from bot.slack.listeners import build_app
from bot.slack.slack_responder import SlackResponder
from core.flags.bucketing import compute_bucket
from core.metrics.observation import Observation
from core.rollout import commands as c
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.service.service import RolloutService
from core.store.observations.observation_batch import PlacedObservation
from core.store.units import served_units
from tests.served import evaluate


def _events(office: Any, kind: type) -> list[Any]:
    return [r.event for r in office.service.load_history("R-1") if isinstance(r.event, kind)]


def test_the_help_says_what_can_be_typed(either: Any) -> None:
    assert either.typed("gil", "").text.startswith("Rollouts: change prompts")
    assert "Usage: `/rollout rollback" in str(either.typed("gil", "help rollback").blocks)


def test_a_command_is_answered_with_its_acknowledgement_for_one_pair_of_eyes(either: Any) -> None:
    either.plan()
    reply = either.typed("ana", "status R-1")
    assert reply.acked
    assert reply.text.startswith("Planned: R-1 support-tone")
    assert either.sandbox.responses_to(reply) == []
    assert either.whispered("ana").text == reply.text


def test_an_answer_can_be_public(office: Any) -> None:
    office.plan()
    office.typed("ana", "status R-1 --public", "#marketing")
    assert office.sandbox.list_messages("#marketing")[-1].text.startswith("Planned: R-1")
    assert office.sandbox.list_ephemerals("ana") == []


def test_a_mistyped_verb_is_suggested_and_the_button_runs_it(office: Any) -> None:
    office.start()
    assert office.typed("sam", "pasue R-1").text == 'I don\'t know "pasue". Did you mean `pause`?'
    assert office.rollout.state is RolloutState.RUNNING
    assert "Paused by" in office.click("sam", office.whispered("sam"), "pause R-1")
    assert office.rollout.state is RolloutState.PAUSED


def test_an_unknown_rollout_is_answered_with_a_button_for_the_nearest(office: Any) -> None:
    office.start()
    refused = office.typed("sam", "rollback R-2")
    assert refused.text.startswith("There is no R-2. Open now: R-1 support-tone. Did you mean R-1?")
    button = next(x for b in refused.blocks if b["type"] == "actions" for x in b["elements"])
    assert button["text"]["text"] == "rollback R-1 support-tone"
    assert "confirm" in button
    office.click("sam", office.whispered("sam"), "rollback R-1 support-tone")
    assert office.rollout.state is RolloutState.ROLLED_BACK


def test_what_a_phone_escapes_reads_as_it_was_typed(office: Any) -> None:
    office.start()
    office.typed("sam", "pause R-1 “a < b & <!channel>”")
    assert _events(office, e.Paused)[0].reason == "a < b & <!channel>"
    office.deliver()
    posted = office.message("#ai-rollouts", "Paused by")
    assert "<!channel>" not in json.dumps(posted.blocks)
    assert "&lt;!channel&gt;" in json.dumps(posted.blocks)


def test_the_owner_cannot_approve_and_is_told_why(office: Any) -> None:
    office.plan()
    asked = office.message("#ai-rollouts", "Approval needed")
    assert "R-1 is your own change, so someone else" in office.click("dana", asked, "Approve")
    assert _events(office, e.Approved) == []


def test_a_guest_moves_nothing(office: Any) -> None:
    office.start()
    assert "Guests can't change traffic." in office.typed("gil", "rollback R-1").text
    assert "Guests can't change traffic." in office.click("gil", office.card(), "Roll back")
    assert "Guests can only see where" in office.typed("gil", "whois cust_1").text
    assert office.rollout.state is RolloutState.RUNNING


def test_a_click_on_a_request_that_has_lapsed_applies_nothing(office: Any) -> None:
    office.plan()
    stale = office.message("#ai-rollouts", "Approval needed")
    office.apply(office.files["rollout"].replace("percent: 5", "percent: 4"))
    assert "changed since this request" in office.click("lee", stale, "Approve")
    assert _events(office, e.Approved) == []


def test_two_approve_at_once_and_one_counts(office: Any) -> None:
    office.plan()
    asked = office.message("#ai-rollouts", "Approval needed")
    office.click("lee", asked, "Approve")
    assert "already approved" in office.click("mia", asked, "Approve")
    assert len(_events(office, e.Approved)) == 1


def test_who_approves_twice_reads_who_is_still_needed(office: Any) -> None:
    office.apply(office.surface_file)
    office.apply(office.rollout_file.replace("rollback_when:", "approvals: {required: 2}\nrollback_when:"))
    office.deliver()
    office.typed("mia", "approve R-1")
    again = office.typed("mia", "approve R-1")
    assert "You have already approved R-1, and each person counts once; still needed: 1 more approval." in again.text
    assert len(_events(office, e.Approved)) == 1


def test_the_same_delivery_twice_is_applied_once_and_answered_twice(either: Any) -> None:
    either.plan()
    first = either.typed("lee", 'approve R-1 "fine"')
    again = either.sandbox.deliver_again()
    assert again.acked
    assert len(_events(either, e.Approved)) == 1
    assert "Approved by @lee" in json.dumps(again.answer, ensure_ascii=False)
    assert "Approved by @lee" in first.text


def test_rejecting_asks_for_a_reason_in_a_modal(either: Any) -> None:
    either.plan()
    asked = either.message("#ai-rollouts", "Approval needed")
    assert either.person("lee").click(asked, "Reject…").acked
    modal = either.sandbox.wait_for(lambda: either.sandbox.top_modal("lee"))
    assert modal.body["title"]["text"] == "Reject"
    assert either.person("lee").submit(modal, {"reason": "not before the sale"}).acked
    told = either.sandbox.top_modal("lee")
    assert "Rejected by" in json.dumps(told.body)
    assert _events(either, e.Rejected)[0].reason == "not before the sale"


def test_who_may_not_reject_is_told_before_writing_a_reason(office: Any) -> None:
    office.plan()
    asked = office.message("#ai-rollouts", "Approval needed")
    assert "your own change" in office.click("dana", asked, "Reject…")
    assert office.sandbox.top_modal("dana") is None


def test_support_confirms_a_notice_and_the_notice_says_so(either: Any) -> None:
    either.plan()
    notice = either.message("#support", "What customers may notice")
    assert "Thanks. You have confirmed the notice for R-1." in either.click("sam", notice, "Got it")
    assert "No change needed" in either.click("sam", notice, "Got it")
    either.deliver()
    assert "@sam pressed Got it" in either.shown(either.sandbox.reload_message(notice))


def test_a_concern_reaches_the_engineers(office: Any) -> None:
    office.plan()
    notice = office.message("#support", "What customers may notice")
    office.person("sam").click(notice, "I have a concern")
    modal = office.sandbox.wait_for(lambda: office.sandbox.top_modal("sam"))
    office.person("sam").submit(modal, {"reason": "too close to the sale"})
    office.deliver()
    assert "Concern: @sam in #support about R-1: “too close to the sale”." in office.thread()[-1]


def test_start_then_starts_by_itself_at_the_earliest_time(office: Any) -> None:
    office.plan()
    office.typed("lee", "approve R-1")
    assert "#support needs 10 min notice" in office.typed("ana", "start R-1").text
    assert "automatically" in office.click("ana", office.whispered("ana"), "Start then")
    office.later(minutes=9).say(c.Tick())
    assert office.rollout.state is RolloutState.PLANNED
    office.later(minutes=1).say(c.Tick())
    assert office.rollout.state is RolloutState.RUNNING


def test_resuming_after_a_hold_asks_for_a_reason(office: Any) -> None:
    office.start()
    for who in ("sam", "mia"):
        office.click(who, office.card(), "Feels off")
    office.deliver()
    assert office.rollout.state is RolloutState.ON_HOLD
    assert office.person("ana").click(office.card(), "Resume").acked
    modal = office.sandbox.wait_for(lambda: office.sandbox.top_modal("ana"))
    office.person("ana").submit(modal, {"reason": "read ten of them, all fine"})
    assert office.rollout.state is RolloutState.RUNNING


def test_one_person_feels_off_once(office: Any) -> None:
    office.start()
    office.click("sam", office.card(), "Feels off")
    assert "each person counts once" in office.click("sam", office.card(), "Feels off")
    assert office.rollout.state is RolloutState.RUNNING


def test_a_rollback_asks_once_and_declining_changes_nothing(either: Any) -> None:
    either.start()
    declined = either.person("sam").click(either.card(), "Roll back", confirm=False)
    assert not declined.acked
    assert either.rollout.state is RolloutState.RUNNING
    assert "Everyone got v42 again" in either.click("sam", either.card(), "Roll back")
    assert either.rollout.state is RolloutState.ROLLED_BACK


def test_a_mention_in_a_thread_is_about_that_rollout(either: Any) -> None:
    either.start()
    either.person("ana").say("@rampart status", thread=either.card())
    told = either.sandbox.wait_for(lambda: either.sandbox.list_ephemerals("ana")[-1:])
    either.sandbox.wait_for(lambda: "Small test" in either.sandbox.list_ephemerals("ana")[-1].text)
    assert told[0].thread_ts is None or told[0].thread_ts == either.card().ts


def test_whois_says_which_version_and_why(office: Any) -> None:
    office.start()
    told = office.typed("sam", "whois cust_8841", "#support").text
    assert told.startswith("cust_8841 has had support-assistant v4")
    assert "(bucket 0." in told
    assert office.typed("sam", "whois cust_8841 nothing").text.startswith("There is no AI feature called nothing.")


def test_support_learns_after_a_rollback_which_version_somebody_saw(office: Any) -> None:
    office.start()
    reached = next(u for u in map(str, range(1000)) if compute_bucket("expose", "R-1", u) < 50_000)
    office.later(minutes=90).typed("sam", "rollback R-1 odd answers", "#support")
    office.later(minutes=30)
    told = office.typed("sam", f"whois {reached}", "#support")
    assert told.text.startswith(f"{reached} has had support-assistant v42 since Mon 23 Nov 10:40 UTC, like everyone")
    shown = office.shown(office.whispered("sam"))
    assert "Before: v43 from Nov 23, 2026 at 09:10 to Nov 23, 2026 at 10:40 (random 5 % in R-1)" in shown
    then = office.typed("sam", f"whois {reached} at 2026-11-23T10:00Z", "#support").text
    assert then.startswith(f"{reached} got support-assistant v43 (new) at Mon 23 Nov 10:00 UTC")
    assert then.endswith("Now: v42.")
    assert "has not come yet" in office.typed("sam", f"whois {reached} at 2026-11-24").text


def test_support_moves_one_customer_back_in_one_click(office: Any) -> None:
    office.start()
    reached = next(u for u in map("cust_{}".format, range(1000)) if compute_bucket("expose", "R-1", u) < 50_000)
    office.typed("sam", f"whois {reached}", "#support")
    told = office.click("sam", office.whispered("sam"), "Move back to v42")
    assert told.startswith("Moved back by @sam: one customer gets v42 again until R-1 ends.")
    office.deliver()
    assert "1 customer moved back so far; what they do now is not compared any more." in office.shown(office.card())
    assert reached not in " ".join(office.thread())  # no customer's id in a channel
    restarted = build_snapshot(RolloutService(office.service.database).load_world())
    assert evaluate(restarted, "support-assistant", reached, {}).version.name == "v42"
    again = office.typed("sam", f"whois {reached}", "#support").text
    assert "has had support-assistant v42 (old)" in again
    assert "because: moved back by a person in R-1" in again
    assert "No change needed" in office.typed("sam", f'move-back {reached} R-1 "twice"', "#support").text


def test_a_list_of_customers_comes_in_pages_and_to_those_who_may(office: Any) -> None:
    office.start()
    assert "Rampart keeps no ids of customers here" in office.typed("ana", "customers R-1").text
    roles = 'roles: {operator: {groups: ["@ai-eng"]}}'
    office.apply_as_admin(f'version: 1\nkind: policy\n{roles}\ncustomers: {{keep: 30d, channels: ["#support"]}}\n')
    seen = [
        PlacedObservation(
            rollout="R-1",
            stage=0,
            arm="canary",
            unit=f"cust_{i:02}",
            observation=Observation(
                surface="support-assistant",
                unit=f"cust_{i:02}",
                at=office.at + timedelta(seconds=i),
                readings={"refusal_rate": 0.0},
            ),
        )
        for i in range(25)
    ]
    with office.service.database.writing_outside_log() as connection:
        served_units.record(connection, seen)
    told = office.typed("sam", "customers R-1", "#support")
    assert told.text.startswith("25 customers got v43 in R-1 support-tone: 1 to 20")
    assert "cust_19" in office.shown(office.whispered("sam"))
    rest = office.click("sam", office.whispered("sam"), "Next page")
    assert "21 to 25" in rest
    assert "cust_24" in rest
    assert "Next page" not in rest
    assert "you need to be one of @ai-eng, or go to #support" in office.typed("sam", "customers R-1").text
    assert "leave out --public" in office.typed("sam", "customers R-1 --public", "#support").text


def test_metrics_without_data_say_so(office: Any) -> None:
    office.start()
    assert "Not enough data" in office.typed("ana", "metrics R-1").text


def test_the_history_names_everyone(office: Any) -> None:
    office.start()
    office.typed("ana", "history R-1")
    shown = office.shown(office.whispered("ana"))
    for said in ("Planned by @dana", "Approved by @lee", "Started by @ana", "Small test: R-1 now 5 %. By @ana."):
        assert said in shown


def test_lists_can_be_narrowed(office: Any) -> None:
    office.start()
    assert office.typed("ana", "list").text == "Open now: 1."
    assert office.typed("dana", "list --mine").text == "Rollouts: 1."
    assert office.typed("ana", "list --mine").text == "Rollouts: none."
    assert office.typed("ana", "list --state done").text == "Rollouts: none."


def test_notices_can_be_read_before_they_matter(office: Any) -> None:
    office.plan()
    office.typed("ana", "notice R-1 preview")
    assert "#support would read:" in office.shown(office.whispered("ana"))
    assert office.typed("ana", "notice R-1").text == "Notices for R-1 support-tone: 2 of 2 posted."
    assert "You have confirmed the notice for R-1." in office.typed("mia", "notice R-1 ack", "#marketing").text


def test_a_button_that_is_not_known_any_more_is_answered(office: Any) -> None:
    button = {
        "type": "button",
        "action_id": "from.long.ago",
        "text": {"type": "plain_text", "text": "Old"},
        "value": "x",
    }
    office.client.chat_postMessage(
        channel="#ai-rollouts", text="old", blocks=[{"type": "actions", "elements": [button]}]
    )
    assert "no longer works" in office.click("ana", office.card(), "Old")


def test_a_tampered_value_names_nothing(office: Any) -> None:
    button = {
        "type": "button",
        "action_id": "rollback",
        "text": {"type": "plain_text", "text": "Go"},
        "value": "R-99|x",
    }
    office.client.chat_postMessage(
        channel="#ai-rollouts", text="old", blocks=[{"type": "actions", "elements": [button]}]
    )
    assert "There is no R-99" in office.click("ana", office.card(), "Go")


def test_without_slack_a_rollback_still_works_and_a_start_does_not(office: Any) -> None:
    office.plan()
    office.typed("lee", "approve R-1")
    office.later(minutes=10)
    office.sandbox.fail_next("users.info", "500", times=1)
    assert "nothing moves forward" in office.typed("ana", "start R-1").text
    office.typed("ana", "start R-1")
    office.sandbox.fail_next("users.info", "500", times=1)
    office.sandbox.fail_next("usergroups.list", "500", times=1)
    assert "Rolled back by" in office.typed("mia", "rollback R-1").text
    assert office.rollout.state is RolloutState.ROLLED_BACK


class _Broken(Exception):
    pass


def _answers(work: Any, patience: float = 30.0) -> tuple[list[Any], list[Any]]:
    first: list[Any] = []
    later: list[Any] = []
    with SlackResponder("id", first.append, later.append, patience) as answering:
        answering.respond(work())
    return first, later


def test_what_breaks_is_answered_with_a_reference() -> None:
    def work() -> None:
        raise _Broken

    first, later = _answers(work)
    assert "Something went wrong on our side (ref " in first[0].text
    assert later == []


def test_what_takes_long_is_acknowledged_first_and_answered_afterwards() -> None:
    acknowledged = threading.Event()
    first: list[Any] = []
    later: list[Any] = []

    def acknowledge(message: Any) -> None:
        first.append(message)
        acknowledged.set()

    with SlackResponder("id", acknowledge, later.append, 0.01) as answering:
        assert acknowledged.wait(60)
        answering.respond(blocks.build_message("Done: at last."))
    assert "Got it, working on it (ref " in first[0].text
    assert [m.text for m in later] == ["Done: at last."]


@pytest.mark.parametrize(
    "line", ["status", "list", "help", "metrics", "history", "notice", "whois x", "pause", "start"]
)
def test_an_empty_workspace_answers_everything(office: Any, line: str) -> None:
    reply = office.typed("ana", line)
    assert reply.acked
    assert reply.text


def test_what_is_not_slacks_is_refused_without_an_error(office):
    bolt = build_app(
        office.service, office.client, office.sandbox.signing_secret, now=lambda: office.at, directory=office.directory
    )
    api = FastAPI()
    api.include_router(slack_events.build_router(bolt))

    sent = [(b"x", stamp) for stamp in ("abc", "nan", "-1")] + [(b, "1") for b in (b"{", b"[]", b"payload=%7B")]

    async def answers() -> set[int]:
        transport = httpx.ASGITransport(app=api)
        async with httpx.AsyncClient(transport=transport, base_url="http://rampart") as client:
            return {
                (await client.post("/slack/events", content=body, headers=_signed_wrong(stamp))).status_code
                for body, stamp in sent
            }

    assert asyncio.run(answers()) <= {400, 401}
    bolt.listener_runner.listener_executor.shutdown()


def _signed_wrong(stamp: str) -> dict[str, str]:
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": "v0=1"}


def test_a_token_in_the_environment_is_warned_of_by_nobody(office: Any, monkeypatch: Any, caplog: Any) -> None:
    """Where `rollout serve` finds it; Bolt looks there, too."""
    monkeypatch.setenv("SLACK_BOT_TOKEN", office.client.token)
    build_app(office.service, office.client, "secret", now=lambda: office.at, directory=office.directory)
    assert [record.getMessage() for record in caplog.records] == []


def test_while_the_database_is_away_a_command_is_a_line_in_the_log_and_no_traceback() -> None:
    said: list[Any] = []
    lost = OperationalError("SELECT 1", None, psycopg.OperationalError("connection refused"))
    with capture_logs() as lines, SlackResponder("id", said.append, said.append):
        raise lost
    assert [(one["event"], one["why"]) for one in lines] == [("the database did not answer", "connection refused")]
    assert "exc_info" not in lines[0]
    assert "The database did not answer (ref" in said[0].text
