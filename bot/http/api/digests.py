"""REST route for the weekly digest."""

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.http.openapi import digest_responses
from bot.http.openapi.schemas import PROBLEMS
from bot.rendering.json.digests import digest_to_json
from core.digests.week import parse_week
from core.report_sources import digest_sources
from core.rollout.refusal import Refused
from core.service.service import RolloutService


def build_router(service: RolloutService, auth: TokenAuth, now: Callable[[], datetime]) -> APIRouter:
    """The route `/api/v1/digests/{week}`."""
    api = APIRouter(prefix="/api/v1", responses=PROBLEMS)

    @api.get("/digests/{week}", tags=["digests"], responses=digest_responses.DIGEST)
    def show_digest(request: Request, week: str) -> JSONResponse:
        """A week in numbers (`2026-W48`, `last` or `this`): each with its id, its rule and the events behind it."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        try:
            asked = parse_week(week, now(), service.load_world().policy.timezone)
        except ValueError as error:
            raise Refused(str(error), code="invalid") from error
        return JSONResponse(digest_to_json(digest_sources.load_digest(service, asked, now())))

    return api
