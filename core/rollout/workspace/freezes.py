"""A freeze that somebody declares at once: no starts and no growth until a time, on one AI feature or on all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, TypeAlias, assert_never

from core.rollout import commands as c
from core.rollout.plans.policy import Freeze, Policy
from core.rollout.refusal import Refused
from core.rollout.state.surface import Surface, require_surface

LONGEST_FREEZE = timedelta(days=90)
EVERYWHERE = ""
"""The key of a freeze of all AI features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesFrozen:
    """A person froze changes: until then nothing starts and nothing grows. An empty `surface` means all of them."""

    TYPE: ClassVar[str] = "workspace.changes_frozen"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    surface: str
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesUnfrozen:
    """A person ended a freeze before its time."""

    TYPE: ClassVar[str] = "workspace.changes_unfrozen"
    by: str
    surface: str


FreezeEvent: TypeAlias = ChangesFrozen | ChangesUnfrozen
Freezes: TypeAlias = Mapping[str, ChangesFrozen]  # by surface; the last one that was declared and not ended


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedFreeze(Freeze):
    """A freeze that has begun and ends at a time."""

    until: datetime

    def find_end(self, local: datetime) -> datetime | None:
        """The end of this freeze if `local` lies before it, else None."""
        return self.until.astimezone(local.tzinfo) if local < self.until else None


def evolve(before: Freezes, event: FreezeEvent) -> Freezes:
    """The freezes after `event`. Never refuses: the event has already happened."""
    match event:
        case ChangesFrozen():
            return {**before, event.surface: event}
        case ChangesUnfrozen():
            return {surface: freeze for surface, freeze in before.items() if surface != event.surface}
        case _:
            assert_never(event)


def extend_policy(policy: Policy, freezes: Freezes, surface: str) -> Policy:
    """The policy with the declared freezes of this AI feature among its own; the same one if there are none."""
    declared = tuple(
        DatedFreeze(name=freeze.reason, until=freeze.until)
        for where, freeze in freezes.items()
        if where in (EVERYWHERE, surface)
    )
    return replace(policy, freezes=(*policy.freezes, *declared)) if declared else policy


def decide(
    freezes: Freezes, command: c.FreezeCommand, by: str, at: datetime, surfaces: Mapping[str, Surface], policy: Policy
) -> list[FreezeEvent]:
    """The events that follow from `command`; none if that is already so."""
    if command.surface:
        require_surface(command.surface, surfaces)
    match command:
        case c.FreezeChanges():
            return _freeze(freezes, command, by, at)
        case c.UnfreezeChanges():
            return _unfreeze(freezes, command, by, at, policy)
        case _:
            assert_never(command)


def _freeze(freezes: Freezes, command: c.FreezeChanges, by: str, at: datetime) -> list[FreezeEvent]:
    if not command.reason.strip():
        raise Refused("Please give a reason for the freeze.", hint='Add it in quotes: "…".')
    if command.until <= at:
        raise Refused("That is in the past, so it would freeze nothing.", code="bad_time")
    if command.until - at > LONGEST_FREEZE:
        raise Refused(
            f"A freeze lasts at most {LONGEST_FREEZE.days} days.", hint="Write longer ones into the policy file."
        )
    known = freezes.get(command.surface)
    if known is not None and (known.until, known.reason) == (command.until, command.reason.strip()):
        return []
    return [ChangesFrozen(by=by, surface=command.surface, until=command.until, reason=command.reason.strip())]


def _unfreeze(freezes: Freezes, command: c.UnfreezeChanges, by: str, at: datetime, policy: Policy) -> list[FreezeEvent]:
    active = [f for f in freezes.values() if f.until > at and command.surface in (EVERYWHERE, f.surface)]
    if active:
        return [ChangesUnfrozen(by=by, surface=freeze.surface) for freeze in active]
    if (planned := policy.find_freeze(at)) is not None:
        raise Refused(
            f"The policy file freezes changes: {planned[0]}.", hint="Change the policy file to end that freeze."
        )
    elsewhere = freezes.get(EVERYWHERE)
    if elsewhere is not None and elsewhere.until > at:
        raise Refused("All AI features are frozen, not this one alone.", hint="End that freeze: /rollout unfreeze.")
    return []


def find_affected(surface: str, surfaces: Iterable[str]) -> frozenset[str]:
    """The AI features that a freeze of `surface` covers."""
    return frozenset(surfaces) if surface == EVERYWHERE else frozenset({surface})
