"""One rollout drives several systems: each for itself, and all of them back by one act."""

import socket
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from bot import doctor
from bot.actuators.system_api import SystemAccess
from bot.actuators.unleash import UnleashFlag
from bot.rendering.json.rollouts import rollout_to_json
from bot.rendering.messages import card
from bot.rendering.messages.alerts import rollback_alert
from bot.settings import read_settings
from core.rollout import commands as c
from core.rollout.concurrency.start_context import build_start_context
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.audit.verify import verify
from core.store.coordination import processes
from core.store.database.connections import Database
from core.store.models import outbox
from tests.actuators import stand_in
from tests.actuators.house import House
from tests.actuators.stand_in import StandIn
from tests.service.conftest import LEE

PROMPT, TOOLS = "new-prompt in Unleash (production)", "new-tools in Unleash (production)"


class TwoSystems(House):
    """Its rollout drives a flag in each of two systems."""

    def __init__(self, service: RolloutService, unleash: StandIn, second: StandIn) -> None:
        super().__init__(service, unleash)
        self.second = second

    @property
    def files(self) -> str:
        first = super().files
        head, _, entry = first.partition("drives: ")
        other = entry.strip().replace(self.unleash.url, self.second.url).replace("new-prompt", "new-tools")
        return f"{head}drives:\n  - {entry.strip()}\n  - {other}\n"

    def open_system(self, door, driven) -> UnleashFlag:
        return UnleashFlag(door, driven, SystemAccess(url=driven.url, token=self.token))

    @property
    def percents(self) -> tuple[str, str]:
        return self.unleash.percent, self.second.percent

    @property
    def readings(self) -> dict[str, float]:
        return {title: reading.percent for title, reading in self.rollout.flags.items()}

    def card(self) -> str:
        return str(card.render(self.rollout, "UTC").blocks)

    def alert(self) -> str:
        event = self.happened(e.RolledBack)[0]
        said = rollback_alert.render(self.rollout, event, self.at, self.rollout.flip, "UTC")
        return f"{said.text} {said.blocks}"


@pytest.fixture
def second() -> Iterator[StandIn]:
    with stand_in.running("new-tools") as running:
        yield running


@pytest.fixture
def both(database: Database, unleash: StandIn, second: StandIn) -> Iterator[TwoSystems]:
    house = TwoSystems(RolloutService(database), unleash, second)
    yield house
    with database.reading() as connection:
        assert verify(connection).problems == ()


@pytest.fixture
def two(sqlite_database: Database, unleash: StandIn, second: StandIn) -> TwoSystems:
    """For what does not concern the database."""
    return TwoSystems(RolloutService(sqlite_database), unleash, second)


@pytest.mark.shows("E54")
def test_both_follow_every_step_and_one_act_takes_both_back(both):
    both.begin().drive()
    assert both.percents == ("5", "5")
    both.step().drive()
    assert both.percents == ("50", "50")
    both.back().drive()
    assert both.percents == ("0", "0")
    assert both.readings == {PROMPT: 0, TOOLS: 0}
    back = [x for x in both.happened(e.FlagSet) if x.percent == 0]
    assert sorted(x.flag for x in back) == [PROMPT, TOOLS]
    assert all(x.seconds >= 0 for x in back)


@pytest.mark.shows("E54")
def test_the_alert_says_of_each_after_how_many_seconds_it_was_back(two):
    two.begin().drive()
    two.back()
    assert f"{PROMPT} not read back yet" in two.alert()
    two.drive()
    assert f"{PROMPT} read back at 0 % after" in two.alert()
    assert f"{TOOLS} read back at 0 % after" in two.alert()
    assert "Next: write its review" in two.alert()


def test_one_that_is_down_neither_delays_nor_hides_the_other(two):
    two.begin().drive()
    two.back()
    two.second.fail_next("GET", stand_in.status(503), times=100)
    for _ in range(6):
        two.drive()
        two.later(seconds=31)
    assert two.percents == ("0", "5")
    assert two.readings == {PROMPT: 0}
    assert [x.flag for x in two.happened(e.FlagNotSet)] == [TOOLS]
    said = two.alert()
    assert f"{PROMPT} read back at 0 % after" in said
    assert f"NOT BACK: {TOOLS}" in said
    assert "Nothing for you to do" not in said
    assert "Everyone got the old version" not in said
    assert f"NOT SET*: {TOOLS} should be at 0 %: Unleash answers 503" in two.card()
    assert [(x["flag"], x["percent"], x["trouble"]) for x in rollout_to_json(two.rollout)["drives"]] == [
        (PROMPT, 0, None),
        (TOOLS, None, "Unleash answers 503"),
    ]
    two.second.fails.clear()
    two.until_quiet()
    assert two.percents == ("0", "0")
    assert "NOT BACK" not in two.alert()
    assert "NOT SET" not in two.card()


def test_a_rollback_does_not_wait_for_a_system_that_hangs(two):
    """It hangs in an earlier step already; the other one goes back meanwhile, in the same worker."""
    two.begin().drive()
    two.step()
    hangs, goes_on, is_back = threading.Event(), threading.Event(), threading.Event()

    def hang(_: stand_in.Call) -> None:
        hangs.set()
        goes_on.wait(20)

    def notice(call: str) -> None:
        if call == "PATCH 0":
            is_back.set()

    two.second.fail_next("GET", hang)
    two.unleash.on_call = notice
    worker = threading.Thread(target=two.drive, kwargs={"seconds": 30.0})
    worker.start()
    try:
        assert hangs.wait(20)
        two.back()
        assert is_back.wait(20)
        assert not goes_on.is_set()
    finally:
        goes_on.set()
        worker.join(40)
    assert not worker.is_alive()
    two.until_quiet()
    assert two.percents == ("0", "0")


def test_one_that_was_lowered_by_hand_holds_and_is_raised_alone(two):
    two.begin().until_quiet()
    two.second.set_by_hand(0)
    two.step()
    two.drive()
    two.later(seconds=11).drive()
    assert two.rollout.hold.text == f"somebody set {TOOLS} to 0 % by hand; resuming sets it to 50 % again"
    assert two.percents == ("50", "0")
    two.say(c.Resume(reason="it was a mistake"))
    written = len(two.unleash.log)
    two.until_quiet()
    assert two.percents == ("50", "50")
    assert len(two.unleash.log) == written, "the other one was not touched"


def test_a_stage_counts_from_when_all_of_them_are_there(two):
    two.second.fail_next("GET", stand_in.status(503))
    two.begin().drive()
    assert two.rollout.spans[-1].driven_since is None
    two.later(seconds=3).drive()
    assert two.rollout.spans[-1].driven_since == two.at


def test_another_rollout_on_one_of_them_is_refused_by_name(two):
    two.begin()
    head, _, entry = two.files.partition("drives:")
    alone = f"{head}drives:\n  - {entry.strip().splitlines()[1].strip()[2:]}\n"
    two.apply(alone.replace("rollout: support-tone", "rollout: second").replace("9f2c51e0", "77777777"))
    world = two.service.load_world()
    asked = build_start_context(world, world.surfaces["support-assistant"], world.rollouts["R-2"], LEE, two.at)
    assert asked.other_rollouts_on_flag == {TOOLS: ("R-1",)}


def test_the_alert_is_edited_with_every_reading_and_every_trouble(two):
    two.begin().drive()
    two.back()
    before = edits(two)
    two.drive()
    assert edits(two) > before


def edits(two: TwoSystems) -> int:
    """Edits of the alert that were queued."""
    with two.service.database.reading() as connection:
        rows = connection.execute(select(outbox.c.request).where(outbox.c.kind == "slack")).scalars().all()
    return sum('"kind":"alert_edit"' in str(row).replace(" ", "").replace("'", '"') for row in rows)


def test_the_doctor_reads_everything_that_open_rollouts_drive(two, unleash, sqlite_url):
    two.begin()
    environ = {"DATABASE_URL": sqlite_url, "UNLEASH_URL": unleash.url, "UNLEASH_TOKEN": stand_in.TOKEN}
    found = doctor.examine_installation(read_settings({**environ, "ALLOW_PRIVATE_HOSTS": "127.0.0.1"}), lambda: two.at)
    said = {one.what: (one.ok, one.text) for one in found if "drives" in one.what}
    assert said[f"R-1 drives {PROMPT}"] == (True, "read at 0 %")
    ok, text = said[f"R-1 drives {TOOLS}"]
    assert not ok
    assert text.startswith(f"the plan names {two.second.url}, but the token is for {unleash.url}")


def test_the_doctor_of_a_machine_without_workers_needs_none_of_their_tokens(two, sqlite_url):
    two.begin()

    def examine() -> tuple[bool, str]:
        found = doctor.examine_installation(read_settings({"DATABASE_URL": sqlite_url}), lambda: two.at)
        return next((one.ok, one.text) for one in found if one.what == f"R-1 drives {PROMPT}")

    without = "UNLEASH_TOKEN is not set here, and no worker reports from here, so this machine does not need it"
    processes.report_alive(two.service.database, "elsewhere:7:0a", "worker", 1, two.at)
    processes.report_alive(two.service.database, f"{socket.gethostname()}:8:0b", "web", 1, two.at)
    assert examine() == (True, without)
    processes.report_alive(two.service.database, f"{socket.gethostname()}:9:0c", "worker", 1, two.at)
    ok, text = examine()
    assert (ok, "set it and restart the workers" in text) == (False, True)
