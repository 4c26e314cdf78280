"""The outbox: in order per key, leased before the call, fenced afterwards, and nothing said twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from core.store.coordination import outbox
from core.store.models import outbox as outbox_table
from core.store.transaction import append_transaction
from core.store.world.world_cache import WorldCache

LEASE = timedelta(seconds=30)


@pytest.fixture
def enqueue(database, append, noon):
    append("c1")
    folds = WorldCache(database)

    def add(key, ordering_key="C1", *, kind="slack", due_in=timedelta(0), supersede_key=None):
        """Whether it added a row."""
        before = rows(database)
        with append_transaction(database, folds, f"{key}-{before}") as log:
            log.enqueue(
                outbox.build_row(
                    kind=kind,
                    ordering_key=ordering_key,
                    idempotency_key=key,
                    request={"text": f"{key} – ✓"},
                    due_at=noon + due_in,
                    position=1,
                    supersede_key=supersede_key,
                )
            )
        return rows(database) > before

    return add


def rows(database):
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(outbox_table)).scalar_one()


@pytest.fixture
def claim(database, noon):
    return lambda after=timedelta(0), kind="slack": outbox.claim(database, noon + after, kind=kind, lease=LEASE)


def settle(database, change, *arguments, **named):
    with database.writing_outside_log() as connection:
        return change(connection, *arguments, **named)


def test_a_row_is_claimed_with_its_attempt_counted(enqueue, claim, noon):
    enqueue("a")
    row = claim()
    assert (row.idempotency_key, row.request, row.attempt, row.state) == ("a", {"text": "a – ✓"}, 1, "leased")
    assert row.lease_until == noon + LEASE
    assert claim() is None


def test_the_same_key_is_enqueued_once(database, enqueue, claim):
    assert enqueue("a") is True
    assert enqueue("a") is False
    settle(database, outbox.finish, claim(), {"ts": "1.2"})
    assert enqueue("a") is False
    assert claim() is None
    with database.reading() as connection:
        assert outbox.find_by_key(connection, "a").response == {"ts": "1.2"}
        assert outbox.find_by_key(connection, "b") is None


def test_one_ordering_key_goes_one_at_a_time_in_order_and_does_not_hold_up_others(database, enqueue, claim):
    for key, ordering_key in (("a1", "A"), ("a2", "A"), ("b1", "B")):
        enqueue(key, ordering_key)
    first, other = claim(), claim()
    assert (first.idempotency_key, other.idempotency_key) == ("a1", "b1")
    assert claim() is None
    settle(database, outbox.finish, first, None)
    assert claim().idempotency_key == "a2"


def test_what_is_not_due_waits_and_so_does_all_behind_it(database, enqueue, claim, noon):
    enqueue("later", due_in=timedelta(minutes=5))
    enqueue("behind")
    assert claim() is None
    with database.reading() as connection:
        assert outbox.measure_backlog(connection).oldest_due_at == noon
    assert claim(timedelta(minutes=5)).idempotency_key == "later"


def test_a_kind_is_claimed_by_its_own_sender(enqueue, claim):
    enqueue("flag", "F", kind="flag")
    assert claim() is None
    assert claim(kind="flag").idempotency_key == "flag"


def test_an_expired_lease_passes_on_and_the_earlier_holder_is_fenced_off(database, enqueue, claim, noon):
    enqueue("a")
    asleep = claim()
    assert claim(LEASE - timedelta(seconds=1)) is None
    awake = claim(LEASE)
    assert awake.attempt == 2
    assert settle(database, outbox.finish, asleep, {"ts": "late"}) is False
    assert settle(database, outbox.reschedule, asleep, noon, "late", True) is False
    assert settle(database, outbox.dead_letter, asleep, "late") is False
    assert settle(database, outbox.finish, awake, {"ts": "1.2"}) is True
    assert settle(database, outbox.finish, awake, {"ts": "again"}) is False
    with database.reading() as connection:
        assert outbox.find_by_key(connection, "a").response == {"ts": "1.2"}


def test_a_renewed_lease_lasts_and_one_that_was_lost_cannot_be_renewed(database, enqueue, claim, noon):
    enqueue("a")
    mine = claim()
    assert settle(database, outbox.renew_lease, mine, noon + 2 * LEASE) is True
    assert claim(LEASE) is None, "held on to"
    taken_over = claim(2 * LEASE)
    assert taken_over.attempt == 2
    assert settle(database, outbox.renew_lease, mine, noon + 9 * LEASE) is False
    assert settle(database, outbox.renew_lease, taken_over, noon + 3 * LEASE) is True
    assert settle(database, outbox.finish, taken_over, None)
    assert settle(database, outbox.renew_lease, taken_over, noon + 9 * LEASE) is False, "done is done"


def test_a_lease_that_ran_out_is_renewed_while_nobody_took_over(database, enqueue, claim, noon):
    enqueue("a")
    mine = claim()
    assert settle(database, outbox.renew_lease, mine, noon + 2 * LEASE) is True
    assert claim(LEASE + timedelta(seconds=1)) is None


def test_what_is_urgent_goes_first(enqueue, claim):
    enqueue("calm", "slack:#a")
    enqueue("urgent", "slack:#b:urgent")
    assert [claim().idempotency_key, claim().idempotency_key] == ["urgent", "calm"]


def test_a_place_rests_in_every_lane_but_the_urgent_one(database, enqueue, claim, noon):
    for key, lane in (("a", "#a"), ("later", "#a:notice"), ("now", "#a:urgent"), ("other", "#ab"), ("wild", "#_")):
        enqueue(key, f"slack:{lane}")
    second = timedelta(seconds=1)
    for place in ("slack:#a", "slack:#_"):
        settle(database, outbox.delay_pending, place, noon + second)
    assert [claim().idempotency_key, claim().idempotency_key] == ["now", "other"]
    assert claim() is None
    assert [claim(second).idempotency_key for _ in range(3)] == ["a", "later", "wild"]


def test_a_rest_makes_nothing_due_earlier(database, enqueue, noon):
    enqueue("tomorrow", due_in=timedelta(days=1))
    settle(database, outbox.delay_pending, "C1", noon)
    with database.reading() as connection:
        assert outbox.find_by_key(connection, "tomorrow").due_at == noon + timedelta(days=1)


def test_a_slow_down_is_known_to_the_other_lanes_until_it_is_over(database, enqueue, claim, noon):
    enqueue("a", "slack:#a")
    enqueue("b", "slack:#b")
    until = noon + timedelta(seconds=30)
    settle(database, outbox.reschedule, claim(), until, outbox.RATE_LIMITED, False)
    settle(database, outbox.reschedule, claim(), until, "internal_error", True)
    with database.reading() as connection:
        assert outbox.find_rate_limit_end(connection, "slack:#a", noon) == until
        assert outbox.find_rate_limit_end(connection, "slack:#b", noon) is None
        assert outbox.find_rate_limit_end(connection, "slack:#a", until) is None
        assert outbox.measure_backlog(connection).errors == {outbox.RATE_LIMITED: 1, "internal_error": 1}


@pytest.mark.parametrize(("count_attempt", "next_attempt"), [(True, 2), (False, 1)])
def test_postponed_it_holds_its_place_and_a_slow_down_costs_no_attempt(
    database, enqueue, claim, noon, count_attempt, next_attempt
):
    enqueue("a")
    enqueue("b")
    until = noon + timedelta(seconds=7)
    assert settle(database, outbox.reschedule, claim(), until, "ratelimited", count_attempt)
    with database.reading() as connection:
        assert outbox.measure_backlog(connection).oldest_due_at == noon
        assert outbox.find_by_key(connection, "a").last_error == "ratelimited"
    assert claim(timedelta(seconds=6)) is None
    again = claim(timedelta(seconds=7))
    assert (again.idempotency_key, again.attempt) == ("a", next_attempt)


def test_a_dead_row_lets_the_next_one_through_and_is_counted(database, enqueue, claim, noon):
    enqueue("a")
    enqueue("b", due_in=timedelta(seconds=1))
    assert settle(database, outbox.dead_letter, claim(), "channel_not_found")
    assert claim(timedelta(seconds=1)).idempotency_key == "b"
    with database.reading() as connection:
        waiting = outbox.measure_backlog(connection)
        assert (waiting.pending, waiting.leased, waiting.dead) == (0, 1, 1)
        assert waiting.oldest_due_at == noon + timedelta(seconds=1)


def test_an_edit_is_not_added_while_an_unsent_one_waits(database, enqueue, claim):
    assert enqueue("card-1", supersede_key="card:R-1")
    assert not enqueue("card-2", supersede_key="card:R-1")
    assert enqueue("card-3", supersede_key="card:R-2")
    sending = claim()
    # What is being sent was rendered before this change: the change needs an edit of its own.
    assert enqueue("card-4", supersede_key="card:R-1")
    settle(database, outbox.finish, sending, None)
    assert enqueue("other")


def test_an_empty_outbox_says_so(database, claim):
    assert claim() is None
    with database.reading() as connection:
        waiting = outbox.measure_backlog(connection)
    assert (waiting.pending, waiting.leased, waiting.dead, waiting.oldest_due_at) == (0, 0, 0, None)


def test_four_workers_send_everything_once_and_in_order(database, enqueue, claim):
    for number in range(24):
        enqueue(f"{number:02}", f"C{number % 3}")
    sent = []

    def work(_):
        while row := claim():
            sent.append((row.ordering_key, row.idempotency_key))
            assert settle(database, outbox.finish, row, None)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    work(0)
    assert sorted(key for _, key in sent) == [f"{number:02}" for number in range(24)]
    for channel in ("C0", "C1", "C2"):
        mine = [key for ordering_key, key in sent if ordering_key == channel]
        assert mine == sorted(mine)


def test_a_row_needs_its_event(database, noon):
    log = append_transaction(database, WorldCache(database), "c")
    with pytest.raises(Exception, match=r"(?i)foreign key"), log as writing:
        writing.enqueue(
            outbox.build_row(kind="slack", ordering_key="C", idempotency_key="k", request={}, due_at=noon, position=99)
        )


def test_the_next_row_is_found_among_the_unfinished_alone(sqlite_database, noon):
    """However many were sent: the first of each key by the partial index, and nothing reads the whole table."""
    query = str(outbox.select_due(noon, "slack").compile(sqlite_database.engine))
    with sqlite_database.reading() as connection:
        values = (1,) * query.count("?")  # a plan does not depend on them
        plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)]
    assert "SCAN outbox USING INDEX outbox_unfinished" in plan
    assert "SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)" in plan
    assert not [step for step in plan if step == "SCAN outbox"]


def test_what_waits_for_a_clock_that_was_set_back_is_set_free_and_what_has_an_appointment_is_not(
    database, append, noon
):
    """Its lease ends as late as one that is taken now, so that whoever holds it is not succeeded too early."""
    lease, longest, hour = timedelta(seconds=15), timedelta(minutes=5), timedelta(hours=1)
    appointed = {"announcement": {"due_at": (noon + hour).isoformat()}}
    append("c1")
    with database.writing_outside_log() as connection:
        for key, request, due in (
            ("held", {}, noon),
            ("new", {"announcement": {"due_at": None}}, noon + hour),
            ("appointed", appointed, noon + hour),
            ("soon", {}, noon + lease / 2),
        ):
            row = outbox.build_row(
                kind="slack",
                ordering_key=f"slack:#{key}",
                idempotency_key=key,
                request=request,
                due_at=due,
                position=1,
            )
            outbox.insert_row(connection, row)
    held = outbox.claim(database, noon + hour, kind="slack", lease=lease)
    with database.writing_outside_log() as connection:
        assert outbox.has_stuck_rows(connection, noon, lease, longest)
        assert outbox.release_stuck_rows(connection, noon, lease, longest) == 2
        assert not outbox.has_stuck_rows(connection, noon, lease, longest)
        found = {key: outbox.find_by_key(connection, key) for key in ("held", "new", "appointed", "soon")}
    assert (found["held"].lease_until, found["held"].lease_token) == (noon + lease, held.lease_token)
    assert [found[key].due_at for key in ("new", "appointed", "soon")] == [noon, noon + hour, noon + lease / 2]
