"""`python -m bench.field`: what comes of whole rollouts in the field. Nothing is asserted; the table tells."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import median

from bench.field.harms import HARMS
from bench.field.history import Outcome, play
from core.rollout.state import holds

SEED = 20261128
CONFIDENCE = 0.95


def main() -> int:
    """The harmless histories, then each harm; or one history by its scenario and number."""
    parser = argparse.ArgumentParser(prog="bench.field", description=__doc__)
    parser.add_argument("--histories", type=int, default=400, help="of each scenario")
    parser.add_argument("--only", help="a part of a scenario's name; empty for the harmless ones alone")
    parser.add_argument("--replay", type=int, metavar="NUMBER", help="one history of the scenario that --only names")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--worst", type=int, default=5, help="so many histories of each kind of failure are named")
    asked = parser.parse_args()
    scenarios = [
        name for name in ("", *HARMS) if asked.only is None or (asked.only in name and bool(asked.only) == bool(name))
    ]
    if asked.replay is not None:
        print(play(scenarios[0], asked.replay, asked.seed))
        return 0
    began = time.perf_counter()
    with ProcessPoolExecutor(asked.processes) as pool:
        for scenario in scenarios:
            tasks = [(scenario, number, asked.seed) for number in range(asked.histories)]
            found = list(pool.map(_play, tasks, chunksize=2))
            print(*lines(scenario, found, asked.worst), sep="\n", flush=True)
    print(f"\n{len(scenarios) * asked.histories} rollouts in {time.perf_counter() - began:,.0f} s")
    return 0


def _play(task: tuple[str, int, int]) -> Outcome:
    return play(*task)


def lines(scenario: str, found: Sequence[Outcome], worst: int) -> Iterator[str]:
    """What the histories of one scenario say together, with upper 95 % limits, and which ones to look at."""
    if scenario:
        yield from _harmed(scenario, found, worst)
        return
    back = [one for one in found if one.ended == "rolled_back"]
    held = [one for one in found if any(is_about_the_version(key) for key in one.held)]
    split = [one for one in found if any(holds.is_split_key(key) for key in one.held)]
    silent = [one for one in found if any(key == holds.NO_DATA or key.startswith("source") for key in one.held)]
    asked = [one for one in found if any(key.startswith("undecided") for key in one.held)]
    yield f"\nnothing is worse: {len(found)} rollouts, {sum(one.requests for one in found):,} requests"
    for what, which in (
        ("rolled back", back),
        ("held by a limit or by what nobody agreed on", held),
        ("split found wrong", split),
        ("held for want of data (clears itself)", silent),
        ("asked about at the longest hold", asked),
        ("reached everybody", [one for one in found if one.ended == "done"]),
        ("stalled", [one for one in found if one.ended == "stalled"]),
    ):
        yield f"  {what:<46} {_share(len(which), len(found))}{_named(which, worst)}"
    reasons = Counter(key for one in found for key in dict.fromkeys((*one.held, one.by)) if key)
    yield f"  by: {', '.join(f'{key} {count}' for key, count in reasons.most_common(12))}"


def is_about_the_version(key: str) -> bool:
    """Whether a hold says that the new version did something, rather than that nothing can be said."""
    return key.startswith("limit:")


def _harmed(scenario: str, found: Sequence[Outcome], worst: int) -> Iterator[str]:
    careful = [one for one in found if one.risk != "low"]
    quick = [one for one in found if one.risk == "low"]
    back = [one for one in found if one.ended == "rolled_back"]
    stopped = [one for one in found if one.ended == "stopped"]
    yield f"\n{scenario}: {len(found)} rollouts"
    for what, of in (("reached everybody", careful), ("reached everybody, at low risk", quick)):
        everybody = [one for one in of if one.reached >= 100]
        yield f"  {what:<46} {_share(len(everybody), len(of))}{_named(everybody, worst)}"
    yield f"  {'rolled back':<46} {_share(len(back), len(found))}"
    yield f"  {'held, or asked about':<46} {_share(len(stopped), len(found))}"
    if back:
        after = median(one.after.total_seconds() for one in back) / 60
        yield f"  median of those rolled back: {after:,.0f} min, {median(one.exposed for one in back):,.0f} people"
    reasons = Counter(one.by for one in found if one.by)
    yield f"  by: {', '.join(f'{key} {count}' for key, count in reasons.most_common(8))}"


def _share(count: int, of: int) -> str:
    """A share with its exact upper 95 % limit (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    upper = 1.0 if count == of else float(beta.ppf(CONFIDENCE, count + 1, of - count))
    return f"{count:>5} of {of:>4} {count / max(of, 1):7.3f} (at most {upper:.3f})"


def _named(which: Sequence[Outcome], most: int) -> str:
    some = ", ".join(str(one.number) for one in which[:most])
    return f"  e.g. {some}" if some else ""


if __name__ == "__main__":
    sys.exit(main())
