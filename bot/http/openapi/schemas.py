"""Parts of which the documents of responses and bodies are built, and the problems that every route may answer with."""

from typing import Any

JsonObject = dict[str, Any]


def build_object_schema(required: tuple[str, ...] = (), **properties: JsonObject) -> JsonObject:
    """An object with these properties, of which some are required."""
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def build_array_schema(items: JsonObject) -> JsonObject:
    """A list of such items."""
    return {"type": "array", "items": items}


def build_response(description: str, schema: JsonObject) -> JsonObject:
    """A response with a body of JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


TEXT: JsonObject = {"type": "string"}
MAYBE_TEXT: JsonObject = {"type": ["string", "null"]}
NUMBER: JsonObject = {"type": "number"}
MAYBE_NUMBER: JsonObject = {"type": ["number", "null"]}
COUNT: JsonObject = {"type": "integer", "minimum": 0}
YES: JsonObject = {"type": "boolean"}
_PROBLEM = build_object_schema(("code", "message", "hint"), code=TEXT, message=TEXT, hint=TEXT)
_EVENTS = build_array_schema({"type": "integer"})
RESULT: dict[str, JsonObject] = {"rollout": MAYBE_TEXT, "state": MAYBE_TEXT, "events": _EVENTS}
PROBLEMS: dict[int | str, JsonObject] = {
    status: build_response(description, _PROBLEM)
    for status, description in {
        400: "The body or a parameter cannot be read",
        401: "No valid token",
        403: "The token's role, or the person, may not do this",
        404: "Not found",
        409: "Refused in the current state, or the Idempotency-Key was used for a different request",
        408: "The body did not arrive in time",
        413: "The body is too large",
        429: "Too many changes with this token: try again after Retry-After",
        422: "The content is not valid",
        503: "The database cannot be reached: try again",
    }.items()
}
IF_NONE_MATCH: JsonObject = {"name": "If-None-Match", "in": "header", "schema": TEXT}
