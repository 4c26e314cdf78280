"""When providers switch models off: the list of dates, and which warnings are due."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from core.rollout.models.called_model import format_model, is_same_model
from core.rollout.state.surface import Surface
from core.rollout.state.world import World

WARN_DAYS = (90, 60, 30, 14, 7)
"""How many days before a model is switched off those who use it are warned."""


class UnreadableRetirements(ValueError):
    """The list cannot be read; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRetirement:
    """One model that its provider switches off. `on` is the first day on which it cannot be called any more."""

    model: str
    on: date
    replacement: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWarning:
    """A warning for one surface. `days` is the step of `WARN_DAYS` that was reached, `version` calls the model."""

    surface: str
    version: str
    retirement: ModelRetirement
    days: int


def parse_retirements(text: str) -> tuple[ModelRetirement, ...]:
    """The list as JSON: `[{"model", "retires", "replacement"}]`, or a provider's model list with `id` and a date.

    A model list (`{"data": [{"id", "shutdown_date"}]}`) may hold models without a date; these are left out.
    """
    try:
        read = json.loads(text)
    except ValueError as error:
        raise UnreadableRetirements(f"it is not JSON: {error}") from None
    items = read.get("data", read.get("retirements")) if isinstance(read, dict) else read
    if not isinstance(items, list):
        raise UnreadableRetirements('write [{"model": "large-3", "retires": "2027-02-15"}]')
    found = (_parse_item(number, item) for number, item in enumerate(items, 1))
    return tuple(one for one in found if one is not None)


def _parse_item(number: int, item: Any) -> ModelRetirement | None:
    if not isinstance(item, Mapping):
        raise UnreadableRetirements(f'entry {number} is no object with "model" and "retires"')
    model = item.get("model", item.get("id"))
    day = item.get("retires", item.get("shutdown_date", item.get("deprecation_date")))
    if day is None and "id" in item:
        return None
    if not isinstance(model, str) or not model:
        raise UnreadableRetirements(f'entry {number} names no "model"')
    try:
        on = date.fromisoformat(str(day)[:10])
    except ValueError:
        message = f'entry {number} ({model}): "retires" is {day!r}, not a date like 2027-02-15'
        raise UnreadableRetirements(message) from None
    replacement = item.get("replacement")
    return ModelRetirement(model=model, on=on, replacement=replacement if isinstance(replacement, str) else "")


def find_due_warnings(world: World, retirements: Sequence[ModelRetirement], today: date) -> tuple[DueWarning, ...]:
    """The warnings that are due `today` and were not given: one per surface and model, for the latest step reached."""
    found = (
        _find_for_surface(surface, one, today)
        for surface in world.surfaces.values()
        for one in sorted(retirements, key=lambda each: (each.on, each.model))
    )
    return tuple(warning for warning in found if warning is not None)


def _find_for_surface(surface: Surface, retirement: ModelRetirement, today: date) -> DueWarning | None:
    if not uses_model(surface, retirement.model):
        return None
    left = (retirement.on - today).days
    reached = [days for days in WARN_DAYS if left <= days]
    if not reached:
        return None
    days = min(reached)
    if any(t.model == retirement.model and t.on == retirement.on and t.days <= days for t in surface.retirements):
        return None
    return DueWarning(surface=surface.name, version=surface.live, retirement=retirement, days=days)


def uses_model(surface: Surface, model: str) -> bool:
    """Whether the live version of the surface calls this model."""
    configured = format_model(surface.live_content)
    return bool(configured) and is_same_model(configured, model)


def list_users(world: World, model: str) -> Iterator[tuple[str, str]]:
    """(title, live version) of every AI feature whose live version calls this model."""
    for surface in world.surfaces.values():
        if uses_model(surface, model):
            yield surface.title or surface.name, surface.live
