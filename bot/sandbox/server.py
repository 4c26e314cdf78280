"""Combines the sandbox's routes into one ASGI app and serves it from a thread on loopback."""

import json
import socket
import threading

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from bot.sandbox import guards
from bot.sandbox.api import file_methods
from bot.sandbox.api.response_urls import ResponseUrls
from bot.sandbox.api.web_api import SandboxWebApi
from bot.sandbox.app_delivery.socket_mode import SocketConnections
from bot.sandbox.rules.errors import BrokenRulesError, MethodError
from bot.sandbox.workspace import people
from bot.sandbox.workspace.slack_state import SlackState


def build_slack_routes(slack: SlackState, links: SocketConnections, response_urls: ResponseUrls) -> list[BaseRoute]:
    """The routes that the app calls: Web API, response URLs, files, and Socket Mode."""

    def link_address() -> str:
        return f"{slack.url.replace('http://', 'ws://')}/link?ticket={links.issue_ticket()}&app_id={people.APP_ID}"

    async def respond(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except ValueError:
            return PlainTextResponse("invalid_payload", status_code=400)
        if not isinstance(body, dict):
            return PlainTextResponse("invalid_payload", status_code=400)
        try:
            await run_in_threadpool(response_urls.post, str(request.path_params["token"]), body)
        except MethodError as refused:
            if isinstance(refused, BrokenRulesError):
                slack.record_violations(refused.violations)
            return PlainTextResponse(refused.error, status_code=404)
        return PlainTextResponse("ok")

    async def upload(request: Request) -> Response:
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            async with request.form() as form:
                parts = [value for value in form.values() if not isinstance(value, str)]
                content = await parts[0].read() if parts else b""
        else:
            content = await request.body()
        refused = file_methods.receive_upload(slack, str(request.path_params["file_id"]), content)
        return PlainTextResponse(refused or f"OK - {len(content)}", status_code=400 if refused else 200)

    async def download(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {people.BOT_TOKEN}":
            return PlainTextResponse("invalid_auth", status_code=401)
        file = slack.workspace.files.get(str(request.path_params["file_id"]))
        if file is None or file.content is None:
            return PlainTextResponse("file_not_found", status_code=404)
        return Response(file.content, media_type="application/octet-stream")

    return [
        Route(
            "/api/{method}",
            SandboxWebApi(slack=slack, new_socket_url=link_address).handle_call,
            methods=["GET", "POST"],
        ),
        Route("/response/{token}", respond, methods=["POST"]),
        Route("/upload/{file_id}", upload, methods=["POST"]),
        Route("/files-pri/{file_id}", download, methods=["GET"]),
        WebSocketRoute("/link", links.serve_connection),
    ]


class ServerThread:
    """Serves an ASGI app on loopback from a thread; the socket is bound at once, so `port` is known early."""

    def __init__(self, host: str, port: int) -> None:
        guards.refuse_beyond_loopback(host)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        self.port = int(self._socket.getsockname()[1])
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self.port}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def serve(self, routes: list[BaseRoute], page_token: str) -> None:
        """Start serving the routes behind the request guard; TimeoutError if that takes more than 10 s."""
        started = threading.Event()
        config = uvicorn.Config(
            guards.RequestGuard(Starlette(routes=routes), page_token),
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="websockets-sansio",
            timeout_graceful_shutdown=2,
        )
        server = _SignallingServer(config, started)
        self._server = server
        self._thread = threading.Thread(target=server.run, args=([self._socket],), name="slack-sandbox", daemon=True)
        self._thread.start()
        if not started.wait(10):
            raise TimeoutError("the sandbox's server did not start within 10 s")

    def stop(self) -> None:
        """Stop the server and wait up to 10 s for its thread."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(10)
        self._socket.close()


class _SignallingServer(uvicorn.Server):
    """A server that sets an event once it has started."""

    def __init__(self, config: uvicorn.Config, started: threading.Event) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then set the event."""
        await super().startup(sockets)
        self._started.set()
