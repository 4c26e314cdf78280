"""What the events of one rollout mean for the others of its bundle: they go back, hold and start with it.

Everything here is decided on the state after those events and added to the same transaction, so that no other process
ever sees one rollout of a bundle rolled back and another one growing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from core.rollout import consequences
from core.rollout.concurrency import bundles
from core.rollout.concurrency.bundles import Bundle
from core.rollout.concurrency.start_context import build_start_context, end_holdouts
from core.rollout.context import Actor, Context
from core.rollout.decisions import reviewing, stage_changes
from core.rollout.models import way_back
from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.events import NewEvent
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World, fold_events

GROWING_STATES = frozenset({RolloutState.RUNNING, RolloutState.WAITING})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """The world as far as it is decided, who caused it, and when."""

    world: World
    by: Actor
    at: datetime

    def after(self, entries: Iterable[NewEvent]) -> "_Moment":
        return replace(self, world=fold_entries(self.world, entries, self.at))

    def build_context(self, rollout: Rollout) -> Context:
        return build_start_context(self.world, self.world.surfaces[rollout.plan.surface], rollout, self.by, self.at)

    def build_entries(self, rollout: Rollout, events: Sequence[e.RolloutEvent]) -> list[NewEvent]:
        added = reviewing.add_request(rollout, list(events), self.build_context(rollout))
        return [
            entry
            for event in added
            for entry in consequences.build_entries(event, rollout.id, rollout.plan.surface, self.at)
        ]


def fold_entries(world: World, entries: Iterable[NewEvent], at: datetime) -> World:
    """The world after these events, which are not stored yet."""
    numbered = enumerate(entries, world.position + 1)
    return fold_events(world, ((one.stream, one.event, at, position) for position, one in numbered))


def add_followers(world: World, entries: list[NewEvent], by: Actor, at: datetime) -> list[NewEvent]:
    """The events with those that follow for other rollouts of the same bundles, and of theirs; `world` is before
    them."""
    found, now = list(entries), _Moment(world=world, by=by, at=at)
    if not _touches_bundle(world, entries):
        return found
    now = now.after(found)
    while new := _decide_next(now, found):
        found += new
        now = now.after(new)
    return found


def roll_back_member(world: World, rollout: Rollout, reason: str, by: Actor, at: datetime) -> list[NewEvent]:
    """That one rollout of a bundle that can go back does so on the word of a person."""
    return _go_back(_Moment(world=world, by=by, at=at), rollout, reason, None)


def explain_staying(world: World, rollout: Rollout, at: datetime) -> str | None:
    """Why a rollout cannot go back; None if it can. Empty if there is nothing that would go back."""
    surface, plan = world.surfaces[rollout.plan.surface], rollout.plan
    if not rollout.is_under_way and rollout.state is not RolloutState.DONE:
        return ""
    if rollout.state is RolloutState.DONE and (surface.live_by != rollout.id or surface.live != plan.to_version):
        return f"{surface.live} ({surface.live_by or 'applied'}) went live on {surface.name} after it"
    if rollout.percent and way_back.is_way_back_closed(plan, surface, world.policy_for(surface.name), at):
        return way_back.explain_closed_way_back(plan, surface)
    return None


def _touches_bundle(world: World, entries: Sequence[NewEvent]) -> bool:
    """Whether any of the events is of a rollout that is in a bundle."""
    for one in entries:
        if isinstance(one.event, e.Bundled):
            return True
        rollout = world.rollouts.get(_rollout_of(one))
        if rollout is not None and rollout.bundle is not None:
            return True
    return False


def _rollout_of(entry: NewEvent) -> str:
    kind, _, name = entry.stream.partition(":")
    return name if kind == "rollout" else ""


def _decide_next(now: _Moment, found: Sequence[NewEvent]) -> list[NewEvent]:
    """What follows next for the bundles that were touched; empty once nothing does."""
    touched = [now.world.rollouts.get(_rollout_of(one)) for one in found]
    found_of = (bundles.find_bundle_of(now.world, one) for one in touched if one is not None)
    # by their rollouts, as a later bundle may have the same name
    for bundle in {(one.name, one.ids): one for one in found_of if one is not None}.values():
        for decide in (_decide_going_back, _decide_holds, _decide_starts):
            if new := decide(now, bundle):
                return new
    return []


def _decide_going_back(now: _Moment, bundle: Bundle) -> list[NewEvent]:
    """The next one that goes back with one that did, or that cannot."""
    back = [one for one in bundle.members if one.state is RolloutState.ROLLED_BACK]
    if not back:
        return []
    cause = back[0] if bundle.order is BundleOrder.IN_ORDER else min(back, key=_is_follower)
    following = (
        reversed(bundle.list_after(cause)) if bundle.order is BundleOrder.IN_ORDER else bundle.list_others(cause)
    )
    for one in following:
        staying = explain_staying(now.world, one, now.at)
        if staying is None:
            return _go_back(now, one, f"{cause.id} of the bundle {bundle.name} was rolled back", cause.id)
        if staying and cause.id not in one.not_followed:
            return _stay(now, bundle, one, cause, staying)
    return []


def _is_follower(rollout: Rollout) -> bool:
    """Whether it went back only because another one of its bundle did."""
    return rollout.rollback is not None and rollout.rollback.bundle_cause is not None


def _go_back(now: _Moment, rollout: Rollout, reason: str, cause: str | None) -> list[NewEvent]:
    """One rollout goes back; before it those on its surface that build on it, if it is live."""
    entries = []
    for name in now.world.surfaces[rollout.plan.surface].running if rollout.state is RolloutState.DONE else ():
        building = now.world.rollouts[name]
        why = f"{rollout.id}, which it builds on, was rolled back"
        entries += now.build_entries(building, [_build_rolled_back(now, building, why, None)])
    return [*entries, *now.build_entries(rollout, [_build_rolled_back(now, rollout, reason, cause)])]


def _build_rolled_back(now: _Moment, rollout: Rollout, reason: str, cause: str | None) -> e.RolledBack:
    context = now.build_context(rollout)
    back = stage_changes.build_rolled_back(rollout, context, reason=reason, findings=())
    return replace(back, bundle_cause=cause)


def _stay(now: _Moment, bundle: Bundle, rollout: Rollout, cause: Rollout, why: str) -> list[NewEvent]:
    """That a rollout could not go back with its bundle; it grows no further."""
    events: list[e.RolloutEvent] = [e.BundleNotFollowed(bundle=bundle.name, cause=cause.id, why=why)]
    if rollout.state in GROWING_STATES:
        surface = now.world.surfaces[rollout.plan.surface]
        today = now.world.policy_for(surface.name).to_local_time(now.at).date()
        advice = way_back.suggest_instead(rollout.plan, surface, today)
        text = f"{cause.id} of its bundle was rolled back, but {why}. {advice}"
        events.append(e.Held(key=way_back.NO_WAY_BACK, text=text))
    return now.build_entries(rollout, events)


def _decide_holds(now: _Moment, bundle: Bundle) -> list[NewEvent]:
    """The next one that holds because another one does, or goes on because none does any more."""
    if bundle.order is not BundleOrder.TOGETHER:
        return []
    causes = [one for one in bundle.members if _holds_others(one)]
    for one in bundle.members:
        cause = next((other for other in causes if other.id != one.id), None)
        key = one.hold.key if one.hold is not None else ""
        held_for = holds.find_bundle_cause(key)
        if cause is not None and (
            one.state in GROWING_STATES
            or (one.state is RolloutState.ON_HOLD and held_for and held_for not in {each.id for each in causes})
        ):
            word = "paused" if cause.state is RolloutState.PAUSED else "on hold"
            text = f"{cause.id} of the bundle {bundle.name} is {word}"
            return now.build_entries(one, [e.Held(key=f"{holds.BUNDLE}{cause.id}", text=text)])
        if cause is None and one.state is RolloutState.ON_HOLD and held_for:
            return now.build_entries(one, [e.HoldCleared(key=key)])
    return []


def _holds_others(rollout: Rollout) -> bool:
    """Whether the others hold with it: a person paused it, or it holds for a reason of its own."""
    if rollout.state is RolloutState.PAUSED:
        return True
    return rollout.state is RolloutState.ON_HOLD and not (rollout.hold and holds.find_bundle_cause(rollout.hold.key))


def _decide_starts(now: _Moment, bundle: Bundle) -> list[NewEvent]:
    """The next one that starts, or gets its date, because another one did."""
    planned = [one for one in bundle.members if one.state is RolloutState.PLANNED]
    if not planned:
        return []
    if bundle.order is BundleOrder.TOGETHER:
        if any(one.is_under_way for one in bundle.members):  # that all are ready was checked before the first started
            start = stage_changes.begin_rollout(planned[0], now.build_context(planned[0]))
            ended = end_holdouts(now.world, planned[0], now.by.id)
            return [*ended, *now.build_entries(planned[0], start)]
        dates = [one.start for one in planned if one.start is not None]
        undated = next((one for one in planned if one.start is None), None)
        return _schedule(now, undated, max(dates)) if dates and undated is not None else []
    begun = any(one.is_under_way or one.state is RolloutState.DONE for one in bundle.members)
    undated = next((one for one in planned if one.start is None), None)
    return _schedule(now, undated, now.at) if begun and undated is not None else []


def _schedule(now: _Moment, rollout: Rollout, start: datetime) -> list[NewEvent]:
    return now.build_entries(rollout, [e.StartScheduled(start=start, by=now.by.id)])
