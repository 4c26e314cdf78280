"""What a source sums of its rows is what Rampart sums of the same rows when they come over HTTP."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import httpx
import numpy as np
import pytest

from core.judging.model.evidence import CATEGORY_PREFIX, BucketSums, EvidenceSums
from core.rollout import commands as c
from core.rollout.state.sources import RatioColumns, SourceTerms
from tests.http.conftest import ROLLOUT, SURFACE, Running
from tests.sources.conftest import MOVED_BACK, Crowd, Warehouse, build_terms, pull, pushed, to_item

SIDES = [("exposure",), ("variant",), ("version",), ("exposure", "variant", "version")]
Describe: TypeAlias = Callable[[Mapping[str, Any]], dict[str, Any]]
FLOWS = "flows: {paying: {plan: pro, language: [de, fr]}, others: {plan: free}}\n"


def send(client: httpx.Client, rows: list[dict[str, Any]], describe: Describe = to_item) -> None:
    """Send rows as an application does, in batches, in order of their time."""
    for start in range(0, len(rows), 100):
        items = [describe(row) for row in rows[start : start + 100]]
        answer = client.post("/api/v1/observations", json={"observations": items})
        assert answer.status_code == 200, answer.text


def play(
    running: Running,
    client: httpx.Client,
    warehouse: Warehouse,
    crowd: Crowd,
    rollout: str,
    back: str = "",
    describe: Describe = to_item,
) -> None:
    """A canary and the step after it; every row both sent, as `describe` has it, and written down. `back` is a stratum
    that goes back."""
    running.apply(rollout)
    running.do(c.Start())
    for step in range(3):
        for _ in range(2):
            running.wait(seconds=40)
            rows = crowd.use(300, 39)
            warehouse.insert(rows)
            send(client, rows, describe)
        if step == 1:
            for unit in MOVED_BACK:
                running.do(c.MoveBack(unit=unit))
        again = crowd.written[-5:]  # the same rows once more: they count once
        warehouse.insert(again)
        send(client, again, describe)
        if step == 1 and back:
            running.do(c.RollBack(stratum=back))
        if step < 2:
            running.do(c.Advance(reason="on"))


def assert_equal(found: EvidenceSums, expected: EvidenceSums) -> None:
    assert found.cells.keys() == expected.cells.keys()
    for key in sorted(found.cells):
        np.testing.assert_array_equal(found.cells[key].weight, expected.cells[key].weight, str(key))
        np.testing.assert_allclose(found.cells[key].value, expected.cells[key].value, 1e-12, 0, err_msg=str(key))
    assert found.histograms == expected.histograms
    assert found.first_exposures == expected.first_exposures
    assert {k: v for k, v in found.moved.items() if v} == {k: v for k, v in expected.moved.items() if v}


WITH_FLOWS = SURFACE + FLOWS
STEPS = ROLLOUT.replace("hold: 1m, percent: 50}", "hold: 1m, steps: [20%, 50%]}")
WITHOUT_COHORT = ROLLOUT.replace(
    "  - cohort: {name: internal, where: {email_domain: example.com}, hold: 1m, percent: 50}\n", ""
).replace("steps: [50%, 100%]", "steps: [25%, 50%, 100%]")


STRATIFIED = WITHOUT_COHORT.replace("assignment: {", "assignment: {strata: {free: {plan: free}}, ")


@pytest.mark.parametrize("side", SIDES, ids="+".join)
def test_the_same_rows_give_the_same_cells(
    running: Running, serve: Callable[..., httpx.Client], warehouse: Warehouse, side: tuple[str, ...]
) -> None:
    client = serve(running)
    play(running, client, warehouse, Crowd(running, side, changes_arms=True), WITHOUT_COHORT)
    assert_pulled_equal(running, warehouse, side)


@pytest.mark.parametrize("side", [("exposure",), ("variant",)], ids="+".join)
def test_flows_and_people_of_an_earlier_cohort_are_told_apart_alike(
    running: Running, serve: Callable[..., httpx.Client], warehouse: Warehouse, side: tuple[str, ...]
) -> None:
    client = serve(running)
    running.apply(WITH_FLOWS)
    play(running, client, warehouse, Crowd(running, side, changes_arms=True), ROLLOUT)
    expected = pushed(running)
    assert {key.segment for key in expected.cells} > {"flow=paying", "flow=others", "language=de"}
    by_stage = {stage: sum(n for (s, _), n in expected.first_exposures.items() if s == stage) for stage in range(3)}
    assert by_stage[0] > 100
    assert by_stage[1] < 60  # whoever was met in the cohort is not compared again
    assert_pulled_equal(running, warehouse, side)


def test_a_cohort_that_grows_in_steps_is_compared_in_each_of_them_alike(
    running: Running, serve: Callable[..., httpx.Client], warehouse: Warehouse
) -> None:
    client = serve(running)
    play(running, client, warehouse, Crowd(running, ("exposure",), changes_arms=True), STEPS)
    expected = pushed(running)
    by_stage = {stage: sum(n for (s, _), n in expected.first_exposures.items() if s == stage) for stage in range(3)}
    assert by_stage[1] > 100  # the same people, in the second step of their own cohort
    assert by_stage[2] < 60  # and not again with everybody
    assert_pulled_equal(running, warehouse, ("exposure",))


OWN = """\
metrics:
  - {name: gave_up, kind: rate, direction: down}
  - {name: thinking, kind: mean, direction: same, unit: ms}
  - {name: thinking_p90, kind: quantile, quantile: 90%, direction: down, unit: ms}
  - {name: cited, kind: ratio, direction: up, unit: claims}
"""
OWN_COLUMNS = {"gave_up": "refused", "thinking": "duration_ms", "thinking_p90": "duration_ms"}
RATIOS = {"cited": RatioColumns(numerator="cited", denominator="claims")}
OWN_LIMITS = """\
  - {metric: gave_up, rises_by: 2pp}
  - {metric: thinking, rises_by: 20%}
  - {metric: thinking_p90, rises_by: 20%}
  - {metric: cited, drops_by: 10%}
"""


def test_own_metrics_are_summed_as_they_are_defined(
    running: Running, serve: Callable[..., httpx.Client], warehouse: Warehouse
) -> None:
    def with_own(row: Mapping[str, Any]) -> dict[str, Any]:
        item = to_item(row)
        read = {key: row[column] for key, column in OWN_COLUMNS.items()}
        if row["cited"] is not None and row["claims"] is not None:
            read["cited"] = {"numerator": row["cited"], "denominator": row["claims"]}
        return {**item, "metrics": {**item["metrics"], **read}}

    client = serve(running)
    running.apply(SURFACE + OWN)
    limits = WITHOUT_COHORT.replace("rollback_when:\n", f"rollback_when:\n{OWN_LIMITS}")
    play(running, client, warehouse, Crowd(running, ("exposure",), changes_arms=True), limits, describe=with_own)
    built_in = build_terms(warehouse.table).require_sql().metrics
    terms = build_terms(warehouse.table, ("exposure",), metrics={**built_in, **OWN_COLUMNS}, ratios=RATIOS)
    expected = pushed(running)
    names = {"gave_up", "thinking", "thinking_p90", "cited", "cited/denominator"}
    assert names <= {key.metric for key in expected.cells}
    assert "thinking_p90" in {key.metric for key in expected.histograms}
    assert_pulled_equal(running, warehouse, ("exposure",), terms)


def test_a_metric_that_was_defined_since_is_left_for_the_next_rollout(
    running: Running, serve: Callable[..., httpx.Client], warehouse: Warehouse
) -> None:
    client = serve(running)
    play(running, client, warehouse, Crowd(running, ("exposure",)), WITHOUT_COHORT)
    new = {"metrics": {"gave_up": "refused"}, "ratios": RATIOS, "error_category": None}
    only_new = build_terms(warehouse.table, ("exposure",), **new)
    found = pull(running, warehouse, only_new).sums
    assert {key.metric for key in found.cells} == {"requests", "duplicate_items"}


ERRORS = ("Timeout", "order <n> failed", "Zeitüberschreitung ☃")


def assert_pulled_equal(
    running: Running, warehouse: Warehouse, side: tuple[str, ...], terms: SourceTerms | None = None
) -> None:
    """What is pulled is what was pushed."""
    pulled = pull(running, warehouse, terms or build_terms(warehouse.table, side))
    expected = pushed(running)
    assert len(expected.cells) > 50
    kinds = {(key.metric, key.arm) for key in expected.cells if key.metric.startswith(CATEGORY_PREFIX)}
    assert {(f"{CATEGORY_PREFIX}{name}", "control") for name in ERRORS} < kinds
    assert (f"{CATEGORY_PREFIX}ToolSchemaMismatch", "canary") in kinds
    assert any(expected.moved.values()) or side == ("version",)
    found = EvidenceSums(
        cells={key: BucketSums(weight=sums[0], value=sums[1]) for key, sums in pulled.sums.cells.items()},
        histograms=pulled.sums.histograms,
        first_exposures=pulled.sums.units,
        moved=pulled.sums.moved,
    )
    assert_equal(found, expected)


def test_once_a_stratum_is_back_a_version_alone_counts_on_neither_side(
    running: Running, serve: Callable[..., httpx.Client], warehouse: Warehouse
) -> None:
    client = serve(running)
    play(running, client, warehouse, Crowd(running, ("version",)), STRATIFIED, back="free")
    found = pull(running, warehouse, build_terms(warehouse.table, ("version",))).sums.cells
    expected = pushed(running).cells
    stages = {key.stage for key in found}
    assert len(stages) == 2, "the stage after it has none"
    # What was wrong with a report is counted over HTTP even where its side is not known.
    assert {key for key in expected if key.metric != "refused_items"} == {
        key for key in found if key.metric != "refused_items"
    }
    for key, sums in found.items():
        np.testing.assert_array_equal(sums[0], expected[key].weight, str(key))
