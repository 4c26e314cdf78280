"""The exact kernel over counts alone: independent requests need no buckets, so many more looks are cheap."""

from math import log

import numpy as np
from numpy.typing import NDArray

from bench.calibration.traffic import Scenario
from bench.measuring import cumulative, streams

ALPHA = 0.05


def condemned(scenario: Scenario, *, runs: int, looks: int, chance: np.random.Generator) -> NDArray[np.bool_]:
    """Per run, whether the evidence of harm ever reached 1/alpha."""
    canary, control = scenario.trials(looks)
    stream = streams.binomial(
        chance,
        runs=runs,
        canary_rate=scenario.rate(looks),
        control_rate=scenario.rate(looks),
        canary_trials=chance.integers(0, 2, (runs, looks)) if scenario.sparse else np.array(canary),
        control_trials=np.array(control),
    )
    evidence = cumulative.log_e_two_sample(*stream.counts, side=scenario.harm)
    return np.asarray(evidence.max(axis=-1) >= log(1 / ALPHA))
