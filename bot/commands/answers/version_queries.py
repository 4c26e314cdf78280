"""The verbs about versions: `versions` lists those of an AI feature, `diff` compares two of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.commands import page_offers, request
from bot.commands.parsing import resolve
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import AnswersByVerb, ClarificationNeeded, CommandContext
from bot.rendering.answers.served import version_answers
from bot.rendering.answers.served.version_answers import VersionPair
from bot.rendering.blocks.blocks import Message
from core.rollout.permissions import reading_rights
from core.rollout.plans.plan import Plan
from core.rollout.refusal import NotFound, Refused
from core.rollout.state.model import Rollout
from core.rollout.state.surface import Surface, SurfaceEvent, build_unknown_surface
from core.rollout.state.world import World
from core.service.service import RolloutService
from core.versions.content_difference import compare_contents
from core.versions.version_history import VersionRecord, fold_versions


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceVersions:
    """A surface with the record of each of its versions, in the order of naming."""

    surface: Surface
    records: Mapping[str, VersionRecord]


def load_versions(service: RolloutService, surface: str) -> SurfaceVersions:
    """The versions of a surface, from the log; NotFound for an unknown one."""
    recorded = service.load_surface_history(surface)
    steps = ((r.event, r.at, r.actor) for r in recorded if isinstance(r.event, SurfaceEvent))
    return SurfaceVersions(surface=service.load_world().surfaces[surface], records=fold_versions(steps))


def find_base(versions: SurfaceVersions, version: str, world: World) -> str:
    """The version that `version` was made from; empty if a file declared it."""
    for rollout_id in versions.records[version].rollouts:
        rollout = world.find_rollout(rollout_id)
        if rollout is not None:
            return rollout.plan.from_version
    return ""


def build_pair(surface: Surface, before: str, after: str) -> VersionPair:
    """Two versions of a surface and their difference; NotFound for a name that the surface never had."""
    for name in (before, after):
        if name not in surface.versions:
            known = ", ".join(list(surface.versions)[-10:])
            raise NotFound(f"{surface.name} has no version {name[:80]}. Its versions: {known}.")
    difference = compare_contents(surface.versions[before], surface.versions[after])
    return VersionPair(surface=surface.name, before=before, after=after, difference=difference)


def find_pair(parsed: ParsedCommand, context: CommandContext) -> VersionPair:
    """What `diff` is asked to compare: two versions, or those of one rollout.

    Raises `ClarificationNeeded` if several surfaces have both versions, or if it is unclear which rollout is meant.
    """
    request.require_member(context)
    world = context.service.load_world()
    args = parsed.args
    if len(args) < 2:
        rollout = request.require_rollout(args[0] if args else "", context, world, "diff {id}")
        return build_rollout_pair(rollout)
    named = next((word for word in args if word in world.surfaces), "") if len(args) == 3 else ""
    if len(args) == 3 and not named:
        known = ", ".join(world.surfaces) or "none yet"
        raise NotFound(f"None of {', '.join(args)} is an AI feature. Known: {known}.")
    before, after = [word for word in args if word != named or len(args) == 2][:2]
    if named:
        return build_pair(world.surfaces[named], before, after)
    having = [s for s in world.surfaces.values() if before in s.versions and after in s.versions]
    if len(having) > 1:
        choices = tuple((f"diff in {s.name}", f"diff {before} {after} {s.name}") for s in having)
        raise ClarificationNeeded(f"Several AI features have {before} and {after}. Which one?", choices=choices)
    if having:
        return build_pair(having[0], before, after)
    if len(world.surfaces) == 1:
        return build_pair(next(iter(world.surfaces.values())), before, after)
    raise NotFound(
        f"No AI feature has both {before} and {after}.", hint="See /rollout versions with the name of an AI feature."
    )


def build_rollout_pair(rollout: Rollout) -> VersionPair:
    """What a rollout changes."""
    return VersionPair(
        surface=rollout.plan.surface,
        before=rollout.plan.from_version,
        after=rollout.plan.to_version,
        difference=compare_contents(rollout.from_content, rollout.to_content),
    )


def build_plan_pair(plan: Plan, surface: Surface) -> VersionPair:
    """What a plan would change."""
    before = surface.versions[plan.from_version]
    return VersionPair(
        surface=surface.name,
        before=plan.from_version,
        after=plan.to_version,
        difference=compare_contents(before, {**before, **plan.change}),
    )


def find_pair_to_read(surface: str, before: str, after: str, context: CommandContext) -> VersionPair:
    """Two versions whose prompts are to be read; `Refused` unless the person may read them."""
    world = context.service.load_world()
    found = world.require_surface(surface, hint="See /rollout versions.")
    of_versions = [
        r for r in world.rollouts.values() if r.plan.surface == surface and r.plan.to_version in {before, after}
    ]
    reading_rights.check_may_read_prompts(world.policy, context.by, of_versions)
    return build_pair(found, before, after)


def page_of_pair(pair: VersionPair) -> str:
    """The page that shows the difference, prompts included."""
    return f"/v/{pair.surface}/{pair.after}?from={pair.before}"


def _answer_versions(parsed: ParsedCommand, context: CommandContext) -> Message:
    request.require_member(context)
    world = context.service.load_world()
    versions = load_versions(context.service, find_surface_of_versions(parsed, world))
    rollouts = {name: world.find_rollout(r.rollouts[-1]) for name, r in versions.records.items() if r.rollouts}
    return version_answers.render_versions(versions.surface, versions.records, rollouts, world.policy.timezone)


def find_surface_of_versions(parsed: ParsedCommand, world: World) -> str:
    """The surface that `versions` is about: the one named, or the only one there is.

    A rollout stands for its surface.
    """
    if not parsed.args:
        if len(world.surfaces) == 1:
            return next(iter(world.surfaces))
        if not world.surfaces:
            raise Refused("There are no AI features yet.", hint="Apply a surface file: rollout apply surface.yaml.")
        choices = tuple((f"versions {name}", f"versions {name}") for name in world.surfaces)
        raise ClarificationNeeded("Versions of which AI feature?", choices=choices)
    name = parsed.args[0]
    if name in world.surfaces:
        return name
    rollout = resolve.find_exact(name, world)
    if rollout is not None:
        return rollout.plan.surface
    raise build_unknown_surface(name, world.surfaces)


def _answer_diff(parsed: ParsedCommand, context: CommandContext) -> Message:
    pair = find_pair(parsed, context)
    shown = version_answers.render_pair(pair)
    try:
        find_pair_to_read(pair.surface, pair.before, pair.after, context)
    except Refused:
        return shown  # the page shows prompts, which this person may not read
    return page_offers.offer_page(shown, page_of_pair(pair), parsed, context)


ANSWERS: AnswersByVerb = {
    "versions": _answer_versions,
    "diff": _answer_diff,
}
