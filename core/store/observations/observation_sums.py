"""Stored sums of observations per stage, arm, segment and metric, in 256 buckets of units: adding to them, reading."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from core.judging.model.evidence import (
    CANARY,
    CONTROL,
    EVERYONE,
    REQUESTS,
    BucketSums,
    CellKey,
    EvidenceSums,
    hash_into_bucket,
)
from core.store.database.driver import fetch_all
from core.store.database.row_source import build_row_source, upsert_rows
from core.store.models import cell, exposure_count
from core.store.observations import pulled_sums
from core.store.observations.cell_bytes import pack_bins, pack_sums, unpack_bins, unpack_sums
from core.store.observations.observation_batch import (
    BatchCollector,
    PlacedObservation,
    StoredCell,
    SummedCells,
    UnitExposure,
    collect_names,
)
from core.store.observations.segment_names import SegmentVocabulary
from core.store.observations.unit_caps import UnitCaps

_ROWS = 100
_MOVED_ARM = "moved"
"""Stored in place of an arm: how many more units were last seen in the canary than were first seen there."""
_ASKED_FIRST = "WHERE rollout = in_rollout AND stage = in_stage"
"""After a CROSS JOIN: each row that is asked for is then found by its key. For `(a, b) IN (VALUES …)` SQLite would read
the whole table."""
_UNIT_TYPES = ("text", "int", "bigint", "text", "text")
_KEY_TYPES = ("text", "int", "text", "text", "text")

_T = TypeVar("_T")


def add_observations(
    connection: Connection,
    observations: Sequence[PlacedObservation],
    vocabulary: SegmentVocabulary | None = None,
    unit_caps: UnitCaps | None = None,
) -> None:
    """Add observations to their cells, in a writing transaction; safe with other processes doing the same.

    Larger batches are much cheaper per observation, as each touched cell is rewritten once per call. A `vocabulary`
    kept between calls saves queries for the known segments. With `unit_caps`, observations beyond a unit's cap are only
    counted in the cell `SET_ASIDE`, which takes no part in verdicts.
    """
    observations = _drop_earlier_cohorts(connection, observations)
    lock_rollouts(connection, {each.rollout for each in observations})
    segments = vocabulary or SegmentVocabulary()
    segments.register_names(connection, collect_names(observations))
    batch = BatchCollector(segments)
    counted = unit_caps.admit(observations) if unit_caps is not None else [True] * len(observations)
    for each, counts in zip(observations, counted, strict=True):
        if counts:
            batch.add(each)
        else:
            batch.set_aside(each)
    _add_cells(connection, batch.sum_cells())
    _add_exposures(connection, batch.exposed)


def count_requests(connection: Connection, rollout: str, stages: Collection[int]) -> dict[str, float]:
    """The requests of both arms in some stages, by segment; those of everyone are under `EVERYONE`."""
    wanted = select(cell.c.stage, cell.c.segment, cell.c.buckets).where(
        cell.c.rollout == rollout, cell.c.metric == REQUESTS, cell.c.arm.in_((CANARY, CONTROL))
    )
    counted: dict[str, float] = {}
    for stage, segment, buckets in connection.execute(wanted):
        if stage in stages:
            counted[segment] = counted.get(segment, 0.0) + float(unpack_sums(buckets)[0].sum())
    return counted


def count_flaws(connection: Connection, rollout: str, stage: int, flaws: Collection[str]) -> dict[str, Counter[str]]:
    """How often each of these flaws of reports came in a stage, by arm; only for arms without any request there."""
    wanted = select(cell.c.arm, cell.c.metric, cell.c.buckets).where(
        cell.c.rollout == rollout,
        cell.c.stage == stage,
        cell.c.segment == EVERYONE,
        cell.c.arm.in_((CANARY, CONTROL)),
        cell.c.metric.in_((REQUESTS, *flaws)),
    )
    found: dict[str, Counter[str]] = {}
    for arm, metric, buckets in connection.execute(wanted):
        found.setdefault(arm, Counter())[metric] += round(float(unpack_sums(buckets)[1].sum()))
    return {arm: counted for arm, counted in found.items() if REQUESTS not in counted}


def load_sums(connection: Connection, rollout: str, *, segments: bool = True) -> EvidenceSums:
    """The sums of a rollout so far, pushed and pulled, cumulative within each stage; with `segments=False` only the
    overall cells."""
    cells: dict[CellKey, BucketSums] = {}
    histograms: dict[CellKey, Mapping[int, int]] = {}
    wanted, parameters = "SELECT stage, arm, segment, metric, buckets, histogram FROM cell WHERE rollout = ?", [rollout]
    if not segments:
        wanted, parameters = f"{wanted} AND segment = ?", [rollout, EVERYONE]
    for stage, arm, segment, metric, buckets, histogram in fetch_all(connection, wanted, parameters):
        key = CellKey(stage=stage, arm=arm, segment=segment, metric=metric)
        weight, value = unpack_sums(buckets)
        cells[key] = BucketSums(weight=weight, value=value)
        if histogram is not None:
            histograms[key] = unpack_bins(histogram)
    counted = select(exposure_count).where(exposure_count.c.rollout == rollout)
    units = {(row.stage, row.arm): row.units for row in connection.execute(counted)}
    pushed = EvidenceSums(
        cells=cells,
        histograms=histograms,
        first_exposures={key: number for key, number in units.items() if key[1] != _MOVED_ARM},
        moved={stage: number for (stage, arm), number in units.items() if arm == _MOVED_ARM},
    )
    return pulled_sums.add_pulled(connection, rollout, pushed, segments=segments)


def _drop_earlier_cohorts(
    connection: Connection, observations: Sequence[PlacedObservation]
) -> Sequence[PlacedObservation]:
    """Drop observations of units that an earlier cohort's stage has compared already.

    Both arms of that stage have met the new version or were selected for it, so the arms of this stage would no longer
    be comparable.
    """
    asked = sorted(
        {
            (each.rollout, stage, hash_into_bucket(each.rollout, each.unit)[1])
            for each in observations
            for stage in each.earlier_cohorts
        }
    )
    if not asked:
        return observations
    known: set[tuple[str, int]] = set()
    for units in _split_chunks(asked, _ROWS * 5):
        wanted, parameters = build_row_source(connection, ("text", "int", "bigint"), units)
        rows = fetch_all(
            connection,
            f"WITH asked (in_rollout, in_stage, asked_unit) AS ({wanted})"  # noqa: S608
            f" SELECT rollout, unit_hash FROM asked CROSS JOIN exposure {_ASKED_FIRST}"
            " AND unit_hash = asked_unit",
            parameters,
        )
        known.update((row[0], row[1]) for row in rows)
    return [
        each
        for each in observations
        if not each.earlier_cohorts or (each.rollout, hash_into_bucket(each.rollout, each.unit)[1]) not in known
    ]


def lock_rollouts(connection: Connection, rollouts: Iterable[str]) -> None:
    """On Postgres, let one transaction per rollout add at a time; locks in a fixed order, to avoid deadlocks."""
    if connection.dialect.name == "postgresql":
        locks = sorted(int.from_bytes(sha256(each.encode()).digest()[:4], "big", signed=True) for each in rollouts)
        for lock in locks:
            fetch_all(connection, "SELECT 1 FROM (SELECT pg_advisory_xact_lock(1, ?)) AS turn", (lock,))


def load_arms_seen(connection: Connection, rollout: str, unit: str) -> Mapping[int, str]:
    """The arm in which observations of `unit` were last counted, by stage. Stages without any are left out."""
    found = fetch_all(
        connection,
        "SELECT stage, arm FROM exposure WHERE rollout = ? AND unit_hash = ?",
        (rollout, hash_into_bucket(rollout, unit)[1]),
    )
    return {row[0]: row[1] for row in found}


def _add_cells(connection: Connection, summed: SummedCells) -> None:
    """Add what was summed to the stored sums and histograms of its cells."""
    for keys in _split_chunks(sorted(summed.numbers), _ROWS):
        stored = _load_cells(connection, keys)
        rows: list[tuple[Any, ...]] = []
        for key in keys:
            added, histogram = summed.sums[summed.numbers[key]], summed.histograms.get(key)
            if key in stored:
                buckets, counted = stored[key]
                added = added + unpack_sums(buckets)
                if histogram is not None and counted is not None:
                    histogram = Counter(histogram) + Counter(unpack_bins(counted))
            rows.append((*key, pack_sums(added), pack_bins(histogram)))
        upsert_rows(
            connection,
            "cell (rollout, stage, arm, segment, metric, buckets, histogram)",
            (*_KEY_TYPES, "bytea", "bytea"),
            rows,
            "ON CONFLICT (rollout, stage, arm, segment, metric)"
            " DO UPDATE SET buckets = excluded.buckets, histogram = excluded.histogram RETURNING 1",
        )


def _load_cells(connection: Connection, keys: Sequence[StoredCell]) -> dict[StoredCell, tuple[bytes, bytes | None]]:
    wanted, parameters = build_row_source(connection, _KEY_TYPES, keys)
    rows = fetch_all(
        connection,
        f"WITH asked (in_rollout, in_stage, of_arm, of_segment, of_metric) AS ({wanted})"  # noqa: S608
        " SELECT rollout, stage, arm, segment, metric, buckets, histogram"
        f" FROM asked CROSS JOIN cell {_ASKED_FIRST} AND arm = of_arm AND segment = of_segment AND metric = of_metric",
        parameters,
    )
    return {(row[0], row[1], row[2], row[3], row[4]): (row[5], row[6]) for row in rows}


def _add_exposures(connection: Connection, exposed: Mapping[tuple[str, int, int], UnitExposure]) -> None:
    """Count the units exposed for the first time, and those that have changed arms since."""
    counts: Counter[tuple[str, int, str]] = Counter()
    for units in _split_chunks(sorted(exposed), _ROWS * 5):
        fresh = upsert_rows(
            connection,
            "exposure (rollout, stage, unit_hash, arm, counted_arm)",
            _UNIT_TYPES,
            [(*unit, exposed[unit].arm, exposed[unit].counted_arm) for unit in units],
            "ON CONFLICT DO NOTHING RETURNING rollout, stage, unit_hash",
        )
        counted_before = {
            (rollout, stage, unit): exposed[rollout, stage, unit].first_counted_arm for rollout, stage, unit in fresh
        }
        counts.update((rollout, stage, arm) for (rollout, stage, _), arm in counted_before.items())
        known = [(*unit, exposed[unit].arm, exposed[unit].counted_arm) for unit in units if unit not in counted_before]
        counted_before.update(_update_exposures(connection, known))
        for unit, before in counted_before.items():
            if before != exposed[unit].counted_arm:
                counts[unit[0], unit[1], _MOVED_ARM] += 1 if exposed[unit].counted_arm == CANARY else -1
    if counts:
        upsert_rows(
            connection,
            "exposure_count (rollout, stage, arm, units)",
            ("text", "int", "text", "bigint"),
            [(*key, counts[key]) for key in sorted(counts)],
            "ON CONFLICT (rollout, stage, arm) DO UPDATE SET units = exposure_count.units + excluded.units RETURNING 1",
        )


def _update_exposures(
    connection: Connection, units: Sequence[tuple[str, int, int, str, str]]
) -> dict[tuple[str, int, int], str]:
    """Update the arms of known units that have changed; of these, the arm in which each counted before."""
    if not units:
        return {}
    listed, parameters = build_row_source(connection, _UNIT_TYPES, units)
    seen = f"WITH seen (of_rollout, of_stage, of_unit, new_arm, new_counted) AS ({listed})"
    same = "(rollout, stage, unit_hash) = (of_rollout, of_stage, of_unit)"
    changed = "(arm <> new_arm OR coalesce(counted_arm, arm) <> new_counted)"
    before = fetch_all(
        connection,
        f"{seen} SELECT rollout, stage, unit_hash, coalesce(counted_arm, arm)"  # noqa: S608
        f" FROM seen CROSS JOIN exposure WHERE {same} AND {changed}",
        parameters,
    )
    if before:
        fetch_all(
            connection,
            f"{seen} UPDATE exposure SET arm = new_arm, counted_arm = new_counted FROM seen"  # noqa: S608
            f" WHERE {same} AND {changed} RETURNING 1",
            parameters,
        )
    return {(rollout, stage, unit): counted_arm for rollout, stage, unit, counted_arm in before}


def _split_chunks(items: Sequence[_T], size: int) -> Iterable[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
