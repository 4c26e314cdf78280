"""The real exporter of Python where an answer asks it to wait, or never comes: nothing is lost or counted twice."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.common.http import _DEFAULT_TIMEOUT
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from bot.http.otlp import receive_exports
from tests.http.test_otlp import CHAT, FLAG, counted, settle, start, wait_until


class Kept(SpanExporter):
    """Keeps the spans of a request until they are exported."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


@pytest.fixture
def application(running: Any, serve: Any, canary: Any) -> Any:
    found = start(running, serve, canary)
    running.wait(minutes=1)
    return found


@pytest.fixture
def spans(application: Any) -> list[Any]:
    """A request with a call, which nobody has exported yet."""
    kept = Kept()
    application.provider._active_span_processor._span_processors = (SimpleSpanProcessor(kept),)
    with application.span("POST /ask", **FLAG) as request, application.span("chat", request, seconds=1, **CHAT):
        pass
    return kept.spans


def count_refused(application: Any) -> float:
    text = application.client.get("/metrics").text
    found = [line for line in text.splitlines() if line.startswith('rampart_telemetry_items_total{outcome="refused"}')]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


def test_an_export_that_is_asked_to_wait_comes_again_and_counts_once(
    application: Any, spans: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive_exports, "RETRY_AFTER", 1)
    monkeypatch.setattr(receive_exports, "MAX_WAITING_PARTS", -1)
    with ThreadPoolExecutor(1) as thread:
        exported = thread.submit(application.exporter.export, spans)
        wait_until(lambda: count_refused(application) >= 2 * len(spans))
        monkeypatch.setattr(receive_exports, "MAX_WAITING_PARTS", 100)
        assert exported.result() is SpanExportResult.SUCCESS
    settle(application.running, application.client)
    assert counted(application.running) == counted(application.running, "llm_calls_per_request") == (1, 1)


def test_an_exporter_tries_again_more_than_once_before_it_gives_up() -> None:
    assert receive_exports.RETRY_AFTER * 3 < _DEFAULT_TIMEOUT, "of the whole export, in seconds; the same in JavaScript"


@contextmanager
def lose_answers(url: str, status: int, times: int) -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that hands exports on, and answers the first ones itself; (its address, the exports)."""
    seen: list[bytes] = []

    class Proxy(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append(body)
            headers = {
                name: self.headers[name] for name in ("content-type", "content-encoding") if name in self.headers
            }
            answer = httpx.post(f"{url}{self.path}", content=body, headers=headers, trust_env=False)
            if not status and len(seen) <= times:
                self.close_connection = True
                return
            self.send_response(status if len(seen) <= times else answer.status_code)
            self.send_header("retry-after", "0")
            self.send_header("content-length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("status", "times"), [(429, 2), (502, 1), (503, 3), (504, 1), (0, 1)])
def test_an_export_whose_answer_is_lost_comes_again_and_counts_once(
    application: Any, spans: list[Any], status: int, times: int
) -> None:
    url = str(application.client.base_url).rstrip("/")
    with lose_answers(url, status, times) as (proxy, seen):
        exporter = OTLPSpanExporter(endpoint=f"{proxy}/v1/traces")
        assert exporter.export(spans) is SpanExportResult.SUCCESS
    assert len(seen) == times + 1, "it was taken each time"
    assert len(set(seen)) == 1
    settle(application.running, application.client)
    assert counted(application.running) == counted(application.running, "llm_calls_per_request") == (1, 1)
    told = 'rampart_telemetry_requests_total{outcome="counted"} 1.0'  # added to after what is counted was committed
    wait_until(lambda: told in application.client.get("/metrics").text)
