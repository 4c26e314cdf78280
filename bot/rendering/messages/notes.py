"""Notes that trigger no action: limits in dry run, and metrics that are better than expected."""

from bot.rendering import wording
from bot.rendering.numbers import measure_rows
from core.judging.model.verdict import Finding

MAX_NOTES = 4


def format_notes(findings: tuple[Finding, ...]) -> list[str]:
    """One line per note; beyond a few, the rest is only counted."""
    shown = [format_note(x) for x in findings[:MAX_NOTES]]
    return [*shown, wording.format_remainder(len(findings) - MAX_NOTES)] if len(findings) > MAX_NOTES else shown


def format_note(finding: Finding) -> str:
    """For a limit in dry run, what it would have triggered; otherwise what was measured."""
    measured = measure_rows.format_finding(finding)
    if "(dry run)" in finding.limit_text:
        limit = measure_rows.escaped_limit(finding.limit_text.replace(" (dry run)", ""))
        return f"Dry run, would have fired ({limit}): {measured}. Nothing was done."
    return f"Note: {measured}."
