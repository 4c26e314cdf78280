"""Both kernels over hash-bucket sums, look by look, as the engine runs them."""

from dataclasses import dataclass
from math import log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.calibration import visits
from bench.calibration.traffic import Scenario
from bench.calibration.visits import BUCKETS, Visits
from bench.measuring.contrasts import contrast
from bench.measuring.streams import Array
from core.stats import clustering
from core.stats.sequential import mean, proportion

ALPHA = 0.05
GATE = 100  # canary requests before a mean is judged
TAU = {"outcomes": 0.04, "costs": 0.2 * float(np.exp(0.5))}  # twice a limit of 2 points; a fifth of the mean cost

Kernel = Literal["exact", "tempered", "means"]


def condemned(
    scenario: Scenario, *, kernels: tuple[Kernel, ...], runs: int, looks: int, chance: np.random.Generator
) -> dict[Kernel, NDArray[np.bool_]]:
    """Per kernel and run, whether its evidence of harm ever reached 1/alpha. `exact` takes requests as independent."""
    stages = scenario.stages(looks)
    canary_trials, control_trials = scenario.trials(looks)
    shares, rates = scenario.canary_share(looks), scenario.rate(looks)
    draw = visits.source(scenario, runs, chance)
    sums = Sums(runs, stages[-1] + 1)
    components = np.zeros((runs, proportion.ANY_HARM_ODDS.size))
    earlier = np.zeros((2, runs))
    found: dict[Kernel, NDArray[np.bool_]] = {kernel: np.zeros(runs, dtype=np.bool_) for kernel in kernels}
    seen = 0
    for look in range(looks):
        canary, control = draw(canary_trials[look], control_trials[look], float(shares[look]), float(rates[look]))
        sums.add(stages[look], canary, control)
        seen += canary_trials[look]
        begun = sums.canary[:, : stages[look] + 1], sums.control[:, : stages[look] + 1]
        if "exact" in kernels or "tempered" in kernels:
            s_T, s_C = canary[1].sum(axis=-1), control[1].sum(axis=-1)
            n_C = np.full(runs, float(control_trials[look]))
            components += proportion.two_sample_increments(
                s_T,
                np.full(runs, float(canary_trials[look])),
                s_C,
                n_C,
                earlier_successes=earlier[0],
                earlier_trials=earlier[1],
                side=scenario.harm,
            )
            earlier = earlier + np.stack([s_C, n_C])
        if "exact" in kernels:
            found["exact"] |= proportion.log_mean(components) >= log(1 / ALPHA)
        if "tempered" in kernels:
            effect = clustering.design_effect(begun[1])[..., np.newaxis]
            found["tempered"] |= proportion.log_mean(components / effect) >= log(1 / ALPHA)
        if "means" in kernels and seen >= GATE:
            found["means"] |= _mean_evidence(*begun, scenario) >= log(1 / ALPHA)
    return found


@dataclass(slots=True)
class Sums:
    """Cumulative (requests, value) per run, stage and bucket, of both arms."""

    canary: Array
    control: Array

    def __init__(self, runs: int, stages: int) -> None:
        self.canary, self.control = (np.zeros((runs, stages, BUCKETS, 2)) for _ in range(2))

    def add(self, stage: int, canary: Visits, control: Visits) -> None:
        """What came in at one look."""
        for arm, (bucket, value) in ((self.canary, canary), (self.control, control)):
            runs = len(bucket)
            place = (bucket + BUCKETS * np.arange(runs)[:, np.newaxis]).ravel()
            arm[:, stage, :, 0] += np.bincount(place, minlength=runs * BUCKETS).reshape(runs, BUCKETS)
            arm[:, stage, :, 1] += np.bincount(place, value.ravel(), runs * BUCKETS).reshape(runs, BUCKETS)


def _mean_evidence(canary: Array, control: Array, scenario: Scenario) -> Array:
    estimate, error = contrast(canary, control)
    harmful = estimate if scenario.harm == "greater" else -estimate
    known = np.isfinite(estimate) & (error > 0)
    z = np.where(known, harmful / np.where(known, error, 1.0), 0.0)
    return mean.log_e_half_normal(z, np.where(known, (TAU[scenario.values] / np.where(known, error, 1.0)) ** 2, 0.0))
