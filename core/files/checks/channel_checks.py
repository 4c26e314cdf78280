"""Channels of a file in which nothing could be posted."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from core.files.kinds.rollout_file import RolloutFile
from core.files.kinds.surface_file import SurfaceFile
from core.files.syntax.problems import FieldPath, FileProblem
from core.rollout.plans.plan import Plan
from core.rollout.state.world import World

ExplainChannel = Callable[[str], str]
"""Why nothing could be posted in a channel; empty if something could, or if that is not known."""


def check_plan(file: RolloutFile, plan: Plan, world: World, explain: ExplainChannel) -> Iterator[FileProblem]:
    """A warning for each channel of a plan, where the file names it, else at its surface."""
    noticed, asked = [n.channel for n in plan.notices], [t.channel for t in plan.testers or () if t.channel]
    written: dict[str, FieldPath] = {
        **{terms.channel: ("testers", n, "channel") for n, terms in enumerate(file.testers or ()) if terms.channel},
        **{terms.channel: ("notify", n, "channel") for n, terms in enumerate(file.notify or ())},
    }
    for channel in dict.fromkeys((*noticed, *asked)):
        yield from _warn(file, written.get(channel, ("surface",)), channel, world, explain)


def check_surface(file: SurfaceFile, world: World, explain: ExplainChannel) -> Iterator[FileProblem]:
    """A warning for each channel that a surface file names."""
    for number, notice in enumerate(file.notify):
        yield from _warn(file, ("notify", number, "channel"), notice.channel, world, explain)


def _warn(
    file: RolloutFile | SurfaceFile, path: FieldPath, channel: str, world: World, explain: ExplainChannel
) -> Iterator[FileProblem]:
    if not _has_messages(world, channel) and (why := explain(channel)):
        yield replace(file.source.problem_at(path, f"{why}, so nothing can be posted there"), severity="warning")


def _has_messages(world: World, channel: str) -> bool:
    """Whether a notice or a card was posted there: private channels, which nobody can list, are known by that."""
    return any(
        rollout.notice_posted_at(notice.key) is not None
        or ("card" in rollout.messages and channel == rollout.plan.engineering_channel)
        for rollout in world.rollouts.values()
        for notice in rollout.plan.notices
        if notice.channel == channel
    )
