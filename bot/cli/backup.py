"""Commands that copy everything into one file and restore it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bot.cli import session


def add_to(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(backup)
    app.command()(restore)


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace the file if it exists.")] = False,
) -> None:
    """Copy the whole database into one file, consistently, while other processes keep running."""
    from core.store.audit import backup as backing_up
    from core.store.database.connections import connect
    from core.store.errors import BackupRefused

    with connect(session.load_settings().database_url) as database:
        try:
            copied = backing_up.write_backup(database, file, session.current_time(), replace=replace)
        except BackupRefused as refused:
            print(refused, file=sys.stderr)
            raise SystemExit(1) from None
    position, newest = copied.head
    print(
        f"{_format_row_counts(copied.counts)} copied to {file}: the log up to #{position} ({newest.hex()[:16]}). "
        "It contains what people wrote and the keys of sealed text: keep it where only operators can read it."
    )


def restore(file: Annotated[Path, typer.Argument(help="A file written by `rollout backup`.")]) -> None:
    """Fill a new, empty database from a backup. A faulty backup is refused, and nothing is written."""
    from core.store.audit import restore as restoring
    from core.store.database.connections import connect
    from core.store.errors import BackupRefused

    with connect(session.load_settings().database_url) as database:
        try:
            restored = restoring.restore_backup(database, file)
        except BackupRefused as refused:
            print(refused, file=sys.stderr)
            raise SystemExit(1) from None
    position, newest = restored.report.head
    print(f"{_format_row_counts(restored.counts)} restored, as of {restored.copied_at:%Y-%m-%d %H:%M:%S} UTC.")
    print(f"Log intact: {restored.report.checked} events checked, up to #{position} ({newest.hex()[:16]}).")
    if restored.backlog.pending:
        print(f"{restored.backlog.pending} messages are waiting: each is looked up in Slack before it is sent.")


def _format_row_counts(counts: dict[str, int]) -> str:
    others = sum(counts.values()) - counts["events"]
    return f"{counts['events']} events and {others} other rows"
