"""What is read of the log and its observations: the world, histories, which units were served, what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from core.judging import record
from core.reviews import measure_baseline
from core.rollout.plans.baseline import SurfaceBaseline
from core.rollout.serving import assignment_history
from core.rollout.state import events as e
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.surface import build_unknown_surface
from core.rollout.state.world import World
from core.store.database.connections import Database
from core.store.log import event_log
from core.store.log.event_log import StoredEvent
from core.store.observations import looks, observation_sums
from core.store.units import served_units
from core.store.world import rollout_rows
from core.store.world.world_cache import WorldCache

MAX_BASELINE_LOOKS = 5000
"""Looks that are read for the complaints by hour; of more than that, evenly spaced ones."""


class RolloutReader:
    """Reads rollouts and surfaces from one database, and changes nothing. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.world_cache = WorldCache(database)

    def load_world(self) -> World:
        """The current world, read from the log (one query)."""
        return self.world_cache.refresh()

    def cached_world(self) -> World:
        """The world as this process knows it, from memory."""
        return self.world_cache.cached_world()

    def load_history(self, rollout: str) -> tuple[StoredEvent, ...]:
        """Every event of one rollout, in order; NotFound if there is none."""
        with self.database.reading() as connection:
            recorded = event_log.read_stream(connection, e.rollout_stream(rollout))
        if not recorded:
            raise self.load_world().build_unknown_rollout(rollout)
        return recorded

    def load_assignment_events(self, surface: str, since: datetime, until: datetime) -> tuple[StoredEvent, ...]:
        """The events, in order, that say what a surface served from `since` to `until`.

        These are all of the surface and the deciding ones of the rollouts that were under way in that time.
        """
        with self.database.reading() as connection:
            rollouts = rollout_rows.find_under_way_ids(connection, surface, since, until)
            found = list(event_log.read_stream(connection, e.surface_stream(surface)))
            kinds = tuple(each.TYPE for each in assignment_history.DECIDING_EVENTS)
            for rollout in rollouts:
                found += event_log.read_stream(connection, e.rollout_stream(rollout), types=kinds)
        return tuple(sorted(found, key=lambda one: one.position))

    def load_arms_seen(self, rollout: str, unit: str) -> Mapping[int, str]:
        """The arm in which observations of `unit` were counted in this rollout, by stage."""
        with self.database.reading() as connection:
            return observation_sums.load_arms_seen(connection, rollout, unit)

    def load_surface_history(self, surface: str) -> tuple[StoredEvent, ...]:
        """Every event of one surface, in order; NotFound if there is none."""
        with self.database.reading() as connection:
            recorded = event_log.read_stream(connection, e.surface_stream(surface))
        if not recorded:
            raise build_unknown_surface(surface, self.load_world().surfaces)
        return recorded

    def load_entries(self, rollout: str, *, types: Sequence[str] = ()) -> tuple[HistoryEntry, ...]:
        """The history of one rollout for the pure packages, in order; with `types`, only these events."""
        with self.database.reading() as connection:
            recorded = event_log.read_stream(connection, e.rollout_stream(rollout), types=types)
        return tuple(
            HistoryEntry(position=one.position, at=one.at, actor=one.actor, event=one.event)
            for one in recorded
            if isinstance(one.event, e.RolloutEvent)
        )

    def load_baseline(self, world: World, rollout: Rollout) -> SurfaceBaseline | None:
        """What a rollout measured of the version that is live now; None if that is too little or not the live one."""
        with self.database.reading() as connection:
            sums = observation_sums.load_sums(connection, rollout.id)
            kept = looks.load_thinned(connection, rollout.id, MAX_BASELINE_LOOKS)
        seen = (record.load_recorded_look(one.look_json).look for one in kept)
        return measure_baseline.measure_baseline(rollout, sums, seen, world.surfaces[rollout.plan.surface].live)

    def load_served_units(
        self, rollout: str, *, limit: int, offset: int
    ) -> tuple[int, Sequence[served_units.ServedUnit]]:
        """(how many units are on record as served the new version, a page of them)."""
        with self.database.reading() as connection:
            total = served_units.count(connection, rollout)
            return total, served_units.load_page(connection, rollout, limit=limit, offset=offset) if total else ()

    def iterate_served_units(self, rollout: str) -> Iterator[served_units.ServedUnit]:
        """Every unit on record as served the new version."""
        with self.database.reading() as connection:
            yield from served_units.load_all(connection, rollout)

    def load_newest_rollouts(
        self, limit: int, *, before: str = "", state: RolloutState | None = None, surface: str | None = None
    ) -> tuple[Rollout, ...]:
        """At most `limit` rollouts, newest first, optionally only those planned before the rollout `before`."""
        world = self.load_world()
        with self.database.reading() as connection:
            found = rollout_rows.find_newest_ids(connection, limit, before=before, state=state, surface=surface)
        return tuple(rollout for one in found if (rollout := world.find_rollout(one)) is not None)
