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
from pathlib import Path
from typing import Any, Literal, TypeAlias
from uuid import uuid4

import structlog
import uvicorn
from slack_bolt import App
from slack_bolt.adapter.socket_mode.builtin import SocketModeHandler
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError

from bot import jobs
from bot.actuators.code_revert import RevertSystem
from bot.actuators.deploy_webhook import DeployWebhook
from bot.actuators.github_revert import GithubRevert
from bot.actuators.unleash import UnleashFlag
from bot.delivery import code_reverts, driven_flags, messages
from bot.http import app as http_app
from bot.http.clients.change_streams import ChangeStreams
from bot.http.middleware import bodies
from bot.http.middleware.head_deadline import Impatient
from bot.judges.http_judge import HttpJudge
from bot.outbound.client import OutboundClient
from bot.process import conversation_ends, log_lines
from bot.process.answered_models import AnsweredModels
from bot.process.block_support import BlockSupport
from bot.process.client_positions import ClientPositions
from bot.process.flip_confirmation import FlipConfirmer
from bot.process.outage import DatabaseOutage
from bot.process.redaction import RedactingFormatter, SecretRedactor
from bot.process.retirement_watch import RetirementWatch
from bot.process.snapshot_server import SnapshotServer
from bot.scheduler import JobScheduler
from bot.settings import Settings, SettingsError
from bot.slack import listeners as slack_app
from bot.slack import setup
from bot.slack.directory import SlackDirectory
from bot.slack.home import HomeTabs
from core.flags.document import DocumentEncoder
from core.rollout.plans.plan import CodeRevert
from core.service import RolloutService
from core.store.coordination import processes
from core.store.database.connections import Database, connect
from core.store.schema import migrations
from core.telemetry.prices import PriceTable, UnreadablePrices, load_built_in_prices, parse_prices

log = structlog.get_logger()

ProcessRole: TypeAlias = Literal["serve", "web", "worker"]
CONFIRM_FLIPS_EVERY = timedelta(seconds=0.2)
ASK_JUDGE_EVERY = timedelta(seconds=2)
DELIVER_MESSAGES_EVERY = timedelta(seconds=0.25)
DRIVE_FLAGS_EVERY = timedelta(seconds=0.25)
SCHEDULE_FLAG_CHECKS_EVERY = timedelta(seconds=5)
REFRESH_HOME_TABS_EVERY = timedelta(seconds=2)
REFRESH_CARDS_EVERY = timedelta(seconds=5)
TICK_AT_MOST_EVERY = timedelta(seconds=1)
RELEASE_STUCK_ROWS_EVERY = timedelta(seconds=2)
DELETE_EXPIRED_KEYS_EVERY = timedelta(minutes=10)
WATCH_COMPLAINTS_EVERY = timedelta(seconds=10)
MOVE_CONVERSATIONS_EVERY = timedelta(seconds=5)
DELETE_CUSTOMERS_EVERY = timedelta(minutes=5)
DELETE_OLD_DATA_EVERY = timedelta(minutes=15)
CHECKPOINT_EVERY = timedelta(minutes=1)
REPORT_MODELS_EVERY = timedelta(seconds=1)
READ_RETIREMENTS_EVERY = timedelta(hours=1)
RECONNECT_EVERY = timedelta(seconds=5)
RELOAD_POLICY_EVERY = timedelta(seconds=2)
START_TIMEOUT = 15  # seconds until the HTTP server must answer
SLACK_TIMEOUT = 10  # seconds per call
STOP_TIMEOUT = 2  # seconds that running jobs, open requests and a hanging Slack may delay a stopping process


def utc_now() -> datetime:
    """The machine's clock in UTC, as opposed to the rollouts' clock, which may run faster."""
    return datetime.now(UTC)


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
            listening = _bind_socket(self.settings) if self.asgi is not None else None
            self.start()
            _freeze_gc()
            if listening is None:
                on_ready("")
                stop_requested.wait()
            elif not stop_requested.is_set():
                url = _format_base_url(listening)
                self._build_server(lambda: on_ready(url)).run(sockets=[listening])
        finally:
            self.stop()

    def serve_in_thread(self) -> str:
        """Serve HTTP from a thread; returns the base URL once it answers, or raises TimeoutError."""
        listening = _bind_socket(self.settings)
        answering = threading.Event()
        server = self._build_server(answering.set)
        self._http_thread = threading.Thread(target=server.run, args=([listening],), name="http", daemon=True)
        self._http_thread.start()
        if not answering.wait(START_TIMEOUT):
            raise TimeoutError(f"the server did not start within {START_TIMEOUT} s; the log above says why")
        return _format_base_url(listening)

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
            log_config=None,  # logs like every other library, see `configure_logging`
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


def build_program(
    settings: Settings,
    role: ProcessRole,
    *,
    now: Callable[[], datetime] = utc_now,
    speed: float = 1.0,
    channel_pause: timedelta = messages.CHANNEL_PAUSE,
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
        database.acquire_server_lock()
        migrations.migrate(database)
    migrations.assert_current(database)
    if role != "serve":
        database.assert_multiple_servers_allowed(role)
    elif database.dialect == "sqlite":
        processes.delete_all(database)  # only one process serves a SQLite file, so any other report is from a dead one
    service, outage = RolloutService(database, unwatched_after=settings.blind_after), DatabaseOutage()
    encoder, clients = DocumentEncoder(), ClientPositions()
    process_id = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:4]}"
    serving = SnapshotServer(
        service,
        process_id=process_id,
        role=role,
        now=now,
        unwatched_after=settings.blind_after,
        outage=outage,
        encoder=encoder,
        clients=clients,
    )
    streams = ChangeStreams(lambda: encoder.encode(serving.snapshot()).etag)
    serving.on_served_change(streams.notify)
    for missing_setting in setup.list_missing(settings):
        log.warning(missing_setting)
    slack = build_web_client(settings)
    directory = SlackDirectory(slack, utc_now) if slack is not None else None
    policy = jobs.PolicyFileWatcher(settings.policy, service) if settings.policy is not None else None
    if policy is not None:
        policy.apply(now())
    bolt, home_tabs, support = None, None, BlockSupport()
    if slack is not None and directory is not None and role != "worker":
        home_tabs = HomeTabs(service, slack, directory, now)
        bolt = slack_app.build_app(
            service=service,
            client=slack,
            signing_secret=settings.slack_signing_secret,
            now=now,
            directory=directory,
            home_tabs=home_tabs,
            block_support=support,
        )
    asgi = None
    answered = AnsweredModels(service)
    if role != "worker":
        asgi = http_app.build_asgi_app(
            service,
            serving.snapshot,
            tokens=settings.tokens,
            bolt=bolt if settings.slack_signing_secret else None,  # without the secret, no request could be verified
            now=now,
            resolve_handle=directory.resolve_handle if directory is not None else _return_handle,
            explain_undrivable=build_outbound_client(settings).explain_refusal,
            process_status=serving,
            report_outage=outage.record_failure,
            tick=settings.tick / speed,
            encoder=encoder,
            clients=clients,
            streams=streams,
            report_other_model=answered.note,
            prices=_read_prices(settings.prices),
            help_desks=dict(settings.help_desks),
        )
    clock = JobScheduler(lambda name, error: _log_job_failure(outage, name, error))
    if role != "worker":
        clock.run_every(REPORT_MODELS_EVERY, lambda: answered.submit_new(now()), "answered models")
    if policy is not None:
        clock.run_every(RELOAD_POLICY_EVERY, lambda: policy.apply_if_changed(now()), "policy")
    if home_tabs is not None:
        clock.run_every(REFRESH_HOME_TABS_EVERY, home_tabs.refresh, "home tabs")
    if role != "web":
        _schedule_jobs(clock, settings, service, slack, directory, now, speed, channel_pause, outage, support)
    return Program(
        settings=settings,
        database=database,
        service=service,
        snapshot_server=serving,
        scheduler=clock,
        asgi=asgi,
        streams=streams,
        bolt=bolt,
    )


def _read_prices(path: Path | None) -> PriceTable:
    """The built-in prices, with those of a file in their place; SettingsError if the file cannot be used."""
    built_in = load_built_in_prices()
    if path is None:
        return built_in
    try:
        return built_in.overridden_by(parse_prices(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, UnreadablePrices) as error:
        raise SettingsError([f"ROLLOUT_PRICES names {path}, which cannot be used: {error}."]) from None


def build_web_client(settings: Settings) -> WebClient | None:
    """A client for Slack's Web API, or for the server that `SLACK_API_URL` names; None without a bot token."""
    if not settings.has_slack:
        return None
    if not settings.slack_api_url:
        return WebClient(token=settings.slack_bot_token, timeout=SLACK_TIMEOUT)
    base_url = settings.slack_api_url.rstrip("/") + "/"
    return WebClient(token=settings.slack_bot_token, base_url=base_url, timeout=SLACK_TIMEOUT)


def configure_logging(settings: Settings) -> None:
    """Log to standard output as text or JSON, and warnings of libraries to standard error; secrets are redacted."""
    redact = SecretRedactor(settings.secrets)
    redact.install_excepthooks()
    renderer: Any = structlog.processors.JSONRenderer()
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            renderer,
            redact.redact_log_line,
        ],
        logger_factory=log_lines.build_log_printer,
    )
    libraries = logging.StreamHandler()
    libraries.setFormatter(RedactingFormatter(redact))
    logging.basicConfig(level=logging.WARNING, handlers=[libraries])


def _schedule_jobs(
    scheduler: JobScheduler,
    settings: Settings,
    service: RolloutService,
    slack: WebClient | None,
    directory: SlackDirectory | None,
    now: Callable[[], datetime],
    speed: float,
    channel_pause: timedelta,
    outage: DatabaseOutage,
    support: BlockSupport,
) -> None:
    """Register every periodic job of a worker with the scheduler."""
    every = settings.tick
    slots = jobs.SlotTracker(overdue_after=jobs.OVERDUE_FACTOR * every / speed / timedelta(seconds=1))
    tick_interval = min(every / speed, max(every / speed / jobs.TICKS_PER_INTERVAL, TICK_AT_MOST_EVERY))
    scheduler.run_every(
        tick_interval,
        lambda: jobs.tick(service, now(), every, slots, outage.record_failure, settings.blind_after),
        "tick",
    )
    confirmer = FlipConfirmer(service)
    scheduler.run_every(CONFIRM_FLIPS_EVERY, lambda: confirmer.confirm_pending(now()), "confirm")
    scheduler.run_every(
        RELEASE_STUCK_ROWS_EVERY, lambda: jobs.release_stuck_rows(service, now(), speed), "release stuck"
    )
    scheduler.run_every(DELETE_EXPIRED_KEYS_EVERY, lambda: jobs.delete_expired_keys(service, now()), "forget")
    scheduler.run_every(DELETE_CUSTOMERS_EVERY, lambda: jobs.delete_old_customers(service, now()), "forget customers")
    if (keep := settings.keep) is not None:
        scheduler.run_every(DELETE_OLD_DATA_EVERY, lambda: jobs.delete_old_data(service, keep), "delete old")
    scheduler.run_every(CHECKPOINT_EVERY, lambda: jobs.take_checkpoint(service, now()), "checkpoint")
    complaint_slots = jobs.SlotTracker()
    scheduler.run_every(
        WATCH_COMPLAINTS_EVERY, lambda: jobs.watch_complaints(service, now(), complaint_slots), "watch complaints"
    )
    scheduler.run_every(
        MOVE_CONVERSATIONS_EVERY, lambda: conversation_ends.move_due(service, now()), "move conversations"
    )
    outbound = build_outbound_client(settings)
    if settings.judge_url:
        judge = HttpJudge(outbound, url=settings.judge_url, token=settings.judge_token)
        scheduler.run_every(ASK_JUDGE_EVERY, lambda: jobs.ask_judge(service, judge, now()), "judge answers")
    if settings.retirements:
        watch = RetirementWatch(settings.retirements, outbound, service)
        scheduler.run_every(READ_RETIREMENTS_EVERY, lambda: watch.warn_due(now()), "retirements")
    deliver_flags = partial(
        driven_flags.deliver_due,
        service.database,
        service,
        lambda driven: UnleashFlag(outbound, driven, url=settings.unleash_url, token=settings.unleash_token),
        now,
        speed=speed,
    )
    open_revert = partial(open_revert_system, settings, outbound)
    revert_code = partial(code_reverts.deliver_due, service.database, service, open_revert, now, speed=speed)
    scheduler.run_every(
        DRIVE_FLAGS_EVERY,
        lambda: revert_code() if code_reverts.has_reverts(service.cached_world()) else 0,
        "revert code",
    )
    flag_slots = jobs.FlagSlotTrackers.for_speed(speed)
    # Runs without a token, too: the attempt then tells people that the token is missing.
    scheduler.run_every(
        DRIVE_FLAGS_EVERY,
        lambda: deliver_flags() if driven_flags.has_driven_flags(service.cached_world()) else 0,
        "drive",
    )
    scheduler.run_every(
        SCHEDULE_FLAG_CHECKS_EVERY, lambda: jobs.queue_flag_checks(service, now(), flag_slots), "check flags"
    )
    if slack is not None and directory is not None:
        deliver_messages = partial(
            messages.deliver_due,
            service.database,
            service,
            slack,
            now,
            mention=directory.format_mention,
            members=directory.list_members,
            speed=speed,
            channel_pause=channel_pause,
            support=support,
        )
        scheduler.run_every(DELIVER_MESSAGES_EVERY, deliver_messages, "deliver")
        refresh = max(REFRESH_CARDS_EVERY / speed, TICK_AT_MOST_EVERY)
        scheduler.run_every(refresh, lambda: jobs.refresh_cards(service, now()), "refresh cards")
        scheduler.run_every(refresh, lambda: jobs.queue_overdue_edits(service, now()), "edit overdue notices")
        scheduler.run_daily(lambda: jobs.queue_daily_witness(service, now()), "post witness", now)
        scheduler.run_weekly(
            lambda: jobs.queue_weekly_digest(service, now()),
            "post digest",
            now,
            lambda: service.cached_world().policy.timezone,
        )


def _log_job_failure(outage: DatabaseOutage, name: str, error: Exception) -> None:
    """Log a failed job, which runs again at its next interval. A database outage is logged once for all jobs."""
    if not outage.record_failure(error, name):
        log.error("a job failed; it runs again at its next interval", job=name, exc_info=error)


def build_handle_resolver(settings: Settings) -> Callable[[str], str]:
    """A function from an @handle to its Slack user id; it returns the handle itself without a Slack."""
    slack = build_web_client(settings)
    return SlackDirectory(slack, utc_now).resolve_handle if slack is not None else _return_handle


def open_revert_system(settings: Settings, outbound: OutboundClient, revert: CodeRevert) -> RevertSystem:
    """What reverts code as a plan names it; raises `PermanentFailure` if this installation may not talk to it."""
    if revert.system == "github":
        return GithubRevert(outbound, revert, url=settings.github_url, token=settings.github_token)
    return DeployWebhook(outbound, revert, url=settings.webhook_url, secret=settings.webhook_secret, now=utc_now)


def build_outbound_client(settings: Settings) -> OutboundClient:
    """The HTTP client for flag systems, which calls public addresses and the configured private hosts only."""
    return OutboundClient(settings.private_hosts)


def _return_handle(handle: str) -> str:
    """The handle itself, in place of a Slack user id."""
    return handle


def _bind_socket(settings: Settings) -> socket.socket:
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


def _format_base_url(listening: socket.socket) -> str:
    """The URL at which a listening socket is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
