"""Evidence as JSON: verdict, arms, metrics with their detection power, segments, notes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.rendering.json.votes import votes_to_json
from bot.rendering.numbers import judge_words, measure_rows, soft_error_words
from bot.rendering.numbers.latest_numbers import LatestNumbers, detection_power, select_latest
from core.judging.model.judgement import Judgement
from core.judging.model.soft_errors import SoftErrorCounts
from core.judging.model.verdict import Finding, Measure
from core.judging.report.series import SeriesPoint
from core.rollout.state.model import Rollout
from core.shadow_eval.spending import JudgingSpend

Json = dict[str, Any]


def evidence_to_json(
    rollout: Rollout,
    judgement: Judgement | None,
    at: datetime,
    soft_errors: Sequence[SoftErrorCounts],
    spend: JudgingSpend | None,
) -> Json:
    """A rollout's latest judgement; before the first look the verdict is null and the lists are empty."""
    current = judgement
    now = select_latest(rollout, judgement, at)
    return {
        "rollout": rollout.id,
        "state": rollout.state.value,
        "stage": rollout.stage.name if rollout.stage else None,
        "verdict": current.verdict.name if current else None,
        "arms": {
            "canary": {
                "units": current.canary_units if current else 0,
                "requests": current.canary_requests if current else 0,
            },
            "control": {
                "units": current.control_units if current else 0,
                "requests": current.control_requests if current else 0,
            },
        },
        "metrics": [measure_to_json(rollout, m, now.at) for m in current.measures] if current else [],
        "segments": segments_to_json(rollout, now)["segments"],
        "segments_checked": now.segments_checked,
        "testers": votes_to_json(rollout),
        "judge": judge_words.judge_to_json(rollout, current.measures if current else (), spend),
        "notes": [_note_to_json(n) for n in now.notes],
        "soft_errors": soft_error_words.soft_errors_to_json(soft_errors),
    }


def filter_evidence(evidence: Json, metric: str, segment: str) -> Json:
    """The evidence reduced to one metric, one segment, or both; an empty string selects all."""

    def kept(rows: list[Json]) -> list[Json]:
        return [r for r in rows if metric in ("", r["metric"]) and segment.lower() in ("", r["segment"].lower())]

    wanted = kept(evidence["segments"])
    return {**evidence, "metrics": kept(evidence["metrics"]), "segments": wanted} if metric or segment else evidence


def segments_to_json(rollout: Rollout, latest: LatestNumbers) -> Json:
    """All segments in the engine's order; for a rollout that has ended, only those that stood out."""
    rows = [measure_to_json(rollout, m, latest.at) for m in latest.segments]
    return {"rollout": rollout.id, "segments": rows, "segments_checked": latest.segments_checked}


def metric_to_json(rollout: Rollout, latest: LatestNumbers, metric: str, trend: tuple[SeriesPoint, ...]) -> Json:
    """One metric under each of its limits, and the trend of its difference."""
    rows = [measure_to_json(rollout, m, latest.at) for m in latest.measures if m.metric == metric]
    return {"rollout": rollout.id, "metrics": rows, "trend": [_point_to_json(p) for p in trend]}


def measure_to_json(rollout: Rollout, measure: Measure, at: datetime | None) -> Json:
    """One measure; unknown values are null. `could_notice`, `could_still_be` and `amount` use `estimate`'s unit."""
    power = detection_power(rollout, measure, at)
    return {
        "metric": measure.metric,
        "title": measure.title,
        "unit": measure.unit,
        "segment": measure.segment,
        "canary": measure.canary,
        "control": measure.control,
        "estimate": measure.difference,
        "bound": {"low": measure.low, "high": measure.high},
        "relative": measure.relative,
        "limit": measure.limit_text,
        "role": measure.role,
        "agreed": measure_rows.is_agreed(measure),
        "amount": measure.amount,
        "harm": measure.harm,
        "verdict": measure.word,
        "expected": measure.expected,
        "cleared": measure.cleared,
        "requests": {"canary": measure.n_canary, "control": measure.n_control},
        "design_effect": measure.design_effect,
        "log_evidence": measure.log_e,
        "log_evidence_needed": measure.needed or None,
        "log_evidence_kept": measure.log_clear,
        "power": {
            "could_notice": power.noticeable,
            "could_still_be": power.could_still_be,
            "decided_in_seconds": power.decided_in.total_seconds() if power.decided_in is not None else None,
        },
        "weaker": measure.weaker,
        "note": measure.note,
    }


def _note_to_json(finding: Finding) -> Json:
    return {
        "metric": finding.metric,
        "title": finding.title,
        "limit": finding.limit_text,
        "estimate": finding.difference,
        "bound": {"low": finding.low, "high": finding.high},
        "relative": finding.relative,
        "segment": finding.segment,
        "note": finding.note,
    }


def _point_to_json(point: SeriesPoint) -> Json:
    return {
        "at": point.at.isoformat(),
        "stage": point.stage,
        "estimate": point.difference,
        "bound": {"low": point.low, "high": point.high},
    }
