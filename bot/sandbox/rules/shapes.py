"""The table of Slack's payload shapes: the fields of each object, their kinds and limits."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a shape: `kind` names a primitive, a shape or a union.

    For a list (`is_list`), `limit` bounds the number of items and `item_limit` the length of an item; otherwise `limit`
    bounds the length. Both name a row of the table of limits.
    """

    kind: str
    limit: str = ""
    required: bool = False
    many: bool = False
    each: str = ""
    one_of: tuple[str, ...] = ()


Shape = dict[str, Field]


def _text(limit: str, *, required: bool = False, plain: bool = True) -> Field:
    return Field(kind="plain_text" if plain else "text", limit=limit, required=required)


def _options(limit: str, *, required: bool = True) -> Field:
    return Field(kind="option", many=True, limit=limit, required=required)


_ACTION_ID = Field(kind="string", limit="action_id.max_length")
_CONFIRM = Field(kind="confirmation")
_FOCUS = Field(kind="boolean")
_PLACEHOLDER = _text("select.placeholder.max_length")
_ALWAYS = {"type": Field(kind="string", required=True)}
_BLOCK = {**_ALWAYS, "block_id": Field(kind="string", limit="block_id.max_length")}
_ELEMENT = {**_ALWAYS, "action_id": _ACTION_ID}
_CHOICE = {**_ELEMENT, "confirm": _CONFIRM, "focus_on_load": _FOCUS}
_SELECT = {**_CHOICE, "placeholder": _PLACEHOLDER}
_STATIC = {
    "options": _options("select.options.max_items", required=False),
    "option_groups": Field(kind="option_group", many=True, limit="select.option_groups.max_items"),
}
_MULTI = {"max_selected_items": Field(kind="integer")}
_TYPED = {
    **_ELEMENT,
    "focus_on_load": _FOCUS,
    "placeholder": _text("plain_text_input.placeholder.max_length"),
    "initial_value": Field(kind="string"),
    "dispatch_action_config": Field(kind="object"),
}
_IMAGE_SOURCE = {
    "image_url": Field(kind="string", limit="image.image_url.max_length"),
    "slack_file": Field(kind="object"),
}

SHAPES: Final[dict[str, Shape]] = {
    # composition objects
    "confirmation": {
        "title": _text("confirmation.title.max_length", required=True),
        "text": _text("confirmation.text.max_length", required=True, plain=False),
        "confirm": _text("confirmation.confirm.max_length", required=True),
        "deny": _text("confirmation.deny.max_length", required=True),
        "style": Field(kind="string", one_of=("primary", "danger")),
    },
    "option": {
        "text": _text("option.text.max_length", required=True, plain=False),
        "value": Field(kind="string", limit="option.value.max_length", required=True),
        "description": _text("option.description.max_length", plain=False),
        "url": Field(kind="string", limit="button.url.max_length"),
    },
    "option_group": {
        "label": _text("option_group.label.max_length", required=True),
        "options": _options("option_group.options.max_items"),
    },
    "column_setting": {
        "align": Field(kind="string", one_of=("left", "center", "right")),
        "is_wrapped": Field(kind="boolean"),
    },
    # blocks
    "block.actions": {
        **_BLOCK,
        "elements": Field(kind="action", many=True, limit="actions.elements.max_items", required=True),
    },
    "block.context": {
        **_BLOCK,
        "elements": Field(kind="context_item", many=True, limit="context.elements.max_items", required=True),
    },
    "block.data_visualization": {
        **_BLOCK,
        "title": Field(kind="string", limit="data_visualization.title.max_length", required=True),
        "chart": Field(kind="object", required=True),
    },
    "block.divider": {**_BLOCK},
    "block.header": {**_BLOCK, "text": _text("header.text.max_length", required=True)},
    "block.image": {
        **_BLOCK,
        **_IMAGE_SOURCE,
        "alt_text": Field(kind="string", limit="image.alt_text.max_length", required=True),
        "title": _text("image.title.max_length"),
    },
    "block.input": {
        **_BLOCK,
        "label": _text("input.label.max_length", required=True),
        "element": Field(kind="input_element", required=True),
        "hint": _text("input.hint.max_length"),
        "optional": Field(kind="boolean"),
        "dispatch_action": Field(kind="boolean"),
    },
    "block.markdown": {**_BLOCK, "text": Field(kind="string", limit="markdown.text.max_length", required=True)},
    "block.rich_text": {**_BLOCK, "elements": Field(kind="object", many=True, required=True)},
    "block.section": {
        **_BLOCK,
        "text": _text("section.text.max_length", plain=False),
        "fields": Field(
            kind="text", many=True, limit="section.fields.max_items", each="section.fields.item.max_length"
        ),
        "accessory": Field(kind="accessory"),
        "expand": Field(kind="boolean"),
    },
    "block.table": {
        **_BLOCK,
        "rows": Field(kind="table_row", many=True, limit="table.rows.max_items", required=True),
        "column_settings": Field(kind="column_setting", many=True, limit="table.column_settings.max_items"),
    },
    # elements
    "button": {
        **_ELEMENT,
        "text": _text("button.text.max_length", required=True),
        "value": Field(kind="string", limit="button.value.max_length"),
        "url": Field(kind="string", limit="button.url.max_length"),
        "style": Field(kind="string", one_of=("primary", "danger")),
        "confirm": _CONFIRM,
        "accessibility_label": Field(kind="string", limit="button.accessibility_label.max_length"),
    },
    "image": {
        **_ALWAYS,
        **_IMAGE_SOURCE,
        "alt_text": Field(kind="string", limit="image_element.alt_text.max_length", required=True),
    },
    "overflow": {**_ELEMENT, "options": _options("overflow.options.max_items"), "confirm": _CONFIRM},
    "static_select": {**_SELECT, **_STATIC, "initial_option": Field(kind="option")},
    "multi_static_select": {
        **_SELECT,
        **_STATIC,
        **_MULTI,
        "initial_options": _options("select.options.max_items", required=False),
    },
    "users_select": {**_SELECT, "initial_user": Field(kind="string")},
    "multi_users_select": {**_SELECT, **_MULTI, "initial_users": Field(kind="string", many=True)},
    "channels_select": {
        **_SELECT,
        "initial_channel": Field(kind="string"),
        "response_url_enabled": Field(kind="boolean"),
    },
    "conversations_select": {
        **_SELECT,
        "initial_conversation": Field(kind="string"),
        "default_to_current_conversation": Field(kind="boolean"),
        "response_url_enabled": Field(kind="boolean"),
        "filter": Field(kind="object"),
    },
    "datepicker": {**_SELECT, "initial_date": Field(kind="string")},
    "timepicker": {**_SELECT, "initial_time": Field(kind="string"), "timezone": Field(kind="string")},
    "datetimepicker": {**_CHOICE, "initial_date_time": Field(kind="integer")},
    "checkboxes": {
        **_CHOICE,
        "options": _options("checkboxes.options.max_items"),
        "initial_options": _options("checkboxes.options.max_items", required=False),
    },
    "radio_buttons": {
        **_CHOICE,
        "options": _options("radio_buttons.options.max_items"),
        "initial_option": Field(kind="option"),
    },
    "plain_text_input": {
        **_TYPED,
        "multiline": Field(kind="boolean"),
        "min_length": Field(kind="integer"),
        "max_length": Field(kind="integer"),
    },
    "number_input": {
        **_TYPED,
        "is_decimal_allowed": Field(kind="boolean", required=True),
        "min_value": Field(kind="string"),
        "max_value": Field(kind="string"),
    },
    "email_text_input": {**_TYPED},
    "url_text_input": {**_TYPED},
    # a modal or a home tab, apart from its blocks
    "view": {
        **_ALWAYS,
        "blocks": Field(kind="object", many=True, required=True),
        "title": _text("view.title.max_length"),
        "submit": _text("view.submit.max_length"),
        "close": _text("view.close.max_length"),
        "private_metadata": Field(kind="string", limit="view.private_metadata.max_length"),
        "callback_id": Field(kind="string", limit="view.callback_id.max_length"),
        "external_id": Field(kind="string", limit="view.external_id.max_length"),
        "clear_on_close": Field(kind="boolean"),
        "notify_on_close": Field(kind="boolean"),
        "submit_disabled": Field(kind="boolean"),
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
