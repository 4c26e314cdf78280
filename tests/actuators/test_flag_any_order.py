"""Driven flags in any order: steps, rollbacks, faults, kills, sleepers; once it is quiet, what is decided holds."""

from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Any

from hypothesis import Phase, event, example, given, settings
from hypothesis import strategies as st

from bot.delivery.consumer import LEASE
from bot.jobs import flag_checks
from core.rollout import commands as c
from core.rollout.refusal import Refused
from core.rollout.serving import driving
from core.service.service import RolloutService
from core.store.audit.verify import verify
from core.store.database.connections import connect
from tests.actuators import stand_in
from tests.actuators.house import House
from tests.trials.length import pick

FAULTS = {
    "lost answer": stand_in.accepted_but_cut,
    "409": stand_in.status(409),
    "412": stand_in.status(412),
    "500": stand_in.status(500),
    "429": stand_in.status(429, Retry_After="40"),
}


class Killed(BaseException):
    """kill -9: nothing that stands in the program's way is run."""


def killed(house: House, reading: int) -> None:
    """A worker that ends at this reading of its clock; whoever comes next waits for its lease."""
    readings = iter(range(1, 1_000))

    def dying() -> Any:
        if next(readings) == reading:
            raise Killed
        return house.at

    try:
        house.drive(clock=dying)
    except Killed:
        event("killed")
        house.later(seconds=LEASE.total_seconds())


def asleep(house: House, meanwhile: list[tuple[str, Any]]) -> None:
    """A worker that is stopped in the moment before it writes, and sends that hours later."""
    slept: list[str] = []

    def stop(said: str) -> None:
        if said.startswith("PATCH") and not slept:
            slept.append(said)
            house.later(hours=1)
            for act in meanwhile:
                carry_out(house, act)

    house.unleash.on_call = stop
    house.drive()
    house.unleash.on_call = lambda _: None
    if slept:
        event("asleep")


def carry_out(house: House, act: tuple[str, Any]) -> None:
    match act:
        case ("step", _):
            with suppress(Refused):  # there is no further step
                house.step()
        case ("back", _):
            house.back()
        case ("drive", _):
            house.drive()
        case ("raised by hand", percent):
            if house.rollout.is_under_way:  # afterwards the flag is theirs
                house.unleash.set_by_hand(percent)
        case ("fault", (method, name)):
            house.unleash.fail_next(method, FAULTS[name])
        case ("stale", _):
            house.unleash.stale_reads = 1
        case ("killed", reading):
            killed(house, reading)
        case ("asleep", meanwhile):
            asleep(house, meanwhile)
        case ("later", seconds):
            house.later(seconds=seconds)
            flag_checks.queue_flag_checks(house.service, house.at)


def one(name: str, values: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[tuple[str, Any]]:
    return st.tuples(st.just(name), values if values is not None else st.none())


SIMPLE = st.one_of(
    one("step"),
    one("back"),
    one("drive"),
    one("raised by hand", st.just(100)),
    one("fault", st.tuples(st.sampled_from(["GET", "PATCH"]), st.sampled_from(["409", "412", "500", "429"]))),
    one("fault", st.tuples(st.just("PATCH"), st.just("lost answer"))),
    one("stale"),
    one("later", st.integers(1, 400)),
)
SLEEPER = st.tuples(one("step"), one("asleep", st.lists(SIMPLE, min_size=1, max_size=4)))
ANY = st.one_of(SIMPLE, one("killed", st.integers(1, 6)), one("asleep", st.lists(SIMPLE, max_size=4)))
ACTS = st.lists(st.one_of(ANY.map(lambda act: (act,)), SLEEPER), max_size=8).map(lambda parts: [*chain(*parts)])


@example(acts=[("step", None), ("raised by hand", 100), ("drive", None), ("step", None), ("stale", None)])
@example(acts=[("asleep", [("step", None), ("drive", None), ("stale", None)])])
@given(acts=ACTS)
@settings(
    max_examples=pick(25, 300),
    deadline=None,
    derandomize=pick(True, False),
    phases=pick([Phase.explicit, Phase.generate], [Phase.explicit, Phase.generate, Phase.shrink]),
)
def test_whatever_happens_it_ends_at_what_was_decided_last_or_held_below_it(
    new_sqlite: Callable[[], str], acts: list[Any]
) -> None:
    with connect(new_sqlite()) as database, stand_in.running() as unleash:
        house = House(RolloutService(database), unleash).begin()
        for act in acts:
            carry_out(house, act)
        house.until_quiet()
        unleash.stale_reads = 0  # else the last look might be the one that is behind
        house.later(minutes=6)
        flag_checks.queue_flag_checks(house.service, house.at)
        house.until_quiet()
        wanted = driving.desired_percent(house.rollout, house.driven)
        hold = house.rollout.hold
        if hold is not None and hold.key == driving.lowered_hold_key(house.rollout, house.driven):
            assert float(unleash.percent) < wanted, "never more people than was decided"
            house.say(c.Resume(reason="nobody had lowered it"))
            house.until_quiet()
        assert unleash.percent == f"{wanted:g}"
        assert driving.is_settled(house.rollout, house.driven)
        assert {row.state for row in house.rows()} == {"done"}
        with database.reading() as connection:
            assert verify(connection).problems == ()
