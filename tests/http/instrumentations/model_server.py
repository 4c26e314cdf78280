"""A server in the shape of OpenAI's API on loopback, whose answers follow the words of the question.

`fails`: 500. `is busy`: 429, and an answer to the same question when it comes again. `is cut off`, `is filtered`,
`refuses`: answers that end so. `at length`: many chunks, where it is streamed. A question with tools is answered with a
call of one, until its result is there.
"""

import json
import socketserver
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SNAPSHOTS = {"gpt-4o": "gpt-4o-2024-08-06", "gpt-4o-mini": "gpt-4o-mini-2024-07-18"}
"""The model that answers, by the model that is asked for."""
FIRST_CHUNK_AFTER = 0.05  # seconds, where the answer is streamed
INPUT, OUTPUT, CACHED = 1000, 100, 400  # tokens of every answer
_TEXT = "Your parcel arrives on Monday."


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.busy: set[str] = set()
        """Questions that were sent away once."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client may leave in the middle of an answer
            socketserver.BaseServer.handle_error(self, request, client_address)


@contextmanager
def serve_models() -> Iterator[str]:
    """The address for `base_url` of a client."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        asked = json.loads(body)
        if "fails" in body:
            error = {"message": "The server had an error.", "type": "server_error"}
            self._send(500, {"error": error}, {"x-should-retry": "false"})
        elif "is busy" in body and body not in self.server.busy:
            self.server.busy.add(body)
            self._send(
                429, {"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}, {"retry-after-ms": "1"}
            )
        elif self.path.endswith("/embeddings"):
            found = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
            usage = {"prompt_tokens": 5, "total_tokens": 5}
            self._send(200, {"object": "list", "model": asked["model"], "data": found, "usage": usage})
        elif self.path.endswith("/responses"):
            self._answer_responses(asked, body)
        else:
            self._answer_chat(asked, body)

    def _answer_chat(self, asked: Mapping[str, Any], body: str) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": _TEXT, "refusal": None}
        reason = "stop"
        if "is cut off" in body:
            reason = "length"
        elif "is filtered" in body:
            reason = "content_filter"
        elif "refuses" in body:
            message |= {"content": None, "refusal": "I cannot help with that."}
        elif asked.get("tools") and not any(one["role"] == "tool" for one in asked["messages"]):
            called = {"name": "search", "arguments": '{"parcel": "4711"}'}
            message |= {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": called}]}
            reason = "tool_calls"
        answer = {"id": "chatcmpl-1", "created": 1_764_500_000, "model": SNAPSHOTS[asked["model"]]}
        usage = {
            "prompt_tokens": INPUT,
            "completion_tokens": OUTPUT,
            "total_tokens": INPUT + OUTPUT,
            "prompt_tokens_details": {"cached_tokens": CACHED},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }
        if not asked.get("stream"):
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
            self._send(200, {**answer, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        words = _TEXT.split() * (40 if "at length" in body else 1)
        deltas = [{"role": "assistant", "content": ""}, *({"content": f"{word} "} for word in words), {}]
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else reason}]} for delta in deltas
        ]
        if (asked.get("stream_options") or {}).get("include_usage"):
            chunks.append({"choices": [], "usage": usage})
        kind = {**answer, "object": "chat.completion.chunk"}
        self._stream([*(f"data: {json.dumps({**kind, **chunk})}\n\n" for chunk in chunks), "data: [DONE]\n\n"])

    def _answer_responses(self, asked: Mapping[str, Any], body: str) -> None:
        part = {"type": "output_text", "text": _TEXT, "annotations": [], "logprobs": []}
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        is_cut = "is cut off" in body
        answer = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1_764_500_000,
            "status": "incomplete" if is_cut else "completed",
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "model": SNAPSHOTS[asked["model"]],
            "output": [item],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": INPUT,
                "input_tokens_details": {"cached_tokens": CACHED},
                "output_tokens": OUTPUT,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": INPUT + OUTPUT,
            },
        }
        if not asked.get("stream"):
            self._send(200, answer)
            return
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        begun = {**answer, "status": "in_progress", "output": [], "usage": None}
        events: list[tuple[str, dict[str, Any]]] = [
            ("response.created", {"response": begun}),
            ("response.output_item.added", {"output_index": 0, "item": {**item, "content": []}}),
            ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
            *(("response.output_text.delta", {**place, "delta": f"{word} ", "logprobs": []}) for word in _TEXT.split()),
            ("response.output_text.done", {**place, "text": _TEXT}),
            ("response.output_item.done", {"output_index": 0, "item": item}),
            ("response.completed", {"response": answer}),
        ]
        self._stream(
            [
                f"event: {name}\ndata: {json.dumps({'type': name, 'sequence_number': number, **event})}\n\n"
                for number, (name, event) in enumerate(events)
            ]
        )

    def _send(self, status: int, answer: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, pieces: list[str]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        time.sleep(FIRST_CHUNK_AFTER)
        for piece in pieces:
            body = piece.encode()
            self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
            self.wfile.flush()
            time.sleep(0.002)
        self.wfile.write(b"0\r\n\r\n")
