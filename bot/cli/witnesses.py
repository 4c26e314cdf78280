"""Anchors for `audit verify`: read heads of the log from a file or from Slack, and compare the log with them."""

import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli import session

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.store.audit.anchors import Compared, Shown


def shown(
    connection: "Connection", *, in_slack: bool, file: Path | None, channels: Iterable[str]
) -> "list[Shown] | None":
    """The heads of the log that were published, from a file or Slack; None if neither was asked for."""
    if not in_slack and file is None:
        return None
    found = _in_file(file) if file is not None else []
    return found + (_in_slack(connection, channels) if in_slack else [])


def compare(connection: "Connection", found: "list[Shown]") -> "Compared":
    """Compare the log with these anchors."""
    from core.store.audit import anchors

    return anchors.compare(connection, found)


def _anchors(number: int, one: str, many: str) -> str:
    return f"{number} anchor {one}" if number == 1 else f"{number} anchors {many}"


def tell(compared: "Compared", now: datetime) -> bool:
    """Print the comparison; whether at least one anchor confirms the log and none contradicts it."""
    for position, what in compared.differing:
        print(f"position {position}: {what}", file=sys.stderr)
    if compared.differing:
        print(
            f"{_anchors(len(compared.differing), 'does', 'do')} not fit the log, {compared.agreeing} do: it was cut or "
            "rewritten after they were shown. Compare it with a backup from before.",
            file=sys.stderr,
        )
        return False
    if compared.newest is None:
        print("No anchor was found: nothing outside confirms this log.", file=sys.stderr)
        return False
    newest = compared.newest
    age = f", shown {_age(now, newest.at)} ago" if newest.at is not None else ""
    print(f"{_anchors(compared.agreeing, 'agrees', 'agree')} with the log, the newest at #{newest.position}{age}.")
    return True


def _age(now: datetime, at: datetime) -> str:
    hours = max(0, int((now - at).total_seconds() // 3600))
    return f"{hours // 24} d" if hours >= 48 else f"{hours} h" if hours else "less than an hour"


def _in_file(file: Path) -> "list[Shown]":
    from bot.rendering.messages import witness
    from core.store.audit.anchors import Shown

    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("# "):
            continue
        read = witness.read(line)
        if read is None:
            print(f"{file}, line {number} holds no position and hash.", file=sys.stderr)
            raise SystemExit(1)
        found.append(Shown(position=read[0], hash=read[1], place=f"{file}, line {number}"))
    return found


def _in_slack(connection: "Connection", channels: Iterable[str]) -> "list[Shown]":
    from slack_sdk.errors import SlackClientError

    from bot.app import web_client
    from bot.settings import SettingsError
    from bot.slack import anchors as in_slack
    from core.store.audit import anchors

    client = web_client(session.settings())
    if client is None:
        raise SettingsError(["--anchors reads from Slack: set SLACK_BOT_TOKEN, or use --anchors-file."])
    try:
        found, unread = in_slack.posted(client, {*channels, *anchors.places(connection)})
    except (SlackClientError, OSError) as error:
        print(f"The anchors could not be read from Slack: {error}. `--anchors-file` needs no Slack.", file=sys.stderr)
        raise SystemExit(2) from None
    for channel, why in unread.items():
        print(f"{channel} could not be read ({why}): anchors in it are not compared.", file=sys.stderr)
    return found
