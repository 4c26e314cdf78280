"""A dimension keeps its first values; what comes later is counted as others, so that nothing grows without bound."""

from dataclasses import replace
from datetime import UTC, datetime

from core.judging.model.evidence import OTHER_NAME
from core.metrics.observation import Observation
from core.store.observations import observation_sums
from core.store.observations.observation_batch import PlacedObservation
from core.store.observations.segment_names import (
    FREQUENT_COUNT,
    MAX_CANDIDATES,
    MAX_CATEGORIES,
    MAX_FREQUENT_CATEGORIES,
    MAX_VALUES_PER_DIMENSION,
    SegmentVocabulary,
)


def placed(*languages):
    for number, language in enumerate(languages):
        seen = Observation(
            surface="s",
            unit=f"user-{number}",
            variant="canary",
            version=None,
            at=datetime(2026, 11, 24, tzinfo=UTC),
            id=None,
            segments={"language": language, "plan": "free"},
            readings={"refusal_rate": 0.0},
            error_category=None,
        )
        yield PlacedObservation(rollout="R-1", stage=1, arm="canary", unit=seen.unit, observation=seen)


def counted(database):
    with database.reading() as connection:
        sums = observation_sums.load_sums(connection, "R-1")
    return {key.segment: cell.weight.sum() for key, cell in sums.cells.items() if key.metric == "requests"}


def test_values_beyond_the_room_are_others_and_lose_nothing(database):
    names = [f"user-{number}" for number in range(MAX_VALUES_PER_DIMENSION + 25)]
    for start in range(0, len(names), 10):
        with database.writing_outside_log() as connection:
            observation_sums.add_observations(connection, list(placed(*names[start : start + 10])))
    found = counted(database)
    assert len([name for name in found if name.startswith("language=")]) == MAX_VALUES_PER_DIMENSION + 1
    assert found[f"language={OTHER_NAME}"] == 25
    assert found["plan=free"] == found[""] == len(names)


def test_error_categories_are_bounded_as_well(database):
    def failing(names):
        for one, name in zip(placed(*["en"] * len(names)), names, strict=True):
            yield replace(one, observation=replace(one.observation, error_category=name))

    names = [f"request-{number}" for number in range(MAX_CATEGORIES + 30)]
    for start in range(0, len(names), 50):
        with database.writing_outside_log() as connection:
            observation_sums.add_observations(connection, list(failing(names[start : start + 50])))
    with database.reading() as connection:
        cells = observation_sums.load_sums(connection, "R-1", segments=False).cells
    found = {key.metric: cell.value.sum() for key, cell in cells.items() if key.metric.startswith("error_category:")}
    assert len(found) == MAX_CATEGORIES + 1
    assert found[f"error_category:{OTHER_NAME}"] == 30


def test_what_is_known_keeps_its_name_in_every_process(database):
    first, second = SegmentVocabulary(), SegmentVocabulary()
    names = [f"l{number}" for number in range(MAX_VALUES_PER_DIMENSION)]
    with database.writing_outside_log() as connection:
        observation_sums.add_observations(connection, list(placed(*names)), first)
    with database.writing_outside_log() as connection:
        observation_sums.add_observations(connection, list(placed("l0", "new")), second)
    found = counted(database)
    assert found["language=l0"] == 2
    assert found[f"language={OTHER_NAME}"] == 1


def test_a_look_at_everybody_reads_no_segments(database):
    with database.writing_outside_log() as connection:
        observation_sums.add_observations(connection, list(placed("de", "fr")))
    with database.reading() as connection:
        sums = observation_sums.load_sums(connection, "R-1", segments=False)
    assert {key.segment for key in sums.cells} == {""}


def test_a_frequent_error_gets_a_name_however_long_the_tail_before_it(database):
    """Else a new error hides among the others, of which control has some as well."""
    vocabulary = SegmentVocabulary()

    def failing(names):
        for one, name in zip(placed(*["en"] * len(names)), names, strict=True):
            yield replace(one, observation=replace(one.observation, error_category=name))

    tail = [f"text {number}" for number in range(MAX_CATEGORIES + MAX_CANDIDATES + 50)]
    batches = [tail[start : start + 250] for start in range(0, len(tail), 250)]
    for batch in (*batches, ["tool crashed"] * (FREQUENT_COUNT - 1), ["tool crashed"] * 5):
        with database.writing_outside_log() as connection:
            observation_sums.add_observations(connection, list(failing(batch)), vocabulary)
    with database.reading() as connection:
        cells = observation_sums.load_sums(connection, "R-1", segments=False).cells
    found = {key.metric: cell.value.sum() for key, cell in cells.items() if key.metric.startswith("error_category:")}
    assert found["error_category:tool crashed"] == 5
    assert len(found) <= MAX_CATEGORIES + MAX_FREQUENT_CATEGORIES + 1
