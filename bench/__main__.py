"""`python -m bench`: measure, and print the table. Nothing is asserted; status 2 only where something could not run."""

import argparse
import importlib
import sys
import time
import traceback
from dataclasses import dataclass

from bench.measuring.figures import Figure, table
from bench.measuring.rounds import FULL, QUICK


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Measurements that belong together: the module whose `measure` makes them, and what they are."""

    module: str
    title: str


PARTS = {
    "evaluation": Part(module="bench.program.evaluation", title="evaluation in process, against other vendors' SDKs"),
    "ofrep": Part(module="bench.http.ofrep", title="evaluation over HTTP, against a trivial Starlette route"),
    "streams_open": Part(
        module="bench.http.streams_open", title="memory of open event streams, and how soon they tell of a rollback"
    ),
    "flips": Part(module="bench.http.flips", title="a rollback to an application: by the stream, against polls"),
    "slash": Part(
        module="bench.program.slash", title="slash commands to acknowledgement, against Bolt with an empty handler"
    ),
    "append": Part(module="bench.store.append", title="one full append, against the eventsourcing library"),
    "intake": Part(module="bench.http.intake", title="observations accepted a second"),
    "telemetry": Part(module="bench.http.telemetry", title="spans of OpenTelemetry counted a CPU-second"),
    "trace_intake": Part(
        module="bench.http.trace_intake", title="spans taken over HTTP, against Phoenix and MLflow that store them"
    ),
    "memory": Part(module="bench.program.memory", title="resident memory, idle and under load"),
    "demo_start": Part(module="bench.program.demo_start", title="from `rollout demo` to a rollout under way"),
    "eval_import": Part(
        module="bench.evidence.eval_import", title="cases of an eval run read and judged in a CPU-second"
    ),
    "verify": Part(module="bench.store.verify", title="events verified and rebuilt a second"),
    "large_log": Part(module="bench.store.large_log", title="a million events verified, and a long stream loaded"),
    "startup": Part(module="bench.store.startup", title="the start of a process on a log of five million events"),
    "warehouse": Part(
        module="bench.evidence.warehouse", title="rows of a warehouse pulled to a rollback, against sending them"
    ),
    "judged_rollouts": Part(
        module="bench.evidence.judged_rollouts", title="drops that only a judge sees, and judges that move, end to end"
    ),
    "crowded": Part(
        module="bench.program.crowded", title="evaluations, observations and looks beside fifty running rollouts"
    ),
    "judgement": Part(
        module="bench.judgement", title="how soon harm is found, and the time of a look over 200 cells, against gbstats"
    ),
    "verdict": Part(module="bench.program.verdict", title="one look, and from a verdict to the old version everywhere"),
}
GROUPS = {
    "flags": ("evaluation",),
    "http": ("ofrep", "streams_open", "flips", "intake", "telemetry", "trace_intake"),
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
        print(f"  {name}: {PARTS[name].title} …", end="", flush=True)
        try:
            found.extend(importlib.import_module(PARTS[name].module).measure(effort))
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
