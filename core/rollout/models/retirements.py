"""When providers switch models off: the list of dates, and which warnings are due."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import takewhile
from typing import Any

from core.rollout.models.called_model import format_model, is_same_model
from core.rollout.plans.plan import Content
from core.rollout.state.model import TERMINAL_STATES, Rollout, RolloutState
from core.rollout.state.surface import RetirementTold, Surface
from core.rollout.state.world import World

WARN_DAYS = (90, 60, 30, 14, 7)
"""How many days before a model is switched off those who use it are warned."""

UPGRADE_DAYS = 28
"""How long a rollout with the template for another model takes, with its notice."""


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
    """A warning for one surface. `days` is the step of `WARN_DAYS` that was reached, `version` calls the model.

    A date that moved is told at once, however far ahead: `days` is then the days that are left. `told` counts what
    this surface was told of this model before.
    """

    surface: str
    version: str
    retirement: ModelRetirement
    days: int
    told: int = 0


class ModelUse(StrEnum):
    """What a version that calls a model is to its feature."""

    LIVE = "live"
    WAY_BACK = "way back"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUser:
    """A version of a feature that calls a model; `rollout` goes back to it or introduces it, and is empty if it is
    live."""

    title: str
    version: str
    use: ModelUse
    rollout: str = ""


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
        on = date.min
    if not 2000 <= on.year < 3000:
        raise UnreadableRetirements(f'entry {number} ({model}): "retires" is {day!r}, not a date like 2027-02-15')
    replacement = item.get("replacement")
    return ModelRetirement(model=model, on=on, replacement=replacement if isinstance(replacement, str) else "")


def find_due_warnings(world: World, retirements: Sequence[ModelRetirement], today: date) -> tuple[DueWarning, ...]:
    """The warnings that are due `today` and were not given: one per surface and model, for the latest step reached."""
    found = (
        _find_for_surface(world, surface, one, today)
        for surface in world.surfaces.values()
        for one in sorted(retirements, key=lambda each: (each.on, each.model))
    )
    return tuple(warning for warning in found if warning is not None)


def _find_for_surface(world: World, surface: Surface, retirement: ModelRetirement, today: date) -> DueWarning | None:
    user = next(_list_users_on(world, surface, retirement.model), None)
    if user is None:
        return None
    left = (retirement.on - today).days
    told = [one for one in surface.retirements if one.model == retirement.model]
    is_moved = bool(told) and told[-1].on != retirement.on
    days = min((days for days in WARN_DAYS if left <= days), default=left if is_moved else None)
    if days is None or is_told(told, retirement.on, days):
        return None
    return DueWarning(surface=surface.name, version=user.version, retirement=retirement, days=days, told=len(told))


def is_told(told: Sequence[RetirementTold], on: date, days: int) -> bool:
    """Whether the last that was told of a model is this day, and it was told at this step or a later one."""
    since = [*takewhile(lambda one: one.on == on, reversed(told))]
    return any(one.days <= days for one in since)


def list_users(world: World, model: str) -> Iterator[ModelUser]:
    """Every version of every AI feature that calls this model and matters: it is live, it is what a rollout goes back
    to, or a rollout introduces it."""
    for surface in world.surfaces.values():
        yield from _list_users_on(world, surface, model)


def _list_users_on(world: World, surface: Surface, model: str) -> Iterator[ModelUser]:
    def calls(content: Content) -> bool:
        configured = format_model(content)
        return bool(configured) and is_same_model(configured, model)

    title = surface.title or surface.name
    if calls(surface.live_content):
        yield ModelUser(title=title, version=surface.live, use=ModelUse.LIVE)
    for rollout in world.rollouts.values():
        plan, is_open = rollout.plan, rollout.state not in TERMINAL_STATES
        if plan.surface != surface.name or not (is_open or _goes_back(rollout, surface)):
            continue
        old, new = calls(rollout.from_content), calls(rollout.to_content)
        if old and not new:
            yield ModelUser(title=title, version=plan.from_version, use=ModelUse.WAY_BACK, rollout=rollout.id)
        elif new and is_open:
            yield ModelUser(title=title, version=plan.to_version, use=ModelUse.PLANNED, rollout=rollout.id)


def _goes_back(rollout: Rollout, surface: Surface) -> bool:
    """Whether a rollout that is done can still be rolled back, as nothing went live after it."""
    return (
        rollout.state is RolloutState.DONE and surface.live_by == rollout.id and surface.live == rollout.plan.to_version
    )
