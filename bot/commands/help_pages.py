"""The help: an overview, and a page with an example for each verb, generated from the table of verbs."""

from bot.commands.verbs import TYPED_VERBS
from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message

_GROUPS = ("See", "Why", "Start", "Steer", "Stop", "Tell", "Learn")
_WHO = {"": "every full member", "operator": "operators", "approver": "approvers", "admin": "admins"}


def render_overview() -> Message:
    """All verbs, one line per group."""
    width = max(len(group) for group in _GROUPS)
    rows = [f"{group.ljust(width)}  {wording.escape(_list_verbs(group))}" for group in _GROUPS]
    return blocks.build_message(
        "Rollouts: change prompts, models, tools or routing safely.",
        blocks.preformatted_section("\n".join(rows)),
        blocks.section("Type `/rollout help rollback` for one command with an example."),
        blocks.context("Every full member can pause, roll back and say that something feels off; guests can look."),
    )


def render_page(name: str) -> Message:
    """The page of one verb: its form, what it does, who may use it, and an example."""
    verb = TYPED_VERBS[name]
    lines = [f"Usage: `/rollout {wording.escape(verb.usage)}`", f"Example: `/rollout {wording.escape(verb.example)}`"]
    if verb.build is not None:
        lines.append(f"Who can: {_WHO[verb.required_role]}.")
    return blocks.build_message(f"/rollout {name}: {verb.does}", blocks.lines_section(lines))


def _list_verbs(group: str) -> str:
    return " · ".join(verb.brief or name for name, verb in TYPED_VERBS.items() if verb.group == group)
