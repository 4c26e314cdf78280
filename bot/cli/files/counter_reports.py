"""What a try of a Prometheus found, as lines and as JSON."""

from datetime import datetime
from typing import Any

from bot.cli.files import report_parts
from bot.sources.prometheus.check_source import CounterReport
from core.durations import format_exact
from core.rollout.state.sources import SourceTerms


def describe(terms: SourceTerms, report: CounterReport, now: datetime, *, query: bool) -> list[str]:
    """The report as lines."""
    if report.failure:
        return report_parts.describe_failure(report.name, report.failure)
    counters = terms.prometheus
    assert counters is not None
    lines = [f"{report.name} (prometheus), every {format_exact(terms.every)}"]
    scraped = f", scraped every {report.scrape_seconds:g} s" if report.scrape_seconds else ""
    newest = report_parts.describe_newest(report.newest, now)
    reach = format_exact(report.reach)
    lines.append(f"  {report.samples:,} samples of {report.series:,} series in the last {reach}{newest}{scraped}")
    lines.append(f"  a pull of them took {report.seconds:.2f} s")
    lines.append(
        f"  units are unknown: {counters.requests_per_unit:g} requests count as one, and the split cannot be checked"
    )
    lines += [
        f"  {'' if number else '! '}{counter}: {f'{number:,.6g} more' if number else 'has not grown'}"
        for counter, number in (report.grown or {}).items()
    ]
    sides = ", ".join(f"{name or 'no label'} {number:,.6g}" for name, number in report.sides)
    lines.append(f"  sides ({counters.label}): {sides or 'none'}")
    if report.sides and not any(name for name, _ in report.sides):
        lines.append(
            f"  ! none of them has the label {counters.label}: it is empty while no rollout runs, and then has to hold "
            "what the evaluation returned"
        )
    lines += [
        f"  bounds of {key}, at which its limits can be set: {', '.join(f'{bound:g}' for bound in bounds)}"
        for key, bounds in (report.bounds or {}).items()
    ]
    if report.restarts:
        many = "restart of a process" if report.restarts == 1 else "restarts of processes"
        lines.append(f"  {report.restarts:,} {many}")
    if report.unsure:
        lines.append(f"  ! {report.unsure:,} steps are not counted, as they may hide a restart")
    return [*lines, *(["", report.query] if query else [])]


def to_json(report: CounterReport, now: datetime, *, query: bool) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "source": report.name,
        "engine": "prometheus",
        "failure": report.failure,
        "series": report.series,
        "samples": report.samples,
        "scrape_seconds": report.scrape_seconds,
        **report_parts.newest_to_json(report.newest, now),
        "grown": dict(report.grown or {}),
        "sides": dict(report.sides),
        "bounds": {key: list(bounds) for key, bounds in (report.bounds or {}).items()},
        "restarts": report.restarts,
        "unsure": report.unsure,
        "seconds": round(report.seconds, 3),
        **({"query": report.query} if query else {}),
    }
