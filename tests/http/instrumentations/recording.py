"""What instrumentations exported, as OTLP's JSON, kept in files so that it is read without them."""

import json
import re
from base64 import b64decode, b64encode
from copy import deepcopy
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

FOLDER = Path(__file__).with_name("recorded")
_IDS = ("traceId", "spanId", "parentSpanId")
_LOCAL = re.compile(r"127\.0\.0\.1:\d+")
_OF_THIS_MACHINE = {"exception.stacktrace": {"stringValue": "Traceback"}, "server.port": {"intValue": "443"}}
_TIMES = {"startTimeUnixNano", "endTimeUnixNano", "timeUnixNano"}
_TIMED = {"gen_ai.response.time_to_first_chunk"}


def read_recording(instrumentation: str) -> dict[str, Any]:
    """The exports of an instrumentation, by request."""
    found: dict[str, Any] = json.loads((FOLDER / f"{instrumentation}.json").read_text(encoding="utf-8"))
    return found


def write_recording(instrumentation: str, request: str, export: Any) -> None:
    """Keep an export in the place of the one before, one line each."""
    path = FOLDER / f"{instrumentation}.json"
    kept = read_recording(instrumentation) if path.exists() else {}
    lines = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in sorted({**kept, request: export}.items())]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def write_as_json(exported: bytes) -> dict[str, Any]:
    """An export in protobuf as OTLP's JSON, without what is of this machine: ports, and the stacks of exceptions."""
    found: dict[str, Any] = MessageToDict(ExportTraceServiceRequest.FromString(exported))
    for span in _list_spans(found):
        span.update({name: b64decode(span[name]).hex() for name in _IDS if name in span})
        for holder in (span, *span.get("events", ())):
            for attribute in holder.get("attributes", ()):
                attribute["value"] = _OF_THIS_MACHINE.get(attribute["key"], attribute["value"])
                if "stringValue" in attribute["value"]:
                    text = _LOCAL.sub("api.example.com", attribute["value"]["stringValue"])
                    attribute["value"] = {"stringValue": text}
    return found


def write_as_protobuf(export: dict[str, Any]) -> bytes:
    """An export in JSON as the message in protobuf that it was."""
    found = deepcopy(export)
    for span in _list_spans(found):
        span.update({name: b64encode(bytes.fromhex(span[name])).decode() for name in _IDS if name in span})
    encoded: bytes = ParseDict(found, ExportTraceServiceRequest()).SerializeToString()
    return encoded


def describe(export: Any) -> list[Any]:
    """What an export says apart from times, ids and the versions of instrumentations."""
    spans = _list_spans(export)
    places = {span["spanId"]: number for number, span in enumerate(spans)}
    return [
        {
            **{name: value for name, value in span.items() if name not in (*_IDS, *_TIMES, "attributes", "events")},
            "parent": places.get(span.get("parentSpanId", "")),
            "attributes": _describe_attributes(span),
            "events": [(event["name"], _describe_attributes(event)) for event in span.get("events", ())],
        }
        for span in spans
    ]


def _describe_attributes(holder: Any) -> dict[str, Any]:
    return {
        one["key"]: None if one["key"] in _TIMED else json.dumps(one["value"]) for one in holder.get("attributes", ())
    }


def _list_spans(export: Any) -> list[Any]:
    return [
        span
        for of_resource in export["resourceSpans"]
        for of_scope in of_resource["scopeSpans"]
        for span in of_scope["spans"]
    ]
