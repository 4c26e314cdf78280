"""Hours until a mean that changes twenty hours into a stage is found: both tests, gbstats, ville, and an oracle."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.judgement import gbstats_current
from bench.measuring.figures import Figure
from bench.measuring.peer import Peer
from bench.measuring.rounds import Effort
from bench.measuring.streams import Array
from core.judging.engine.accumulate import GATE_REQUESTS
from core.judging.engine.e_processes import ONSET_HORIZONS, ONSET_INTERVAL, ONSET_WINDOW
from core.judging.engine.increments import LEVEL_EFFECTS
from core.judging.model.alpha_shares import ANY_TIME, FROM_THE_START, LATE_LEVEL
from core.stats.sequential import mean, onset, proportion

RUNS = 100
ALPHA = 0.05
READINGS = 30  # of each arm a look, which is five minutes: 360 an hour
LOOKS_AN_HOUR = 12
BEFORE, AFTER = 20 * LOOKS_AN_HOUR, 8 * LOOKS_AN_HOUR
SEED = 20261201

Crossed = NDArray[np.bool_]  # per run and look
Law = Literal["score", "cost", "rate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LateHarm:
    """What changes, by which factor, and the relative limit that it is judged by."""

    name: str
    law: Law
    factor: float
    limit: float


HARMS = (
    LateHarm(name="scores 4.2 to 3.8", law="score", factor=0.905, limit=0.05),
    LateHarm(name="scores 4.2 to 4.0", law="score", factor=0.952, limit=0.05),
    LateHarm(name="tokens -20 %", law="cost", factor=0.8, limit=0.1),
    LateHarm(name="tokens -40 %", law="cost", factor=0.6, limit=0.1),
    LateHarm(name="cost +40 %", law="cost", factor=1.4, limit=0.15),
)


def measure(effort: Effort) -> Iterator[Figure]:
    """All see the same streams. Who reports harm before it begins counts as a false alarm, and as found at once."""
    runs = effort.some(RUNS)
    with (
        Peer("gbstats_sequential.py", environment="peers-stats") as gbstats,
        Peer("ville_asymptotic.py", environment="peers-stats") as ville,
    ):
        for number, harm in enumerate(HARMS):
            canary, control = _draw(harm, runs, np.random.default_rng([SEED, number]))
            both = _both_eyes(harm, canary, control)
            peers: dict[str, tuple[Crossed | None, Array | None]] = {
                "the cumulative test alone": (_cumulative_evidence(harm, canary, control) >= log(1 / ALPHA), None),
                "gbstats 0.8.0": (None, _released(harm, canary, control, gbstats)),
                "gbstats one-sided": (_current(harm, canary, control), None),
                "ville 0.1.0": (None, _ville(harm, canary, control, ville)),
                "an oracle told levels and hour": (_oracle(harm, canary, control), None),
            }
            ours = _first(both >= log(1 / ALPHA))
            yield Figure(
                name=f"{harm.name} after 20 h: reported before it began",
                ours=float((ours <= BEFORE).mean()),
                unit="of runs",
                goal=0.05,
                better="less",
            )
            for name, (crossed, looks) in peers.items():
                peer = _first(crossed) if crossed is not None else looks
                assert peer is not None
                yield Figure(
                    name=f"{harm.name} after 20 h: hours until found, against {name}",
                    ours=_hours(ours),
                    peer=_hours(peer),
                    unit="h",
                    goal=None if "oracle" in name else 1.15,
                    better="less",
                )


def _draw(harm: LateHarm, runs: int, chance: np.random.Generator) -> tuple[Array, Array]:
    """Readings of canary and control, shape (runs, looks, READINGS)."""
    shape = (runs, BEFORE + AFTER, READINGS)
    canary, control = (
        np.clip(chance.normal(4.2, 1.0, shape), 1, 5) if harm.law == "score" else chance.lognormal(0, 1, shape)
        for _ in range(2)
    )
    canary[:, BEFORE:] *= harm.factor
    if harm.law == "cost":
        cap = exp(2.326)
        return np.minimum(canary, cap), np.minimum(control, cap)
    return canary, control


def _hours(looks: Array) -> float:
    """Median hours from the beginning of the harm; nothing before it counts as less than none."""
    return float(np.median(np.maximum(looks - BEFORE, 0))) / LOOKS_AN_HOUR


def _first(crossed: Crossed) -> Array:
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1.0, np.inf)


def _sums(values: Array) -> tuple[Array, Array, Array]:
    """(n, mean, variance of a reading) up to each look."""
    n = READINGS * np.arange(1, values.shape[1] + 1)
    total, squares = (np.cumsum((values**power).sum(axis=2), axis=1) for power in (1, 2))
    return n, total / n, (squares - total**2 / n) / (n - 1)


def _harmful(harm: LateHarm, difference: Array) -> Array:
    return difference if harm.factor > 1 else -difference


def _cumulative_evidence(harm: LateHarm, canary: Array, control: Array) -> Array:
    n, new, new_variance = _sums(canary)
    _, old, old_variance = _sums(control)
    error, tau = np.sqrt((new_variance + old_variance) / n), 2 * harm.limit * old[:, [GATE_REQUESTS // READINGS]]
    evidence = mean.log_e_half_normal(_harmful(harm, new - old) / error, (tau / error) ** 2)
    return np.where(n >= GATE_REQUESTS, evidence, 0.0)


def _onset_evidence(harm: LateHarm, canary: Array, control: Array) -> Array:
    n, _, new_variance = _sums(canary)
    _, old, old_variance = _sums(control)
    tau = 2 * harm.limit * old[:, GATE_REQUESTS // READINGS]
    mixture = np.full((len(canary), len(LEVEL_EFFECTS)), -np.inf)
    found = np.zeros(canary.shape[:2])
    for look in range(canary.shape[1]):
        gains = np.zeros_like(mixture)
        if look > 0 and n[look - 1] >= GATE_REQUESTS:
            gains = mean.level_increments(
                canary[:, look].sum(axis=1),
                np.full(len(canary), READINGS),
                control[:, look].sum(axis=1),
                np.full(len(canary), READINGS),
                variance=(new_variance[:, look - 1] + old_variance[:, look - 1]) / 2,
                effects=tau[:, np.newaxis] * np.array(LEVEL_EFFECTS),
                side="greater" if harm.factor > 1 else "less",
            )
        forget = 1 - exp(-ONSET_INTERVAL / ONSET_WINDOW)
        mixture = onset.advance_mixture(
            mixture, gains, forget=forget, log_start=onset.log_start_weight(look + 1, horizons=ONSET_HORIZONS)
        )
        found[:, look] = proportion.log_mean(mixture)
    return found


def _both_eyes(harm: LateHarm, canary: Array, control: Array) -> Array:
    late = ANY_TIME * (LATE_LEVEL if harm.factor > 1 else 1.0)
    return np.logaddexp(
        log(FROM_THE_START) + _cumulative_evidence(harm, canary, control),
        log(late) + _onset_evidence(harm, canary, control),
    )


def _oracle(harm: LateHarm, canary: Array, control: Array) -> Crossed:
    """Wald's likelihood ratio of normal differences from the hour on that the harm begins; it is told both levels."""
    before, after = (values[:, BEFORE:].mean(axis=2) for values in (control, canary))
    effect = abs(float((after - before).mean()))
    variance = float(control.var() + canary[:, BEFORE:].var()) / READINGS
    gain = (effect * _harmful(harm, after - before) - effect**2 / 2) / variance
    told = np.cumsum(gain, axis=1) >= log(1 / ALPHA)
    return np.concatenate([np.zeros((len(canary), BEFORE), dtype=np.bool_), told], axis=1)


def _released(harm: LateHarm, canary: Array, control: Array, gbstats: Peer) -> Array:
    asked = {}
    for arm, values in (("canary", canary), ("control", control)):
        n = np.broadcast_to(READINGS * np.arange(1, values.shape[1] + 1), values.shape[:2])
        sums = [np.cumsum((values**power).sum(axis=2), axis=1) for power in (1, 2)]
        asked[arm] = np.stack([n, *sums], axis=-1).tolist()
    found = gbstats.ask(what="detect", more_is_harm=harm.factor > 1, **asked)["found"]
    return np.array([np.inf if look is None else look for look in found], dtype=np.float64)


def _current(harm: LateHarm, canary: Array, control: Array) -> Crossed:
    n, new, new_variance = _sums(canary)
    _, old, old_variance = _sums(control)
    variance = (new_variance + old_variance) / n
    return gbstats_current.reaches(_harmful(harm, new - old), variance, 2 * n + 0 * new, alpha=ALPHA) > 0


def _ville(harm: LateHarm, canary: Array, control: Array, ville: Peer) -> Array:
    values = np.concatenate([canary, control], axis=2).reshape(len(canary), -1).round(5)
    answer = ville.ask(more_is_harm=harm.factor > 1, readings=READINGS, values=values.tolist())["found"]
    return np.array([np.inf if one is None else -(-one // (2 * READINGS)) for one in answer], dtype=np.float64)
