"""From the spans of a trace to requests: whose they are, and what they took."""

import random
from typing import Any

import pytest

from core.flags.bucketing import compute_bucket
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.serving.exposure import build_snapshot
from core.telemetry.count_trace import TraceOutcome, count_trace
from core.telemetry.prices import PriceTable, parse_prices
from core.telemetry.read_attributes import read_span_attributes
from core.telemetry.span import ReportedSpan, TracePart
from tests.flags.conftest import NOON, world_in

PLAIN = (Stage(kind=StageKind.EVAL, name="eval"), Stage(kind=StageKind.CANARY, name="canary", percent=5))
SECOND = 10**9
BEGINS = (int(NOON.timestamp()) + 3600 + 1800) * SECOND  # half an hour into the canary
FLAG = {"feature_flag.key": "support", "feature_flag.result.variant": "canary", "feature_flag.context.id": "u1"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "m"}


def span(name: str, parent: str = "", *, begins: float = 0, ends: float = 1, **attributes: Any) -> ReportedSpan:
    return ReportedSpan(
        name,
        parent,
        not parent,
        BEGINS + int(begins * SECOND),
        BEGINS + int(ends * SECOND),
        False,
        read_span_attributes(attributes.items()),
    )


def count(*spans: ReportedSpan, resource: Any = None, prices: PriceTable | None = None) -> TraceOutcome:
    surfaces = build_snapshot(world_in(1, stages=PLAIN)).surfaces
    parts = [TracePart("t", resource or {}, (one,), ()) for one in spans]
    return count_trace(parts, None, surfaces, prices or PriceTable({}))


def test_the_order_in_which_spans_come_changes_nothing() -> None:
    spans = [
        span("a", ends=9, **FLAG),
        span("b", "a", ends=2, **CHAT, **{"gen_ai.usage.input_tokens": 10}),
        span("c", "a", begins=2, ends=5, **CHAT, **{"gen_ai.response.finish_reasons": ["length"]}),
    ]
    expected = count(*spans).items
    assert expected[0]["metrics"]["latency_ms"] == 9000
    assert "input_tokens" not in expected[0]["metrics"], "a sum of which one part is not known is not known"
    for seed in range(10):
        random.Random(seed).shuffle(spans)
        assert count(*spans, spans[0]).items == expected


def test_unit_and_time_tell_the_side_where_no_cohort_came_before() -> None:
    units = {"canary": 0, "control": 999_999}
    for side, near in units.items():
        unit = min((f"u{i}" for i in range(2000)), key=lambda u: abs(compute_bucket("expose", "R-1", u) - near))
        found = count(span("a", **CHAT, **{"rampart.surface": "support", "user.id": unit}))
        assert [(item["unit"], item["variant"]) for item in found.items] == [(unit, side)]


def test_a_service_may_have_the_name_of_its_surface() -> None:
    found = count(span("a", **CHAT, **{"user.id": "u1"}), resource={"service": "support"})
    assert [item["surface"] for item in found.items] == ["support"]


@pytest.mark.parametrize(("ahead", "waited"), [(0.5, 800), (0, 300), (-0.1, None), (-3, None)])
def test_the_wait_for_the_first_word_is_not_measured_over_two_clocks(ahead: float, waited: float | None) -> None:
    """The host of the model's gateway may be behind the one of the application: its call begins before the request."""
    first = {"gen_ai.response.time_to_first_chunk": 0.3}
    found = count(span("a", ends=2, **FLAG), span("b", "a", begins=ahead, ends=ahead + 1, **CHAT, **first))
    assert found.items[0]["metrics"].get("ttft_ms") == waited
    assert found.items[0]["metrics"]["latency_ms"] == 2000


PRICES = parse_prices("prices: [{model: m, since: 2020-01-01, input: 500000, output: 500000}]")


def tokens(read: int | None, written: int | None, **more: int) -> dict[str, int]:
    told = {"gen_ai.usage.input_tokens": read, "gen_ai.usage.output_tokens": written}
    return {name: count for name, count in told.items() if count is not None} | more


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (tokens(10, 2), (10, 2, 6)),
        (tokens(0, 0), (None, None, None)),
        (tokens(0, 2), (None, None, None)),
        (tokens(10, None), (10, None, None)),
        (tokens(None, 2), (None, 2, None)),
        (tokens(10, 0), (10, 0, 5)),
        (tokens(0, 2, **{"gen_ai.usage.cache_read.input_tokens": 5}), (0, 2, 3.5)),
        (tokens(10, 2, **{"llm.cost.total": 0}), (10, 2, 6)),
        (tokens(10, 2, **{"llm.cost.total": 4}), (10, 2, 4)),
        ({"llm.cost.total": 0}, (None, None, None)),
    ],
)
def test_what_was_not_counted_is_not_zero(use: dict[str, int], expected: tuple[float | None, ...]) -> None:
    """A stream may not tell its use, and some instrumentations then say 0: such a call cost something all the same."""
    metrics = count(span("a", **CHAT, **FLAG, **use), prices=PRICES).items[0]["metrics"]
    assert tuple(metrics.get(key) for key in ("input_tokens", "output_tokens", "cost_per_request")) == expected


def test_a_call_that_says_zero_within_one_that_counted_is_that_one() -> None:
    found = count(
        span("a", **CHAT, **FLAG, **tokens(10, 2)), span("b", "a", **CHAT, **tokens(0, 0)), prices=PRICES
    ).items[0]["metrics"]
    assert (found["llm_calls_per_request"], found["input_tokens"], found["cost_per_request"]) == (1, 10, 6)


def test_units_in_one_trace_are_requests_of_their_own() -> None:
    found = count(
        span("batch", ends=9),
        *(span(unit, "batch", **CHAT, **{**FLAG, "feature_flag.context.id": unit}) for unit in ("u1", "u2")),
    )
    assert sorted(item["unit"] for item in found.items) == ["u1", "u2"]


def test_spans_that_are_each_others_parents_end_nothing() -> None:
    found = count(span("a", "b", **CHAT, **FLAG), span("b", "a", **CHAT, **FLAG))
    assert len(found.items) == 1


def test_a_measure_of_the_application_counts_before_what_follows_from_spans() -> None:
    (item,) = count(
        span("a", **CHAT, **FLAG, **{"rampart.metric.refusal_rate": True, "rampart.metric.latency_ms": 5.0})
    ).items
    assert (item["metrics"]["refusal_rate"], item["metrics"]["latency_ms"]) == (True, 5.0)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"gen_ai.provider.name": "anthropic", "gen_ai.response.finish_reasons": ["refusal"]}, True),
        ({"gen_ai.provider.name": "anthropic", "gen_ai.response.finish_reasons": ["end_turn"]}, False),
        ({"gen_ai.provider.name": "openai", "gen_ai.response.finish_reasons": ["stop"]}, None),
        ({"gen_ai.output.messages": '[{"parts": [{"type": "refusal", "content": "no"}]}]'}, True),
        ({"gen_ai.output.messages": '[{"parts": [{"type": "text", "content": "refusal"}]}]'}, False),
    ],
)
def test_a_refusal_is_known_only_where_it_would_be_seen(attributes: Any, expected: bool | None) -> None:
    (item,) = count(span("a", **CHAT, **FLAG, **attributes)).items
    assert item["metrics"].get("refusal_rate") is expected


USED = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}


def test_the_use_that_only_the_outer_of_two_instrumentations_tells_is_that_of_the_call() -> None:
    outside, between, inside = span("a", **CHAT, **FLAG, **USED), span("b", "a", **CHAT), span("c", "b", **CHAT)
    (item,) = count(outside, between, inside).items
    assert (item["metrics"]["llm_calls_per_request"], item["metrics"]["input_tokens"]) == (1, 10)
    (item,) = count(outside, span("b", "a", **CHAT, **{**USED, "gen_ai.usage.input_tokens": 9})).items
    assert item["metrics"]["input_tokens"] == 9
    (item,) = count(outside, span("b", "a", **CHAT), span("c", "a", **CHAT)).items
    assert "input_tokens" not in item["metrics"], "how two calls share the tokens of their wrapper is not known"


@pytest.mark.parametrize(
    "name",
    ["cache_read.input_tokens", "cache_read_tokens", "details.cache_read_tokens", "details.cache_read_input_tokens"],
)
def test_cached_tokens_are_known_by_each_name_in_use(name: str) -> None:
    (item,) = count(span("a", **CHAT, **FLAG, **USED, **{f"gen_ai.usage.{name}": 5})).items
    assert item["metrics"]["cache_hit_rate"] == 0.5


def test_no_text_of_an_answer_is_kept() -> None:
    facts = read_span_attributes(
        {**CHAT, "gen_ai.output.messages": '[{"parts": [{"type": "text", "content": "secret"}]}]'}.items()
    )
    assert "secret" not in str(facts)
