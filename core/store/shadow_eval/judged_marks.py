"""The cells of a judge's metrics as they were while it was trusted, and how cells are taken back to that."""

from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np
from sqlalchemy import Connection, Table, select, update

from core.judging.look.judged_cells import is_judged_cell
from core.judging.model.evidence import BUCKETS, EVERYONE, BucketSums, CellKey, EvidenceSums
from core.store.models import cell, insert_into, marked_cell
from core.store.observations import observation_sums
from core.store.observations.cell_bytes import pack_bins, pack_sums, unpack_bins, unpack_sums

_ROWS = 100


def load_mark(connection: Connection, rollout: str) -> EvidenceSums:
    """The marked cells of a rollout; none before its judge was trusted for the first time."""
    return _read(connection, marked_cell, rollout, None)


def save_mark(connection: Connection, rollout: str, sums: EvidenceSums, metrics: Collection[str]) -> None:
    """Mark the cells of these metrics as trusted as they are in `sums`, in a writing transaction."""
    rows = [
        {
            "rollout": rollout,
            "stage": key.stage,
            "arm": key.arm,
            "segment": key.segment,
            "metric": key.metric,
            "buckets": pack_sums(np.stack([found.weight, found.value])),
            "histogram": pack_bins(sums.histograms.get(key)),
        }
        for key, found in sorted(sums.cells.items(), key=lambda one: one[0])
        if is_judged_cell(key.metric, metrics)
    ]
    for begin in range(0, len(rows), _ROWS):
        added = insert_into(connection, marked_cell).values(rows[begin : begin + _ROWS])
        connection.execute(
            added.on_conflict_do_update(
                index_elements=["rollout", "stage", "arm", "segment", "metric"],
                set_={"buckets": added.excluded.buckets, "histogram": added.excluded.histogram},
            )
        )


def set_aside(connection: Connection, rollout: str, metrics: Collection[str]) -> None:
    """Take the cells of these metrics back to what was marked, in a writing transaction.

    Cells that were not there yet become empty: the program's role may not delete any.
    """
    observation_sums.lock_rollouts(connection, {rollout})
    marked = load_mark(connection, rollout)
    for key in _read(connection, cell, rollout, metrics).cells:
        trusted = marked.cells.get(key)
        buckets = np.zeros((2, BUCKETS)) if trusted is None else np.stack([trusted.weight, trusted.value])
        bins = pack_bins(marked.histograms.get(key))
        table = cell.c
        here = (table.stage == key.stage, table.arm == key.arm, table.segment == key.segment)
        connection.execute(
            update(cell)
            .where(table.rollout == rollout, *here, table.metric == key.metric)
            .values(buckets=pack_sums(buckets), histogram=bins)
        )


def count_since_mark(connection: Connection, rollout: str, metric: str) -> Mapping[str, int]:
    """How many readings of a metric each arm has had since it was marked, in all stages."""
    counted: Counter[str] = Counter()
    for table, sign in ((cell, 1), (marked_cell, -1)):
        for key, found in _read(connection, table, rollout, (metric,), EVERYONE).cells.items():
            if key.metric == metric:
                counted[key.arm] += sign * round(float(found.weight.sum()))
    return {arm: many for arm, many in sorted(counted.items()) if many > 0}


def _read(
    connection: Connection, table: Table, rollout: str, metrics: Collection[str] | None, segment: str | None = None
) -> EvidenceSums:
    wanted = select(table).where(table.c.rollout == rollout)
    if segment is not None:
        wanted = wanted.where(table.c.segment == segment)
    cells: dict[CellKey, BucketSums] = {}
    histograms: dict[CellKey, Mapping[int, int]] = {}
    for row in connection.execute(wanted):
        if metrics is not None and not is_judged_cell(row.metric, metrics):
            continue
        key = CellKey(stage=row.stage, arm=row.arm, segment=row.segment, metric=row.metric)
        weight, value = unpack_sums(row.buckets)
        cells[key] = BucketSums(weight=weight, value=value)
        if row.histogram is not None:
            histograms[key] = unpack_bins(row.histogram)
    return EvidenceSums(cells=cells, histograms=histograms)
