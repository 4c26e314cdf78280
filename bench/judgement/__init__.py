"""How soon harm is found, how long a look takes and what clearing costs, against the SPRT oracle, gbstats and ville."""

from collections.abc import Iterator

from bench.judgement import cells, cost, delay, late, margins
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort


def measure(effort: Effort) -> Iterator[Figure]:
    """Every figure in requests is a median over runs of the canary's requests; all methods see the same streams."""
    yield from delay.measure(effort)
    yield from margins.measure(effort)
    yield from cost.measure(effort)
    yield from late.measure(effort)
    yield from cells.measure(effort)
