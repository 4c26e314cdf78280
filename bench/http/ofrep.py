"""Single evaluations through HTTP, against a trivial Starlette route on the same server settings."""

import json
from collections.abc import Callable, Iterator

from bench.measuring import databases, load, processes, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort, medians
from core.service.service import RolloutService
from core.store.database.connections import connect

GOAL = 0.9
UNITS = 500


def measure(effort: Effort) -> Iterator[Figure]:
    """Requests a second of one process, and a CPU second of that process (which other load cannot disturb)."""
    with databases.folder() as folder:
        url = databases.sqlite(folder)
        with connect(url) as database:
            rollouts.begin(RolloutService(database))
        with processes.rampart("serve", url) as ours, processes.peer("starlette_route") as theirs:
            a_cpu_second: dict[str, list[float]] = {}

            def rate(name: str, server: processes.Running, path: str) -> Callable[[], float]:
                def once() -> float:
                    before = server.cpu_seconds
                    answered = load.run(load.Load(url=server.url, asks=_asks(path), seconds=effort.seconds))
                    a_cpu_second.setdefault(name, []).append(answered.count / (server.cpu_seconds - before))
                    return answered.rate

                return once

            found = medians(
                {
                    "ours": rate("ours", ours, f"/ofrep/v1/evaluate/flags/{rollouts.SURFACE}"),
                    "json": rate("json", theirs, "/evaluate"),
                    "constant": rate("constant", theirs, "/constant"),
                },
                effort.rounds,
            )
    for name, said in (("json", "Starlette route that reads JSON"), ("constant", "Starlette route that reads nothing")):
        yield Figure(name=f"OFREP single: {said}", ours=found["ours"], peer=found[name], unit="/s", goal=GOAL)
    middle = {name: sorted(figures[1:])[len(figures[1:]) // 2] for name, figures in a_cpu_second.items()}
    yield Figure(
        name="OFREP single, a CPU second of the server: Starlette route that reads JSON",
        ours=middle["ours"],
        peer=middle["json"],
        unit="/CPU-s",
        goal=GOAL,
    )


def _asks(path: str) -> tuple[load.Ask, ...]:
    headers = {"content-type": "application/json"}
    contexts = (
        {"targetingKey": f"user-{number}", "language": "en", "plan": "paid", "email": f"user-{number}@mail.test"}
        for number in range(UNITS)
    )
    return tuple(load.Ask(path=path, headers=headers, body=json.dumps({"context": one})) for one in contexts)
