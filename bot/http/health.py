"""Whether this process lives, is ready, and how it is doing: `/healthz`, `/readyz`, `/metrics`."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, Response

from bot.http import documents
from bot.http.auth import Door, Role
from bot.http.flags import Flags
from bot.http.ingest import Intake
from bot.http.problems import problem
from core.flags.placement import Uncounted
from core.flags.snapshot import Snapshot
from core.service import Service
from core.store import outbox
from core.store.errors import StoreError

_log = logging.getLogger(__name__)
_CODE = re.compile(r"[a-z_ ]{1,60}")


class Figures(Collector):
    """What `/metrics` tells, read from the running parts when it is asked for."""

    def __init__(
        self,
        service: Service,
        snapshot: Callable[[], Snapshot],
        flags: Flags,
        intake: Intake,
        now: Callable[[], datetime],
    ) -> None:
        self._service, self._snapshot, self._flags, self._intake, self._now = service, snapshot, flags, intake, now

    def collect(self) -> Iterator[Metric]:
        evaluations = CounterMetricFamily("rampart_evaluations", "OFREP requests answered", labels=["kind"])
        for kind, count in (
            ("single", self._flags.singles),
            ("bulk", self._flags.bulks),
            ("refused", self._flags.refused),
        ):
            evaluations.add_metric([kind], count)
        yield evaluations
        observations = CounterMetricFamily("rampart_observations", "Observations received", labels=["outcome"])
        observations.add_metric(["accepted"], self._intake.accepted)
        observations.add_metric(["rejected"], self._intake.rejected)
        yield observations
        uncounted = CounterMetricFamily(
            "rampart_observations_uncounted", "Accepted observations that no comparison counts", labels=["reason"]
        )
        for reason in Uncounted:
            uncounted.add_metric([reason], self._intake.uncounted[reason])
        yield uncounted
        yield GaugeMetricFamily(
            "rampart_snapshot_position", "Position of the log that is served", self._snapshot().position
        )
        rollouts = GaugeMetricFamily(
            "rampart_rollouts", "Rollouts by state; archived ones ended some time ago", labels=["state"]
        )
        for state, count in Counter(r.state.value for r in self._service.peek().rollouts.values()).items():
            rollouts.add_metric([state], count)
        rollouts.add_metric(["archived"], self._service.peek().archived)
        yield rollouts
        yield from self._outbox()

    def _outbox(self) -> Iterator[Metric]:
        """Only while the database answers: then these three are missing, and `/readyz` says why."""
        try:
            with self._service.database.reading() as connection:
                unsent = outbox.waiting(connection)
        except (StoreError, SQLAlchemyError):
            _log.exception("The outbox cannot be read")
            return
        messages = GaugeMetricFamily("rampart_messages", "Messages to Slack that are not sent", labels=["state"])
        messages.add_metric(["waiting"], unsent.pending + unsent.leased)
        messages.add_metric(["dead"], unsent.dead)
        yield messages
        late = (self._now() - unsent.oldest_due_at).total_seconds() if unsent.oldest_due_at else 0.0
        yield GaugeMetricFamily("rampart_messages_late_seconds", "How late the oldest one is", max(0.0, late))
        troubles = GaugeMetricFamily(
            "rampart_messages_refused", "Waiting messages by Slack's last answer", labels=["error"]
        )
        by_code: Counter[str] = Counter()
        for error, count in unsent.troubles.items():
            # A code of Slack's, or whatever a connection broke with: that has no end of forms.
            by_code[error if _CODE.fullmatch(error) else "no answer"] += count
        for code, count in by_code.items():
            troubles.add_metric([code], count)
        yield troubles


def router(service: Service, door: Door, figures: Figures, blind: Callable[[], str]) -> APIRouter:
    """The three routes. Probes need no token; the figures do."""
    api = APIRouter(tags=["health"])
    registry = CollectorRegistry()
    registry.register(figures)

    @api.get("/healthz")
    async def alive() -> dict[str, str]:
        """Alive: this process answers."""
        return {"status": "ok"}

    @api.get("/readyz", responses={503: documents.PROBLEMS[503]})
    async def ready() -> Response:
        """Ready: the log can be followed, and the database answers too."""
        if why := blind():  # asked first: a database that is silent would keep the probe waiting
            message = f"This process cannot follow the log: {why.rstrip('.')}. Everybody gets the live version."
            return problem(503, "unavailable", message, "See the log of this process.")
        try:
            position = (await run_in_threadpool(service.world)).position
        except (StoreError, SQLAlchemyError):
            _log.exception("The database cannot be reached")
            return problem(503, "unavailable", "The database cannot be reached.", "See the log of this process.")
        return JSONResponse({"status": "ok", "position": position})

    @api.get(
        "/metrics",
        response_class=PlainTextResponse,
        responses={status: documents.PROBLEMS[status] for status in (401, 403)},
    )
    def metrics(request: Request) -> Response:
        """Figures in the text format of Prometheus."""
        door.admit_person(request.headers.raw, Role.OPERATOR)
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    return api
