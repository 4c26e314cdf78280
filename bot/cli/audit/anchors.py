"""Anchors for `audit verify`: read heads of the log from a file or from Slack, and compare the log with them."""

import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli import session, text_files

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.store.audit.witnesses import Anchor, AnchorComparison


def load_anchors(
    connection: "Connection", *, in_slack: bool, file: Path | None, channels: Iterable[str]
) -> "list[Anchor] | None":
    """The heads of the log that were published, from a file or Slack; None if neither was asked for."""
    if not in_slack and file is None:
        return None
    found = _load_from_file(file) if file is not None else []
    return found + (_load_from_slack(connection, channels) if in_slack else [])


def compare_anchors(connection: "Connection", found: "list[Anchor]") -> "AnchorComparison":
    """Compare the log with these anchors."""
    from core.store.audit import witnesses

    return witnesses.compare_anchors(connection, found)


def _count_anchors(number: int, one: str, many: str) -> str:
    return f"{number} anchor {one}" if number == 1 else f"{number} anchors {many}"


def print_comparison(compared: "AnchorComparison", now: datetime) -> bool:
    """Print the comparison; whether at least one anchor confirms the log and none contradicts it."""
    for position, what in compared.differing:
        print(f"position {position}: {what}", file=sys.stderr)
    if compared.differing:
        print(
            f"{_count_anchors(len(compared.differing), 'does', 'do')} not match the log, {compared.agreeing} do: "
            "it was truncated or rewritten after they were posted. Compare it with an earlier backup.",
            file=sys.stderr,
        )
        return False
    if compared.newest is None:
        print("No anchor was found: nothing outside the database confirms this log.", file=sys.stderr)
        return False
    newest = compared.newest
    age = f", shown {_format_age(now, newest.at)} ago" if newest.at is not None else ""
    print(
        f"{_count_anchors(compared.agreeing, 'agrees', 'agree')} with the log, the newest at #{newest.position}{age}."
    )
    return True


def _format_age(now: datetime, at: datetime) -> str:
    hours = max(0, int((now - at).total_seconds() // 3600))
    return f"{hours // 24} d" if hours >= 48 else f"{hours} h" if hours else "less than an hour"


def _load_from_file(file: Path) -> "list[Anchor]":
    from bot.rendering.messages.workspace import witness
    from core.store.audit.witnesses import Anchor

    found = []
    for number, line in enumerate(text_files.read_text(file).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("# "):
            continue
        read = witness.parse_line(line)
        if read is None:
            print(f"{file}, line {number} has no position and hash.", file=sys.stderr)
            raise SystemExit(1)
        found.append(Anchor(position=read[0], hash=read[1], place=f"{file}, line {number}"))
    return found


def _load_from_slack(connection: "Connection", channels: Iterable[str]) -> "list[Anchor]":
    from slack_sdk.errors import SlackClientError

    from bot.settings import SettingsError
    from bot.slack import posted_witnesses as in_slack
    from bot.startup.connections import build_web_client
    from core.store.audit import witnesses

    client = build_web_client(session.load_settings())
    if client is None:
        raise SettingsError(["--anchors reads from Slack: set SLACK_BOT_TOKEN, or use --anchors-file."])
    try:
        found, unread = in_slack.read_posted_witnesses(client, {*channels, *witnesses.find_channels(connection)})
    except (SlackClientError, OSError) as error:
        print(f"The anchors could not be read from Slack: {error}. `--anchors-file` needs no Slack.", file=sys.stderr)
        raise SystemExit(2) from None
    for channel, why in unread.items():
        print(f"{channel} could not be read ({why}): anchors in it are not compared.", file=sys.stderr)
    return found
