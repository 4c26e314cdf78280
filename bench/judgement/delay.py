"""Canary requests until a harm in a rate is found: ours, the SPRT that knows both rates, and gbstats."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

import numpy as np

from bench.judgement import gbstats_current
from bench.measuring import cumulative, streams
from bench.measuring.figures import Figure
from bench.measuring.peer import Peer
from bench.measuring.rounds import Effort
from bench.measuring.streams import Array, Stream

RUNS = 400
ALPHA = 0.05
CANARY, CONTROL = 5, 95  # requests a look: a 5 % canary
SEED = 20261123


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """A rate that changes. `looks` is long enough for most runs of the slowest method."""

    name: str
    control: float
    canary: float
    looks: int
    than_gbstats: float

    @property
    def more(self) -> bool:
        """Whether harm is a higher rate."""
        return self.canary > self.control


HARMS = (
    Harm(name="pass .90 to .88", control=0.90, canary=0.88, looks=1200, than_gbstats=1.15),
    Harm(name="pass .90 to .87", control=0.90, canary=0.87, looks=500, than_gbstats=1.15),
    Harm(name="pass .90 to .85", control=0.90, canary=0.85, looks=200, than_gbstats=1.15),
    Harm(name="pass .90 to .80", control=0.90, canary=0.80, looks=80, than_gbstats=1.15),
    Harm(name="errors .5 to 1 %", control=0.005, canary=0.01, looks=1400, than_gbstats=1.15),
    Harm(name="errors .5 to 2 %", control=0.005, canary=0.02, looks=400, than_gbstats=0.5),
    Harm(name="errors .5 to 5 %", control=0.005, canary=0.05, looks=150, than_gbstats=0.5),
)


def measure(effort: Effort) -> Iterator[Figure]:
    """Against the oracle, then against both forms of gbstats."""
    runs = effort.some(RUNS)
    with Peer("gbstats_sequential.py", environment="peers-stats") as gbstats:
        for number, harm in enumerate(HARMS):
            stream = draw_stream(harm, runs, np.random.default_rng([SEED, number]))
            ours = count_requests(find_by_evidence(harm, stream))
            yield Figure(
                name=f"{harm.name}: requests until found, against the SPRT oracle",
                ours=ours,
                peer=count_requests(find_by_oracle(harm, stream)),
                unit="req",
                goal=2.0,
                better="less",
            )
            for form, peer in (("0.8.0", _released(harm, stream, gbstats)), ("one-sided", _current(harm, stream))):
                yield Figure(
                    name=f"{harm.name}: against gbstats {form}",
                    ours=ours,
                    peer=count_requests(peer),
                    unit="req",
                    goal=harm.than_gbstats,
                    better="less",
                )


def draw_stream(harm: Harm, runs: int, chance: np.random.Generator) -> Stream:
    """Outcomes of both arms at the rates of a harm, shape (runs, looks)."""
    return streams.binomial(
        chance,
        runs=runs,
        canary_rate=harm.canary,
        control_rate=harm.control,
        canary_trials=np.full(harm.looks, CANARY),
        control_trials=np.full(harm.looks, CONTROL),
    )


def count_requests(looks: Array) -> float:
    """Median of the canary's requests until these looks, infinite where half of the runs find nothing."""
    return float(np.median(looks)) * CANARY


def find_by_evidence(harm: Harm, stream: Stream) -> Array:
    """The first look at which the exact e-process has found a harm, shape (runs,)."""
    evidence = cumulative.log_e_two_sample(*stream.counts, side="greater" if harm.more else "less")
    return streams.first_look(evidence >= log(1 / ALPHA))


def find_by_oracle(harm: Harm, stream: Stream) -> Array:
    """Wald's likelihood ratio on the canary alone, told both rates."""
    hits, misses = stream.canary_successes, stream.canary_trials - stream.canary_successes
    gain = hits * log(harm.canary / harm.control) + misses * log((1 - harm.canary) / (1 - harm.control))
    return streams.first_look(np.cumsum(gain, axis=-1) >= log(1 / ALPHA))


def _released(harm: Harm, stream: Stream, gbstats: Peer) -> Array:
    asked = {
        arm: np.stack([np.cumsum(trials, axis=-1), np.cumsum(successes, axis=-1)], axis=-1).astype(int).tolist()
        for arm, successes, trials in (
            ("canary", stream.canary_successes, stream.canary_trials),
            ("control", stream.control_successes, stream.control_trials),
        )
    }
    found = gbstats.ask(what="detect", more_is_harm=harm.more, **asked)["found"]
    return np.array([np.inf if look is None else look for look in found], dtype=np.float64)


def _current(harm: Harm, stream: Stream) -> Array:
    s_T, n_T, s_C, n_C = (np.cumsum(counts, axis=-1) for counts in stream.counts)
    canary, control = s_T / n_T, s_C / n_C
    variance = canary * (1 - canary) / n_T + control * (1 - control) / n_C
    harmful = (canary - control) if harm.more else (control - canary)
    return streams.first_look(gbstats_current.reaches(harmful, variance, n_T + n_C, alpha=ALPHA) > 0)
