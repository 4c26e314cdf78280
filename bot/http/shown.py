"""How rollouts, events and evidence look in JSON."""

import json
from typing import Any

from core.judging.judge import Judgement
from core.judging.verdict import Measure
from core.rollout.model import Rollout
from core.store import codec
from core.store.event_log import Recorded


def rollout_shown(rollout: Rollout) -> dict[str, Any]:
    """A rollout as it stands; percentages are 0 to 100 of the stage's audience."""
    plan = rollout.plan
    return {
        "id": rollout.id,
        "name": plan.name,
        "surface": plan.surface,
        "state": rollout.state.value,
        "stage": rollout.stage.name if rollout.stage else None,
        "percent": rollout.percent,
        "from": plan.from_version,
        "to": plan.to_version,
        "change": rollout.kind,
        "owner": plan.owner_handle or plan.owner,
        "risk": plan.risk.value,
        "waiting_for": rollout.waiting_for,
        "fingerprint": rollout.fingerprint,
        "planned_at": rollout.planned_at.isoformat(),
        "start": rollout.start.isoformat() if rollout.start else None,
        "started_at": rollout.started_at.isoformat() if rollout.started_at else None,
        "ended_at": rollout.ended_at.isoformat() if rollout.ended_at else None,
    }


def event_shown(recorded: Recorded) -> dict[str, Any]:
    """An event with the reason somebody gave for it (empty where there is none) and everything it holds."""
    return {
        "position": recorded.position,
        "type": recorded.type,
        "actor": recorded.actor,
        "at": recorded.at.isoformat(),
        "reason": getattr(recorded.event, "reason", ""),
        "data": json.loads(codec.encode(recorded.event)[2]),
    }


def evidence_shown(rollout: Rollout, judgement: Judgement | None) -> dict[str, Any]:
    """The newest judgement of a rollout. Before the first look nothing has been seen, and the verdict is null."""
    seen = judgement
    return {
        "rollout": rollout.id,
        "state": rollout.state.value,
        "stage": rollout.stage.name if rollout.stage else None,
        "verdict": seen.verdict.name if seen else None,
        "arms": {
            "canary": {"units": seen.canary_units if seen else 0, "requests": seen.canary_requests if seen else 0},
            "control": {"units": seen.control_units if seen else 0, "requests": seen.control_requests if seen else 0},
        },
        "metrics": [_metric(m) for m in seen.measures] if seen else [],
    }


def _metric(measure: Measure) -> dict[str, Any]:
    return {
        "metric": measure.metric,
        "title": measure.title,
        "unit": measure.unit,
        "canary": measure.canary,
        "control": measure.control,
        "estimate": measure.difference,
        "bound": {"low": measure.low, "high": measure.high},
        "relative": measure.relative,
        "limit": measure.limit_text,
        "verdict": measure.word,
        "requests": {"canary": measure.n_canary, "control": measure.n_control},
        "log_evidence": measure.log_e,
        "weaker": measure.weaker,
        "note": measure.note,
    }
