"""Traces of a tool that keeps them count as the observations that say the same: each once, late ones too."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest

from bot.jobs.pulling.source_pulls import SourcePuller
from core.flags.snapshot import Variant
from core.judging.model.evidence import CellKey
from core.rollout import commands as c
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state.model import RolloutState
from core.service import rollout_look
from core.store.database.connections import Database, connect
from core.store.observations import pulled_sums
from tests.http.conftest import SURFACE, Running, running_on
from tests.sources.conftest import pushed
from tests.sources.langfuse_stand_in import LangfuseStandIn, build_score, build_trace
from tests.sources.test_equal_sums import WITHOUT_COHORT, assert_equal

SOURCES = """
sources:
  - name: traces
    every: 1m
    late: 1h
    timeout: 10s
    langfuse:
      url: SOURCE_LANGFUSE_URL
      rows: requests
      unit: user
      exposure: metadata.exposure
      segments: {language: tag.language}
      metrics:
        {latency_ms: latency_ms, cost_per_request: cost, refusal_rate: metadata.refused, eval_pass_rate: score.correct}
"""
LOOPBACK = frozenset({"127.0.0.1"})
LIMITS = WITHOUT_COHORT.replace("percent: 5, min_hold: 1m", "percent: 5, min_hold: 28m")


@dataclass(slots=True)
class Users:
    """People who use the AI feature; each request is a trace, and could be an observation."""

    running: Running
    langfuse: LangfuseStandIn
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    items: list[dict[str, Any]] = field(default_factory=list)

    def use(self, many: int, seconds: float = 50) -> list[dict[str, Any]]:
        """So many requests, spread over the last `seconds`; their traces are not there yet."""
        exposure = build_snapshot(self.running.service.load_world()).surfaces["support-assistant"].exposure
        assert exposure is not None
        traces = []
        for number in range(many):
            unit = f"user-{self.dice.randrange(200)}"
            place = exposure.bucket(unit)
            arm = Variant.CANARY if place < exposure.canary_below else Variant.CONTROL
            at = self.running.now() - timedelta(seconds=seconds * (many - number) / many)
            said = {"exposure": f"R-1.{exposure.stage_index}.{arm}", "refused": self.dice.random() < 0.1}
            latency, cost = self.dice.choice([0.25, 0.5, 4.5]), self.dice.choice([0.25, 0.5])
            language = self.dice.choice(["de", "fr"])
            identity = f"t-{len(self.items)}"
            traces.append(
                build_trace(
                    identity, at, userId=unit, metadata=said, latency=latency, totalCost=cost,
                    tags=[f"language:{language}", "beta"],
                )
            )  # fmt: skip
            metrics = {"latency_ms": latency * 1000, "cost_per_request": cost, "refusal_rate": said["refused"]}
            self.items.append(
                {
                    "surface": "support-assistant", "unit": unit, "at": at.isoformat(), "id": identity,
                    "exposure": said["exposure"], "segments": {"language": language}, "metrics": metrics,
                }
            )  # fmt: skip
        return traces


@pytest.fixture
def langfuse() -> Iterator[LangfuseStandIn]:
    found = LangfuseStandIn().start()
    yield found
    found.stop()


@pytest.fixture
def running(sqlite_database: Database) -> Running:
    return running_on(sqlite_database)


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def source(running: Running, langfuse: LangfuseStandIn, waits: list[float]) -> SourcePuller:
    """A canary whose metrics come from Langfuse; a minute later."""
    running.apply(SURFACE + SOURCES)
    running.apply(LIMITS)
    running.do(c.Start())
    running.wait(minutes=1)
    return SourcePuller(running.service, {"SOURCE_LANGFUSE_URL": langfuse.url}, LOOPBACK, wait=waits.append)


def count(running: Running, metric: str) -> tuple[float, float]:
    """Of both arms."""
    sums = pushed(running)
    cells = [
        cell
        for arm in ("canary", "control")
        if (cell := sums.cells.get(CellKey(stage=0, arm=arm, segment="", metric=metric))) is not None
    ]
    return sum(float(one.weight.sum()) for one in cells), sum(float(one.value.sum()) for one in cells)


def state(running: Running) -> pulled_sums.PullState:
    with running.service.database.reading() as connection:
        return pulled_sums.load_state(connection, "R-1", "traces")


def pull(running: Running, source: SourcePuller, minutes: int = 1) -> None:
    running.wait(minutes=minutes)
    assert source.pull_due(running.now()) == 1


def look(running: Running) -> Any:
    rollout_look.evaluate_rollout(running.service, "R-1", running.now(), every=timedelta(seconds=10))
    return running.service.load_world().rollouts["R-1"]


def test_what_is_pulled_equals_what_is_sent(
    running: Running,
    langfuse: LangfuseStandIn,
    source: SourcePuller,
    serve: Callable[..., httpx.Client],
    new_sqlite: Callable[[], str],
) -> None:
    users = Users(running, langfuse)
    langfuse.traces += users.use(330)
    pull(running, source)
    assert state(running).failure == ""
    assert count(running, "requests") == (330, 330)
    with connect(new_sqlite()) as database:
        other = running_on(database)
        other.apply(LIMITS)
        other.do(c.Start())
        other.wait(minutes=2)
        answer = serve(other).post("/api/v1/observations", json={"observations": users.items}).json()
        assert answer == {"accepted": 330, "rejected": []}
        assert_equal(pushed(running), pushed(other))


def test_each_trace_counts_once_however_often_it_is_read_and_one_that_comes_late_counts(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller
) -> None:
    traces = Users(running, langfuse).use(250)
    langfuse.traces += traces[50:]
    for _ in range(3):
        pull(running, source)
    assert count(running, "requests") == (200, 200)
    langfuse.traces += traces[:50]  # which happened before those that were read
    pull(running, source)
    pull(running, source)
    assert count(running, "requests") == (250, 250)
    assert sum(pushed(running).first_exposures.values()) == len({one["userId"] for one in traces})


def test_a_score_that_comes_later_counts_for_its_trace_and_makes_no_second_request(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller
) -> None:
    traces = Users(running, langfuse).use(40)
    langfuse.traces += traces
    pull(running, source)
    assert count(running, "eval_pass_rate") == (0, 0)
    langfuse.scores += [
        build_score(one["id"], "correct", number % 4 > 0, running.now(), "BOOLEAN") for number, one in enumerate(traces)
    ]
    pull(running, source)
    pull(running, source)
    assert count(running, "eval_pass_rate") == (40, 30)
    assert count(running, "requests") == (40, 40)
    assert count(running, "cost_per_request")[0] == 40


def test_a_cost_or_a_time_of_zero_is_not_known_until_it_is_told(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller
) -> None:
    """Langfuse says 0 of a model without a price, and of a trace whose calls have not come yet."""
    traces = Users(running, langfuse).use(40)
    langfuse.traces += [{**one, "totalCost": 0, "latency": 0} for one in traces]
    pull(running, source)
    assert count(running, "requests") == (40, 40)
    assert count(running, "cost_per_request") == count(running, "latency_p95") == (0, 0)
    langfuse.traces[:30] = [{**one, "totalCost": 0.5, "latency": 0.25} for one in traces[:30]]
    pull(running, source)
    pull(running, source)
    assert count(running, "requests") == (40, 40)
    assert count(running, "cost_per_request") == (30, 15)


@pytest.mark.parametrize(
    "broken",
    [
        (500, {}, b"oops"),
        (429, {"Retry-After": "30"}, b""),
        (200, {}, b'{"data": [{"id": "t-1", "times'),
        (200, {}, b'{"data": {}}'),
        (302, {"Location": "http://127.0.0.1:1/"}, b""),
    ],
    ids=["fails", "is busy", "is cut off", "is something else", "leads elsewhere"],
)
def test_a_page_that_breaks_loses_nothing_and_doubles_nothing(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller, broken: tuple[int, dict[str, str], bytes]
) -> None:
    langfuse.traces += Users(running, langfuse).use(350)
    langfuse.fail = lambda path, asked: broken if path.endswith("traces") and asked["page"] == "3" else None
    pull(running, source)
    assert count(running, "requests") == (200, 200)
    pull(running, source)  # from where it came to, so that other traces are on the third page
    langfuse.fail = lambda path, asked: None
    pull(running, source)
    assert state(running).failure == ""
    assert count(running, "requests") == (350, 350)


def test_a_source_that_is_busy_is_asked_again_after_as_long_as_it_says(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller, waits: list[float]
) -> None:
    langfuse.traces += Users(running, langfuse).use(20)
    answers = [(429, {"Retry-After": "3"}, b""), (503, {}, b"")]
    langfuse.fail = lambda path, asked: answers.pop(0) if answers else None
    pull(running, source)
    assert waits == [3.0, 1.0]
    assert count(running, "requests") == (20, 20)


def test_entries_that_are_no_traces_keep_no_other_from_being_counted(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller
) -> None:
    traces = Users(running, langfuse).use(20)
    odd = [
        {**traces[3], "id": "odd-1", "userId": None},
        {**traces[4], "id": "odd-2", "metadata": {"exposure": "R-1.0.everyone"}},
        {**traces[5], "id": "odd-3", "totalCost": float("1e300"), "latency": "slow"},
        {**traces[6], "id": "odd-4", "metadata": None, "tags": None},
        {**traces[7], "id": "odd-5", "metadata": [[["exposure"]]]},
    ]
    langfuse.traces += [*traces, *odd]
    pull(running, source)
    pull(running, source)
    assert state(running).failure == ""
    assert count(running, "cost_per_request")[0] == 20
    assert count(running, "requests")[0] == 21  # of the third, what can be counted is


@pytest.mark.parametrize(
    "odd",
    [
        {"input": "thanks \ud83d"},
        {"version": "\ud83d"},
        {"tags": 5},
        {"totalCost": 10**400},
        {"latency": 10**400},
        {"input": 10**400},
        {"timestamp": "9999-12-31T23:59:59-12:00"},
        {"timestamp": "0001-01-01T00:00:00+12:00"},
    ],
    ids=["cut-within-an-emoji", "half-a-character", "tags", "cost", "latency", "input", "too-late", "too-early"],
)
def test_an_odd_entry_keeps_no_other_from_being_counted(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller, odd: dict[str, Any]
) -> None:
    traces = Users(running, langfuse).use(20)
    page = json.dumps({"data": [*traces[:19], {**traces[19], **odd}], "meta": {"totalPages": 1}}).encode()
    langfuse.fail = lambda path, asked: (200, {}, page) if path.endswith("/traces") else None
    pull(running, source)
    assert state(running).failure == ""
    assert count(running, "requests")[0] == (19 if "timestamp" in odd else 20)


def test_a_pull_that_fails_in_a_way_nobody_foresaw_holds_as_any_other(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller
) -> None:
    def fail(host: str, port: int) -> list[str]:
        raise RuntimeError(f"{host}:{port}")

    broken = SourcePuller(running.service, source.urls, LOOPBACK, resolve=fail)
    held = []
    for _ in range(4):
        pull(running, broken)
        held.append(look(running).state is RolloutState.ON_HOLD)
    assert held == [False, False, False, True]
    assert state(running).failure == "an error of Rampart (RuntimeError), which its log describes"


def test_a_request_that_was_sent_under_the_same_id_counts_as_that(
    running: Running, langfuse: LangfuseStandIn, serve: Callable[..., httpx.Client]
) -> None:
    running.apply(SURFACE + SOURCES.replace("unit: user\n", "unit: user\n      id: trace\n"))
    running.apply(LIMITS)
    running.do(c.Start())
    running.wait(minutes=1)
    source = SourcePuller(running.service, {"SOURCE_LANGFUSE_URL": langfuse.url}, LOOPBACK)
    users = Users(running, langfuse)
    traces = users.use(30)
    sent = [{**item, "metrics": {"retry_rate": False}} for item in users.items[:10]]
    client = serve(running)
    assert client.post("/api/v1/observations", json={"observations": sent}).json()["accepted"] == 10
    langfuse.traces += traces
    pull(running, source)
    pull(running, source)
    assert count(running, "latency_p95")[0] == 20
    again = client.post("/api/v1/observations", json={"observations": users.items[10:20]}).json()
    assert {one["code"] for one in again["rejected"]} == {"duplicate"}


def test_what_came_while_a_source_was_down_counts_and_nothing_counts_twice(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller
) -> None:
    langfuse.traces += Users(running, langfuse).use(60)
    pull(running, source)
    langfuse.fail = lambda path, asked: (500, {}, b"")
    pull(running, source)
    running.wait(hours=30)  # longer than what was counted is remembered
    langfuse.fail = lambda path, asked: None
    langfuse.traces += Users(running, langfuse, items=[{}] * 60).use(40, seconds=29 * 3600)
    pull(running, source)
    pull(running, source)
    assert count(running, "requests") == (100, 100)


def test_a_trace_of_a_stage_that_is_closed_counts_no_more(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller
) -> None:
    traces = Users(running, langfuse).use(60)
    langfuse.traces += traces[:20]
    pull(running, source)
    running.do(c.Advance(reason="on"))
    running.wait(minutes=100)
    langfuse.traces += traces[20:30]  # within an hour of stragglers, and the hour that the source allows
    pull(running, source)
    assert count(running, "requests") == (30, 30)
    running.wait(minutes=30)
    langfuse.traces += traces[30:]
    pull(running, source)
    assert count(running, "requests") == (30, 30)


def test_a_straggler_that_is_only_read_once_its_stage_is_closed_counts_no_more(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller
) -> None:
    traces = Users(running, langfuse).use(30)
    langfuse.traces += traces[:20]
    pull(running, source)
    running.do(c.Advance(reason="on"))
    langfuse.fail = lambda path, asked: (500, {}, b"")
    pull(running, source)
    after = (running.now() + timedelta(minutes=20)).isoformat()
    running.wait(hours=5)
    langfuse.fail = lambda path, asked: None
    langfuse.traces += [{**one, "timestamp": after} for one in traces[20:]]
    pull(running, source)
    assert state(running).failure == ""
    assert count(running, "requests") == (20, 20)


@pytest.mark.parametrize(
    ("spoil", "why", "at_once"),
    [
        (
            {"SOURCE_LANGFUSE_URL": "http://pk:wrong@127.0.0.1:{port}"},
            "it refuses the user, the password or the token",
            True,
        ),
        ({"SOURCE_LANGFUSE_URL": "http://pk@127.0.0.1:1"}, "127.0.0.1 cannot be reached", False),
        ({"SOURCE_LANGFUSE_URL": "http://pk@169.254.169.254/"}, "169.254.169.254 would be called over http", True),
        ({"SOURCE_LANGFUSE_URL": "https://pk:sk@10.0.0.8/"}, "which is not a public internet address", True),
        ({"SOURCE_LANGFUSE_URL": "https://pk:s/k@127.0.0.1/"}, "its address cannot be read", True),
        ({"SOURCE_LANGFUSE_URL": "https://pk/lf@127.0.0.1/"}, "write / in its password as %2F", True),
        ({"SOURCE_LANGFUSE_URL": "postgresql://pk:sk@127.0.0.1/"}, "its address is no https://host", True),
        ({}, "SOURCE_LANGFUSE_URL is not set where the worker runs", True),
    ],
)
def test_a_source_that_cannot_be_read_holds_with_the_reason_and_without_its_keys(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller, spoil: dict[str, str], why: str, at_once: bool
) -> None:
    langfuse.traces += Users(running, langfuse).use(300)
    pull(running, source)
    assert look(running).state is RolloutState.RUNNING
    before = count(running, "requests")
    port = langfuse.url.rpartition(":")[2]
    urls = {name: text.replace("{port}", port) for name, text in spoil.items()}
    broken = SourcePuller(running.service, urls, LOOPBACK, wait=lambda seconds: None)
    held = []
    for _ in range(4):
        pull(running, broken)
        held.append(look(running).state is RolloutState.ON_HOLD)
    assert held == ([True] * 4 if at_once else [False, False, False, True])
    assert why in state(running).failure
    assert "pk" not in state(running).failure
    assert count(running, "requests") == before


def test_metrics_say_which_source_fails_and_how_old_its_numbers_are(
    running: Running, langfuse: LangfuseStandIn, source: SourcePuller, serve: Callable[..., httpx.Client]
) -> None:
    langfuse.traces += Users(running, langfuse).use(10)
    pull(running, source)
    client, of = serve(running), 'rollout="R-1",source="traces"'
    running.wait(seconds=20)
    said = client.get("/metrics").text
    assert f"rampart_source_failing{{{of}}} 0.0\n" in said
    assert f"rampart_source_age_seconds{{{of}}} 20.0\n" in said
    langfuse.fail = lambda path, asked: (500, {}, b"")
    pull(running, source)
    assert f"rampart_source_failing{{{of}}} 1.0\n" in client.get("/metrics").text


def test_inputs_and_outputs_are_asked_for_only_where_metadata_is_read(
    running: Running, langfuse: LangfuseStandIn
) -> None:
    running.apply(
        SURFACE + SOURCES.replace("metadata.exposure", "tag.exposure").replace("metadata.refused", "tag.refused")
    )
    running.apply(LIMITS)
    running.do(c.Start())
    running.wait(minutes=1)
    for one in Users(running, langfuse).use(10):
        said = one["metadata"]
        one["tags"] += [f"exposure:{said['exposure']}", f"refused:{str(said['refused']).lower()}"]
        langfuse.traces.append(one)
    pull(running, SourcePuller(running.service, {"SOURCE_LANGFUSE_URL": langfuse.url}, LOOPBACK))
    assert {asked["fields"] for path, asked in langfuse.asked if path.endswith("traces")} == {"core,metrics"}
    assert count(running, "refusal_rate")[0] == 10
