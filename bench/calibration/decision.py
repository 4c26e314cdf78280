"""The whole decision: eight metrics, overall and in ten segments, under one promise."""

from math import log

import numpy as np
from numpy.typing import NDArray

from bench.measuring import cumulative, streams, weighted_sum
from bench.measuring.streams import Array, Stream

ALPHA = 0.05
RATES = (0.90, 0.90, 0.95, 0.80, 0.97, 0.99, 0.995, 0.60)  # of success; harm is a lower one
SEGMENTS = (0.30, 0.20, 0.15, 0.10, 0.08, 0.06, 0.04, 0.03, 0.02, 0.02)  # their parts of the traffic
SLOTS = 12  # segments that a metric's share is kept for
OVERALL = 0.8  # of all weight, for the tests over everybody
CANARY, CONTROL = 5, 95


def weights() -> Array:
    """Of all tests, metric by metric: first the one over everybody, then its segments. They sum to less than 1."""
    metric = [OVERALL / len(RATES), *[(1 - OVERALL) / (len(RATES) * SLOTS)] * len(SEGMENTS)]
    return np.array(metric * len(RATES))


def found(*, runs: int, looks: int, harmed_rate: float | None, chance: np.random.Generator) -> tuple[Array, Array]:
    """Per run, the look at which the whole decision falls, and at which the first metric alone would be condemned.

    `harmed_rate` is the canary's rate of the first metric in every segment; None is a canary without harm.
    """
    canary, control = (chance.multinomial(arm, SEGMENTS, (runs, looks)) for arm in (CANARY, CONTROL))
    evidence: list[Array] = []
    for position, rate in enumerate(RATES):
        canary_rate = harmed_rate if harmed_rate is not None and position == 0 else rate
        segments = [
            _stream(chance, canary_rate, rate, canary[..., at], control[..., at]) for at in range(len(SEGMENTS))
        ]
        evidence += [_evidence(_everybody(segments)), *(_evidence(segment) for segment in segments)]
    together = weighted_sum.weighted_log_e(np.stack(evidence, axis=-1), weights())
    return streams.first_look(_reached(together)), streams.first_look(_reached(evidence[0]))


def _stream(
    chance: np.random.Generator,
    canary: float,
    control: float,
    canary_trials: NDArray[np.int64],
    control_trials: NDArray[np.int64],
) -> Stream:
    return streams.binomial(
        chance,
        runs=len(canary_trials),
        canary_rate=canary,
        control_rate=control,
        canary_trials=canary_trials,
        control_trials=control_trials,
    )


def _everybody(segments: list[Stream]) -> Stream:
    added = [np.sum(counts, axis=0) for counts in zip(*(segment.counts for segment in segments), strict=True)]
    return Stream(
        canary_successes=added[0], canary_trials=added[1], control_successes=added[2], control_trials=added[3]
    )


def _evidence(stream: Stream) -> Array:
    return cumulative.log_e_two_sample(*stream.counts, side="less")


def _reached(log_e: Array) -> NDArray[np.bool_]:
    return np.asarray(log_e >= log(1 / ALPHA))
