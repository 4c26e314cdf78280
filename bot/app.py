"""The composition root: builds every real dependency of a process in one place and wires them together."""

import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, TypeAlias
from uuid import uuid4

import structlog
import uvicorn
from slack_bolt import App
from slack_bolt.adapter.socket_mode.builtin import SocketModeHandler
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError

from bot import jobs
from bot.actuators.unleash import Unleash
from bot.clock import Clock
from bot.delivery import flags, messages
from bot.http import app as http_app
from bot.http.heads import Impatient
from bot.http.middleware import bodies
from bot.outbound.client import Door
from bot.process import log_lines
from bot.process.flip_confirmation import Confirming
from bot.process.outage import Outage
from bot.process.redaction import Formatter, Redactor
from bot.process.serving import Serving
from bot.settings import Settings
from bot.slack import listeners as slack_app
from bot.slack import setup
from bot.slack.directory import Directory
from core.service import Service
from core.store.coordination import processes
from core.store.database.connections import Database, connect
from core.store.schema import schema

log = structlog.get_logger()

Role: TypeAlias = Literal["serve", "web", "worker"]
CONFIRM_EVERY = timedelta(seconds=0.2)
DELIVER_EVERY = timedelta(seconds=0.25)
DRIVE_EVERY = timedelta(seconds=0.25)
LOOK_AT_FLAGS_EVERY = timedelta(seconds=5)
REFRESH_CARDS_EVERY = timedelta(seconds=5)
TICK_AT_MOST_EVERY = timedelta(seconds=1)
HEED_CLOCK_EVERY = timedelta(seconds=2)
FORGET_EVERY = timedelta(minutes=10)
DELETE_EVERY = timedelta(minutes=15)
CHECKPOINT_EVERY = timedelta(minutes=1)
RECONNECT_EVERY = timedelta(seconds=5)
RELOAD_EVERY = timedelta(seconds=2)
START_WITHIN = 15  # seconds until the HTTP server must answer
SLACK_TIMEOUT = 10  # seconds per call
STOP_WITHIN = 2  # seconds that running jobs, open requests and a hanging Slack may delay a stopping process


def real_now() -> datetime:
    """The machine's clock in UTC, as opposed to the rollouts' clock, which may run faster."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Program:
    """One process of Rampart, built but not yet started. `stop` is safe whether or not it was started."""

    settings: Settings
    database: Database
    service: Service
    serving: Serving
    clock: Clock
    asgi: bodies.App | None
    bolt: App | None
    socket_mode: SocketModeHandler | None = None
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None
    _connected: bool = False

    def start(self) -> None:
        """Follow the log, start the jobs and connect to Slack. HTTP is served by `run` or `serve_in_thread`."""
        self.serving.start()
        self.clock.start()
        if self.bolt is not None and self.settings.socket_mode:
            self.socket_mode = SocketModeHandler(self.bolt, self.settings.slack_app_token)
            self._connect_to_slack()
            self.clock.every(RECONNECT_EVERY, self._connect_to_slack, "socket mode")

    def run(self, told: Callable[[str], None] = lambda _: None) -> None:
        """Serve HTTP (if this role does) until SIGTERM or SIGINT. `on_ready` gets the base URL, empty without HTTP."""
        ended = _on_signal()
        try:
            listening = _listen(self.settings) if self.asgi is not None else None
            self.start()
            _settle()
            if listening is None:
                told("")
                ended.wait()
            elif not ended.is_set():
                url = _url(listening)
                self._uvicorn(lambda: told(url)).run(sockets=[listening])
        finally:
            self.stop()

    def serve_in_thread(self) -> str:
        """Serve HTTP from a thread; returns the base URL once it answers, or raises TimeoutError."""
        listening = _listen(self.settings)
        answers = threading.Event()
        server = self._uvicorn(answers.set)
        self._thread = threading.Thread(target=server.run, args=([listening],), name="http", daemon=True)
        self._thread.start()
        if not answers.wait(START_WITHIN):
            raise TimeoutError(f"the server did not start within {START_WITHIN} s; the log above says why")
        return _url(listening)

    def stop(self) -> None:
        """Stop the jobs and close the connections, dependents first."""
        closing = self._close_socket_mode()
        if self._server is not None:
            self._server.should_exit = True
        self.clock.stop(within=STOP_WITHIN)
        if self._thread is not None:
            self._thread.join()
        if closing is not None:
            closing.join(STOP_WITHIN)
        if self.bolt is not None:
            self.bolt.listener_runner.listener_executor.shutdown(wait=False)
        self.serving.stop()
        self.database.close()

    def _connect_to_slack(self) -> None:
        """Try once to connect; afterwards the client reconnects by itself. Evaluations are served meanwhile."""
        if self.socket_mode is None or self._connected:
            return
        try:
            self.socket_mode.connect()  # type: ignore[no-untyped-call]
        except (SlackClientError, OSError) as error:
            log.error("Slack cannot be reached; trying again", why=str(error))  # noqa: TRY400 - said whole
        else:
            self._connected = True

    def _close_socket_mode(self) -> threading.Thread | None:
        """Close it in a thread, since the client may block for seconds on a read; returns that thread to join."""
        if self.socket_mode is None:
            return None
        closing = threading.Thread(target=self.socket_mode.close, name="socket-mode-close", daemon=True)
        closing.start()
        return closing

    def _uvicorn(self, announce: Callable[[], None]) -> uvicorn.Server:
        """The uvicorn server of this process; it calls `on_ready` once it answers."""
        config = uvicorn.Config(
            self.asgi,  # type: ignore[arg-type]
            loop="uvloop",
            http=Impatient,
            lifespan="on",
            log_config=None,  # logs like every other library, see `configure_logging`
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_WITHIN,
        )
        self._server = _Announcing(config, announce)
        return self._server


def _settle() -> None:
    """Exempt everything allocated so far from garbage collection: a full pass stops all threads for 0.1 s."""
    gc.collect()
    gc.freeze()


def build(
    settings: Settings,
    role: Role,
    *,
    now: Callable[[], datetime] = real_now,
    pace: float = 1.0,
    rest: timedelta = messages.PACE,
) -> Program:
    """Build a process in one of three roles, without starting it.

    `now` is the rollouts' clock and `speed` how many times faster than real time it runs. `channel_pause` is the least
    time between two messages to one Slack channel; zero for tests whose clock stands still.
    """
    configure_logging(settings)
    database = connect(settings.database_url)
    for warning in database.warnings:
        log.warning(warning)
    if role == "serve":
        database.serve_alone()
        schema.migrate(database)
    schema.check(database)
    if role != "serve":
        database.serve_with_others(role)
    elif database.dialect == "sqlite":
        processes.forget(database)  # only one process serves a SQLite file, so any other report is from a dead one
    service, outage = Service(database, blind_after=settings.blind_after), Outage()
    process_id = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:4]}"
    serving = Serving(
        service, process_id=process_id, role=role, now=now, unwatched_after=settings.blind_after, outage=outage
    )
    for lacking in setup.missing(settings):
        log.warning(lacking)
    slack = web_client(settings)
    directory = Directory(slack, real_now) if slack is not None else None
    policy = jobs.PolicyFile(settings.policy, service) if settings.policy is not None else None
    if policy is not None:
        policy.apply(now())
    bolt = None
    if slack is not None and directory is not None and role != "worker":
        bolt = slack_app.build_app(
            service=service,
            client=slack,
            signing_secret=settings.slack_signing_secret,
            now=now,
            directory=directory,
        )
    asgi = None
    if role != "worker":
        asgi = http_app.build(
            service,
            serving.snapshot,
            tokens=settings.tokens,
            bolt=bolt if settings.slack_signing_secret else None,  # without the secret, no request could be verified
            now=now,
            resolve_handle=directory.resolve_handle if directory is not None else _as_written,
            not_driven=door(settings).refusal,
            standing=serving,
            away=outage.noted,
            tick=settings.tick / pace,
        )
    clock = Clock(lambda name, error: _job_failed(outage, name, error))
    if policy is not None:
        clock.every(RELOAD_EVERY, lambda: policy.look(now()), "policy")
    if role != "web":
        _schedule(clock, settings, service, slack, directory, now, pace, rest, outage)
    return Program(
        settings=settings, database=database, service=service, serving=serving, clock=clock, asgi=asgi, bolt=bolt
    )


def web_client(settings: Settings) -> WebClient | None:
    """A client for Slack's Web API, or for the server that `SLACK_API_URL` names; None without a bot token."""
    if not settings.slack:
        return None
    if not settings.slack_api_url:
        return WebClient(token=settings.slack_bot_token, timeout=SLACK_TIMEOUT)
    base_url = settings.slack_api_url.rstrip("/") + "/"
    return WebClient(token=settings.slack_bot_token, base_url=base_url, timeout=SLACK_TIMEOUT)


def configure_logging(settings: Settings) -> None:
    """Log to standard output as text or JSON, and warnings of libraries to standard error; secrets are redacted."""
    redact = Redactor(settings.secrets)
    redact.guard()
    renderer: Any = structlog.processors.JSONRenderer()
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            renderer,
            redact.last,
        ],
        logger_factory=log_lines.factory,
    )
    libraries = logging.StreamHandler()
    libraries.setFormatter(Formatter(redact))
    logging.basicConfig(level=logging.WARNING, handlers=[libraries])


def _schedule(
    clock: Clock,
    settings: Settings,
    service: Service,
    slack: WebClient | None,
    directory: Directory | None,
    now: Callable[[], datetime],
    pace: float,
    rest: timedelta,
    outage: Outage,
) -> None:
    """Register every periodic job of a worker with the scheduler."""
    every = settings.tick
    slots = jobs.Slots(overdue=jobs.OVERDUE * every / pace / timedelta(seconds=1))
    often = min(every / pace, max(every / pace / jobs.PARTS, TICK_AT_MOST_EVERY))
    clock.every(often, lambda: jobs.tick(service, now(), every, slots, outage.noted, settings.blind_after), "tick")
    confirming = Confirming(service)
    clock.every(CONFIRM_EVERY, lambda: confirming.look(now()), "confirm")
    clock.every(HEED_CLOCK_EVERY, lambda: jobs.heed_clock(service, now(), pace), "heed clock")
    clock.every(FORGET_EVERY, lambda: jobs.forget(service, now()), "forget")
    if (keep := settings.keep) is not None:
        clock.every(DELETE_EVERY, lambda: jobs.delete_old(service, keep), "delete old")
    clock.every(CHECKPOINT_EVERY, lambda: jobs.take_checkpoint(service, now()), "checkpoint")
    way_out = door(settings)
    drive = partial(
        flags.deliver_due,
        service.database,
        service,
        lambda driven: Unleash(way_out, driven, url=settings.unleash_url, token=settings.unleash_token),
        now,
        speed=pace,
    )
    flag_slots = jobs.FlagSlots.at_pace(pace)
    # Runs without a token, too: the attempt then tells people that the token is missing.
    clock.every(DRIVE_EVERY, lambda: drive() if flags.is_needed(service.peek()) else 0, "drive")
    clock.every(LOOK_AT_FLAGS_EVERY, lambda: jobs.look_at_flags(service, now(), flag_slots), "look at flags")
    if slack is not None and directory is not None:
        send = partial(
            messages.deliver_due,
            service.database,
            service,
            slack,
            now,
            mention=directory.mention,
            speed=pace,
            pace=rest,
        )
        clock.every(DELIVER_EVERY, send, "deliver")
        refresh = max(REFRESH_CARDS_EVERY / pace, TICK_AT_MOST_EVERY)
        clock.every(refresh, lambda: jobs.refresh_cards(service, now()), "refresh cards")
        clock.daily(lambda: jobs.show_head(service, now()), "show head", now)


def _job_failed(outage: Outage, name: str, error: Exception) -> None:
    """Log a failed job, which runs again at its next interval. A database outage is logged once for all jobs."""
    if not outage.noted(error, name):
        log.error("a job failed; it is done again at its next turn", job=name, exc_info=error)


def resolver(settings: Settings) -> Callable[[str], str]:
    """A function from an @handle to its Slack user id; it returns the handle itself without a Slack."""
    slack = web_client(settings)
    return Directory(slack, real_now).resolve_handle if slack is not None else _as_written


def door(settings: Settings) -> Door:
    """The HTTP client for flag systems, which calls public addresses and the configured private hosts only."""
    return Door(settings.private_hosts)


def _as_written(handle: str) -> str:
    """The handle itself, in place of a Slack user id."""
    return handle


def _listen(settings: Settings) -> socket.socket:
    """A socket bound to the configured host and port; OSError, with advice, if the address is taken."""
    listening = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        where = f"{settings.host}:{settings.port}"
        raise OSError(f"Cannot listen on {where}: {error.strerror}. Choose another with HOST and PORT.") from error
    return listening


def _url(listening: socket.socket) -> str:
    """The URL at which a listening socket is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Announcing(uvicorn.Server):
    """A uvicorn server that calls back once it accepts requests."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()


def _on_signal() -> threading.Event:
    """An event that SIGTERM or SIGINT sets.

    uvicorn replaces these handlers while it serves and re-raises the signal at its end; ours keep that second signal
    from killing the process before `stop` has run.
    """
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    return ended
