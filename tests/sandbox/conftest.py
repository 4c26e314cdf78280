"""A sandbox, a small but real Bolt app on either transport, and a real browser."""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from slack_bolt import Ack, App, Respond
from slack_bolt.adapter.socket_mode.builtin import SocketModeHandler
from slack_bolt.adapter.starlette.handler import to_bolt_request, to_starlette_response
from slack_sdk import WebClient
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.sandbox.control import Sandbox
from bot.sandbox.server import ServerThread
from bot.sandbox.workspace.changes import ChangeNotifier
from bot.sandbox.workspace.workspace import SandboxWorkspace
from tests.socket_mode import hang_up

Json = dict[str, Any]

MODAL: Json = {
    "type": "modal",
    "callback_id": "reject",
    "title": {"type": "plain_text", "text": "Reject R-1"},
    "submit": {"type": "plain_text", "text": "Reject"},
    "close": {"type": "plain_text", "text": "Cancel"},
    "blocks": [
        {
            "type": "input",
            "block_id": "why",
            "label": {"type": "plain_text", "text": "Why?"},
            "element": {"type": "plain_text_input", "action_id": "reason", "multiline": True},
        },
        {
            "type": "input",
            "block_id": "who",
            "optional": True,
            "label": {"type": "plain_text", "text": "Who should know?"},
            "element": {
                "type": "static_select",
                "action_id": "audience",
                "options": [
                    {"text": {"type": "plain_text", "text": "Support"}, "value": "support"},
                    {"text": {"type": "plain_text", "text": "Everyone"}, "value": "all"},
                ],
            },
        },
    ],
}


def card(state: str, *, buttons: bool = True) -> list[Json]:
    """A card with two buttons, one of which asks before it acts."""
    confirm = {
        "title": {"type": "plain_text", "text": "Roll back R-1?"},
        "text": {"type": "mrkdwn", "text": "Everyone gets the previous version."},
        "confirm": {"type": "plain_text", "text": "Roll back"},
        "deny": {"type": "plain_text", "text": "Keep it"},
        "style": "danger",
    }
    elements: list[Json] = [
        {"type": "button", "action_id": "approve", "text": {"type": "plain_text", "text": "Approve"}, "value": "R-1"},
        {
            "type": "button",
            "action_id": "rollback",
            "style": "danger",
            "text": {"type": "plain_text", "text": "Roll back"},
            "confirm": confirm,
        },
        {"type": "button", "action_id": "reject", "text": {"type": "plain_text", "text": "Reject…"}},
    ]
    text = {"type": "section", "text": {"type": "mrkdwn", "text": f"*R-1* is {state}"}}
    return [text, {"type": "actions", "block_id": "gate", "elements": elements}] if buttons else [text]


def small_app(client: WebClient) -> App:
    """What a test needs of an app: answer, post, edit on a click, open and check a modal, hear a mention."""
    executor = ThreadPoolExecutor(20)
    app = App(
        client=client,
        signing_secret=Sandbox.signing_secret,
        token_verification_enabled=False,
        listener_executor=executor,
    )

    @app.command("/rollout")
    def command(ack: Ack, body: Json, respond: Respond) -> None:
        match body["text"].split()[:1]:
            case ["inline"]:
                ack("answered with the acknowledgement")
            case ["silent"]:
                return
            case ["card"]:
                ack()
                client.chat_postMessage(channel=body["channel_id"], text="R-1 is planned", blocks=card("planned"))
            case _:
                ack()
                respond(f"you said {body['text']}")

    @app.action("approve")
    def approve(ack: Ack, body: Json, respond: Respond) -> None:
        ack()
        by = body["user"]["name"]
        where = body["container"]
        text = f"approved by {by}"
        client.chat_update(
            channel=where["channel_id"], ts=where["message_ts"], text=text, blocks=card(text, buttons=False)
        )
        client.chat_postMessage(channel=where["channel_id"], thread_ts=where["message_ts"], text=f"{by} approved")
        respond("Thank you.", replace_original=False)

    @app.action("rollback")
    def rollback(ack: Ack, body: Json) -> None:
        ack()
        where = body["container"]
        client.chat_update(channel=where["channel_id"], ts=where["message_ts"], text="rolled back")

    @app.action("reject")
    def reject(ack: Ack, body: Json) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    @app.view("reject")
    def rejected(ack: Ack, body: Json, view: Json) -> None:
        values = view["state"]["values"]
        why = values["why"]["reason"]["value"]
        if len(why) < 5:
            ack(response_action="errors", errors={"why": "Say it in five characters or more."})
            return
        ack()
        audience = (values["who"]["audience"]["selected_option"] or {}).get("value")
        client.chat_postMessage(
            channel="#ai-rollouts", text=f"{body['user']['name']} rejected: {why} (tell {audience})"
        )

    @app.event("app_mention")
    def mentioned(event: Json) -> None:
        client.chat_postMessage(
            channel=event["channel"], thread_ts=event.get("thread_ts") or event["ts"], text=f"heard {event['text']}"
        )

    return app


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def workspace() -> SandboxWorkspace:
    """The people and channels, without a server."""
    return SandboxWorkspace(clock=lambda: datetime(2026, 11, 24, 12, 4, tzinfo=UTC), changes=ChangeNotifier())


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that delivers over HTTP once it knows where."""
    with Sandbox.start() as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> WebClient:
    """The real Slack client, pointed at the sandbox."""
    return WebClient(token=sandbox.bot_token, base_url=sandbox.api_url, timeout=5)


def _serve_over_http(app: App) -> ServerThread:
    async def events(request: Request) -> Response:
        body = await request.body()
        return to_starlette_response(await run_in_threadpool(app.dispatch, to_bolt_request(request, body)))

    server = ServerThread("127.0.0.1", 0)
    server.serve([Route("/slack/events", events, methods=["POST"])], "")
    return server


def _start_with_app(transport: str) -> Iterator[Sandbox]:
    with Sandbox.start(transport="http" if transport == "http" else "socket") as running:
        app = small_app(WebClient(token=running.bot_token, base_url=running.api_url))
        if transport == "http":
            server = _serve_over_http(app)
            running.connect(f"{server.url}/slack/events")

            def stop() -> None:
                server.stop()

        else:
            handler = SocketModeHandler(app, running.app_token, ping_interval=2)
            handler.connect()  # type: ignore[no-untyped-call]
            running.wait_for(lambda: running.connections)

            def stop() -> None:
                hang_up(handler, running)
                handler.close()  # type: ignore[no-untyped-call]

        try:
            yield running
        finally:
            stop()
            app.listener_runner.listener_executor.shutdown(cancel_futures=True)


@pytest.fixture(params=["http", "socket"])
def with_app(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox with the small app behind it, over each transport."""
    yield from _start_with_app(request.param)


@pytest.fixture
def with_http_app() -> Iterator[Sandbox]:
    """A sandbox with the small app behind it over signed HTTP."""
    yield from _start_with_app("http")


@pytest.fixture
def with_socket_app() -> Iterator[Sandbox]:
    """A sandbox with the small app behind it over Socket Mode."""
    yield from _start_with_app("socket")


@pytest.fixture
def page_of() -> Iterator[Callable[[Sandbox], Any]]:
    """Open a sandbox's page in a real Chromium of 1280 by 800."""
    names = (os.environ.get("CHROMIUM_PATH") or "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        missing = "no Chromium here (apt-get install chromium, or set CHROMIUM_PATH)"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-dev-shm-usage"])

        def opened(sandbox: Sandbox, query: str = "") -> Any:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(8000)
            page.goto(f"{sandbox.url}/{query}")
            return page

        yield opened
        browser.close()
