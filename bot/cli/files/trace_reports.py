"""What a try of a tool that keeps traces found, as lines and as JSON."""

from datetime import datetime
from typing import Any

from bot.cli.files import report_parts
from bot.sources.traces.check_source import TraceReport
from core.durations import format_exact
from core.rollout.state.sources import SourceTerms


def describe(terms: SourceTerms, report: TraceReport, now: datetime) -> list[str]:
    """The report as lines."""
    if report.failure:
        return report_parts.describe_failure(report.name, report.failure)
    lines = [f"{report.name} ({report.system}), every {format_exact(terms.every)}"]
    reach = format_exact(report.reach)
    if report.read == 0:
        return [*lines, f"  ! no traces in the last {reach}"]
    newest = report_parts.describe_newest(report.newest, now)
    first = "" if report.is_all else "the first "
    lines.append(f"  {first}{report.read:,} traces of the last {reach}{newest}")
    lines.append(f"  a page took {report.seconds:.2f} s")
    said = {
        "entries are no traces": report.unreadable,
        "traces name no unit": report.no_unit,
        "traces name no exposure, variant or version": report.no_side,
    }
    lines += [f"  ! {number:,} {what}" for what, number in said.items() if number]
    for one in report.facts:
        mark = "! " if one.missing == report.read or one.bad else ""
        bad = f", {one.bad:,} not valid" if one.bad else ""
        lines.append(f"  {mark}{one.metric}: {one.fact}, {one.missing / report.read:.0%} without{bad}")
    sides = ", ".join(f"{name or 'none'} {number:,}" for name, number in report.sides)
    lines.append(f"  sides: {sides}")
    return [*lines, *report_parts.list_segments(report.segments)]


def to_json(report: TraceReport, now: datetime) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "source": report.name,
        "engine": report.system,
        "failure": report.failure,
        "traces": report.read,
        "all": report.is_all,
        **report_parts.newest_to_json(report.newest, now),
        "unreadable": report.unreadable,
        "no_unit": report.no_unit,
        "no_side": report.no_side,
        "facts": [
            {"fact": one.fact, "metric": one.metric, "missing": one.missing, "bad": one.bad} for one in report.facts
        ],
        "sides": dict(report.sides),
        "segments": {name: dict(values) for name, values in report.segments.items()},
        "seconds": round(report.seconds, 3),
    }
