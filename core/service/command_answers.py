"""The answer to a command as it is stored for repeats: what is written, and what a repeat gets."""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime

from core.rollout import commands as c
from core.rollout.refusal import Conflict, Refused
from core.store.errors import IdempotencyConflict
from core.store.log.answered_commands import CommandAnswer


def compute_fingerprint(command: c.Command, rollout: str, by: str) -> str:
    """What tells a repeat of a command from another one that was given the same id; `by` is the id of its author."""
    return hashlib.sha256(repr((rollout, by, command)).encode()).hexdigest()


def find_known_answer(
    find_answer: Callable[[str, str], CommandAnswer | None], command_id: str, fingerprint: str
) -> CommandAnswer | None:
    """The answer that this command got before, if it did. `Conflict` if its id belongs to another command."""
    try:
        return find_answer(command_id, fingerprint)
    except IdempotencyConflict as reused:
        raise Conflict(
            "This key was used before for a different request, so this one was not carried out.",
            hint="Use a new key for a new request.",
        ) from reused


def build_result(rollout: str, positions: tuple[int, ...], at: datetime) -> CommandAnswer:
    """The answer to a command that was carried out, with the positions of its events."""
    first, last = (positions[0], positions[-1]) if positions else (None, None)
    result = json.dumps({"rollout": rollout, "positions": list(positions)})
    return CommandAnswer(first_position=first, last_position=last, result_json=result, at=at)


def build_refusal(refused: Refused, at: datetime) -> CommandAnswer:
    """The answer to a command that was refused."""
    result = json.dumps({"refused": refused.message, "hint": refused.hint, "code": refused.code})
    return CommandAnswer(first_position=None, last_position=None, result_json=result, at=at)


def read_result(known: CommandAnswer) -> tuple[str, tuple[int, ...]]:
    """(the rollout, the positions of its events) of a stored answer; raises `Refused` if that is the answer."""
    result = json.loads(known.result_json)
    if "refused" in result:
        raise Refused(result["refused"], hint=result["hint"], code=result["code"])
    return result.get("rollout") or "", tuple(result.get("positions", ()))
