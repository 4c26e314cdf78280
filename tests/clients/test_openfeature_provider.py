"""OpenFeature's own client, with the provider that evaluates in process."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.track import TrackingEventDetails

from core.rollout import commands as c
from rampart_client import RampartClient
from rampart_client.openfeature_provider import RampartProvider

SURFACE = "support-assistant"
CANARY = EvaluationContext(targeting_key="user-46")


@pytest.fixture
def rampart(running: Any, serve: Any, canary: Any) -> RampartClient:
    running.clock[0] = datetime.now(UTC)  # that of the client, which dates what it reports
    canary(running)
    return RampartClient(str(serve(running).base_url), transport=lambda: httpx.HTTPTransport())


@pytest.fixture
def client(rampart: RampartClient) -> Iterator[OpenFeatureClient]:
    api.set_provider_and_wait(RampartProvider(rampart))
    yield api.get_client()
    api.shutdown()
    api.clear_providers()


def test_a_surface_is_an_object_with_the_metadata_of_ofrep(client: OpenFeatureClient) -> None:
    found = client.get_object_details(SURFACE, {}, CANARY)
    assert (found.variant, found.reason, found.error_code) == ("canary", "SPLIT", None)
    assert isinstance(found.value, dict)
    assert found.value["prompt"] == "new.md"
    assert found.flag_metadata == {
        "rollout": "R-1",
        "version": "v43",
        "cohort": "",
        "stage": "canary",
        "exposure": "R-1.1.canary",
        "stratum": "R-1",
        "conversation": "support-assistant@v43/R-1.1.canary",
    }
    internal = EvaluationContext(targeting_key="user-46", attributes={"email": "ana@example.com"})
    assert client.get_object_details(SURFACE, {}, internal).reason == "TARGETING_MATCH"


def test_what_cannot_be_answered_gives_the_default(client: OpenFeatureClient) -> None:
    assert client.get_object_details("nothing", {"mine": 1}, CANARY).error_code == ErrorCode.FLAG_NOT_FOUND
    assert client.get_object_details(SURFACE, {}).reason == "DEFAULT"
    for found in (
        client.get_string_details(SURFACE, "mine", CANARY),
        client.get_boolean_details(SURFACE, True, CANARY),
        client.get_integer_details(SURFACE, 1, CANARY),
        client.get_float_details(SURFACE, 1.5, CANARY),
    ):
        assert found.error_code == ErrorCode.TYPE_MISMATCH
        assert found.value in ("mine", True, 1, 1.5)


def test_a_rollback_is_told_as_a_change(client: OpenFeatureClient, running: Any) -> None:
    told = threading.Event()
    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, lambda details: told.set())
    told.clear()
    running.do(c.RollBack(reason="wrong"))
    assert told.wait(30)
    assert client.get_object_details(SURFACE, {}, CANARY).flag_metadata["version"] == "v42"


def test_tracking_reports_an_observation(client: OpenFeatureClient, rampart: RampartClient) -> None:
    exposure = client.get_object_details(SURFACE, {}, CANARY).flag_metadata["exposure"]
    client.track(SURFACE, CANARY, TrackingEventDetails(attributes={"latency_ms": 900, "exposure": exposure}))
    client.track(SURFACE, CANARY, TrackingEventDetails(attributes={"refusal_rate": True}))
    client.track(SURFACE, EvaluationContext(), TrackingEventDetails(attributes={"latency_ms": 900}))
    assert rampart.flush(30)
    assert (rampart.observations.accepted, rampart.observations.rejected) == (2, 0)


def test_without_rampart_the_provider_is_not_ready_and_the_default_is_given() -> None:
    unreachable = RampartClient("http://127.0.0.1:1", transport=lambda: httpx.HTTPTransport())
    unreachable.start(timeout=0)
    provider = RampartProvider(unreachable)
    api.set_provider(provider)
    try:
        found = api.get_client().get_object_details(SURFACE, {"mine": 1}, CANARY)
        assert (found.value, found.error_code) == ({"mine": 1}, ErrorCode.PROVIDER_NOT_READY)
    finally:
        api.shutdown()
        api.clear_providers()
