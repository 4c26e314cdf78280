"""All buttons: label, action id, and the opaque value that Slack returns when one is pressed."""

from datetime import date, datetime

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Block
from core import durations
from core.rollout.commands import ROLLBACK_CAUSES
from core.rollout.decisions import growth_conditions
from core.rollout.decisions.people import running
from core.rollout.plans.plan import StageKind
from core.rollout.serving import conversations
from core.rollout.state.model import Rollout

APPROVE = "approve"
REJECT = "reject"
PAUSE = "pause"
RESUME = "resume"
KEEP = "keep_version"
GO_BACK = "go_back"
ROLL_BACK = "rollback"
GOT_IT = "got_it"
CONCERN = "concern"
REMIND_ME = "remind_me"
FEELS_OFF = "feels_off"
VOTE = "vote"  # `vote.good`, `vote.worse`, `vote.cant_tell`, `vote.withdraw`
VOTE_MORE = f"{VOTE}.more"
MOVE_BACK = "move_back"
START_THEN = "start_then"
CREATE = "create"  # opens the form that plans a rollout; the value is an AI feature, or empty
NOTIFICATIONS = "notifications"  # opens the form of a person's own notifications
GET_FILE = "get_file"  # sends the rollout file that a plan was made from

VIEW_DIFFERENCE = "view_difference"
WRITE_REVIEW = "write_review"
PLAN_DETAILS = "plan_details"
EXPLAIN_ROLLBACK = "explain"  # `explain.slow`, `explain.cost`, …
GET_EVIDENCE = "get_evidence"
PLAN_AGAIN = "plan_again"
EXPLAIN_OTHER = f"{EXPLAIN_ROLLBACK}.other"
GET_HISTORY = "get_history"  # `get_history.csv`, `get_history.json`
OPEN_PAGE = "open_page"  # a link: Slack opens its address and reports the click, too
EXTEND_INDEX = 9  # so that it differs from suggested commands in the same message
RUN = "run"  # `run.0`, `run.1`, …: the value is a command that is parsed like a typed one


VOTE_LABELS = {"good": "Good", "worse": "Worse", "cant_tell": "Can't tell", "withdraw": "Withdraw"}
"""What the buttons of a vote are called, by its choice."""


def encode_value(rollout: str, detail: str = "") -> str:
    """A button's value: the rollout id and an optional request, notice or time; validated again on the click."""
    return f"{rollout}|{detail}" if detail else rollout


def decode_value(value: str) -> tuple[str, str]:
    """Split a button's value into (rollout id, detail); `detail` may be empty."""
    rollout, _, detail = value.partition("|")
    return rollout, detail


def approve(rollout: Rollout, request: str, gate: str) -> Block:
    """Approve the open `request`, after a confirmation that names the `gate`."""
    asked = blocks.confirm_dialog(
        "Approve?",
        f"Next step for {rollout.id}: {wording.escape(gate, 100)}. Your approval is recorded with your name.",
        "Approve",
    )
    return blocks.button("Approve", APPROVE, encode_value(rollout.id, request), style="primary", confirm=asked)


def reject(rollout: Rollout, request: str) -> Block:
    """Reject the open `request`; the click opens a dialog that asks for the reason."""
    return blocks.button("Reject…", REJECT, encode_value(rollout.id, request))


def pause(rollout: Rollout) -> Block:
    """Pause the rollout."""
    return blocks.button("Pause", PAUSE, encode_value(rollout.id))


def resume(rollout: Rollout) -> Block:
    """Resume a paused or held rollout."""
    return blocks.button("Resume", RESUME, encode_value(rollout.id))


def extend(rollout: Rollout) -> Block | None:
    """Give a stage that could not be decided in time more time; None if that is not why the rollout is on hold."""
    stage = rollout.stage
    if stage is None or rollout.hold is None or rollout.hold.key != growth_conditions.undecided_hold_key(stage):
        return None
    until = durations.format_hours(running.find_extension(rollout))
    return run_command(f"Extend to {until}", f"extend {rollout.id}", EXTEND_INDEX)


def keep(rollout: Rollout) -> Block:
    """Decide a long comparison for the new version; the click opens a dialog that asks for the reason."""
    return blocks.button("Keep the new version…", KEEP, encode_value(rollout.id), style="primary")


def go_back(rollout: Rollout) -> Block:
    """Decide a long comparison for the previous version; the click opens a dialog that asks for the reason."""
    return blocks.button("Go back…", GO_BACK, encode_value(rollout.id), style="danger")


def roll_back(rollout: Rollout, last_day: date | None = None) -> Block:
    """Roll back, after a confirmation that names the version everyone gets again, and until when it can be called."""
    old = wording.escape(rollout.plan.from_version, 40)
    whom = "Every new conversation" if conversations.may_finish_after(rollout, findings=False) else "Everyone"
    text = f"{whom} gets {old} of {wording.escape(rollout.plan.surface, 60)} again, within seconds."
    if whom != "Everyone":
        text += f" Those that began on {wording.escape(rollout.plan.to_version, 40)} finish on it."
    if rollout.completed_at is not None:
        text += f" {old} was retired when {rollout.id} was done: check that it still answers."
    stage = rollout.stage
    if stage is not None and stage.kind is StageKind.BAKE and last_day is not None:
        text += f" {old} can be called until {last_day.isoformat()}."
    asked = blocks.confirm_dialog(f"Roll back {rollout.id}?", text, "Roll back")
    return blocks.button("Roll back", ROLL_BACK, encode_value(rollout.id), style="danger", confirm=asked)


def feels_off(rollout: Rollout) -> Block:
    """Report that the new version feels wrong."""
    return blocks.button("Feels off", FEELS_OFF, encode_value(rollout.id))


def vote(rollout: Rollout, choice: str, stage: int) -> Block:
    """Give this answer as a tester about the stage with this index; with the choice `withdraw`, take it back."""
    return blocks.button(VOTE_LABELS[choice], f"{VOTE}.{choice}", encode_value(rollout.id, f"{choice}:{stage}"))


def say_more(rollout: Rollout, stage: int) -> Block:
    """Add words to the answer that was given; the click opens a dialog."""
    return blocks.button("Say more…", VOTE_MORE, encode_value(rollout.id, f":{stage}"))


def move_back(rollout: Rollout, unit: str) -> Block:
    """Give one customer the live version again, after a confirmation that says for how long."""
    old = wording.escape(rollout.plan.from_version, 40)
    asked = blocks.confirm_dialog(
        f"Move back to {rollout.plan.from_version}?",
        f"{wording.escape(unit, 80)} gets {old} of {wording.escape(rollout.plan.surface, 60)} again until {rollout.id} "
        "ends, and is not compared any more.",
        "Move back",
    )
    return blocks.button(f"Move back to {old}", MOVE_BACK, encode_value(rollout.id, unit), confirm=asked)


def got_it(rollout: Rollout, notice: str) -> Block:
    """Confirm having read the notice with this key."""
    return blocks.button("Got it", GOT_IT, encode_value(rollout.id, notice), style="primary")


def raise_concern(rollout: Rollout, notice: str) -> Block:
    """Raise a concern about the notice with this key."""
    return blocks.button("I have a concern", CONCERN, encode_value(rollout.id, notice))


def write_review(rollout: Rollout) -> Block:
    """Answer the four questions of the rollout's review; the click opens a form."""
    return blocks.button("Write the review…", WRITE_REVIEW, encode_value(rollout.id), style="primary")


def remind_me(rollout: Rollout, notice: str) -> Block:
    """Ask for a direct message when watching is over; worded for the audience of the notice with this key."""
    return blocks.button("Remind me when watching is over", REMIND_ME, encode_value(rollout.id, notice))


def start_at(rollout: str, at: datetime) -> Block:
    """Schedule the start of the rollout with this id for `at`."""
    return blocks.button("Start then", START_THEN, encode_value(rollout, at.isoformat()), style="primary")


def create_rollout(surface: str = "") -> Block:
    """Open the form that plans a rollout, on this AI feature if one is named."""
    return blocks.button("New rollout", CREATE, surface or "-", style="primary")


def change_notifications() -> Block:
    """Open the form of one's own notifications."""
    return blocks.button("Change", NOTIFICATIONS, "-")


def get_file() -> Block:
    """Send the plan as a rollout file, in a direct message."""
    return blocks.button("Get it as a file", GET_FILE, "-")


def plan_details(rollout: Rollout) -> Block:
    """Open what somebody has to know who decides on a plan."""
    return blocks.button("Details", PLAN_DETAILS, encode_value(rollout.id))


def explain_rollback(rollout: Rollout) -> list[Block]:
    """Say why it was rolled back, one button per cause; the last one asks for words."""
    labels = {
        "answers": "Wrong answers",
        "slow": "Too slow",
        "cost": "Too expensive",
        "errors": "Errors",
        "complaints": "Complaints",
        "test": "Only a test",
        "other": "Something else…",
    }
    return [
        blocks.button(labels[cause], f"{EXPLAIN_ROLLBACK}.{cause}", encode_value(rollout.id, cause))
        for cause in ROLLBACK_CAUSES
    ]


def get_evidence(rollout: Rollout) -> Block:
    """Send the evidence of a rollback as a file in a direct message."""
    return blocks.button("Get the evidence", GET_EVIDENCE, encode_value(rollout.id))


def plan_again(rollout: Rollout) -> Block:
    """Send the plan as a file for another attempt in a direct message."""
    return blocks.button("New rollout from this one", PLAN_AGAIN, encode_value(rollout.id))


def get_history(rollout: Rollout, form: str) -> Block:
    """Send the whole history as a file of this form (csv or json) in a direct message."""
    return blocks.button(f"Get {form.upper()}", f"{GET_HISTORY}.{form}", encode_value(rollout.id, form))


def view_difference(surface: str, before: str, after: str) -> Block:
    """Open the difference between two versions of a surface, with the text of prompts, for those who may read it."""
    return blocks.button("View difference", VIEW_DIFFERENCE, encode_value(surface, f"{before}|{after}"))


def open_page(address: str) -> Block | None:
    """Open a page in the browser; None without an address."""
    return blocks.link_button("Open as a page", OPEN_PAGE, address) if address else None


def run_command(label: str, command: str, index: int = 0) -> Block:
    """A suggested command: pressing it equals typing `/rollout <command>`; a rollback asks for confirmation first.

    `index` keeps action ids unique within one message.
    """
    asked = None
    if command.startswith("rollback"):
        asked = blocks.confirm_dialog("Roll back?", f"`/rollout {wording.escape(command, 200)}`", "Roll back")
    return blocks.button(label, f"{RUN}.{index}", command, confirm=asked)
