"""Kinds of errors that a source tells: a column with their names, bounded in number, and none counted twice."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from bot.jobs.pulling.source_pulls import SourcePuller
from bot.sources.sql.error_kinds import MAX_FREQUENT_TEXTS, MAX_TEXTS, name_texts
from core.judging.model.evidence import CATEGORY_PREFIX
from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from core.store.observations.pulled_sums import KnownErrorText
from core.store.observations.segment_names import FREQUENT_COUNT, MAX_CATEGORIES, MAX_FREQUENT_CATEGORIES
from tests.http.conftest import SURFACE, Running
from tests.sources.conftest import Crowd, Warehouse, pushed, to_item
from tests.sources.test_equal_sums import WITHOUT_COHORT
from tests.sources.test_pulling import SOURCES, build_puller, count, look, state

LIMIT = "  - {metric: new_error_category, rate_above: 3%, min_events: 5}\n"


def begin(running: Running, warehouse: Warehouse) -> SourcePuller:
    """A canary with a limit on new kinds of errors, which the warehouse tells; a minute later."""
    told = SOURCES.format(table=warehouse.table) + "      error_category: error_kind\n"
    running.apply(SURFACE + told)
    running.apply(WITHOUT_COHORT.replace("rollback_when:\n", f"rollback_when:\n{LIMIT}"))
    running.do(c.Start())
    running.wait(minutes=1)
    return build_puller(running, warehouse)


def kinds(running: Running) -> dict[str, float]:
    """How many rows count under each name, in both arms."""
    found: dict[str, float] = {}
    for key, cell in pushed(running).cells.items():
        if key.metric.startswith(CATEGORY_PREFIX) and not key.segment:
            name = key.metric.removeprefix(CATEGORY_PREFIX)
            found[name] = found.get(name, 0.0) + float(cell.weight.sum())
    return found


def with_error(rows: list[dict[str, Any]], name: Callable[[int], str | None]) -> list[dict[str, Any]]:
    return [{**row, "error_kind": name(number)} for number, row in enumerate(rows)]


def test_a_kind_that_only_the_canary_shows_goes_back(running: Running, warehouse: Warehouse) -> None:
    puller = begin(running, warehouse)
    rows = Crowd(running, ("exposure",)).use(600, 50)
    for number, row in enumerate(rows):
        new = "ToolSchemaMismatch" if row["exposure"].endswith("canary") and number % 3 == 0 else None
        row["user_id"] = f"user-{number}"  # people enough for a finding
        row["error_kind"] = new or ("Timeout" if number % 10 == 0 else "")
    warehouse.insert(rows)
    assert puller.pull_due(running.now()) == 1
    assert set(kinds(running)) == {"Timeout", "ToolSchemaMismatch"}
    rolled_back = look(running)
    assert rolled_back.state is RolloutState.ROLLED_BACK
    assert rolled_back.rollback.findings[0].metric == "new_error_category"


def test_kinds_that_a_source_counts_are_refused_where_they_are_sent(
    running: Running, serve: Callable[..., httpx.Client], build_warehouse: Callable[[str], Warehouse]
) -> None:
    client = serve(running)
    warehouse = build_warehouse("sqlite")
    puller = begin(running, warehouse)
    rows = with_error(Crowd(running, ("exposure",)).use(30, 50), lambda number: "Timeout")
    warehouse.insert(rows)
    puller.pull_due(running.now())
    items = [{**to_item(row), "request": False} for row in rows]
    answer = client.post("/api/v1/observations", json={"observations": items}).json()
    assert answer["accepted"] == 30
    said = {one["message"] for one in answer["rejected"] if one["code"] == "pulled_metric"}
    assert '"error_category" comes from the source "warehouse", and counts only once: leave it out' in said
    assert kinds(running) == {"Timeout": 30}
    sent = [{**item, "id": None, "metrics": {}, "error_category": None} for item in items]
    told = [{key: value for key, value in one.items() if value is not None} for one in sent]
    for one in told:
        one["soft_errors"] = ["empty"]
    client.post("/api/v1/observations", json={"observations": told})
    assert kinds(running) == {"Timeout": 30, "soft:empty": 30}


def test_the_names_of_soft_errors_are_those_of_answers_and_of_no_row(running: Running, warehouse: Warehouse) -> None:
    puller = begin(running, warehouse)
    rows = with_error(Crowd(running, ("exposure",)).use(20, 50), lambda n: "soft:empty" if n < 5 else "software")
    warehouse.insert([{**row, "duration_ms": 3.25, "clicked": 0.25} for row in rows])
    puller.pull_due(running.now())
    found = pushed(running)
    assert kinds(running) == {"software": 15}
    assert sum(count(found, "refused_items", arm)[0] for arm in ("canary", "control")) == 5
    assert sum(count(found, "requests", arm)[0] for arm in ("canary", "control")) == 20


def test_more_kinds_than_have_a_name_are_others_and_stay_so_but_a_frequent_one_has_its_own_from_then_on(
    running: Running, warehouse: Warehouse
) -> None:
    puller = begin(running, warehouse)
    crowd = Crowd(running, ("exposure",))
    rows = with_error(crowd.use(400, 50), lambda n: f"Kind{_spell(n // 16)}{_spell(n % 10)}")
    late = [{**row, "request_id": f"late-{n}", "error_kind": "Storm"} for n, row in enumerate(crowd.use(5, 50))]
    names = {row["error_kind"] for row in rows}
    assert len(names) > MAX_CATEGORIES + 5
    warehouse.insert(rows)
    puller.pull_due(running.now())
    first = kinds(running)
    assert len(first) == MAX_CATEGORIES + 1
    assert sum(first.values()) == 400
    running.wait(seconds=30)
    warehouse.insert(late)  # too few for a name of their own
    puller.pull_due(running.now())
    assert kinds(running) == {**first, "(other)": first["(other)"] + 5}
    running.wait(seconds=30)
    now = running.now()
    storm = [{**row, "at": now - timedelta(seconds=5)} for row in with_error(crowd.use(30, 29), lambda _: "Storm")]
    warehouse.insert(storm)
    puller.pull_due(running.now())
    assert state(running).failure == ""
    assert kinds(running) == {**first, "(other)": first["(other)"] + 5, "Storm": 30}


def test_texts_that_differ_in_a_number_are_one_kind() -> None:
    found = name_texts({}, [("order 4711 failed", 3), ("order 4712 failed", 1), ("Timeout", 1)], None)
    assert sorted(one.name for one in found.values()) == ["Timeout", "order <n> failed", "order <n> failed"]


def test_texts_are_bounded_too_with_room_for_frequent_ones() -> None:
    def rare(number: int) -> tuple[str, int]:
        return f"order {4000 + number} failed", 1

    full = name_texts({}, [rare(n) for n in range(2 * MAX_TEXTS)], None)
    assert len(full) == MAX_TEXTS
    now = datetime(2026, 11, 30, 9, tzinfo=UTC)
    more = name_texts(full, [(f"card {4000 + n} failed", FREQUENT_COUNT) for n in range(2 * MAX_TEXTS)], now)
    assert len(more) == MAX_TEXTS + MAX_FREQUENT_TEXTS
    assert {one.since for digits, one in more.items() if digits not in full} == {now}  # before, it was of the others
    assert more.items() >= full.items()


def test_names_are_bounded_with_room_for_frequent_ones() -> None:
    known: Mapping[str, KnownErrorText] = name_texts({}, [(f"Kind{_spell(n)}", 1) for n in range(400)], None)
    assert len(known) == MAX_CATEGORIES
    more = name_texts(known, [(f"Storm{_spell(n)}", FREQUENT_COUNT) for n in range(400)], None)
    assert len(more) == MAX_CATEGORIES + MAX_FREQUENT_CATEGORIES


def _spell(number: int) -> str:
    return "".join("abcdefghij"[int(digit)] for digit in str(number))
