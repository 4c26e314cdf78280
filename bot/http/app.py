"""Builds the ASGI application out of all HTTP endpoints and middleware."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from bot.http import metrics_endpoint, slack_events
from bot.http.api import digests, rollouts
from bot.http.clients.change_streams import ChangeStreams
from bot.http.clients.snapshot_endpoint import SnapshotEndpoint
from bot.http.clients.stream_endpoint import StreamEndpoint
from bot.http.judging import routes as judging
from bot.http.middleware import bodies
from bot.http.middleware.auth import AccessDenied, TokenAuth, TokenRole
from bot.http.middleware.bodies import AsgiApp, Scope
from bot.http.middleware.caller_limits import RateLimiter
from bot.http.middleware.head_requests import answer_head
from bot.http.middleware.page_access import FindPerson, PageAccess
from bot.http.middleware.problems import advise_repeat, build_denial, build_problem, build_refusal
from bot.http.middleware.stream_tokens import StreamTokens
from bot.http.observations.read_batch import OtherModel
from bot.http.observations.writer import ObservationsEndpoint, ObservationWriter
from bot.http.ofrep import OfrepEndpoint
from bot.http.openapi import observation_responses
from bot.http.openapi.client_paths import CLIENT_PATHS
from bot.http.openapi.ofrep_paths import OFREP_PATHS
from bot.http.openapi.schemas import PROBLEMS
from bot.http.otlp import receive_exports
from bot.http.otlp.count_traces import TraceCounter
from bot.http.pages import reference, routes
from bot.http.rollout_metrics import ServingCollector
from bot.http.webhooks import receive_complaints
from bot.http.webhooks.signatures import HelpDesk
from bot.log_output.log_lines import LogPrinter
from bot.process.client_positions import ClientPositions
from bot.process.outage import DATABASE_ERRORS
from bot.process.process_state import ProcessStatus, StandaloneStatus
from bot.rendering.markup import FindHandles
from bot.signed_page_links import PageLinks
from core.files.command_from_file import NO_LOOKUPS, FileLookups
from core.flags.document import DocumentEncoder
from core.flags.snapshot import Snapshot
from core.rollout.refusal import Refused
from core.service.service import RolloutService
from core.store.errors import DatabaseBusy
from core.telemetry.prices import PriceTable, load_built_in_prices

if TYPE_CHECKING:
    from slack_bolt import App as Bolt

LARGER_LIMITS = {
    "/api/v1/evals": 8 * bodies.BODY_LIMIT,
    **dict.fromkeys(receive_exports.PATHS, 4 * bodies.BODY_LIMIT),
}
_INGEST_PATHS = frozenset({"/api/v1/observations", "/api/v1/answers", "/api/v1/evals", *receive_exports.PATHS})
_ERROR_CODES = {400: "malformed", 404: "not_found", 405: "method_not_allowed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpParts:
    """What the endpoints use; without the optional parts, it is a process without Slack, help desks or followers."""

    service: RolloutService
    snapshot: Callable[[], Snapshot]
    streams: ChangeStreams
    now: Callable[[], datetime]
    """The rollouts' clock."""
    tick: Callable[[], timedelta] = lambda: timedelta(seconds=10)
    """The interval of looks in real time."""
    real_time: Callable[[], datetime] = lambda: datetime.now(UTC)
    """What signed times are compared with."""
    tokens: Sequence[tuple[str, str]] = ()
    """(role, token) pairs; without any, every caller may do everything, so bind to loopback."""
    help_desks: Mapping[str, str] = field(default_factory=dict)
    """Secrets of signatures by help desk."""
    bolt: "Bolt | None" = None
    process_status: ProcessStatus = field(default_factory=StandaloneStatus)
    """Whether this process is informed."""
    encoder: DocumentEncoder = field(default_factory=DocumentEncoder)
    clients: ClientPositions = field(default_factory=ClientPositions)
    prices: PriceTable = field(default_factory=load_built_in_prices)
    page_links: PageLinks | None = None
    """Links that open a page to the person whom `find_person` asks Slack about."""
    find_person: FindPerson | None = None
    find_handles: FindHandles = lambda _: {}
    """The handles of the Slack user ids that pages name."""
    lookups: FileLookups = NO_LOOKUPS
    report_outage: Callable[[Exception], object] = lambda _: None
    """Gets every database error."""
    report_other_model: Callable[[OtherModel], None] = lambda _: None
    """Gets each model that answered for a version which calls another one."""


def build_asgi_app(parts: HttpParts) -> AsgiApp:
    """Build the ASGI application. When its lifespan ends, waiting observations are written."""
    service, snapshot, now = parts.service, parts.snapshot, parts.now
    status, report_outage = parts.process_status, parts.report_outage
    auth = TokenAuth(parts.tokens)
    writer = ObservationWriter(service.database, snapshot, now, parts.report_other_model)
    counter = TraceCounter(service.database, writer, parts.prices, report_outage)
    otlp = receive_exports.OtlpEndpoint(writer, counter, auth, report_outage)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        counter.start()
        yield
        await run_in_threadpool(counter.stop)
        await run_in_threadpool(writer.close)

    # FastAPI's own documentation pages load scripts from elsewhere; `reference` loads nothing.
    # Starlette's slash redirects repeat the Host header of the request; ours are relative.
    api = FastAPI(
        title="Rampart",
        version="1",
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    limited = answer_head(
        bodies.BodyLimiter(
            api, partial(_authorize_sender, auth), LARGER_LIMITS, gzip_paths=frozenset(receive_exports.PATHS)
        )
    )
    snapshots = SnapshotEndpoint(snapshot, auth, parts.encoder, parts.clients, status, limited)
    changes = StreamEndpoint(parts.streams, auth, StreamTokens(parts.tokens), snapshots)
    endpoint = OfrepEndpoint(snapshot, auth, changes, changes)
    _add_error_handlers(api, now, report_outage)
    collector = metrics_endpoint.RampartCollector(
        service, snapshot, endpoint, writer, otlp, now, status, lambda: LogPrinter.lost_count, report_outage
    )
    serving = ServingCollector(service, endpoint, snapshots, parts.streams, parts.clients)
    api.include_router(metrics_endpoint.build_router(service, auth, (collector, serving), status, report_outage))
    api.include_router(rollouts.build_router(service, auth, RateLimiter(), now, parts.lookups))
    api.include_router(digests.build_router(service, auth, now))
    api.add_api_route(
        "/api/v1/observations",
        ObservationsEndpoint(writer, auth, report_outage).receive,
        methods=["POST"],
        tags=["observations"],
        response_model=None,
        responses={**PROBLEMS, **observation_responses.OBSERVED},
        openapi_extra=observation_responses.OBSERVATIONS_BODY,
    )
    for path, receive in zip(
        receive_exports.PATHS, (otlp.receive_traces, otlp.receive_logs, otlp.receive_metrics), strict=True
    ):
        api.add_api_route(
            path,
            receive,
            methods=["POST"],
            tags=["OpenTelemetry"],
            response_model=None,
            responses={**PROBLEMS, **observation_responses.EXPORTED},
            openapi_extra=observation_responses.EXPORT_BODY,
        )
    api.include_router(judging.build_router(service, auth, writer, snapshot, now))
    access = PageAccess(auth, parts.page_links, parts.find_person)
    api.include_router(routes.build_router(service, auth, now, status, parts.tick, access, parts.find_handles))
    secrets = {HelpDesk(desk): secret for desk, secret in parts.help_desks.items()}
    api.include_router(receive_complaints.build_router(service, secrets, now, parts.real_time))
    if parts.bolt is not None:
        api.include_router(slack_events.build_router(parts.bolt))
    _complete_openapi(api)
    api.include_router(reference.build_router(api.openapi))
    return endpoint


def _authorize_sender(auth: TokenAuth, scope: Scope) -> None:
    """Check before a body is read that its sender may send one; Slack's requests are verified by signature instead."""
    path: str = scope["path"]
    if path.startswith(("/api/", "/v1/")):
        if path == "/api/v1/judging":
            auth.authorize_person(scope["headers"], TokenRole.JUDGE)
        else:
            auth.authorize_person(scope["headers"], TokenRole.INGEST if path in _INGEST_PATHS else TokenRole.OPERATOR)


def _add_error_handlers(
    api: FastAPI, now: Callable[[], datetime], report_outage: Callable[[Exception], object]
) -> None:
    """Answer every kind of error as a problem in JSON, or as a page for browsers."""

    @api.exception_handler(Refused)
    async def answer_refused(request: Request, error: Refused) -> Response:
        answer = build_refusal(error)
        page = routes.build_problem_page(request, answer.status_code, error.message, error.hint, now())
        return page or answer

    @api.exception_handler(AccessDenied)
    async def answer_denied(_: Request, error: AccessDenied) -> JSONResponse:
        return build_denial(error)

    @api.exception_handler(RequestValidationError)
    async def answer_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()
        if any(e["type"] == "json_invalid" for e in found):
            return build_problem(
                400, "malformed", "The body is not JSON.", "Send a JSON object, with its content type."
            )
        said = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in found[:5])
        return build_problem(422, "invalid", f"{said}.", "See /docs for what is expected here.")

    @api.exception_handler(HTTPException)
    async def answer_http_error(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        if error.status_code == 404 and path.endswith("/") and path != "/" and request.method == "GET":
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"/{path.strip('/')}{query}", 307)
        code = _ERROR_CODES.get(error.status_code, "refused")
        message = {
            404: f"There is no {request.url.path}.",
            405: f"{request.method} is not possible at {request.url.path}.",
        }.get(error.status_code, str(error.detail))
        page = routes.build_problem_page(request, error.status_code, message, "", now())
        return page or build_problem(error.status_code, code, message, "See /docs.", headers=dict(error.headers or {}))

    async def answer_unavailable(request: Request, error: Exception) -> JSONResponse:
        report_outage(error)
        is_busy = isinstance(error, DatabaseBusy)
        why = str(error) if is_busy else "The database did not answer."
        hint = advise_repeat(
            request.headers.get("idempotency-key", ""),
            was_written=False if is_busy else None,
            is_read=request.method in {"GET", "HEAD"},
        )
        return build_problem(503, "unavailable", why, hint, headers={"Retry-After": "1"})

    for kind in DATABASE_ERRORS:
        api.exception_handler(kind)(answer_unavailable)

    @api.exception_handler(Exception)
    async def answer_internal_error(_: Request, error: Exception) -> JSONResponse:
        return build_problem(
            500, "internal", "Something went wrong here; it has been logged.", "Try again, or see the log."
        )


def _complete_openapi(api: FastAPI) -> None:
    """Add the paths that are served outside FastAPI and the bearer scheme to the OpenAPI document."""
    described = api.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        document["paths"].update({**OFREP_PATHS, **CLIENT_PATHS})
        document.setdefault("components", {})["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"bearer": []}, {}]
        return document

    api.openapi = openapi  # type: ignore[method-assign]


_ABOUT = (
    "Rolls out AI changes without surprising anyone. Applications ask which version to serve (OFREP) and report what "
    "happened (observations); people read and steer rollouts. Errors are `{code, message, hint}`, and under "
    "`/ofrep` those of OFREP."
)
