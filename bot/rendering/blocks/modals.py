"""The frame of a modal: its title, its buttons, and what it carries to its submission."""

from collections.abc import Sequence
from typing import Any

from bot.rendering.blocks.blocks import Block, plain_text

_TITLE = 24  # characters of a title or a button


def build_modal(
    callback: str,
    title: str,
    content: Sequence[Block | None],
    *,
    submit: str = "",
    close: str = "Close",
    carries: str = "",
) -> dict[str, Any]:
    """A modal with `content`, without what is None; without `submit`, it is only read. `carries` comes back with it."""
    modal: dict[str, Any] = {
        "type": "modal",
        "callback_id": callback,
        "title": plain_text(title, _TITLE),
        "close": plain_text(close, _TITLE),
        "blocks": [block for block in content if block is not None],
    }
    if submit:
        modal["submit"] = plain_text(submit, _TITLE)
    if carries:
        modal["private_metadata"] = carries
    return modal


def build_form(
    callback: str, title: str, content: Sequence[Block | None], *, submit: str, carries: str = ""
) -> dict[str, Any]:
    """A modal that is filled in, or cancelled."""
    return build_modal(callback, title, content, submit=submit, close="Cancel", carries=carries)
