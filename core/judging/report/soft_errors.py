"""Count soft errors by category in both arms, and tell which are new with the new version."""

from collections.abc import Iterator, Sequence
from math import log

from core.judging.look import bucket_sums
from core.judging.model.evidence import CANARY, CATEGORY_PREFIX, CONTROL, EVERYONE, REQUESTS, EvidenceSums
from core.judging.model.soft_errors import SoftErrorCounts
from core.metrics.soft_errors import from_error_category

NEW_CATEGORY_ALPHA = 0.05
"""Chance that any category is called new although both versions show it equally often, however often one looks."""


def count_soft_errors(sums: EvidenceSums, stage: int, compared: Sequence[int]) -> tuple[SoftErrorCounts, ...]:
    """The categories that came in the current stage, most frequent with the new version first.

    A category is new if control has never shown it in the `compared` stages, and if it came from so many buckets of the
    canary's units that chance is excluded: were it equally frequent, each would have come from the canary only with the
    canary's share of the requests. The likelihood ratio against that may be looked at after every event (Ville 1939).
    """
    requests = {arm: _count(sums, (stage,), arm, REQUESTS) for arm in (CANARY, CONTROL)}
    cells = list(_list_cells(sums, stage))
    found = [
        SoftErrorCounts(
            category=category,
            canary=round(_sum_events(sums, (stage,), CANARY, cell)),
            control=round(_sum_events(sums, (stage,), CONTROL, cell)),
            canary_requests=round(requests[CANARY]),
            control_requests=round(requests[CONTROL]),
            is_new=_is_new(sums, stage, compared, cell, len(cells)),
        )
        for category, cell in cells
    ]
    return tuple(sorted(found, key=lambda one: (-one.canary, -one.control, one.category)))


def _list_cells(sums: EvidenceSums, stage: int) -> Iterator[tuple[str, str]]:
    """(category, cell name) of every soft error that came in a stage, sorted."""
    named = {key.metric for key in sums.cells if key.stage == stage and key.segment == EVERYONE}
    for cell in sorted(name for name in named if name.startswith(CATEGORY_PREFIX)):
        category = from_error_category(cell.removeprefix(CATEGORY_PREFIX))
        if category is not None:
            yield category, cell


def _is_new(sums: EvidenceSums, stage: int, compared: Sequence[int], cell: str, categories: int) -> bool:
    if stage not in compared or _sum_events(sums, compared, CONTROL, cell) > 0:
        return False
    canary, control = (_count(sums, (stage,), arm, REQUESTS) for arm in (CANARY, CONTROL))
    if canary <= 0 or control <= 0:
        return False
    # Units and not events: one person who meets it ten times says it once.
    arm = bucket_sums.read_bucket_sums(sums, (stage,), CANARY, cell)[0, 0, :, 1]
    return int((arm > 0).sum()) * log((canary + control) / canary) >= log(categories / NEW_CATEGORY_ALPHA)


def _sum_events(sums: EvidenceSums, stages: Sequence[int], arm: str, cell: str) -> float:
    return float(bucket_sums.read_bucket_sums(sums, stages, arm, cell)[..., 1].sum())


def _count(sums: EvidenceSums, stages: Sequence[int], arm: str, cell: str) -> float:
    return float(bucket_sums.read_bucket_sums(sums, stages, arm, cell)[..., 0].sum())
