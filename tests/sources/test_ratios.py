"""Ratios that a source tells: two columns, as the file names them, and counted from one place."""

from collections.abc import Callable

import httpx

from core.rollout import commands as c
from tests.http.conftest import SURFACE, Running
from tests.sources.conftest import Crowd, Warehouse, pushed, to_item
from tests.sources.test_equal_sums import WITHOUT_COHORT
from tests.sources.test_pulling import SOURCES, build_puller, count, state

OWN = "metrics: [{name: cited, kind: ratio, direction: up, unit: claims}]\n"
WRITTEN = SOURCES.replace("refusal_rate: refused,", "cited: {{numerator: cited, denominator: claims}},")


def test_a_ratio_has_two_columns_and_is_counted_from_one_place(
    running: Running, serve: Callable[..., httpx.Client], warehouse: Warehouse
) -> None:
    client = serve(running)
    running.apply(SURFACE + OWN + WRITTEN.format(table=warehouse.table))
    running.apply(WITHOUT_COHORT)
    running.do(c.Start())
    running.wait(minutes=1)
    rows = Crowd(running, ("exposure",)).use(100, 50)
    warehouse.insert(rows)
    build_puller(running, warehouse).pull_due(running.now())
    assert state(running).failure == ""
    told = [row for row in rows if row["cited"] is not None and row["claims"]]
    found = pushed(running)
    for key, column in (("cited", "cited"), ("cited/denominator", "claims")):
        both = [count(found, key, arm) for arm in ("canary", "control")]
        assert sum(weight for weight, _ in both) == len(told), key
        assert sum(value for _, value in both) == sum(row[column] for row in told), key
    items = [{**to_item(row), "request": False, "metrics": {}} for row in rows[:40]]
    for number, item in enumerate(items):
        item |= {"id": f"again-{number}", "metrics": {"cited": {"numerator": 1, "denominator": 2}}}
    answer = client.post("/api/v1/observations", json={"observations": items}).json()
    said = [one["message"] for one in answer["rejected"] if one["code"] == "pulled_metric"]
    assert said.count('"cited" comes from the source "warehouse", and counts only once: leave it out') == 40
    for key in ("cited", "cited/denominator"):
        for arm in ("canary", "control"):
            assert count(pushed(running), key, arm) == count(found, key, arm)
