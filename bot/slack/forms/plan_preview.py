"""The modals after the form: the plan with what it could notice, not planned yet; then what was planned."""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.rendering.answers.planning import plan_outlook
from bot.rendering.blocks import blocks, buttons, inputs
from bot.rendering.blocks.blocks import Block, Message
from core.files.foresight.outlook import PlanOutlook
from core.rollout.plans.plan import Plan

CALLBACK = "create.preview"
_SHOWN = frozenset({"section", "context", "actions", "divider"})
_METADATA_LIMIT = 3000


class FileTooLong(Exception):
    """The file does not fit into a modal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPreview(Message):
    """A plan to look at before it is planned, and the `file` that describes it."""

    file: str


def render_preview(outlook: PlanOutlook, file: str, zone: str) -> PlanPreview:
    """The plan, its foresight, and what happens once it is planned."""
    shown = plan_outlook.render(outlook, zone)
    more = blocks.append_blocks(shown, blocks.context(_describe_next(outlook.plan)), blocks.actions(buttons.get_file()))
    return PlanPreview(text=more.text, blocks=more.blocks, file=file)


def _describe_next(plan: Plan) -> str:
    """What planning does, and what the start then waits for."""
    approvals, notice = plan_outlook.describe_approvals(plan), plan_outlook.describe_longest_notice(plan)
    waits = [f"approval by {approvals}"] if approvals else []
    waits += [notice] if notice else []
    before = f" Before the start: {'; '.join(waits)}." if waits else ""
    return f"Planning it changes nothing for users. It posts the card and sends the notices.{before}"


def build_view(message: Message, external_id: str, *, channel: str = "") -> dict[str, Any]:
    """The modal of a preview, with a button to plan it; of any other message, only to read. Raises `FileTooLong`."""
    view: dict[str, Any] = {
        "type": "modal",
        "callback_id": CALLBACK,
        "external_id": external_id,
        "title": inputs.plain_text("The plan", 24),
        "close": inputs.plain_text("Back", 24),
        "blocks": select_blocks(message),
    }
    if isinstance(message, PlanPreview):
        view["submit"] = inputs.plain_text("Plan it", 24)
        view["private_metadata"] = _pack(message.file, channel)
    return view


def build_planned_view(message: Message, file: str, channel: str) -> dict[str, Any]:
    """The modal once it is planned; closing it closes the form under it, too."""
    return {
        "type": "modal",
        "callback_id": f"{CALLBACK}.planned",
        "title": inputs.plain_text("Planned", 24),
        "close": inputs.plain_text("Close", 24),
        "clear_on_close": True,
        "private_metadata": _pack(file, channel),
        "blocks": [*select_blocks(message), blocks.actions(buttons.get_file())],
    }


def select_blocks(message: Message) -> list[Block]:
    """The blocks of a message that a modal takes; its text if there are none."""
    return [b for b in message.blocks if b["type"] in _SHOWN] or [blocks.section(message.text)]


def read_file(view: Mapping[str, Any]) -> tuple[str, str]:
    """(rollout file, id of the channel in which the form was opened) that a modal carries."""
    kept = json.loads(view["private_metadata"])
    return zlib.decompress(base64.b85decode(kept["file"])).decode(), str(kept["channel"])


def _pack(file: str, channel: str) -> str:
    """What the modal carries, as Slack keeps it. Compressed, since Slack keeps only 3,000 characters."""
    packed = json.dumps({"file": base64.b85encode(zlib.compress(file.encode(), 9)).decode(), "channel": channel})
    if len(packed) > _METADATA_LIMIT:
        raise FileTooLong
    return packed
