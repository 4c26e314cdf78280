"""A program that carries out commands against a log, for tests that run, kill and repeat it: URL PREFIX FIRST COUNT."""

import sys
from datetime import UTC, datetime, timedelta

from core.rollout.events import ConcernRaised
from core.store import commands, event_log, outbox
from core.store.database import Database, connect
from core.store.event_log import Entry

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def carry_out(database: Database, command_id: str, at: datetime) -> str:
    """Two events in two streams and a message, once, however often it is asked."""
    with database.writing() as connection:
        answer = commands.answered(connection, command_id, "two concerns")
        if answer is not None:
            return answer.result_json
        concern = ConcernRaised(notice="n", by="U1", handle="@ana", text=command_id)
        entries = [Entry(stream="surface:all", event=concern), Entry(stream=f"surface:{command_id}", event=concern)]
        recorded = event_log.append(connection, entries, command_id=command_id, actor="cli:test", at=at, recorded_at=at)
        first, last = recorded[0].position, recorded[-1].position
        outbox.enqueue(
            connection,
            kind="slack",
            ordering_key="C1",
            idempotency_key=command_id,
            request={"text": command_id},
            due_at=at,
            position=last,
        )
        result = f'{{"first":{first}}}'
        commands.remember(connection, command_id, "two concerns", first, last, result, at)
        return result


def main() -> None:
    url, prefix, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with connect(url) as database:
        for number in range(first, first + count):
            carry_out(database, f"{prefix}-{number}", NOON + timedelta(seconds=number))
            print(f"{prefix}-{number}", flush=True)


if __name__ == "__main__":
    main()
