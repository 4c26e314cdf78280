"""The eventsourcing library: appends of its recorder alone and of its application API, and loading one aggregate from
all its events. Runs in .venv-peers.

Arguments: "sqlite" and a file, or "postgres" and a connection string.
"""

import json
import os
import sys
import time
from itertools import count
from uuid import uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import StoredEvent


class Rollout(Aggregate):
    """Something whose changes are remembered."""

    @event("Started")
    def __init__(self) -> None:
        self.reason = ""

    @event("Paused")
    def pause(self, reason: str) -> None:
        """One change."""
        self.reason = reason


def main(kind: str, where: str) -> None:
    """Answer each line (`what`, `times`, `payload`) with the seconds it took."""
    os.environ.update(_environment(kind, where))
    application: Application = Application()
    rollout = Rollout()
    application.save(rollout)
    originator, versions = uuid4(), count(1)
    for line in sys.stdin:
        asked = json.loads(line)
        payload = asked["payload"]
        state = json.dumps({"reason": payload}).encode()
        began = time.perf_counter()
        for _ in range(asked["times"]):
            if asked["what"] == "recorder":
                one = StoredEvent(
                    originator_id=originator, originator_version=next(versions), topic="bench:Paused", state=state
                )
                application.recorder.insert_events([one])
            elif asked["what"] == "load":
                application.repository.get(rollout.id)
            else:
                rollout.pause(payload)
                application.save(rollout)
        print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)
    application.close()


def _environment(kind: str, where: str) -> dict[str, str]:
    if kind == "sqlite":
        return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": where}
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(where)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(parts["dbname"]),
        "POSTGRES_HOST": str(parts["host"]),
        "POSTGRES_PORT": str(parts.get("port", "5432")),
        "POSTGRES_USER": str(parts["user"]),
        "POSTGRES_PASSWORD": str(parts.get("password", "unused")),
    }


main(*sys.argv[1:])
