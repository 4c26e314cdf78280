"""The plan of a rollout made again on the version that is live now, when its turn comes in the queue."""

from collections.abc import Mapping
from dataclasses import replace

from core.rollout.context import Context
from core.rollout.decisions import approval_requests
from core.rollout.plans.plan import MERGED_PARTS, Content, changed_parts, content_hash
from core.rollout.plans.renewal import PlanRenewal
from core.rollout.state import events as e
from core.rollout.state.model import Rollout
from core.rollout.state.surface import Surface, is_version_taken, next_version


def is_outdated(rollout: Rollout, surface: Surface) -> bool:
    """Whether another version or content is live than the plan starts from."""
    other = surface.live != rollout.plan.from_version
    return other or content_hash(surface.live_content) != content_hash(rollout.from_content)


def renew_plan(rollout: Rollout, context: Context) -> list[e.RolloutEvent]:
    """The plan on the live version, and the request for its approval; empty if nothing would change any more.

    A part that the live version changed as well is replaced by this plan's. Nothing of that starts unseen: it asks for
    an approval even where the plan needs none.
    """
    plan, surface = rollout.plan, context.known_surface
    live = surface.live_content
    after = _apply_change(plan.change, rollout.from_content, live)
    changed = changed_parts(live, after)
    if not changed:
        return []
    name = next_version(surface) if is_version_taken(surface, plan.to_version, after) else plan.to_version
    renewed = replace(
        plan, from_version=surface.live, to_version=name, change={part: after.get(part) for part in changed}
    )
    replaces = find_replaced_parts(plan.change, rollout.from_content, live)
    planned = e.Planned(
        rollout=rollout.id,
        plan=renewed,
        fingerprint=renewed.fingerprint(),
        from_content=live,
        to_content=after,
        by=rollout.planned_by,
        baseline=rollout.baseline or None,
        renewal=PlanRenewal(
            from_version=plan.from_version, to_version=plan.to_version, live_by=surface.live_by, replaces=replaces
        ),
    )
    needed = max(plan.approvals.needed, 1 if replaces else 0)
    if not needed:
        return [planned]
    return [planned, approval_requests.build_approval_request(rollout, approval_requests.START_GATE, needed, context)]


def find_replaced_parts(change: Content, before: Content, live: Content) -> tuple[str, ...]:
    """The parts in which the live version differs from `before` and that `change` sets, too."""
    return tuple(
        part for part in changed_parts(before, live) if part in change and _overlaps(part, change, before, live)
    )


def _overlaps(part: str, change: Content, before: Content, live: Content) -> bool:
    """Whether both change the same of a part: for one that is merged key by key, the same key."""
    old, now, new = before.get(part), live.get(part), change[part]
    if part in MERGED_PARTS and isinstance(old, Mapping) and isinstance(now, Mapping) and isinstance(new, Mapping):
        return bool(set(changed_parts(old, now)) & set(changed_parts(old, new)))
    return bool(new != now)


def _apply_change(change: Content, before: Content, live: Content) -> dict[str, object]:
    """The live content with what `change` does to `before`."""
    after = dict(live)
    for part, new in change.items():
        old, now = before.get(part), live.get(part)
        if part in MERGED_PARTS and isinstance(old, Mapping) and isinstance(now, Mapping) and isinstance(new, Mapping):
            after[part] = {**now, **{key: new[key] for key in changed_parts(old, new) if key in new}}
        else:
            after[part] = new
    return after
