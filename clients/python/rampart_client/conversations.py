"""Conversations under way: which of them go on with the version that they began with."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

from rampart_client.bucketing import MAX_UNIT_LENGTH, build_prefix, find_threshold
from rampart_client.evaluation import Evaluation
from rampart_client.layers import compile_layer
from rampart_client.targeting import ContextTest, compile_conditions

CONVERSATION = "conversation"

WasServed: TypeAlias = Callable[[str, Mapping[str, Any]], bool]
Choice: TypeAlias = Callable[[str | None, Mapping[str, Any]], Evaluation]


def compile_finishing(
    surface: str, finishing: Mapping[str, Any], answers: list[Evaluation], choose: Choice, final: frozenset[Evaluation]
) -> Choice:
    """`choose`, and for a conversation under way the version that it began with, if that version still finishes and
    was served to the unit. `final` are answers that hold in every conversation."""
    prefix = f"{surface}@"
    versions: dict[str, tuple[Evaluation, tuple[WasServed, ...] | None]] = {
        name: (
            answers[one["answer"]],
            None if one["served_to"] is None else tuple(_compile_served(served) for served in one["served_to"]),
        )
        for name, one in finishing.items()
    }

    def choose_in_conversation(unit: str | None, context: Mapping[str, Any]) -> Evaluation:
        answer = choose(unit, context)
        origin = _find_origin(prefix, context.get(CONVERSATION))
        if origin is None or answer in final or not _is_placeable(unit) or origin == answer.conversation:
            return answer
        found = versions.get(origin[len(prefix) :].partition("/")[0])
        if found is None:
            return answer
        kept, served_to = found
        if kept.version == answer.version and answer.variant == "stable":
            return answer
        assert unit is not None
        return kept if served_to is None or any(was_served(unit, context) for was_served in served_to) else answer

    return choose_in_conversation


def _find_origin(prefix: str, sent: object) -> str | None:
    """What the conversation began with on this surface; None if nothing was sent for it."""
    for one in sent if isinstance(sent, list | tuple) else (sent,):
        if isinstance(one, str) and one.startswith(prefix):
            return one
    return None


def _is_placeable(unit: str | None) -> bool:
    return bool(unit) and unit is not None and len(unit) <= MAX_UNIT_LENGTH and "\x00" not in unit


def _compile_served(served: Mapping[str, Any]) -> WasServed:
    prefix = build_prefix("expose", served["salt"])
    moved_back = frozenset(bytes.fromhex(number) for number in served["moved_back"])
    taken_back = tuple(compile_conditions(where) for where in served["taken_back"])
    shares: Sequence[tuple[ContextTest | None, bytes]] = tuple(
        (compile_conditions(share["where"]) if share["where"] is not None else None, find_threshold(share["below"]))
        for share in served.get("layered_shares", served["shares"])
    )
    is_in_layer = compile_layer(served.get("layer"))

    def was_served(unit: str, context: Mapping[str, Any]) -> bool:
        try:
            digest = sha256(prefix + unit.encode()).digest()
        except UnicodeEncodeError:
            return False
        if digest[:8] in moved_back or any(is_member(context) for is_member in taken_back):
            return False
        if is_in_layer is not None and not is_in_layer(unit):
            return False
        return any(digest < below and (is_member is None or is_member(context)) for is_member, below in shares)

    return was_served
