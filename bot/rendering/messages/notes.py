"""Notes that trigger no action: limits in dry run, and metrics that are better than expected."""

from bot.rendering import wording
from bot.rendering.messages import rollback_alert
from core.judging.model.verdict import Finding

SHOWN = 4


def lines(findings: tuple[Finding, ...]) -> list[str]:
    """One line per note; beyond a few, the rest is only counted."""
    said = [line(x) for x in findings[:SHOWN]]
    return [*said, wording.more(len(findings) - SHOWN)] if len(findings) > SHOWN else said


def line(finding: Finding) -> str:
    """For a limit in dry run, what it would have triggered; otherwise what was measured."""
    measured = rollback_alert.measured(finding)
    if "(dry run)" in finding.limit_text:
        limit = wording.escape(finding.limit_text.replace(" (dry run)", ""), 100)
        return f"Dry run, would have fired ({limit}): {measured}. Nothing was done."
    return f"Note: {measured}."
