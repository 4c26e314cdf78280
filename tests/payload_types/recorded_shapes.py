"""Keeps one example of every shape of payload that a test run has sent to Slack, or checked by the sandbox's rules."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from bot.sandbox.rules import check_payload
from bot.sandbox.workspace.slack_state import ApiCall, SlackState

_MEANINGFUL = frozenset({"type", "style", "align", "parse", "trigger_actions_on", "include", "bot", "bot_events"})
"""Fields whose text Slack's types know word by word; of any other text only that it is one matters."""
_CONTENT = frozenset({"blocks", "view"})  # recorded by what checks them
_FORM_TYPES: dict[str, Callable[[str], object]] = {
    "limit": int,
    "length": int,
    "exclude_archived": lambda text: text in {"1", "true"},
    "include_all_metadata": lambda text: text in {"1", "true"},
    "include_users": lambda text: text in {"1", "true"},
    "inclusive": lambda text: text in {"1", "true"},
}
"""A form holds text alone; what these fields are to Slack."""

_shapes: set[str] = set()


def start_recording() -> None:
    """From now on, what passes the sandbox's rules and what calls of its Web API hold is recorded."""
    check_blocks, check_view, record_call = check_payload.check_blocks, check_payload.check_view, SlackState.record_call

    def check_and_record_blocks(blocks: object, surface: str = "message") -> list[check_payload.Violation]:
        found = check_blocks(blocks, surface)
        if not found and isinstance(blocks, list):
            record("blocks", blocks)
        return found

    def check_and_record_view(view: object, kinds: tuple[str, ...] = ("modal",)) -> list[check_payload.Violation]:
        found = check_view(view, kinds)
        if not found and isinstance(view, dict):
            record(f"view.{view['type']}", view)
        return found

    def record_call_and_shape(state: SlackState, call: ApiCall) -> None:
        record_call(state, call)
        if call.answer.get("ok"):
            record(call.method, {name: value for name, value in call.args.items() if name not in _CONTENT})

    check_payload.check_blocks = check_and_record_blocks
    check_payload.check_view = check_and_record_view
    SlackState.record_call = record_call_and_shape  # type: ignore[method-assign]


def record(kind: str, payload: object) -> None:
    """Keep the shape of a payload; `kind` is blocks, view.modal, view.home, manifest or a method of the Web API."""
    if kind == "blocks" and isinstance(payload, list):
        for block in payload:  # each for itself: their order is nothing to a type
            _shapes.add(json.dumps([kind, [_reduce(block)]], sort_keys=True))
        return
    _shapes.add(json.dumps([kind, _reduce(payload)], sort_keys=True))


def take_shapes() -> list[str]:
    """Every shape so far, as JSON of `[kind, payload]`."""
    return sorted(_shapes)


def _reduce(value: Any, name: str = "") -> Any:
    """The payload with one text for all texts, and each shape in a list once."""
    match value:
        case bool() | None:
            return value
        case str() if name in _FORM_TYPES:
            return _reduce(_FORM_TYPES[name](value))
        case str():
            return value if name in _MEANINGFUL else "x"
        case int() | float():
            return 1
        case dict() if name == "event_payload":
            return {}
        case dict():
            return {key: _reduce(inner, key) for key, inner in value.items()}
        case list() | tuple():
            return list(_keep_different(_reduce(inner, name) for inner in value))
    raise TypeError(f"JSON has no {type(value).__name__}")


def _keep_different(values: Iterable[Any]) -> Iterable[Any]:
    seen: list[Any] = []
    for value in values:
        if value not in seen:
            seen.append(value)
            yield value
