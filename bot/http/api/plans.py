"""The route that says what a rollout file would do, for a review before it is applied. Nothing is planned."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, Response

from bot.commands.answers import version_queries
from bot.http.api.file_uploads import SentFile, read_sent_file
from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.http.middleware.caller_limits import RateLimiter
from bot.http.middleware.problems import build_problem
from bot.http.openapi import file_responses
from bot.rendering.documents import plan_document
from bot.rendering.json.plans import plan_to_json
from core.files.syntax.problems import UnreadableFile, to_json
from core.report_sources.planned_file import plan_files
from core.service.service import RolloutService

MARKDOWN = "text/markdown"


def add_route(
    api: APIRouter, service: RolloutService, auth: TokenAuth, rate_limiter: RateLimiter, now: Callable[[], datetime]
) -> None:
    """Add `POST /plans`."""

    @api.post("/plans", tags=["files"], responses=file_responses.PLAN, openapi_extra=file_responses.FILE_BODY)
    async def show_plan(request: Request, filename: Annotated[str, Query(max_length=200)] = "") -> Response:
        """What a rollout file, or each of a bundle, would do: as JSON or, with `Accept: text/markdown`, as a comment
        for its review.

        Problems are then told as plain text."""
        caller = auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        rate_limiter.count_request(caller)
        sent = await read_sent_file(request, filename)
        as_markdown = asks_for_markdown(request.headers.get("accept", ""))
        return await run_in_threadpool(_answer, service, sent, now(), as_markdown=as_markdown)


def asks_for_markdown(accept: str) -> bool:
    """Whether an Accept header names Markdown, and neither rules it out nor weighs it below JSON."""
    weights = {"application/json": 0.0, MARKDOWN: 0.0}
    for one in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        weight = next((part.removeprefix("q=") for part in parameters if part.startswith("q=")), "1")
        with suppress(ValueError):
            weights[kind] = float(weight)
    return weights[MARKDOWN] > 0 and weights[MARKDOWN] >= weights["application/json"]


def _answer(service: RolloutService, sent: SentFile, at: datetime, *, as_markdown: bool) -> Response:
    try:
        bundle, planned = plan_files(service, sent.text, sent.name, at, sent.read_prompt)
    except UnreadableFile as unreadable:
        if as_markdown:
            return PlainTextResponse(str(unreadable), 422)
        hint = "Correct the lines named in problems. Nothing was changed."
        return build_problem(
            422, "unreadable", str(unreadable), hint, problems=[to_json(p) for p in unreadable.problems]
        )
    pairs = [(one, version_queries.build_plan_pair(one.plan, one.surface)) for one in planned]
    if as_markdown:
        zone = service.cached_world().policy.timezone
        text = "\n".join(plan_document.render_markdown(one, pair, zone) for one, pair in pairs)
        return Response(text, media_type=f"{MARKDOWN}; charset=utf-8", headers={"Cache-Control": "no-store"})
    shown = [plan_to_json(one, pair) for one, pair in pairs]
    return JSONResponse({"bundle": bundle, "rollouts": shown} if bundle else shown[0])
