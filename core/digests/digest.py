"""The digest of a week as a value: every number with its id, how it is computed, and the events behind it."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from core.digests.rollout_facts import Occurrence, RolloutFacts
from core.digests.week import Week
from core.reviews.draft import ExpectationRow
from core.reviews.shortcuts import Shortcut


class NumberUnit(StrEnum):
    """The unit of a number of the digest."""

    COUNT = "count"
    PEOPLE = "people"
    SHARE = "share"  # 0 to 1
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReference:
    """An event behind a number: its rollout, or the surface that it is about, and its place in the log."""

    position: int
    rollout: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestNumber:
    """One number. `id` is unique and stable, as in `2026-W48.shipped`; `value` is None if nothing can be said.

    `how` is the rule by which it is computed from `events`, in words. `is_computed` marks what was not counted but
    follows from a calculation.
    """

    id: str
    title: str
    value: float | None
    unit: NumberUnit
    how: str
    events: tuple[EventReference, ...] = ()
    is_computed: bool = False

    @property
    def key(self) -> str:
        """The part of the id after the week, as in `shipped`."""
        return self.id.partition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenShortcut:
    """A shortcut and the rollout it was taken in."""

    rollout: str
    risk: str
    shortcut: Shortcut


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedExpectation:
    """An expectation that did not come true, and its rollout."""

    rollout: str
    row: ExpectationRow


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedReview:
    """A review that nobody has written by the end of the week; `late` is negative while it is not due."""

    rollout: str
    owner: str
    owner_handle: str
    due_at: datetime
    late: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """A date that a plan names: until then `version` can be called, or until then its change has to be done.

    `is_deadline`: it is the deadline of a rollout that is still open.
    """

    rollout: str
    surface: str
    version: str
    day: date
    days_left: int
    is_deadline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldShutdown:
    """That the log was told when a model is switched off that the live version of a surface calls."""

    surface: str
    model: str
    on: date
    replacement: str  # what the provider names instead; may be empty
    told: Occurrence


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShutdown:
    """A model in use that is switched off soon. `is_upgrade_planned`: an open rollout changes the surface's model."""

    surface: str
    model: str
    on: date
    days_left: int
    is_upgrade_planned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """A week in numbers, and what is behind them by name. `until` is its end, or the moment up to which it goes."""

    week: Week
    until: datetime
    numbers: tuple[DigestNumber, ...]
    shipped: tuple[RolloutFacts, ...] = ()
    rolled_back: tuple[RolloutFacts, ...] = ()
    running: tuple[RolloutFacts, ...] = ()
    shortcuts: tuple[TakenShortcut, ...] = ()
    missed: tuple[MissedExpectation, ...] = ()
    owed: tuple[OwedReview, ...] = ()
    retirements: tuple[Retirement, ...] = ()
    shutdowns: tuple[ModelShutdown, ...] = ()

    def find(self, key: str) -> DigestNumber:
        """The number with this key. KeyError if there is none."""
        for number in self.numbers:
            if number.key == key:
                return number
        raise KeyError(key)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was shipped, taken back, cut short or left running."""
        return not (self.shipped or self.rolled_back or self.running or self.shortcuts)
