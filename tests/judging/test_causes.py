"""Why a cost or a time differs: the parts add up, the right one is named, and what is not known is not said."""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from bot.rendering.numbers import cause_words
from core.judging.model.causes import DifferenceCauses
from core.judging.model.evidence import BUCKETS, BucketSums, CellKey, EvidenceSums
from core.judging.report.causes import explain_differences

PER_INPUT, PER_OUTPUT = 2.5e-6, 10e-6
Readings = Mapping[str, np.ndarray]


def requests(
    seed: int, *, calls: float = 1.3, sent: float = 1000, answered: float = 200, price: float = 1.0
) -> Readings:
    """Readings of 4,000 requests that vary around these levels; what they cost follows from their tokens."""
    chance = np.random.default_rng(seed)
    number = 1 + chance.poisson(calls - 1, 4000)
    input_tokens = number * chance.gamma(20, sent / 20, 4000)
    output_tokens = number * chance.gamma(20, answered / 20, 4000)
    return {
        "llm_calls_per_request": number.astype(float),
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost_per_request": price * (PER_INPUT * input_tokens + PER_OUTPUT * output_tokens),
    }


def sums(canary: Readings, control: Readings) -> EvidenceSums:
    cells = {}
    for arm, readings in (("canary", canary), ("control", control)):
        for metric, values in readings.items():
            bucket = np.random.default_rng(7).integers(0, BUCKETS, len(values))
            key = CellKey(stage=1, arm=arm, segment="", metric=metric)
            cells[key] = BucketSums(
                weight=np.bincount(bucket, minlength=BUCKETS).astype(float),
                value=np.bincount(bucket, values, minlength=BUCKETS),
            )
    return EvidenceSums(cells=cells)


def explain(canary: Readings, control: Readings) -> DifferenceCauses:
    (found,) = explain_differences(sums(canary, control), 1)
    assert sum(one.contribution for one in found.causes) == pytest.approx(found.difference)
    return found


@pytest.mark.shows("E22")
@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ({"calls": 2.2}, "calls"),
        ({"sent": 2000.0}, "input_tokens"),
        ({"answered": 500.0}, "output_tokens"),
        ({"price": 2.0}, "price"),
    ],
)
def test_the_factor_that_changed_carries_the_difference(change: Mapping[str, float], factor: str) -> None:
    found = explain(requests(1, **change), requests(2))
    first, *others = found.causes
    assert first.factor == factor
    assert first.contribution == pytest.approx(found.difference, rel=0.15)
    assert first.low is not None
    assert first.low > 0
    for other in others:
        assert other.low is not None
        assert other.high is not None
        assert other.low - 0.02 * found.difference <= 0 <= other.high + 0.02 * found.difference, other


def test_two_factors_share_what_they_do_together() -> None:
    found = explain(requests(1, calls=2.6, sent=2000), requests(2, calls=1.3))
    shares = {one.factor: one.contribution / found.difference for one in found.causes}
    assert shares["calls"] + shares["input_tokens"] == pytest.approx(1, abs=0.05)
    assert min(shares["calls"], shares["input_tokens"]) > 0.3


@pytest.mark.shows("E22")
def test_the_range_holds_what_is_true_in_most_samples() -> None:
    true = 0.9 * (1000 * PER_INPUT + 200 * PER_OUTPUT)  # 0.9 more calls, each as dear as in control
    held = 0
    for seed in range(60):
        found = explain(requests(seed, calls=2.2), requests(1000 + seed))
        cause = next(one for one in found.causes if one.factor == "calls")
        held += cause.low is not None and cause.high is not None and cause.low <= true <= cause.high
    assert held >= 52


def test_without_tokens_the_cost_of_a_call_is_what_is_left() -> None:
    bare = [{k: v for k, v in one.items() if "tokens" not in k} for one in (requests(1, calls=2.2), requests(2))]
    assert [one.factor for one in explain(*bare).causes] == ["calls", "call_cost"]


def test_readings_of_other_requests_explain_nothing() -> None:
    canary = dict(requests(1, calls=2.2))
    canary["llm_calls_per_request"] = canary["llm_calls_per_request"][:2000]
    assert "calls" not in {one.factor for one in explain(canary, requests(2)).causes}
    few = {key: values[:15] for key, values in requests(1).items()}
    assert explain_differences(sums(few, requests(2)), 1) == ()
    nothing = {key: 0 * values for key, values in requests(1).items()}
    assert explain_differences(sums(nothing, requests(2)), 1) == ()


def test_time_is_that_of_tools_of_the_first_word_and_of_the_rest() -> None:
    def timed(seed: int, tools: float) -> Readings:
        chance = np.random.default_rng(seed)
        in_tools = chance.gamma(10, tools / 10, 4000)
        first = in_tools + chance.gamma(10, 40, 4000)
        return {"tool_time": in_tools, "ttft_p95": first, "latency_p95": first + chance.gamma(10, 60, 4000)}

    found = explain(timed(1, 1100), timed(2, 400))
    assert (found.metrics, found.causes[0].factor) == (("latency_p50", "latency_p95"), "tools")
    assert found.causes[0].contribution == pytest.approx(700, rel=0.05)
    assert (
        cause_words.format_reason((found,), "latency_p95")
        .partition(" because ")[2]
        .startswith("time in tools went from 40")
    )


def test_the_cost_of_a_call_is_told_apart_from_that_of_a_request() -> None:
    bare = [{k: v for k, v in one.items() if "tokens" not in k} for one in (requests(1), requests(2))]
    bare[0]["cost_per_request"] = 0.8 * bare[0]["cost_per_request"]
    reason = cause_words.format_reason((explain(*bare),), "cost_per_request")
    assert re.search(
        r"because a model call costs \$0\.\d+ instead of \$0\.\d+ \(about 1\.3 calls per request\)", reason
    ), reason


def test_a_reason_names_what_is_certain_and_nothing_else() -> None:
    found = explain(requests(1, calls=2.2), requests(2))
    reason = cause_words.format_reason((found,), "cost_per_request")
    total, _, cause = reason.partition(" because ")
    assert total.startswith("+$0.004")
    assert total.endswith(" on average: +$0.0041")
    assert cause.startswith("calls per request went from 1.3 to 2.2")
    same = explain(requests(1), requests(2))
    assert cause_words.format_reason((same,), "cost_per_request") == ""
    assert cause_words.format_reason((found,), "latency_p95") == ""
    assert len(cause_words.list_causes((found,), "cost_per_request")) == 1 + len(found.causes)


def test_what_a_cause_adds_up_to_is_told_where_others_work_against_it() -> None:
    found = explain(requests(1, calls=2.2), requests(2))
    less = replace(found, difference=0.8 * found.difference)
    reason = cause_words.format_reason((less,), "cost_per_request")
    assert re.search(r"^\+\$0\.003\d on average: \+\$0\.0041 because .*, -\$0\.0008\d+ from the rest$", reason), reason
