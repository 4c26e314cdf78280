"""Spans of OpenTelemetry a CPU-second, from the bytes of an export to sums that a look reads."""

import gc
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.measuring import databases, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort, medians
from bot.http.observations.writer import ObservationWriter, TransactionWork
from bot.http.otlp import decode_json, decode_protobuf, json_values, protobuf_values
from bot.http.otlp.count_traces import TraceCounter
from bot.http.otlp.known_attributes import KnownAttributes
from bot.http.otlp.receive_exports import AddParts
from core.rollout.serving import exposure
from core.service.service import RolloutService
from core.store.database.connections import connect
from core.store.observations import trace_parts
from core.telemetry.prices import load_built_in_prices

SPANS_A_BATCH = 512  # what exporters send at a time
CALLS = 2  # model calls of a request; with its outermost span and a tool call, four spans
BATCHES = 40
SEED = 20261129


def measure(effort: Effort) -> Iterator[Figure]:
    """One process on SQLite, without HTTP: decode, store, answer, then join and count."""
    batches = effort.some(BATCHES)
    with databases.folder() as folder, connect(databases.sqlite(folder)) as database:
        service = RolloutService(database)
        rollouts.begin(service)
        run = _Run(service)
        # As the program does for itself, see `bot.cli` and `bot.startup.program`.
        thresholds = gc.get_threshold()
        gc.set_threshold(20_000)
        gc.freeze()
        parties = {
            "protobuf": partial(run.count, batches, as_json=False),
            "json": partial(run.count, batches, as_json=True),
        }
        found = medians(parties, effort.rounds)
        run.close()
        gc.unfreeze()
        gc.set_threshold(*thresholds)
    yield Figure(name="spans counted a CPU-second, protobuf", ours=found["protobuf"], unit="/s", goal=20_000)
    yield Figure(name="spans counted a CPU-second, JSON", ours=found["json"], unit="/s", goal=20_000)


class _Run:
    """The parts of a process that take spans, with a clock that jumps over the time in which traces settle."""

    def __init__(self, service: RolloutService) -> None:
        snapshot = exposure.build_snapshot(service.load_world())
        self._skipped = timedelta(0)
        self._writer = ObservationWriter(service.database, lambda: snapshot, self._now)
        self._counter = TraceCounter(service.database, self._writer, load_built_in_prices(), lambda _: None)
        self._from_protobuf = KnownAttributes(protobuf_values.read_pair)
        self._from_json = KnownAttributes(json_values.read_pair)
        self._chance = random.Random(SEED)
        self._numbers = itertools.count(1)

    def count(self, batches: int, *, as_json: bool) -> float:
        """Spans a CPU-second; raises if one was not counted."""
        bodies = [self._encode(as_json=as_json) for _ in range(batches)]
        decode = (
            partial(decode_json.decode_traces, attributes=self._from_json)
            if as_json
            else partial(decode_protobuf.decode_traces, attributes=self._from_protobuf)
        )
        before = self._counter.outcomes["counted"]
        began = time.process_time()
        for body in bodies:
            parts = decode(body).build_parts()
            self._writer.submit_work(TransactionWork(run=AddParts(parts), size=len(body))).result()
        self._skipped += trace_parts.QUIET
        while self._counter.count_due():
            pass
        took = time.process_time() - began
        counted = self._counter.outcomes["counted"] - before
        if counted != batches * SPANS_A_BATCH // (CALLS + 2):
            raise RuntimeError(f"{counted} requests were counted: {self._counter.outcomes}")
        return batches * SPANS_A_BATCH / took

    def close(self) -> None:
        """Stop the threads."""
        self._writer.close()

    def _now(self) -> datetime:
        return rollouts.now() + self._skipped

    def _encode(self, *, as_json: bool) -> bytes:
        return encode_batch(self._chance, self._numbers, self._now(), as_json=as_json)


def encode_batch(chance: random.Random, numbers: Iterator[int], at: datetime, *, as_json: bool = False) -> bytes:
    """One export of the next requests, whose spans come in any order."""
    requests = [_describe_request(chance, next(numbers), at) for _ in range(SPANS_A_BATCH // (CALLS + 2))]
    spans = [span for request in requests for span in request]
    chance.shuffle(spans)
    return _encode_json(spans) if as_json else _encode_protobuf(spans)


def _describe_request(chance: random.Random, number: int, at: datetime) -> list[dict[str, Any]]:
    """A request as instrumentations report it: each span has some sixteen attributes, of which half are read."""
    trace = f"{number:032x}"
    unit = chance.randrange(50_000)
    flag = {
        "feature_flag.key": rollouts.SURFACE,
        "feature_flag.result.variant": "canary" if unit % 20 == 0 else "control",
        "feature_flag.context.id": f"user-{unit}",
        "feature_flag.provider.name": "ofrep",
    }
    begins = int(at.timestamp() * 1e9)
    kinds = [_REQUEST, *[_CALL] * CALLS, _TOOL]
    spans = []
    for index, kind in enumerate(kinds):
        numbers = {"gen_ai.usage.input_tokens": chance.randrange(500, 4000), "gen_ai.usage.output_tokens": 200}
        spans.append(
            {
                "trace": trace,
                "id": f"{number:08x}{index:08x}",
                "parent": f"{number:08x}{0:08x}" if index else "",
                "begins": begins + index * 10**8,
                "ends": begins + (index or 20) * 10**8 + chance.randrange(10**9),
                "attributes": {**kind, **flag, **(numbers if kind is _CALL else {})},
            }
        )
    return spans


_COMMON = {
    "server.address": "api.openai.com",
    "server.port": 443,
    "thread.id": 139_914,
    "thread.name": "MainThread",
    "code.function": "answer",
}
_REQUEST = {
    **_COMMON,
    "http.request.method": "POST",
    "http.route": "/ask",
    "url.scheme": "https",
    "url.path": "/ask",
    "user_agent.original": "Mozilla/5.0",
    "http.response.status_code": 200,
    "network.protocol.version": "1.1",
}
_CALL = {
    **_COMMON,
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.request.temperature": 0.2,
    "gen_ai.response.finish_reasons": "stop",
}
_TOOL = {
    **_COMMON,
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "search",
    "gen_ai.tool.type": "function",
    "gen_ai.tool.call.id": "call_1",
}


def _encode_protobuf(spans: Sequence[dict[str, Any]]) -> bytes:
    message = ExportTraceServiceRequest()
    of_resource = message.resource_spans.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    of_scope = of_resource.scope_spans.add()
    for span in spans:
        added = of_scope.spans.add(
            trace_id=bytes.fromhex(span["trace"]),
            span_id=bytes.fromhex(span["id"]),
            parent_span_id=bytes.fromhex(span["parent"]),
            name="chat gpt-4o",
            start_time_unix_nano=span["begins"],
            end_time_unix_nano=span["ends"],
        )
        for key, value in span["attributes"].items():
            field = {str: "string_value", int: "int_value", float: "double_value"}[type(value)]
            setattr(added.attributes.add(key=key).value, field, value)
    encoded: bytes = message.SerializeToString()
    return encoded


def _encode_json(spans: Sequence[dict[str, Any]]) -> bytes:
    fields = {str: "stringValue", int: "intValue", float: "doubleValue"}
    written = [
        {
            "traceId": span["trace"],
            "spanId": span["id"],
            "parentSpanId": span["parent"],
            "name": "chat gpt-4o",
            "startTimeUnixNano": str(span["begins"]),
            "endTimeUnixNano": str(span["ends"]),
            "attributes": [
                {"key": key, "value": {fields[type(value)]: str(value) if type(value) is int else value}}
                for key, value in span["attributes"].items()
            ],
        }
        for span in spans
    ]
    # Without spaces, as JavaScript's exporter writes it.
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": written}]}]}, separators=(",", ":")).encode()
