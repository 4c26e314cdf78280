"""Metrics and health of this process: `/metrics`, `/healthz`, `/readyz`."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, PlainTextResponse, Response

from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.http.middleware.problems import build_problem
from bot.http.observations.writer import ObservationWriter
from bot.http.ofrep import OfrepEndpoint
from bot.http.openapi.schemas import PROBLEMS
from bot.http.otlp.count_traces import TRACE_OUTCOMES
from bot.http.otlp.receive_exports import OtlpEndpoint
from bot.process.process_state import BackgroundQuery, DatabaseSilent, ProcessStatus
from core.flags.placement import UncountedReason
from core.flags.snapshot import Snapshot
from core.service.service import RolloutService
from core.store.coordination import outbox
from core.store.errors import StoreError
from core.store.maintenance import size
from core.store.observations import pulled_sums
from core.store.observations.pulled_sums import PullState

DATABASE_TIMEOUT = 1.5  # seconds for the database, so that probes answer within two
_ERROR_CODE = re.compile(r"[a-z_ ]{1,60}")


class RampartCollector(Collector):
    """Collects the Prometheus metrics of `/metrics` from the running parts, on each request."""

    def __init__(
        self,
        service: RolloutService,
        snapshot: Callable[[], Snapshot],
        flags: OfrepEndpoint,
        writer: ObservationWriter,
        otlp: OtlpEndpoint,
        now: Callable[[], datetime],
        process_status: ProcessStatus,
        lost_lines: Callable[[], int],
        report_outage: Callable[[Exception], object],
    ) -> None:
        self._service, self._snapshot, self._flags, self._writer, self._now = service, snapshot, flags, writer, now
        self._otlp = otlp
        self._process_status, self._lost_lines, self._report_outage = process_status, lost_lines, report_outage
        self._database_query = BackgroundQuery(self._query_database, "figures")

    def collect(self) -> Iterator[Metric]:
        """Every metric, as prometheus_client asks for them."""
        evaluations = CounterMetricFamily("rampart_evaluations", "OFREP requests answered", labels=["kind"])
        for kind, count in (
            ("single", self._flags.single_count),
            ("bulk", self._flags.bulk_count),
            ("refused", self._flags.refused_count),
        ):
            evaluations.add_metric([kind], count)
        yield evaluations
        observations = CounterMetricFamily("rampart_observations", "Observations received", labels=["outcome"])
        observations.add_metric(["accepted"], self._writer.accepted)
        observations.add_metric(["rejected"], self._writer.rejected)
        yield observations
        uncounted = CounterMetricFamily(
            "rampart_observations_uncounted", "Accepted observations that no comparison counts", labels=["reason"]
        )
        for reason in UncountedReason:
            uncounted.add_metric([reason], self._writer.uncounted[reason])
        yield uncounted
        yield from self._collect_telemetry()
        yield GaugeMetricFamily(
            "rampart_snapshot_position", "Position of the log that is served", self._snapshot().position
        )
        yield GaugeMetricFamily(
            "rampart_informed",
            "1 while this process serves new versions, 0 while everybody gets the live one",
            0 if self._process_status.failsafe_reason else 1,
        )
        yield GaugeMetricFamily(
            "rampart_report_age_seconds",
            "Time since this process last reported in the log",
            self._process_status.seconds_since_report,
        )
        looks = GaugeMetricFamily(
            "rampart_look_age_seconds", "Time since the newest look at a rollout that people get", labels=["rollout"]
        )
        for rollout, age in self._process_status.look_ages().items():
            looks.add_metric([rollout], age)
        yield looks
        yield GaugeMetricFamily(
            "rampart_rollouts_unwatched",
            "Rollouts without a look for ROLLOUT_BLIND_AFTER",
            len(self._process_status.unwatched_rollouts),
        )
        yield CounterMetricFamily(
            "rampart_log_lines_lost", "Lines that could not be written to standard output", self._lost_lines()
        )
        rollouts = GaugeMetricFamily(
            "rampart_rollouts", "Rollouts by state; archived ones ended some time ago", labels=["state"]
        )
        for state, count in Counter(r.state.value for r in self._service.cached_world().rollouts.values()).items():
            rollouts.add_metric([state], count)
        rollouts.add_metric(["archived"], self._service.cached_world().archived)
        yield rollouts
        yield from self._collect_from_database()

    def _collect_telemetry(self) -> Iterator[Metric]:
        """What became of exports from OpenTelemetry: on arrival, and when their traces were counted."""
        arrived = CounterMetricFamily(
            "rampart_telemetry_items", "Spans and events from OpenTelemetry, on arrival", labels=["outcome"]
        )
        for outcome in ("kept", "ignored", "rejected", "refused"):
            arrived.add_metric([outcome], self._otlp.spans[outcome])
        yield arrived
        traces = CounterMetricFamily(
            "rampart_telemetry_requests", "What was counted of traces, and why the rest was not", labels=["outcome"]
        )
        for outcome in TRACE_OUTCOMES:
            traces.add_metric([outcome], self._otlp.outcomes[outcome])
        yield traces
        yield GaugeMetricFamily(
            "rampart_telemetry_waiting", "Parts of traces that wait until their request is complete", self._otlp.waiting
        )

    def _collect_from_database(self) -> Iterator[Metric]:
        """Metrics that need the database; they are missing while it does not answer, and `/readyz` says why."""
        try:
            unsent, database_size, pulls = self._database_query.wait_for_result(DATABASE_TIMEOUT)
        except DatabaseSilent:
            return
        except (StoreError, SQLAlchemyError) as error:
            self._report_outage(error)
            return
        yield GaugeMetricFamily("rampart_database_bytes", "Size of the database", database_size.bytes)
        yield GaugeMetricFamily(
            "rampart_database_bytes_a_day",
            "How fast the database grows, estimated from its events",
            database_size.bytes_a_day,
        )
        yield GaugeMetricFamily("rampart_events_a_day", "Events of the last 24 hours", database_size.events_a_day)
        messages = GaugeMetricFamily("rampart_messages", "Messages to Slack that are not sent yet", labels=["state"])
        messages.add_metric(["waiting"], unsent.pending + unsent.leased)
        messages.add_metric(["scheduled"], unsent.scheduled)
        messages.add_metric(["dead"], unsent.dead)
        yield messages
        late = (self._now() - unsent.oldest_due_at).total_seconds() if unsent.oldest_due_at else 0.0
        yield GaugeMetricFamily(
            "rampart_messages_late_seconds", "How late the oldest unsent message is", max(0.0, late)
        )
        troubles = GaugeMetricFamily(
            "rampart_messages_refused", "Waiting messages by Slack's last answer", labels=["error"]
        )
        by_code: Counter[str] = Counter()
        for trouble, count in unsent.errors.items():
            # Slack's error code; connection errors have endless forms, so they share one label.
            by_code[trouble if _ERROR_CODE.fullmatch(trouble) else "no answer"] += count
        for code, count in by_code.items():
            troubles.add_metric([code], count)
        yield troubles
        yield from self._describe_pulls(pulls)

    def _describe_pulls(self, pulls: Mapping[tuple[str, str], PullState]) -> Iterator[Metric]:
        """How the pulls of rollouts under way go, by rollout and source."""
        labels = ["rollout", "source"]
        failing = GaugeMetricFamily("rampart_source_failing", "1 while a source cannot be read", labels=labels)
        age = GaugeMetricFamily("rampart_source_age_seconds", "Time since a source was last read", labels=labels)
        for place, state in pulls.items():
            failing.add_metric(place, state.failing_since is not None)
            if state.pulled_at is not None:
                age.add_metric(place, (self._now() - state.pulled_at).total_seconds())
        yield failing
        yield age

    def _query_database(
        self,
    ) -> tuple[outbox.OutboxBacklog, size.DatabaseSize, Mapping[tuple[str, str], PullState]]:
        world = self._service.cached_world()
        pulled = [one.id for one in world.open_rollouts if world.surfaces[one.plan.surface].sources]
        with self._service.database.reading() as connection:
            states = {
                (rollout, source): state
                for rollout in pulled
                for source, state in pulled_sums.load_states(connection, rollout).items()
            }
            return (
                outbox.measure_backlog(connection),
                size.measure_size(connection, datetime.now(UTC)),
                states,
            )  # events are recorded in real time


def build_router(
    service: RolloutService,
    auth: TokenAuth,
    collectors: Iterable[Collector],
    process_status: ProcessStatus,
    report_outage: Callable[[Exception], object],
) -> APIRouter:
    """The three routes. Only `/metrics` needs a token. `report_outage` gets every database error."""
    api = APIRouter(tags=["health"])
    position = BackgroundQuery(lambda: service.load_world().position, "readiness")
    probes = CapacityLimiter(100)
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)

    @api.get("/healthz")
    async def alive() -> dict[str, str]:
        """Alive: this process answers."""
        return {"status": "ok"}

    @api.get("/readyz", responses={503: PROBLEMS[503]})
    async def ready() -> Response:
        """Ready: this process is informed, and the database answers too. Within two seconds, whatever it does."""
        hint = "See the log of this process, and `rollout doctor`."
        if why := process_status.failsafe_reason:
            message = f"No new version is served here: {why.rstrip('.')}. Everybody gets the live version."
            return build_problem(503, "unavailable", message, hint)
        try:
            # In threads of its own: those of the shared pool may all be waiting for the database.
            found = await to_thread.run_sync(position.wait_for_result, DATABASE_TIMEOUT, limiter=probes)
        except DatabaseSilent as silent:
            return build_problem(503, "unavailable", str(silent), hint)
        except (StoreError, SQLAlchemyError) as error:
            report_outage(error)
            return build_problem(503, "unavailable", "The database cannot be reached.", hint)
        return JSONResponse({"status": "ok", "position": found})

    @api.get(
        "/metrics",
        response_class=PlainTextResponse,
        responses={status: PROBLEMS[status] for status in (401, 403)},
    )
    async def metrics(request: Request) -> Response:
        """Metrics in the text format of Prometheus."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        text = await to_thread.run_sync(generate_latest, registry, limiter=probes)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return api
