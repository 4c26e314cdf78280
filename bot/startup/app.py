"""The composition root: builds every real dependency of a process in one place and wires them together."""

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias
from uuid import uuid4

import structlog

from bot.delivery import messages
from bot.http.app import HttpParts, build_asgi_app
from bot.http.clients.change_streams import ChangeStreams
from bot.jobs import policy_file
from bot.jobs.models.answered_models import AnsweredModels
from bot.log_output.log_setup import configure_logging
from bot.process.block_support import BlockSupport
from bot.process.client_positions import ClientPositions
from bot.process.machine_clock import utc_now
from bot.process.outage import DatabaseOutage
from bot.process.snapshot_server import SnapshotServer
from bot.settings import Settings, SettingsError
from bot.signed_page_links import LinkedPerson, PageLinks
from bot.slack import listeners as slack_app
from bot.slack import setup
from bot.slack.directory import SlackDirectory
from bot.slack.home import HomeTabs
from bot.startup import connections, job_schedule
from bot.startup.job_schedule import WorkerParts
from bot.startup.program import Program
from bot.startup.scheduler import JobScheduler
from core.flags.document import DocumentEncoder
from core.rollout.context import Actor
from core.service.service import RolloutService
from core.store.coordination import processes
from core.store.database.connections import Database, connect
from core.store.schema import migrations
from core.telemetry.prices import PriceTable, UnreadablePrices, load_built_in_prices, parse_prices

log = structlog.get_logger()

ProcessRole: TypeAlias = Literal["serve", "web", "worker"]


def build_program(
    settings: Settings,
    role: ProcessRole,
    *,
    now: Callable[[], datetime] = utc_now,
    speed: Callable[[], float] = lambda: 1.0,
    channel_pause: timedelta = messages.CHANNEL_PAUSE,
) -> Program:
    """Prepare the database, apply the policy file, and build a process in one of three roles, without starting it.

    `now` is the rollouts' clock and `speed` how many times as fast as real time it runs at the moment. `channel_pause`
    is the least time between two messages to one Slack channel; zero for tests whose clock stands still.
    """
    configure_logging(settings)
    database = prepare_database(settings, role)
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
    slack = connections.build_web_client(settings)
    directory = SlackDirectory(slack, utc_now) if slack is not None else None
    links = PageLinks(settings.slack_bot_token, settings.public_url, utc_now)  # the token is known to every process
    policy = policy_file.PolicyFileWatcher(settings.policy, service) if settings.policy is not None else None
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
            page_links=links,
        )
    asgi = None
    answered = AnsweredModels(service)
    if role != "worker":
        asgi = build_asgi_app(
            HttpParts(
                service=service,
                snapshot=serving.snapshot,
                tokens=settings.tokens,
                bolt=bolt
                if settings.slack_signing_secret
                else None,  # without the secret, no request could be verified
                now=now,
                lookups=connections.build_file_lookups(settings, directory),
                process_status=serving,
                report_outage=outage.record_failure,
                tick=lambda: settings.tick / speed(),
                encoder=encoder,
                clients=clients,
                streams=streams,
                report_other_model=answered.note,
                prices=_read_prices(settings.prices),
                help_desks=dict(settings.help_desks),
                page_links=links,
                find_person=partial(_find_person, directory) if directory is not None else None,
                find_handles=directory.find_handles if directory is not None else connections.find_no_handles,
            )
        )
    clock = JobScheduler(lambda name, error: _log_job_failure(outage, name, error))
    if role != "worker":
        clock.run_every(job_schedule.REPORT_MODELS_EVERY, lambda: answered.submit_new(now()), "answered models")
    if policy is not None:
        clock.run_every(job_schedule.RELOAD_POLICY_EVERY, lambda: policy.apply_if_changed(now()), "policy")
    if home_tabs is not None:
        clock.run_every(job_schedule.REFRESH_HOME_TABS_EVERY, home_tabs.refresh, "home tabs")
    if role != "web":
        job_schedule.schedule_worker_jobs(
            clock,
            WorkerParts(
                settings=settings,
                service=service,
                slack=slack,
                directory=directory,
                now=now,
                speed=speed,
                channel_pause=channel_pause,
                outage=outage,
                support=support,
            ),
        )
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


def prepare_database(settings: Settings, role: ProcessRole) -> Database:
    """Connect to the database and see that this role may use it; `serve` takes the server's lock and migrates it.

    Raises `StoreError` if another process has the lock, or if the schema is not this program's.
    """
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
    return database


def _find_person(directory: SlackDirectory, person: LinkedPerson) -> Actor:
    """Who opens a page by a link, by what Slack says now."""
    return directory.resolve_actor(
        person.team, person.user, enterprise=person.enterprise, moves_forward=True, fresh=True
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


def _log_job_failure(outage: DatabaseOutage, name: str, error: Exception) -> None:
    """Log a failed job, which runs again at its next interval. A database outage is logged once for all jobs."""
    if not outage.record_failure(error, name):
        log.error("a job failed; it runs again at its next interval", job=name, exc_info=error)
