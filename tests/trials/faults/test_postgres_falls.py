"""A Postgres that falls over under load and rises again: honest answers meanwhile, nothing lost, nobody restarted."""

import threading
import time
from collections.abc import Callable, Iterator

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from bot.sandbox.control import Sandbox
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.audit import verify
from core.store.database.connections import connect
from tests.journey import plans
from tests.journey.house import waiting_until
from tests.journey.processes import post
from tests.trials.faults import installation
from tests.trials.faults.installation import SOON
from tests.trials.faults.nursery import Nursery
from tests.trials.faults.server import Server
from tests.trials.length import pick

FALLS = pick(2, 20)
WRITERS = 4
PATIENCE = 20  # seconds for one answer


class Writer:
    """Raises one concern after another; each under its key until it is acknowledged. Keeps what else it was told."""

    def __init__(self, name: str, url: str) -> None:
        self.acknowledged: list[str] = []
        self.unavailable: list[dict[str, str]] = []
        self.wrong: list[str] = []
        self._name, self._url = name, url
        self._over, self._thread = threading.Event(), threading.Thread(target=self._work, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join(SOON)
        assert not self._thread.is_alive()

    def _work(self) -> None:
        while not self._over.is_set():
            key = f"{self._name}-{len(self.acknowledged)}"
            if self._once(key):
                self.acknowledged.append(key)
            self._over.wait(0.03)

    def _once(self, key: str) -> bool:
        body: dict[str, object] = {"command": "concern", "notice": "general", "reason": key}
        answer = post(self._url, "/api/v1/rollouts/R-1/commands", body, key=key)
        if answer.status_code == 503:
            self.unavailable.append(answer.json())
        elif answer.status_code != 200:
            self.wrong.append(f"{answer.status_code} {answer.text}")
        return answer.status_code == 200


@pytest.mark.slow
def test_a_server_that_falls_over_under_load(server: Server, nursery: Callable[..., Nursery], slack: Sandbox) -> None:
    with connect(server.url()) as database:
        place = nursery(server.url())
        web, worker = place.start("web"), place.start("worker")
        for process in (web, worker):
            process.wait_started()
        slack.connect(f"{web.url}/slack/events")
        plans.begin(web.url)
        writers = [Writer(f"w{n}", web.url) for n in range(WRITERS)]
        for writer in writers:
            writer.begin()
        for _ in range(FALLS):
            _more_is_acknowledged(writers)
            server.fall()
            _honest_while_it_is_away(web.url, slack)
            server.rise()
            began = time.monotonic()
            _more_is_acknowledged(writers)
            print(f"acknowledging again {time.monotonic() - began:.2f} s after it rose")
        for writer in writers:
            writer.end()
            assert writer.wrong == []
            assert writer.unavailable, "it was away, and they were told"
            assert {told["message"] for told in writer.unavailable} == {"The database did not answer."}
        assert web.lives
        assert worker.lives
        service = RolloutService(database)
        for writer in writers:
            told = [r.event.text for r in service.load_history("R-1") if isinstance(r.event, e.ConcernRaised)]
            mine = [one for one in told if one.startswith(writer._name)]
            assert mine[: len(writer.acknowledged)] == writer.acknowledged
            assert len(mine) - len(writer.acknowledged) <= 1
            assert len(set(mine)) == len(mine)
        with database.reading() as connection:
            assert verify.verify(connection).problems == ()
        _looks_go_on(service)
        assert "Rolled back by" in slack.act_as("ana").type_command('/rollout rollback R-1 "that is enough"').text
        installation.everything_is_said(database)
        installation.said_once(slack)


def _more_is_acknowledged(writers: list[Writer]) -> None:
    before = [len(writer.acknowledged) for writer in writers]
    waiting_until(
        lambda: all(len(w.acknowledged) >= b + 5 for w, b in zip(writers, before, strict=True)),
        lambda: f"more is acknowledged; {[(w.unavailable[-1:], w.wrong[-1:]) for w in writers]}",
        within=SOON,
    )


def _looks_go_on(service: RolloutService) -> None:
    from core.store.observations import looks

    def newest() -> int:
        with service.database.reading() as connection:
            return looks.load_count_and_time(connection, "R-1")[0]

    seen = newest()
    waiting_until(lambda: newest() > seen + 1, lambda: "R-1 is looked at", within=SOON)


def _honest_while_it_is_away(url: str, slack: Sandbox) -> None:
    """Every door but evaluation says that the database is away; evaluation goes on."""
    flag = f"{url}/ofrep/v1/evaluate/flags/support-assistant"
    context = {"context": {"targetingKey": "user-1"}}
    assert httpx.post(flag, json=context, trust_env=False, timeout=PATIENCE).status_code == 200
    observed: dict[str, object] = {"observations": [{"surface": "support-assistant", "unit": "u", "variant": "canary"}]}
    concern: dict[str, object] = {"command": "concern", "notice": "general", "reason": "away"}
    asked: list[tuple[str, httpx.Response]] = [
        ("a command", post(url, "/api/v1/rollouts/R-1/commands", concern, key="away")),
        ("a file", post(url, "/api/v1/files", plans.LONG, key="away")),
        ("a batch", post(url, "/api/v1/observations", observed, key="away")),
        *((f"GET {path}", httpx.get(f"{url}{path}", trust_env=False, timeout=PATIENCE)) for path in _READ),
    ]
    for what, answer in asked:
        assert answer.status_code == 503, f"{what}: {answer.status_code} {answer.text}"
        assert answer.json()["message"].startswith("The database "), what
        assert answer.json()["hint"], what
    said = slack.act_as("ana").type_command("/rollout pause R-1").text
    assert "database did not answer" in said, said
    assert httpx.post(flag, json=context, trust_env=False, timeout=PATIENCE).status_code == 200


_READ = ("/api/v1/rollouts", "/api/v1/rollouts/R-1", "/", "/readyz")


@pytest.fixture
def few_connections(own_postgres: str) -> Iterator[tuple[str, Callable[[int], None]]]:
    """An address under a name whose connections can be limited."""
    with psycopg.connect(own_postgres, autocommit=True) as owner:
        owner.execute("CREATE ROLE few LOGIN SUPERUSER")
        owner.execute("ALTER ROLE few NOSUPERUSER")
        owner.execute("GRANT ALL ON SCHEMA public TO few")
        owner.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO few")
        owner.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO few")

        def limit(count: int) -> None:
            owner.execute(f"ALTER ROLE few CONNECTION LIMIT {count}")
            if count == 0:
                owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'few'")

        yield make_url(own_postgres).set(username="few").render_as_string(hide_password=False), limit
        limit(0)
        owner.execute("DROP OWNED BY few")
        owner.execute("DROP ROLE few")


@pytest.mark.slow
def test_too_many_connections_are_told_and_recovered_from(
    few_connections: tuple[str, Callable[[int], None]], nursery: Callable[..., Nursery], slack: Sandbox
) -> None:
    url, limit = few_connections
    place = nursery(url)
    web, worker = place.start("web"), place.start("worker")
    for process in (web, worker):
        process.wait_started()
    slack.connect(f"{web.url}/slack/events")
    plans.begin(web.url)
    limit(0)
    _honest_while_it_is_away(web.url, slack)
    limit(-1)
    writers = [Writer("w", web.url)]
    writers[0].begin()
    _more_is_acknowledged(writers)
    writers[0].end()
    assert writers[0].wrong == []
    with connect(url) as database:
        _looks_go_on(RolloutService(database))
