"""What is wrong with an installation, and what to do about it: settings, database, log, Slack."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from slack_sdk.errors import SlackApiError, SlackClientError
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from bot.app import real_now, web_client
from bot.confirming import SERVING_ROLES
from bot.outage import reason
from bot.redaction import Redactor
from bot.settings import MISSED_LOOKS, Settings
from core.rollout.policy import BUILT_IN
from core.service import Service
from core.spec import checks
from core.spec.problems import Unreadable, errors, render
from core.spec.reading import read
from core.store import looks, outbox, processes, roles, schema, verify
from core.store.database import Database, connect
from core.store.errors import StoreError

_OTHERS_MAY_READ = 0o004
_HEARD_WITHIN = timedelta(seconds=10)
_ASK_AGAIN = 0.25
_LATE = timedelta(minutes=5)  # by then a message has been tried several times


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    what: str
    ok: bool
    text: str

    def line(self) -> str:
        return f"{'ok   ' if self.ok else 'WRONG'} {self.what}: {self.text}"

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def examine(settings: Settings, now: Callable[[], datetime] = real_now) -> tuple[Finding, ...]:
    """Every finding, good and bad; never raises for what it examines."""
    redact = Redactor(settings.secrets)
    return tuple(replace(found, text=redact(found.text)) for found in _findings(settings, now()))


def _findings(settings: Settings, now: datetime) -> Iterator[Finding]:
    try:
        with connect(settings.database_url) as database:
            yield from _database(database, settings, now)
    except (StoreError, SQLAlchemyError) as error:
        text = str(getattr(error, "orig", error)).strip().splitlines()[0]
        yield Finding(what="database", ok=False, text=f"{text}. Check DATABASE_URL.")
    if settings.policy is not None:
        yield _policy_file(settings.policy)
    yield from _slack(settings)
    yield from _readable(settings)
    guarded = bool(settings.tokens)
    text = (
        "ROLLOUT_TOKENS is enforced"
        if guarded
        else "ROLLOUT_TOKENS is not set: whoever reaches this machine's loopback may act"
    )
    yield Finding(what="tokens", ok=guarded or settings.on_loopback, text=text)


def _database(database: Database, settings: Settings, now: datetime) -> Iterator[Finding]:
    for warning in database.warnings:
        yield Finding(what="database", ok=True, text=warning)
    try:
        schema.check(database)
    except StoreError as error:
        yield Finding(what="schema", ok=False, text=str(error))
        if not inspect(database.engine).has_table("events"):
            return
    else:
        yield Finding(what="schema", ok=True, text="up to date")
    with database.reading() as connection:
        report = verify.verify(connection)
        unsent = outbox.waiting(connection)
        unbound = roles.unbound(connection)
    if unbound is not None:
        text = (
            f"this database role {unbound}, and could change it unhindered; `rollout migrate --app-role NAME` "
            "readies one for the running processes that can only add to it"
        )
        yield Finding(what="database role", ok=True, text=text)
    for problem in report.problems[:5]:
        yield Finding(what="log", ok=False, text=f"position {problem.position}: {problem.what}")
    if not report.problems:
        yield Finding(what="log", ok=True, text=f"{report.checked} events, chain intact")
    yield _outbox(unsent, settings, now)
    yield _writable(database)
    yield from _processes(database, now)
    world = Service(database).world()
    for rollout in world.open:
        if rollout.is_looked_at:
            yield _looked_at(database, rollout.id, settings, now)
    if not world.policy.roles:
        yield Finding(
            what="policy", ok=True, text="roles are not configured: every member of the workspace is an operator"
        )


def _writable(database: Database) -> Finding:
    """As a process does that serves: what can only be read is of no use to a rollback."""
    name = f"doctor:{socket.gethostname()}:{os.getpid()}"
    try:
        processes.report(database, name, "doctor", 0, real_now())
        processes.leave(database, name)
    except (StoreError, SQLAlchemyError) as error:
        text = (
            f"takes nothing new ({reason(error)}): no rollback can be written, and every process gives everybody the "
            "live version until it can. Make room, or let it be written to again."
        )
        return Finding(what="database", ok=False, text=text)
    return Finding(what="database", ok=True, text="takes what is written")


def _processes(database: Database, now: datetime) -> Iterator[Finding]:
    """Those that report. One whose clock differs is watched for as long as a report may take, and not judged by it."""
    first = _reported(database)
    heard = {n for n, p in first.items() if abs(now - p.seen_at) < _HEARD_WITHIN}
    until = time.monotonic() + processes.REPORT_EVERY * 2
    newest = first
    while heard < newest.keys() and time.monotonic() < until:
        time.sleep(_ASK_AGAIN)
        newest = _reported(database)
        heard = {n for n, p in newest.items() if n in heard or n not in first or p.seen_at != first[n].seen_at}
    names = ", ".join(f"{newest[n].role} at #{newest[n].position}" for n in sorted(heard)) or "none runs"
    yield Finding(what="processes", ok=True, text=names)
    for name in sorted(newest.keys() - heard):
        role, at = newest[name].role, newest[name].seen_at
        serves = ", or gives everybody the live version" if role in SERVING_ROLES else ""
        text = f"{role} {name} has not reported since {at:%Y-%m-%d %H:%M:%S} UTC: it is dead or cut off{serves}"
        yield Finding(what="processes", ok=False, text=text)


def _reported(database: Database) -> dict[str, processes.Process]:
    with database.reading() as connection:
        return {p.process_id: p for p in processes.reported(connection) if p.role != "doctor"}


def _looked_at(database: Database, rollout: str, settings: Settings, now: datetime) -> Finding:
    with database.reading() as connection:
        _, at = looks.newest(connection, rollout)
    if at is None:
        return Finding(what="looks", ok=True, text=f"{rollout} was not looked at yet")
    age, most = now - at, MISSED_LOOKS * settings.tick + _HEARD_WITHIN
    if -_HEARD_WITHIN <= age <= most:
        return Finding(what="looks", ok=True, text=f"{rollout} was looked at {age.total_seconds():.0f} s ago")
    text = f"nobody has looked at {rollout} since {at:%Y-%m-%d %H:%M:%S} UTC, and looks come every "
    text += f"{settings.tick.total_seconds():g} s: it does not grow, and harm is not seen. Start a worker."
    if age < timedelta(0):
        text = f"the newest look at {rollout} is of {at:%Y-%m-%d %H:%M:%S} UTC, which is still to come: a clock differs"
    return Finding(what="looks", ok=False, text=text)


def _outbox(unsent: outbox.Waiting, settings: Settings, now: datetime) -> Finding:
    waiting = unsent.pending + unsent.leased
    text = f"{waiting} messages wait"
    unheard = bool(waiting) and not settings.slack
    if unheard:
        text += " for a Slack: set SLACK_BOT_TOKEN"
    elif unsent.troubles:
        text += f"; the last answer was {max(unsent.troubles, key=lambda error: unsent.troubles[error])}"
    if unsent.dead:
        text += f"; {unsent.dead} could not be delivered and need a human"
    waited = now - unsent.oldest_due_at if unsent.oldest_due_at is not None else timedelta(0)
    late = waited > _LATE
    if late and not unheard:
        text += f"; the oldest is late by {waited // timedelta(minutes=1)} minutes"
    return Finding(what="outbox", ok=not (unsent.dead or unheard or late), text=text)


def _readable(settings: Settings) -> Iterator[Finding]:
    """Files whose contents are nobody else's business."""
    for path in settings.secret_files:
        if path.stat().st_mode & _OTHERS_MAY_READ:
            yield Finding(
                what="secrets", ok=False, text=f"everybody on this machine may read {path}: chmod o-rwx {path}"
            )


def _policy_file(path: Path) -> Finding:
    try:
        written = read(path.read_text(encoding="utf-8"), str(path))
    except (Unreadable, OSError, UnicodeDecodeError) as error:
        wrong = str(error)
    else:
        wrong = render(errors(checks.check(written, None, BUILT_IN, None)))
    if wrong:
        return Finding(what="policy file", ok=False, text=f"the policy in force stays as it is: {wrong.strip()}")
    return Finding(what="policy file", ok=True, text=f"{path} can be read")


def _slack(settings: Settings) -> Iterator[Finding]:
    client = web_client(settings)
    if client is None:
        yield Finding(
            what="slack", ok=True, text="none: SLACK_BOT_TOKEN is not set; the README says how to connect one"
        )
        return
    try:
        who = client.auth_test()
    except SlackApiError as error:
        yield Finding(
            what="slack", ok=False, text=f"auth.test says {error.response.get('error')}: check SLACK_BOT_TOKEN"
        )
        return
    except (SlackClientError, OSError) as error:
        yield Finding(what="slack", ok=False, text=f"cannot be reached: {error}")
        return
    over = "Socket Mode" if settings.socket_mode else "signed HTTP"
    yield Finding(what="slack", ok=True, text=f"{who.get('user')} in {who.get('team')}, over {over}")
