"""Converts what a person typed or chose in an element to the JSON that Slack sends to the app."""

from typing import Any

Json = dict[str, Any]

_KEYS = {
    "users_select": "selected_user",
    "multi_users_select": "selected_users",
    "channels_select": "selected_channel",
    "conversations_select": "selected_conversation",
    "datepicker": "selected_date",
    "timepicker": "selected_time",
    "datetimepicker": "selected_date_time",
}
_INITIAL = {
    "users_select": "initial_user",
    "multi_users_select": "initial_users",
    "channels_select": "initial_channel",
    "conversations_select": "initial_conversation",
    "datepicker": "initial_date",
    "timepicker": "initial_time",
    "datetimepicker": "initial_date_time",
}
_ONE_OPTION = ("static_select", "radio_buttons", "overflow")
_MANY_OPTIONS = ("multi_static_select", "checkboxes")


def choice_to_json(element: Json, value: Any) -> Json:
    """A choice as it appears in a payload; ValueError if the element has no such option.

    `value` is the typed text, an option's value (a list of them for multi-selects), an id, or a date.
    """
    kind = element["type"]
    if kind == "button":
        pressed: Json = {"type": kind, "text": element["text"]}
        return pressed | {key: element[key] for key in ("value", "style", "confirm") if key in element}
    if kind in _ONE_OPTION:
        return {"type": kind, "selected_option": _find_option(element, value) if value is not None else None}
    if kind in _MANY_OPTIONS:
        return {"type": kind, "selected_options": [_find_option(element, one) for one in value or []]}
    return {"type": kind, _KEYS.get(kind, "value"): value}


def initial_choice(element: Json) -> Any:
    """The element's initial value, in the form that `choice_to_json` takes; None if it has none."""
    kind = element["type"]
    if kind in _ONE_OPTION:
        return element.get("initial_option", {}).get("value")
    if kind in _MANY_OPTIONS:
        return [option["value"] for option in element.get("initial_options", [])] or None
    return element.get(_INITIAL.get(kind, "initial_value"))


def list_options(element: Json) -> list[Json]:
    """All options of a menu, including those inside option groups."""
    grouped = [option for group in element.get("option_groups", []) for option in group["options"]]
    return [*element.get("options", []), *grouped]


def _find_option(element: Json, value: Any) -> Json:
    for option in list_options(element):
        if value in (option["value"], option["text"]["text"]):
            return option
    raise ValueError(
        f"there is no option {value!r}; the options are {', '.join(o['value'] for o in list_options(element))}"
    )
