"""Metrics that a surface defines itself: taken at intake, judged, acted on and shown like the built-in ones."""

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from bot.commands import json_answers
from bot.commands.answers import metric_queries
from bot.commands.parsing import grammar
from bot.commands.request import CommandContext
from bot.rendering.charts import plain_text
from core.files.syntax.problems import UnreadableFile
from core.judging.model.evidence import CellKey
from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.state.model import RolloutState
from core.service import replay
from core.service.rollout_look import evaluate_rollout
from core.store.observations import looks, observation_sums

METRICS = """
metrics:
  - {name: resolution_rate, kind: rate, direction: up, title: Solved without a person, usual: 62%}
  - {name: answer_words, kind: mean, unit: words, direction: same, title: Length of an answer, usual: 120, cap: 800}
  - {name: lookup_wait, kind: quantile, quantile: 90%, unit: ms, direction: down}
  - {name: cited_claims, kind: ratio, unit: per claim, direction: up, class: signal}
"""
HARMLESS: Mapping[str, Any] = {"resolved": 0.62, "words": 120.0, "wait": 400.0, "cited": 0.9}


def _readings(chance: random.Random, *, resolved: float, words: float, wait: float, cited: float) -> dict[str, Any]:
    claims = chance.randint(1, 8)
    return {
        "resolution_rate": chance.random() < resolved,
        "answer_words": round(words * chance.lognormvariate(0, 0.4)),
        "lookup_wait": wait * chance.lognormvariate(0, 0.4),
        "cited_claims": {
            "numerator": sum(chance.random() < cited for _ in range(claims)),
            "denominator": claims,
        },
    }


def _observe(running: Any, http: Any, chance: random.Random, **new: float) -> None:
    """Two thousand requests, half of them on the new version, which differs in `new`."""
    observed = []
    for i in range(2_000):
        arm = "canary" if i % 2 else "control"
        observed.append(
            {
                "surface": "support-assistant",
                "unit": f"{arm}-{running.now().timestamp()}-{i}",
                "variant": arm,
                "metrics": _readings(chance, **{**HARMLESS, **(new if arm == "canary" else {})}),
            }
        )
    answer = http.post("/api/v1/observations", json={"observations": observed}, timeout=60).json()
    assert answer == {"accepted": 2_000, "rejected": []}


def _look(running: Any) -> None:
    running.wait(minutes=2)
    evaluate_rollout(running.service, "R-1", running.now(), every=timedelta(minutes=2))


def _file(rollout_file: str, *limits: str) -> str:
    head, rest = rollout_file.split("stages:")
    stages = """stages:
  - canary: {percent: 5, min_hold: 1m, max_hold: 6h, min_samples: 10}
  - ramp: {steps: [50%, 100%], hold: 6h}
"""
    written = "".join(f"  - {limit}\n" for limit in limits)
    return f"{head}{stages}assignment:{rest.split('assignment:')[1]}".replace(
        "rollback_when:\n", f"rollback_when:\n{written}"
    )


def _begin(running: Any, text: str) -> None:
    """Half of the traffic on the new version."""
    running.apply(text)
    running.do(c.Start())
    running.wait(minutes=2)
    running.do(c.Advance(reason="half of them at once"))
    running.wait(minutes=1)


def _rollout(running: Any) -> Any:
    return running.service.load_world().rollouts["R-1"]


def _play(running: Any, http: Any, looks_taken: int, **new: float) -> Any:
    chance = random.Random(7)
    for _ in range(looks_taken):
        _observe(running, http, chance, **new)
        _look(running)
        if _rollout(running).state is not RolloutState.RUNNING:
            break
    return _rollout(running)


@pytest.fixture
def own(running: Any, surface_file: str) -> Any:
    running.apply(surface_file + METRICS)
    return running


@pytest.mark.shows("E18")
@pytest.mark.parametrize(
    ("limit", "harm"),
    [
        ("{metric: resolution_rate, drops_by: 2pp}", {"resolved": 0.5}),
        ("{metric: answer_words, changes_by: 10%}", {"words": 70.0}),
        ("{metric: lookup_wait, exceeds: 1200ms}", {"wait": 1500.0}),
        ("{metric: lookup_wait, rises_by: 20%}", {"wait": 700.0}),
        ("{metric: cited_claims, drops_by: 5%}", {"cited": 0.7}),
    ],
    ids=["rate", "mean", "quantile above a level", "quantile against control", "ratio"],
)
def test_harm_in_an_own_metric_rolls_back_and_names_it(
    own: Any, serve: Any, rollout_file: str, limit: str, harm: dict[str, float]
) -> None:
    http = serve(own)
    _begin(own, _file(rollout_file, limit))
    rollout = _play(own, http, 12, **harm)
    assert rollout.state is RolloutState.ROLLED_BACK
    assert rollout.rollback.findings[0].metric == limit.split(",")[0].removeprefix("{metric: ")


@pytest.mark.shows("E18")
def test_without_harm_nothing_is_done_and_every_own_metric_is_shown(own: Any, serve: Any, rollout_file: str) -> None:
    http = serve(own)
    _begin(own, _file(rollout_file, "{metric: resolution_rate, drops_by: 2pp}"))
    rollout = _play(own, http, 5)
    assert rollout.state is RolloutState.RUNNING
    context = CommandContext(service=own.service, by=Actor(id="cli:ana", handle="ana"), at=own.now(), command_id="x")
    names = own.service.load_world().own_metric_names
    parsed = grammar.parse("metrics R-1", names)
    shown = plain_text.render_text(metric_queries.ANSWERS["metrics"](parsed, context))  # type: ignore[arg-type]
    for title in ("Solved without a person", "Length of an answer", "Lookup wait", "Cited claims"):
        assert title in shown
    parsed = grammar.parse("explain R-1 cited_claims", names)
    explained = plain_text.render_text(metric_queries.ANSWERS["explain"](parsed, context))  # type: ignore[arg-type]
    assert "signal: what people do" in explained
    as_json = json_answers.answer_as_json(parsed, context)  # type: ignore[arg-type]
    assert "resolution_rate" not in str(as_json)
    assert "cited_claims" in str(as_json)
    page = http.get("/r/R-1").text
    assert "Solved without a person" in page


def test_a_ratio_is_the_sum_of_numerators_over_the_sum_of_denominators(own: Any, serve: Any, rollout_file: str) -> None:
    http = serve(own)
    _begin(own, _file(rollout_file, "{metric: cited_claims, drops_by: 5%}"))
    ratios = [(1, 1), (1, 9)]
    observed = [
        {
            "surface": "support-assistant",
            "unit": f"u{i}",
            "variant": "canary",
            "metrics": {"cited_claims": {"numerator": top, "denominator": bottom}},
        }
        for i, (top, bottom) in enumerate(ratios)
    ]
    assert http.post("/api/v1/observations", json={"observations": observed}).json()["rejected"] == []
    with own.service.database.reading() as connection:
        sums = observation_sums.load_sums(connection, "R-1")
    stage = _rollout(own).stage_index
    cells = [
        sums.cells[CellKey(stage=stage, arm="canary", segment="", metric=metric)]
        for metric in ("cited_claims", "cited_claims/denominator")
    ]
    assert [(float(cell.weight.sum()), float(cell.value.sum())) for cell in cells] == [(2, 2), (2, 10)]


@pytest.mark.parametrize(
    ("metrics", "code", "message"),
    [
        (
            {"resolution_rat": True},
            "unknown_metric",
            'unknown metric "resolution_rat". Did you mean "resolution_rate"?',
        ),
        ({"resolution_rate": 0.5}, "bad_value", '"resolution_rate" is true/false or 0/1 for each request, not 0.5'),
        ({"answer_words": True}, "bad_value", '"answer_words" is a number (words), not true'),
        ({"cited_claims": 0.9}, "bad_value", '"cited_claims" is a ratio: send {"numerator": 3, "denominator": 4}'),
        (
            {"cited_claims": {"numerator": 3, "denominator": 0}},
            "bad_value",
            '"cited_claims" has a numerator of 3 over a denominator of 0',
        ),
        (
            {"mood": 3},
            "unknown_metric",
            'unknown metric "mood". The keys are the catalogue\'s, latency_ms, ttft_ms, and what the '
            "surface file defines under metrics.",
        ),
    ],
)
def test_what_nobody_defined_is_rejected_by_name_and_counted(
    own: Any, serve: Any, rollout_file: str, metrics: dict[str, Any], code: str, message: str
) -> None:
    http = serve(own)
    _begin(own, _file(rollout_file))
    item = {"surface": "support-assistant", "unit": "u", "variant": "canary", "metrics": {**metrics, "refusal_rate": 0}}
    answer = http.post("/api/v1/observations", json={"observations": [item]}).json()
    assert answer == {"accepted": 1, "rejected": [{"index": 0, "code": code, "message": message}]}
    with own.service.database.reading() as connection:
        cells = observation_sums.load_sums(connection, "R-1").cells
    refused = [cell for key, cell in cells.items() if key.metric == "refused_items" and key.segment == ""]
    assert [float(cell.value.sum()) for cell in refused] == [1]


def test_two_surfaces_define_the_same_name_differently(own: Any, serve: Any, surface_file: str) -> None:
    own.apply(
        surface_file.replace("support-assistant", "search")
        + "metrics: [{name: resolution_rate, kind: mean, unit: s, direction: down}]\n"
    )
    http = serve(own)
    items = [
        {"surface": surface, "unit": "u", "variant": "stable", "metrics": {"resolution_rate": 0.5}}
        for surface in ("support-assistant", "search")
    ]
    answer = http.post("/api/v1/observations", json={"observations": items}).json()
    assert [one["index"] for one in answer["rejected"]] == [0]


def _refusal(running: Any, text: str) -> str:
    with pytest.raises(UnreadableFile) as refusal:
        running.apply(text)
    return str(refusal.value)


def test_a_definition_does_not_change_under_a_rollout_that_is_judged_by_it(
    own: Any, surface_file: str, rollout_file: str
) -> None:
    _begin(own, _file(rollout_file, "{metric: resolution_rate, drops_by: 2pp}"))
    changed = METRICS.replace(
        "resolution_rate, kind: rate, direction: up", "resolution_rate, kind: rate, direction: down"
    )
    assert "R-1 is judged by resolution_rate right now, and its direction differ" in _refusal(
        own, surface_file + changed
    )
    gone = "\n".join(line for line in METRICS.splitlines() if "answer_words" not in line)
    assert "R-1 is judged by answer_words right now: keep its definition" in _refusal(own, surface_file + gone)
    own.apply(surface_file + METRICS.replace("Solved without a person", "Solved by itself"))
    own.apply(surface_file + METRICS + "  - {name: follow_ups, kind: mean, unit: messages, direction: down}\n")
    assert {metric.key for metric in _rollout(own).plan.metrics} == {
        "resolution_rate",
        "answer_words",
        "lookup_wait",
        "cited_claims",
    }
    assert "follow_ups" in own.service.load_world().own_metrics.of_surface("support-assistant")


def test_a_file_that_is_applied_again_keeps_the_plan_that_runs(own: Any, surface_file: str, rollout_file: str) -> None:
    text = _file(rollout_file, "{metric: resolution_rate, drops_by: 2pp}")
    _begin(own, text)
    before = _rollout(own).fingerprint
    own.apply(surface_file + METRICS + "  - {name: follow_ups, kind: mean, unit: messages, direction: down}\n")
    assert own.apply(text) == "R-1"
    assert _rollout(own).fingerprint == before


def test_a_metric_that_is_newer_than_the_plan_is_taken_and_not_counted(
    own: Any, serve: Any, surface_file: str, rollout_file: str
) -> None:
    http = serve(own)
    _begin(own, _file(rollout_file))
    own.apply(surface_file + METRICS + "  - {name: follow_ups, kind: mean, unit: messages, direction: down}\n")
    item = {"surface": "support-assistant", "unit": "u", "variant": "canary", "metrics": {"follow_ups": 2}}
    assert http.post("/api/v1/observations", json={"observations": [item]}).json() == {"accepted": 1, "rejected": []}
    with own.service.database.reading() as connection:
        metrics = {key.metric for key in observation_sums.load_sums(connection, "R-1").cells}
    assert metrics == {"requests"}


def test_the_verdicts_can_be_computed_again_after_the_file_has_changed(
    own: Any, serve: Any, surface_file: str, rollout_file: str
) -> None:
    http = serve(own)
    _begin(own, _file(rollout_file, "{metric: resolution_rate, drops_by: 2pp}"))
    assert _play(own, http, 12, resolved=0.5).state is RolloutState.ROLLED_BACK
    own.apply(surface_file + "metrics: [{name: resolution_rate, kind: mean, unit: s, direction: down}]\n")
    with own.service.database.reading() as connection:
        report = replay.verify(connection, tuple(looks.count_by_rollout(connection)))
    assert report.looks > 0
    assert (report.mismatches, report.unchecked) == ((), ())


def test_a_policy_defines_metrics_for_every_surface(running: Any, serve: Any, rollout_file: str) -> None:
    running.apply(
        "version: 1\nkind: policy\nmetrics: [{name: resolution_rate, kind: rate, direction: up, title: Solved}]\n"
    )
    http = serve(running)
    _begin(running, _file(rollout_file, "{metric: resolution_rate, drops_by: 2pp}"))
    item = {"surface": "support-assistant", "unit": "u", "variant": "canary", "metrics": {"resolution_rate": True}}
    assert http.post("/api/v1/observations", json={"observations": [item]}).json() == {"accepted": 1, "rejected": []}
    assert [metric.key for metric in _rollout(running).plan.metrics] == ["resolution_rate"]


def test_a_name_is_defined_at_one_level(own: Any) -> None:
    text = "version: 1\nkind: policy\nmetrics: [{name: resolution_rate, kind: rate, direction: up}]\n"
    assert "3:18: metrics.0.name: resolution_rate is defined by support-assistant already" in _refusal(own, text)
