"""What instrumentations exported, kept in files, comes to the readings that it came to when it was exported."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from bot.http.otlp import decode_json, decode_protobuf, json_values, protobuf_values
from bot.http.otlp.assemble_parts import PartCollector, decode_part
from bot.http.otlp.known_attributes import KnownAttributes
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.serving.exposure import build_snapshot
from core.telemetry.count_trace import count_trace
from core.telemetry.prices import load_built_in_prices
from tests.flags.conftest import world_in
from tests.http.instrumentations.expected import EXPECTED, INSTRUMENTATIONS
from tests.http.instrumentations.recording import read_recording, write_as_protobuf

STAGES = (Stage(kind=StageKind.EVAL, name="eval"), Stage(kind=StageKind.CANARY, name="canary", percent=5))


def decode_json_export(export: Any) -> PartCollector:
    return decode_json.decode_traces(json.dumps(export).encode(), KnownAttributes(json_values.read_pair))


def decode_protobuf_export(export: Any) -> PartCollector:
    return decode_protobuf.decode_traces(write_as_protobuf(export), KnownAttributes(protobuf_values.read_pair))


def count(collected: PartCollector) -> dict[str, Any]:
    """The only observation of an export."""
    assert not collected.reasons
    parts = [decode_part(one.trace, one.part) for one in collected.build_parts()]
    surfaces = {"support-assistant": build_snapshot(world_in(1, stages=STAGES)).surfaces["support"]}
    (item,) = count_trace(parts, None, surfaces, load_built_in_prices()).items
    return item


@pytest.mark.parametrize("decode", [decode_json_export, decode_protobuf_export], ids=["json", "protobuf"])
@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS)
@pytest.mark.parametrize("request_name", EXPECTED)
def test_an_export_comes_to_one_request(
    instrumentation: str, request_name: str, decode: Callable[[Any], PartCollector]
) -> None:
    expected, recorded = EXPECTED[request_name], read_recording(instrumentation)
    if instrumentation in expected.unreported:
        assert request_name not in recorded
        return
    item = count(decode(recorded[request_name]))
    counted = item["metrics"]
    metrics = expected.list_metrics(instrumentation)
    assert counted == pytest.approx({key: counted[key] if value is None else value for key, value in metrics.items()})
    assert 0 < counted.get("ttft_ms", 1) <= counted["latency_ms"]
    assert (item["unit"], item["variant"]) == ("user-1", "canary")
    assert item["segments"].get("model", "") == expected.model
