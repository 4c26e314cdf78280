"""The Web API as the real client meets it: what Slack accepts, edits, refuses, limits and loses."""

import json
from collections.abc import Iterator
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.webhook import WebhookClient

from bot.sandbox.control import Sandbox

SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "*Fine* so far"}}
CHANNEL = "C0AIROLL01"


def refusal(call: object, **args: object) -> str:
    with pytest.raises(SlackApiError) as caught:
        call(**args)  # type: ignore[operator]
    assert caught.value.response.status_code == 200
    return str(caught.value.response["error"])


@pytest.fixture(scope="module")
def shared_client() -> Iterator[WebClient]:
    """A client of one sandbox for calls that change nothing."""
    with Sandbox.start() as running:
        yield WebClient(token=running.bot_token, base_url=running.api_url, timeout=5)


def test_a_posted_message_has_slacks_shape(client: WebClient, sandbox: Sandbox) -> None:
    posted = client.chat_postMessage(channel="#ai-rollouts", text="R-1 is planned", blocks=[SECTION])
    assert posted["channel"] == CHANNEL
    seconds, _, digits = posted["ts"].partition(".")
    assert seconds.isdigit()
    assert len(digits) == 6
    assert posted["message"]["blocks"][0]["block_id"]
    assert posted["message"]["bot_id"] == client.auth_test()["bot_id"]
    assert sandbox.list_messages("#ai-rollouts")[0].ts == posted["ts"]


def test_timestamps_grow_even_when_the_clock_stands_still(client: WebClient) -> None:
    stamps = [client.chat_postMessage(channel=CHANNEL, text=str(n))["ts"] for n in range(3)]
    assert stamps == sorted(set(stamps))


def test_an_update_with_text_alone_drops_the_blocks_and_marks_the_edit(client: WebClient, sandbox: Sandbox) -> None:
    ts = client.chat_postMessage(channel=CHANNEL, text="planned", blocks=[SECTION])["ts"]
    client.chat_update(channel=CHANNEL, ts=ts, text="running")
    (message,) = sandbox.list_messages("#ai-rollouts")
    assert (message.text, message.blocks) == ("running", ())
    assert message.edited is not None
    client.api_call("chat.update", json={"channel": CHANNEL, "ts": ts, "blocks": [SECTION]})
    (message,) = sandbox.list_messages("#ai-rollouts")
    assert message.text == "running"
    assert len(message.blocks) == 1


def test_metadata_comes_back_only_when_asked_for(client: WebClient) -> None:
    metadata = {"event_type": "rollout", "event_payload": {"rollout": "R-1", "key": "card"}}
    client.chat_postMessage(channel=CHANNEL, text="planned", metadata=metadata)
    assert "metadata" not in client.conversations_history(channel=CHANNEL)["messages"][0]
    shown = client.conversations_history(channel=CHANNEL, include_all_metadata=True)["messages"][0]
    assert shown["metadata"] == metadata


def test_threads_are_read_with_their_root_and_stay_out_of_the_history(client: WebClient, sandbox: Sandbox) -> None:
    root = client.chat_postMessage(channel=CHANNEL, text="card")["ts"]
    client.chat_postMessage(channel=CHANNEL, text="grew to 10 %", thread_ts=root)
    client.chat_postEphemeral(channel=CHANNEL, user="U0ANA00001", text="psst")
    assert [m["text"] for m in client.conversations_history(channel=CHANNEL)["messages"]] == ["card"]
    read = client.conversations_replies(channel=CHANNEL, ts=root)["messages"]
    assert [m["text"] for m in read] == ["card", "grew to 10 %"]
    assert read[0]["reply_count"] == 1
    assert [m.text for m in sandbox.list_ephemerals("ana")] == ["psst"]


def test_history_is_paged_newest_first(client: WebClient, sandbox: Sandbox) -> None:
    sandbox.slack.rate_limits.mode = "off"
    for n in range(5):
        client.chat_postMessage(channel=CHANNEL, text=str(n))
    first = client.conversations_history(channel=CHANNEL, limit=3)
    assert [m["text"] for m in first["messages"]] == ["4", "3", "2"]
    rest = client.conversations_history(channel=CHANNEL, cursor=first["response_metadata"]["next_cursor"])
    assert [m["text"] for m in rest["messages"]] == ["1", "0"]
    newer = client.conversations_history(channel=CHANNEL, oldest=first["messages"][2]["ts"])
    assert [m["text"] for m in newer["messages"]] == ["4", "3"]


def test_the_directory_knows_people_groups_and_channels(client: WebClient) -> None:
    people = {p["name"]: p for p in client.users_list()["members"]}
    assert {"ana", "dana", "sam", "mia", "lee", "gil"} <= people.keys()
    assert people["gil"]["is_restricted"]
    assert client.users_info(user=people["dana"]["id"])["user"]["profile"]["email"] == "dana@example.com"
    groups = {g["handle"]: g for g in client.usergroups_list(include_users=True)["usergroups"]}
    assert groups.keys() == {"ai-platform", "ai-eng", "ai-leads", "support-leads"}
    leads = client.usergroups_users_list(usergroup=groups["ai-leads"]["id"])["users"]
    assert leads == groups["ai-leads"]["users"]
    assert people["lee"]["id"] in leads
    names = [c["name"] for c in client.conversations_list()["channels"]]
    assert names == ["ai-rollouts", "support", "marketing", "leadership", "integrations-team"]
    assert client.conversations_info(channel=CHANNEL)["channel"]["is_member"]


@pytest.mark.parametrize(
    ("method", "args", "error"),
    [
        ("chat_postMessage", {"channel": "#nowhere", "text": "x"}, "channel_not_found"),
        ("chat_postMessage", {"channel": CHANNEL, "text": "x", "thread_ts": "1.000001"}, "thread_not_found"),
        ("chat_postMessage", {"channel": CHANNEL, "text": "x", "metadata": {"a": 1}}, "invalid_metadata_format"),
        ("chat_postMessage", {"channel": CHANNEL, "text": "x", "blocks": [{"type": "hat"}]}, "invalid_blocks"),
        ("chat_update", {"channel": CHANNEL, "ts": "1.000001", "text": "x"}, "message_not_found"),
        ("chat_postEphemeral", {"channel": "#leadership", "user": "U0GIL00001", "text": "x"}, "user_not_in_channel"),
        ("users_info", {"user": "U0NOBODY01"}, "user_not_found"),
        ("usergroups_users_list", {"usergroup": "S0NONE0001"}, "no_such_subteam"),
        ("views_open", {"trigger_id": "1.2.3", "view": {"type": "modal"}}, "invalid_trigger_id"),
        ("pins_add", {"channel": CHANNEL, "timestamp": "1.000001"}, "unknown_method"),
    ],
)
def test_refusals_carry_slacks_names(
    shared_client: WebClient, method: str, args: dict[str, object], error: str
) -> None:
    assert refusal(getattr(shared_client, method), **args) == error


def test_a_message_needs_something_to_say(client: WebClient) -> None:
    assert refusal(client.api_call, api_method="chat.postMessage", json={"channel": CHANNEL}) == "no_text"


def test_the_token_is_checked(sandbox: Sandbox) -> None:
    assert refusal(WebClient(token="xoxb-other", base_url=sandbox.api_url).auth_test) == "invalid_auth"
    assert refusal(WebClient(base_url=sandbox.api_url).auth_test) == "not_authed"
    wrong_kind = WebClient(token=sandbox.app_token, base_url=sandbox.api_url)
    assert refusal(wrong_kind.chat_postMessage, channel=CHANNEL, text="x") == "not_allowed_token_type"


def test_only_the_apps_own_messages_can_be_edited(client: WebClient, sandbox: Sandbox) -> None:
    said = sandbox.act_as("ana").say("hello")
    assert refusal(client.chat_update, channel=CHANNEL, ts=said.ts, text="x") == "cant_update_message"
    whispered = client.chat_postEphemeral(channel=CHANNEL, user="U0ANA00001", text="psst")["message_ts"]
    assert refusal(client.chat_update, channel=CHANNEL, ts=whispered, text="x") == "message_not_found"


def test_a_deleted_message_is_gone(client: WebClient, sandbox: Sandbox) -> None:
    ts = client.chat_postMessage(channel=CHANNEL, text="oops")["ts"]
    client.chat_delete(channel=CHANNEL, ts=ts)
    assert sandbox.list_messages("#ai-rollouts") == []
    assert "(deleted)" in sandbox.render_transcript()


def test_broken_rules_are_recorded_with_where_and_why(client: WebClient, sandbox: Sandbox) -> None:
    header = {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel=CHANNEL, text="x", blocks=[SECTION, header])
    assert "/blocks/1/text/text" in caught.value.response["response_metadata"]["messages"][0]
    (violation,) = sandbox.violations
    assert violation.rule == "header.text.max_length"
    assert violation.source.startswith("https://docs.slack.dev/")
    assert sandbox.list_messages("#ai-rollouts") == []


def test_blocks_without_a_text_are_taken_but_noted(client: WebClient, sandbox: Sandbox) -> None:
    client.api_call("chat.postMessage", json={"channel": CHANNEL, "blocks": [SECTION]})
    assert [v.rule for v in sandbox.violations] == ["message.text.recommended"]
    assert len(sandbox.list_messages("#ai-rollouts")) == 1


def test_too_many_posts_to_a_channel_are_told_to_wait(client: WebClient, sandbox: Sandbox) -> None:
    for n in range(4):
        client.chat_postMessage(channel=CHANNEL, text=str(n))
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="#ai-rollouts", text="the same channel by its name")
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "1"
    client.chat_postMessage(channel="#support", text="another channel")
    sandbox.slack.rate_limits.mode = "off"
    client.chat_postMessage(channel=CHANNEL, text="unlimited")


def test_a_client_that_honours_retry_after_gets_through(sandbox: Sandbox) -> None:
    client = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url)
    client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=1))
    sandbox.fail_next("chat.postMessage", "429", retry_after=0)
    client.chat_postMessage(channel=CHANNEL, text="late")
    assert [c.status for c in sandbox.api_calls] == [429, 200]


@pytest.mark.parametrize(("kind", "arrives"), [("cut_before", False), ("cut_after", True)])
def test_a_cut_connection_loses_the_answer_and_maybe_the_call(sandbox: Sandbox, kind: str, arrives: bool) -> None:
    client = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url, retry_handlers=[])
    sandbox.fail_next("chat.postMessage", kind)
    with pytest.raises(Exception, match=r"IncompleteRead|closed|reset"):
        client.chat_postMessage(channel=CHANNEL, text="did it?")
    assert bool(sandbox.list_messages("#ai-rollouts")) is arrives
    client.chat_postMessage(channel=CHANNEL, text="next one works")


@pytest.mark.parametrize(("kind", "arrives"), [("timeout_before", False), ("timeout_after", True)])
def test_a_call_can_hang_until_the_client_gives_up(sandbox: Sandbox, kind: str, arrives: bool) -> None:
    client = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url, timeout=1, retry_handlers=[])
    sandbox.fail_next("chat.postMessage", kind)
    with pytest.raises((TimeoutError, URLError)):
        client.chat_postMessage(channel=CHANNEL, text="did it?")
    assert bool(sandbox.list_messages("#ai-rollouts")) is arrives


def test_planned_errors_hit_the_named_method_only(client: WebClient, sandbox: Sandbox) -> None:
    sandbox.fail_next("chat.update", "error:channel_not_found")
    sandbox.fail_next("chat.postMessage", "500")
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel=CHANNEL, text="x")
    assert caught.value.response.status_code == 500
    ts = client.chat_postMessage(channel=CHANNEL, text="x")["ts"]
    assert refusal(client.chat_update, channel=CHANNEL, ts=ts, text="y") == "channel_not_found"
    with pytest.raises(ValueError, match="unknown kind of failure"):
        sandbox.fail_next("chat.update", "flood")


def test_files_are_uploaded_in_three_steps(client: WebClient, sandbox: Sandbox) -> None:
    root = client.chat_postMessage(channel=CHANNEL, text="card")["ts"]
    content = b"\x89PNG\r\n\x1a\nnot much of a picture"
    uploaded = client.files_upload_v2(
        channel=CHANNEL, content=content, filename="chart.png", initial_comment="Pass rate", thread_ts=root
    )
    file_id = uploaded["files"][0]["id"]
    (shared,) = sandbox.list_replies(sandbox.list_messages("#ai-rollouts")[0])
    assert (shared.text, shared.files) == ("Pass rate", (file_id,))
    image = {"type": "image", "slack_file": {"id": file_id}, "alt_text": "pass rate"}
    client.chat_postMessage(channel=CHANNEL, text="chart", blocks=[image])
    authorized = Request(f"{sandbox.url}/files-pri/{file_id}", headers={"authorization": f"Bearer {sandbox.bot_token}"})
    with urlopen(authorized) as answer:
        assert answer.read() == content


def test_a_response_url_takes_five_posts(sandbox: Sandbox) -> None:
    address = sandbox.slack.url + "/response/" + sandbox.act_as("ana").response_urls.issue("U0ANA00001", CHANNEL)
    webhook = WebhookClient(address)
    answers = [webhook.send(text=str(n)) for n in range(6)]
    assert [a.status_code for a in answers] == [200] * 5 + [404]
    assert answers[-1].body == "too_many_posts"
    assert [v.rule for v in sandbox.violations] == ["response_url.posts"]


def test_a_response_url_and_a_trigger_grow_too_old() -> None:
    seconds = [1000.0]
    with Sandbox.start(monotonic=lambda: seconds[0]) as sandbox:
        client = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url)
        trigger = sandbox.slack.triggers.issue("U0ANA00001")
        address = sandbox.slack.url + "/response/" + sandbox.act_as("ana").response_urls.issue("U0ANA00001", CHANNEL)
        seconds[0] += 3.5
        assert refusal(client.views_open, trigger_id=trigger, view={"type": "modal"}) == "expired_trigger_id"
        seconds[0] += 1800
        assert WebhookClient(address).send(text="late").body == "expired_url"


def test_views_are_opened_once_updated_by_hash_and_published(client: WebClient, sandbox: Sandbox) -> None:
    view = {"type": "modal", "title": {"type": "plain_text", "text": "Loading"}, "blocks": [SECTION]}
    trigger = sandbox.slack.triggers.issue("U0LEE00001")
    opened = client.views_open(trigger_id=trigger, view=view)["view"]
    assert refusal(client.views_open, trigger_id=trigger, view=view) == "exchanged_trigger_id"
    client.views_update(view_id=opened["id"], hash=opened["hash"], view={**view, "callback_id": "second"})
    assert refusal(client.views_update, view_id=opened["id"], hash=opened["hash"], view=view) == "hash_conflict"
    shown = sandbox.top_modal("lee")
    assert shown is not None
    assert shown.body["callback_id"] == "second"
    client.views_publish(user_id="U0LEE00001", view={"type": "home", "blocks": [SECTION]})
    home = sandbox.home_tab("lee")
    assert home is not None
    assert home.body["blocks"][0]["text"]["text"] == "*Fine* so far"


def test_arguments_arrive_as_form_or_as_json(sandbox: Sandbox) -> None:
    for kind, body in (
        ("application/json", json.dumps({"channel": CHANNEL, "text": "as json"})),
        ("application/x-www-form-urlencoded", f"channel={CHANNEL}&text=as+form"),
    ):
        headers = {"authorization": f"Bearer {sandbox.bot_token}", "content-type": kind}
        with urlopen(Request(f"{sandbox.api_url}chat.postMessage", body.encode(), headers)) as answer:
            assert json.load(answer)["ok"]
    assert [m.text for m in sandbox.list_messages("#ai-rollouts")] == ["as json", "as form"]
