"""The help: an overview, and a page with an example for each verb, generated from the table of verbs."""

from bot.commands.verbs import TYPED
from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message

_GROUPS = ("See", "Why", "Start", "Steer", "Stop", "Tell")
_WHO = {"": "every full member", "operator": "operators", "approver": "approvers", "admin": "admins"}


def overview() -> Message:
    """All verbs, one line per group."""
    width = max(len(group) for group in _GROUPS)
    rows = [f"{group.ljust(width)}  {wording.escape(_verbs_of(group))}" for group in _GROUPS]
    return blocks.message(
        "Rollouts: change prompts, models, tools or routing safely.",
        blocks.preformatted("\n".join(rows)),
        blocks.section("Type `/rollout help rollback` for one command with an example."),
        blocks.context("Every full member can pause, roll back and say that something feels off; guests can look."),
    )


def page(name: str) -> Message:
    """The page of one verb: its form, what it does, who may use it, and an example."""
    verb = TYPED[name]
    lines = [f"Form: `/rollout {wording.escape(verb.usage)}`", f"Example: `/rollout {wording.escape(verb.example)}`"]
    if verb.build is not None:
        lines.append(f"Who can: {_WHO[verb.role]}.")
    return blocks.message(f"/rollout {name}: {verb.does}", blocks.lines(lines))


def _verbs_of(group: str) -> str:
    return " · ".join(verb.brief or name for name, verb in TYPED.items() if verb.group == group)
