"""What tests and the demo hold in their hands: waiting, the transcript, and errors that help."""

from datetime import UTC, datetime

import pytest
from slack_sdk import WebClient

from bot.sandbox.control import Sandbox

AT = datetime(2026, 11, 24, 12, 4, tzinfo=UTC)


def test_the_transcript_reads_like_a_conversation() -> None:
    with Sandbox.start(clock=lambda: AT) as sandbox:
        client = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url)
        sandbox.act_as("ana").say("starting now", channel="#support")
        blocks = [
            {"type": "header", "text": {"type": "plain_text", "text": "Planned: R-1"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": "Owner <@U0DANA0001>, <https://x.test|evidence>"}},
            {
                "type": "table",
                "rows": [
                    [{"type": "raw_text", "text": "What"}, {"type": "raw_text", "text": "New"}],
                    [{"type": "raw_text", "text": "Declined to answer"}, {"type": "raw_text", "text": "6.4 %"}],
                ],
            },
            {
                "type": "actions",
                "elements": [
                    {"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "Approve"}},
                    {"type": "button", "action_id": "b", "text": {"type": "plain_text", "text": "Reject…"}},
                ],
            },
        ]
        ts = client.chat_postMessage(channel="#support", text="Planned: R-1", blocks=blocks)["ts"]
        client.chat_postMessage(channel="#support", thread_ts=ts, text="Sam: got it &amp; thanks\nsecond line")
        client.chat_update(channel="C0SUPPORT1", ts=ts, text="Planned: R-1", blocks=blocks)  # nothing is different
        client.chat_update(channel="C0SUPPORT1", ts=ts, text="Rolled back: R-1")
        client.chat_postEphemeral(channel="#support", user="U0SAM00001", text="Only you")
        assert sandbox.render_transcript() == "\n".join(
            (
                "[12:04] #support @ana: starting now",
                "[12:04] #support Rampart: Planned: R-1",
                "        Owner @dana, evidence",
                "        What                New",
                "        Declined to answer  6.4 %",
                "        [ Approve ] [ Reject… ]",
                "[12:04] #support   > Rampart: Sam: got it & thanks",
                "            second line",
                "[12:04] #support Rampart (edited): Rolled back: R-1",
                "[12:04] #support Rampart (only to @sam): Only you",
            )
        )


def test_waiting_in_vain_shows_what_was_said(sandbox: Sandbox) -> None:
    sandbox.act_as("ana").say("only this")
    with pytest.raises(TimeoutError, match="only this"):
        sandbox.wait_for_message("#ai-rollouts", "something else", timeout=0.05)


def test_names_that_do_not_exist_are_answered_with_those_that_do(sandbox: Sandbox) -> None:
    with pytest.raises(LookupError, match="@ana"):
        sandbox.act_as("bob")
    with pytest.raises(LookupError, match="#ai-rollouts"):
        sandbox.list_messages("#general")
    said = sandbox.act_as("ana").say("no buttons")
    with pytest.raises(LookupError, match="there are none"):
        sandbox.act_as("ana").click(said, "Approve")


def test_stopping_frees_the_port_and_ends_open_streams(sandbox: Sandbox) -> None:
    from urllib.request import urlopen

    with urlopen(f"{sandbox.url}/sandbox/changes") as stream:
        assert stream.readline().startswith(b"retry:"), "how soon a page asks again"
        assert stream.readline().startswith(b"data:")
        sandbox.stop()
        while stream.readline():
            continue
    with Sandbox.start(port=int(sandbox.url.rsplit(":", 1)[1])) as again:
        assert again.url == sandbox.url


def test_the_apps_messages_are_dated_by_the_given_clock() -> None:
    with Sandbox.start(clock=lambda: AT) as sandbox:
        ts = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url).chat_postMessage(
            channel="#support", text="x"
        )["ts"]
        assert ts == f"{int(AT.timestamp())}.000000"
