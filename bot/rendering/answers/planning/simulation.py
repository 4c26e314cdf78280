"""The result of a simulation, as text and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from bot.rendering import wording
from bot.rendering.blocks import blocks
from core.simulation.report import HarmlessSummary, HarmSummary
from core.simulation.run import MIN_LOOKS
from core.simulation.study import Study, StudyResult

_HEADER = ("harm", "found", "median", "9 of 10", "reached by then", "what stopped it")


def render_report(study: Study, outcome: StudyResult) -> str:
    """The whole report as plain text: its basis, the harmless runs, then a table of harms."""
    plan = study.plan
    return "\n".join(
        [
            f"{plan.name}: {plan.surface} {plan.from_version} -> {plan.to_version}, {study.runs} simulated runs each",
            *_describe_basis(study),
            "",
            *_describe_harmless(outcome.harmless),
            "",
            *_describe_harms(outcome.harms),
        ]
    )


def to_json(study: Study, outcome: StudyResult) -> dict[str, Any]:
    """The result as JSON: durations in seconds, rates 0 to 1."""
    return {
        "rollout": study.plan.name,
        "runs": study.runs,
        "looks": study.looks,
        "seed": study.seed,
        "daily_requests": study.known.daily_requests,
        "pace_from": study.known.pace_from,
        "levels": "recorded" if study.recording is not None else study.known.measured or "assumed",
        "harmless": _to_plain_json(asdict(outcome.harmless)),
        "harms": [_harm_to_json(one) for one in outcome.harms],
    }


def _describe_basis(study: Study) -> list[str]:
    pace = f"{wording.format_count(study.known.daily_requests or 0)} requests a day ({study.known.pace_from})"
    if study.recording is not None:
        counts = wording.format_count(study.recording.rows), wording.format_count(study.recording.units)
        levels = f"{counts[0]} recorded observations of {counts[1]} units, drawn anew for each run"
    else:
        levels = f"levels {study.known.levels_from}"
    return [
        f"Traffic: {pace}; {levels}.",
        f"Looks: about {study.looks} a run, at least {MIN_LOOKS} a stage, instead of one every few seconds: "
        "times are rounded up to the next look.",
        "Gates and approvals are given at once, and holds are overridden at once.",
    ]


def _describe_harmless(found: HarmlessSummary) -> list[str]:
    back = f"{found.rolled_back} of {found.runs}"
    lines = [
        f"Nothing changed ({wording.format_duration(found.lasted)} on the rollout's clock)",
        f"  rolled back  {back}{_format_causes(found.by)}: true rate at most {found.at_most * 100:.1f} % "
        "(95 % confidence)",
        f"  held         {found.held} of {found.runs}{_format_causes(found.holds_by)}",
    ]
    if found.undecided:
        stages = ", ".join(f"{stage} ({count})" for stage, count in found.undecided)
        lines.append(f"  undecided    {stages}: the longest hold passed before it could continue")
    return lines


def _describe_harms(harms: Sequence[HarmSummary]) -> list[str]:
    if not harms:
        return ["No harm was given, and no limit rolls back."]
    lines = blocks.align_columns([_HEADER, *(_build_row(one) for one in harms)]).splitlines()
    missed = [one for one in harms if one.stopped < one.runs]
    if missed:
        named = ", ".join(f"{one.harm.text} ({one.runs - one.stopped} of {one.runs})" for one in missed)
        lines.append(f"Reached everyone unnoticed: {named}. rollout plan says what would help.")
    return lines


def _build_row(one: HarmSummary) -> tuple[str, ...]:
    return (
        one.harm.text,
        f"{one.stopped} of {one.runs}",
        _format_duration(one.median),
        _format_duration(one.slow),
        "–"
        if one.requests is None
        else f"{wording.pluralize(one.requests, 'request')}, {wording.pluralize(one.users or 0, 'user')}",
        ("held by " if one.by_hold else "") + (_join_counts(one.by) or "nothing") + _format_earlier_holds(one),
    )


def _format_earlier_holds(one: HarmSummary) -> str:
    return f"; {one.held_first} held before" if one.held_first else ""


def _format_duration(span: timedelta | None) -> str:
    return "–" if span is None else wording.format_duration(span)


def _format_causes(counted: Sequence[tuple[str, int]]) -> str:
    return f" ({_join_counts(counted)})" if counted else ""


def _join_counts(counted: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counted)


def _harm_to_json(one: HarmSummary) -> dict[str, Any]:
    return {**_to_plain_json(asdict(one)), "harm": one.harm.text, "metric": one.harm.metric}


def _to_plain_json(value: Any) -> Any:
    match value:
        case timedelta():
            return value.total_seconds()
        case dict():
            return {key: _to_plain_json(inner) for key, inner in value.items()}
        case tuple() | list():
            return [_to_plain_json(inner) for inner in value]
        case _:
            return value
