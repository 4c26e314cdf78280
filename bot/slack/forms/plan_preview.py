"""The modals after the form: the plan with what it could notice, not planned yet; then what was planned."""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.rendering.answers.planning import plan_outlook
from bot.rendering.blocks import blocks, buttons, modals
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
    submit, carries = ("Plan it", _pack(message.file, channel)) if isinstance(message, PlanPreview) else ("", "")
    view = modals.build_modal(
        CALLBACK, "The plan", select_blocks(message), submit=submit, close="Back", carries=carries
    )
    return {**view, "external_id": external_id}


def build_planned_view(message: Message, file: str, channel: str) -> dict[str, Any]:
    """The modal once it is planned; closing it closes the form under it, too."""
    content = [*select_blocks(message), blocks.actions(buttons.get_file())]
    view = modals.build_modal(f"{CALLBACK}.planned", "Planned", content, carries=_pack(file, channel))
    return {**view, "clear_on_close": True}


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
