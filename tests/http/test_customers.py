"""Who was served the new version: kept only if the policy says so, encrypted, deleted in time, safe to export."""

import csv
import io
from dataclasses import replace
from typing import Any

import pytest

from bot.cli.customers import _check_units
from bot.commands.request import CommandContext
from bot.http.observations.writer import select_served
from bot.jobs import upkeep
from bot.rendering.csv_text import format_csv
from core.flags.bucketing import compute_bucket
from core.metrics.observation import Observation
from core.rollout.context import Actor
from core.rollout.serving.exposure import build_snapshot
from core.store.database.driver import fetch_all
from core.store.observations.observation_batch import PlacedObservation

URL = "/api/v1/rollouts/R-1/customers"
POLICY = "version: 1\nkind: policy\ncustomers: {keep: 30d}\n"
IN_CANARY = next(u for u in map("cust_{}".format, range(1000)) if compute_bucket("expose", "R-1", u) < 50_000)


def report(client: Any, unit: str, variant: str = "canary", many: int = 1) -> None:
    item = {"surface": "support-assistant", "unit": unit, "variant": variant, "metrics": {"refusal_rate": False}}
    assert client.post("/api/v1/observations", json={"observations": [item] * many}).json()["accepted"] == many


def names(client: Any) -> list[str]:
    return [one["customer"] for one in client.get(URL).json()["customers"]]


@pytest.fixture
def kept(everywhere: Any, serve: Any, canary: Any) -> Any:
    """A canary, and a policy that keeps the ids of customers, on both databases."""
    everywhere.apply(POLICY)
    canary(everywhere)
    return everywhere, serve(everywhere)


def test_who_was_served_the_new_version_is_listed_with_times_and_requests(kept: Any) -> None:
    running, client = kept
    report(client, "cust_1", many=2)
    running.wait(minutes=5)
    report(client, "cust_1")
    report(client, "cust_2")
    report(client, "cust_3", "control")
    answer = client.get(URL).json()
    assert (answer["version"], answer["total"]) == ("v43", 2)
    first, second = answer["customers"]
    assert (first["customer"], first["requests"], second["customer"]) == ("cust_1", 3, "cust_2")
    assert first["first_at"] < first["last_at"] == second["first_at"]
    assert [one["customer"] for one in client.get(URL, params={"offset": 1}).json()["customers"]] == ["cust_2"]


def test_ids_are_not_readable_where_they_are_stored(kept: Any) -> None:
    running, client = kept
    report(client, "cust_secret_1")
    with running.service.database.reading() as connection:
        rows = fetch_all(connection, "SELECT sealed FROM served_unit", ())
    assert len(rows) == 1
    assert b"cust_secret" not in bytes(rows[0][0])


def test_without_the_policy_no_id_is_kept(running: Any, serve: Any, canary: Any) -> None:
    canary(running)
    client = serve(running)
    report(client, "cust_1")
    assert names(client) == []


def test_once_everybody_has_it_nobody_is_added(running: Any, canary: Any) -> None:
    canary(running)
    snapshot = build_snapshot(running.service.load_world())
    seen = Observation(surface="support-assistant", unit="cust_1", at=running.now(), readings={"refusal_rate": 0.0})
    placed = [PlacedObservation(rollout="R-1", stage=1, arm="canary", unit="cust_1", observation=seen)]
    assert list(select_served(placed, snapshot)) == placed
    flags = snapshot.surfaces["support-assistant"]
    spans = tuple(
        replace(span, canary_below=1_000_000, control_left=False) if span.index == 1 else span
        for span in flags.tracked[0].spans
    )
    everybody = replace(flags, tracked=(replace(flags.tracked[0], spans=spans),))
    assert list(select_served(placed, replace(snapshot, surfaces={flags.name: everybody}))) == []


def test_ids_are_deleted_when_their_time_is_over_and_when_somebody_asks(kept: Any) -> None:
    running, client = kept
    report(client, "cust_1")
    running.wait(days=20)
    upkeep.delete_old_customers(running.service, running.now())
    assert names(client) == ["cust_1"]
    running.wait(days=11)
    upkeep.delete_old_customers(running.service, running.now())
    assert names(client) == []
    with running.service.database.reading() as connection:
        assert fetch_all(connection, "SELECT person FROM person_key WHERE person = 'customers:R-1'", ()) == []
    running.wait(days=-31)
    report(client, "cust_1")
    report(client, "cust_2")
    assert running.service.erase_served_unit("cust_1") == 1
    assert names(client) == ["cust_2"]
    running.apply("version: 1\nkind: policy\n")
    upkeep.delete_old_customers(running.service, running.now())
    assert names(client) == []


def test_no_cell_of_the_export_is_a_formula(kept: Any) -> None:
    _, client = kept
    evil = ['=HYPERLINK("http://evil","x")', "+1", "-2+3", "@SUM(A1)", '"quoted", and a comma', "plain"]
    for unit in evil:
        report(client, unit)
    answer = client.get(URL, params={"csv": "true"})
    assert answer.headers["content-type"].startswith("text/csv")
    header, *rows = csv.reader(io.StringIO(answer.text))
    assert header == ["customer", "version", "first_at", "last_at", "requests"]
    assert sorted(row[0] for row in rows) == sorted("'" + unit if unit[0] in "=+-@" else unit for unit in evil)
    assert format_csv([["\tx", " =1", "a\nb"]]) == "'\tx,' =1,\"a\nb\"\r\n"
    assert format_csv([["\u00a0=1", "＝1", "\u2003@x", "a=1", 5]]) == "'\u00a0=1,'＝1,'\u2003@x,a=1,5\r\n"


def test_a_list_of_ones_own_is_answered_without_kept_ids(running: Any, serve: Any, canary: Any) -> None:
    canary(running)
    report(serve(running), "cust_reported")
    rollout = running.service.load_world().rollouts["R-1"]
    asked = CommandContext(service=running.service, by=Actor(id="cli:ana"), at=running.now(), command_id="x")
    found = {row[0]: row[1:] for row in _check_units(rollout, ["cust_reported", IN_CANARY], asked)}
    assert found["cust_reported"][0] == "v43"
    assert found[IN_CANARY] == ("", "yes")
