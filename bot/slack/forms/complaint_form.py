"""The form behind the message shortcut “Report AI answer”: which feature, which customer, what happened."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.rendering import wording
from bot.rendering.blocks import blocks, inputs, modals
from core.flags.evaluation import MAX_UNIT_LENGTH
from core.rollout.state.model import Rollout
from core.rollout.state.world import World

CALLBACK = "report_ai_answer.form"
_FEATURE, _CUSTOMER, _TEXT = "feature", "customer", "happened"
_MOST_FEATURES = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledComplaint:
    """A form as it was filled in; `message` is the message that the shortcut was used on, as channel/ts."""

    rollout: str
    unit: str
    text: str
    message: str

    @property
    def channel_id(self) -> str:
        """The channel of that message."""
        return self.message.partition("/")[0]


def list_candidates(world: World) -> tuple[Rollout, ...]:
    """The rollouts that a complaint may be about: those under way, else the newest that started on each feature."""
    under_way = tuple(rollout for rollout in world.open_rollouts if rollout.is_under_way)
    if under_way:
        return under_way[:_MOST_FEATURES]
    newest: dict[str, Rollout] = {}
    for rollout in world.rollouts.values():
        if rollout.started_at is not None:
            newest[rollout.plan.surface] = rollout
    return tuple(newest.values())[:_MOST_FEATURES]


def build_form(candidates: Sequence[Rollout], world: World, channel: str, ts: str) -> dict[str, Any]:
    """The modal; `channel` and `ts` locate the message that was reported. Its text is not copied."""
    choices = [(one.id, f"{_title(one, world)} ({one.id})") for one in candidates]
    return modals.build_form(
        CALLBACK,
        "Report AI answer",
        [
            blocks.section("The people who are changing this AI feature will see it as soon as you send it."),
            inputs.menu(_FEATURE, "AI feature", choices, initial=candidates[0].id),
            inputs.text_input(
                _CUSTOMER,
                "Customer",
                hint="The id that your application uses. Without it, the complaint is noted but counts for no version.",
                placeholder="cust_8841",
                optional=True,
                max_length=MAX_UNIT_LENGTH,
            ),
            inputs.text_input(
                _TEXT,
                "What was wrong?",
                hint="In your own words. It is posted in the rollout's thread, so leave out personal data.",
                multiline=True,
                max_length=1000,
            ),
        ],
        submit="Report",
        carries=json.dumps({"message": f"{channel}/{ts}"}),
    )


def read_form(view: dict[str, Any]) -> FilledComplaint:
    """What was filled in."""
    values = view["state"]["values"]
    return FilledComplaint(
        rollout=str(values[_FEATURE][_FEATURE]["selected_option"]["value"]),
        unit=str(values[_CUSTOMER][_CUSTOMER]["value"] or "").strip(),
        text=str(values[_TEXT][_TEXT]["value"] or ""),
        message=str(json.loads(view["private_metadata"])["message"]),
    )


def _title(rollout: Rollout, world: World) -> str:
    surface = world.surfaces[rollout.plan.surface]
    return wording.to_single_line(surface.title or surface.name, 50)
