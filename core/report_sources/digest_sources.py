"""Digests read from the store: of a week, and a year of them as a table."""

from datetime import datetime
from typing import cast

from sqlalchemy import Connection

from core.digests.compute_digest import REVIEWS_LOOK_BACK, build_digest
from core.digests.digest import Digest, ToldShutdown
from core.digests.rollout_facts import FACT_EVENTS, Occurrence, RolloutFacts, collect_facts
from core.digests.week import Week, parse_week
from core.digests.year import WEEKS_PER_YEAR, WeekRow, build_year
from core.rollout.models.called_model import format_model, is_same_model
from core.rollout.state import events as e
from core.rollout.state.surface import (
    LiveMoved,
    RetirementTold,
    Surface,
    SurfaceDeclared,
    SurfaceEvent,
    VersionNamed,
    evolve,
)
from core.service.service import RolloutService
from core.store.log import event_log
from core.store.world import rollout_rows

_FACTS = tuple(kind.TYPE for kind in FACT_EVENTS)
_SURFACE = (SurfaceDeclared.TYPE, VersionNamed.TYPE, LiveMoved.TYPE, RetirementTold.TYPE)
_FACTS_AND_EVIDENCE = (*_FACTS, e.EvidenceRecorded.TYPE)


def load_digest(service: RolloutService, week: Week, now: datetime) -> Digest:
    """The digest of a week: up to its end, or up to `now` while it lasts."""
    until = min(week.ends, now)
    facts = _load_facts(service, week, week.begins - REVIEWS_LOOK_BACK, until)
    surfaces, told = _load_shutdowns(service, until)
    return build_digest(week, facts, until, told, surfaces)


def load_newest_digest(service: RolloutService, now: datetime, zone: str) -> Digest:
    """The digest of the last full week; of this week so far where nothing happened in that one, but in this one."""
    last = load_digest(service, parse_week("last", now, zone), now)
    if not last.is_empty:
        return last
    this = load_digest(service, parse_week("this", now, zone), now)
    return last if this.is_empty else this


def load_year(service: RolloutService, last: Week, now: datetime) -> tuple[WeekRow, ...]:
    """A row for each of the 52 weeks up to `last`, oldest first."""
    first = last.shift(1 - WEEKS_PER_YEAR)
    return build_year(last, _load_facts(service, None, first.begins, min(last.ends, now)))


def _load_shutdowns(service: RolloutService, until: datetime) -> tuple[dict[str, Surface], tuple[ToldShutdown, ...]]:
    """The surfaces that were told of models that are switched off, as of `until`; and what they were told of those that
    their live versions call then, oldest first."""
    surfaces: dict[str, Surface] = {}
    told: list[ToldShutdown] = []
    with service.database.reading() as connection:
        for surface in service.cached_world().surfaces.values():
            if surface.retirements:
                then, known = _load_shutdowns_of(connection, surface.name, until)
                told += known
                surfaces |= {surface.name: then} if then is not None else {}
    return surfaces, tuple(sorted(told, key=lambda one: one.told.position))


def _load_shutdowns_of(connection: Connection, name: str, until: datetime) -> tuple[Surface | None, list[ToldShutdown]]:
    """One surface as of then, and what it was told of the model of its live version."""
    surface: Surface | None = None
    told: list[ToldShutdown] = []
    for one in event_log.read_stream(connection, e.surface_stream(name), types=_SURFACE):
        if one.at >= until:
            break
        event = cast(SurfaceEvent, one.event)
        surface = evolve(surface, event)
        if isinstance(event, RetirementTold):
            told.append(
                ToldShutdown(
                    surface=name,
                    model=event.model,
                    on=event.on,
                    replacement=event.replacement,
                    told=Occurrence(position=one.position, at=one.at),
                )
            )
    if surface is None:
        return None, []
    return surface, [one for one in told if is_same_model(format_model(surface.live_content), one.model)]


def _load_facts(
    service: RolloutService, week: Week | None, since: datetime, until: datetime
) -> tuple[RolloutFacts, ...]:
    """The facts before `until` of every rollout that was open since `since`; with expectations of what ended in
    `week`."""
    with service.database.reading() as connection:
        open_since = rollout_rows.find_open_ids(connection, since, until)
        ended_since = set(rollout_rows.find_open_ids(connection, week.begins, until)) if week is not None else set()
    found = []
    for rollout in open_since:
        types = _FACTS_AND_EVIDENCE if rollout in ended_since else _FACTS
        facts = collect_facts(rollout, service.load_entries(rollout, types=types), until)
        if facts is not None:
            found.append(facts)
    return tuple(found)
