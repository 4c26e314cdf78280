"""What the requests of `application.py` come to, by what each instrumentation tells of them."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from tests.http.instrumentations.model_server import CACHED, INPUT, OUTPUT, SNAPSHOTS

INSTRUMENTATIONS = ("genai", "traceloop", "openinference")
COST = ((INPUT - CACHED) * 2.5 + CACHED * 1.25 + OUTPUT * 10) / 1e6
"""US dollars of one answer of gpt-4o."""
COST_OF_MINI = ((INPUT - CACHED) * 0.15 + CACHED * 0.075 + OUTPUT * 0.6) / 1e6
USE = frozenset({"input_tokens", "output_tokens", "cache_hit_rate", "cost_per_request"})
ENDS = frozenset({"truncation_rate", "moderation_flag_rate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One request: its readings, and the model that answered.

    `untold` are readings that an instrumentation does not tell, `unreported` names those that do not report the call.
    """

    metrics: Mapping[str, float]
    is_streamed: bool = False
    model: str = SNAPSHOTS["gpt-4o"]
    untold: Mapping[str, Set[str]] = field(default_factory=dict)
    unreported: Set[str] = frozenset()

    def list_metrics(self, instrumentation: str) -> dict[str, float | None]:
        """Every reading by one instrumentation; None for times, which have no fixed value."""
        found: dict[str, float | None] = {"latency_ms": None, "tool_time": 0, **self.metrics}
        if self.is_streamed:
            found["ttft_ms"] = None
        untold = set(self.untold.get(instrumentation, ()))
        if instrumentation != "traceloop":  # which sends the answer itself, in which a refusal is a part
            untold.add("refusal_rate")
        return {name: value for name, value in found.items() if name not in untold}


def _answer(calls: int = 1, *, without: Set[str] = frozenset(), cost: float = COST, **more: float) -> dict[str, float]:
    """The readings of a request whose every call was answered."""
    readings = {
        "llm_calls_per_request": calls,
        "input_tokens": INPUT * calls,
        "output_tokens": OUTPUT * calls,
        "cache_hit_rate": CACHED / INPUT,
        "cost_per_request": cost * calls,
        "hard_error_rate": 0,
        "truncation_rate": 0,
        "moderation_flag_rate": 0,
        "refusal_rate": 0,
    }
    return {name: value for name, value in (readings | more).items() if name not in without}


EXPECTED = {
    "answer": Expected(metrics=_answer()),
    "streamed": Expected(metrics=_answer(), is_streamed=True),
    "streamed_by_helper": Expected(metrics=_answer(), is_streamed=True),
    "streamed_asynchronously": Expected(metrics=_answer(), is_streamed=True),
    "streamed_without_usage": Expected(metrics=_answer(without=USE), is_streamed=True),
    # Traceloop tells of each chunk in an event of its span, of which SDKs keep the newest 128.
    "streamed_at_length": Expected(metrics=_answer(), is_streamed=True, untold={"traceloop": {"ttft_ms"}}),
    "with_tool": Expected(metrics=_answer(2)),
    "with_embedding": Expected(metrics=_answer()),
    "cut_off": Expected(metrics=_answer(truncation_rate=1)),
    "filtered": Expected(metrics=_answer(moderation_flag_rate=1)),
    "refused": Expected(metrics=_answer(refusal_rate=1)),
    "busy_once": Expected(metrics=_answer()),
    "failed": Expected(metrics={"llm_calls_per_request": 1, "hard_error_rate": 1}, model=""),
    "answered_by_another_model": Expected(
        metrics=_answer(cost=COST_OF_MINI, llm_calls_per_request=2), model=SNAPSHOTS["gpt-4o-mini"]
    ),
    "response": Expected(metrics=_answer(), untold={"openinference": ENDS}),
    "response_streamed": Expected(
        metrics=_answer(), is_streamed=True, untold={"openinference": ENDS, "traceloop": {"ttft_ms"}}
    ),
    "response_cut_off": Expected(
        metrics=_answer(truncation_rate=1), untold={"openinference": ENDS}, unreported={"traceloop"}
    ),
    # Whoever leaves, leaves no use and no end.
    "streamed_to_who_left": Expected(
        metrics={"llm_calls_per_request": 1, "hard_error_rate": 0, "refusal_rate": 0}, is_streamed=True
    ),
}
"""By request."""
