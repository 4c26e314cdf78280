"""Complaints from help desks: believed by their signature, counted once, and never with what the customer wrote."""

import hmac
import json
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha1, sha256
from typing import Any

import httpx
import pytest

from core.judging.model.evidence import CellKey
from core.rollout.state.events import ComplaintReported
from core.store.observations import observation_sums

SECRETS = {
    "zendesk": "zendesk-secret",
    "intercom": "intercom-secret",
    "standard": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
UNIT = "user-7"
STANDARD = '{"type":"complaint.created","data":{"unit":"cust_8841","ticket":"4711"}}'
STANDARD_SIGNATURE = "v1,6NoHnS18nFYDLlV5i6r+Dpd6DmFJEmwqed4cj7EvfaA="
"""What the reference implementation of Standard Webhooks gives for this body as `msg_1` at 12:03."""


@pytest.fixture
def client(running: Any, serve: Any, canary: Any) -> httpx.Client:
    canary(running)
    found: httpx.Client = serve(running, help_desks=SECRETS, real_time=running.now)
    return found


def send_zendesk(
    client: httpx.Client, at: Any, *, number: str = "inv-1", secret: str = SECRETS["zendesk"], **content: Any
) -> httpx.Response:
    body = json.dumps({"ticket": 4711, "unit": UNIT, "tags": "billing ai-answer", "text": "secret words", **content})
    signature = hmac.new(secret.encode(), f"{at:%Y-%m-%dT%H:%M:%SZ}{body}".encode(), sha256).digest()
    headers = {
        "x-zendesk-webhook-signature": b64encode(signature).decode(),
        "x-zendesk-webhook-signature-timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "x-zendesk-webhook-invocation-id": number,
    }
    return client.post("/webhooks/zendesk/support-assistant?tag=ai-answer", content=body, headers=headers)


def send_intercom(
    client: httpx.Client, at: Any, *, number: str = "notif_1", topic: str = "conversation_part.tag.created"
) -> httpx.Response:
    item = {
        "type": "conversation",
        "id": "1911149811",
        "source": {"body": "<p>secret words</p>", "author": {"type": "user", "id": "53"}},
        "contacts": {"type": "contact.list", "contacts": [{"type": "contact", "id": "53", "external_id": UNIT}]},
        "tags": {"type": "tag.list", "tags": [{"type": "tag", "id": "1", "name": "ai-answer"}]},
    }
    data = {"type": "notification_event_data", "item": item}
    body = json.dumps({"type": "notification_event", "topic": topic, "id": number, "data": data})
    signature = hmac.new(SECRETS["intercom"].encode(), body.encode(), sha1).hexdigest()
    return client.post(
        "/webhooks/intercom/support-assistant", content=body, headers={"x-hub-signature": f"sha1={signature}"}
    )


def send_standard(client: httpx.Client, at: Any, **headers: str) -> httpx.Response:
    named = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": f"v1,bm90IGl0 {STANDARD_SIGNATURE}",
    }
    return client.post("/webhooks/standard/support-assistant", content=STANDARD, headers={**named, **headers})


def reported(running: Any) -> list[ComplaintReported]:
    return [r.event for r in running.service.load_history("R-1") if isinstance(r.event, ComplaintReported)]


def counted(running: Any) -> float:
    with running.service.database.reading() as connection:
        cells = observation_sums.load_sums(connection, "R-1").cells
    keys = [CellKey(stage=1, arm=arm, segment="", metric="complaint_rate") for arm in ("canary", "control")]
    return sum(float(cells[key].value.sum()) for key in keys if key in cells)


def see(client: httpx.Client, unit: str) -> None:
    """The customer is served in the canary, as nobody could know who was in the cohort before."""
    seen = {"surface": "support-assistant", "unit": unit, "variant": "canary", "metrics": {"refusal_rate": False}}
    assert client.post("/api/v1/observations", json={"observations": [seen]}).json()["accepted"] == 1


@pytest.mark.parametrize("send", [send_zendesk, send_intercom])
def test_a_customer_counts_once_an_hour_whatever_is_sent(
    running: Any, client: httpx.Client, send: Callable[..., httpx.Response]
) -> None:
    see(client, UNIT)
    assert send(client, running.now()).json() == {"counted": True, "rollout": "R-1"}
    assert send(client, running.now()).json()["counted"] is True, "the same delivery again"
    assert (len(reported(running)), counted(running)) == (1, 1)
    send(client, running.now(), number="another")
    assert (len(reported(running)), counted(running)) == (2, 1)
    event = reported(running)[0]
    assert (event.arm, event.version) == ("canary", "v43")
    assert "4711" in event.text or "1911149811" in event.text
    assert "secret words" not in str(event)


def test_the_signature_is_that_of_the_reference_implementation(running: Any, client: httpx.Client) -> None:
    assert f"{running.now():%H:%M}" == "12:03"
    assert send_standard(client, running.now()).json()["counted"] is True
    assert send_standard(client, running.now(), **{"webhook-id": "msg_2"}).status_code == 401


def test_what_is_not_signed_or_old_is_not_believed(running: Any, client: httpx.Client) -> None:
    now = running.now()
    assert send_zendesk(client, now, secret="another").status_code == 401
    assert send_zendesk(client, now - timedelta(minutes=6)).status_code == 401
    assert send_zendesk(client, now + timedelta(minutes=6)).status_code == 401
    assert client.post("/webhooks/standard/support-assistant", content=STANDARD).status_code == 401
    assert client.post("/webhooks/intercom/support-assistant", content="{}").status_code == 401
    assert client.post("/webhooks/another/support-assistant", content="{}").status_code == 422
    assert reported(running) == []


def test_a_desk_without_a_secret_is_not_believed(running: Any, serve: Any, canary: Any) -> None:
    canary(running)
    client = serve(running, help_desks={"intercom": ""}, real_time=running.now)
    assert send_intercom(client, running.now()).status_code == 401
    assert send_zendesk(client, running.now()).status_code == 401


def test_other_tickets_tests_and_quiet_surfaces_count_nothing(running: Any, client: httpx.Client) -> None:
    assert (
        send_zendesk(client, running.now(), tags="billing").json()["why"]
        == "The ticket does not have the tag ai-answer."
    )
    assert send_intercom(client, running.now(), topic="ping").json()["counted"] is False
    assert reported(running) == []
