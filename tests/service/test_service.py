"""One way to change anything: once, whole, and seen everywhere."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from core.files.syntax.problems import UnreadableFile
from core.metrics.observation import Observation
from core.rollout import commands as c
from core.rollout.consequences import surface_events_for
from core.rollout.refusal import Conflict, NotFound, Refused
from core.rollout.state import events as e
from core.rollout.state.events import NewEvent
from core.rollout.state.model import RolloutState
from core.service import replay, rollout_look
from core.service.service import RolloutService
from core.store.audit import verify
from core.store.coordination import outbox
from core.store.log.event_log import EventOrigin
from core.store.models import outbox as outbox_table
from core.store.models import rollout_view
from core.store.observations import looks, observation_sums
from core.store.observations.observation_batch import PlacedObservation
from core.store.transaction import append_transaction


def test_a_file_becomes_a_rollout_with_everything_that_follows(desk, files):
    desk.apply(files["surface"])
    applied = desk.apply(files["rollout"])
    assert (applied.kind, applied.id, applied.changed) == ("rollout", "R-1", True)
    world = desk.service.load_world()
    assert world.rollouts["R-1"].plan.to_version == "v43"
    assert set(world.surfaces["support-assistant"].versions) == {"v42", "v43"}
    with desk.service.database.reading() as connection:
        row = connection.execute(select(rollout_view)).one()
        kinds = [r.idempotency_key.split(":")[0] for r in connection.execute(select(outbox_table)).all()]
    assert (row.id, row.state, row.waiting_for) == ("R-1", "planned", "1 approval")
    assert sorted(kinds) == ["approval", "card", "line", "notice"]


def test_the_same_content_twice_changes_nothing(desk, files):
    desk.apply(files["surface"])
    desk.apply(files["rollout"])
    before = desk.service.load_world().position
    assert not desk.apply(files["surface"]).changed
    assert not desk.apply(files["rollout"]).changed
    assert desk.service.load_world().position == before


def test_not_even_when_it_is_live_by_now(desk, files):
    desk.start().say(c.RollBack())
    assert desk.apply(files["rollout"]).id == "R-1"
    assert not desk.apply(files["rollout"]).changed


def test_a_repeated_command_gets_the_first_answer(desk):
    desk.start()
    first = desk.say(c.Pause(reason="lunch"), command_id="click-1")
    again = desk.say(c.Pause(reason="lunch"), command_id="click-1")
    assert again.repeated
    assert again.positions == first.positions


def test_the_same_key_for_something_else_is_a_conflict(desk):
    desk.start().say(c.Pause(), command_id="click-1")
    with pytest.raises(Conflict, match="used before"):
        desk.say(c.RollBack(), command_id="click-1")


def test_a_refusal_is_remembered_too(desk, files):
    desk.apply(files["surface"])
    desk.apply(files["rollout"])
    with pytest.raises(Refused) as first:
        desk.say(c.Start(), command_id="early")
    desk.later(days=1)
    with pytest.raises(Refused) as again:
        desk.say(c.Start(), command_id="early")
    assert again.value.message == first.value.message


def test_two_threads_with_one_command_make_one_set_of_events(desk):
    desk.start()
    before = desk.service.load_world().position
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: desk.say(c.Pause(), command_id="click-1"), range(8)))
    assert desk.service.load_world().position == before + 1
    assert len({o.positions for o in outcomes}) == 1
    assert sum(not o.repeated for o in outcomes) == 1


@pytest.mark.shows("E54")
def test_what_one_process_decides_another_one_knows(desk, second):
    desk.start()
    other = second()
    assert other.load_world().rollouts["R-1"].state is RolloutState.RUNNING
    desk.say(c.RollBack())
    assert other.load_world().rollouts["R-1"].state is RolloutState.ROLLED_BACK


def test_the_log_and_its_read_models_agree(desk):
    desk.start().say(c.RollBack(reason="enough"))
    with desk.service.database.reading() as connection:
        report = verify.verify(connection)
    assert report.problems == ()
    assert report.checked == desk.service.load_world().position


def test_a_rollback_is_told_to_those_who_were_told_before(desk):
    desk.start().say(c.RollBack())
    with desk.service.database.reading() as connection:
        requests = [r.request for r in connection.execute(select(outbox_table)).all()]
    assert any('"alert"' in r for r in requests)
    assert any('"follow_up"' in r and "#support" in r for r in requests)


def test_an_unknown_rollout_names_those_there_are(desk, files):
    desk.apply(files["surface"])
    desk.apply(files["rollout"])
    with pytest.raises(NotFound, match="R-1 support-tone"):
        desk.say(c.Pause(), rollout="R-9")


def test_a_rollout_needs_its_surface(desk, files):
    with pytest.raises(NotFound, match="support-assistant"):
        desk.apply(files["rollout"])


def test_a_surface_file_does_not_move_what_is_live(desk, files):
    desk.apply(files["surface"])
    with pytest.raises(Refused, match="cannot make v50 live"):
        desk.apply(files["surface"].replace("v42", "v50"))


def test_rolling_back_a_finished_rollout_rolls_back_the_one_that_builds_on_it_first(desk, files):
    desk.start()
    completed = e.Completed(version="v43", retired="v42")
    with append_transaction(
        desk.service.database, desk.service.world_cache, "end"
    ) as log:  # without waiting for the end of R-1
        consequences = surface_events_for(completed, "R-1", desk.at)
        entries = [NewEvent(stream="surface:support-assistant", event=x) for x in consequences]
        entries.insert(0, NewEvent(stream="rollout:R-1", event=completed))
        log.append(entries, EventOrigin(command_id="end", actor="system:test", at=desk.at, recorded_at=desk.at))
    second_file = files["rollout"].replace("support-tone", "shorter").replace("@v42", "@v43").replace("9f2c51e0", "aa")
    desk.apply(second_file)
    fingerprint = desk.service.load_world().rollouts["R-2"].fingerprint
    desk.say(c.RecordPosted(key=f"notice:{fingerprint}:support:#support", channel="C2", ts="1.0"), rollout="R-2")
    desk.say(c.Approve(), rollout="R-2")
    desk.later(minutes=1).say(c.Start(), rollout="R-2")
    desk.say(c.Pause(), rollout="R-2", command_id="used")
    with pytest.raises(Conflict):
        desk.say(c.RollBack(reason="complaints"), command_id="used")
    assert desk.service.load_world().rollouts["R-2"].state is RolloutState.PAUSED, "what is refused takes nothing back"
    desk.say(c.RollBack(reason="complaints"))
    world = desk.service.load_world()
    assert world.rollouts["R-2"].state is RolloutState.ROLLED_BACK
    assert world.rollouts["R-1"].state is RolloutState.ROLLED_BACK
    assert world.surfaces["support-assistant"].live == "v42"


def test_card_edits_wait_for_one_another(desk):
    desk.start().say(c.Pause())
    desk.say(c.Resume())
    with desk.service.database.reading() as connection:
        waiting = outbox.measure_backlog(connection)
        cards = [r for r in connection.execute(select(outbox_table)).all() if r.idempotency_key.startswith("card:")]
    assert len(cards) == 1, "the card is rendered from the fold when it is sent, so one row is enough"
    assert waiting.pending > 1


def test_a_notice_of_another_day_holds_up_nothing(desk, files):
    desk.apply(files["surface"])
    desk.apply(files["rollout"].replace("before: 1m", "before: 24h") + 'start: "2026-11-30 10:00 UTC"\n')
    with desk.service.database.reading() as connection:
        rows = connection.execute(select(outbox_table)).all()
        backlog = outbox.measure_backlog(connection)
    notice = next(r for r in rows if r.idempotency_key.startswith("notice:"))
    later = [r for r in rows if r.due_at > notice.due_at - timedelta(days=1)]
    assert (backlog.scheduled, backlog.pending) == (len(later), len(rows) - len(later))
    assert notice.due_at.day == 29
    assert notice.ordering_key not in {r.ordering_key for r in rows if r is not notice}
    assert notice.ordering_key != "slack:#support", "a later message to the channel has a way of its own"


def test_two_files_that_name_the_same_version_cannot_mean_two_contents(desk, files):
    named = files["rollout"].replace("{prompt:", "{version: v43, prompt:")
    desk.apply(files["surface"])
    desk.apply(named)
    other = named.replace("rollout: support-tone", "rollout: other").replace("9f2c51e0", "0badf00d")
    with pytest.raises(UnreadableFile, match=r"v43 already stands for other content .* next free name, v44") as caught:
        desk.apply(other)
    assert caught.value.problems[0].path == ("change", "to", "version")
    desk.apply(other.replace("version: v43", "version: v44"))


def test_a_file_edited_before_the_start_is_another_version(desk, files):
    desk.apply(files["surface"])
    assert desk.apply(files["rollout"]).outcome.rollout.plan.to_version == "v43"
    edited = files["rollout"].replace("9f2c51e0", "0badf00d")
    assert desk.apply(edited).outcome.rollout.plan.to_version == "v44"
    assert not desk.apply(edited).changed


def test_a_surface_file_cannot_give_a_version_another_content(desk, files):
    desk.apply(files["surface"])
    with pytest.raises(Refused, match="v42 of support-assistant already stands for other content"):
        desk.apply(files["surface"].replace("11aa90c4", "0badf00d"))
    assert desk.apply(files["surface"].replace("title: Support assistant", "title: Help")).changed


def seen(unit, number, at):
    """One request, of either arm, declined now and then."""
    declined = Observation(surface="support-assistant", unit=unit, at=at, readings={"refusal_rate": float(number == 7)})
    arm = "canary" if number % 2 else "control"
    return PlacedObservation(rollout="R-1", stage=0, arm=arm, unit=unit, observation=declined)


def test_looks_that_show_nothing_new_are_counted_and_the_record_holds(desk, database):
    desk.start()
    for number in range(9):
        if number == 3:
            with database.writing_outside_log() as connection:
                observation_sums.add_observations(connection, [seen(f"u{i}", i, desk.at) for i in range(50)])
        rollout_look.evaluate_rollout(desk.service, "R-1", desk.later(seconds=10).at, every=timedelta(seconds=10))
    with database.reading() as connection:
        kept = looks.load_range(connection, "R-1", 1, 99)
        assert looks.load_count_and_time(connection, "R-1") == (9, desk.at)
        assert [one.number for one in kept] == [1, 2, 3], "the first, what came in, and the thresholds that it gave"
        report = replay.verify(connection, ["R-1"])
    assert (report.mismatches, report.looks) == ((), 3)


def test_nobody_makes_a_rollout_grow_at_which_nobody_looks(desk, database):
    desk.service = RolloutService(database, unwatched_after=timedelta(minutes=5))
    desk.start()
    rollout_look.evaluate_rollout(desk.service, "R-1", desk.at, every=timedelta(seconds=10))
    desk.later(minutes=6)
    with pytest.raises(Refused, match="R-1 has had no look for 6 minutes"):
        desk.say(c.Advance(reason="we are in a hurry"))
    rollout_look.evaluate_rollout(desk.service, "R-1", desk.at, every=timedelta(seconds=10))
    with pytest.raises(Refused) as refused:
        desk.say(c.Advance(reason="we are in a hurry"))
    assert "has had no look" not in refused.value.message
    desk.later(hours=1).say(c.RollBack(reason="odd answers"))
    assert desk.service.load_world().rollouts["R-1"].state is RolloutState.ROLLED_BACK
