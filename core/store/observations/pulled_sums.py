"""Sums that sources computed of their own rows: stored by source, replaced by stage, read beside what was pushed."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, insert, select

from core.judging.model.evidence import (
    BUCKETS,
    CATEGORY_PREFIX,
    EVERYONE,
    REQUESTS,
    BucketSums,
    CellKey,
    EvidenceSums,
    UnreadSource,
    is_exceedance_cell,
)
from core.metrics.catalogue import CATALOGUE
from core.store.models import insert_into, pulled_cell, pulled_exposure_count, source_pull
from core.store.observations.cell_bytes import pack_bins, pack_sums, unpack_bins, unpack_sums

MOVED = "moved"
"""Stored in place of an arm, as in `exposure_count`."""
SET_ASIDE = "set_aside"
_ROUNDING = 1e-9  # of a sum, relative: the same rows in another order


class RowsChanged(Exception):
    """Rows that were counted, and that looks may have judged, have changed or gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledSums:
    """What one pull summed of some stages. Cells are of shape (2, BUCKETS): weights, then values."""

    stages: frozenset[int]
    cells: Mapping[CellKey, NDArray[np.float64]]
    histograms: Mapping[CellKey, Mapping[int, int]] = field(default_factory=dict)
    units: Mapping[tuple[int, str], int] = field(default_factory=dict)  # by (stage, arm of the first exposure)
    moved: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownErrorText:
    """The name of the kind of error that a text tells, which rows from `since` on have; None for all rows."""

    name: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullMemory:
    """What a pull has to know of those before, so that no row changes its place later.

    `unit_caps` are by stage how many rows of one unit count, `names` by dimension the values that have a name,
    `cut_from` by metric the moment from which its readings are cut. `counters` are by series of a Prometheus its newest
    sample: (seconds since 1970, value). `error_texts` are by hash the texts of errors that are counted by name.
    """

    unit_caps: Mapping[int, int] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cut_from: Mapping[str, datetime] = field(default_factory=dict)
    counters: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    error_texts: Mapping[str, KnownErrorText] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullState:
    """How the pulls of a source for a rollout have gone so far."""

    memory: PullMemory = field(default_factory=PullMemory)
    pulled_at: datetime | None = None
    upto: datetime | None = None
    newest_row: datetime | None = None
    read_rows: int = 0
    counted_rows: int = 0
    failing_since: datetime | None = None
    holds_from: datetime | None = None
    failure: str = ""


def load_state(connection: Connection, rollout: str, source: str) -> PullState:
    """How the pulls have gone; the state before the first one if there was none."""
    row = connection.execute(
        select(source_pull).where(source_pull.c.rollout == rollout, source_pull.c.source == source)
    ).first()
    return PullState() if row is None else _parse_state(row._asdict())


def load_states(connection: Connection, rollout: str) -> Mapping[str, PullState]:
    """How the pulls of all sources of a rollout have gone, by source."""
    rows = connection.execute(
        select(source_pull).where(source_pull.c.rollout == rollout).order_by(source_pull.c.source)
    )
    return {row.source: _parse_state(row._asdict()) for row in rows}


def save_state(connection: Connection, rollout: str, source: str, metrics: Collection[str], state: PullState) -> None:
    """Store how the newest pull went, in a writing transaction."""
    memory = {
        "unit_caps": {str(stage): cap for stage, cap in sorted(state.memory.unit_caps.items())},
        "names": {name: list(values) for name, values in sorted(state.memory.names.items())},
        "cut_from": {metric: at.isoformat() for metric, at in sorted(state.memory.cut_from.items())},
        **({"counters": state.memory.counters} if state.memory.counters else {}),
        **({"error_texts": texts} if (texts := _format_error_texts(state.memory)) else {}),
    }
    values = {
        "metrics": json.dumps(sorted(metrics)),
        "memory": json.dumps(memory),
        "pulled_at": state.pulled_at,
        "upto": state.upto,
        "newest_row": state.newest_row,
        "read_rows": state.read_rows,
        "counted_rows": state.counted_rows,
        "failing_since": state.failing_since,
        "holds_from": state.holds_from,
        "failure": state.failure,
    }
    statement = insert_into(connection, source_pull).values(rollout=rollout, source=source, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["rollout", "source"], set_=values))


def replace_stages(connection: Connection, rollout: str, source: str, sums: PulledSums) -> None:
    """Store these sums in place of what the source had for their stages, in a writing transaction.

    Raises RowsChanged, and stores nothing, if a row that was counted before is not in them: looks take what is new
    since the last one, so sums may only grow.
    """
    known = {key: buckets for key, buckets, _ in _load_cells(connection, rollout, source, sums.stages)}
    for key in sorted(known):
        _assert_grown(key, known[key], sums)
    here = (pulled_cell.c.rollout == rollout, pulled_cell.c.source == source, pulled_cell.c.stage.in_(sums.stages))
    connection.execute(delete(pulled_cell).where(*here))
    rows = [
        {
            "rollout": rollout,
            "source": source,
            "stage": key.stage,
            "arm": key.arm,
            "segment": key.segment,
            "metric": key.metric,
            "buckets": pack_sums(sums.cells[key]),
            "histogram": pack_bins(bins) if (bins := sums.histograms.get(key)) else None,
        }
        for key in sorted(sums.cells)
    ]
    if rows:
        connection.execute(insert(pulled_cell), rows)
    counted = pulled_exposure_count
    connection.execute(
        delete(counted).where(
            counted.c.rollout == rollout, counted.c.source == source, counted.c.stage.in_(sums.stages)
        )
    )
    units = {**sums.units, **{(stage, MOVED): number for stage, number in sums.moved.items() if number}}
    if units:
        connection.execute(
            insert(counted),
            [
                {"rollout": rollout, "source": source, "stage": stage, "arm": arm, "units": number}
                for (stage, arm), number in sorted(units.items())
            ],
        )


def add_cells(connection: Connection, rollout: str, source: str, more: Mapping[CellKey, NDArray[np.float64]]) -> None:
    """Add these sums, of shape (2, BUCKETS), to what the source has for their cells, in a writing transaction."""
    stages = {key.stage for key in more}
    known = {key: buckets for key, buckets, _ in _load_cells(connection, rollout, source, stages)}
    for key in sorted(more):
        values = {"buckets": pack_sums(more[key] + known.get(key, 0.0))}
        place = {"rollout": rollout, "source": source, "stage": key.stage, "arm": key.arm}
        statement = insert_into(connection, pulled_cell).values(
            **place, segment=key.segment, metric=key.metric, histogram=None, **values
        )
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["rollout", "source", "stage", "arm", "segment", "metric"], set_=values
            )
        )


def add_pulled(connection: Connection, rollout: str, pushed: EvidenceSums, *, segments: bool) -> EvidenceSums:
    """What was pushed together with what was pulled, which never counts the same metric of a surface."""
    states = load_states(connection, rollout)
    if not states:
        return pushed
    cells, histograms = dict(pushed.cells), dict(pushed.histograms)
    for source in states:
        for key, buckets, bins in _load_cells(connection, rollout, source, None, segments=segments):
            there = cells.get(key)
            weight, value = buckets if there is None else (buckets[0] + there.weight, buckets[1] + there.value)
            cells[key] = BucketSums(weight=weight, value=value)
            if bins is not None:
                histograms[key] = dict(Counter(bins) + Counter(histograms.get(key, {})))
    first, moved = Counter(pushed.first_exposures), dict(pushed.moved)
    wanted = select(pulled_exposure_count).where(pulled_exposure_count.c.rollout == rollout)
    for row in connection.execute(wanted):
        if row.arm == MOVED:
            moved[row.stage] = moved.get(row.stage, 0) + row.units
        else:
            first[row.stage, row.arm] += row.units
    return EvidenceSums(
        cells=cells,
        histograms=histograms,
        first_exposures=dict(first),
        moved=moved,
        unread=tuple(_list_unread(connection, rollout)),
    )


def _list_unread(connection: Connection, rollout: str) -> Iterator[UnreadSource]:
    failing = select(source_pull).where(source_pull.c.rollout == rollout, source_pull.c.failing_since.is_not(None))
    for row in connection.execute(failing.order_by(source_pull.c.source)):
        since = row.pulled_at or row.failing_since
        yield UnreadSource(
            source=row.source,
            metrics=tuple(json.loads(row.metrics)),
            why=row.failure,
            since=since,
            holds_from=row.holds_from or row.failing_since,
        )


def _format_error_texts(memory: PullMemory) -> Mapping[str, tuple[str, str | None]]:
    return {
        digits: (one.name, one.since.isoformat() if one.since else None)
        for digits, one in sorted(memory.error_texts.items())
    }


def _parse_state(row: Mapping[str, Any]) -> PullState:
    kept = json.loads(row["memory"])
    memory = PullMemory(
        unit_caps={int(stage): cap for stage, cap in kept["unit_caps"].items()},
        names={name: tuple(values) for name, values in kept["names"].items()},
        cut_from={metric: datetime.fromisoformat(at) for metric, at in kept["cut_from"].items()},
        counters={series: (at, value) for series, (at, value) in kept.get("counters", {}).items()},
        error_texts={
            digits: KnownErrorText(name=name, since=datetime.fromisoformat(since) if since else None)
            for digits, (name, since) in kept.get("error_texts", {}).items()
        },
    )
    others = {key: value for key, value in row.items() if key not in ("rollout", "source", "metrics", "memory")}
    return PullState(memory=memory, **others)


def _load_cells(
    connection: Connection, rollout: str, source: str, stages: Collection[int] | None, *, segments: bool = True
) -> Iterator[tuple[CellKey, NDArray[np.float64], Mapping[int, int] | None]]:
    wanted = select(pulled_cell).where(pulled_cell.c.rollout == rollout, pulled_cell.c.source == source)
    if stages is not None:
        wanted = wanted.where(pulled_cell.c.stage.in_(stages))
    if not segments:
        wanted = wanted.where(pulled_cell.c.segment == EVERYONE)
    for row in connection.execute(wanted):
        key = CellKey(stage=row.stage, arm=row.arm, segment=row.segment, metric=row.metric)
        yield key, unpack_sums(row.buckets), unpack_bins(row.histogram) if row.histogram is not None else None


def _assert_grown(key: CellKey, before: NDArray[np.float64], sums: PulledSums) -> None:
    """RowsChanged unless the sums of a cell only grew. Buckets with a unit at its cap are left out: there a row that
    came late takes the place of another."""
    if key.metric == SET_ASIDE:
        return
    now = sums.cells.get(key, np.zeros((2, BUCKETS)))
    aside = sums.cells.get(CellKey(stage=key.stage, arm=key.arm, segment=EVERYONE, metric=SET_ASIDE))
    checked = np.ones(BUCKETS, bool) if aside is None else aside[0] == 0
    more, sum_grown = now[0] - before[0], now[1] - before[1]
    slack = _ROUNDING * (np.abs(now[1]) + np.abs(before[1]))
    changed = (more < 0) | ((more == 0) & (np.abs(sum_grown) > slack)) | (sum_grown < -slack)
    if _counts_events(key.metric):
        changed |= sum_grown > more + slack
    if (changed & checked).any():
        what = f"{key.metric} of the {'new' if key.arm == 'canary' else 'current'} version"
        where = f" in {key.segment}" if key.segment != EVERYONE else ""
        raise RowsChanged(
            f"rows that were counted have changed or gone: {what}{where} had {before[0].sum():,.0f} readings in stage "
            f"{key.stage} and now has {now[0].sum():,.0f}"
        )


def _counts_events(metric: str) -> bool:
    """Whether every reading of a cell lies between 0 and 1."""
    if metric == REQUESTS or metric.startswith(CATEGORY_PREFIX) or is_exceedance_cell(metric):
        return True
    return metric in CATALOGUE and CATALOGUE[metric].is_binary
