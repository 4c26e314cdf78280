"""The plan of a rollout file as JSON: its calendar, what its limits could detect, what changes and what is unwise."""

from typing import Any

from bot.rendering.answers.planning import plan_foresight
from bot.rendering.answers.served.version_answers import VersionPair
from bot.rendering.documents import difference_text
from bot.rendering.neighbours import shared_words
from bot.rendering.numbers.detectability import power_words, unseen_by_evals
from core.files.syntax import problems
from core.report_sources.planned_file import PlannedFile

Json = dict[str, Any]


def plan_to_json(planned: PlannedFile, pair: VersionPair) -> Json:
    """All of it; `pair` is what the plan changes. Durations are in seconds."""
    plan, known, coverage = planned.plan, planned.outlook.known, planned.outlook.coverage
    return {
        "rollout": plan.name,
        "surface": plan.surface,
        "from": plan.from_version,
        "to": plan.to_version,
        "risk": str(plan.risk),
        "timeline": [
            {
                "earliest": row.when_earliest.isoformat(),
                "latest": None if row.when_latest is None else row.when_latest.isoformat(),
                "what": row.what,
                "percent": row.percent,
                "requests_expected": row.requests_expected,
            }
            for row in planned.outlook.rows
        ],
        "drives": [
            {"flag": one.title, "steps": [one.percent_at(stage.percent) for stage in plan.stages]}
            for one in plan.driven
        ],
        "traffic": {
            "daily_requests": known.daily_requests,
            "pace_from": known.pace_from,
            "levels": known.measured or "assumed",
        },
        "limits": [plan_foresight.to_json(one) for stage in planned.outlook.foreseen for one in stage],
        "comparisons": [power_words.to_json(one) for one in planned.outlook.comparisons],
        "warnings": [problems.to_json(warning) for warning in planned.warnings],
        "shared": [shared_words.to_json(one) for one in planned.shared],
        "changes": difference_text.pair_to_json(pair),
        "evals": unseen_by_evals.coverage_to_json(coverage) if coverage is not None else None,
    }
