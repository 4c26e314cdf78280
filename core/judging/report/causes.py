"""Decomposes a difference of cost or of time into what it comes from, with ranges."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from math import factorial
from typing import NamedTuple

import numpy as np

from core.judging.look.bucket_sums import Array
from core.judging.model.causes import Cause, CauseFactor, DifferenceCauses
from core.judging.model.evidence import BUCKETS, CANARY, CONTROL, EVERYONE, CellKey, EvidenceSums
from core.judging.model.verdict import Measure

MIN_REQUESTS = 20
"""Requests of each arm with a reading, below which no cause is named."""
OUTPUT_PRICE = 4.0
"""Price of an output token in input tokens, where the requests themselves do not tell it."""
CACHE_DISCOUNT = 0.75
"""Share of its price that an input token from the cache saves."""
_Z = 1.96  # of a normal 95 % range
_SAME_REQUESTS = 0.99  # readings of two metrics belong to the same requests if their numbers agree as well as this
_CALLS, _INPUT, _OUTPUT = "llm_calls_per_request", "input_tokens", "output_tokens"
_LevelsByFactor = Mapping[CauseFactor, Array]


def explain_differences(sums: EvidenceSums, stage: int) -> tuple[DifferenceCauses, ...]:
    """Why cost and time differ in a stage, as far as the readings tell; empty where they do not.

    Levels are means per request. Their ranges come from leaving out one bucket of units at a time.
    """
    found = (_explain_cost(sums, stage), _explain_time(sums, stage))
    return tuple(one for one in found if one is not None)


def select_changed(found: Sequence[DifferenceCauses], measures: Sequence[Measure]) -> tuple[DifferenceCauses, ...]:
    """Those that explain a metric of which something is to be said: it is not simply fine."""
    changed = {measure.metric for measure in measures if measure.is_judged and measure.word != "Fine"}
    return tuple(one for one in found if not changed.isdisjoint(one.metrics))


def _explain_cost(sums: EvidenceSums, stage: int) -> DifferenceCauses | None:
    """Cost is calls times tokens of a call times the price of a token; the price is what the other factors leave.

    Shapley values of these factors: the mean of what a factor changes, over all orders in which the factors may change
    from control to canary. They add up exactly, and no order is preferred; a sequential decomposition would depend on
    one. Source: Shapley 1953; Shorrocks 2013 for decompositions.
    """
    cost = _read_levels(sums, stage, "cost_per_request")
    if cost is None:
        return None
    calls, tokens_in, tokens_out, hits = (
        _read_levels(sums, stage, metric, cost) for metric in (_CALLS, _INPUT, _OUTPUT, "cache_hit_rate")
    )
    ones = np.ones_like(cost.canary)
    a_call = (ones, ones) if calls is None else calls.arms
    if not (a_call[0].all() and a_call[1].all()):
        return None
    levels: dict[CauseFactor, tuple[Array, Array]] = {} if calls is None else {"calls": calls.arms}
    per_call = (cost.canary / a_call[0], cost.control / a_call[1])
    if tokens_in is None or tokens_out is None:
        levels["call_cost"] = per_call

        def compute(at: _LevelsByFactor) -> Array:
            return at.get("calls", ones) * at["call_cost"]

    else:
        levels["input_tokens"] = (tokens_in.canary / a_call[0], tokens_in.control / a_call[1])
        levels["output_tokens"] = (tokens_out.canary / a_call[0], tokens_out.control / a_call[1])
        if hits is not None:
            levels["cache_hits"] = hits.arms
        output_price = _estimate_output_price(sums, stage)

        def compute_tokens(at: _LevelsByFactor) -> Array:
            """Tokens of a call, each as many as the input tokens that cost the same."""
            paid = at["input_tokens"] * (1 - CACHE_DISCOUNT * at.get("cache_hits", 0.0 * ones))
            return np.asarray(paid + output_price * at["output_tokens"])

        with np.errstate(all="ignore"):
            canary, control = (
                per_call[arm] / compute_tokens({factor: level[arm] for factor, level in levels.items()})
                for arm in (0, 1)
            )
        levels["price"] = (canary, control)

        def compute(at: _LevelsByFactor) -> Array:
            return at.get("calls", ones) * compute_tokens(at) * at["price"]

    with np.errstate(all="ignore"):
        contributions = _compute_shapley_values(compute, levels)
    return _build_causes(("cost_per_request",), "US$", cost.canary - cost.control, levels, contributions)


def _explain_time(sums: EvidenceSums, stage: int) -> DifferenceCauses | None:
    """Time is that in tools, that until the first word beside them, and the rest: differences of parts of a sum."""
    time = _read_levels(sums, stage, "latency_p95")
    if time is None:
        return None
    levels: dict[CauseFactor, tuple[Array, Array]] = {}
    rest = time.arms
    in_tools = (np.zeros_like(time.canary), np.zeros_like(time.control))
    if (tools := _read_levels(sums, stage, "tool_time", time)) is not None:
        levels["tools"] = in_tools = tools.arms
        rest = (rest[0] - tools.canary, rest[1] - tools.control)
    if (first := _read_levels(sums, stage, "ttft_p95", time)) is not None:
        levels["first_word"] = waited = (first.canary - in_tools[0], first.control - in_tools[1])
        rest = (rest[0] - waited[0], rest[1] - waited[1])
    if not levels:
        return None
    levels["rest"] = rest
    contributions = {factor: canary - control for factor, (canary, control) in levels.items()}
    return _build_causes(("latency_p50", "latency_p95"), "ms", time.canary - time.control, levels, contributions)


class _MetricLevels(NamedTuple):
    """Means of each arm per reading: of all buckets first, then without each of them. `counts` are the readings."""

    canary: Array
    control: Array
    counts: tuple[float, float]

    @property
    def arms(self) -> tuple[Array, Array]:
        return self.canary, self.control


def _read_levels(
    sums: EvidenceSums, stage: int, metric: str, same_as: _MetricLevels | None = None
) -> _MetricLevels | None:
    """The levels of a metric in a stage.

    None if an arm has too few readings, or not as many as `same_as`, as these would be of other requests.
    """
    levels: list[Array] = []
    counts: list[float] = []
    for number, arm in enumerate((CANARY, CONTROL)):
        cell = sums.cells.get(CellKey(stage=stage, arm=arm, segment=EVERYONE, metric=metric))
        if cell is None or (count := float(cell.weight.sum())) < MIN_REQUESTS:
            return None
        other = count if same_as is None else same_as.counts[number]
        if min(count, other) < _SAME_REQUESTS * max(count, other):
            return None
        weights = count - np.concatenate([[0.0], cell.weight])
        if (weights <= 0).any():
            return None  # all of them are of one bucket
        levels.append((float(cell.value.sum()) - np.concatenate([[0.0], cell.value])) / weights)
        counts.append(count)
    return _MetricLevels(levels[0], levels[1], (counts[0], counts[1]))


def _estimate_output_price(sums: EvidenceSums, stage: int) -> float:
    """The price of an output token in input tokens, by least squares over the buckets of both arms."""
    rows = [
        [sums.cells[CellKey(stage=stage, arm=arm, segment=EVERYONE, metric=metric)].value for arm in (CANARY, CONTROL)]
        for metric in (_INPUT, _OUTPUT, "cost_per_request")
    ]
    tokens_in, tokens_out, cost = (np.concatenate(row) for row in rows)
    design = np.stack([tokens_in, tokens_out], axis=1)
    scale = np.linalg.norm(design, axis=0)
    if not scale.all() or np.linalg.cond(design / scale) > 1000:
        return OUTPUT_PRICE
    (price_in, price_out), *_ = np.linalg.lstsq(design, cost, rcond=None)
    return float(price_out / price_in) if price_in > 0 and price_out > 0 else OUTPUT_PRICE


def _compute_shapley_values(
    compute: Callable[[_LevelsByFactor], Array], levels: Mapping[CauseFactor, tuple[Array, Array]]
) -> dict[CauseFactor, Array]:
    """How much of the difference of `compute` between the arms comes from each factor; together all of it."""
    values = {
        chosen: compute({factor: level[0] if factor in chosen else level[1] for factor, level in levels.items()})
        for size in range(len(levels) + 1)
        for chosen in map(frozenset, combinations(levels, size))
    }
    number = len(levels)
    found: dict[CauseFactor, Array] = {}
    for factor in levels:
        total = np.zeros(BUCKETS + 1)
        for chosen, value in values.items():
            if factor not in chosen:
                weight = factorial(len(chosen)) * factorial(number - len(chosen) - 1) / factorial(number)
                total += weight * (values[chosen | {factor}] - value)
        found[factor] = total
    return found


def _build_causes(
    metrics: tuple[str, ...],
    unit: str,
    difference: Array,
    levels: Mapping[CauseFactor, tuple[Array, Array]],
    contributions: Mapping[CauseFactor, Array],
) -> DifferenceCauses | None:
    causes = []
    if not all(np.isfinite(one).all() for one in contributions.values()):
        return None  # a level of zero, of which nothing can be a multiple
    for factor, (canary, control) in levels.items():
        contribution = contributions[factor]
        half = _Z * _jackknife_error(contribution)
        causes.append(
            Cause(
                factor=factor,
                canary=float(canary[0]),
                control=float(control[0]),
                contribution=float(contribution[0]),
                low=float(contribution[0]) - half,
                high=float(contribution[0]) + half,
            )
        )
    causes.sort(key=lambda cause: abs(cause.contribution), reverse=True)
    return DifferenceCauses(metrics=metrics, unit=unit, difference=float(difference[0]), causes=tuple(causes))


def _jackknife_error(estimates: Array) -> float:
    """Standard error of the first estimate from those without each bucket (Tukey 1958)."""
    without = estimates[1:]
    return float(np.sqrt((BUCKETS - 1) / BUCKETS * ((without - without.mean()) ** 2).sum()))
