"""The facts for whoever decides on a plan, as plain text for the rollout's page."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.commands.answers import plan_queries
from bot.rendering import wording
from bot.rendering.messages import plan_facts
from bot.rendering.messages.plan_facts import FactSection
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import Rollout
from core.service.service import RolloutService


def build_plan_sections(
    service: RolloutService, rollout: Rollout, entries: Sequence[HistoryEntry], now: datetime
) -> tuple[FactSection, ...]:
    """The sections of the approval request, with plain text instead of mrkdwn; `entries` are the rollout's history."""
    facts = plan_queries.load_decision_facts(service, rollout, entries, now)
    zone = service.cached_world().policy.timezone
    return tuple(
        replace(section, lines=tuple(wording.to_plain_text(line).strip("_") for line in section.lines))
        for section in plan_facts.list_sections(rollout, facts, zone)
    )
