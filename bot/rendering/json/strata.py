"""The strata of a rollout as JSON: where each stands, and what the comparison within it says."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.rendering.json.evidence import measure_to_json
from core.reviews.strata_verdicts import StratumVerdict
from core.rollout.state.model import Rollout

Json = dict[str, Any]


def strata_to_json(rollout: Rollout, rows: Sequence[StratumVerdict], at: datetime | None) -> Json:
    """The strata in order; the last one, whose name is null, is everyone else.

    `percent` of a stratum have the new version, or had it. The verdict is null where it is not compared by itself.
    """
    return {"rollout": rollout.id, "strata": [_stratum_to_json(rollout, row, at) for row in rows]}


def _stratum_to_json(rollout: Rollout, row: StratumVerdict, at: datetime | None) -> Json:
    return {
        "name": row.name or None,
        "state": row.state.value,
        "percent": row.percent,
        "verdict": row.verdict.name if row.verdict is not None else None,
        "requests": {"canary": row.canary_requests, "control": row.control_requests},
        "metrics": [measure_to_json(rollout, measure, at) for measure in row.measures],
    }
