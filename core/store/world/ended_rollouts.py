"""Ended rollouts that are no longer in memory: each is folded from its own stream on request."""

from sqlalchemy import Connection
from sqlmodel import col, func, select

from core.rollout.state.events import RolloutEvent, rollout_stream
from core.rollout.state.evolve import evolve
from core.rollout.state.model import Rollout
from core.store.database.connections import Database
from core.store.log import event_log
from core.store.models import RolloutRow, read_all


class ArchivedRollouts:
    """The source of archived rollouts of a `World`. Each call is a query."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_rollout(self, rollout_id: str, position: int) -> Rollout | None:
        """The rollout as of the event at `position`; None if there is none with that id."""
        with self._database.reading() as connection:
            return fold_rollout(connection, rollout_id, position)

    def find_named(self, name: str, position: int) -> Rollout | None:
        """The newest rollout with that name, as of the event at `position`; None if there is none."""
        with self._database.reading() as connection:
            named = select(RolloutRow.id).where(RolloutRow.name == name)
            newest = named.order_by(func.length(RolloutRow.id).desc(), col(RolloutRow.id).desc()).limit(1)
            found = read_all(connection, newest)
        return self.find_rollout(found[0], position) if found else None


def fold_rollout(connection: Connection, rollout_id: str, position: int | None = None) -> Rollout | None:
    """A rollout as of the event at `position` (default: the newest); None if there is none with that id."""
    found: Rollout | None = None
    for one in event_log.read_stream(connection, rollout_stream(rollout_id)):
        if (position is None or one.position <= position) and isinstance(one.event, RolloutEvent):
            found = evolve(found, one.event, one.at)
    return found
