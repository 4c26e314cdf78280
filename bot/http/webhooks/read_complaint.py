"""Reads what a help desk sends: which customer complained, in which ticket; never what they wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bot.http.webhooks.signatures import HelpDesk

_MAX_ID = 512  # characters of an id, as of a unit
_COMPLAINTS = {
    HelpDesk.ZENDESK: ("zen:event-type:ticket.created", "zen:event-type:ticket.tags_changed"),
    HelpDesk.INTERCOM: ("conversation.user.created", "conversation_part.tag.created"),
    HelpDesk.STANDARD: ("complaint.created",),
}
"""What a complaint is called where the sender names what happened: an app has one address for all that it hears of."""


class MalformedDelivery(ValueError):
    """The body is not what this help desk sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpDeskDelivery:
    """One delivery. `id` tells repeats, `unit` is the customer as the evaluation knows them, empty if unknown.

    `ticket` names the ticket or conversation, `tags` are its labels. `why_none`, if not empty, says why it is no
    complaint.
    """

    id: str
    unit: str = ""
    ticket: str = ""
    tags: frozenset[str] = frozenset()
    why_none: str = ""


def read_delivery(desk: HelpDesk, headers: Mapping[str, str], body: bytes) -> HelpDeskDelivery:
    """Read a verified delivery; raises MalformedDelivery."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedDelivery(f"The body is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise MalformedDelivery("The body must be an object.")
    match desk:
        case HelpDesk.ZENDESK:
            found = _read_zendesk(headers, content)
        case HelpDesk.INTERCOM:
            found = _read_intercom(content)
        case HelpDesk.STANDARD:
            found = _read_standard(headers, content)
    if not found.id:
        raise MalformedDelivery("The delivery has no id, so a repeat could not be told from another complaint.")
    return found


def _read_standard(headers: Mapping[str, str], content: Mapping[str, Any]) -> HelpDeskDelivery:
    """`{"type": "complaint.created", "data": {"unit", "ticket", "tags"}}` under the header `webhook-id`."""
    data = _get_object(content, "data")
    return HelpDeskDelivery(
        id=_read_id(headers.get("webhook-id")),
        unit=_read_id(data.get("unit")),
        ticket=_read_id(data.get("ticket")),
        tags=_read_tags(data.get("tags")),
        why_none=_explain_other(HelpDesk.STANDARD, content.get("type")),
    )


def _read_zendesk(headers: Mapping[str, str], content: Mapping[str, Any]) -> HelpDeskDelivery:
    """The JSON of a trigger, `{"ticket", "unit", "tags"}` with Zendesk's placeholders, or a ticket event.

    An event does not tell the customer: its `external_id` is the ticket's, `requester_id` is Zendesk's own.
    """
    detail = _get_object(content, "detail") or content
    return HelpDeskDelivery(
        id=_read_id(headers.get("x-zendesk-webhook-invocation-id")) or _read_id(content.get("id")),
        unit=_read_id(detail.get("unit")),
        ticket=_read_id(detail.get("ticket")) or _read_id(detail.get("id")),
        tags=_read_tags(detail.get("tags")),
        why_none=_explain_other(HelpDesk.ZENDESK, content.get("type") if "detail" in content else None),
    )


def _read_intercom(content: Mapping[str, Any]) -> HelpDeskDelivery:
    """A notification about a conversation; the contact's `external_id` is the customer."""
    item = _get_object(_get_object(content, "data"), "item")
    contacts = _get_object(item, "contacts").get("contacts")
    first = contacts[0] if isinstance(contacts, list) and contacts and isinstance(contacts[0], dict) else {}
    author = _get_object(_get_object(item, "source"), "author")
    tags = _get_object(item, "tags").get("tags")
    return HelpDeskDelivery(
        id=_read_id(content.get("id")),
        unit=_read_id(first.get("external_id")) or _read_id(author.get("external_id")),
        ticket=_read_id(item.get("id")),
        tags=_read_tags([tag.get("name") for tag in tags if isinstance(tag, dict)] if isinstance(tags, list) else None),
        why_none="This only tries the address."
        if content.get("topic") == "ping"
        else _explain_other(HelpDesk.INTERCOM, content.get("topic")),
    )


def _explain_other(desk: HelpDesk, happened: Any) -> str:
    """Why this is no complaint; empty if it is one, or if the sender does not name what happened."""
    known = _COMPLAINTS[desk]
    if happened is None or happened in known:
        return ""
    return f"{str(happened)[:80]} is no complaint; only {' and '.join(known)} can be one."


def _get_object(holder: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = holder.get(key)
    return found if isinstance(found, dict) else {}


def _read_id(value: Any) -> str:
    """A text or a whole number as a text; empty for anything else."""
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_ID and "\x00" not in value else ""


def _read_tags(value: Any) -> frozenset[str]:
    """Tags from a list, or from one text with spaces or commas between, as Zendesk's placeholder gives them."""
    found = value.replace(",", " ").split() if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(tag for tag in found if isinstance(tag, str))
