"""The server side of Socket Mode: single-use addresses, open connections, envelopes and acknowledgements."""

import asyncio
import json
import secrets
import threading
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.sandbox.workspace import people
from bot.sandbox.workspace.changes import ChangeNotifier

Json = dict[str, Any]


class ConnectionLostError(ConnectionError):
    """No connection was open, or it was lost before the acknowledgement."""


@dataclass(eq=False, slots=True, kw_only=True)
class _Session:
    """One open connection, and the envelopes that wait for an acknowledgement, by envelope id."""

    socket: WebSocket
    loop: asyncio.AbstractEventLoop
    pending: dict[str, Future[Json]] = field(default_factory=dict)
    retiring: bool = False


async def _close(session: _Session, code: int) -> None:
    """Close a connection, unless the app has hung up meanwhile."""
    with suppress(WebSocketDisconnect, RuntimeError):
        await session.socket.close(code=code)


async def _send(session: _Session, message: str) -> None:
    """Send a message, unless the app has hung up meanwhile."""
    with suppress(WebSocketDisconnect, RuntimeError):
        await session.socket.send_text(message)


class SocketConnections:
    """All open Socket Mode connections; envelopes are sent to them round-robin."""

    def __init__(self, changes: ChangeNotifier) -> None:
        self._changes = changes
        self._lock = threading.Lock()
        self._tickets: set[str] = set()
        self._sessions: list[_Session] = []
        self._next_session = 0

    @property
    def count(self) -> int:
        """The number of open connections, without those that are being replaced."""
        return len(self._active_sessions())

    def issue_ticket(self) -> str:
        """Create a single-use ticket that opens one connection."""
        ticket = secrets.token_urlsafe(12)
        with self._lock:
            self._tickets.add(ticket)
        return ticket

    async def serve_connection(self, socket: WebSocket) -> None:
        """Serve one WebSocket connection until it ends; refuse it with code 1008 without a valid ticket."""
        ticket = socket.query_params.get("ticket", "")
        with self._lock:
            known = ticket in self._tickets
            self._tickets.discard(ticket)
        if not known:
            await socket.close(code=1008)
            return
        await socket.accept()
        session = _Session(socket=socket, loop=asyncio.get_running_loop())
        try:
            await socket.send_text(json.dumps(self._hello_message()))
        except WebSocketDisconnect:
            return  # the app hung up before it was greeted
        retiring = [old for old in self._sessions if old.retiring]
        self._sessions.append(session)
        self._changes.announce()
        try:
            for old in retiring:
                await _close(old, 1000)
            while True:
                self._resolve_acknowledgement(session, await socket.receive_text())
        except WebSocketDisconnect:
            pass
        finally:
            self._sessions.remove(session)
            for waiting in session.pending.values():
                waiting.cancel()
            self._changes.announce()

    def send(self, envelope: Json, timeout: float) -> Json:
        """Send an envelope and return its acknowledgement.

        TimeoutError after `timeout` seconds; ConnectionLostError if no connection is open or it breaks.
        """
        with self._lock:
            sessions = self._active_sessions()
            if not sessions:
                raise ConnectionLostError("no Socket Mode connection is open")
            session = sessions[self._next_session % len(sessions)]
            self._next_session += 1
        waiting: Future[Json] = Future()
        session.pending[envelope["envelope_id"]] = waiting
        asyncio.run_coroutine_threadsafe(session.socket.send_text(json.dumps(envelope)), session.loop)
        try:
            return waiting.result(timeout)
        except CancelledError:
            raise ConnectionLostError("the Socket Mode connection was lost before the acknowledgement") from None
        finally:
            session.pending.pop(envelope["envelope_id"], None)

    def drop_connections(self) -> None:
        """Close every connection without warning, as a failing Slack server would."""
        for session in list(self._sessions):
            asyncio.run_coroutine_threadsafe(_close(session, 1012), session.loop).result(5)

    def request_reconnect(self) -> None:
        """Ask the app to reconnect, as Slack does every few hours; old connections close once a new one is open."""
        message = json.dumps({"type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "sandbox"}})
        for session in self._active_sessions():
            session.retiring = True
            asyncio.run_coroutine_threadsafe(_send(session, message), session.loop).result(5)

    def _active_sessions(self) -> list[_Session]:
        return [session for session in self._sessions if not session.retiring]

    def _hello_message(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self._sessions) + 1,
            "debug_info": {"host": "sandbox", "approximate_connection_time": 18060},
            "connection_info": {"app_id": people.APP_ID},
        }

    @staticmethod
    def _resolve_acknowledgement(session: _Session, text: str) -> None:
        message = json.loads(text)
        waiting = session.pending.get(message.get("envelope_id", ""))
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
