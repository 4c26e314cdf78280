"""Evaluations in process, three cohorts and a 5 % canary, against the growthbook SDK."""

import time
from collections.abc import Iterator

from bench import databases, rollouts
from bench.figures import Figure
from bench.peer import Peer
from bench.rounds import Effort, medians
from core.flags.evaluation import evaluate
from core.rollout import exposure
from core.service import RolloutService
from core.store.database.connections import connect

GOAL = 2.5
PEOPLE = 2_000
TIMES = 20


def measure(effort: Effort) -> Iterator[Figure]:
    """Evaluations a CPU second, one thread; every person comes with another context."""
    times = effort.some(TIMES)
    people = [_person(number) for number in range(PEOPLE)]
    with databases.folder() as folder, connect(databases.sqlite(folder)) as database:
        service = RolloutService(database)
        rollouts.begin(service, cohorts=rollouts.COHORTS)
        snapshot = exposure.build_snapshot(service.load_world())

    def ours() -> float:
        began = time.process_time()
        for _ in range(times):
            for person in people:
                evaluate(snapshot, rollouts.SURFACE, person["id"], person)
        return times * PEOPLE / (time.process_time() - began)

    with Peer("growthbook_evaluation.py") as peer:
        found = medians(
            {"ours": ours, "peer": lambda: times * PEOPLE / peer.ask(people=people, times=times)["seconds"]},
            effort.rounds,
        )
    yield Figure(
        name="evaluation in process: growthbook SDK",
        ours=found["ours"],
        peer=found["peer"],
        unit="/CPU-s",
        goal=GOAL,
    )


def _person(number: int) -> dict[str, str]:
    return {
        "id": f"user-{number}",
        "email_domain": "example.com" if number % 50 == 0 else "mail.test",
        "plan": ("free", "paid", "team")[number % 3],
        "region": ("de", "fr", "us", "no")[number % 4],
    }
