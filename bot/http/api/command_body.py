"""Parses commands sent over HTTP. A rollback is accepted in any shape; every other command must be valid."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from urllib.parse import parse_qsl

from fastapi.exceptions import RequestValidationError
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from bot.commands.parsing import free_text, resolve, rollback_intent, typed_stratum
from bot.commands.verb import VerbArguments
from bot.commands.verbs import HTTP_VERBS, VERB_ALIASES, build_command
from core.flags.evaluation import MAX_UNIT_LENGTH
from core.rollout import commands as c
from core.rollout.refusal import Refused

MAX_REASON_LENGTH = 2000  # characters
MAX_STRATUM_LENGTH = 100


class ReviewAnswers(BaseModel):
    """The answers of a review: four questions, and what to learn from it."""

    model_config = ConfigDict(extra="forbid")
    numbers: str = Field("", max_length=MAX_REASON_LENGTH, description="Did the numbers match what you expected?")
    unexpected: str = Field("", max_length=MAX_REASON_LENGTH, description="Was anything unexpected?")
    behaviour: str = Field("", max_length=MAX_REASON_LENGTH, description="Do people behave differently?")
    cost: str = Field("", max_length=MAX_REASON_LENGTH, description="Is the cost where you expected it?")
    worked: str = Field("", max_length=MAX_REASON_LENGTH)
    failed: str = Field("", max_length=MAX_REASON_LENGTH)
    next_time: str = Field("", max_length=MAX_REASON_LENGTH)


class CommandBody(BaseModel):
    """A command to a rollout."""

    model_config = ConfigDict(extra="forbid")
    command: str = Field(examples=["rollback"], json_schema_extra={"enum": list(HTTP_VERBS)})
    reason: str = Field("", max_length=MAX_REASON_LENGTH)
    to_percent: float | None = Field(None, gt=0, le=100, description="advance: the ramp step to jump to")
    then: AwareDatetime | None = Field(None, description="start: begin by itself at this time")
    request: str = Field("", description="approve, reject: the approval request that is meant")
    choice: str = Field(
        "", description="decide: `keep` the new version, or go `back`; explain_rollback: the cause; vote: the answer"
    )
    notice: str = Field("", description="acknowledge, concern: which notice, as support:#support")
    unit: str = Field(
        "", max_length=MAX_UNIT_LENGTH, description="move_back, complaint: the customer, as in targetingKey"
    )
    stratum: str = Field(
        "", max_length=MAX_STRATUM_LENGTH, description="rollback: the only audience of the plan that goes back"
    )
    answers: ReviewAnswers | None = Field(None, description="review: the answers to its questions")
    next_step: bool = Field(False, description="remind_me: as soon as it grows, stops or waits for somebody")
    stage: int | None = Field(None, ge=0, description="vote: the index of the stage that is meant")
    keeps_baseline: bool = Field(True, description="review: what was measured is the new normal")


COMMAND_OPENAPI: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": CommandBody.model_json_schema()}}}
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SentCommand:
    """A parsed command, and the names of the fields that were ignored."""

    command: c.PersonCommand
    ignored: tuple[str, ...] = ()


def parse_command(body: bytes, content_type: str) -> SentCommand:
    """The command in a request body; raises `Refused` or `RequestValidationError`."""
    sent = _parse_fields(body, content_type)
    if isinstance(sent, Mapping) and (found := _parse_rollback(sent)) is not None:
        return found
    try:
        return SentCommand(command=_command_from_body(CommandBody.model_validate_json(body)))
    except ValidationError as error:
        found_wrong = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in found_wrong]) from None


def _parse_fields(body: bytes, content_type: str) -> object:
    """The body as JSON, a form, or a typed line; the last two are accepted for rollbacks only."""
    text = body.decode("utf-8", "replace").strip()
    try:
        sent = json.loads(text)
    except (ValueError, RecursionError):
        pass
    else:
        return {_make_storable(k): _make_storable(v) for k, v in sent.items()} if isinstance(sent, dict) else sent
    form = dict(parse_qsl(text)) if content_type.startswith("application/x-www-form-urlencoded") else {}
    return form if "command" in form else {"command": text}


def _make_storable(value: Any) -> Any:
    """A text with halves of characters replaced, as cutting off an escaped emoji leaves them; else the value."""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value


def _parse_rollback(sent: Mapping[str, object]) -> SentCommand | None:
    asked = sent.get("command")
    beside = rollback_intent.find_rollback_request(asked[: 2 * MAX_REASON_LENGTH]) if isinstance(asked, str) else None
    if beside is None or rollback_intent.is_only_mention(beside):
        return None
    typed = typed_stratum.take_stratum(beside)
    stratum = sent.get("stratum") if isinstance(sent.get("stratum"), str) else typed.name if typed is not None else ""
    line = free_text.split_flags(typed.line if typed is not None else beside, ())
    flags = {flag.lstrip("-") for flag in line.unknown}
    flags |= {str(name).lower().replace("_", "-") for name, value in sent.items() if value}
    if not free_text.DRY_RUN_FLAGS.isdisjoint(flags):
        raise Refused(
            "A rollback cannot be tried out, so nothing was done.",
            hint='Send {"command":"rollback"} alone to roll back.',
            code="invalid",
        )
    given = sent.get("reason")
    reason = resolve.extract_text(line.text) if given in (None, "") else str(given)
    known = ("command", "reason", *(("stratum",) if isinstance(sent.get("stratum"), str) else ()))
    ignored = tuple(str(name)[:100] for name in sent if name not in known)[:20]
    command = c.RollBack(reason=reason[:MAX_REASON_LENGTH], stratum=str(stratum)[:MAX_STRATUM_LENGTH])
    return SentCommand(command=command, ignored=ignored)


def _command_from_body(body: CommandBody) -> c.PersonCommand:
    asked = body.command.strip().lower().replace("-", "_")
    verb = HTTP_VERBS.get(asked) or VERB_ALIASES.get(asked)
    if verb is None:
        close = get_close_matches(asked, HTTP_VERBS, n=1)
        meant = f' Did you mean "{close[0]}"?' if close else ""
        raise Refused(
            f'There is no command "{asked[:40]}".{meant}',
            hint=f"Commands: {', '.join(HTTP_VERBS)}.",
            code="invalid",
        )
    arguments = VerbArguments(
        reason=body.reason,
        to_percent=body.to_percent,
        then=body.then,
        request=body.request,
        notice=body.notice,
        unit=body.unit,
        answers=body.answers.model_dump() if body.answers is not None else {},
        keeps_baseline=body.keeps_baseline,
        choice=body.choice,
        stratum=body.stratum,
        next_step=body.next_step,
        stage=body.stage,
    )
    return build_command(verb, arguments)
