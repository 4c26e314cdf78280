"""Versions of a surface as JSON."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.rollout.plans.plan import content_hash
from core.rollout.state.surface import Surface
from core.versions.version_history import VersionRecord


def versions_to_json(surface: Surface, records: Mapping[str, VersionRecord]) -> dict[str, Any]:
    """Every version in the order of naming; times are ISO 8601, null where something has not happened."""
    return {
        "surface": surface.name,
        "live": surface.live,
        "versions": [
            {
                "version": record.name,
                "content": content_hash(surface.versions.get(record.name, {})),
                "named_at": record.named_at.isoformat(),
                "named_by": record.named_by,
                "rollouts": list(record.rollouts),
                "live": [
                    {"since": period.since.isoformat(), "until": _to_text(period.until), "by": period.by or None}
                    for period in record.live
                ],
                "retired_at": _to_text(record.retired_at),
                "retired_by": record.retired_by or None,
                "taken_back_at": _to_text(record.taken_back_at),
            }
            for record in records.values()
        ],
    }


def _to_text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
