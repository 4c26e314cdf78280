"""Completes comparisons by leave-one-out: each without its loudest bucket, for all cells of a kind at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from core.judging.look import bucket_sums, leave_one_out
from core.judging.look.arm_comparison import SIDES, ArmComparison, ComparisonDraft
from core.judging.look.error_floor import floor_error
from core.judging.look.leave_one_out import LeaveOneOut
from core.metrics.catalogue import MetricKind
from core.stats.input_checks import Side


def complete_comparisons(
    drafts: Sequence[ComparisonDraft], reference_levels: Mapping[str, float]
) -> list[ArmComparison]:
    """The comparisons with their leave-one-out results, computed for all cells of a kind at once.

    `reference_levels` are, by cell, what the level is compared with other than control: a limit or control's past.
    """
    found: dict[tuple[int, Side], LeaveOneOut] = {}
    for side in SIDES:
        numbers_by_kind: dict[tuple[MetricKind, bool], list[int]] = {}
        for number, draft in enumerate(drafts):
            if side in draft.sides:
                numbers_by_kind.setdefault((draft.entry.kind, draft.has_fixed_reference), []).append(number)
        for numbers in numbers_by_kind.values():
            results = _leave_loudest_out([drafts[number] for number in numbers], side, reference_levels)
            found |= {
                (number, side): _apply_error_floor(drafts[number], one)
                for number, one in zip(numbers, results, strict=True)
            }
    return [
        replace(draft.comparison, more=found.get((number, "greater")), less=found.get((number, "less")))
        for number, draft in enumerate(drafts)
    ]


def _leave_loudest_out(
    drafts: Sequence[ComparisonDraft], side: Side, reference_levels: Mapping[str, float]
) -> list[LeaveOneOut]:
    """Comparisons without their loudest buckets. All drafts are of one kind, and all or none have a fixed reference."""
    kind = drafts[0].entry.kind
    canary, control = _stack_cells([one.canary for one in drafts]), _stack_cells([one.control for one in drafts])
    units = np.array([one.units for one in drafts])
    results = leave_one_out.compare_without_loudest_bucket(kind, canary, control, side, units)
    if not drafts[0].has_fixed_reference:
        return results
    references = np.array([reference_levels.get(one.comparison.metric, one.comparison.level or 0.0) for one in drafts])
    alone = _stack_cells([one.canary_alone for one in drafts])
    return leave_one_out.add_level_without_loudest_bucket(kind, alone, side, units, references, results)


def _stack_cells(arms: Sequence[bucket_sums.Array]) -> bucket_sums.Array:
    """Stack the sums of several cells to shape (cells, stages, 256, 2); missing stages are zero."""
    found = np.zeros((len(arms), max(arm.shape[0] for arm in arms), *arms[0].shape[1:]))
    for row, arm in zip(found, arms, strict=True):
        row[: arm.shape[0]] = arm
    return found


def _apply_error_floor(draft: ComparisonDraft, leave_one_out_result: LeaveOneOut) -> LeaveOneOut:
    entry = draft.entry
    if entry.kind is MetricKind.QUANTILE:
        effect = draft.comparison.design_effect
        return replace(leave_one_out_result, design_effect=effect, level_design_effect=effect)
    if not entry.is_average:
        return leave_one_out_result
    return replace(
        leave_one_out_result,
        error=_floor_error_at_levels(
            draft,
            leave_one_out_result.error,
            (leave_one_out_result.canary, leave_one_out_result.control),
            draft.comparison.canary_weight,
        ),
        level_error=_floor_error_at_levels(
            draft, leave_one_out_result.level_error, (leave_one_out_result.level,), draft.comparison.level_weight
        ),
    )


def _floor_error_at_levels(
    draft: ComparisonDraft, error: float | None, levels: tuple[float | None, ...], readings: float
) -> float | None:
    known = [abs(level) for level in levels if level is not None]
    if error is None or len(known) < len(levels):
        return None
    return floor_error(draft.entry, draft.widening * error, max(known), readings)
