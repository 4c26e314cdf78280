"""What the engine tells and holds nothing for: limits that only rehearse, and what is better than expected."""

from bot.rendering import wording
from bot.rendering.messages import rollback_alert
from core.judging.model.verdict import Finding

SHOWN = 4


def lines(findings: tuple[Finding, ...]) -> list[str]:
    """One line each, a few at most."""
    said = [line(x) for x in findings[:SHOWN]]
    return [*said, wording.more(len(findings) - SHOWN)] if len(findings) > SHOWN else said


def line(finding: Finding) -> str:
    """A dry run says what would have followed; anything else what was seen."""
    measured = rollback_alert.measured(finding)
    if "(dry run)" in finding.limit_text:
        limit = wording.escape(finding.limit_text.replace(" (dry run)", ""), 100)
        return f"Dry run, would have fired ({limit}): {measured}. Nothing was done."
    return f"Note: {measured}."
