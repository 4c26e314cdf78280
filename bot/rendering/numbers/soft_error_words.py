"""Soft errors by category as text: how often each came with the new version and with the current one."""

from collections.abc import Sequence
from typing import Any

from bot.rendering import wording
from core.judging.model.soft_errors import SoftErrorCounts
from core.metrics.soft_errors import format_title

MAX_CATEGORIES = 6


def format_line(found: Sequence[SoftErrorCounts]) -> str:
    """One line for a summary: `Soft errors: declined to answer 12 new, 40 now; …`; empty if there were none.

    New kinds come first. Counts are of requests that differ between the versions, so shares follow in brackets.
    """
    if not found:
        return ""
    ordered = sorted(found, key=lambda one: not one.is_new)
    shown = "; ".join(_format_category(one) for one in ordered[:MAX_CATEGORIES])
    rest = f"; and {len(ordered) - MAX_CATEGORIES} more kinds" if len(ordered) > MAX_CATEGORIES else ""
    return f"*Soft errors:* {shown}{rest}"


def list_rows(found: Sequence[SoftErrorCounts]) -> list[tuple[str, str, str, str]]:
    """(title, new version, current version, remark) of each category, as plain text."""
    return [
        (
            format_title(one.category),
            _format_count(one.canary, one.canary_requests),
            _format_count(one.control, one.control_requests),
            "new with this version" if one.is_new else "",
        )
        for one in found
    ]


def soft_errors_to_json(found: Sequence[SoftErrorCounts]) -> list[dict[str, Any]]:
    """The categories as JSON, with counts by arm."""
    return [
        {
            "category": one.category,
            "title": format_title(one.category),
            "canary": {"count": one.canary, "requests": one.canary_requests},
            "control": {"count": one.control, "requests": one.control_requests},
            "is_new": one.is_new,
        }
        for one in found
    ]


def _format_category(one: SoftErrorCounts) -> str:
    title = wording.escape(wording.title_in_sentence(format_title(one.category)), 60)
    new, now = _format_count(one.canary, one.canary_requests), _format_count(one.control, one.control_requests)
    kind = ", *new with this version*" if one.is_new else ""
    return f"{title} {new} new, {now} now{kind}"


def _format_count(count: int, requests: int) -> str:
    share = f" ({wording.format_value(count / requests, '%')})" if requests else ""
    return f"{wording.format_count(count)}{share}"
