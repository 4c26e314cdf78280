"""Timers: each slot runs once however many workers ask; processes: who is alive and what they serve."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from core.store.coordination import processes, timers

LEASE = timedelta(seconds=60)


def finish(database, *arguments):
    with database.writing_outside_log() as connection:
        return timers.finish(connection, *arguments)


def test_four_workers_run_each_slot_once(database, noon):
    slots = [noon + timedelta(minutes=number) for number in range(12)]
    ran = []

    def work(_):
        for slot in slots:
            token = timers.claim(database, "tick", slot, slot, LEASE)
            if token is not None:
                ran.append(slot)
                assert finish(database, "tick", slot, token)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert sorted(ran) == slots


def test_names_and_slots_are_claimed_apart(database, noon):
    assert timers.claim(database, "tick", noon, noon, LEASE)
    assert timers.claim(database, "tick", noon, noon, LEASE) is None
    assert timers.claim(database, "digest", noon, noon, LEASE)
    assert timers.claim(database, "tick", noon + LEASE, noon + LEASE, LEASE)


def test_a_worker_that_died_is_succeeded_and_one_that_slept_is_fenced_off(database, noon):
    asleep = timers.claim(database, "tick", noon, noon, LEASE)
    assert timers.claim(database, "tick", noon, noon + LEASE - timedelta(seconds=1), LEASE) is None
    awake = timers.claim(database, "tick", noon, noon + LEASE, LEASE)
    assert awake not in (None, asleep)
    assert finish(database, "tick", noon, asleep) is False
    assert finish(database, "tick", noon, awake) is True
    assert timers.claim(database, "tick", noon, noon + 9 * LEASE, LEASE) is None


def test_old_slots_can_be_forgotten(database, noon):
    timers.claim(database, "tick", noon, noon, LEASE)
    with database.writing_outside_log() as connection:
        assert timers.delete_before(connection, noon) == 0
        assert timers.delete_before(connection, noon + LEASE) == 1


def test_a_process_is_known_by_when_it_first_served_a_position(database, noon):
    second = timedelta(seconds=1)
    processes.report_alive(database, "web-1", "web", 7, noon)
    processes.report_alive(database, "web-1", "web", 7, noon + second)
    processes.report_alive(database, "web-2", "web", 9, noon + second)
    processes.report_alive(database, "web-1", "web", 9, noon + 3 * second)
    processes.report_alive(database, "web-1", "web", 9, noon + 4 * second)
    with database.reading() as connection:
        one, two = processes.load_processes(connection)
        assert (one.process_id, one.position, one.reached_at) == ("web-1", 9, noon + 3 * second)
        assert (two.process_id, two.position, two.reached_at) == ("web-2", 9, noon + second)
        assert (one.seen_at, two.seen_at) == (noon + 4 * second, noon + second)
    processes.unregister(database, "web-1")
    with database.reading() as connection:
        assert [each.process_id for each in processes.load_processes(connection)] == ["web-2"]
