"""The verbs that only read: status, list, history, whois, notice."""

from collections.abc import Callable, Mapping

from bot.commands import request
from bot.commands.grammar import Parsed
from bot.commands.request import Asked, Unsure
from bot.rendering.answers import history, notice_overview, status, whois
from bot.rendering.blocks.blocks import Message
from core import watch
from core.flags.evaluation import evaluate
from core.rollout import exposure
from core.rollout.context import is_same_person
from core.rollout.events import RolloutEvent
from core.rollout.model import Rollout
from core.rollout.refusal import Refused


def _one(parsed: Parsed, asked: Asked) -> Message:
    world = asked.service.world()
    zone = world.policy.timezone
    if not parsed.rollout and not asked.thread_ts:
        if not world.open:
            return status.versions(world)
        if len(world.open) > 1:
            return status.several(world.open, zone, "Open now")
    rollout = request.rollout(parsed.rollout, asked, world, "status {id}")
    return status.one(rollout, zone, watch.newest(asked.service, rollout))


def _list(parsed: Parsed, asked: Asked) -> Message:
    zone = asked.service.peek().policy.timezone
    return status.several(listed(parsed, asked), zone, "Rollouts" if parsed.flags else "Open now")


def listed(parsed: Parsed, asked: Asked) -> tuple[Rollout, ...]:
    """The rollouts for `list`: the open ones, or those that its flags select."""
    world = asked.service.world()
    flags = parsed.flags
    everything = tuple(world.rollouts.values())
    chosen = everything if "all" in flags or "state" in flags else world.open
    if "mine" in flags:
        chosen = tuple(r for r in chosen if _is_mine(r, asked))
    if "surface" in flags:
        chosen = tuple(r for r in chosen if r.plan.surface == flags["surface"])
    if "state" in flags:
        chosen = tuple(r for r in chosen if r.state == flags["state"])
    return chosen


def _is_mine(rollout: Rollout, asked: Asked) -> bool:
    by = asked.by
    owner = by.is_person(rollout.plan.owner) or by.is_person(rollout.plan.owner_handle)
    return owner or is_same_person(rollout.planned_by, by.id)


def _history(parsed: Parsed, asked: Asked) -> Message:
    request.members_only(asked)
    world = asked.service.world()
    rollout = request.rollout(parsed.rollout, asked, world, "history {id}")
    recorded = asked.service.history(rollout.id)
    entries = [(r.at, r.actor, r.event) for r in recorded if isinstance(r.event, RolloutEvent)]
    return history.render(rollout, entries, world.policy.timezone)


def _whois(parsed: Parsed, asked: Asked) -> Message:
    request.members_only(asked)
    world = asked.service.world()
    unit, named = parsed.args[0], parsed.args[1:]
    surfaces = [world.surfaces[s] for s in named or world.surfaces if s in world.surfaces]
    if not surfaces:
        known = ", ".join(world.surfaces) or "none yet"
        raise Unsure(f"There is no AI feature called {named[0] if named else 'so'}. Known: {known}.")
    snapshot = exposure.snapshot(world)
    answers = [(surface, evaluate(snapshot, surface.name, unit, {})) for surface in surfaces]
    return whois.render(unit, answers, world.rollouts)


def notice(parsed: Parsed, asked: Asked) -> Message:
    """Who is notified, of what, and who has read it. This sends nothing: notices go out automatically."""
    world = asked.service.world()
    again = " ".join(["notice {id}", *parsed.args])
    rollout = request.rollout(parsed.rollout, asked, world, again)
    zone = world.policy.timezone
    if parsed.args == ("preview",):
        surface = world.surfaces[rollout.plan.surface]
        return notice_overview.preview(rollout, surface.title or surface.name, asked.at, zone)
    if parsed.args == ("send",) and not rollout.plan.told_before:
        raise Refused(f"{rollout.id} has no notices.", hint="Add channels under `notify:` and apply the file again.")
    return notice_overview.render(rollout, zone)


VERBS: Mapping[str, Callable[[Parsed, Asked], Message]] = {
    "status": _one,
    "list": _list,
    "history": _history,
    "whois": _whois,
}
