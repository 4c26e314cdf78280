"""gbstats' sequential test, called look by look as its users do. Runs in .venv-peers-stats."""

import json
import sys
import time
from typing import Any

from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
from gbstats.models.statistics import ProportionStatistic, SampleMeanStatistic

CONFIG = SequentialConfig(difference_type="absolute", alpha=0.05)

# (n, sum) of a proportion or (n, sum, sum of squares) of a mean.
Summary = list[float]


def main() -> None:
    """Answer each line: either the looks at which harm is found, or the time of a look over many cells."""
    for line in sys.stdin:
        asked = json.loads(line)
        answer = {"found": detect(asked)} if asked["what"] == "detect" else {"ms": cells(asked)}
        print(json.dumps(answer), flush=True)


def detect(asked: dict[str, Any]) -> list[int | None]:
    """Per run, the first look (from 1) whose interval lies on the side of harm; None where there is none."""
    return [_first(asked["more_is_harm"], *arms) for arms in zip(asked["control"], asked["canary"], strict=True)]


def _first(more_is_harm: bool, control: list[Summary], canary: list[Summary]) -> int | None:
    for look, (old, new) in enumerate(zip(control, canary, strict=True), start=1):
        low, high = _interval(old, new)
        if low > 0 if more_is_harm else high < 0:
            return look
    return None


def cells(asked: dict[str, Any]) -> float:
    """Milliseconds of CPU of one look over all cells."""
    began = time.process_time()
    times: int = asked["times"]
    for _ in range(times):
        for old, new in zip(asked["control"], asked["canary"], strict=True):
            _interval(old, new)
    return 1000 * (time.process_time() - began) / times


def _interval(old: Summary, new: Summary) -> tuple[float, float]:
    low, high = SequentialTwoSidedTTest(_statistic(old), _statistic(new), CONFIG).compute_result().ci
    return low, high


def _statistic(summary: Summary) -> ProportionStatistic | SampleMeanStatistic:
    if len(summary) == 2:
        return ProportionStatistic(n=summary[0], sum=summary[1])
    return SampleMeanStatistic(n=summary[0], sum=summary[1], sum_squares=summary[2])


main()
