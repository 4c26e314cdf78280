"""Counters of a real Prometheus: counted from raw samples, over restarts and gaps, and judged as units unknown."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from bot.jobs.pulling.source_pulls import SourcePuller
from bot.rendering.numbers.detectability import unknown_unit_words
from bot.sources.prometheus.increases import find_increases
from bot.sources.prometheus.queries import read_history, read_series
from bot.sources.web_client import WebClient
from core.files.checks import check_files
from core.files.read_file import parse_file
from core.judging.model.evidence import CellKey
from core.rollout import commands as c
from core.rollout.plans.policy import DEFAULT_POLICY
from core.rollout.refusal import Refused
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state.model import RolloutState
from core.service import rollout_look
from core.store.database.connections import Database, connect
from core.store.observations import observation_sums, pulled_sums
from tests.http.conftest import SURFACE, Running, running_on
from tests.journey.house import waiting_until
from tests.sources.prometheus import PrometheusServer, RecordedSeries
from tests.sources.test_equal_sums import WITHOUT_COHORT

SOURCES = """
sources:
  - name: cluster-metrics
    every: 1m
    prometheus:
      url: SOURCE_PROMETHEUS_URL
      match: {{job: assistant}}
      {side}
      requests: requests_total
      requests_per_unit: {of}
      metrics:
        refusal_rate: {{counter: refusals_total, of: requests_total}}
        cost_per_request: {{counter: dollars_total, of: requests_total}}
        latency_ms: {{histogram: latency_seconds, scale: 1000}}
"""
LIMITS = WITHOUT_COHORT.replace("  - {metric: eval_pass_rate, drops_by: 2pp}\n", "").replace(
    "percent: 5, min_hold: 1m", "percent: 5, min_hold: 28m"
)
LOOPBACK = frozenset({"127.0.0.1"})
SCRAPE = 15.0
STARTED = "process_start_time_seconds"


@dataclass(slots=True)
class Past:
    """What a Prometheus has scraped of two processes of the application: counters by process and side, by time."""

    side: str = "exposure"
    dice: random.Random = field(default_factory=lambda: random.Random(4))
    series: dict[tuple[str, str, str], RecordedSeries] = field(default_factory=dict)
    values: dict[tuple[str, str, str], float] = field(default_factory=dict)
    truth: dict[tuple[str, str], float] = field(default_factory=dict)

    def add(self, instance: str, side: str, name: str, amount: float) -> None:
        key = (instance, side, name)
        self.values[key] = self.values.get(key, 0.0) + amount

    def restart(self, instance: str) -> None:
        """Its counters are gone, and appear again at zero as they are used."""
        self.values = {key: 0.0 for key in self.values if key[0] != instance} | {
            key: value for key, value in self.values.items() if key[0] != instance
        }

    def scrape(self, at: float, started: dict[str, float]) -> None:
        for instance, since in started.items():
            self._record(instance, "", "up", at, 1.0)
            self._record(instance, "", STARTED, at, since)
        for (instance, side, name), value in self.values.items():
            self._record(instance, side, name, at, value)

    def _record(self, instance: str, side: str, name: str, at: float, value: float) -> None:
        bare, _, le = name.partition("|")
        labels = {"job": "assistant", "instance": instance}
        labels |= ({self.side: side} if side else {}) | ({"le": le} if le else {})
        one = self.series.setdefault((instance, side, name), RecordedSeries(name=bare, labels=labels))
        one.samples.append((at, value))


def live(
    past: Past,
    begin: datetime,
    minutes: int,
    *,
    refusals: dict[str, float],
    sides: dict[str, str],
    each: int = 12,
    restarts: tuple[int, ...] = (),
    since: datetime | None = None,
) -> None:
    """Use the AI feature: every 15 seconds each process answers about `each` requests per arm, then it is scraped."""
    started = {name: (since or begin).timestamp() - 3600.5 for name in ("a", "b")}
    for step in range(minutes * 4):
        at = begin.timestamp() + SCRAPE * (step + 1)
        if step in restarts:
            past.restart("a")
            started["a"] = at - 7.25
        for instance in started:
            for arm, side in sides.items():
                for _ in range(past.dice.randrange(each // 2, each * 3 // 2)):
                    refused = past.dice.random() < refusals[arm]
                    slow = past.dice.random() < 0.02
                    met = {
                        "requests_total": 1.0,
                        "refusals_total": float(refused),
                        "dollars_total": past.dice.choice([0.01, 0.02]),
                        "latency_seconds_count": 1.0,
                        "latency_seconds_sum": 5.0 if slow else 1.0,
                        "latency_seconds_bucket|4.0": float(not slow),
                        "latency_seconds_bucket|+Inf": 1.0,
                    }
                    for name, amount in met.items():
                        past.add(instance, side, name, amount)
                        past.truth[arm, name] = past.truth.get((arm, name), 0.0) + amount
        past.scrape(at, started)


TOKENS = {"canary": "R-1.0.canary", "control": "R-1.0.control"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrometheusServer]:
    found = PrometheusServer(folder=tmp_path)
    yield found
    found.stop()


@pytest.fixture
def running(sqlite_database: Database) -> Running:
    return running_on(sqlite_database)


def begin(running: Running, side: str = "exposure: exposure", limits: str = LIMITS, of: float = 10) -> datetime:
    running.apply(SURFACE + SOURCES.format(side=side, of=of))
    running.apply(limits)
    running.do(c.Start())
    return running.now()


def puller(running: Running, server: PrometheusServer, hosts: frozenset[str] = LOOPBACK) -> SourcePuller:
    return SourcePuller(running.service, {"SOURCE_PROMETHEUS_URL": server.url}, hosts)


def count(running: Running, metric: str, arm: str, stage: int = 0) -> tuple[float, float]:
    with running.service.database.reading() as connection:
        sums = observation_sums.load_sums(connection, "R-1")
    cell = sums.cells.get(CellKey(stage=stage, arm=arm, segment="", metric=metric))
    return (float(cell.weight.sum()), float(cell.value.sum())) if cell else (0.0, 0.0)


def state(running: Running) -> pulled_sums.PullState:
    with running.service.database.reading() as connection:
        return pulled_sums.load_state(connection, "R-1", "cluster-metrics")


def look(running: Running) -> Any:
    rollout_look.evaluate_rollout(running.service, "R-1", running.now(), every=timedelta(seconds=10))
    return running.service.load_world().rollouts["R-1"]


def pull_each_minute(running: Running, source: SourcePuller, minutes: int) -> list[str]:
    """Pull and look once a minute; the states that the rollout was in."""
    seen = []
    for _ in range(minutes):
        running.wait(minutes=1)
        source.pull_due(running.now())
        seen.append(str(look(running).state))
    return seen


def assert_true(running: Running, past: Past) -> None:
    for arm in TOKENS:
        truth = {name: past.truth[arm, name] for name in ("requests_total", "refusals_total", "dollars_total")}
        requests = truth["requests_total"]
        slow = requests - past.truth[arm, "latency_seconds_bucket|4.0"]
        assert count(running, "requests", arm) == (requests, requests)
        assert count(running, "refusal_rate", arm) == (requests, truth["refusals_total"])
        assert count(running, "cost_per_request", arm) == pytest.approx((requests, truth["dollars_total"]))
        assert count(running, "latency_p95>4000", arm) == pytest.approx((requests, slow))
        assert count(running, "latency_p95", arm)[1] == pytest.approx(1000 * past.truth[arm, "latency_seconds_sum"])


def test_every_request_counts_once_over_restarts_however_pulls_are_cut(
    running: Running, server: PrometheusServer
) -> None:
    since, past = begin(running), Past()
    live(
        past, since, 25, refusals={"canary": 0.03, "control": 0.03}, sides=TOKENS, restarts=(9, 10, 11, 12, 13, 41, 90)
    )
    server.write_past(list(past.series.values()))
    source = puller(running, server.start())
    for minutes in (2, 1, 1, 6, 17):
        running.wait(minutes=minutes)
        assert source.pull_due(running.now()) == 1
    assert state(running).failure == ""
    assert_true(running, past)
    asked = f"sum(increase(requests_total[26m] @ {running.now().timestamp()}))"
    extrapolated = float(server.query(asked)[0]["value"][1])  # type: ignore[index]
    truth = sum(past.truth[arm, "requests_total"] for arm in TOKENS)
    assert abs(extrapolated - truth) > 10  # what its own language makes of the same samples


@pytest.mark.parametrize("side", ["variant", "version"])
def test_a_label_that_lives_on_over_stages_counts_in_the_stage_of_its_time(
    running: Running, server: PrometheusServer, side: str
) -> None:
    running.wait(minutes=30)
    sides = {"canary": "canary", "control": "control"}
    if side == "version":
        sides = {"canary": "v43", "control": "v42"}
    before, past = running.now(), Past(side=side)
    live(past, before - timedelta(minutes=20), 20, refusals={"control": 0.5}, sides={"control": sides["control"]})
    since = begin(running, f"{side}: {side}")
    past.truth.clear()
    live(past, since, 10, refusals={"canary": 0.03, "control": 0.03}, sides=sides, since=before - timedelta(minutes=20))
    server.write_past(list(past.series.values()))
    source = puller(running, server.start())
    running.wait(minutes=10)
    source.pull_due(running.now())
    assert state(running).failure == ""
    assert_true(running, past)


def test_what_counts_by_time_waits_until_those_who_changed_sides_have_settled(
    running: Running, server: PrometheusServer
) -> None:
    since = begin(running, "variant: variant", limits=LIMITS.replace("100%], hold: 1m", "100%], hold: 40m"))
    past, sides = Past(side="variant"), {"canary": "canary", "control": "control"}
    live(past, since, 5, refusals=dict.fromkeys(sides, 0.03), sides=sides)
    running.wait(minutes=5)
    running.do(c.Advance(reason="on"))
    span = running.service.load_world().rollouts["R-1"].spans[-1]
    settled = (
        build_snapshot(running.service.load_world()).surfaces["support-assistant"].tracked[0].spans[-1].settles_until
    )
    minutes = (settled - span.since) // timedelta(minutes=1)
    assert minutes >= 2
    live(past, span.since, minutes, refusals=dict.fromkeys(sides, 0.03), sides=sides, since=since)
    past.truth.clear()
    live(
        past, span.since + timedelta(minutes=minutes), 5, refusals=dict.fromkeys(sides, 0.03), sides=sides, since=since
    )
    server.write_past(list(past.series.values()))
    running.wait(minutes=minutes + 5)
    puller(running, server.start()).pull_due(running.now())
    assert state(running).failure == ""
    for arm in sides:
        truth = past.truth[arm, "requests_total"]
        assert count(running, "requests", arm, stage=span.index) == (truth, truth)


def test_harm_is_rolled_back_and_says_that_units_are_unknown(running: Running, server: PrometheusServer) -> None:
    since, past = begin(running), Past()
    live(past, since, 25, refusals={"canary": 0.30, "control": 0.02}, sides=TOKENS)
    server.write_past(list(past.series.values()))
    seen = pull_each_minute(running, puller(running, server.start()), 25)
    rolled = running.service.load_world().rollouts["R-1"]
    assert rolled.state is RolloutState.ROLLED_BACK, seen
    assert rolled.rollback.findings[0].metric == "refusal_rate"
    assert rolled.evidence is not None
    noted = {one.metric: one.note for one in rolled.evidence.measures}
    assert noted["refusal_rate"] == "units unknown: 10 requests count as one"
    said = (
        "Units unknown (declined to answer, cost per request, slow responses (slowest 5 %), typical response time): "
        "10 requests count as one. Whose they are cannot be checked."
    )
    assert unknown_unit_words.format_unknown_units(rolled.evidence.measures) == said


def test_the_more_requests_count_as_one_the_more_are_needed(
    server: PrometheusServer, new_sqlite: Callable[[], str]
) -> None:
    taken = {}
    past = Past()
    for of in (1, 40):
        with connect(new_sqlite()) as database:
            running = running_on(database)
            since = begin(running, of=of)
            if not past.series:
                live(past, since, 25, refusals={"canary": 0.10, "control": 0.02}, sides=TOKENS)
                server.write_past(list(past.series.values()))
                server.start()
            taken[of] = pull_each_minute(running, puller(running, server), 25).count("running")
    assert taken[1] + 3 < taken[40]


def test_one_loud_minute_of_one_process_rolls_nothing_back(running: Running, server: PrometheusServer) -> None:
    since, past = begin(running), Past()
    live(past, since, 15, refusals={"canary": 0.02, "control": 0.02}, sides=TOKENS)
    for name, extra in (("requests_total", 400.0), ("refusals_total", 400.0)):
        of = past.series["a", TOKENS["canary"], name]
        of.samples = [(at, value + (extra if place >= 20 else 0)) for place, (at, value) in enumerate(of.samples)]
    server.write_past(list(past.series.values()))
    seen = pull_each_minute(running, puller(running, server.start()), 15)
    assert "rolled_back" not in seen
    assert count(running, "refusal_rate", "canary")[1] == past.truth["canary", "refusals_total"] + 400


def test_what_cannot_be_told_holds_with_the_reason_and_makes_no_number_up(
    running: Running, server: PrometheusServer
) -> None:
    since, past = begin(running), Past()
    live(past, since, 8, refusals={"canary": 0.02, "control": 0.02}, sides=TOKENS)
    kept = {key: one for key, one in past.series.items() if key[1:] != (TOKENS["canary"], "refusals_total")}
    server.write_past(list(kept.values()))
    source = puller(running, server.start())
    seen = pull_each_minute(running, source, 5)
    assert seen == ["running"] * 3 + ["on_hold"] * 2
    assert state(running).failure == (
        'refusals_total has no series with exposure="R-1.0.canary", and requests_total has one: add 0 to it where '
        "nothing happened, so that none is not the same as unknown"
    )
    assert count(running, "refusal_rate", "control") == (0.0, 0.0)


def test_a_limit_between_two_bounds_is_told_with_the_bounds(running: Running, server: PrometheusServer) -> None:
    since, past = begin(running, limits=LIMITS.replace("4000ms", "3500ms")), Past()
    live(past, since, 2, refusals={"canary": 0.02, "control": 0.02}, sides=TOKENS)
    server.write_past(list(past.series.values()))
    source = puller(running, server.start())
    running.wait(minutes=2)
    source.pull_due(running.now())
    assert state(running).failure == (
        "latency_seconds_bucket has no bound at 3.5, so nobody knows how many are above it: set the limit to one of "
        "its bounds (4, inf)"
    )
    assert look(running).state is RolloutState.ON_HOLD


def test_two_servers_that_tell_the_same_samples_are_refused(running: Running, server: PrometheusServer) -> None:
    since, past = begin(running), Past()
    live(past, since, 2, refusals={"canary": 0.02, "control": 0.02}, sides=TOKENS)
    twice = [
        RecordedSeries(name=one.name, labels={**one.labels, "prometheus_replica": replica}, samples=one.samples)
        for one in past.series.values()
        for replica in ("p-0", "p-1")
    ]
    server.write_past(twice)
    source = puller(running, server.start())
    running.wait(minutes=2)
    source.pull_due(running.now())
    assert "prometheus_replica" in state(running).failure
    assert count(running, "requests", "canary") == (0.0, 0.0)


def test_a_host_that_is_not_listed_is_not_asked(running: Running, server: PrometheusServer) -> None:
    begin(running)
    source = puller(running, server.start(), hosts=frozenset())
    running.wait(minutes=1)
    source.pull_due(running.now())
    assert "127.0.0.1 would be called over http" in state(running).failure
    assert look(running).state is RolloutState.ON_HOLD


class Process:
    """A process of the application with its metrics behind real HTTP; `restart` ends it and starts it anew."""

    def __init__(self) -> None:
        self.port, self.truth, self.value = 0, 0.0, 0.0
        self.restart()

    def restart(self) -> None:
        if self.port:
            self._server.shutdown()
            self._server.server_close()
        self.value = 0.0
        registry = CollectorRegistry()
        self.requests = Counter("requests_total", "Requests", ["exposure"], registry=registry)
        Gauge(STARTED, "When this process started", registry=registry).set(time.time())
        self._server, _ = start_http_server(self.port, "127.0.0.1", registry)
        self.port = self._server.server_port

    def answer(self, many: int) -> None:
        self.requests.labels(TOKENS["canary"]).inc(many)
        self.truth += many
        self.value += many

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_process_that_is_scraped_for_real_counts_over_its_restarts(server: PrometheusServer) -> None:
    process = Process()
    try:
        server.targets = {"a": f"127.0.0.1:{process.port}"}
        server.start()

        def scraped() -> float:
            found = server.query(f'requests_total{{exposure="{TOKENS["canary"]}"}}')
            return float(found[0]["value"][1]) if found else -1.0  # type: ignore[index]

        for life in ((3, 4), (9,), (1, 1)):
            process.restart()
            for many in life:
                process.answer(many)
                waiting_until(lambda: scraped() == process.value, lambda: str(server.query("up")), within=20)
        client, end = WebClient(server.url, LOOPBACK, 20), time.time()
        found = read_series(client, ['requests_total{job="assistant"}'], end - 60, end)
        history = read_history(client, found, end - 60, end)
        growth = find_increases(found, {}, history, counts_from_zero=True)
        assert sum(one.amount for one in growth.increases) == process.truth == 18
    finally:
        process.stop()


def test_how_many_requests_count_as_one_stays_while_a_rollout_is_under_way(running: Running) -> None:
    begin(running, of=10)
    with pytest.raises(Refused, match="how many requests count as one, where units are unknown, is agreed beforehand"):
        running.apply(SURFACE + SOURCES.format(side="exposure: exposure", of=1))
    running.apply(SURFACE + SOURCES.format(side="exposure: exposure", of=10).replace("every: 1m", "every: 2m"))


def test_a_plan_says_what_counters_cannot_tell(running: Running) -> None:
    running.apply(SURFACE + SOURCES.format(side="variant: variant", of=10))
    surface = running.service.load_world().surfaces["support-assistant"]
    text = LIMITS.replace("exceeds: 4000ms", "rises_by: 15%").replace(
        "stages:\n",
        "stages:\n  - cohort: {name: internal, where: {email_domain: example.com}, hold: 1m, percent: 50}\n",
    )
    found = {
        one.message: one.severity
        for one in check_files.check(parse_file(text, "x.yaml"), surface, DEFAULT_POLICY, None)
        if "cluster-metrics" in one.message
    }
    assert found == {
        "cluster-metrics does not know whose requests it counts: 10 count as one, so more are needed, and the split "
        "between the versions cannot be checked": "warning",
        "latency_p95 comes from a histogram of cluster-metrics, which knows only how many are above its bounds: write "
        "exceeds, at one of them (`rollout sources check` lists them)": "error",
        "with a cohort, the variant that cluster-metrics counts by does not tell who is compared: label its counters "
        "with the exposure": "error",
    }
