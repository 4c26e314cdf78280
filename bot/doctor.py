"""Checks an installation and says how to fix what is wrong: settings, database, log, processes, Slack."""

import os
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from bot.log_output.redaction import SecretRedactor
from bot.outbound.errors import PermanentFailure, RetryLater, SettingMissing
from bot.process.flip_confirmation import SERVING_ROLES
from bot.process.machine_clock import utc_now
from bot.process.outage import format_reason
from bot.rendering.numbers.detectability.uncounted_words import describe_uncounted
from bot.setting_values import MISSED_LOOKS
from bot.settings import DEFAULT_DATABASE_URL, Settings
from bot.slack import setup
from bot.slack.directory import SlackDirectory, SlackUnreachable
from bot.startup.connections import build_outbound_client, build_web_client, open_flag_system
from core.files.checks import check_files
from core.files.read_file import parse_file
from core.files.syntax.problems import UnreadableFile, render_text, select_errors
from core.report_sources import look_reports
from core.rollout.plans.plan import NoticePlan
from core.rollout.plans.policy import DEFAULT_POLICY
from core.rollout.state.model import Rollout
from core.rollout.state.world import World
from core.service.service import RolloutService
from core.store.audit import verify
from core.store.coordination import outbox, processes
from core.store.database.connections import Database, connect
from core.store.database.postgres import postgres_roles
from core.store.errors import StoreError
from core.store.maintenance import size
from core.store.models import ProcessReport
from core.store.observations import looks
from core.store.schema import migrations

_WORKING_ROLES = frozenset({"serve", "worker"})  # which write to driven flags
_WORLD_READABLE = 0o004
_MAX_REPORT_AGE = timedelta(seconds=10)
_POLL_SECONDS = 0.25  # seconds
_HTTP_TIMEOUT = 5  # seconds
_LATE_AFTER = timedelta(minutes=5)  # a message has been tried several times by then


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One thing that was checked, whether it is fine, and what was found."""

    what: str
    ok: bool
    text: str

    def format_line(self) -> str:
        """The result as one line of text."""
        return f"{'ok   ' if self.ok else 'WRONG'} {self.what}: {self.text}"

    def to_json(self) -> dict[str, object]:
        """The result as a JSON object."""
        return asdict(self)


def examine_installation(settings: Settings, now: Callable[[], datetime] = utc_now) -> tuple[CheckResult, ...]:
    """The results of all checks, good and bad. What is wrong is a result, never an exception."""
    redact = SecretRedactor(settings.secrets)
    return tuple(replace(found, text=redact(found.text)) for found in _run_checks(settings, now()))


def _run_checks(settings: Settings, now: datetime) -> Iterator[CheckResult]:
    try:
        with connect(settings.database_url) as database:
            yield from _check_database(database, settings, now)
    except StoreError as error:  # it says what to do
        yield CheckResult(what="database", ok=False, text=str(error))
    except SQLAlchemyError as error:
        why = format_reason(error).removeprefix("connection failed: ").rstrip(".")
        yield CheckResult(
            what="database", ok=False, text=f"cannot be used ({why}). Is it running, and is DATABASE_URL right?"
        )
    if settings.policy is not None:
        yield _check_policy_file(settings.policy)
    yield from _check_slack(settings)
    yield from _check_secret_files(settings)
    guarded = bool(settings.tokens)
    text = (
        "ROLLOUT_TOKENS is enforced"
        if guarded
        else "ROLLOUT_TOKENS is not set: anyone who reaches this machine's loopback may act"
    )
    yield CheckResult(what="tokens", ok=guarded or settings.is_on_loopback, text=text)


def _check_database(database: Database, settings: Settings, now: datetime) -> Iterator[CheckResult]:
    for warning in database.warnings:
        yield CheckResult(what="database", ok=True, text=warning)
    with database.reading() as connection:
        new = migrations.read_revision(connection) is None
    if new and settings.database_url == DEFAULT_DATABASE_URL:
        text = "the database is new: the first command, or `rollout serve`, creates its tables"
        yield CheckResult(what="schema", ok=True, text=text)
        return
    try:
        migrations.assert_current(database)
    except StoreError as error:
        yield CheckResult(what="schema", ok=False, text=str(error))
        if not inspect(database.engine).has_table("events"):
            return
    else:
        yield CheckResult(what="schema", ok=True, text="up to date")
    with database.reading() as connection:
        report = verify.verify(connection)
        unsent = outbox.measure_backlog(connection)
        unbound = postgres_roles.explain_excess_rights(connection)
        grown = size.measure_size(connection, utc_now())
    if unbound is not None:
        text = (
            f"this database role {unbound}, and could change it freely; `rollout migrate --app-role NAME` "
            "prepares one for the running processes that can only add to it"
        )
        yield CheckResult(what="database role", ok=True, text=text)
    for problem in report.problems[:5]:
        yield CheckResult(what="log", ok=False, text=f"position {problem.position}: {problem.what}")
    if not report.problems:
        yield CheckResult(what="log", ok=True, text=f"{report.checked} events, chain intact")
    lately = f"{grown.events_a_day:,} events in the last day, some {grown.bytes_a_day / 1e6:,.1f} MB"
    yield CheckResult(what="size", ok=True, text=f"{grown.bytes / 1e6:,.1f} MB; {lately}")
    yield _check_outbox(unsent, settings, now)
    yield _check_writable(database)
    yield from _check_processes(database, now)
    service = RolloutService(database)
    world = service.load_world()
    yield from _check_channels(world, settings)
    yield from _check_driven(world, settings, is_worker=_runs_a_worker(database, now))
    for rollout in world.open_rollouts:
        if rollout.is_looked_at:
            yield _check_newest_look(database, rollout.id, settings, now)
            yield from _check_reports(service, rollout)
    if not world.policy.roles:
        yield CheckResult(
            what="policy", ok=True, text="roles are not configured: every member of the workspace is an operator"
        )


def _runs_a_worker(database: Database, now: datetime) -> bool:
    """Whether a process that drives flags reports from this machine."""
    here = f"{socket.gethostname()}:"
    return any(
        one.role in _WORKING_ROLES and name.startswith(here) and abs(now - one.seen_at) < _MAX_REPORT_AGE
        for name, one in _read_process_reports(database).items()
    )


def _check_driven(world: World, settings: Settings, *, is_worker: bool) -> Iterator[CheckResult]:
    """Whether everything that open rollouts drive can be read from here, which only a machine with a worker has to."""
    client = build_outbound_client(settings)
    for rollout in world.open_rollouts:
        for driven in rollout.plan.driven:
            what = f"{rollout.id} drives {driven.title}"
            try:
                percent = open_flag_system(settings, client, driven).read()
            except SettingMissing as missing:
                unset = str(missing).partition(",")[0]
                text = f"{unset} here, and no worker reports from here, so this machine does not need it"
                yield CheckResult(what=what, ok=not is_worker, text=str(missing) if is_worker else text)
            except (PermanentFailure, RetryLater) as failure:
                yield CheckResult(what=what, ok=False, text=str(failure))
            else:
                yield CheckResult(what=what, ok=True, text=f"read at {percent:g} %")


def _check_writable(database: Database) -> CheckResult:
    """Write and delete a process report, as a serving process does, and begin a command: where either is impossible, no
    rollback can be saved."""
    name = f"doctor:{socket.gethostname()}:{os.getpid()}"
    try:
        processes.report_alive(database, name, "doctor", 0, utc_now())
        processes.unregister(database, name)
    except (StoreError, SQLAlchemyError) as error:
        text = (
            f"cannot be written to ({format_reason(error)}): no rollback can be saved, and every process gives "
            "everybody the live version until it can. Make room, or make it writable again."
        )
        return CheckResult(what="database", ok=False, text=text)
    try:
        database.try_append()
    except (StoreError, SQLAlchemyError) as error:
        text = f"takes no command, so no rollback can be saved: {format_reason(error)}"
        return CheckResult(what="database", ok=False, text=text)
    return CheckResult(what="database", ok=True, text="can be written to")


def _check_processes(database: Database, now: datetime) -> Iterator[CheckResult]:
    """Which processes report. One whose clock differs is watched for two report intervals instead of judged by it."""
    first = _read_process_reports(database)
    alive = {n for n, p in first.items() if abs(now - p.seen_at) < _MAX_REPORT_AGE}
    until = time.monotonic() + processes.REPORT_INTERVAL_SECONDS * 2
    newest = first
    while alive < newest.keys() and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
        newest = _read_process_reports(database)
        alive = {n for n, p in newest.items() if n in alive or n not in first or p.seen_at != first[n].seen_at}
    names = ", ".join(f"{newest[n].role} at #{newest[n].position}" for n in sorted(alive)) or "none is running"
    yield CheckResult(what="processes", ok=True, text=names)
    for name in sorted(newest.keys() - alive):
        role, at = newest[name].role, newest[name].seen_at
        serves = ", or gives everybody the live version" if role in SERVING_ROLES else ""
        text = f"{role} {name} has not reported since {at:%Y-%m-%d %H:%M:%S} UTC: it is dead or cut off{serves}"
        yield CheckResult(what="processes", ok=False, text=text)


def _read_process_reports(database: Database) -> dict[str, ProcessReport]:
    with database.reading() as connection:
        return {p.process_id: p for p in processes.load_processes(connection) if p.role != "doctor"}


def _check_newest_look(database: Database, rollout: str, settings: Settings, now: datetime) -> CheckResult:
    """Whether the rollout's newest look is recent enough."""
    with database.reading() as connection:
        _, at = looks.load_count_and_time(connection, rollout)
    if at is None:
        return CheckResult(what="looks", ok=True, text=f"{rollout} has had no look yet")
    age, most = now - at, MISSED_LOOKS * settings.tick + _MAX_REPORT_AGE
    if -_MAX_REPORT_AGE <= age <= most:
        return CheckResult(
            what="looks", ok=True, text=f"the newest look at {rollout} was {age.total_seconds():.0f} s ago"
        )
    text = f"{rollout} has had no look since {at:%Y-%m-%d %H:%M:%S} UTC, though one is due every "
    text += f"{settings.tick.total_seconds():g} s: it does not grow, and harm goes unnoticed. Start a worker."
    if age < timedelta(0):
        text = f"the newest look at {rollout} is dated {at:%Y-%m-%d %H:%M:%S} UTC, in the future: a clock is wrong"
    return CheckResult(what="looks", ok=False, text=text)


def _check_reports(service: RolloutService, rollout: Rollout) -> Iterator[CheckResult]:
    """Only where reports come of which none counts: one that counts may just not have come yet."""
    if said := describe_uncounted(look_reports.load_uncounted_reports(service, rollout)):
        yield CheckResult(what="reports", ok=False, text=f"{rollout.id}: {said.replace('`', '')}")


def _check_outbox(unsent: outbox.OutboxBacklog, settings: Settings, now: datetime) -> CheckResult:
    """Whether messages are late, undeliverable, or waiting without a Slack."""
    waiting = unsent.pending + unsent.leased
    unheard = bool(waiting) and not settings.has_slack
    text = "1 message is waiting" if waiting == 1 else f"{waiting} messages are waiting"
    text += " for Slack" if unheard else ""
    if unsent.scheduled:
        text += f", {unsent.scheduled} {'has' if unsent.scheduled == 1 else 'have'} a time of their own"
    if unheard:
        text += ": set SLACK_BOT_TOKEN"
    elif unsent.errors:
        text += f"; the last answer was {max(unsent.errors, key=lambda error: unsent.errors[error])}"
    if unsent.dead:
        needs = "needs" if unsent.dead == 1 else "need"
        text += f"; {unsent.dead} could not be delivered and {needs} a person"
    waited = now - unsent.oldest_due_at if unsent.oldest_due_at is not None else timedelta(0)
    late = waited > _LATE_AFTER
    if late and not unheard:
        text += f"; the oldest is {waited // timedelta(minutes=1)} minutes late"
    return CheckResult(what="outbox", ok=not (unsent.dead or unheard or late), text=text)


def _check_secret_files(settings: Settings) -> Iterator[CheckResult]:
    """A problem for each secret file that everybody on this machine may read."""
    for path in settings.secret_files:
        if path.stat().st_mode & _WORLD_READABLE:
            yield CheckResult(
                what="secrets", ok=False, text=f"everybody on this machine can read {path}: chmod o-rwx {path}"
            )


def _check_policy_file(path: Path) -> CheckResult:
    try:
        written = parse_file(path.read_text(encoding="utf-8"), str(path))
    except (UnreadableFile, OSError, UnicodeDecodeError) as error:
        wrong = str(error)
    else:
        wrong = render_text(select_errors(check_files.check(written, None, DEFAULT_POLICY, None)))
    if wrong:
        return CheckResult(what="policy file", ok=False, text=f"the policy in force is unchanged: {wrong.strip()}")
    return CheckResult(what="policy file", ok=True, text=f"{path} can be read")


def _check_slack(settings: Settings) -> Iterator[CheckResult]:
    """Whether Slack works, and which settings are missing, in the order in which one obtains them."""
    missing = setup.list_missing(settings)
    client = build_web_client(settings)
    if client is None and not missing:
        text = "none: SLACK_BOT_TOKEN is not set; the README says how to connect one"
        yield CheckResult(what="slack", ok=True, text=text)
    if client is not None and not any(text.startswith("SLACK_BOT_TOKEN") for text in missing):
        yield _check_slack_token(client, settings, is_complete=not missing)
    for text in missing:
        yield CheckResult(what="slack", ok=False, text=text)
    if settings.has_slack and settings.slack_signing_secret and not settings.uses_socket_mode:
        yield _check_public_address(settings.public_url)


def _check_slack_token(client: WebClient, settings: Settings, *, is_complete: bool) -> CheckResult:
    """Whether Slack accepts the bot token. `is_complete` says that no other setting is missing."""
    try:
        who = client.auth_test()
    except SlackApiError as error:
        text = f"Slack refuses SLACK_BOT_TOKEN ({error.response.get('error')}): {setup.BOT_TOKEN_HINT}"
        return CheckResult(what="slack", ok=False, text=text)
    except (SlackClientError, OSError) as error:
        check = "the network, and SLACK_API_URL" if settings.slack_api_url else "the network"
        return CheckResult(what="slack", ok=False, text=f"cannot be reached ({_format_error(error)}). Check {check}")
    over = "over Socket Mode" if settings.uses_socket_mode else "over signed HTTP"
    text = f"{who.get('user')} in {who.get('team')}{f', {over}' if is_complete else ': the bot token works'}"
    return CheckResult(what="slack", ok=True, text=text)


def _check_public_address(url: str) -> CheckResult:
    """Whether Rampart answers at its public URL. It is asked from here, and Slack may take another route."""
    what = "public address"
    if not url:
        text = "ROLLOUT_PUBLIC_URL is not set, so it cannot be checked from here whether Slack reaches /slack/events"
        return CheckResult(what=what, ok=True, text=text)
    events = f"{url}/slack/events"
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=_HTTP_TIMEOUT):  # noqa: S310 - http(s), as settings say
            return CheckResult(what=what, ok=True, text=f"{url} answers; Slack sends commands and buttons to {events}")
    except (OSError, HTTPException) as error:
        text = (
            f"nothing answers at {url}/healthz ({_format_error(error)}). Start `rollout serve`, and make this "
            f"address lead to it: Slack sends commands and buttons to {events}."
        )
        return CheckResult(what=what, ok=False, text=text)


def _check_channels(world: World, settings: Settings) -> Iterator[CheckResult]:
    """A problem for each channel of an open rollout that Slack does not list.

    Channels that were posted to already are skipped, since private ones are not listed. That Slack cannot be asked is
    reported by another check.
    """
    notices = [
        (notice.channel, rollout.id) for rollout in world.open_rollouts for notice in _list_unposted_notices(rollout)
    ]
    client = build_web_client(settings)
    if client is None or not notices:
        return
    try:
        known_channels = SlackDirectory(client, utc_now).list_public_channels()
    except SlackUnreachable:
        return
    absent: dict[str, list[str]] = {}
    for channel, rollout in notices:
        if channel.removeprefix("#") not in known_channels:
            absent.setdefault(channel, []).append(rollout)
    for channel, rollouts in absent.items():
        verb = "tells" if len(rollouts) == 1 else "tell"
        text = (
            f"{', '.join(rollouts)} {verb} {channel}, but Slack has no public channel of that name. Create it, or "
            "correct the file; if it is private, invite the app"
        )
        yield CheckResult(what="channels", ok=False, text=text)


def _list_unposted_notices(rollout: Rollout) -> list[NoticePlan]:
    """The rollout's notices whose channel has no message from us yet."""
    engineering = rollout.plan.engineering_channel if "card" in rollout.messages else ""
    return [n for n in rollout.plan.notices if n.channel != engineering and not rollout.notice_posted_at(n.key)]


def _format_error(error: Exception) -> str:
    """The error in words, without class names."""
    cause = error.reason if isinstance(error, URLError) and not isinstance(error, HTTPError) else error
    match cause:
        case HTTPError():
            return f"it answers {cause.code}"
        case TimeoutError():
            return "no answer in time"
        case OSError() if cause.strerror:
            return cause.strerror
        case _:
            return str(cause) or "no answer"
