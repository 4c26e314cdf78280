"""`rollout mcp --http`: the server for coding agents that run elsewhere. Whose agent calls is known by its token."""

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.cli import session
from bot.cli.agents.agent_server import build_agent_server, name_agent
from bot.cli.agents.agent_tools import SIMULATIONS
from bot.http.middleware.auth import AccessDenied, TokenAuth, TokenRole
from bot.http.middleware.problems import build_denial
from bot.log_output import log_lines
from bot.process import listening_sockets
from core.rollout.context import Actor, slack_user_in

if TYPE_CHECKING:
    from mcp.server import MCPServer

PATH = "/mcp"
STOP_TIMEOUT = 3
"""Seconds that calls have to end once the server is asked to stop; a rollback takes less."""


def serve(make_server: "type[MCPServer]", agent: str) -> None:
    """Answer on HOST and PORT until interrupted. `agent` is the name of one whose program gives none."""
    settings = session.load_settings(listens=True)
    if not any("@" in holder for holder, _ in settings.tokens):
        print(
            "Agents over HTTP need a token of their person: ROLLOUT_TOKENS='operator@U0DANA00001:<token>'.",
            file=sys.stderr,
        )
        raise SystemExit(2)
    app = build_agent_app(make_server, agent, TokenAuth(settings.tokens))
    listening = listening_sockets.bind_socket(settings.host, settings.port)
    listening.listen()
    print(f"Rampart listens on {listening_sockets.format_base_url(listening)}{PATH}", flush=True)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=STOP_TIMEOUT
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listening])
    log_lines.flush_streams()
    SIMULATIONS.end()
    os._exit(0)  # a call that nobody waits for any more would go on in its thread


def build_agent_app(make_server: "type[MCPServer]", agent: str, auth: TokenAuth) -> ASGIApp:
    """The application at `PATH`: every request needs the token of an operator that is bound to a person."""

    def name_caller(given: str, headers: Mapping[str, str]) -> Actor:
        encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        return name_agent(given, agent, find_person(auth, encoded))

    server = build_agent_server(make_server, name_caller, are_files_here=False)
    # Nothing is answered without a token, which no page of another site has.
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    return _TokenCheck(app, auth)


def find_person(auth: TokenAuth, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The Slack id of whose token this is. Raises AccessDenied without an operator's token that is bound to one."""
    caller = auth.authorize_person(list(headers), TokenRole.OPERATOR)
    person = slack_user_in(caller.actor.id)
    if not person:
        raise AccessDenied(
            403,
            "forbidden",
            f"The {caller.actor.handle} is nobody's, so nobody could be asked what their agent did.",
            "Bind it to a person: operator@U0DANA00001:<token>.",
        )
    return person


class _TokenCheck:
    """Denies a request before anything of it is read."""

    def __init__(self, app: ASGIApp, auth: TokenAuth) -> None:
        self._app, self._auth = app, auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                find_person(self._auth, scope["headers"])
            except AccessDenied as denied:
                await build_denial(denied)(scope, receive, send)
                return
        await self._app(scope, receive, send)
