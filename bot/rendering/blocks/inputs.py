"""Input blocks of modals: text, numbers, menus, ticks, people and times, each within Slack's limits."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from bot.rendering.blocks.blocks import Block, plain_text

Choice: TypeAlias = tuple[str, str]  # value, text

TEXT_INPUT_LIMIT = 3000
_LABEL, _HINT, _PLACEHOLDER = 150, 150, 150
ERROR_LIMIT = 500  # more does not fit under a field
_OPTIONS, _OPTION_TEXT, _OPTION_VALUE = 100, 75, 150


def text_input(
    name: str,
    label: str,
    *,
    block_id: str = "",
    hint: str = "",
    placeholder: str = "",
    initial: str = "",
    optional: bool = False,
    multiline: bool = False,
    max_length: int = TEXT_INPUT_LIMIT,
) -> Block:
    """A field for text. `name` is its action id, and its block id unless that is given."""
    element: dict[str, Any] = {"type": "plain_text_input", "multiline": multiline, "max_length": max_length}
    if placeholder:
        element["placeholder"] = plain_text(placeholder, _PLACEHOLDER)
    if initial:
        element["initial_value"] = initial[:max_length]
    return _build_input(name, label, element, block_id=block_id, hint=hint, optional=optional)


def number_input(name: str, label: str, initial: str) -> Block:
    """An optional field for a positive number, which may have decimals."""
    element: dict[str, Any] = {"type": "number_input", "is_decimal_allowed": True, "min_value": "0"}
    if initial:
        element["initial_value"] = initial
    return _build_input(name, label, element, optional=True)


def menu(
    name: str,
    label: str,
    choices: Sequence[Choice],
    *,
    hint: str = "",
    initial: str = "",
    optional: bool = False,
    notifies: bool = False,
) -> Block:
    """A menu of at most a hundred choices; if it `notifies`, every choice is sent at once."""
    element: dict[str, Any] = {
        "type": "static_select",
        "options": [build_option(value, text) for value, text in choices[:_OPTIONS]],
    }
    chosen = next((option for option in element["options"] if option["value"] == initial), None)
    if chosen is not None:
        element["initial_option"] = chosen
    return _build_input(name, label, element, hint=hint, optional=optional, notifies=notifies)


def multi_menu(name: str, label: str, choices: Sequence[Choice], *, hint: str, initial: Sequence[str]) -> Block:
    """An optional menu of which several of at most a hundred choices can be taken."""
    options = [build_option(value, text) for value, text in choices[:_OPTIONS]]
    element: dict[str, Any] = {"type": "multi_static_select", "options": options}
    if chosen := [option for option in options if option["value"] in initial]:
        element["initial_options"] = chosen
    return _build_input(name, label, element, hint=hint, optional=True)


def time_input(name: str, label: str, *, initial: str) -> Block:
    """An optional time of day, as `20:00`."""
    element: dict[str, Any] = {"type": "timepicker"}
    if initial:
        element["initial_time"] = initial
    return _build_input(name, label, element, optional=True)


def tick(name: str, label: str, text: str) -> Block:
    """One box to tick; its option's value is `yes`."""
    return _build_input(name, label, {"type": "checkboxes", "options": [build_option("yes", text)]}, optional=True)


def person_input(name: str, label: str, *, initial: str, hint: str) -> Block:
    """A menu of the people in the workspace; its value is a user id."""
    element: dict[str, Any] = {"type": "users_select"}
    if initial:
        element["initial_user"] = initial
    return _build_input(name, label, element, hint=hint)


def moment_input(name: str, label: str, hint: str) -> Block:
    """An optional date and time, in the reader's own time zone; its value is in seconds since the epoch."""
    return _build_input(name, label, {"type": "datetimepicker"}, hint=hint, optional=True)


def build_option(value: str, text: str) -> Block:
    """One option of a menu or a tick."""
    return {"text": plain_text(text, _OPTION_TEXT), "value": value[:_OPTION_VALUE]}


def _build_input(
    name: str,
    label: str,
    element: dict[str, Any],
    *,
    block_id: str = "",
    hint: str = "",
    optional: bool = False,
    notifies: bool = False,
) -> Block:
    block: Block = {
        "type": "input",
        "block_id": block_id or name,
        "label": plain_text(label, _LABEL),
        "element": {**element, "action_id": name},
        "optional": optional,
    }
    if hint:
        block["hint"] = plain_text(hint, _HINT)
    if notifies:
        block["dispatch_action"] = True
    return block
