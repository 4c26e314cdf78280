"""A real Bolt app over signed HTTP and over Socket Mode: commands, clicks, modals, mentions, and what goes wrong."""

import hashlib
import hmac
import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from slack_sdk import WebClient
from slack_sdk.signature import SignatureVerifier
from websockets.sync.client import connect

from bot.sandbox.control import Sandbox


def test_a_command_is_acknowledged_and_answered_to_its_author_alone(with_app: Sandbox) -> None:
    reply = with_app.act_as("ana").type_command("/rollout status R-1", channel="#ai-rollouts")
    assert reply.acked
    assert reply.status == 200
    assert 0 < reply.ms < 3000
    posts = with_app.wait_for(lambda: with_app.responses_to(reply))
    assert posts[0].body["text"] == "you said status R-1"
    assert [m.text for m in with_app.list_ephemerals("ana")] == ["you said status R-1"]
    assert with_app.list_ephemerals("dana") == []
    assert with_app.list_messages("#ai-rollouts") == []


def test_an_answer_inside_the_acknowledgement_is_shown(with_app: Sandbox) -> None:
    reply = with_app.act_as("sam").type_command("/rollout inline", channel="#support")
    assert reply.text == "answered with the acknowledgement"
    assert [m.text for m in with_app.list_messages("#support", "sam")] == [reply.text]


def test_mentions_in_a_command_arrive_as_ids(with_http_app: Sandbox) -> None:
    reply = with_http_app.act_as("ana").type_command("/rollout ask @dana @ai-leads in #support about @nobody")
    with_http_app.wait_for(lambda: with_http_app.responses_to(reply))
    said = "ask <@U0DANA0001|dana> <!subteam^S0AILEADS1|@ai-leads> in <#C0SUPPORT1|support> about @nobody"
    assert with_http_app.deliveries[0].payload["text"] == said


def test_a_click_edits_the_card_replies_in_its_thread_and_whispers(with_app: Sandbox) -> None:
    with_app.act_as("dana").type_command("/rollout card")
    posted = with_app.wait_for_message("#ai-rollouts", "*R-1* is planned")
    reply = with_app.act_as("lee").click(posted, "Approve")
    assert reply.acked
    replies = with_app.wait_for(lambda: with_app.list_replies(posted))
    assert replies[0].text == "lee approved"
    now = with_app.reload_message(posted)
    assert now is not None
    assert now.edited is not None
    assert now.text == "approved by lee"
    with_app.wait_for(lambda: with_app.list_ephemerals("lee"))
    assert with_app.violations == []


def test_a_dialog_that_is_declined_tells_the_app_nothing(with_http_app: Sandbox) -> None:
    with_http_app.act_as("dana").type_command("/rollout card")
    posted = with_http_app.wait_for_message("#ai-rollouts", "planned")
    before = len(with_http_app.deliveries)
    assert not with_http_app.act_as("sam").click(posted, "rollback", confirm=False).acked
    assert len(with_http_app.deliveries) == before
    assert with_http_app.act_as("sam").click(posted, "rollback").acked
    with_http_app.wait_for_message("#ai-rollouts", "rolled back")


def test_a_click_on_an_old_copy_of_a_card_still_reaches_the_app(with_http_app: Sandbox) -> None:
    with_http_app.act_as("dana").type_command("/rollout card")
    stale = with_http_app.wait_for_message("#ai-rollouts", "planned")
    with_http_app.act_as("lee").click(stale, "Approve")
    with_http_app.wait_for_message("#ai-rollouts", "approved by lee")
    assert with_http_app.act_as("ana").click(stale, "Approve").acked
    payload = with_http_app.deliveries[-1].payload
    assert payload["user"]["id"] == "U0ANA00001"
    assert payload["message"]["text"].startswith("approved by")


def test_a_modal_opens_shows_its_errors_and_closes_when_it_is_right(with_app: Sandbox) -> None:
    with_app.act_as("dana").type_command("/rollout card")
    with_app.act_as("lee").click(with_app.wait_for_message("#ai-rollouts", "planned"), "Reject…")
    view = with_app.wait_for(lambda: with_app.top_modal("lee"))
    lee = with_app.act_as("lee")
    assert lee.submit(view, {}).errors == {"why": "Please complete this required field."}
    assert lee.submit(view, {"Why?": "no"}).errors == {"why": "Say it in five characters or more."}
    assert with_app.top_modal("lee") == view
    reply = lee.submit(view, {"reason": "too early", "audience": "Everyone"})
    assert reply.acked
    assert with_app.top_modal("lee") is None
    with_app.wait_for_message("#ai-rollouts", "lee rejected: too early (tell all)")


def test_a_mention_reaches_the_app_as_an_event(with_app: Sandbox) -> None:
    said = with_app.act_as("mia").say("@rampart what is <b>new</b>?", channel="#marketing")
    heard = with_app.wait_for_message("#marketing", "heard")
    assert heard.thread_ts == said.ts
    assert "&lt;b&gt;new" in heard.text


def test_slack_says_so_when_the_app_does_not_acknowledge(sandbox: Sandbox) -> None:
    reply = sandbox.act_as("ana").type_command("/rollout status")
    assert not reply.acked
    assert sandbox.list_ephemerals("ana")[0].text == '/rollout status failed with the error "dispatch_failed"'
    assert sandbox.deliveries[0].error == "no_request_url"


def test_a_refused_connection_is_not_an_acknowledgement(sandbox: Sandbox) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        sandbox.connect(f"http://127.0.0.1:{unused.getsockname()[1]}/slack/events")
        assert sandbox.act_as("ana").type_command("/rollout status").status == 0
    assert sandbox.deliveries[0].error == "connection_failed"


def test_an_app_that_never_answers_times_out_for_the_person(sandbox: Sandbox) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        sandbox.connect(f"http://127.0.0.1:{silent.getsockname()[1]}/slack/events")
        reply = sandbox.act_as("ana").type_command("/rollout status")
    assert not reply.acked
    assert "operation_timeout" in sandbox.list_ephemerals("ana")[0].text


def test_requests_are_signed_over_their_raw_body_and_events_are_retried(sandbox: Sandbox) -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        sandbox.connect(f"http://127.0.0.1:{server.server_port}/slack/events")
        sandbox.act_as("ana").say("@rampart status")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    (headers, body), (again, same_body) = seen
    assert SignatureVerifier(sandbox.signing_secret).is_valid_request(body, headers)
    by_hand = hmac.new(
        sandbox.signing_secret.encode(),
        f"v0:{headers['x-slack-request-timestamp']}:".encode() + body,
        hashlib.sha256,
    ).hexdigest()
    assert headers["x-slack-signature"] == f"v0={by_hand}"
    assert abs(time.time() - int(headers["x-slack-request-timestamp"])) < 300
    assert body == same_body
    assert json.loads(body)["event"]["type"] == "app_mention"
    assert (again["x-slack-retry-num"], again["x-slack-retry-reason"]) == ("1", "http_error")


def test_the_last_envelope_can_be_delivered_twice(with_app: Sandbox) -> None:
    with_app.act_as("ana").type_command("/rollout card")
    assert with_app.deliver_again().acked
    first, second = with_app.deliveries
    assert first.payload == second.payload
    with_app.wait_for(lambda: len(with_app.list_messages("#ai-rollouts")) == 2)


@pytest.mark.parametrize("trouble", ["drop_socket", "refresh_socket"])
def test_an_app_that_is_gone_without_a_word_troubles_nobody(with_http_app: Sandbox, trouble: str) -> None:
    slack = WebClient(base_url=with_http_app.api_url)
    for _ in range(20):
        opened = connect(slack.apps_connections_open(app_token=with_http_app.app_token)["url"])
        opened.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no goodbye
        opened.socket.close()
        getattr(with_http_app, trouble)()
    with_http_app.wait_for(lambda: with_http_app.connections == 0, 10)


@pytest.mark.parametrize("trouble", ["drop_socket", "refresh_socket"])
def test_the_app_comes_back_after_its_connection_went_away(with_socket_app: Sandbox, trouble: str) -> None:
    before = len([c for c in with_socket_app.api_calls if c.method == "apps.connections.open"])
    getattr(with_socket_app, trouble)()
    with_socket_app.wait_for(
        lambda: len([c for c in with_socket_app.api_calls if c.method == "apps.connections.open"]) > before, 10
    )
    with_socket_app.wait_for(lambda: with_socket_app.connections == 1, 10)
    reply = with_socket_app.act_as("ana").type_command("/rollout inline")
    assert reply.text == "answered with the acknowledgement"


def test_a_guest_is_marked_and_types_only_where_they_are_a_member(with_http_app: Sandbox) -> None:
    assert with_http_app.act_as("gil").type_command("/rollout status", channel="#ai-rollouts").acked
    with pytest.raises(PermissionError, match="@gil is not in #leadership"):
        with_http_app.act_as("gil").type_command("/rollout status", channel="#leadership")


def test_an_undeclared_command_is_not_sent(with_http_app: Sandbox) -> None:
    assert "not a command here" in with_http_app.act_as("ana").type_command("/deploy now").text
    assert with_http_app.deliveries == []
