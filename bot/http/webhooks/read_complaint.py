"""Reads what a help desk sends: which customer complained, in which ticket; never what they wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bot.http.webhooks.signatures import HelpDesk

_MAX_ID = 512  # characters of an id, as of a unit


class MalformedDelivery(ValueError):
    """The body is not what this help desk sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpDeskDelivery:
    """One delivery. `id` tells repeats, `unit` is the customer as the evaluation knows them, empty if unknown.

    `ticket` names the ticket or conversation, `tags` are its labels. `is_test` means that it only tries the address.
    """

    id: str
    unit: str = ""
    ticket: str = ""
    tags: frozenset[str] = frozenset()
    is_test: bool = False


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
    )


def _read_zendesk(headers: Mapping[str, str], content: Mapping[str, Any]) -> HelpDeskDelivery:
    """A ticket event, or the JSON of a trigger: `{"ticket", "unit", "tags"}` with Zendesk's placeholders."""
    detail = _get_object(content, "detail") or content
    requester = _get_object(detail, "requester")
    return HelpDeskDelivery(
        id=_read_id(headers.get("x-zendesk-webhook-invocation-id")) or _read_id(content.get("id")),
        unit=_read_id(detail.get("unit"))
        or _read_id(requester.get("external_id"))
        or _read_id(detail.get("external_id")),
        ticket=_read_id(detail.get("ticket")) or _read_id(detail.get("id")),
        tags=_read_tags(detail.get("tags")),
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
        is_test=content.get("topic") == "ping",
    )


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
