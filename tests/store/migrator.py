"""A program that migrates a database, or dies at the n-th change that it makes; the last one commits: URL [N]."""

import os
import signal
import sys

from sqlalchemy import event

from core.store.database.connections import Database, connect
from core.store.schema import migrations

CHANGES = ("CREATE", "ALTER", "UPDATE")


def die_at(database: Database, change: int) -> None:
    """Kill this process at that change."""
    seen: list[object] = []

    def make(what: object) -> None:
        seen.append(what)
        if len(seen) == change:
            os.kill(os.getpid(), signal.SIGKILL)

    def executed(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.split()[0] in CHANGES:
            make(statement)

    event.listen(database.engine, "after_cursor_execute", executed)
    event.listen(database.engine, "commit", lambda _: seen and make("COMMIT"))


def main() -> None:
    with connect(sys.argv[1]) as database:
        if len(sys.argv) > 2:
            die_at(database, int(sys.argv[2]))
        migrations.migrate(database)
        if len(sys.argv) == 2:
            migrations.assert_current(database)


if __name__ == "__main__":
    main()
