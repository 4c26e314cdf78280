"""What a try of a database found, as lines and as JSON."""

from datetime import datetime, timedelta
from typing import Any

from bot.cli.files import report_parts
from bot.sources.sql.check_source import ErrorReport, SourceReport
from core.durations import format_exact
from core.rollout.state.sources import SourceTerms

ERROR_ADVICE = "name a column with the kind of the error, not with its message; the rest counts as (other)"


def describe(terms: SourceTerms, report: SourceReport, now: datetime, reach: timedelta, *, query: bool) -> list[str]:
    """The report as lines; `reach` is how far back was read."""
    if report.failure:
        return report_parts.describe_failure(report.name, report.failure)
    seen = report.census
    lines = [f"{report.name} ({report.engine}), every {format_exact(terms.every)}"]
    if seen.rows == 0:
        return [*lines, f"  ! no rows in the last {format_exact(reach)}"]
    newest = report_parts.describe_newest(seen.newest, now)
    lines.append(f"  {seen.rows:,} rows in the last {format_exact(reach)}{newest}")
    lines.append(f"  a pull took {report.seconds:.2f} s and gave {report.sums:,} cells of 256 buckets")
    if report.cost:
        lines.append(f"  cost: {report.cost.strip()}")
    said = {
        "have no unit that can be used (empty, or over 512 characters)": seen.refused_unit,
        "name no exposure, variant or version": seen.no_side,
        "name an exposure or a variant that no evaluation returns": seen.unknown_side,
        "hold a value that its metric cannot have": seen.refused,
        "are there more than once": seen.repeated,
    }
    lines += [f"  ! {number:,} rows {what}" for what, number in said.items() if number]
    for one in report.columns:
        if not one.column:
            lines.append(f"  {one.metric}: each row, once an hour for each unit")
            continue
        share = one.nulls / seen.rows
        bad = f", {one.refused:,} not valid" if one.refused else ""
        mark = "! " if one.nulls == seen.rows else ""
        lines.append(f"  {mark}{one.metric}: {one.column}, {share:.0%} NULL{bad}")
    if (told := report.errors) is not None:
        bad = f", {told.refused:,} not valid" if told.refused else ""
        lines.append(f"  errors: {told.column}, {told.none / seen.rows:.0%} none{bad}")
        if told.kinds:
            lines.append(f"  kinds of errors: {', '.join(f'{name} {number:,}' for name, number in told.kinds)}")
        if told.has_others:
            lines.append(f"  ! {told.column} has too many different texts: {ERROR_ADVICE}")
    sides = ", ".join(f"{name or 'NULL'} {number:,}" for name, number in report.versions)
    lines.append(f"  sides: {sides}")
    return [*lines, *report_parts.list_segments(report.segments), *(["", report.query] if query else [])]


def to_json(report: SourceReport, now: datetime, *, query: bool) -> dict[str, Any]:
    """The report as JSON."""
    seen = report.census
    return {
        "source": report.name,
        "engine": report.engine,
        "failure": report.failure,
        "rows": seen.rows,
        **report_parts.newest_to_json(seen.newest, now),
        "bad_unit": seen.refused_unit,
        "no_side": seen.no_side,
        "unknown_side": seen.unknown_side,
        "refused": seen.refused,
        "repeated": seen.repeated,
        "columns": [
            {"column": one.column, "metric": one.metric, "nulls": one.nulls, "bad": one.refused}
            for one in report.columns
        ],
        **({"errors": _errors_to_json(report.errors)} if report.errors else {}),
        "sides": dict(report.versions),
        "segments": {name: dict(values) for name, values in report.segments.items()},
        "cells": report.sums,
        "seconds": round(report.seconds, 3),
        "cost": report.cost,
        **({"query": report.query} if query else {}),
    }


def _errors_to_json(told: ErrorReport) -> dict[str, Any]:
    return {
        "column": told.column,
        "none": told.none,
        "bad": told.refused,
        "kinds": dict(told.kinds),
        "has_others": told.has_others,
    }
