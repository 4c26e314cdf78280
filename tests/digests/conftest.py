"""Weeks of rollouts on a real database: commands of people and looks of the engine, on a clock that only we move."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from core.files.command_from_file import FileLookups
from core.judging.model.verdict import Continue, Finding, Measure, RollBack
from core.rollout import commands as c
from core.rollout.context import ENGINE, Actor
from core.service import apply_file
from core.service.service import CommandRequest, RolloutService
from core.store.database.connections import Database
from tests.rollout.conftest import finding_of, look_of, measure_of

MONDAY = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)  # of 2026-W45
DANA = Actor(id="slack:T1/U2", handle="@dana")
TOM = Actor(id="slack:T1/U5", handle="@tom")
SURFACE = """\
version: 1
kind: surface
surface: {name}
title: {name}
owner: "@dana"
live: {{version: v42, prompt: old.md, model: large-3-2026-03-01}}
daily_requests: 100000
notify: [{{channel: "#ai-rollouts", as: engineering}}]
"""
ROLLOUT = """\
version: 1
rollout: {name}
surface: {surface}
owner: "@dana"
risk: low
change: {{from: {surface}@{live}, to: {{prompt: {name}.md}}{more}}}
expectations: {{cost_per_request: {{direction: down}}}}
stages:
  - canary: {{percent: 5, min_hold: 1h, max_hold: 12h, min_samples: 10}}
  - ramp: {{steps: [50%, 100%], hold: 1h}}
  - bake: {{hold: 4h}}
rollback_when:
  - {{metric: refusal_rate, rises_by: 1pp}}
notify: [{{channel: "#ai-rollouts", as: engineering}}]
"""


class Shop:
    """A team that ships; every command goes through the service, and `at` moves only when told."""

    def __init__(self, service: RolloutService) -> None:
        self.service = service
        self.at = MONDAY
        self._ids = count(1)

    def on(self, day: int, hour: int = 9) -> "Shop":
        """Go on to that day of November at that hour."""
        self.at = datetime(2026, 11, day, hour, 0, tzinfo=UTC)
        return self

    def later(self, **span: float) -> "Shop":
        self.at += timedelta(**span)
        return self

    def apply(self, text: str, by: Actor = DANA) -> str:
        return apply_file.apply_text(
            self.service,
            text,
            "file.yaml",
            by=by,
            at=self.at,
            command_id=f"apply-{next(self._ids)}",
            lookups=FileLookups(resolve_handle=lambda handle: {"@dana": "U2"}.get(handle, handle)),
        ).id

    def declare(self, name: str) -> None:
        self.apply(SURFACE.format(name=name), by=Actor(id="cli:root", handle="root"))

    def plan(self, name: str, surface: str, more: str = "") -> str:
        live = self.service.load_world().surfaces[surface].live
        return self.apply(ROLLOUT.format(name=name, surface=surface, live=live, more=more))

    def say(self, command: c.Command, rollout: str, by: Actor = DANA) -> None:
        request = CommandRequest(
            command=command, command_id=f"say-{next(self._ids)}", by=by, at=self.at, rollout=rollout
        )
        self.service.handle(request)

    def look(self, rollout: str, *, expected: str = "", harm: bool = False) -> None:
        """One look of the engine: of harm, or of nothing wrong."""
        verdict = RollBack(findings=(_harm(),)) if harm else Continue()
        self.say(c.Tick(look=look_of(verdict, requests=2000, measures=(_cost(expected),))), rollout, ENGINE)

    def ship(self, rollout: str, *, expected: str = "as expected") -> None:
        """Started, and let grow by itself from step to step until it is done: 1 h, 1 h, 1 h and 4 h."""
        self.say(c.Start(), rollout)
        for hours in (1, 1, 1, 4):
            self.later(hours=hours).look(rollout, expected=expected)

    def go_back(self, rollout: str, *, minutes: float, seconds: float) -> None:
        """Harm, found after so many minutes and switched back in so many seconds."""
        self.later(minutes=minutes).look(rollout, harm=True)
        self.say(c.ConfirmFlip(seconds=seconds, processes=2), rollout, ENGINE)


def _harm() -> Finding:
    return finding_of()


def _cost(expected: str) -> Measure:
    from dataclasses import replace

    return replace(
        measure_of("cost_per_request"),
        title="Cost per request",
        canary=0.012,
        control=0.014,
        difference=-0.14,
        n_canary=2000,
        n_control=38_000,
        unit="US$",
        relative=True,
        expected=expected,
    )


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(RolloutService(database))


@pytest.fixture
def busy_shop(shop: Shop) -> Shop:
    """Two weeks, whose digest the tests count by hand.

    Week 45, Mon 2 to Sun 8 Nov: R-1 is shipped on Tue, planned the day before; R-2 is planned and shipped on Wed.
    Week 46, Mon 9 to Sun 15 Nov: R-3 is shipped with a stage skipped; R-4 is rolled back by the engine in the canary;
    R-5 is shipped and taken back by a person an hour later; R-6 is started and still under way; R-7 is given up.
    """
    for name in ("help", "search", "mail"):
        shop.declare(name)
    one = shop.on(2).plan("one", "help")
    shop.on(3).ship(one)
    two = shop.on(4).plan("two", "help")
    shop.later(hours=1).ship(two, expected="not as expected")
    shop.on(5).say(_review(), one)

    three = shop.on(9).plan("three", "search")
    shop.say(c.Start(), three)
    shop.later(hours=1).say(c.Advance(to_percent=100, reason="copy fix"), three, TOM)
    for hours in (1, 4):
        shop.later(hours=hours).look(three, expected="as expected")

    four = shop.on(10).plan("four", "help")
    shop.say(c.Start(), four)
    shop.go_back(four, minutes=80, seconds=4.0)

    five = shop.on(11).plan("five", "mail", more=", rollback_to_available_until: 2026-12-31")
    shop.ship(five, expected="not as expected")
    shop.later(hours=1).say(c.RollBack(reason="customers complain"), five, TOM)
    shop.say(c.ConfirmFlip(seconds=2.0, processes=2), five, ENGINE)

    six = shop.on(12).plan("six", "mail", more=", deadline: 2026-12-01")
    shop.say(c.Start(), six)
    seven = shop.plan("seven", "search")
    shop.say(c.Abandon(reason="not needed"), seven)
    return shop


def _review() -> c.SubmitReview:
    return c.SubmitReview(numbers="yes", unexpected="no", behaviour="no", cost="yes")


@pytest.fixture
def numbers() -> Callable[..., Any]:
    return lambda digest, *keys: [digest.find(key).value for key in keys]
