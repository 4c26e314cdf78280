"""Plays a history and writes its log down, once and for all: `python -m tests.trials.record NAME…`."""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.rollout import commands as c
from core.rollout.state.world import World
from core.service.service import RolloutService
from core.store.audit import export
from core.store.database.connections import connect
from core.store.schema import migrations
from tests.trials.plant import DANA, LEE, MIRA, Clock, Process
from tests.trials.slack_in_process import Slack, in_process

FOLDER = Path(__file__).with_name("histories")


def told(world: World) -> dict[str, Any]:
    """What a world comes to, in words and numbers that no later program may read otherwise."""
    return {
        "position": world.position,
        "live": {name: [surface.live, surface.live_by, *surface.running] for name, surface in world.surfaces.items()},
        "rollouts": {
            rollout.id: {
                "state": str(rollout.state),
                "stages": [span.index for span in rollout.spans],
                "percent": rollout.percent,
                "versions": [rollout.plan.from_version, rollout.plan.to_version],
                "hold": rollout.hold.key if rollout.hold else "",
                "set aside": sorted(rollout.overridden),
                "evidence": [rollout.evidence.number, type(rollout.evidence.verdict).__name__]
                if rollout.evidence
                else [],
                "paused": rollout.paused_for.total_seconds(),
                "messages": len(rollout.messages),
                "why": [rollout.rollback.reason, *(f.metric for f in rollout.rollback.findings)]
                if rollout.rollback
                else [],
            }
            for rollout in world.rollouts.values()
        },
    }


def begin(process: Process) -> None:
    process.declare()
    process.plan(1, "plan-1")
    process.drain()
    process.say(c.Approve(), "approve", by=LEE)
    process.clock.turn(minutes=1)
    process.say(c.Start(), "start", by=DANA)


def play(process: Process, ticks: int, scenario: str, requests: int = 300) -> None:
    """Until the rollout ends, or so many ticks have passed."""
    for _ in range(ticks):
        if not process.world.open_rollouts:
            return
        process.clock.turn(seconds=30)
        if requests:
            process.serve(requests, scenario, int(process.clock.at.timestamp()))
        process.tick()
        process.deliver()


def rolled_back(process: Process) -> None:
    """Refusals are found, and everybody is switched back."""
    begin(process)
    play(process, 40, "refusals")
    process.tick()


def completed(process: Process) -> None:
    """Nothing gets worse, and the new version becomes what is live; later it is taken back after all."""
    begin(process)
    play(process, 60, "healthy")
    process.plan(2, "plan-2")
    process.say(c.RollBack(reason="customers miss the apology"), "back", by=MIRA)
    process.tick()
    process.deliver()


def abandoned(process: Process) -> None:
    """Rejected, planned anew, and given up before it began."""
    process.declare()
    process.plan(1, "plan-1")
    process.deliver()
    process.say(c.Reject(reason="not on a Monday"), "reject", by=LEE)
    process.say(c.RaiseConcern(notice="support:#support", text="is support ready?"), "concern", by=MIRA)
    process.say(c.Abandon(reason="next week"), "abandon", by=DANA)
    process.deliver()


def held_and_resumed(process: Process) -> None:
    """Nothing arrives for an hour; somebody pauses; two doubt; each time it goes on, and in the end it is done."""
    begin(process)
    play(process, 3, "healthy")
    process.clock.turn(hours=1)
    play(process, 1, "healthy", requests=0)
    play(process, 1, "healthy")
    process.say(c.Pause(reason="lunch"), "pause", by=MIRA)
    process.clock.turn(minutes=20)
    process.say(c.Resume(reason="back"), "resume-1", by=MIRA)
    for number, person in enumerate((LEE, MIRA)):
        process.say(c.FeelsOff(text="curt"), f"felt-{number}", by=person)
    process.say(c.Resume(reason="it is meant to be short"), "resume-2", by=DANA)
    play(process, 60, "healthy")


SCRIPTS: dict[str, Callable[[Process], None]] = {
    "rolled-back": rolled_back,
    "completed-and-taken-back": completed,
    "abandoned": abandoned,
    "held-and-resumed": held_and_resumed,
}


def main(names: list[str]) -> None:
    for name in names or SCRIPTS:
        with tempfile.TemporaryDirectory() as folder, in_process():
            url = f"sqlite:///{folder}/log.db"
            with connect(url) as database:
                migrations.migrate(database)
            clock = Clock()
            process = Process("web-1", url, clock, Slack(clock.now))
            SCRIPTS[name](process)
            with process.database.reading() as connection:
                lines = list(export.export_events(connection))
            expected = json.dumps(told(RolloutService(process.database).load_world()), indent=1)
            process.stop()
        (FOLDER / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (FOLDER / f"{name}.json").write_text(expected + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
