"""Both directions of a margin on its boundary, where the wrong answer is as likely as it can be."""

from math import log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.measuring import cumulative, streams

ALPHA = 0.05
CONTROL_RATE, MARGIN = 0.90, -0.02
CANARY, CONTROL = 5, 95

Side = Literal["greater", "less"]

# What may wrongly be told on the margin itself, and the side on which its evidence lies.
WRONG_WAYS: tuple[tuple[str, Side], ...] = (("cleared", "greater"), ("strict harm", "less"))


def crossed(side: Side, *, runs: int, looks: int, chance: np.random.Generator) -> NDArray[np.bool_]:
    """Per run, whether a canary exactly on the margin was ever cleared ("greater") or found harmful ("less")."""
    stream = streams.binomial(
        chance,
        runs=runs,
        canary_rate=CONTROL_RATE + MARGIN,
        control_rate=CONTROL_RATE,
        canary_trials=np.full(looks, CANARY),
        control_trials=np.full(looks, CONTROL),
    )
    evidence = cumulative.log_e_two_sample(*stream.counts, side=side, shift=MARGIN)
    return np.asarray(evidence.max(axis=-1) >= log(1 / ALPHA))
