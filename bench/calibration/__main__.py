"""`python -m bench.calibration`: false rollbacks in simulated rollouts. Nothing is asserted; the table tells."""

import argparse
import sys
from collections.abc import Iterator

import numpy as np

from bench.calibration import counted, decision, hashed, levels, margins
from bench.calibration.batches import batches, telling
from bench.calibration.report import Result, heading
from bench.calibration.traffic import SCENARIOS, Scenario

SEED = 20261123
HASHED_BATCH = 100
CELLS_A_BATCH = 100_000  # runs times looks
DECISION_RUNS = 0.25  # of the runs: 88 tests each
MARGIN, DECISION = "on a margin of 2 pp", "8 metrics x (overall + 10 segments)"
HARMED, DELAY_RUNS, DELAY_LOOKS = 0.87, 400, 600


def main() -> int:
    """Everything, or the scenarios whose name contains `--only`."""
    parser = argparse.ArgumentParser(prog="bench.calibration", description=__doc__)
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--looks", type=int, default=1000)
    parser.add_argument("--only", default="", help="a part of a scenario's name")
    parser.add_argument("--exact-only", action="store_true", help="leave out what needs hash buckets, for many looks")
    asked = parser.parse_args()
    print(heading(), flush=True)
    for result in _results(asked.runs, asked.looks, asked.only, exact_only=asked.exact_only):
        print(result.line(), flush=True)
    if asked.only in DECISION:
        print(f"\n{_price()}")
    return 0


def _results(runs: int, looks: int, only: str, *, exact_only: bool) -> Iterator[Result]:
    for number, scenario in enumerate(SCENARIOS):
        if only in scenario.name:
            yield from _scenario(number, scenario, runs, looks, exact_only=exact_only)
    for number, world in enumerate(levels.WORLDS):
        if only in world.name and not exact_only:
            yield from _levels(number, world, runs, looks)
    if only in MARGIN:
        yield from _margins(runs, looks)
    if only in DECISION:
        yield _decision(int(runs * DECISION_RUNS), looks)


def _scenario(number: int, scenario: Scenario, runs: int, looks: int, *, exact_only: bool) -> Iterator[Result]:
    if "exact" in scenario.kernels and not scenario.correlation:
        tell = telling(f"{scenario.name}, exact", runs)
        alarms = 0
        for size, chance in batches(runs, max(1, CELLS_A_BATCH // looks), SEED, number, 0):
            alarms += int(counted.condemned(scenario, runs=size, looks=looks, chance=chance).sum())
            tell(size)
        yield _result(scenario.name, "exact", runs, looks, alarms)
    if exact_only or "means" not in scenario.kernels:
        return
    kernels: tuple[hashed.Kernel, ...] = ("exact", "tempered", "means") if scenario.correlation else ("means",)
    tell = telling(f"{scenario.name}, hash buckets", runs)
    alarms_of = dict.fromkeys(kernels, 0)
    for size, chance in batches(runs, HASHED_BATCH, SEED, number, 1):
        found = hashed.condemned(scenario, kernels=kernels, runs=size, looks=looks, chance=chance)
        for kernel in kernels:
            alarms_of[kernel] += int(found[kernel].sum())
        tell(size)
    for kernel in kernels:
        untempered = scenario.correlation and kernel == "exact"
        name = "exact, untempered (not used)" if untempered else kernel
        yield _result(scenario.name, name, runs, looks, alarms_of[kernel], judged=not untempered)


def _levels(number: int, world: levels.LevelWorld, runs: int, looks: int) -> Iterator[Result]:
    tell, looks = telling(f"{world.name}, hash buckets", runs), min(looks, levels.DAY)
    alarms = dict.fromkeys(levels.KERNELS, 0)
    for size, chance in batches(runs, HASHED_BATCH, SEED, 300 + number):
        found = levels.condemned(world, runs=size, looks=looks, chance=chance)
        for kernel in alarms:
            alarms[kernel] += int(found[kernel].sum())
        tell(size)
    for kernel, count in alarms.items():
        yield _result(world.name, f"{'ratio' if world.is_ratio else 'means'}, {kernel}", runs, looks, count)


def _margins(runs: int, looks: int) -> Iterator[Result]:
    for number, (name, side) in enumerate(margins.WRONG_WAYS):
        tell = telling(f"on the margin, {name}", runs)
        alarms = 0
        for size, chance in batches(runs, max(1, CELLS_A_BATCH // looks), SEED, 100 + number):
            alarms += int(margins.crossed(side, runs=size, looks=looks, chance=chance).sum())
            tell(size)
        yield _result(MARGIN, f"exact, {name}", runs, looks, alarms)


def _decision(runs: int, looks: int) -> Result:
    tell = telling("whole decision", runs)
    alarms = 0
    for size, chance in batches(runs, max(1, CELLS_A_BATCH // looks // 4), SEED, 200):
        together, _ = decision.found(runs=size, looks=looks, harmed_rate=None, chance=chance)
        alarms += int(np.isfinite(together).sum())
        tell(size)
    return _result(DECISION, "exact, weighted sum", runs, looks, alarms)


def _price() -> str:
    tell = telling("whole decision, harm", DELAY_RUNS)
    parts = []
    for size, chance in batches(DELAY_RUNS, 50, SEED, 201):
        parts.append(decision.found(runs=size, looks=DELAY_LOOKS, harmed_rate=HARMED, chance=chance))
        tell(size)
    together, alone = (float(np.median(np.concatenate(each))) * decision.CANARY for each in zip(*parts, strict=True))
    return (
        f"One metric from {decision.RATES[0]:.2f} to {HARMED:.2f} in every segment, canary requests until found: "
        f"{together:,.0f} among {decision.weights().size} tests, {alone:,.0f} alone: "
        f"{together / alone:.2f}x (goal <= 2.2x)."
    )


def _result(scenario: str, kernel: str, runs: int, looks: int, alarms: int, *, judged: bool = True) -> Result:
    goal = {} if judged else {"goal": None}
    return Result(scenario=scenario, kernel=kernel, runs=runs, looks=looks, alarms=alarms, **goal)


if __name__ == "__main__":
    sys.exit(main())
