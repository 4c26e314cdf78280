"""ville's asymptotic A/B test, given every reading in order. Runs in .venv-peers-stats."""

import json
import sys

import numpy as np
from ville import AsymptoticABTest


def main() -> None:
    """Answer each line with the readings after which harm is found, per run; None where it is not."""
    for line in sys.stdin:
        asked = json.loads(line)
        found = [_first(asked["more_is_harm"], asked["readings"], values) for values in asked["values"]]
        print(json.dumps({"found": found}), flush=True)


def _first(more_is_harm: bool, readings: int, values: list[float]) -> int | None:
    """Looks hold `readings` of each arm: the canary's, then control's."""
    y = np.array(values, dtype=float)
    treated = np.tile(np.repeat([1.0, 0.0], readings), len(y) // (2 * readings))
    test = AsymptoticABTest(alpha=0.05, propensity=0.5, t_opt=5000).fit(y, treated)
    crossed = np.asarray(test.lower_) > 0 if more_is_harm else np.asarray(test.upper_) < 0
    return int(crossed.argmax()) + 1 if crossed.any() else None


main()
