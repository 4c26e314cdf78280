"""Every template at a company: what it says is asked of people and of the program, in its order, and it ends."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.files.templates import TEMPLATES
from core.rollout.plans.plan import Risk
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.service.service import RolloutService
from core.store.database.connections import connect
from core.store.schema import migrations
from tests.trials.working_year import REAL_TIME, STEP, Habits, WorkingYear

BEGINS = datetime(2027, 3, 1, 6, 0, tzinfo=UTC)  # a Monday
PROMPT_PEOPLE = Habits(busy=1.0, harms=0.0, odd=0.0, slowness=0.1, sparse=True, most_at_once=600)
LONGEST = timedelta(weeks=10)


@pytest.fixture
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], WorkingYear]]:
    """A company with one AI feature, which changes it by one template."""
    with connect(f"sqlite:///{tmp_path_factory.mktemp('template')}/rollout.db") as database:
        migrations.migrate(database)
        service = RolloutService(database, real_time=lambda: REAL_TIME)
        yield lambda template: WorkingYear(
            service, surfaces=1, begins=BEGINS, seed=3, habits=replace(PROMPT_PEOPLE, templates=(template,))
        )


@pytest.mark.shows("E12", "E35", "E84")
@pytest.mark.parametrize("template", TEMPLATES)
def test_it_is_played_to_its_end_in_the_order_that_it_says(
    template: str, company: Callable[[str], WorkingYear]
) -> None:
    year = company(template)
    while not (ended := year.service.load_world().surfaces["feature-0"].live == "v2"):
        assert year.at < BEGINS + LONGEST, [one.hold for one in year.service.load_world().open_rollouts]
        year.work(year.at + STEP)
    assert ended
    rollout = year.service.load_world().get_rollout("R-1")
    assert rollout.state is RolloutState.DONE
    history = year.service.load_history("R-1")
    entered = [one.event for one in history if isinstance(one.event, e.StageEntered)]
    assert [one.index for one in entered] == list(range(len(rollout.plan.stages)))
    assert not any(one.skipped for one in entered)
    shares = [one.percent for one in entered if rollout.plan.stages[one.index].where is None]
    assert shares == sorted(shares)
    assert shares[-1] == 100
    asked = [one.event for one in history if isinstance(one.event, e.ApprovalRequested)]
    assert {one.needed for one in asked} == {Risk.LOW: set(), Risk.STANDARD: {1}, Risk.HIGH: {2}}[rollout.plan.risk]
    if TEMPLATES[template].risk is Risk.LOW:
        started = next(one.at for one in history if isinstance(one.event, e.Started))
        completed = next(one.at for one in history if isinstance(one.event, e.Completed))
        assert completed - started < timedelta(hours=12), "within a working day"
