"""Digests as JSON."""

from typing import Any

from bot.rendering.json.reviews import shortcut_to_json
from bot.rendering.numbers.reports import review_words
from core.digests.digest import Digest, DigestNumber

Json = dict[str, Any]


def digest_to_json(digest: Digest) -> Json:
    """A digest: every number with its rule and its events, and what is behind them by name. Shares are 0 to 1, times
    in seconds; unknown is null."""
    return {
        "week": digest.week.id,
        "zone": digest.week.zone,
        "begins": digest.week.begins.isoformat(),
        "until": digest.until.isoformat(),
        "numbers": [number_to_json(number) for number in digest.numbers],
        "shipped": [facts.rollout for facts in digest.shipped],
        "rolled_back": [facts.rollout for facts in digest.rolled_back],
        "running": [facts.rollout for facts in digest.running],
        "shortcuts": [
            {"rollout": one.rollout, "risk": one.risk, **shortcut_to_json(one.shortcut)} for one in digest.shortcuts
        ],
        "missed": [
            {"rollout": one.rollout, "metric": one.row.metric, "text": review_words.format_row(one.row)}
            for one in digest.missed
        ],
        "owed": [
            {
                "rollout": one.rollout,
                "owner": one.owner_handle or one.owner,
                "due_at": one.due_at.isoformat(),
                "late_seconds": max(one.late.total_seconds(), 0.0),
            }
            for one in digest.owed
        ],
        "retirements": [
            {
                "rollout": one.rollout,
                "surface": one.surface,
                "version": one.version,
                "day": one.day.isoformat(),
                "days_left": one.days_left,
                "is_deadline": one.is_deadline,
            }
            for one in digest.retirements
        ],
        "shutdowns": [
            {
                "surface": one.surface,
                "model": one.model,
                "on": one.on.isoformat(),
                "days_left": one.days_left,
                "is_upgrade_planned": one.is_upgrade_planned,
            }
            for one in digest.shutdowns
        ],
    }


def number_to_json(number: DigestNumber) -> Json:
    """A number with the rule by which it is computed and the events that it follows from."""
    return {
        "id": number.id,
        "title": number.title,
        "value": number.value,
        "unit": number.unit.value,
        "how": number.how,
        "computed": number.is_computed,
        "events": [
            {"position": event.position, "rollout": event.rollout, "at": event.at.isoformat()}
            for event in number.events
        ],
    }
