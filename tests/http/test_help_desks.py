"""Complaints from help desks: believed by their signature, counted once, and never with what the customer wrote."""

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha1, sha256
from typing import Any

import httpx
import pytest

from core.judging.model.evidence import CellKey
from core.rollout import commands as c
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
    said = {"ticket": 4711, "unit": UNIT, "tags": "billing ai-answer", "text": "secret words", **content}
    return post_zendesk(client, at, said, number=number, secret=secret)


def post_zendesk(
    client: httpx.Client, at: Any, content: Any, *, number: str = "inv-1", secret: str = SECRETS["zendesk"]
) -> httpx.Response:
    body = json.dumps(content)
    signature = hmac.new(secret.encode(), f"{at:%Y-%m-%dT%H:%M:%SZ}{body}".encode(), sha256).digest()
    headers = {
        "x-zendesk-webhook-signature": b64encode(signature).decode(),
        "x-zendesk-webhook-signature-timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "x-zendesk-webhook-invocation-id": number,
    }
    return client.post("/webhooks/zendesk/support-assistant?tag=ai-answer", content=body, headers=headers)


def send_intercom(
    client: httpx.Client,
    at: Any,
    *,
    number: str = "notif_1",
    topic: str = "conversation_part.tag.created",
    ticket: str = "1911149811",
) -> httpx.Response:
    item = {
        "type": "conversation",
        "id": ticket,
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


def post_standard(client: httpx.Client, at: Any, **content: Any) -> httpx.Response:
    body, sent_at = json.dumps(content), int(at.timestamp())
    key = b64decode(SECRETS["standard"].removeprefix("whsec_"))
    signature = b64encode(hmac.new(key, f"msg_9.{sent_at}.{body}".encode(), sha256).digest()).decode()
    headers = {"webhook-id": "msg_9", "webhook-timestamp": str(sent_at), "webhook-signature": f"v1,{signature}"}
    return client.post("/webhooks/standard/support-assistant", content=body, headers=headers)


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
    again = "It came before: a ticket counts once."
    assert send(client, running.now()).json() == {"counted": False, "why": again, "rollout": "R-1"}
    assert (len(reported(running)), counted(running)) == (1, 1)
    second = send(client, running.now(), number="another", ticket="4712").json()
    assert second["counted"] is False
    assert "in this hour already" in second["why"]
    assert (len(reported(running)), counted(running)) == (2, 1)
    event = reported(running)[0]
    assert (event.arm, event.version) == ("canary", "v43")
    assert "4711" in event.text or "1911149811" in event.text
    assert "secret words" not in str(event)


@pytest.mark.parametrize("send", [send_zendesk, send_intercom])
def test_a_ticket_counts_once_however_often_and_however_late_it_is_updated(
    running: Any, client: httpx.Client, send: Callable[..., httpx.Response]
) -> None:
    """A trigger of Zendesk fires at each update of the ticket, and Intercom tells of each further tag."""
    see(client, UNIT)
    assert send(client, running.now()).json()["counted"] is True
    for hour in (1, 2):
        running.wait(hours=1)
        assert send(client, running.now(), number=f"update-{hour}").json()["counted"] is False
    assert (len(reported(running)), counted(running)) == (1, 1)


@pytest.mark.parametrize("send", [send_zendesk, send_intercom])
def test_a_ticket_that_is_updated_while_the_next_rollout_is_under_way_counts_no_second_time(
    running: Any, client: httpx.Client, rollout_file: str, send: Callable[..., httpx.Response]
) -> None:
    see(client, UNIT)
    assert send(client, running.now()).json()["counted"] is True
    running.do(c.RollBack(reason="answers are wrong"))
    running.apply(
        rollout_file.replace("rollout: tone", "rollout: tone-again").replace("prompt: new.md", "prompt: b.md")
    )
    running.do(c.Start(), "R-2")
    answer = send(client, running.now(), number="later")
    assert (answer.status_code, answer.json()["counted"]) == (200, False)


def test_a_ticket_whose_customer_is_known_later_counts_then(running: Any, client: httpx.Client) -> None:
    see(client, UNIT)
    assert send_zendesk(client, running.now(), unit="").json()["counted"] is False
    assert send_zendesk(client, running.now(), number="inv-2").json()["counted"] is True
    assert counted(running) == 1


def test_what_is_no_complaint_is_not_counted_as_one(running: Any, client: httpx.Client) -> None:
    """An app of Intercom has one address for all that it subscribes to."""
    see(client, UNIT)
    data = {"unit": UNIT, "ticket": "9"}
    for answer in (
        send_intercom(client, running.now(), topic="conversation.admin.replied"),
        post_standard(client, running.now(), type="complaint.withdrawn", data=data),
        post_zendesk(client, running.now(), {"type": "zen:event-type:user.created", "detail": {"id": "1"}}),
    ):
        assert answer.json()["counted"] is False
        assert "is no complaint; only " in answer.json()["why"]
    assert reported(running) == []


def test_a_ticket_event_of_zendesk_does_not_tell_the_customer(running: Any, client: httpx.Client) -> None:
    """Its `external_id` is the ticket's, which may be anything, such as the number of another customer."""
    see(client, UNIT)
    detail = {"id": "35436", "external_id": UNIT, "requester_id": "8447388090494", "tags": ["ai-answer"]}
    event = {"type": "zen:event-type:ticket.created", "id": "2b24", "detail": detail, "event": {}}
    answer = post_zendesk(client, running.now(), event).json()
    assert answer["counted"] is False
    assert "counted for neither version" in answer["why"]
    assert [(one.arm, one.unit_hash) for one in reported(running)] == [("", "")]
    assert counted(running) == 0


def test_a_complaint_of_somebody_who_is_not_compared_is_said_to_be_noted_only(
    running: Any, client: httpx.Client
) -> None:
    """Nobody could know whether this customer was in the cohort."""
    answer = send_zendesk(client, running.now(), unit="never-seen").json()
    assert answer["counted"] is False
    assert "counted for neither version" in answer["why"]
    assert (len(reported(running)), counted(running)) == (1, 0)


def test_the_signature_is_that_of_the_reference_implementation(running: Any, client: httpx.Client) -> None:
    assert f"{running.now():%H:%M}" == "12:03"
    see(client, "cust_8841")
    assert send_standard(client, running.now()).json()["counted"] is True
    assert send_standard(client, running.now(), **{"webhook-id": "msg_2"}).status_code == 401


def test_what_is_not_signed_or_old_is_not_believed(running: Any, client: httpx.Client) -> None:
    now = running.now()
    assert send_zendesk(client, now, secret="another").status_code == 401
    assert send_zendesk(client, now, secret="another").json()["hint"] == "Check the secret in ROLLOUT_HELP_DESKS."
    old = send_zendesk(client, now - timedelta(minutes=6))
    assert (old.status_code, "compare the clocks" in old.json()["hint"]) == (401, True)
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
