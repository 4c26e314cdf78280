"""Rollouts and events as JSON."""

import json
from datetime import datetime
from typing import Any

from bot.rendering.neighbours import shared_words
from core.rollout.concurrency.bundles import Bundle
from core.rollout.concurrency.neighbours import NO_NEIGHBOURS, Neighbours, find_neighbours
from core.rollout.concurrency.start_queue import QueuePlace
from core.rollout.plans.plan import DrivenFlag, content_hash
from core.rollout.plans.renewal import PlanRenewal
from core.rollout.serving import driving, holdout
from core.rollout.state.model import Rollout
from core.rollout.state.world import World
from core.store.formats import codec
from core.store.log.event_log import StoredEvent


def rollout_to_json(rollout: Rollout, neighbours: Neighbours = NO_NEIGHBOURS) -> dict[str, Any]:
    """A rollout's current state; percentages are 0 to 100 of the stage's audience, times are ISO 8601. `neighbours` is
    what other rollouts mean for it."""
    plan = rollout.plan
    return {
        "id": rollout.id,
        "name": plan.name,
        "surface": plan.surface,
        "state": rollout.state.value,
        "stage": rollout.stage.name if rollout.stage else None,
        "percent": rollout.percent,
        "holdout": _describe_holdout(rollout),
        "drives": [_driven_to_json(rollout, one) for one in plan.driven],
        "layer": {"name": rollout.layer.layer, "percent": 100 * rollout.layer.share} if rollout.layer else None,
        "from": plan.from_version,
        "to": plan.to_version,
        "content": content_hash(rollout.to_content),
        "change": rollout.kind,
        "owner": plan.owner_handle or plan.owner,
        "risk": plan.risk.value,
        "waiting_for": rollout.waiting_for,
        "fingerprint": rollout.fingerprint,
        "planned_at": rollout.planned_at.isoformat(),
        "start": rollout.start.isoformat() if rollout.start else None,
        "started_at": rollout.started_at.isoformat() if rollout.started_at else None,
        "ended_at": rollout.ended_at.isoformat() if rollout.ended_at else None,
        "renewal": _renewal_to_json(rollout.renewal) if rollout.renewal is not None else None,
        "queue": _place_to_json(neighbours.place) if neighbours.place is not None else None,
        "shared": [shared_words.to_json(one) for one in neighbours.shared],
        "bundle": _membership_to_json(neighbours.bundle, neighbours.waits) if neighbours.bundle is not None else None,
    }


def _driven_to_json(rollout: Rollout, driven: DrivenFlag) -> dict[str, Any]:
    """What is driven, where it should be and where it was read last; `seconds` after that was decided."""
    reading = rollout.flags.get(driven.title)
    return {
        "flag": driven.title,
        "decided": driving.desired_percent(rollout, driven),
        "percent": reading.percent if reading is not None else None,
        "seconds": reading.seconds if reading is not None else None,
        "trouble": rollout.flag_troubles.get(driven.title),
    }


def bundle_to_json(bundle: Bundle, world: World, at: datetime) -> dict[str, Any]:
    """A bundle at `at`: how it moves, and each of its rollouts."""
    members = [rollout_to_json(one, find_neighbours(world, one, at)) for one in bundle.members]
    return {"bundle": bundle.name, "order": bundle.order.value, "rollouts": members}


def _membership_to_json(bundle: Bundle, waits: tuple[str, ...]) -> dict[str, Any]:
    members = [{"id": one.id, "surface": one.plan.surface, "state": one.state.value} for one in bundle.members]
    return {"name": bundle.name, "order": bundle.order.value, "rollouts": members, "waits": list(waits)}


def _renewal_to_json(renewal: PlanRenewal) -> dict[str, Any]:
    """Of a plan that was made again when its turn came: what it changed `from` and `to` before, the rollout after which
    that was no longer live, and the parts of what is live now that it replaces."""
    return {
        "from": renewal.from_version,
        "to": renewal.to_version,
        "live_by": renewal.live_by,
        "replaces": list(renewal.replaces),
    }


def _place_to_json(place: QueuePlace) -> dict[str, Any]:
    return {"position": place.position, "of": place.length, "behind": list(place.behind)}


def _describe_holdout(rollout: Rollout) -> dict[str, Any] | None:
    """Who keeps the previous version after the end: until when by the plan, or when and why that ended."""
    if rollout.plan.holdout is None:
        return None
    due, end, ended = holdout.find_due(rollout), holdout.find_end(rollout), rollout.holdout_ended
    return {
        "percent": rollout.plan.holdout.percent,
        "until": due.isoformat() if due is not None else None,
        "ended_at": end.isoformat() if end is not None else None,
        "cause": ended.cause if ended is not None else None,
        "advice": rollout.holdout_result.advice if rollout.holdout_result is not None else None,
    }


def event_to_json(recorded: StoredEvent) -> dict[str, Any]:
    """A stored event with all of its data; `reason` is empty if the event has none."""
    return {
        "position": recorded.position,
        "type": recorded.type,
        "actor": recorded.actor,
        "at": recorded.at.isoformat(),
        "reason": getattr(recorded.event, "reason", ""),
        "data": json.loads(codec.encode(recorded.event)[2]),
    }


def eval_to_json(rollout: Rollout, stage: int) -> dict[str, Any]:
    """The newest result of an offline gate, with everything that its run says."""
    return {"gate": rollout.plan.stages[stage].name, **json.loads(codec.encode(rollout.evals[stage])[2])}
