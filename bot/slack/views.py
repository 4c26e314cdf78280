"""Modals that ask for one text: reject, resume after a hold, decide a comparison, a concern, more on a vote."""

import json
from typing import Any

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons, inputs, modals
from bot.rendering.blocks.blocks import Message
from bot.rendering.charts import fallback

REASON = "reason"
_FORMS = {
    buttons.REJECT: ("Reject", "Why not?", "It is posted in the rollout's thread.", "Reject"),
    buttons.RESUME: (
        "Resume",
        "Why is it safe to go on?",
        "It is recorded. What held the rollout no longer counts.",
        "Resume",
    ),
    buttons.KEEP: (
        "Keep the new version",
        "Why keep it?",
        "It is recorded, and posted in the rollout's thread.",
        "Keep",
    ),
    buttons.GO_BACK: (
        "Go back",
        "Why go back?",
        "Everyone gets the old version again, within seconds.",
        "Go back",
    ),
    buttons.EXPLAIN_OTHER: (
        "Why it was rolled back",
        "What was the reason?",
        "It is recorded, and shown in the alert.",
        "Save",
    ),
    buttons.VOTE_MORE: (
        "Say more",
        "What did you notice?",
        "It is posted in the rollout's thread with your answer, not which version you get.",
        "Send",
    ),
    buttons.CONCERN: ("I have a concern", "What worries you?", "The owner and the engineers see it at once.", "Send"),
}
CALLBACKS = tuple(_FORMS)


def build_reason_modal(action: str, button_value: str, rollout: str, channel: str) -> dict[str, Any]:
    """The modal that a button opens. It carries the button's value and channel, which Slack does not send with
    modals."""
    title, label, hint, submit = _FORMS[action]
    field = inputs.text_input(REASON, label, hint=hint, multiline=True, max_length=1000)
    content = [blocks.section(f"*{wording.escape(rollout, 60)}*"), field]
    carries = json.dumps({"pressed": button_value, "channel": channel})
    return modals.build_form(action, title, content, submit=submit, carries=carries)


def build_result_modal(action: str, message: Message) -> dict[str, Any]:
    """The modal after its submission, showing the result."""
    return build_answer_modal(message, _FORMS[action][0], f"{action}.answered")


def build_answer_modal(message: Message, title: str = "Rampart", callback: str = "answered") -> dict[str, Any]:
    """A modal that only shows a message."""
    simple = fallback.simplify_blocks(message.blocks, fallback.MAX_STEPS)  # modals take neither charts nor tables
    shown = [b for b in simple if b["type"] in {"section", "context"}]
    return modals.build_modal(callback, title, shown or [blocks.section(message.text)])


def build_reading_modal(title: str, shown: list[dict[str, Any]]) -> dict[str, Any]:
    """A modal that only shows blocks, to the one person who opened it."""
    return modals.build_modal("reading", title, shown)


def read_button_value(view: dict[str, Any]) -> str:
    """The value of the button that opened a submitted modal."""
    return str(json.loads(view["private_metadata"])["pressed"])


def read_channel_id(view: dict[str, Any]) -> str:
    """The id of the channel in which that button was pressed; empty if unknown."""
    return str(json.loads(view["private_metadata"]).get("channel", ""))


def read_reason(view: dict[str, Any]) -> str:
    """The reason that was entered."""
    return str(view["state"]["values"][REASON][REASON]["value"] or "")
