"""Evaluations in process, by Rampart and by its client, three cohorts and a 5 % canary, against other vendors' SDKs."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx

from bench.measuring import databases, rollouts
from bench.measuring.figures import Figure
from bench.measuring.peer import Peer
from bench.measuring.rounds import Effort, medians
from core.flags.document import DocumentEncoder
from core.flags.evaluation import choose_answer
from core.flags.snapshot import Snapshot
from core.rollout.serving import exposure
from core.service.service import RolloutService
from core.store.database.connections import connect
from rampart_client import RampartClient

GOAL = 2.5
CLIENT_GOAL = 5.0
PEOPLE = 2_000
TIMES = 20
TIMES_OF_PEERS = 5  # they are slower
SDKS = {
    "growthbook": "growthbook SDK",
    "launchdarkly": "LaunchDarkly's SDK on a file",
    "unleash": "Unleash's SDK, bootstrapped",
    "openfeature": "OpenFeature's SDK in memory, without rules",
}


def measure(effort: Effort) -> Iterator[Figure]:
    """Evaluations a CPU second, one thread; every person comes with another context."""
    times = effort.some(TIMES)
    people = [_person(number) for number in range(PEOPLE)]
    with databases.folder() as folder, connect(databases.sqlite(folder)) as database:
        service = RolloutService(database)
        rollouts.begin(service, cohorts=rollouts.COHORTS)
        snapshot = exposure.build_snapshot(service.load_world())

    client = RampartClient(
        "http://127.0.0.1:1", listen=False, transport=lambda: httpx.MockTransport(_answer_with(snapshot))
    )
    client.start()

    def by_client() -> float:
        began = time.process_time()
        for _ in range(times):
            for person in people:
                client.evaluate(rollouts.SURFACE, person["id"], person)
        return times * PEOPLE / (time.process_time() - began)

    def ours() -> float:
        began = time.process_time()
        for _ in range(times):
            for person in people:
                choose_answer(snapshot.surfaces[rollouts.SURFACE], person["id"], person)
        return times * PEOPLE / (time.process_time() - began)

    def by(peer: Peer) -> Callable[[], float]:
        some = effort.some(TIMES_OF_PEERS)
        return lambda: some * PEOPLE / peer.ask(people=people, times=some)["seconds"]

    with ExitStack() as stack:
        peers = {name: by(stack.enter_context(Peer("flag_evaluation.py", name))) for name in SDKS}
        found = medians({"ours": ours, "client": by_client, **peers}, effort.rounds)
    client.close()
    yield Figure(
        name=f"evaluation in process: {SDKS['growthbook']}",
        ours=found["ours"],
        peer=found["growthbook"],
        unit="/CPU-s",
        goal=GOAL,
    )
    for name, title in SDKS.items():
        yield Figure(
            name=f"evaluation by rampart-client: {title}",
            ours=found["client"],
            peer=found[name],
            unit="/CPU-s",
            goal=None if name == "openfeature" else CLIENT_GOAL,
        )


def _answer_with(snapshot: Snapshot) -> Callable[[httpx.Request], httpx.Response]:
    """A server that knows nothing but this snapshot."""
    document = DocumentEncoder().encode(snapshot)

    def answer(request: httpx.Request) -> httpx.Response:
        is_known = request.headers.get("if-none-match") == document.etag
        return httpx.Response(304 if is_known else 200, content=document.body, headers={"ETag": document.etag})

    return answer


def _person(number: int) -> dict[str, str]:
    return {
        "id": f"user-{number}",
        "email_domain": "example.com" if number % 50 == 0 else "mail.test",
        "plan": ("free", "paid", "team")[number % 3],
        "region": ("de", "fr", "us", "no")[number % 4],
    }
