"""OpenTelemetry by the real Python exporters against the real server: requests counted once, in their place."""

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.trace import Status, StatusCode, set_span_in_context

from bot.http.otlp import decode_json, json_values
from bot.http.otlp.known_attributes import KnownAttributes
from core.judging.model.evidence import CellKey, EvidenceSums
from core.store.observations import observation_sums, trace_parts

FLAG = {
    "feature_flag.key": "support-assistant",
    "feature_flag.result.variant": "canary",
    "feature_flag.context.id": "user-1",
}
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
    "gen_ai.response.time_to_first_chunk": 0.25,
}


def sums(running: Any) -> EvidenceSums:
    with running.service.database.reading() as connection:
        return observation_sums.load_sums(connection, "R-1")


def counted(running: Any, metric: str = "requests", arm: str = "canary") -> tuple[float, float]:
    """(weight, value) of a cell, over all buckets."""
    cell = sums(running).cells.get(CellKey(stage=1, arm=arm, segment="", metric=metric))
    return (float(cell.weight.sum()), round(float(cell.value.sum()), 9)) if cell else (0.0, 0.0)


def wait_until(is_true: Callable[[], bool], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.02)


def settle(running: Any, client: Any, **span: float) -> None:
    """Let the traces come to rest, and wait until they are counted."""
    running.wait(**(span or {"seconds": 6}))

    def is_empty() -> bool:
        with running.service.database.reading() as connection:
            return trace_parts.count_parts(connection) == 0

    wait_until(is_empty)


def wait_for_figure(client: Any, line: str) -> None:
    """Wait for a line of the metrics: outcomes are counted just after the transaction that takes the parts away."""
    wait_until(lambda: line in client.get("/metrics").text)


class Application:
    """An application with the OpenTelemetry SDK, whose clock is the rollouts'."""

    def __init__(self, running: Any, url: str, **resource: str) -> None:
        self.exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces")
        self.provider = TracerProvider(resource=Resource(resource))
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("application")
        self._running = running
        self._elapsed = 0.0

    @property
    def now(self) -> int:
        return int((self._running.now().timestamp() + self._elapsed) * 1e9)

    @contextmanager
    def span(self, name: str, parent: Any = None, *, seconds: float = 0, **attributes: Any) -> Iterator[Any]:
        """A span that takes `seconds` beside what is done in it."""
        context = set_span_in_context(parent) if parent is not None else None
        span = self.tracer.start_span(name, context, attributes=attributes, start_time=self.now)
        yield span
        self._elapsed += seconds
        span.end(end_time=self.now)


def start(running: Any, serve: Any, canary: Any) -> Any:
    client = serve(running)
    canary(running)
    app = Application(running, str(client.base_url).rstrip("/"))
    app.running, app.client = running, client  # type: ignore[attr-defined]
    return app


@pytest.fixture
def application(running: Any, serve: Any, canary: Any) -> Any:
    return start(running, serve, canary)


def test_the_spans_of_a_request_become_one_observation(everywhere: Any, serve: Any, canary: Any) -> None:
    application = start(everywhere, serve, canary)
    with application.span("POST /ask", seconds=0.5, **FLAG) as request:
        with application.span("chat", request, seconds=1, **CHAT):
            pass
        with application.span(
            "search", request, seconds=0.2, **{"gen_ai.operation.name": "execute_tool", "error.type": "timeout"}
        ):
            pass
        with application.span("chat", request, seconds=2, **CHAT, **{"gen_ai.usage.cache_read.input_tokens": 500}):
            pass
    settle(application.running, application.client)
    assert counted(application.running) == (1, 1)
    expected = {
        "latency_p95": 3700,
        "ttft_p95": 1450,
        "llm_calls_per_request": 2,
        "input_tokens": 2000,
        "output_tokens": 200,
        "cache_hit_rate": 0.5,
        "cost_per_request": (1000 * 2.5 + 500 * 2.5 + 500 * 1.25 + 200 * 10) / 1e6,
        "hard_error_rate": 0,
        "truncation_rate": 0,
        "tool_error_rate": 1,
    }
    assert {metric: counted(application.running, metric)[1] for metric in expected} == pytest.approx(expected)
    assert counted(application.running, "refusal_rate") == (0, 0), "no reading where it cannot be known"
    assert sums(application.running).first_exposures == {(1, "canary"): 1}


def test_what_a_collector_repeats_counts_once(everywhere: Any, serve: Any, canary: Any) -> None:
    application = start(everywhere, serve, canary)
    kept: list[Any] = []
    application.provider.add_span_processor(SimpleSpanProcessor(_Keeping(kept)))
    with application.span("POST /ask", **FLAG) as request, application.span("chat", request, seconds=1, **CHAT):
        pass
    assert application.exporter.export(kept[::-1]) is SpanExportResult.SUCCESS
    settle(application.running, application.client)
    assert counted(application.running) == (1, 1)
    assert application.exporter.export(kept) is SpanExportResult.SUCCESS
    settle(application.running, application.client)
    assert counted(application.running) == (1, 1)
    assert counted(application.running, "late_items") == counted(application.running, "duplicate_items") == (0, 0)


class _Keeping(OTLPSpanExporter):
    def __init__(self, kept: list[Any]) -> None:
        super().__init__()
        self._kept = kept

    def export(self, spans: Any) -> SpanExportResult:
        self._kept += spans
        return SpanExportResult.SUCCESS


def ask(application: Any, **attributes: Any) -> None:
    """A request with one model call, in a trace of its own."""
    with (
        application.span("POST /ask") as request,
        application.span("chat", request, seconds=1, **{**CHAT, **attributes}),
    ):
        pass


def test_a_side_is_told_by_attributes_by_baggage_by_an_event_of_the_span_or_by_a_log(application: Any) -> None:
    ask(application, **FLAG)
    baggage = "feature_flag.key=support-assistant,feature_flag.result.variant=canary,feature_flag.context.id=user%202"
    header = {"http.request.header.baggage": [baggage]}
    with application.span("POST /ask", **header) as request, application.span("chat", request, **CHAT):
        pass
    with application.span("POST /ask") as request, application.span("chat", request, **CHAT):
        request.add_event("feature_flag.evaluation", {**FLAG, "feature_flag.context.id": "user-3"})
        request.add_event("feature_flag.evaluation", {"feature_flag.key": "dark-mode", "feature_flag.variant": "on"})
    logs = LoggerProvider()
    endpoint = application.exporter._endpoint.replace("traces", "logs")
    logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(endpoint=endpoint)))
    with application.span("POST /ask") as request, application.span("chat", request, **CHAT):
        logs.get_logger("openfeature").emit(
            event_name="feature_flag.evaluation",
            attributes={**FLAG, "feature_flag.context.id": "user-4"},
            context=set_span_in_context(request),
        )
    settle(application.running, application.client)
    assert counted(application.running) == (4, 4)
    assert sums(application.running).first_exposures == {(1, "canary"): 4}


def test_without_a_side_the_unit_and_the_time_tell_it(application: Any) -> None:
    for number in range(40):
        ask(application, **{"rampart.surface": "support-assistant", "user.id": f"user-{number}"})
    settle(application.running, application.client, hours=0.1)
    wait_for_figure(application.client, 'rampart_telemetry_requests_total{outcome="unknown_cohort"} 40.0')
    assert counted(application.running) == (0, 0), "a cohort stage came before: nobody knows who is in it"


def test_what_cannot_be_attributed_is_counted_by_reason_and_nowhere_else(application: Any) -> None:
    ask(application)
    ask(application, **{"feature_flag.key": "support-assistant", "feature_flag.result.variant": "canary"})
    with application.span("POST /ask", **FLAG) as request:
        for side in ("canary", "control"):
            with application.span("chat", request, **CHAT, **{**FLAG, "feature_flag.result.variant": side}):
                pass
    with application.span("GET /", **FLAG):
        pass
    settle(application.running, application.client)
    for reason in ("no_surface", "no_unit", "several_variants", "no_model_call"):
        wait_for_figure(application.client, f'rampart_telemetry_requests_total{{outcome="{reason}"}} 1.0')
    assert counted(application.running) == (0, 0)


def test_a_judges_result_counts_whenever_it_comes_and_as_no_request(application: Any) -> None:
    logs = LoggerProvider()
    endpoint = application.exporter._endpoint.replace("traces", "logs")
    logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(endpoint=endpoint)))

    def judge(span: Any, label: str) -> None:
        logs.get_logger("judge").emit(
            event_name="gen_ai.evaluation.result",
            attributes={"gen_ai.evaluation.name": "correctness", "gen_ai.evaluation.score.label": label},
            context=set_span_in_context(span),
        )

    with application.span("POST /ask", **FLAG) as request, application.span("chat", request, **CHAT):
        judge(request, "pass")
    settle(application.running, application.client)
    assert counted(application.running, "eval_pass_rate") == (1, 1)
    judge(request, "fail")
    judge(request, "no idea")
    settle(application.running, application.client, seconds=61)
    assert counted(application.running, "eval_pass_rate") == (2, 1)
    assert counted(application.running) == (1, 1)


def test_own_metrics_and_soft_errors_come_with_spans_and_with_judges(
    running: Any, serve: Any, canary: Any, surface_file: str
) -> None:
    running.apply(
        f"{surface_file}metrics:\n"
        "  - {name: resolution_rate, kind: rate, direction: up}\n"
        "  - {name: tone, kind: mean, unit: points, direction: up}\n"
        "  - {name: cited_claims, kind: ratio, unit: per claim, direction: up}\n"
    )
    app = start(running, serve, canary)
    said = {
        "rampart.metric.cited_claims.numerator": 3,
        "rampart.metric.cited_claims.denominator": 4,
        "rampart.soft_error": ["loop"],
    }
    cut_off = {**CHAT, "gen_ai.response.finish_reasons": ["length"]}
    with app.span("POST /ask", **FLAG, **said) as request, app.span("chat", request, **cut_off):
        for name, result in (
            ("resolution_rate", {"label": "pass"}),
            ("tone", {"value": 7.0}),
            ("rude", {"label": "pass"}),
        ):
            values = {f"gen_ai.evaluation.score.{key}": value for key, value in result.items()}
            request.add_event("gen_ai.evaluation.result", {"gen_ai.evaluation.name": name, **values})
    settle(running, app.client)
    assert counted(running, "resolution_rate") == (1, 1)
    assert counted(running, "tone") == (1, 7)
    assert (counted(running, "cited_claims"), counted(running, "cited_claims/denominator")) == ((1, 3), (1, 4))
    assert counted(running, "eval_pass_rate") == (1, 1), "only of the result that no own metric is called after"
    assert counted(running, "error_category:soft:loop") == (1, 1)
    assert counted(running, "error_category:soft:truncated") == (1, 1)


def test_a_span_that_comes_after_its_request_was_counted_is_late_and_shown(application: Any) -> None:
    with application.span("POST /ask", **FLAG) as request, application.span("chat", request, **CHAT):
        pass
    settle(application.running, application.client)
    with application.span("chat", request, **CHAT):
        pass
    settle(application.running, application.client, seconds=61)
    assert counted(application.running, "llm_calls_per_request") == (1, 1)
    assert counted(application.running, "late_items") == (1, 1)
    wait_for_figure(application.client, 'outcome="late_spans"} 1.0')


def test_a_request_without_its_outermost_span_waits_longer(application: Any) -> None:
    lost = application.tracer.start_span("POST /ask", start_time=application.now)
    with application.span("chat", lost, seconds=1, **CHAT, **FLAG):
        pass
    application.running.wait(seconds=30)
    time.sleep(2.5)  # longer than the interval at which the process looks
    assert counted(application.running) == (0, 0)
    settle(application.running, application.client, seconds=31)
    assert counted(application.running) == (1, 1)


def test_an_error_is_that_of_the_request_and_a_call_that_was_tried_again_is_none(application: Any) -> None:
    with application.span("POST /ask", **FLAG) as request:
        with application.span("chat", request, **{**CHAT, "error.type": "429"}):
            pass
        with application.span("chat", request, **CHAT):
            pass
    with application.span("POST /ask", **FLAG) as request:
        with application.span("chat", request, **{**CHAT, "error.type": "ReadTimeout"}):
            pass
        request.set_status(Status(StatusCode.ERROR))
    settle(application.running, application.client)
    assert counted(application.running, "hard_error_rate") == (2, 1)
    assert counted(application.running, "error_category:ReadTimeout") == (1, 1)


def test_two_instrumentations_of_one_call_are_one_call(application: Any) -> None:
    outer = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o",
        "llm.token_count.prompt": 1000,
        "llm.token_count.completion": 100,
    }
    with (
        application.span("POST /ask", **FLAG) as request,
        application.span("ChatOpenAI", request, **outer) as wrapper,
        application.span("chat", wrapper, **CHAT),
    ):
        pass
    settle(application.running, application.client)
    assert counted(application.running, "llm_calls_per_request") == (1, 1)
    assert counted(application.running, "input_tokens") == (1, 1000)


def test_a_model_without_a_price_has_no_cost(application: Any) -> None:
    ask(application, **FLAG, **{"gen_ai.response.model": "our-own-7b"})
    settle(application.running, application.client)
    assert counted(application.running) == (1, 1)
    assert counted(application.running, "cost_per_request") == (0, 0)
    wait_for_figure(application.client, 'outcome="no_price"} 1.0')


def span_json(**more: Any) -> dict[str, Any]:
    at = 1_795_521_780 * 10**9  # 12:03 of the rollouts' day
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in {**FLAG, "user.id": "ü"}.items()]
    attributes.append({"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}})
    attributes.append({"key": "gen_ai.usage.input_tokens", "value": {"intValue": "1200"}})
    return {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "EEE19B7EC3C1B174",
        "startTimeUnixNano": str(at),
        "endTimeUnixNano": str(at + 2 * 10**9),
        "attributes": attributes,
        **more,
    }


def export_json(application: Any, *spans: Any, **headers: str) -> Any:
    content = orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    if headers.get("content_encoding") == "gzip":
        content = gzip.compress(content)
    named = {"content-type": "application/json", **{key.replace("_", "-"): value for key, value in headers.items()}}
    return application.client.post("/v1/traces", content=content, headers=named)


def test_json_counts_like_protobuf_with_hexadecimal_ids_and_numbers_as_text(application: Any) -> None:
    application.running.wait(minutes=1)
    answer = export_json(application, span_json(), content_encoding="gzip")
    assert (answer.status_code, answer.json()) == (200, {})
    settle(application.running, application.client)
    assert counted(application.running, "input_tokens") == (1, 1200)
    assert counted(application.running, "latency_p95") == (1, 2000)


def test_gzip_of_several_members_is_read_whole(application: Any) -> None:
    application.running.wait(minutes=1)
    content = orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span_json()]}]}]})
    packed = gzip.compress(content[:200]) + gzip.compress(b"") + gzip.compress(content[200:])
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = application.client.post("/v1/traces", content=packed, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {})
    settle(application.running, application.client)
    assert counted(application.running) == (1, 1)


@pytest.mark.parametrize(
    ("value", "weight"), [("0.25", 1), (0.25, 1), ("NaN", 0), ("Infinity", 0), ("a", 0), (True, 0)]
)
def test_a_double_may_be_a_text_as_the_json_of_protobuf_allows(application: Any, value: Any, weight: int) -> None:
    application.running.wait(minutes=1)
    spent = {"key": "rampart.metric.cost_per_request", "value": {"doubleValue": value}}
    sent = span_json(attributes=[*span_json()["attributes"], spent])
    assert export_json(application, sent).status_code == 200
    settle(application.running, application.client)
    assert counted(application.running, "cost_per_request") == (weight, 0.25 * weight)


@pytest.mark.parametrize("kind", [["3"], {"a": 1}, "SPAN_KIND_CLIENT", None, 1e400])
def test_a_kind_may_be_anything_that_json_has(application: Any, kind: Any) -> None:
    assert export_json(application, span_json(kind=kind, attributes=[])).status_code in {200, 400}


def test_what_is_wrong_of_an_export_is_rejected_by_number_and_the_rest_counts(application: Any) -> None:
    application.running.wait(minutes=1)
    wrong = [span_json(traceId="xyz"), span_json(spanId="00" * 8), span_json(endTimeUnixNano="1", spanId="ab" * 8)]
    answer = export_json(application, *wrong, span_json()).json()["partialSuccess"]
    assert answer["rejectedSpans"] == "3"
    assert "trace id of 32 hexadecimal digits" in answer["errorMessage"]
    message = ExportTraceServiceRequest()
    message.resource_spans.add().scope_spans.add().spans.add(trace_id=b"short")
    headers = {"content-type": "application/x-protobuf"}
    answer = application.client.post("/v1/traces", content=message.SerializeToString(), headers=headers)
    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 1
    settle(application.running, application.client)
    assert counted(application.running) == (1, 1)


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"\xff\xff\xff", {"content-type": "application/x-protobuf"}, 400),
        (b"[1]", {"content-type": "application/json"}, 400),
        (b'{"resourceSpans": [1]}', {"content-type": "application/json"}, 400),
        (b"not gzip", {"content-type": "application/json", "content-encoding": "gzip"}, 400),
        (gzip.compress(b"{}" * 99)[:-9], {"content-type": "application/json", "content-encoding": "gzip"}, 400),
        (gzip.compress(b"{}") + b"more", {"content-type": "application/json", "content-encoding": "gzip"}, 400),
        (gzip.compress(b" " * 9 * 2**20) * 2, {"content-type": "application/json", "content-encoding": "gzip"}, 413),
        (gzip.compress(bytes(17 * 2**20)), {"content-type": "application/x-protobuf", "content-encoding": "gzip"}, 413),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {"content-type": "application/json", "content-encoding": "br"}, 415),
    ],
    ids=["protobuf", "list", "number", "gzip", "cut", "trailing", "bombs", "bomb", "text", "brotli"],
)
def test_a_body_that_is_no_export_is_refused(application: Any, content: bytes, headers: Any, status: int) -> None:
    for path in ("/v1/traces", "/v1/logs", "/v1/metrics"):
        answer = application.client.post(path, content=content, headers=headers)
        if path == "/v1/traces" or b"resourceSpans" not in content:
            assert answer.status_code == status, answer.text


def test_exporters_are_asked_to_wait_while_too_much_waits(application: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.http.otlp.receive_exports.MAX_WAITING_PARTS", 0)
    assert export_json(application, span_json()).status_code == 200
    answer = export_json(application, span_json())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3"), "which every exporter repeats"
    assert 'rampart_telemetry_items_total{outcome="refused"} 1.0' in application.client.get("/metrics").text


def test_what_waited_when_a_process_ended_is_counted_by_the_next(running: Any, serve: Any, canary: Any) -> None:
    canary(running)
    running.wait(minutes=1)
    export = orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span_json()]}]}]})
    with running.service.database.writing_outside_log() as connection:
        trace_parts.add_parts(
            connection,
            decode_json.decode_traces(export, KnownAttributes(json_values.read_pair)).build_parts(),
            running.now(),
        )
    settle(running, serve(running))
    assert counted(running) == (1, 1)


def test_own_metrics_count_once_for_their_unit_and_others_are_rejected_by_name(application: Any) -> None:
    at = int(application.running.now().timestamp() * 1e9)
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in FLAG.items()]

    def point(name: str, kind: str, **more: Any) -> dict[str, Any]:
        content = {"dataPoints": [{"asDouble": 1.0, "timeUnixNano": str(at), "attributes": attributes}], **more}
        return {"name": name, kind: content}

    metrics = [
        point("rampart.metric.thumbs_down_rate", "gauge"),
        point("rampart.metric.complaint_rate", "sum", aggregationTemporality=1),
        point("rampart.metric.thumbs_up_rate", "sum", aggregationTemporality=2),
        point("gen_ai.client.token.usage", "histogram"),
        point("rampart.metric.nonsense", "gauge"),
    ]
    content = {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}
    for _ in range(2):
        answer = application.client.post("/v1/metrics", json=content).json()["partialSuccess"]
        assert answer["rejectedDataPoints"] == "3"
        for name in ("thumbs_up_rate must be a gauge", "gen_ai.client.token.usage", "nonsense"):
            assert name in answer["errorMessage"]
    assert counted(application.running, "thumbs_down_rate") == (1, 1)
    assert counted(application.running, "complaint_rate") == (1, 1)
    assert counted(application.running) == (0, 0)
