"""Builds the ASGI application out of all HTTP endpoints and middleware."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from bot.http import openapi as documents
from bot.http import probes, slack_events
from bot.http.api import rollouts
from bot.http.middleware import bodies
from bot.http.middleware.auth import Denied, Door, Role
from bot.http.middleware.bodies import App, Scope
from bot.http.middleware.head import answer_head
from bot.http.middleware.problems import denial, problem, refusal
from bot.http.middleware.rate_limits import Rates
from bot.http.observations.intake import Intake, Observations
from bot.http.ofrep import Flags
from bot.http.pages import reference, routes
from bot.process.log_lines import Lines
from bot.process.process_state import Alone, Standing
from core.flags.snapshot import Snapshot
from core.rollout.refusal import Refused
from core.service import Service
from core.store.database.connections import AWAY
from core.store.errors import Busy

if TYPE_CHECKING:
    from slack_bolt import App as Bolt

LARGER = {"/api/v1/evals": 8 * bodies.LIMIT}
_INGEST = frozenset({"/api/v1/observations", "/api/v1/evals"})
_CODES = {400: "malformed", 404: "not_found", 405: "method_not_allowed"}


def build(
    service: Service,
    snapshot: Callable[[], Snapshot],
    *,
    now: Callable[[], datetime],
    tokens: Sequence[tuple[str, str]] = (),
    bolt: "Bolt | None" = None,
    resolve_handle: Callable[[str], str] = lambda handle: handle,
    not_driven: Callable[[str], str] = lambda url: "",
    standing: Standing | None = None,
    away: Callable[[Exception], object] = lambda _: None,
    tick: timedelta = timedelta(seconds=10),
) -> App:
    """Build the ASGI application.

    `tokens` are (role, token) pairs; without any, every caller may do everything, so bind to loopback. `now` is the
    rollouts' clock and `tick` the interval of looks in real time. `process_status` says whether this process is
    informed, and `report_outage` gets every database error. `explain_undrivable` returns why a flag system's URL may
    not be called, or an empty text. When the lifespan ends, waiting observations are written.
    """
    standing = standing or Alone()
    door = Door(tokens)
    intake = Intake(service.database, snapshot, now)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(intake.close)

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
    flags = Flags(snapshot, door, answer_head(bodies.Limited(api, partial(_admit, door), LARGER)))
    _answer_errors(api, now, away)
    figures = probes.Figures(service, snapshot, flags, intake, now, standing, lambda: Lines.lost, away)
    api.include_router(probes.router(service, door, figures, standing, away))
    api.include_router(rollouts.router(service, door, Rates(), now, resolve_handle, not_driven))
    api.add_api_route(
        "/api/v1/observations",
        Observations(intake, door, away).receive,
        methods=["POST"],
        tags=["observations"],
        response_model=None,
        responses={**documents.PROBLEMS, **documents.OBSERVED},
        openapi_extra=documents.OBSERVATIONS_BODY,
    )
    api.include_router(routes.router(service, door, now, standing, tick))
    if bolt is not None:
        api.include_router(slack_events.router(bolt))
    _document(api)
    api.include_router(reference.router(api.openapi))
    return flags


def _admit(door: Door, scope: Scope) -> None:
    """Check before a body is read that its sender may send one; Slack's requests are verified by signature instead."""
    path: str = scope["path"]
    if path.startswith("/api/"):
        door.admit_person(scope["headers"], Role.INGEST if path in _INGEST else Role.OPERATOR)


def _answer_errors(api: FastAPI, now: Callable[[], datetime], away: Callable[[Exception], object]) -> None:
    """Answer every kind of error as a problem in JSON, or as a page for browsers."""

    @api.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        answer = refusal(error)
        page = routes.problem_page(request, answer.status_code, error.message, error.hint, now())
        return page or answer

    @api.exception_handler(Denied)
    async def denied(_: Request, error: Denied) -> JSONResponse:
        return denial(error)

    @api.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()
        if any(e["type"] == "json_invalid" for e in found):
            return problem(400, "malformed", "The body is not JSON.", "Send a JSON object, with its content type.")
        said = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in found[:5])
        return problem(422, "invalid", f"{said}.", "See /docs for what is expected here.")

    @api.exception_handler(HTTPException)
    async def otherwise(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        if error.status_code == 404 and path.endswith("/") and path != "/" and request.method == "GET":
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"/{path.strip('/')}{query}", 307)
        code = _CODES.get(error.status_code, "refused")
        message = {
            404: f"There is no {request.url.path}.",
            405: f"{request.method} is not possible at {request.url.path}.",
        }.get(error.status_code, str(error.detail))
        page = routes.problem_page(request, error.status_code, message, "", now())
        return page or problem(error.status_code, code, message, "See /docs.", headers=dict(error.headers or {}))

    async def unavailable(_: Request, error: Exception) -> JSONResponse:
        away(error)
        why = str(error) if isinstance(error, Busy) else "The database did not answer."
        hint = "Send the request again, with the same Idempotency-Key."
        return problem(503, "unavailable", why, hint, headers={"Retry-After": "1"})

    for kind in (Busy, *AWAY):
        api.exception_handler(kind)(unavailable)

    @api.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> JSONResponse:
        return problem(500, "internal", "Something is broken here; it has been logged.", "Try again, or see the log.")


def _document(api: FastAPI) -> None:
    """Add the OFREP paths, which are served outside FastAPI, and the bearer scheme to the OpenAPI document."""
    described = api.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        document["paths"].update(documents.OFREP_PATHS)
        document.setdefault("components", {})["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"bearer": []}, {}]
        return document

    api.openapi = openapi  # type: ignore[method-assign]


_ABOUT = (
    "Rolls out AI changes without surprising anyone. Applications ask which version to serve (OFREP) and report what "
    "happened (observations); people read and steer rollouts. Errors are `{code, message, hint}`, and under `/ofrep` "
    "as OFREP says."
)
