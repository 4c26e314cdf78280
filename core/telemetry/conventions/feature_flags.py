"""The feature flag conventions: which surface, version and side a span or an event belongs to, and which unit."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from core.telemetry.conventions.readers import Reader, read_text

EVALUATION_EVENTS = frozenset({"feature_flag.evaluation", "feature_flag"})
_MAX_MEMBERS = 64  # of a baggage header, as the W3C asks for


def _read_baggage(facts: dict[str, Any], value: Any) -> None:
    """The `baggage` header of a request as some servers record it; other members of it are ignored."""
    headers = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    for header in headers[:8]:
        if not isinstance(header, str):
            continue
        for member in header.split(",")[:_MAX_MEMBERS]:
            name, _, text = member.partition(";")[0].partition("=")
            if (reader := FLAG_READERS.get(name.strip())) is not None:
                reader(facts, unquote(text.strip()))


FLAG_READERS: Mapping[str, Reader] = {
    "feature_flag.key": read_text("surface"),
    "feature_flag.result.variant": read_text("variant"),
    "feature_flag.variant": read_text("variant"),
    "feature_flag.version": read_text("version"),
    "feature_flag.context.id": read_text("unit"),
    "rampart.surface": read_text("surface"),
    "rampart.exposure": read_text("exposure"),
    "rampart.version": read_text("version"),
    "rampart.unit": read_text("unit"),
}
"""Attributes that attribute; as attributes of a span, in baggage, or of an event `feature_flag.evaluation`."""

READERS: Mapping[str, Reader] = {
    **FLAG_READERS,
    "http.request.header.baggage": _read_baggage,
    "enduser.id": read_text("user"),
    "geo.country.iso_code": read_text("country"),
}
RESOURCE_READERS: Mapping[str, Reader] = {
    **FLAG_READERS,
    "service.name": read_text("service"),
    "deployment.environment.name": read_text("environment"),
    "deployment.environment": read_text("environment"),
}
"""Attributes of a resource: what is true of everything that a process reports."""
