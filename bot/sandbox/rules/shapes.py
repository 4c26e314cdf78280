"""The table of Slack's payload shapes: the fields of each object, their kinds and limits."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldShape:
    """One field of a shape: `kind` names a primitive, a shape or a union.

    For a list (`is_list`), `limit` bounds the number of items and `item_limit` the length of an item; otherwise `limit`
    bounds the length. Both name a row of the table of limits.
    """

    kind: str
    limit: str = ""
    required: bool = False
    is_list: bool = False
    item_limit: str = ""
    one_of: tuple[str, ...] = ()


Shape = dict[str, FieldShape]


def _text_field(limit: str, *, required: bool = False, plain: bool = True) -> FieldShape:
    return FieldShape(kind="plain_text" if plain else "text", limit=limit, required=required)


def _options_field(limit: str, *, required: bool = True) -> FieldShape:
    return FieldShape(kind="option", is_list=True, limit=limit, required=required)


_ACTION_ID = FieldShape(kind="string", limit="action_id.max_length")
_CONFIRM = FieldShape(kind="confirmation")
_FOCUS = FieldShape(kind="boolean")
_PLACEHOLDER = _text_field("select.placeholder.max_length")
_ALWAYS = {"type": FieldShape(kind="string", required=True)}
_BLOCK = {**_ALWAYS, "block_id": FieldShape(kind="string", limit="block_id.max_length")}
_ELEMENT = {**_ALWAYS, "action_id": _ACTION_ID}
_CHOICE = {**_ELEMENT, "confirm": _CONFIRM, "focus_on_load": _FOCUS}
_SELECT = {**_CHOICE, "placeholder": _PLACEHOLDER}
_STATIC = {
    "options": _options_field("select.options.max_items", required=False),
    "option_groups": FieldShape(kind="option_group", is_list=True, limit="select.option_groups.max_items"),
}
_MULTI = {"max_selected_items": FieldShape(kind="integer")}
_TYPED = {
    **_ELEMENT,
    "focus_on_load": _FOCUS,
    "placeholder": _text_field("plain_text_input.placeholder.max_length"),
    "initial_value": FieldShape(kind="string"),
    "dispatch_action_config": FieldShape(kind="object"),
}
_IMAGE_SOURCE = {
    "image_url": FieldShape(kind="string", limit="image.image_url.max_length"),
    "slack_file": FieldShape(kind="object"),
}

SHAPES: Final[dict[str, Shape]] = {
    # composition objects
    "confirmation": {
        "title": _text_field("confirmation.title.max_length", required=True),
        "text": _text_field("confirmation.text.max_length", required=True, plain=False),
        "confirm": _text_field("confirmation.confirm.max_length", required=True),
        "deny": _text_field("confirmation.deny.max_length", required=True),
        "style": FieldShape(kind="string", one_of=("primary", "danger")),
    },
    "option": {
        "text": _text_field("option.text.max_length", required=True, plain=False),
        "value": FieldShape(kind="string", limit="option.value.max_length", required=True),
        "description": _text_field("option.description.max_length", plain=False),
        "url": FieldShape(kind="string", limit="button.url.max_length"),
    },
    "option_group": {
        "label": _text_field("option_group.label.max_length", required=True),
        "options": _options_field("option_group.options.max_items"),
    },
    "column_setting": {
        "align": FieldShape(kind="string", one_of=("left", "center", "right")),
        "is_wrapped": FieldShape(kind="boolean"),
    },
    # blocks
    "block.actions": {
        **_BLOCK,
        "elements": FieldShape(kind="action", is_list=True, limit="actions.elements.max_items", required=True),
    },
    "block.context": {
        **_BLOCK,
        "elements": FieldShape(kind="context_item", is_list=True, limit="context.elements.max_items", required=True),
    },
    "block.data_visualization": {
        **_BLOCK,
        "title": FieldShape(kind="string", limit="data_visualization.title.max_length", required=True),
        "chart": FieldShape(kind="object", required=True),
    },
    "block.divider": {**_BLOCK},
    "block.header": {**_BLOCK, "text": _text_field("header.text.max_length", required=True)},
    "block.image": {
        **_BLOCK,
        **_IMAGE_SOURCE,
        "alt_text": FieldShape(kind="string", limit="image.alt_text.max_length", required=True),
        "title": _text_field("image.title.max_length"),
    },
    "block.input": {
        **_BLOCK,
        "label": _text_field("input.label.max_length", required=True),
        "element": FieldShape(kind="input_element", required=True),
        "hint": _text_field("input.hint.max_length"),
        "optional": FieldShape(kind="boolean"),
        "dispatch_action": FieldShape(kind="boolean"),
    },
    "block.markdown": {**_BLOCK, "text": FieldShape(kind="string", limit="markdown.text.max_length", required=True)},
    "block.rich_text": {**_BLOCK, "elements": FieldShape(kind="object", is_list=True, required=True)},
    "block.section": {
        **_BLOCK,
        "text": _text_field("section.text.max_length", plain=False),
        "fields": FieldShape(
            kind="text", is_list=True, limit="section.fields.max_items", item_limit="section.fields.item.max_length"
        ),
        "accessory": FieldShape(kind="accessory"),
        "expand": FieldShape(kind="boolean"),
    },
    "block.table": {
        **_BLOCK,
        "rows": FieldShape(kind="table_row", is_list=True, limit="table.rows.max_items", required=True),
        "column_settings": FieldShape(kind="column_setting", is_list=True, limit="table.column_settings.max_items"),
    },
    # elements
    "button": {
        **_ELEMENT,
        "text": _text_field("button.text.max_length", required=True),
        "value": FieldShape(kind="string", limit="button.value.max_length"),
        "url": FieldShape(kind="string", limit="button.url.max_length"),
        "style": FieldShape(kind="string", one_of=("primary", "danger")),
        "confirm": _CONFIRM,
        "accessibility_label": FieldShape(kind="string", limit="button.accessibility_label.max_length"),
    },
    "image": {
        **_ALWAYS,
        **_IMAGE_SOURCE,
        "alt_text": FieldShape(kind="string", limit="image_element.alt_text.max_length", required=True),
    },
    "overflow": {**_ELEMENT, "options": _options_field("overflow.options.max_items"), "confirm": _CONFIRM},
    "static_select": {**_SELECT, **_STATIC, "initial_option": FieldShape(kind="option")},
    "multi_static_select": {
        **_SELECT,
        **_STATIC,
        **_MULTI,
        "initial_options": _options_field("select.options.max_items", required=False),
    },
    "users_select": {**_SELECT, "initial_user": FieldShape(kind="string")},
    "multi_users_select": {**_SELECT, **_MULTI, "initial_users": FieldShape(kind="string", is_list=True)},
    "channels_select": {
        **_SELECT,
        "initial_channel": FieldShape(kind="string"),
        "response_url_enabled": FieldShape(kind="boolean"),
    },
    "conversations_select": {
        **_SELECT,
        "initial_conversation": FieldShape(kind="string"),
        "default_to_current_conversation": FieldShape(kind="boolean"),
        "response_url_enabled": FieldShape(kind="boolean"),
        "filter": FieldShape(kind="object"),
    },
    "datepicker": {**_SELECT, "initial_date": FieldShape(kind="string")},
    "timepicker": {**_SELECT, "initial_time": FieldShape(kind="string"), "timezone": FieldShape(kind="string")},
    "datetimepicker": {**_CHOICE, "initial_date_time": FieldShape(kind="integer")},
    "checkboxes": {
        **_CHOICE,
        "options": _options_field("checkboxes.options.max_items"),
        "initial_options": _options_field("checkboxes.options.max_items", required=False),
    },
    "radio_buttons": {
        **_CHOICE,
        "options": _options_field("radio_buttons.options.max_items"),
        "initial_option": FieldShape(kind="option"),
    },
    "plain_text_input": {
        **_TYPED,
        "multiline": FieldShape(kind="boolean"),
        "min_length": FieldShape(kind="integer"),
        "max_length": FieldShape(kind="integer"),
    },
    "number_input": {
        **_TYPED,
        "is_decimal_allowed": FieldShape(kind="boolean", required=True),
        "min_value": FieldShape(kind="string"),
        "max_value": FieldShape(kind="string"),
    },
    "email_text_input": {**_TYPED},
    "url_text_input": {**_TYPED},
    # a modal or a home tab, apart from its blocks
    "view": {
        **_ALWAYS,
        "blocks": FieldShape(kind="object", is_list=True, required=True),
        "title": _text_field("view.title.max_length"),
        "submit": _text_field("view.submit.max_length"),
        "close": _text_field("view.close.max_length"),
        "private_metadata": FieldShape(kind="string", limit="view.private_metadata.max_length"),
        "callback_id": FieldShape(kind="string", limit="view.callback_id.max_length"),
        "external_id": FieldShape(kind="string", limit="view.external_id.max_length"),
        "clear_on_close": FieldShape(kind="boolean"),
        "notify_on_close": FieldShape(kind="boolean"),
        "submit_disabled": FieldShape(kind="boolean"),
    },
}

_MENUS = ("static_select", "users_select", "channels_select", "conversations_select")
_MULTI_MENUS = ("multi_static_select", "multi_users_select")
_PICKERS = ("datepicker", "timepicker", "checkboxes", "radio_buttons")

UNIONS: Final[dict[str, tuple[str, ...]]] = {
    "action": ("button", "overflow", "datetimepicker", *_MENUS, *_PICKERS),
    "accessory": ("button", "overflow", "image", *_MENUS, *_MULTI_MENUS, *_PICKERS),
    "input_element": (
        *("plain_text_input", "number_input", "email_text_input", "url_text_input", "datetimepicker"),
        *(*_MENUS, *_MULTI_MENUS, *_PICKERS),
    ),
}

SURFACES: Final[dict[str, frozenset[str]]] = {
    "message": frozenset(
        {"actions", "context", "data_visualization", "divider", "header", "image", "input", "markdown"}
        | {"rich_text", "section", "table"}
    ),
    "modal": frozenset({"actions", "context", "divider", "header", "image", "input", "rich_text", "section"}),
    "home": frozenset({"actions", "context", "divider", "header", "image", "input", "rich_text", "section"}),
}
