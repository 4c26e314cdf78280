"""REST routes for reading and commanding rollouts."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from bot.commands.parsing import resolve
from bot.http.api import command_body, command_handling, eval_results, files, plans
from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.http.middleware.caller_limits import RateLimiter
from bot.http.openapi import rollout_responses
from bot.http.openapi.schemas import PROBLEMS
from bot.rendering import csv_text
from bot.rendering.answers.evidence.baseline import baseline_to_json
from bot.rendering.answers.served import customers
from bot.rendering.json.evidence import evidence_to_json
from bot.rendering.json.reviews import review_to_json
from bot.rendering.json.rollouts import bundle_to_json, event_to_json, rollout_to_json
from bot.rendering.json.strata import strata_to_json
from bot.rendering.numbers.latest_numbers import select_latest
from core.files.command_from_file import FileLookups
from core.files.rollout_form import suggest_limits
from core.report_sources import review_sources
from core.report_sources.look_reports import load_judging_spend, load_newest_judgement, load_soft_errors
from core.report_sources.review_sources import load_strata
from core.rollout import commands as c
from core.rollout.concurrency import bundles
from core.rollout.concurrency.neighbours import find_neighbours
from core.rollout.refusal import NotFound
from core.rollout.state.model import RolloutState
from core.service.service import CommandOutcome, RolloutService


def build_router(
    service: RolloutService,
    auth: TokenAuth,
    rate_limiter: RateLimiter,
    now: Callable[[], datetime],
    lookups: FileLookups,
) -> APIRouter:
    """The routes under `/api/v1`, except observations."""
    api = APIRouter(prefix="/api/v1", responses=PROBLEMS)

    @api.get("/rollouts", tags=["rollouts"], responses=rollout_responses.ROLLOUTS)
    def list_rollouts(
        request: Request,
        state: RolloutState | None = None,
        surface: str | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        before: Annotated[str, Query(pattern=r"^R-[0-9]{1,15}$")] | None = None,
    ) -> JSONResponse:
        """Rollouts, newest first; optionally filtered by state or surface. Pass `next` as `before` to get more."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        found = service.load_newest_rollouts(limit + 1, before=before or "", state=state, surface=surface)
        shown = found[:limit]
        following = shown[-1].id if len(found) > limit else None
        world, at = service.load_world(), now()
        listed = [rollout_to_json(r, find_neighbours(world, r, at)) for r in shown]
        return JSONResponse({"rollouts": listed, "next": following})

    @api.get("/rollouts/{rollout_id}", tags=["rollouts"], responses=rollout_responses.ROLLOUT)
    def show_rollout(request: Request, rollout_id: str) -> JSONResponse:
        """One rollout in its current state."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        rollout = command_handling.find_rollout(service, rollout_id)
        return JSONResponse(rollout_to_json(rollout, find_neighbours(service.load_world(), rollout, now())))

    @api.get("/bundles/{name}", tags=["rollouts"], responses=rollout_responses.BUNDLE)
    def show_bundle(request: Request, name: str) -> JSONResponse:
        """A bundle: how it moves, and each of its rollouts in its current state."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        world = service.load_world()
        found = bundles.find_bundle(world, name)
        if found is None:
            open_now = ", ".join(one.name for one in bundles.list_bundles(world)) or "none"
            raise NotFound(f"There is no bundle {name[:80]}. Open now: {open_now}.", hint="See GET /api/v1/rollouts.")
        return JSONResponse(bundle_to_json(found, world, now()))

    @api.get("/rollouts/{rollout_id}/events", tags=["rollouts"], responses=rollout_responses.EVENTS)
    def list_events(
        request: Request, rollout_id: str, after: Annotated[int, Query(ge=0, le=2**53)] = 0
    ) -> JSONResponse:
        """Everything that happened to the rollout, in order; optionally only what came `after` a position."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        recorded = service.load_history(command_handling.find_rollout(service, rollout_id).id)
        return JSONResponse({"events": [event_to_json(r) for r in recorded if r.position > after]})

    @api.get("/rollouts/{rollout_id}/evidence", tags=["rollouts"], responses=rollout_responses.EVIDENCE)
    def show_evidence(request: Request, rollout_id: str) -> JSONResponse:
        """What the engine knows, at most one tick old: both arms; per metric its estimate, bound, limit and verdict."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        rollout = command_handling.find_rollout(service, rollout_id)
        judgement, errors = load_newest_judgement(service, rollout), load_soft_errors(service, rollout)
        spend = load_judging_spend(service, rollout)
        return JSONResponse(evidence_to_json(rollout, judgement, now(), errors, spend))

    @api.get("/rollouts/{rollout_id}/strata", tags=["rollouts"], responses=rollout_responses.STRATA)
    def show_strata(request: Request, rollout_id: str) -> JSONResponse:
        """Each audience that can be rolled back alone, compared within itself; everyone else comes last."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        rollout = command_handling.find_rollout(service, rollout_id)
        numbers = select_latest(rollout, load_newest_judgement(service, rollout), now())
        return JSONResponse(strata_to_json(rollout, load_strata(service, rollout), numbers.at))

    @api.get("/rollouts/{rollout_id}/review", tags=["rollouts"], responses=rollout_responses.REVIEW)
    def show_review(request: Request, rollout_id: str) -> JSONResponse:
        """The review of a rollout that has ended: what the log says to its four questions, and the answers."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        draft = review_sources.load_draft(service, command_handling.find_rollout(service, rollout_id))
        return JSONResponse(review_to_json(draft, service.cached_world().policy.timezone))

    @api.get("/surfaces/{surface}/baseline", tags=["rollouts"], responses=rollout_responses.BASELINE)
    def show_baseline(request: Request, surface: str) -> JSONResponse:
        """What is normal for the surface's live version, as a review kept it, and the limits that it suggests."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        world = service.load_world()
        known = world.require_surface(surface, hint="See GET /api/v1/rollouts.")
        return JSONResponse(baseline_to_json(known, suggest_limits(known, world.policy)))

    @api.get("/rollouts/{rollout_id}/customers", tags=["rollouts"], responses=rollout_responses.CUSTOMERS)
    def list_customers(
        request: Request,
        rollout_id: str,
        limit: Annotated[int, Query(ge=1, le=5_000)] = 500,
        offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
        as_csv: Annotated[bool, Query(alias="csv")] = False,
    ) -> Response:
        """Which customers were served the new version, in the order of their first request, as JSON or `?csv=true`."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        rollout = command_handling.find_rollout(service, rollout_id)
        total, shown = service.load_served_units(rollout.id, limit=limit, offset=offset)
        if as_csv:
            rows = [customers.CSV_HEADER, *(customers.build_csv_row(rollout, one) for one in shown)]
            disposition = {"Content-Disposition": f'attachment; filename="customers-{rollout.id}.csv"'}
            return Response(csv_text.format_csv(rows), media_type="text/csv", headers=disposition)
        listed = [customers.customer_to_json(one) for one in shown]
        return JSONResponse({"version": rollout.plan.to_version, "total": total, "customers": listed})

    async def require_operator(request: Request) -> None:
        """Authorize before the body is validated, so that strangers learn nothing from validation errors."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)

    @api.post(
        "/rollouts/{rollout_id}/commands",
        tags=["rollouts"],
        responses=rollout_responses.OUTCOME,
        dependencies=[Depends(require_operator)],
        openapi_extra=command_body.COMMAND_OPENAPI,
    )
    async def command_rollout(
        request: Request, rollout_id: str, key: command_handling.IdempotencyKey = ""
    ) -> JSONResponse:
        """Send a command to a rollout. Approvals are accepted only from Slack."""
        caller = auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        sent = command_body.parse_command(await request.body(), request.headers.get("content-type", ""))
        if not isinstance(sent.command, c.RollBack | c.Pause):  # pausing and rolling back are never rate-limited
            rate_limiter.count_request(caller)

        def carry_out() -> CommandOutcome:
            found = resolve.find_exact(rollout_id, service.load_world())
            name = found.id if found is not None else rollout_id
            return command_handling.handle_command(
                service, caller, sent.command, name, command_handling.build_command_id(caller, key, "commands"), now()
            )

        outcome = await run_in_threadpool(carry_out)
        shown = command_handling.outcome_to_json(outcome)
        ignored = (*sent.ignored, *command_handling.list_unknown_strata(sent.command, outcome.rollout))
        return JSONResponse({**shown, "ignored": list(ignored)} if ignored else shown)

    files.add_route(api, service, auth, rate_limiter, now, lookups)
    plans.add_route(api, service, auth, rate_limiter, now)
    eval_results.add_route(api, service, auth, rate_limiter, now)
    return api
