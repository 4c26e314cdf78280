"""Proving that a margin is kept, or broken: error on the boundary itself, and delay against log(20) / KL."""

from collections.abc import Iterator
from math import log

import numpy as np

from bench.calibration.margins import WRONG_WAYS, Side
from bench.measuring import cumulative, streams
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort
from bench.measuring.streams import Stream
from core.stats.sequential import projection

RUNS = 2000
ALPHA = 0.05
MARGIN = -0.02  # the canary's pass rate may be 2 points lower
CANARY, CONTROL = 5, 95
LOOKS = 1000
SEED = 20261125


def measure(effort: Effort) -> Iterator[Figure]:
    """Cleared is evidence of more than the margin allows at worst; strict harm is evidence of less."""
    runs = effort.some(RUNS)
    for number, (name, side) in enumerate(WRONG_WAYS):
        wrong = _looks(0.90 + MARGIN, 0.90, side, runs, LOOKS, number)
        yield Figure(
            name=f"pass .90, margin 2 pp: falsely {name} on the margin, {LOOKS} looks",
            ours=float(np.isfinite(wrong).mean()),
            unit="of runs",
            goal=ALPHA,
            better="less",
        )
    cases: tuple[tuple[str, float, Side, float], ...] = (
        ("cleared at .90", 0.90, "greater", 1.1),
        ("strict harm at .85", 0.85, "less", 1.6),
        ("strict harm at .80", 0.80, "less", 1.6),
    )
    for number, (name, rate, side, goal) in enumerate(cases, start=2):
        found = _looks(rate, 0.90, side, runs // 2, LOOKS, number)
        yield Figure(
            name=f"pass .90, margin 2 pp: {name}, against log(20) / KL",
            ours=float(np.median(found)) * CANARY,
            peer=log(1 / ALPHA) / _growth(rate, 0.90),
            unit="req",
            goal=goal,
            better="less",
        )


def _looks(canary: float, control: float, side: Side, runs: int, looks: int, number: int) -> streams.Array:
    stream: Stream = streams.binomial(
        np.random.default_rng([SEED, number]),
        runs=runs,
        canary_rate=canary,
        control_rate=control,
        canary_trials=np.full(looks, CANARY),
        control_trials=np.full(looks, CONTROL),
    )
    parts = [
        cumulative.log_e_two_sample(*(counts[first : first + 100] for counts in stream.counts), side=side, shift=MARGIN)
        for first in range(0, runs, 100)
    ]
    return streams.first_look(np.concatenate(parts) >= log(1 / ALPHA))


def _growth(canary: float, control: float) -> float:
    """Nats a canary request: the KL distance of both rates to the nearest pair on the margin (Wald 1947)."""
    p_T, p_C, n_T, n_C = (np.array([float(each)]) for each in (canary, control, 1, CONTROL / CANARY))
    y, x = projection.nearest_null(p_T, p_C, n_T, n_C, ratio=1.0, shift=MARGIN, where=np.array([True]))
    return float((n_T * _divergence(p_T, y) + n_C * _divergence(p_C, x))[0])


def _divergence(p: streams.Array, q: streams.Array) -> streams.Array:
    return np.asarray(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
