"""A server that is no Prometheus, or has what cannot be counted, is said to be so and breaks nothing."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bot.sources.errors import SourceFailure
from bot.sources.prometheus.queries import read_series
from bot.sources.web_client import WebClient


@pytest.fixture
def answering() -> Iterator[Callable[[object], WebClient]]:
    """A client of a server that answers every question with this JSON."""
    said = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(said[0])))
            self.end_headers()
            self.wfile.write(said[0])

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(body: object) -> WebClient:
        said[0] = json.dumps(body).encode()
        return WebClient(f"http://127.0.0.1:{server.server_port}", {"127.0.0.1"}, timeout=10)

    yield answer
    server.shutdown()
    server.server_close()


def matrix(*found: object) -> object:
    return {"status": "success", "data": {"resultType": "matrix", "result": list(found)}}


@pytest.mark.parametrize(
    "body",
    [
        {"data": None},
        {"data": []},
        matrix(1),
        matrix({"metric": {}}),
        matrix({"metric": None, "values": []}),
        matrix({"metric": {}, "value": [1, "2"]}),
        matrix({"metric": {}, "values": [[1]]}),
        matrix({"metric": {}, "values": [["noon", "2"]]}),
        matrix({"metric": {}, "values": [[1, None]]}),
    ],
)
def test_what_is_no_answer_of_a_prometheus_is_said(answering: Callable[[object], WebClient], body: object) -> None:
    with pytest.raises(SourceFailure, match="it does not answer like a Prometheus"):
        read_series(answering(body), ["requests_total"], 0, 60)


def test_a_native_histogram_is_said_at_once(answering: Callable[[object], WebClient]) -> None:
    native = {"metric": {"__name__": "latency"}, "histograms": [[1, {"count": "2", "sum": "3"}]]}
    with pytest.raises(SourceFailure, match="latency is a native histogram: name one with buckets") as failed:
        read_series(answering(matrix(native)), ["latency"], 0, 60)
    assert failed.value.is_lasting


def test_samples_that_are_no_counts_are_left_out(answering: Callable[[object], WebClient]) -> None:
    one = {"metric": {"job": "a"}, "values": [[1, "NaN"], [2, "+Inf"], [3, "-1"], [4, "5"], [5, "many"]]}
    (found,) = read_series(answering(matrix(one)), ["requests_total"], 0, 60)
    assert list(found.samples) == [(4.0, 5.0)]
