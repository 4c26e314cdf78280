"""What one unit is served of a snapshot, by the function that answers applications."""

from collections.abc import Mapping
from typing import Any

from core.flags.evaluation import choose_answer
from core.flags.snapshot import FlagAnswer, Snapshot


def evaluate(snapshot: Snapshot, surface: str, unit: str | None, context: Mapping[str, Any]) -> FlagAnswer:
    return choose_answer(snapshot.surfaces[surface], unit, context)
