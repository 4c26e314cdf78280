"""Which rollout is meant: R-118, 118, a name or the beginning of one, a surface, or none given at all."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from core.rollout.model import Rollout
from core.rollout.world import World

RECENT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """A question, and the rollouts that may be meant."""

    question: str
    candidates: tuple[Rollout, ...] = ()


Resolved: TypeAlias = Rollout | Unclear


def find(reference: str, world: World, *, thread_ts: str = "", only_running: bool = False) -> Resolved:
    """The rollout meant. Left out: the one whose thread this is, or the only one under way; otherwise a choice.

    `only_running`: a plan that has not begun is never meant by leaving it out.
    """
    return _named(reference, world) if reference else _left_out(world, thread_ts, only_running=only_running)


def _left_out(world: World, thread_ts: str, *, only_running: bool) -> Resolved:
    everything = tuple(world.rollouts.values())
    if thread_ts:
        here = [r for r in everything if "card" in r.messages and r.messages["card"].ts == thread_ts]
        if here:
            return here[-1]
    running = [r for r in everything if r.under_way]
    if len(running) == 1:
        return running[0]
    if not running and len(world.open) == 1 and not only_running:
        return world.open[0]
    recent = tuple(reversed(world.open or everything))[:RECENT]
    if not recent:
        return Unclear(question="There is no rollout yet. Plan one from a file: rollout apply FILE.")
    return Unclear(question="Which one?", candidates=recent)


def _named(reference: str, world: World) -> Resolved:
    wanted = reference.upper()
    by_id = world.find(wanted) or world.find(f"R-{wanted.removeprefix('R')}")
    if by_id is not None:
        return by_id
    if (exact := world.named(reference)) is not None:
        return exact
    begins = [r for r in world.rollouts.values() if r.plan.name.lower().startswith(reference.lower())]
    still_open = [r for r in begins if r in world.open]
    for found in (begins, still_open):
        if len(found) == 1:
            return found[0]
    if begins:
        return Unclear(question=f'"{reference}" fits more than one.', candidates=tuple(reversed(begins))[:RECENT])
    return _surface(reference, world) or _unknown(reference, world)


def _surface(reference: str, world: World) -> Resolved | None:
    surface = world.surfaces.get(reference.lower()) or world.surfaces.get(reference)
    if surface is None:
        return None
    there = [r for r in world.open if r.plan.surface == surface.name]
    running = [r for r in there if r.under_way]
    chosen = running or there
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        return Unclear(question=f"{surface.name} has more than one.", candidates=tuple(reversed(chosen))[:RECENT])
    if surface.live_by in world.rollouts:
        return world.rollouts[surface.live_by]
    return Unclear(question=f"Nothing is changing on {surface.name}: {surface.live} is live.")


def _unknown(reference: str, world: World) -> Unclear:
    running = ", ".join(f"{r.id} {r.plan.name}" for r in world.open) or "none"
    names = {r.id: r for r in world.open} | {r.plan.name: r for r in world.open}
    number = reference.upper().removeprefix("R-").removeprefix("R")
    swapped = [r.id for r in world.open if sorted(r.id.removeprefix("R-")) == sorted(number)]
    wanted = f"R-{number}" if number.isdigit() else reference
    close = swapped or get_close_matches(wanted, list(names), n=1, cutoff=0.6)
    candidates = (names[close[0]],) if close else ()
    meant = f" Did you mean {candidates[0].id}?" if candidates else ""
    return Unclear(question=f"There is no {reference}. Running now: {running}.{meant}", candidates=candidates)
