"""REST route that applies a file: a rollout, bundle, surface or policy, with the prompts that it names."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from bot.http.api import command_handling
from bot.http.api.file_uploads import SentFile, read_sent_file
from bot.http.middleware.auth import Caller, TokenAuth, TokenRole
from bot.http.middleware.caller_limits import RateLimiter
from bot.http.middleware.problems import build_problem
from bot.http.openapi import file_responses
from core.files.command_from_file import FileLookups
from core.files.kinds.policy_file import PolicyFile
from core.files.kinds.surface_file import SurfaceFile
from core.files.read_file import parse_file
from core.files.syntax.problems import UnreadableFile, to_json
from core.service.apply_file import apply_parsed_file
from core.service.service import RolloutService


def add_route(
    api: APIRouter,
    service: RolloutService,
    auth: TokenAuth,
    rate_limiter: RateLimiter,
    now: Callable[[], datetime],
    lookups: FileLookups,
) -> None:
    """Add `POST /files` to the routes under `/api/v1`."""

    @api.post("/files", tags=["files"], responses=file_responses.APPLIED, openapi_extra=file_responses.FILE_BODY)
    async def apply_file(
        request: Request,
        filename: Annotated[str, Query(max_length=200)] = "",
        key: command_handling.IdempotencyKey = "",
    ) -> Response:
        """Apply a rollout, bundle, surface or policy file (YAML or JSON, as the body or as an upload called `file`).

        Prompts that it names come along as uploads called by their path."""
        caller = auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        rate_limiter.count_request(caller)
        return await run_in_threadpool(
            _apply_sent_file,
            service,
            caller,
            await read_sent_file(request, filename),
            command_handling.build_command_id(caller, key, "files"),
            now(),
            lookups,
        )


def _apply_sent_file(
    service: RolloutService,
    caller: Caller,
    sent: SentFile,
    command_id: str,
    at: datetime,
    lookups: FileLookups,
) -> JSONResponse:
    try:
        file = parse_file(sent.text, sent.name, sent.read_prompt, service.load_world().own_metrics)
        if isinstance(file, SurfaceFile | PolicyFile) and not caller.has_role(TokenRole.ADMIN):
            return build_problem(
                403, "forbidden", "Surfaces and policies are applied with an admin token.", "Ask an admin."
            )
        applied = apply_parsed_file(
            service,
            file,
            by=caller.actor,
            at=at,
            command_id=command_id,
            lookups=lookups,
            source="http",
        )
    except UnreadableFile as unreadable:
        hint = "Correct the lines named in problems and apply the file again. Nothing was changed."
        return build_problem(
            422, "unreadable", str(unreadable), hint, problems=[to_json(p) for p in unreadable.problems]
        )
    return JSONResponse(
        {
            "kind": applied.kind,
            "id": applied.id,
            "changed": applied.changed,
            **({"rollouts": list(applied.rollouts)} if applied.rollouts else {}),
            "warnings": [to_json(p) for p in applied.warnings],
            **command_handling.outcome_to_json(applied.outcome),
        }
    )
