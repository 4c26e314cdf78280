"""`python -m bench`: measure, and print the table. Nothing is asserted; status 2 only where something could not run."""

import argparse
import importlib
import sys
import time
import traceback

from bench.figures import Figure, table
from bench.rounds import FULL, QUICK

PARTS = {
    "evaluation": "evaluation in process, against the growthbook SDK",
    "ofrep": "evaluation over HTTP, against a trivial Starlette route",
    "streams_open": "memory of open event streams, and how soon they tell of a rollback",
    "slash": "slash commands to acknowledgement, against Bolt with an empty handler",
    "append": "one full append, against the eventsourcing library",
    "intake": "observations accepted a second",
    "telemetry": "spans of OpenTelemetry counted a CPU-second",
    "memory": "resident memory, idle and under load",
    "demo_start": "from `rollout demo` to a rollout under way",
    "eval_import": "cases of an eval run read and judged in a CPU-second",
    "verify": "events verified and rebuilt a second",
    "large_log": "a million events verified, and a long stream loaded",
    "startup": "the start of a process on a log of five million events",
    "warehouse": "rows of a warehouse pulled to a rollback, against sending them",
    "crowded": "evaluations, observations and looks beside fifty running rollouts",
    "judgement": "how soon harm is found, and the time of a look over 200 cells, against gbstats",
    "verdict": "one look, and from a verdict to the old version everywhere",
}
GROUPS = {
    "flags": ("evaluation",),
    "http": ("ofrep", "streams_open", "intake", "telemetry"),
    "slack": ("slash",),
    "store": ("append", "verify", "large_log", "startup"),
}


def main() -> int:
    """Everything, or what `--only` names."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", default="", help=f"some of {', '.join((*PARTS, *GROUPS))}, with commas between")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    asked = parser.parse_args()
    parts = _parts(asked.only, parser)
    effort = QUICK if asked.quick else FULL
    print(f"Medians of {effort.rounds} rounds in which ours and the peer's take turns.", flush=True)
    found: list[Figure] = []
    failed: list[str] = []
    for name in parts:
        began = time.monotonic()
        print(f"  {name}: {PARTS[name]} …", end="", flush=True)
        try:
            found.extend(importlib.import_module(f"bench.{name}").measure(effort))
        except Exception:
            traceback.print_exc()
            failed.append(name)
        print(f" {time.monotonic() - began:.0f} s", flush=True)
    if found:
        print(f"\n{table(found)}")
    if failed:
        print(f"\nCould not run: {', '.join(failed)}. The reasons stand above.", file=sys.stderr)
    return 2 if failed else 0


def _parts(only: str, parser: argparse.ArgumentParser) -> list[str]:
    """The parts asked for, in their usual order."""
    names = {part for word in only.split(",") if word.strip() for part in GROUPS.get(word.strip(), (word.strip(),))}
    if unknown := names - PARTS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join((*PARTS, *GROUPS))}")
    return [part for part in PARTS if not names or part in names]


if __name__ == "__main__":
    sys.exit(main())
