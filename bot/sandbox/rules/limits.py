"""The table of Slack's limits: one row per rule, with its value, its source, and how certain it is."""

from dataclasses import dataclass
from typing import Literal

_REFERENCE = "https://docs.slack.dev/reference"
_BLOCKS = f"{_REFERENCE}/block-kit/blocks"
_ELEMENTS = f"{_REFERENCE}/block-kit/block-elements"
_OBJECTS = f"{_REFERENCE}/block-kit/composition-objects"
_VIEWS = f"{_REFERENCE}/views/modal-views"
_METHODS = f"{_REFERENCE}/methods"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackLimit:
    """One limit: a length in characters, a number of items, or seconds, as its `id` says."""

    id: str
    value: int
    source: str
    confidence: Literal["documented", "observed", "assumed"] = "documented"


_ROWS: tuple[tuple[str, int, str], ...] = (
    ("text.min_length", 1, f"{_OBJECTS}/text-object"),
    ("text.max_length", 3000, f"{_OBJECTS}/text-object"),
    ("action_id.max_length", 255, f"{_ELEMENTS}/button-element"),
    ("block_id.max_length", 255, f"{_BLOCKS}/section-block"),
    ("button.text.max_length", 75, f"{_ELEMENTS}/button-element"),
    ("button.url.max_length", 3000, f"{_ELEMENTS}/button-element"),
    ("button.value.max_length", 2000, f"{_ELEMENTS}/button-element"),
    ("button.accessibility_label.max_length", 75, f"{_ELEMENTS}/button-element"),
    ("confirmation.title.max_length", 100, f"{_OBJECTS}/confirmation-dialog-object"),
    ("confirmation.text.max_length", 300, f"{_OBJECTS}/confirmation-dialog-object"),
    ("confirmation.confirm.max_length", 30, f"{_OBJECTS}/confirmation-dialog-object"),
    ("confirmation.deny.max_length", 30, f"{_OBJECTS}/confirmation-dialog-object"),
    ("option.text.max_length", 75, f"{_OBJECTS}/option-object"),
    ("option.value.max_length", 150, f"{_OBJECTS}/option-object"),
    ("option.description.max_length", 75, f"{_OBJECTS}/option-object"),
    ("option_group.label.max_length", 75, f"{_OBJECTS}/option-group-object"),
    ("option_group.options.max_items", 100, f"{_OBJECTS}/option-group-object"),
    ("select.placeholder.max_length", 150, f"{_ELEMENTS}/select-menu-element"),
    ("select.options.max_items", 100, f"{_ELEMENTS}/select-menu-element"),
    ("select.option_groups.max_items", 100, f"{_ELEMENTS}/select-menu-element"),
    ("overflow.options.max_items", 5, f"{_ELEMENTS}/overflow-menu-element"),
    ("checkboxes.options.max_items", 10, f"{_ELEMENTS}/checkboxes-element"),
    ("radio_buttons.options.max_items", 10, f"{_ELEMENTS}/radio-button-group-element"),
    ("plain_text_input.max_length.max", 3000, f"{_ELEMENTS}/plain-text-input-element"),
    ("plain_text_input.placeholder.max_length", 150, f"{_ELEMENTS}/plain-text-input-element"),
    ("shortcuts.max_items", 10, f"{_REFERENCE}/app-manifest"),
    ("shortcut.name.max_length", 24, f"{_REFERENCE}/app-manifest"),
    ("shortcut.callback_id.max_length", 255, f"{_REFERENCE}/app-manifest"),
    ("actions.elements.max_items", 25, f"{_BLOCKS}/actions-block"),
    ("context.elements.max_items", 10, f"{_BLOCKS}/context-block"),
    ("header.text.max_length", 150, f"{_BLOCKS}/header-block"),
    ("image.image_url.max_length", 3000, f"{_BLOCKS}/image-block"),
    ("image.alt_text.max_length", 2000, f"{_BLOCKS}/image-block"),
    ("image.title.max_length", 2000, f"{_BLOCKS}/image-block"),
    ("image_element.image_url.max_length", 3000, f"{_ELEMENTS}/image-element"),
    ("image_element.alt_text.max_length", 2000, f"{_ELEMENTS}/image-element"),
    ("input.label.max_length", 2000, f"{_BLOCKS}/input-block"),
    ("input.hint.max_length", 2000, f"{_BLOCKS}/input-block"),
    ("markdown.text.max_length", 12000, f"{_BLOCKS}/markdown-block"),
    ("markdown.total_text.max_length", 12000, f"{_BLOCKS}/markdown-block"),
    ("section.text.max_length", 3000, f"{_BLOCKS}/section-block"),
    ("section.fields.max_items", 10, f"{_BLOCKS}/section-block"),
    ("section.fields.item.max_length", 2000, f"{_BLOCKS}/section-block"),
    ("table.rows.max_items", 100, f"{_BLOCKS}/table-block"),
    ("table.columns.max_items", 20, f"{_BLOCKS}/table-block"),
    ("table.column_settings.max_items", 20, f"{_BLOCKS}/table-block"),
    ("data_visualization.title.max_length", 50, f"{_BLOCKS}/data-visualization-block"),
    # Newer libraries allow 12, the documentation 6; the lower limit is accepted everywhere.
    ("data_visualization.lines.max_items", 6, f"{_BLOCKS}/data-visualization-block"),
    ("data_visualization.series_name.max_length", 20, f"{_BLOCKS}/data-visualization-block"),
    ("data_visualization.categories.max_items", 20, f"{_BLOCKS}/data-visualization-block"),
    ("data_visualization.category_label.max_length", 20, f"{_BLOCKS}/data-visualization-block"),
    ("data_visualization.axis_label.max_length", 50, f"{_BLOCKS}/data-visualization-block"),
    ("message.blocks.max_items", 50, f"{_REFERENCE}/block-kit/blocks"),
    ("view.blocks.max_items", 100, _VIEWS),
    ("view.private_metadata.max_length", 3000, _VIEWS),
    ("view.callback_id.max_length", 255, _VIEWS),
    ("view.external_id.max_length", 255, _VIEWS),
    ("view.title.max_length", 24, _VIEWS),
    ("view.close.max_length", 24, _VIEWS),
    ("view.submit.max_length", 24, _VIEWS),
    ("views.stack.max_items", 3, f"{_METHODS}/views.push"),
    ("message.text.truncated_at", 40_000, f"{_METHODS}/chat.postMessage"),
    ("update.text.max_length", 4000, f"{_METHODS}/chat.update"),
    ("response_url.posts", 5, "https://docs.slack.dev/interactivity/handling-user-interaction"),
    ("response_url.seconds", 1800, "https://docs.slack.dev/interactivity/handling-user-interaction"),
    ("trigger.seconds", 3, "https://docs.slack.dev/interactivity/handling-user-interaction"),
    ("ack.seconds", 3, "https://docs.slack.dev/interactivity/handling-user-interaction"),
)

_UNDOCUMENTED = (
    SlackLimit(
        id="message.data_visualizations.max_items",
        value=2,
        source="https://github.com/vercel/chat/issues/696",
        confidence="observed",
    ),
    SlackLimit(
        id="message.blocks_text.max_length",
        value=13_200,
        source="https://github.com/slackapi/bolt-js/issues/2509",
        confidence="observed",
    ),
    SlackLimit(
        id="message.metadata.max_length",
        value=16_384,
        source=f"{_METHODS}/chat.postMessage",
        confidence="assumed",
    ),
)

LIMITS: dict[str, SlackLimit] = {
    **{id_: SlackLimit(id=id_, value=value, source=source) for id_, value, source in _ROWS},
    **{limit.id: limit for limit in _UNDOCUMENTED},
}


def value(limit_id: str) -> int:
    """The value of a limit; KeyError if the table has no such limit."""
    return LIMITS[limit_id].value
