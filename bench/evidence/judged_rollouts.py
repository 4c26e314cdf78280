"""How often a drop that only an erring judge sees is found, and a judge that moves is not taken for one.

Run it with `python -m bench.evidence.judged_rollouts RUNS [FIRST_SEED]`. Whole rollouts by the doors of the real
program, in one process: answers are handed in, tasks fetched, verdicts sent, anchors judged every four hours, looks
taken. The judge passes 90 % of good answers and fails 85 % of bad ones. In one case the new version answers well in
95 %, not 98 %; in the other both do in 92 %, and at some hour the judge becomes strict (70 % and 95 %).
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort
from bot.http.app import HttpParts, build_asgi_app
from bot.http.clients.change_streams import ChangeStreams
from bot.jobs.judging import anchor_rounds
from core.flags.snapshot import Snapshot
from core.report_sources.look_reports import load_judging_spend
from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.serving import exposure
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState
from core.service.apply_file import apply_text
from core.service.rollout_look import evaluate_rollout
from core.service.service import CommandRequest, RolloutService
from core.stats.fixed_horizon.fixed_sample import proportion_interval
from core.store.database.connections import connect
from core.store.schema import migrations

RUNS = 100
MEMORY = Path("/dev/shm")  # where there is one, nothing waits for the disk
STEP = timedelta(hours=1)
STEPS = 60
COST = 0.002  # dollars a judgement
ANCHORS, GOOD_ANCHORS = 100, 70
BEGIN = datetime(2026, 11, 24, 9, tzinfo=UTC)
ANA = Actor(id="cli:ana", handle="ana")
SURFACE = {
    "version": 1,
    "kind": "surface",
    "surface": "assistant",
    "owner": "@dana",
    "live": {"version": "v1", "prompt": "old"},
    "notify": [{"channel": "#ai", "as": "engineering"}],
    "judging": {
        "judge": "judge-v1",
        "share": "100%",
        "most": 1_000_000,
        "keep": "1h",
        "cost": f"${COST}",
        "anchors": [
            {"id": f"a{number}", "answer": f"anchor {number}", "label": "pass" if number < GOOD_ANCHORS else "fail"}
            for number in range(ANCHORS)
        ],
    },
}
ROLLOUT = {
    "version": 1,
    "rollout": "new",
    "surface": "assistant",
    "owner": "@dana",
    "risk": "low",
    "template": "prompt-low-stakes",
    "change": {"from": "assistant@v1", "to": {"prompt": "new"}, "why": "better"},
    "stages": [
        {"canary": {"percent": 5, "min_hold": "1m", "max_hold": "30m", "min_samples": 10}},
        {"ramp": {"steps": ["50%", "100%"], "hold": "200h"}},
        {"bake": {"hold": "1h"}},
    ],
    "assignment": {"unit": "user", "control": "concurrent"},
    "rollback_when": [{"metric": "eval_pass_rate", "drops_by": "0.25pp"}],
    "notify": [{"channel": "#ai", "as": "engineering"}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCase:
    """One case: the share of good answers of both versions, how many of each are judged a step, and whether the judge
    moves."""

    name: str
    canary: float
    control: float
    answers: int
    moves: bool


DROP = JudgedCase(name="a drop of 3 points", canary=0.95, control=0.98, answers=500, moves=False)
MOVE = JudgedCase(name="no drop, and a judge that moves", canary=0.92, control=0.92, answers=40, moves=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRun:
    """What became of one rollout, after how many hours, and what judging it cost. `doubted`: its judge was said to have
    moved by then."""

    outcome: str  # "rolled back", "the judge moved", another hold, or "nothing"
    doubted: bool
    hours: float
    judgements: int
    dollars: float


def measure(effort: Effort) -> Iterator[Figure]:
    """How often each case ended as it should, in so many runs, and what judging a rollout cost."""
    runs, steps = effort.some(RUNS), effort.some(STEPS)
    for case, wanted in ((DROP, "rolled back"), (MOVE, "the judge moved")):
        found = [play_rollout(case, seed, steps) for seed in range(runs)]
        share = 100 * sum(run.outcome == wanted for run in found) / runs
        yield Figure(name=f"{case.name}: {wanted}, of {runs}", ours=share, unit="%", goal=95)
        yield Figure(name=f"{case.name}: judgements a rollout", ours=median(r.judgements for r in found), unit="")


def play_rollout(case: JudgedCase, seed: int, steps: int = STEPS) -> JudgedRun:
    """One rollout, until it goes back or its steps are over; where the judge moves, until it holds."""
    chance = np.random.default_rng([seed, case.moves])
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder,
        connect(f"sqlite:///{Path(folder)}/run.db") as database,
    ):
        migrations.migrate(database)
        service, clock = RolloutService(database), [BEGIN]
        begin_rollout(service, clock)

        newest = exposure.build_cached_snapshot(service.load_world())

        def snapshot() -> Snapshot:
            nonlocal newest
            newest = exposure.build_cached_snapshot(service.load_world(), newest)
            return newest.snapshot

        streams = ChangeStreams(lambda: "")
        app = build_asgi_app(HttpParts(service=service, snapshot=snapshot, streams=streams, now=lambda: clock[0]))
        with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as http:
            moves_at = BEGIN + timedelta(hours=float(chance.uniform(6, 20))) if case.moves else None
            rollout, doubted = service.load_world().rollouts["R-1"], False
            for number in range(steps):
                _play_step(service, http, case, chance, clock[0], number, moves_at)
                clock[0] += timedelta(seconds=30)
                evaluate_rollout(service, "R-1", clock[0], every=STEP)
                rollout = service.load_world().rollouts["R-1"]
                doubted = doubted or rollout.judge_check.voided > 0
                if rollout.state is RolloutState.ROLLED_BACK or (case.moves and rollout.hold is not None):
                    break
                clock[0] += STEP - timedelta(seconds=30)
        spend = load_judging_spend(service, rollout)
    hours = (clock[0] - BEGIN) / timedelta(hours=1)
    spent = (spend.judged, spend.spent) if spend is not None else (0, 0.0)
    return JudgedRun(
        outcome=_describe_outcome(rollout), doubted=doubted, hours=hours, judgements=spent[0], dollars=spent[1]
    )


def begin_rollout(service: RolloutService, clock: list[datetime]) -> None:
    """Half of everybody on the new version, two hours after it began."""
    for number, file in enumerate((SURFACE, ROLLOUT)):
        apply_text(service, json.dumps(file), "f.yaml", by=ANA, at=clock[0], command_id=f"file:{number}")
    reason = "a simulation"
    commands: tuple[c.Command, ...] = (c.Start(), c.Advance(reason=reason))
    for number, command in enumerate(commands):
        clock[0] += timedelta(minutes=2)
        service.handle(CommandRequest(command=command, command_id=f"c:{number}", by=ANA, at=clock[0], rollout="R-1"))
    clock[0] += timedelta(hours=2)


def _play_step(
    service: RolloutService,
    http: TestClient,
    case: JudgedCase,
    chance: np.random.Generator,
    now: datetime,
    number: int,
    moves_at: datetime | None,
) -> None:
    anchor_rounds.run_anchor_rounds(service, now)
    for arm, good in (("canary", case.canary), ("control", case.control)):
        written = [
            {
                "surface": "assistant",
                "unit": f"{arm}-{number}-{i}",
                "id": f"{arm}-{number}-{i}",
                "variant": arm,
                "answer": "good" if is_good else "bad",
            }
            for i, is_good in enumerate(chance.random(case.answers) < good)
        ]
        _post(http, "/api/v1/answers", {"answers": written})
        asked = [{"surface": "assistant", "unit": one["unit"], "variant": arm, "metrics": {}} for one in written[:20]]
        _post(http, "/api/v1/observations", {"observations": asked})
    sensitivity, specificity = (0.7, 0.95) if moves_at is not None and now >= moves_at else (0.9, 0.85)
    while tasks := http.get("/api/v1/judging", params={"limit": 100}).json()["tasks"]:
        drawn = chance.random(len(tasks))
        results = [
            {"task": task["task"], "pass": bool(draw < (sensitivity if _is_good(task) else 1 - specificity))}
            for task, draw in zip(tasks, drawn, strict=True)
        ]
        _post(http, "/api/v1/judging", {"judge": "judge-v1", "results": results})
    anchor_rounds.run_anchor_rounds(service, now)


def _is_good(task: dict[str, Any]) -> bool:
    answer: str = task["answer"]
    return int(answer.split()[1]) < GOOD_ANCHORS if answer.startswith("anchor") else answer == "good"


def _post(http: TestClient, path: str, body: dict[str, Any]) -> None:
    reply = http.post(path, json=body)
    if reply.status_code >= 300 or reply.json()["rejected"]:
        raise RuntimeError(f"{path} was answered with {reply.status_code}: {reply.text[:300]}")


def _describe_outcome(rollout: Rollout) -> str:
    if rollout.state is RolloutState.ROLLED_BACK:
        return "rolled back"
    if rollout.hold is not None:
        return "the judge moved" if rollout.hold.key.startswith(holds.JUDGE_MOVED) else f"on hold: {rollout.hold.text}"
    return "nothing"


def _summarize(case: JudgedCase, runs: Sequence[JudgedRun]) -> Iterator[str]:
    yield f"{case.name}, {len(runs)} runs"
    for outcome in sorted({run.outcome for run in runs}):
        ones = [run for run in runs if run.outcome == outcome]
        low, high = proportion_interval(len(ones), len(runs))
        yield (
            f"  {outcome}: {len(ones)} of {len(runs)} ({100 * low:.1f} % to {100 * high:.1f} %), "
            f"after {median(run.hours for run in ones):.1f} h"
        )
    yield f"  said to have a judge that moved, by then: {sum(run.doubted for run in runs)}"
    judged, dollars = [run.judgements for run in runs], [run.dollars for run in runs]
    yield (
        f"  judging a rollout: median {median(judged):,.0f} judgements, ${median(dollars):.2f}; "
        f"most {max(judged):,}, ${max(dollars):.2f}, at ${COST} each"
    )


def main() -> None:
    """Both cases, with their 95 % limits."""
    runs, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for case in (MOVE, DROP):
        began = time.monotonic()
        found = []
        for seed in range(first, first + runs):
            found.append(play_rollout(case, seed))
            run = found[-1]
            print(f"    seed {seed}: {run.outcome}, {run.hours:.1f} h, {run.judgements:,} judgements", flush=True)
        print("\n".join(_summarize(case, found)), f"  in {time.monotonic() - began:.0f} s", sep="\n", flush=True)


if __name__ == "__main__":
    main()
