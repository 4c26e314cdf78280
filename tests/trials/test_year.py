"""A year at a company: whatever the templates, freezes, clock changes and people do, what was promised holds."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from core.digests.week import Week, week_of
from core.report_sources import digest_sources
from core.rollout.models.called_model import format_model
from core.rollout.models.way_back import WITHOUT_WAY_BACK
from core.rollout.plans.plan import Plan, Risk
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.service.service import RolloutService
from core.store.audit.verify import verify
from core.store.database.connections import connect
from core.store.log.event_log import StoredEvent
from core.store.schema import migrations
from tests.trials.length import pick
from tests.trials.working_year import REAL_TIME, ZONE, Habits, WorkingYear

BEGINS = datetime(2027, 3, 15, 6, 0, tzinfo=UTC)  # a Monday; summer time begins two weeks later
SURFACES, LENGTH = pick((2, timedelta(weeks=3)), (200, timedelta(weeks=52)))
HABITS = pick(Habits(), Habits(busy=0.002, sparse=True))  # all the time, or each feature some four times a year
SEED = pick(17, 16)  # in which much happens even where it is short

pytestmark = pytest.mark.slow  # all share one year


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkingYear]:
    with connect(f"sqlite:///{tmp_path_factory.mktemp('year')}/rollout.db") as database:
        migrations.migrate(database)
        service = RolloutService(database, real_time=lambda: REAL_TIME)
        year = WorkingYear(service, surfaces=SURFACES, begins=BEGINS, seed=SEED, habits=HABITS)
        year.work(BEGINS + LENGTH)
        yield year


def histories(year: WorkingYear) -> Iterator[tuple[str, Plan, list[StoredEvent]]]:
    """Each rollout with the plan that it started with, and everything that happened to it."""
    for name in year.tried:
        history = year.service.load_history(name)
        plan = next(one.event.plan for one in reversed(history) if isinstance(one.event, e.Planned))
        yield name, plan, history


def all_of(history: list[StoredEvent], kind: type) -> list[StoredEvent]:
    return [one for one in history if isinstance(one.event, kind)]


def test_much_happens(year: WorkingYear) -> None:
    ended = Counter(year.service.load_world().get_rollout(name).state for name in year.tried)
    assert ended[RolloutState.DONE] >= SURFACES
    assert ended[RolloutState.ROLLED_BACK] >= 1
    assert len({tried.template for tried in year.tried.values()}) >= 5


def test_no_harmful_version_reaches_everybody_and_no_good_one_is_taken_back_by_the_engine(year: WorkingYear) -> None:
    for name, tried in year.tried.items():
        rollout = year.service.load_world().get_rollout(name)
        if tried.is_harmful:  # at low risk it grows by the clock, seen or not
            assert rollout.state is not RolloutState.DONE or rollout.plan.risk is Risk.LOW, (name, tried)
        elif rollout.rollback is not None:
            assert rollout.rollback.findings == (), (name, tried)


def test_no_stage_is_entered_early(year: WorkingYear) -> None:
    for name, plan, history in histories(year):
        entered = all_of(history, e.StageEntered)
        for before, after in pairwise(entered):
            if not after.event.skipped and after.event.index > before.event.index:
                assert after.at - before.at >= plan.stages[before.event.index].min_hold, (name, after.event)


def test_nothing_starts_or_grows_in_a_freeze_or_in_quiet_hours(year: WorkingYear) -> None:
    for name, plan, history in histories(year):
        served = 0.0
        for one in history:
            local = one.at.astimezone(ZoneInfo(ZONE))
            if isinstance(one.event, e.Started | e.StageEntered):
                percent = one.event.percent if isinstance(one.event, e.StageEntered) else 0.0
                if isinstance(one.event, e.Started) or percent > served:
                    assert not is_weekend(local), (name, local, one.event)
                if percent > served and one.actor == "system:engine":
                    assert 8 <= local.hour < 20, (name, local, one.event)
                served = percent if plan.stages[getattr(one.event, "index", 0)].where is None else served


def test_nobody_goes_back_to_a_model_that_is_off_and_each_warning_is_given_once(year: WorkingYear) -> None:
    world = year.service.load_world()
    for name, plan, history in histories(year):
        old = format_model(world.surfaces[plan.surface].versions[plan.from_version])
        for one in (*all_of(history, e.RolledBack), *all_of(history, e.Started)):
            off = old in year.retires and one.at.astimezone(ZoneInfo(ZONE)).date() >= year.retires[old]
            assert not off or plan.template == WITHOUT_WAY_BACK, (name, one)
            assert not off or isinstance(one.event, e.Started), (name, one)
    for name in year.surfaces:
        told = [(one.model, one.on, one.days) for one in world.surfaces[name].retirements]
        assert len(told) == len(set(told)), name
    assert any(surface.retirements for surface in world.surfaces.values())


def is_weekend(local: datetime) -> bool:
    day, hour = local.weekday(), local.hour
    return day in (5, 6) or (day == 4 and hour >= 16) or (day == 0 and hour < 8)


def test_whoever_has_to_be_told_was_told_in_time(year: WorkingYear) -> None:
    for name, plan, history in histories(year):
        for start in all_of(history, e.Started):
            posted = {one.event.key: one.at for one in all_of(history, e.MessagePosted)}
            for notice in plan.stakeholder_notices:
                told = [at for key, at in posted.items() if key.startswith("notice:") and key.endswith(notice.key)]
                assert told, (name, notice)
                assert start.at - max(told) >= (notice.before or timedelta(0)), (name, notice)


def test_a_surface_serves_what_its_log_says(year: WorkingYear) -> None:
    world = year.service.load_world()
    live = dict.fromkeys(year.surfaces, "v1")
    ends = sorted(
        (one for _, _, history in histories(year) for one in all_of(history, e.Completed)), key=lambda one: one.position
    )
    for one in ends:
        live[year.service.load_world().get_rollout(one.stream.partition(":")[2]).plan.surface] = one.event.version
    assert {name: world.surfaces[name].live for name in year.surfaces} == live
    under_way = Counter(one.plan.surface for one in world.open_rollouts if one.is_under_way)
    assert max(under_way.values(), default=0) <= 1


def test_every_digest_is_a_count_of_the_log_and_is_told_once(year: WorkingYear) -> None:
    shipped, back = Counter[str](), Counter[str]()
    for _, _, history in histories(year):
        for one in history:
            if isinstance(one.event, e.Completed):
                shipped[week_of(one.at, ZONE).id] += 1
            elif isinstance(one.event, e.RolledBack):
                back[week_of(one.at, ZONE).id] += 1
    weeks = list_weeks(year)
    for week in weeks:
        numbers = {one.key: one.value for one in digest_sources.load_digest(year.service, week, year.at).numbers}
        assert (numbers["shipped"], numbers["rolled_back"]) == (shipped[week.id], back[week.id]), week
    told = Counter(year.digests)
    assert set(told.values()) == {1}
    assert sum("leads" not in key for key in told) >= len(weeks) - 1


def list_weeks(year: WorkingYear) -> list[Week]:
    first = week_of(BEGINS, ZONE)
    return [first.shift(n) for n in range(LENGTH // timedelta(weeks=1))]


def test_the_log_is_whole_and_tells_the_same_to_a_new_process(year: WorkingYear) -> None:
    with year.service.database.reading() as connection:
        assert verify(connection).problems == ()
    assert RolloutService(year.service.database).load_world().rollouts == year.service.load_world().rollouts
