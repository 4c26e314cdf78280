"""The block rules, cross-checked against two independent sets of limits and shown to catch what Slack refuses."""

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
import slack_sdk.models.blocks as sdk
import slack_sdk.models.views as sdk_views
import slackblocks
from slack_sdk.models.blocks import basic_components

from bot.sandbox.rules import check_payload, limits, shapes

Json = dict[str, Any]


def _independent_limits() -> dict[str, int]:
    source = (Path(slackblocks.__file__).parent / "_limits.py").read_text()
    return {
        str(statement.targets[0].id): ast.literal_eval(statement.value)
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }


def test_our_limits_are_those_that_slackblocks_generates_from_its_registry() -> None:
    theirs = _independent_limits()
    ours = {id_.upper().replace(".", "_"): limit.value for id_, limit in limits.LIMITS.items()}
    shared = ours.keys() & theirs.keys()
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
    assert len(shared) >= 50


@pytest.mark.parametrize(
    ("limit", "theirs"),
    [
        ("action_id.max_length", sdk.InteractiveElement.action_id_max_length),
        ("block_id.max_length", sdk.Block.block_id_max_length),
        ("button.text.max_length", sdk.ButtonElement.text_max_length),
        ("button.value.max_length", sdk.ButtonElement.value_max_length),
        ("button.url.max_length", sdk.ButtonElement.url_max_length),
        ("confirmation.title.max_length", basic_components.ConfirmObject.title_max_length),
        ("confirmation.text.max_length", basic_components.ConfirmObject.text_max_length),
        ("confirmation.confirm.max_length", basic_components.ConfirmObject.confirm_max_length),
        ("confirmation.deny.max_length", basic_components.ConfirmObject.deny_max_length),
        ("option.text.max_length", basic_components.Option.label_max_length),
        ("option.value.max_length", basic_components.Option.value_max_length),
        ("option_group.options.max_items", basic_components.OptionGroup.options_max_length),
        ("select.options.max_items", sdk.StaticSelectElement.options_max_length),
        ("overflow.options.max_items", sdk.OverflowMenuElement.options_max_length),
        ("select.placeholder.max_length", sdk.InputInteractiveElement.placeholder_max_length),
        ("actions.elements.max_items", sdk.ActionsBlock.elements_max_length),
        ("context.elements.max_items", sdk.ContextBlock.elements_max_length),
        ("header.text.max_length", sdk.HeaderBlock.text_max_length),
        ("image.alt_text.max_length", sdk.ImageBlock.alt_text_max_length),
        ("image.title.max_length", sdk.ImageBlock.title_max_length),
        ("input.label.max_length", sdk.InputBlock.label_max_length),
        ("input.hint.max_length", sdk.InputBlock.hint_max_length),
        ("markdown.text.max_length", sdk.MarkdownBlock.text_max_length),
        ("section.text.max_length", sdk.SectionBlock.text_max_length),
        ("section.fields.max_items", sdk.SectionBlock.fields_max_length),
        ("view.title.max_length", sdk_views.View.title_max_length),
        ("view.blocks.max_items", sdk_views.View.blocks_max_length),
        ("view.submit.max_length", sdk_views.View.submit_max_length),
        ("view.private_metadata.max_length", sdk_views.View.private_metadata_max_length),
    ],
)
def test_our_limits_are_those_of_slacks_own_client(limit: str, theirs: int) -> None:
    assert limits.value(limit) == theirs


def test_every_shape_names_limits_that_exist_and_every_limit_says_where_it_is_written() -> None:
    named = {
        name
        for shape in shapes.SHAPES.values()
        for field in shape.values()
        for name in (field.limit, field.item_limit)
        if name
    }
    assert named <= limits.LIMITS.keys()
    assert all(limit.source.startswith("https://") for limit in limits.LIMITS.values())


def test_every_field_that_slacks_client_knows_is_allowed() -> None:
    known = {
        "block.section": sdk.SectionBlock,
        "block.header": sdk.HeaderBlock,
        "block.actions": sdk.ActionsBlock,
        "block.context": sdk.ContextBlock,
        "block.input": sdk.InputBlock,
        "block.image": sdk.ImageBlock,
        "button": sdk.ButtonElement,
        "static_select": sdk.StaticSelectElement,
        "plain_text_input": sdk.PlainTextInputElement,
        "checkboxes": sdk.CheckboxesElement,
    }
    for shape, theirs in known.items():
        fields = {"type"} | {
            name for name in inspect.signature(theirs.__init__).parameters if name not in ("self", "others")
        }
        assert shapes.SHAPES[shape].keys() <= fields, shape


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def button(**changed: Any) -> Json:
    return {"type": "button", "action_id": "go", "text": plain("Go"), **changed}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def section(text: str = "hello", **changed: Any) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **changed}


def confirm(**changed: Any) -> Json:
    return {"title": plain("Sure?"), "text": plain("Really"), "confirm": plain("Yes"), "deny": plain("No"), **changed}


def options(count: int) -> list[Json]:
    return [{"text": plain(f"option {n}"), "value": str(n)} for n in range(count)]


def chart(**changed: Any) -> Json:
    labels = ["10:00", "11:00"]
    line = {"name": "Difference", "data": [{"label": label, "value": 1.5} for label in labels]}
    drawn = {"type": "line", "series": [line], "axis_config": {"categories": labels, "y_label": "pp"}, **changed}
    return {"type": "data_visualization", "title": "Pass rate", "chart": drawn}


GOOD: list[Json] = [
    {"type": "header", "text": plain("Rolled back: R-1")},
    section(fields=[{"type": "mrkdwn", "text": f"*{n}*"} for n in range(10)]),
    section(accessory=button(action_id="more", style="danger", confirm=confirm(style="danger"))),
    {
        "type": "context",
        "elements": [plain("a"), {"type": "image", "image_url": "https://x.test/a.png", "alt_text": "a"}],
    },
    actions(
        button(value="1", url="https://x.test"),
        {"type": "static_select", "action_id": "s", "placeholder": plain("pick"), "options": options(100)},
        {"type": "overflow", "action_id": "o", "options": options(5)},
    ),
    {"type": "divider"},
    {"type": "image", "slack_file": {"id": "F012345678"}, "alt_text": "chart", "title": plain("Pass rate")},
    {"type": "markdown", "text": "# Notes"},
    {
        "type": "table",
        "rows": [[{"type": "raw_text", "text": "What"}, {"type": "raw_text", "text": "New"}] for _ in range(100)],
        "column_settings": [{"is_wrapped": True}, {"align": "right"}],
    },
    chart(),
]


def test_a_message_that_uses_everything_well_is_taken() -> None:
    assert check_payload.check_blocks(GOOD) == []


@pytest.mark.parametrize("block", GOOD[:6], ids=lambda block: str(block["type"]))
def test_what_we_take_survives_slacks_own_parser(block: Json) -> None:
    parsed = sdk.Block.parse(block)
    assert parsed is not None
    assert parsed.to_dict().keys() == block.keys()


@pytest.mark.parametrize(
    ("block", "rule"),
    [
        (section(""), "text.min_length"),
        (section("x" * 3001), "section.text.max_length"),
        ({"type": "section"}, "section.text_or_fields"),
        (section(fields=[plain("x")] * 11), "section.fields.max_items"),
        (section(fields=[plain("x" * 2001)]), "section.fields.item.max_length"),
        (section(fields=[]), "array.min_items"),
        (section(colour="red"), "unknown_field"),
        (section(block_id="b" * 256), "block_id.max_length"),
        ({"type": "header", "text": {"type": "mrkdwn", "text": "x"}}, "text.type"),
        ({"type": "header", "text": plain("x" * 151)}, "header.text.max_length"),
        ({"type": "header"}, "block.header.text.required"),
        (actions(*[button(action_id=str(n)) for n in range(26)]), "actions.elements.max_items"),
        (actions(button(), button()), "action_id.unique"),
        (actions(button(text=plain("x" * 76))), "button.text.max_length"),
        (actions(button(text={"type": "mrkdwn", "text": "x"})), "text.type"),
        (actions(button(value="x" * 2001)), "button.value.max_length"),
        (actions(button(style="warning")), "enum"),
        (actions(button(confirm={"title": plain("Sure?")})), "confirmation.text.required"),
        (actions(button(confirm=confirm(deny=plain("x" * 31)))), "confirmation.deny.max_length"),
        (actions({"type": "plain_text_input", "action_id": "t"}), "element.type"),
        (actions({"type": "static_select", "action_id": "s"}), "select.options_xor_groups"),
        (actions({"type": "static_select", "action_id": "s", "options": options(101)}), "select.options.max_items"),
        (actions({"type": "overflow", "action_id": "o", "options": options(6)}), "overflow.options.max_items"),
        (actions(), "array.min_items"),
        ({"type": "context", "elements": [plain("x")] * 11}, "context.elements.max_items"),
        ({"type": "image", "alt_text": "none"}, "image.source"),
        ({"type": "image", "image_url": "javascript:alert(1)", "alt_text": "x"}, "image.image_url"),
        ({"type": "image", "slack_file": {"id": "nope"}, "alt_text": "x"}, "image.slack_file"),
        ({**chart(), "title": "x" * 51}, "data_visualization.title.max_length"),
        (chart(type="radar"), "chart.type"),
        (chart(colour="red"), "unknown_field"),
        (chart(series=chart()["chart"]["series"] * 2), "chart.series.unique"),
        (chart(series=[{"name": str(n), "data": []} for n in range(7)]), "data_visualization.lines.max_items"),
        (chart(series=[{"name": "New", "data": [{"label": "10:00", "value": 1}]}]), "chart.data.categories"),
        (chart(axis_config={"categories": ["10:00", "10:00"]}), "chart.categories.unique"),
        ({"type": "markdown", "text": "x" * 12_001}, "markdown.text.max_length"),
        ({"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]] * 101}, "table.rows.max_items"),
        ({"type": "table", "rows": [[{"type": "raw_text", "text": "a"}] * 21]}, "table.columns.max_items"),
        (
            {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}], [{"type": "raw_text", "text": "a"}] * 2]},
            "table.rows.equal_length",
        ),
        ({"type": "table", "rows": [[{"type": "raw_text", "text": ""}]]}, "table.cell.text"),
        ({"type": "hologram"}, "block.type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_slack_refuses_is_refused_by_name(block: Json, rule: str) -> None:
    assert rule in [violation.rule for violation in check_payload.check_blocks([block])]


def test_rules_that_span_blocks() -> None:
    table = {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]]}
    markdown = {"type": "markdown", "text": "x" * 7000}
    assert [v.rule for v in check_payload.check_blocks([{"type": "divider"}] * 51)] == ["message.blocks.max_items"]
    assert [v.rule for v in check_payload.check_blocks([section(block_id="a"), section(block_id="a")])] == [
        "block_id.unique"
    ]
    assert [v.rule for v in check_payload.check_blocks([table, table])] == ["table.one_per_message"]
    assert [v.rule for v in check_payload.check_blocks([markdown, markdown])] == ["markdown.total_text.max_length"]


def test_views_have_their_own_rules() -> None:
    element = {"type": "plain_text_input", "action_id": "t"}
    question = {"type": "input", "label": plain("Why?"), "element": element}
    good = {"type": "modal", "title": plain("Reject"), "submit": plain("Reject"), "blocks": [question]}
    assert check_payload.check_view(good) == []
    unsubmittable = {key: value for key, value in good.items() if key != "submit"}
    assert [v.rule for v in check_payload.check_view(unsubmittable)] == ["view.submit.required"]
    assert [v.rule for v in check_payload.check_view({**good, "title": plain("x" * 25)})] == ["view.title.max_length"]
    assert [v.rule for v in check_payload.check_view({**good, "private_metadata": "x" * 3001})] == [
        "view.private_metadata.max_length"
    ]
    with_table = {**good, "blocks": [question, {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]]}]}
    assert "block.type" in [v.rule for v in check_payload.check_view(with_table)]
    assert [v.rule for v in check_payload.check_view({"type": "home", "blocks": []})] == ["view.type"]
