"""The help: an overview, and a page with an example for each verb, generated from the table of verbs."""

from dataclasses import dataclass

from bot.commands.request import CommandContext
from bot.commands.verbs import TYPED_VERBS
from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from core.rollout.context import Context
from core.rollout.permissions import roles
from core.rollout.permissions.approvers import find_role_rule

_GROUPS = ("See", "Why", "Start", "Steer", "Stop", "Tell", "Learn")
_EVERYONE = "Every full member can pause, roll back and say that something feels off; guests can look."
_LOOKING = ("look at everything",)
_FOR_GUESTS = ("help", "status", "list", "notice")
_BY_POLICY = frozenset({"break-glass", "vote"})  # the policy, or a rollout's file, names who can
_WHO = {"": "every full member", "operator": "operators", "approver": "approvers", "admin": "admins"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalRights:
    """What the reader of the help may do: verbs that they can use, and (verbs, what would help) that they cannot."""

    can: tuple[str, ...]
    cannot: tuple[tuple[tuple[str, ...], str], ...]


def find_rights(context: CommandContext) -> PersonalRights:
    """The rights of whoever asks, in the channel that they ask in, by the table of verbs and the policy."""
    by, policy = context.by, context.service.cached_world().policy
    asked = Context(at=context.at, by=by, policy=policy, surface=None)
    if not by.is_full_member:
        return PersonalRights(can=_FOR_GUESTS, cannot=(((), "guests only look; ask anyone in the channel"),))
    can, cannot = [*_LOOKING], []
    approvers = find_role_rule(policy)
    obstacles = {
        "": "",
        "operator": roles.find_operator_obstacle(asked),
        "approver": "" if approvers.allows(by) else f"ask {', '.join((*approvers.groups, *approvers.people))}",
    }
    for role, obstacle in obstacles.items():
        verbs = tuple(n for n, v in TYPED_VERBS.items() if v.required_role == role and (role or v.build))
        verbs = tuple(name for name in verbs if name not in _BY_POLICY)
        if obstacle:
            cannot.append((verbs, obstacle))
        else:
            can += verbs
    terms = policy.break_glass
    if terms is not None and set(terms.groups) & set(by.groups):
        can.append("break-glass")
    else:
        cannot.append((("break-glass",), f"ask {', '.join(terms.groups)}" if terms else "the policy names nobody"))
    return PersonalRights(can=tuple(can), cannot=tuple(cannot))


def render_overview(rights: PersonalRights | None = None) -> Message:
    """All verbs, one line per group, and what the reader can and cannot do, if that is known."""
    width = max(len(group) for group in _GROUPS)
    rows = [f"{group.ljust(width)}  {wording.escape(_list_verbs(group))}" for group in _GROUPS]
    return blocks.build_message(
        "Rollouts: change prompts, models, tools or routing safely.",
        blocks.preformatted_section("\n".join(rows)),
        blocks.section("Type `/rollout help rollback` for one command with an example."),
        blocks.lines_section(_describe_rights(rights)) if rights is not None else None,
        blocks.context(_EVERYONE),
    )


def _describe_rights(rights: PersonalRights) -> list[str]:
    denied = [f"{', '.join(verbs)} ({why})" if verbs else why for verbs, why in rights.cannot]
    lines = [f"*You can:* {', '.join(rights.can)}."]
    return [*lines, f"*You cannot:* {wording.escape('; '.join(denied), 600)}."] if denied else lines


def render_page(name: str) -> Message:
    """The page of one verb: its form, what it does, who may use it, and an example."""
    verb = TYPED_VERBS[name]
    lines = [f"Usage: `/rollout {wording.escape(verb.usage)}`", f"Example: `/rollout {wording.escape(verb.example)}`"]
    if verb.build is not None:
        lines.append(f"Who can: {_WHO[verb.required_role]}.")
    return blocks.build_message(f"/rollout {name}: {verb.does}", blocks.lines_section(lines))


def _list_verbs(group: str) -> str:
    return " · ".join(verb.overview_line for verb in TYPED_VERBS.values() if verb.group == group)
