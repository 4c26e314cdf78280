"""How a process of Rampart runs: started, serving until a signal, and stopped."""

import gc
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
import uvicorn
from slack_bolt import App
from slack_bolt.adapter.socket_mode.builtin import SocketModeHandler
from slack_sdk.errors import SlackClientError

from bot.http.clients.change_streams import ChangeStreams
from bot.http.middleware import bodies
from bot.http.middleware.head_deadline import Impatient
from bot.process import listening_sockets
from bot.process.snapshot_server import SnapshotServer
from bot.settings import Settings
from bot.startup.scheduler import JobScheduler
from core.service.service import RolloutService
from core.store.database.connections import Database

log = structlog.get_logger()

RECONNECT_EVERY = timedelta(seconds=5)
START_TIMEOUT = 15  # seconds until the HTTP server must answer
STOP_TIMEOUT = 2  # seconds that running jobs, open requests and a hanging Slack may delay a stopping process


@dataclass(slots=True)
class Program:
    """One process of Rampart, built but not yet started. `stop` is safe whether or not it was started."""

    settings: Settings
    database: Database
    service: RolloutService
    snapshot_server: SnapshotServer
    scheduler: JobScheduler
    asgi: bodies.AsgiApp | None
    streams: ChangeStreams
    bolt: App | None
    socket_mode: SocketModeHandler | None = None
    _server: uvicorn.Server | None = None
    _http_thread: threading.Thread | None = None
    _is_connected: bool = False

    def start(self) -> None:
        """Follow the log, start the jobs and connect to Slack. HTTP is served by `run` or `serve_in_thread`."""
        self.snapshot_server.start()
        self.scheduler.start()
        if self.bolt is not None and self.settings.uses_socket_mode:
            self.socket_mode = SocketModeHandler(self.bolt, self.settings.slack_app_token)
            self._connect_to_slack()
            self.scheduler.run_every(RECONNECT_EVERY, self._connect_to_slack, "socket mode")

    def run(self, on_ready: Callable[[str], None] = lambda _: None) -> None:
        """Serve HTTP (if this role does) until SIGTERM or SIGINT. `on_ready` gets the base URL, empty without HTTP."""
        stop_requested = _install_signal_handlers()
        try:
            listening = (
                listening_sockets.bind_socket(self.settings.host, self.settings.port) if self.asgi is not None else None
            )
            self.start()
            _freeze_gc()
            if listening is None:
                on_ready("")
                stop_requested.wait()
            elif not stop_requested.is_set():
                url = listening_sockets.format_base_url(listening)
                self._build_server(lambda: on_ready(url)).run(sockets=[listening])
        finally:
            self.stop()

    def serve_in_thread(self) -> str:
        """Serve HTTP from a thread; returns the base URL once it answers, or raises TimeoutError."""
        listening = listening_sockets.bind_socket(self.settings.host, self.settings.port)
        answering = threading.Event()
        server = self._build_server(answering.set)
        self._http_thread = threading.Thread(target=server.run, args=([listening],), name="http", daemon=True)
        self._http_thread.start()
        if not answering.wait(START_TIMEOUT):
            raise TimeoutError(f"the server did not start within {START_TIMEOUT} s; the log above says why")
        return listening_sockets.format_base_url(listening)

    def stop(self) -> None:
        """Stop the jobs and close the connections, dependents first."""
        closing = self._close_socket_mode()
        if self._server is not None:
            self._server.should_exit = True
        self.scheduler.stop(within=STOP_TIMEOUT)
        if self._http_thread is not None:
            self._http_thread.join()
        if closing is not None:
            closing.join(STOP_TIMEOUT)
        if self.bolt is not None:
            self.bolt.listener_runner.listener_executor.shutdown(wait=False)
        self.snapshot_server.stop()
        self.database.close()

    def _connect_to_slack(self) -> None:
        """Try once to connect; afterwards the client reconnects by itself. Evaluations are served meanwhile."""
        if self.socket_mode is None or self._is_connected:
            return
        try:
            self.socket_mode.connect()  # type: ignore[no-untyped-call]
        except (SlackClientError, OSError) as error:
            log.error("Slack cannot be reached; trying again", why=str(error))  # noqa: TRY400 - said whole
        else:
            self._is_connected = True

    def _close_socket_mode(self) -> threading.Thread | None:
        """Close it in a thread, since the client may block for seconds on a read; returns that thread to join."""
        if self.socket_mode is None:
            return None
        closing = threading.Thread(target=self.socket_mode.close, name="socket-mode-close", daemon=True)
        closing.start()
        return closing

    def _build_server(self, on_ready: Callable[[], None]) -> uvicorn.Server:
        """The uvicorn server of this process; it calls `on_ready` once it answers."""
        config = uvicorn.Config(
            self.asgi,  # type: ignore[arg-type]
            loop="uvloop",
            http=Impatient,
            lifespan="on",
            log_config=None,  # logs like every other library, see `log_setup`
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_TIMEOUT,
        )
        self._server = _NotifyingServer(config, on_ready, self.streams.close_all)
        return self._server


def _freeze_gc() -> None:
    """Exempt everything allocated so far from garbage collection: a full pass stops all threads for 0.1 s."""
    gc.collect()
    gc.freeze()


class _NotifyingServer(uvicorn.Server):
    """A uvicorn server that calls back once it accepts requests, and before it stops."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready, self._on_stop = on_ready, on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)


def _install_signal_handlers() -> threading.Event:
    """An event that SIGTERM or SIGINT sets.

    uvicorn replaces these handlers while it serves and re-raises the signal at its end; ours keep that second signal
    from killing the process before `stop` has run.
    """
    stop_requested = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop_requested.set())
    return stop_requested
