"""What is sent to Slack is what Slack's own types allow. `make test` ends by checking all that its whole run sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from bot.slack.manifest import build_manifest
from tests.payload_types import recorded_shapes, type_check
from tests.rendering.test_limits import test_no_text_breaks_a_message as render_every_message
from tests.rendering.test_view_limits import test_no_text_breaks_a_view as render_every_view

WRONG = {
    "a header in mrkdwn": ("blocks", [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]),
    "an unknown field": ("blocks", [{"type": "divider", "colour": "x"}]),
    "a style that there is not": (
        "blocks",
        [
            {
                "type": "actions",
                "elements": [{"type": "button", "text": {"type": "plain_text", "text": "x"}, "style": "green"}],
            }
        ],
    ),
    "a chart without a title": (
        "blocks",
        [{"type": "data_visualization", "chart": {"type": "line", "series": [], "axis_config": {"categories": []}}}],
    ),
    "a modal without a title": ("view.modal", {"type": "modal", "blocks": []}),
    "a home tab with a submit button": (
        "view.home",
        {"type": "home", "blocks": [], "submit": {"type": "plain_text", "text": "x"}},
    ),
    "a message without a channel": ("chat.postMessage", {"text": "x"}),
    "a manifest without a name": ("manifest", {"display_information": {}}),
}


@pytest.fixture(scope="module")
def compiler() -> Path:
    try:
        return type_check.find_compiler()
    except type_check.PackagesUnavailable as missing:
        pytest.skip(str(missing))


def test_the_types_refuse_what_is_wrong(compiler: Path, tmp_path: Path) -> None:
    found = type_check.find_type_errors([json.dumps(wrong) for wrong in WRONG.values()], compiler, tmp_path)
    for title, (_, payload) in WRONG.items():
        assert any(json.dumps(payload) in error for error in found), title


def test_every_message_form_and_home_tab_is_of_slacks_types(compiler: Path, tmp_path: Path, words: Any) -> None:
    render_every_message(words, "a few words")
    render_every_view(words, "a few words")
    for public_url in ("", "https://rampart.example.com"):
        recorded_shapes.record("manifest", build_manifest(public_url))
    shapes = recorded_shapes.take_shapes()
    assert {json.loads(shape)[0] for shape in shapes} >= {"blocks", "view.modal", "view.home", "manifest"}
    assert type_check.find_type_errors(shapes, compiler, tmp_path) == []
