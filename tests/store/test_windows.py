"""What happened, added up: the same sums as adding by hand, from any number of processes, each item once."""

import random
import zlib
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import numpy as np
import pytest
from sqlalchemy import select

from core.judging.model.evidence import CellKey
from core.metrics.observation import Observation
from core.stats.quantile import bin_index
from core.store.errors import IdempotencyConflict
from core.store.models import look
from core.store.observations import deduplication, looks, observation_sums
from core.store.observations.observation_batch import PlacedObservation


def some(count, noon, seed=7):
    """Random observations whose values add up exactly in binary."""
    dice = random.Random(seed)
    for number in range(count):
        latency = dice.choice([850.0, 1200.5, 4100.0])
        yield PlacedObservation(
            rollout="R-1",
            stage=dice.choice([0, 1]),
            arm=dice.choice(["canary", "control"]),
            unit=f"user-{dice.randrange(60)}",
            observation=Observation(
                surface="support",
                unit="",
                at=noon,
                segments={"language": dice.choice(["de", "fr"])},
                readings={
                    "refusal_rate": float(number % 7 == 0),
                    "cost_per_request": dice.choice([0.25, 0.5]),
                    "latency_p95": latency,
                },
                error_category=dice.choice([None, None, "timeout"]),
            ),
            counters={"latency_p95>4000": float(latency > 4000)},
        )


MEANS = {"cost_per_request", "output_tokens"}


def by_hand(placed):
    cells = defaultdict(lambda: np.zeros((2, 256)))
    histograms, units = defaultdict(Counter), defaultdict(set)
    for each in placed:
        seen = each.observation
        bucket = sha256(f"window\x1f{each.rollout}\x1f{each.unit}".encode()).digest()[0]
        units[each.stage].add((each.unit, each.arm))
        for segment in ("", f"language={seen.segments['language']}"):
            for metric, value in {**seen.readings, **each.counters, "requests": 1.0}.items():
                cells[each.stage, each.arm, segment, metric][:, bucket] += (1.0, value)
            if seen.error_category:
                cells[each.stage, each.arm, segment, f"error_category:{seen.error_category}"][:, bucket] += (1.0, 1.0)
            histograms[each.stage, each.arm, segment, "latency_p95"][bin_index(seen.readings["latency_p95"])] += 1
        for metric in MEANS & seen.readings.keys():  # of everybody only: what a cap is chosen from
            histograms[each.stage, each.arm, "", metric][bin_index(seen.readings[metric])] += 1
    return cells, histograms, units


def record(database, placed):
    with database.writing_outside_log() as connection:
        observation_sums.add_observations(connection, placed)


def read(database, rollout="R-1"):
    with database.reading() as connection:
        return observation_sums.load_sums(connection, rollout)


def parts(key):
    return key.stage, key.arm, key.segment, key.metric


def test_sums_are_those_of_adding_by_hand(database, noon):
    placed = list(some(400, noon))
    for start in range(0, 400, 90):
        record(database, placed[start : start + 90])
    sums = read(database)
    cells, histograms, _ = by_hand(placed)
    assert {parts(key) for key in sums.cells} == set(cells)
    for key, found in sums.cells.items():
        np.testing.assert_array_equal(np.stack([found.weight, found.value]), cells[parts(key)])
    assert {parts(key): Counter(found) for key, found in sums.histograms.items()} == histograms


def test_a_unit_counts_as_exposed_once_per_stage_in_the_arm_it_was_first_seen_in(database, noon):
    placed = list(some(200, noon))
    first = {}
    for each in placed:
        first.setdefault((each.stage, each.unit), each.arm)
    record(database, placed[:120])
    record(database, placed[120:])
    record(database, placed)
    expected = Counter((stage, arm) for (stage, _), arm in first.items())
    assert read(database).first_exposures == expected


def test_a_unit_that_changes_sides_within_a_stage_is_counted_as_moved(database, noon):
    seen = Observation(surface="support", unit="a", at=noon, readings={"refusal_rate": 0.0})

    def came(*units):
        record(
            database,
            [PlacedObservation(rollout="R-1", stage=0, arm=arm, unit=unit, observation=seen) for unit, arm in units],
        )
        sums = read(database)
        return sums.first_exposures, sums.moved

    first = {(0, "canary"): 1, (0, "control"): 2}
    assert came(("a", "canary"), ("b", "control"), ("c", "control")) == (first, {})
    assert came(("a", "canary"), ("b", "canary"), ("c", "canary")) == (first, {0: 2})
    assert came(("b", "canary"), ("c", "control")) == (first, {0: 1})
    assert came(("a", "control")) == (first, {0: 0})


def test_a_unit_that_names_the_arm_of_before_counts_in_the_one_of_its_bucket(database, noon):
    """The split counts it there; whoever asks which version it had is told what it reported."""
    seen = Observation(surface="support", unit="a", at=noon, readings={"refusal_rate": 0.0})
    late = PlacedObservation(rollout="R-1", stage=0, arm="control", unit="a", observation=seen, assigned_arm="canary")
    fresh = replace(late, arm="canary", assigned_arm=None)
    first = {(0, "canary"): 1}

    def came(*placed):
        record(database, placed)
        with database.reading() as connection:
            arms = observation_sums.load_arms_seen(connection, "R-1", "a")
        return read(database).first_exposures, read(database).moved, arms[0]

    assert came(late) == (first, {}, "control")
    assert came(late, late) == (first, {}, "control")
    assert came(fresh) == (first, {}, "canary")
    assert came(replace(late, assigned_arm=None)) == (first, {0: -1}, "control")
    assert came(late, fresh) == (first, {0: 0}, "canary")


def test_a_unit_that_changes_arms_in_one_batch_counts_first_and_last(database, noon):
    seen = Observation(surface="support", unit="a", at=noon, readings={"refusal_rate": 0.0})
    one = PlacedObservation(rollout="R-1", stage=0, arm="control", unit="a", observation=seen)
    record(database, [one, replace(one, arm="canary")])
    assert (read(database).first_exposures, read(database).moved) == ({(0, "control"): 1}, {0: 1})


def test_processes_that_count_at_the_same_moment_lose_nothing(database, noon):
    batches = [list(some(40, noon, seed)) for seed in range(12)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda batch: record(database, batch), batches))
    cells, _, _ = by_hand([each for batch in batches for each in batch])
    sums = read(database)
    for key, found in sums.cells.items():
        np.testing.assert_array_equal(np.stack([found.weight, found.value]), cells[parts(key)])


def test_a_complaint_alone_is_not_a_request(database, noon):
    complaint = Observation(surface="s", unit="u", at=noon, readings={"complaint_rate": 1.0})
    record(database, [PlacedObservation(rollout="R-1", stage=0, arm="canary", unit="u", observation=complaint)])
    sums = read(database)
    assert [key.metric for key in sums.cells] == ["complaint_rate"]
    assert sums.first_exposures == {}


def test_rollouts_are_counted_apart_and_nothing_is_an_empty_sum(database, noon):
    record(database, [])
    seen = Observation(surface="s", unit="u", at=noon, readings={})
    record(
        database,
        [
            PlacedObservation(rollout=name, stage=0, arm="canary", unit="u", observation=seen)
            for name in ("R-1", "R-2", "R-1")
        ],
    )
    requests = CellKey(stage=0, arm="canary", segment="", metric="requests")
    assert read(database).cells[requests].value.sum() == 2
    assert read(database, "R-2").cells[requests].value.sum() == 1
    assert read(database, "R-3").cells == {}


def test_a_transaction_that_fails_counts_nothing(database, noon):
    def half():
        with database.writing_outside_log() as connection:
            observation_sums.add_observations(connection, list(some(5, noon)))
            raise RuntimeError("connection lost")

    with pytest.raises(RuntimeError):
        half()
    assert read(database).cells == {}
    assert read(database).first_exposures == {}


def open_batch(database, key="k", token="t", fingerprint="f", at=None):
    with database.writing_outside_log() as connection:
        return deduplication.open_batch(connection, token=token, key=key, fingerprint=fingerprint, at=at)


def test_a_repeated_batch_gets_the_first_answer(database, noon):
    with database.writing_outside_log() as connection:
        assert deduplication.open_batch(connection, token="t", key="k", fingerprint="f", at=noon) is None
        deduplication.answer_batch(connection, token="t", key="k", answer='{"accepted":3}')
    assert open_batch(database, at=noon) == '{"accepted":3}'
    with pytest.raises(IdempotencyConflict, match="new key"):
        open_batch(database, fingerprint="other", at=noon)
    assert open_batch(database, token="another", at=noon) is None


def test_a_batch_is_forgotten_after_a_week(database, noon):
    open_batch(database, at=noon)
    assert open_batch(database, fingerprint="other", at=noon + timedelta(days=7, seconds=1)) is None


def test_copies_of_a_batch_at_the_same_moment_are_counted_once(database, noon):
    def send(_):
        with database.writing_outside_log() as connection:
            answer = deduplication.open_batch(connection, token="t", key="k", fingerprint="f", at=noon)
            if answer is not None:
                return answer
            observation_sums.add_observations(connection, list(some(10, noon)))
            deduplication.answer_batch(connection, token="t", key="k", answer="10")
            return "10"

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(send, range(8))) == {"10"}
    requests = [found.value.sum() for key, found in read(database).cells.items() if parts(key)[2:] == ("", "requests")]
    assert sum(requests) == 10


def test_an_item_counts_once_a_day_and_surface(database, noon):
    def fresh(items, at):
        with database.writing_outside_log() as connection:
            return deduplication.claim_fresh_items(connection, items, at)

    assert fresh([("s", "1"), ("s", "2"), ("s", "1")], noon) == {("s", "1"), ("s", "2")}
    assert fresh([("s", "2"), ("s", "3"), ("other", "2")], noon) == {("s", "3"), ("other", "2")}
    assert fresh([("s", "1")], noon + timedelta(hours=23)) == frozenset()
    assert fresh([("s", "1")], noon + timedelta(hours=24)) == {("s", "1")}
    assert fresh([], noon) == frozenset()


def test_forgetting_keeps_what_still_protects(database, noon):
    open_batch(database, at=noon)
    with database.writing_outside_log() as connection:
        deduplication.claim_fresh_items(connection, [("s", "1")], noon)
        deduplication.delete_expired(connection, noon + timedelta(hours=25))
        assert deduplication.claim_fresh_items(connection, [("s", "1")], noon) == {("s", "1")}
    with pytest.raises(IdempotencyConflict):
        open_batch(database, fingerprint="other", at=noon)


def test_looks_are_kept_and_the_newest_states_with_them(database, noon):
    with database.writing() as connection:
        assert looks.load_latest_state(connection, "R-1") is None
        for number in range(1, 5):
            looks.save_look(connection, "R-1", number, noon, f"look {number}", f"state {number}", f"hash {number}")
        looks.save_look(connection, "R-2", 1, noon, "l", "s", "h")
    with database.reading() as connection:
        assert looks.load_latest_state(connection, "R-1") == (4, "state 4")
        found = looks.load_range(connection, "R-1", 2, 4)
        states = connection.execute(select(look.c.state).where(look.c.rollout == "R-1").order_by(look.c.number))
        kept = [state and zlib.decompress(state).decode() for state in states.scalars()]
    assert [(each.number, each.look_json) for each in found] == [(2, "look 2"), (3, "look 3"), (4, "look 4")]
    assert kept == [None, None, "state 3", "state 4"]
    assert (found[0].at, found[0].sums_hash) == (noon, "hash 2")


def test_two_processes_cannot_save_the_same_look(database, noon):
    with database.writing() as connection:
        looks.save_look(connection, "R-1", 1, noon, "l", "s", "h")
    with pytest.raises(Exception, match=r"(?i)unique"), database.writing() as connection:
        looks.save_look(connection, "R-1", 1, noon, "l", "s", "h")


def test_whom_an_earlier_cohort_compared_is_not_compared_again(database, noon):
    """Whatever the evaluation knew: who lost the attribute has still had one of the versions for a while."""

    def placed(unit, stage, arm="canary", **more):
        seen = Observation(surface="support", unit=unit, at=noon, readings={"refusal_rate": 0.0})
        return PlacedObservation(rollout="R-1", stage=stage, arm=arm, unit=unit, observation=seen, **more)

    with database.writing_outside_log() as connection:
        observation_sums.add_observations(
            connection, [placed("a", 0), placed("b", 0, "control"), placed("c", 1, earlier_cohorts=(0,))]
        )
        later = [
            placed(unit, 1, arm, earlier_cohorts=(0,))
            for unit, arm in (("a", "control"), ("b", "canary"), ("d", "canary"))
        ]
        observation_sums.add_observations(connection, later)
    with database.reading() as connection:
        sums = observation_sums.load_sums(connection, "R-1")
    assert sums.first_exposures == {(0, "canary"): 1, (0, "control"): 1, (1, "canary"): 2}
    requests = {(key.stage, key.arm): cell.weight.sum() for key, cell in sums.cells.items() if key.metric == "requests"}
    assert requests == {(0, "canary"): 1, (0, "control"): 1, (1, "canary"): 2}


def test_right_after_a_step_a_unit_counts_but_tells_nothing_of_the_split(database, noon):
    seen = Observation(surface="support", unit="a", at=noon, readings={"refusal_rate": 0.0})
    placed = PlacedObservation(rollout="R-1", stage=0, arm="canary", unit="a", observation=seen, counts_for_split=False)
    for splits, units in ((False, {}), (True, {(0, "canary"): 1})):
        with database.writing_outside_log() as connection:
            observation_sums.add_observations(connection, [replace(placed, counts_for_split=splits)])
        with database.reading() as connection:
            assert observation_sums.load_sums(connection, "R-1").first_exposures == units


def test_a_batch_reads_by_keys_however_much_is_stored(sqlite_database, noon):
    record(sqlite_database, list(some(200, noon)))
    later = [replace(one, stage=2, earlier_cohorts=(0, 1)) for one in some(200, noon)]
    said = []
    with sqlite_database.writing_outside_log() as connection:
        driver = connection.connection.driver_connection
        driver.set_trace_callback(said.append)
        observation_sums.add_observations(connection, [*later, *some(50, noon)])
        driver.set_trace_callback(None)
        asked = [one for one in said if one.startswith("WITH asked")]
        steps = [row[3] for one in asked for row in driver.execute(f"EXPLAIN QUERY PLAN {one}")]
    found = [one for one in steps if "exposure" in one or "cell" in one]
    assert len(found) == 2, "who was compared already, and the cells so far"
    assert all(one.startswith("SEARCH") for one in found), found
