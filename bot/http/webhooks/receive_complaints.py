"""Complaints from help desks: `POST /webhooks/{desk}/{surface}`, verified by signature."""

from collections.abc import Callable, Mapping
from datetime import datetime

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bot.http.middleware.problems import build_problem
from bot.http.openapi.schemas import PROBLEMS
from bot.http.webhooks.read_complaint import HelpDeskDelivery, MalformedDelivery, read_delivery
from bot.http.webhooks.signatures import HelpDesk, SignatureRefused, verify_signature
from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.refusal import Conflict
from core.rollout.state import events as e
from core.service.service import CommandOutcome, CommandRequest, RolloutService

_BEFORE = "It came before: a ticket counts once."
_TITLES = {HelpDesk.ZENDESK: "Zendesk", HelpDesk.INTERCOM: "Intercom", HelpDesk.STANDARD: "the help desk"}


def build_router(
    service: RolloutService,
    secrets: Mapping[HelpDesk, str],
    now: Callable[[], datetime],
    real_time: Callable[[], datetime],
) -> APIRouter:
    """The route. `now` is the rollouts' clock; signed times are compared with `real_time`."""
    api = APIRouter(tags=["help desks"])

    @api.post(
        "/webhooks/{desk}/{surface}",
        responses={**PROBLEMS, 200: {"description": "Taken; counted says whether a complaint was recorded"}},
    )
    async def receive(desk: HelpDesk, surface: str, request: Request, tag: str = "") -> Response:
        """Record a complaint of a customer about a surface; with `tag`, only of tickets that have it."""
        headers, body = {name.lower(): value for name, value in request.headers.items()}, await request.body()
        try:
            verify_signature(desk, secrets.get(desk, ""), headers, body, real_time())
            delivery = read_delivery(desk, headers, body)
        except SignatureRefused as refused:
            return build_problem(401, "unauthorized", str(refused), refused.hint)
        except MalformedDelivery as malformed:
            return build_problem(400, "malformed", str(malformed), "See docs/telemetry.md#help-desks.")
        if delivery.why_none:
            return _answer(delivery.why_none)
        if tag and tag not in delivery.tags:
            return _answer(f"The ticket does not have the tag {tag}.")
        return await run_in_threadpool(_record, service, desk, surface, delivery, now())

    return api


def _record(
    service: RolloutService, desk: HelpDesk, surface: str, delivery: HelpDeskDelivery, at: datetime
) -> Response:
    """Record the complaint with the rollout under way on the surface, once per ticket: a trigger fires at each update,
    also while the next rollout is under way.

    What names no ticket is recorded once per delivery.
    """
    world = service.load_world()
    if surface not in world.surfaces:
        known = ", ".join(world.surfaces) or "none yet"
        return build_problem(404, "not_found", f"There is no AI feature called {surface}.", f"Known: {known}.")
    rollout = next((r for r in world.open_rollouts if r.is_under_way and r.plan.surface == surface), None)
    if rollout is None:
        return _answer(f"No rollout is under way on {surface}.")
    title = _TITLES[desk]
    # The ticket's number, not the customer's words: these stay in the help desk.
    text = f"complaint in {title}" + (f", ticket {delivery.ticket}" if delivery.ticket else "")
    known = "known" if delivery.unit else "unknown"  # a customer who is not known at first may be known later
    complaint_id = f"ticket:{delivery.ticket}:{known}" if delivery.ticket else delivery.id
    request = CommandRequest(
        command=c.ReportComplaint(text=text, unit=delivery.unit),
        command_id=f"webhook:{desk}:{surface}:{complaint_id}",
        by=Actor(id=f"webhook:{desk}", handle=title),
        at=at,
        rollout=rollout.id,
        source="webhook",
    )
    try:
        outcome = service.handle(request)
    except Conflict:  # it was told before: while another rollout was under way, or with another customer
        return _answer(_BEFORE)
    if outcome.counted:
        return JSONResponse({"counted": True, "rollout": rollout.id})
    return JSONResponse({"counted": False, "why": _explain_uncounted(outcome, delivery), "rollout": rollout.id})


def _explain_uncounted(outcome: CommandOutcome, delivery: HelpDeskDelivery) -> str:
    """Why a complaint that is recorded is in no comparison."""
    if outcome.repeated:
        return _BEFORE
    if not delivery.unit:
        return "It does not say which customer it is: noted, and counted for neither version."
    reported = next((r.event for r in outcome.recorded if isinstance(r.event, e.ComplaintReported)), None)
    if reported is None or not reported.arm:
        return "This customer is not compared, as far as is known: noted, and counted for neither version."
    return "Noted. This customer has complained in this hour already, or a source counts the complaints."


def _answer(why_not: str) -> JSONResponse:
    return JSONResponse({"counted": False, "why": why_not})
