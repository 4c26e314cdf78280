"""The baseline of a surface: what is normal for its live version, and what it suggests for the next plan."""

from typing import Any

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from core.files.rollout_form import LIMITS, SuggestedLimits
from core.metrics.own_metrics import find_metric
from core.rollout.plans.baseline import BaselineLevel, HourlyComplaints, SurfaceBaseline
from core.rollout.plans.policy import WEEKDAYS
from core.rollout.state.surface import Surface

MAX_ROWS = 20
_HEADER = ("What", "Level", "Spread", "Readings per request", "Design effect", "Readings")
_HOURS_OF_DAY = 24


def render(surface: Surface, suggested: SuggestedLimits, zone: str) -> Message:
    """The baseline as a table, with what it suggests; or how to get one."""
    name = wording.escape(surface.title or surface.name, 60)
    baseline = surface.live_baseline
    if baseline is None:
        return blocks.build_message(
            f"No baseline: nobody has kept one for {wording.escape(surface.live, 40)} of {name}.",
            blocks.section(_explain_absence(surface)),
        )
    until = wording.format_local_time(baseline.until, zone)
    pace = (
        f"{wording.format_count(baseline.daily_requests)} requests a day"
        if baseline.daily_requests is not None
        else "requests a day unknown"
    )
    return blocks.build_message(
        f"Baseline: {name} {wording.escape(baseline.version, 40)}, from {wording.escape(baseline.rollout, 40)}.",
        blocks.table(
            _HEADER,
            [_build_row(surface, level) for level in baseline.levels[:MAX_ROWS]],
            numeric=frozenset(range(1, 6)),
        ),
        blocks.lines_section(_describe_more(baseline)),
        blocks.lines_section(_list_suggestions(suggested)),
        blocks.actions(buttons.run_command("Its review", f"review {baseline.rollout}")),
        blocks.context(
            f"Measured until {until} · {pace} · it applies while {wording.escape(baseline.version, 40)} is live"
        ),
    )


def baseline_to_json(surface: Surface, suggested: SuggestedLimits) -> dict[str, Any]:
    """The baseline as JSON; `baseline` is null without one. Rates and shares are 0 to 1, hours are of the week from
    Monday 00:00 UTC."""
    baseline = surface.live_baseline
    return {
        "surface": surface.name,
        "live": surface.live,
        "baseline": None
        if baseline is None
        else {
            "rollout": baseline.rollout,
            "version": baseline.version,
            "until": baseline.until.isoformat(),
            "daily_requests": baseline.daily_requests,
            "levels": [_level_to_json(level) for level in baseline.levels],
            "segments": [_level_to_json(level) for level in baseline.segments],
            "complaints_by_hour": [
                {"hour": one.hour, "requests": one.requests, "complaints": one.complaints}
                for one in baseline.complaints_by_hour
            ],
        },
        "suggested_limits": _suggested_terms(suggested) if suggested.baseline else [],
    }


def _explain_absence(surface: Surface) -> str:
    known = surface.baseline
    if known is not None:
        was, by = wording.escape(known.version, 40), wording.escape(known.rollout, 40)
        return f"The last one, from {by}, is of {was}, which is no longer live. The next review can keep a new one."
    return "The review of a rollout can keep what it measured. Until then, plans use the last rollout's levels."


def _build_row(surface: Surface, level: BaselineLevel) -> tuple[str, ...]:
    known = find_metric(level.metric, surface.metrics)
    return (
        known.title if known is not None else level.metric,
        wording.format_value(level.level, known.unit if known is not None else ""),
        f"{level.spread:.2f}" if level.spread else "–",
        wording.format_percent(round(level.share * 100, 1)),
        f"{level.design_effect:.2f}",
        wording.format_count(level.readings),
    )


def _describe_more(baseline: SurfaceBaseline) -> list[str]:
    lines = []
    if left := len(baseline.levels) - MAX_ROWS:
        lines += [wording.format_remainder(left)] if left > 0 else []
    if baseline.segments:
        names = list(dict.fromkeys(wording.format_segment(level.segment) for level in baseline.segments))
        lines.append(f"Also per segment: {wording.join_limited(names, 6)}.")
    if baseline.complaints_by_hour:
        lines.append(_describe_complaints(baseline.complaints_by_hour))
    return lines


def _describe_complaints(hours: tuple[HourlyComplaints, ...]) -> str:
    """Complaints per 1,000 requests over all hours, and the hour of the week with the most."""
    requests, complaints = sum(one.requests for one in hours), sum(one.complaints for one in hours)
    usual = (
        f"Complaints: {complaints / requests * 1000:.2f} per 1,000 requests in {len(hours)} of 168 hours of the week"
    )
    if not complaints:
        return f"{usual}."
    worst = max(hours, key=lambda one: one.complaints / one.requests)
    return f"{usual}; most on {_format_hour(worst.hour)} ({worst.complaints / worst.requests * 1000:.2f})."


def _format_hour(hour: int) -> str:
    day, at = divmod(hour, _HOURS_OF_DAY)
    return f"{WEEKDAYS[day]} {at:02}:00 UTC"


def _list_suggestions(suggested: SuggestedLimits) -> list[str]:
    if not suggested.baseline:
        return []
    lines = [
        f"`{{{', '.join(f'{name}: {text}' for name, text in term.items())}}}`" for term in _suggested_terms(suggested)
    ]
    return [f"*Limits for the next plan* (baseline from {wording.escape(suggested.baseline, 40)})", *lines]


def _suggested_terms(suggested: SuggestedLimits) -> list[dict[str, str]]:
    """The suggested limits as a rollout file has them."""
    return [
        {"metric": limit.metric, limit.kind.value: f"{suggested.amounts[limit.metric]}{limit.unit}"} for limit in LIMITS
    ]


def _level_to_json(level: BaselineLevel) -> dict[str, Any]:
    return {
        "metric": level.metric,
        "segment": level.segment,
        "level": level.level,
        "spread": level.spread,
        "share": level.share,
        "design_effect": level.design_effect,
        "readings": level.readings,
    }
