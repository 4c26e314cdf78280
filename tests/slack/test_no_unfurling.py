"""Links in messages are not unfolded: a reason with a link in it posts no preview of a page."""

import ast
from pathlib import Path
from typing import Any

import bot
from bot.rendering.blocks import blocks
from bot.slack import slack_responder

OFF = {"unfurl_links", "unfurl_media"}


def test_an_answer_unfolds_no_link() -> None:
    for is_public in (False, True):
        payload = slack_responder.build_payload(blocks.build_message("See https://a.example"), is_public=is_public)
        assert {key: payload[key] for key in OFF} == dict.fromkeys(OFF, False)


def test_whatever_is_posted_unfolds_no_link(office: Any) -> None:
    """What goes through the outbox, as Slack was sent it."""
    office.start()
    office.typed("ana", "pause R-1 see https://a.example/page")
    office.deliver()
    posted = [call for call in office.sandbox.api_calls if call.method == "chat.postMessage"]
    assert posted
    for call in posted:
        assert {key: call.args.get(key) for key in OFF} == dict.fromkeys(OFF, False)


def test_no_call_that_posts_leaves_it_to_slack() -> None:
    """Also those that need a Slack in trouble to be reached."""
    found = 0
    for file in Path(str(bot.__file__)).parent.rglob("*.py"):
        if "sandbox" in file.parts or "demo" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "chat_postMessage":
                found += 1
                off = {one.arg for one in node.keywords if isinstance(one.value, ast.Constant) and not one.value.value}
                assert off >= OFF, f"{file}:{node.lineno}"
    assert found
