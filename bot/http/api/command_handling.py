"""What the REST routes have in common: find the rollout, name the command, hand it over, answer."""

from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Header

from bot.http.middleware.auth import Caller
from core.rollout import commands as c
from core.rollout.serving import strata
from core.rollout.state.model import Rollout
from core.service.service import CommandOutcome, CommandRequest, RolloutService

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        max_length=200,
        description="The id of this request: a repeat gets the first answer and changes nothing; a different "
        "body with the same id is a 409.",
    ),
]


def find_rollout(service: RolloutService, rollout_id: str) -> Rollout:
    """The rollout with this id; raises NotFound."""
    return service.load_world().require_rollout(rollout_id, hint="See GET /api/v1/rollouts.")


def build_command_id(caller: Caller, key: str, route: str) -> str:
    """The command's id: from the caller's Idempotency-Key, which cannot collide with another token's, or a new one."""
    return f"http:{caller.key}:{route}:{key}" if key else f"http:{uuid4().hex}"


def handle_command(
    service: RolloutService, caller: Caller, command: c.PersonCommand, rollout: str, command_id: str, at: datetime
) -> CommandOutcome:
    return service.handle(
        CommandRequest(
            command=command,
            command_id=command_id,
            by=caller.actor,
            at=at,
            rollout=rollout,
            source="http",
        )
    )


def list_unknown_strata(command: c.PersonCommand, rollout: Rollout | None) -> tuple[str, ...]:
    """`stratum`, if a rollback named one that the plan does not have, so that everyone went back; else nothing."""
    if not isinstance(command, c.RollBack) or not command.stratum or rollout is None:
        return ()
    return ("stratum",) if strata.find_stratum(rollout.plan, command.stratum) is None else ()


def outcome_to_json(outcome: CommandOutcome) -> dict[str, Any]:
    rollout = outcome.rollout
    return {
        "rollout": rollout.id if rollout else None,
        "state": rollout.state.value if rollout else None,
        "events": list(outcome.positions),
    }
