"""The paths of clients that evaluate in their own process, which no route declares: snapshot and changes."""

from bot.http.openapi.schemas import (
    COUNT,
    IF_NONE_MATCH,
    PROBLEMS,
    TEXT,
    JsonObject,
    build_array_schema,
    build_object_schema,
    build_response,
)

_ANSWER_INDEX: JsonObject = {"type": "integer", "minimum": 0, "description": "an index into answers"}
_EXPOSURE_RULE = build_object_schema(
    (
        *("salt", "canary_below", "control_from", "canary", "control", "stable", "outside", "cohort"),
        *("earlier_cohorts", "moved", "moved_back"),
    ),
    salt=TEXT,
    canary_below=COUNT,
    control_from=COUNT,
    canary=_ANSWER_INDEX,
    control=_ANSWER_INDEX,
    stable=_ANSWER_INDEX,
    outside=_ANSWER_INDEX,
    cohort={"type": ["array", "null"], "description": "conditions: pairs of an attribute and its allowed values"},
    earlier_cohorts=build_array_schema({"type": "object"}),
    moved=_ANSWER_INDEX,
    moved_back=build_array_schema({"type": "string", "pattern": "^[0-9a-f]{16}$"}),
    layer=build_object_schema(
        ("name", "slots"), name=TEXT, slots=build_array_schema(build_array_schema({"type": "integer"}))
    ),
)
_FINISHING_VERSION = build_object_schema(
    ("answer", "served_to"),
    answer=_ANSWER_INDEX,
    served_to={"type": ["array", "null"], "items": {"type": "object"}, "description": "null: everybody"},
)
_DOCUMENT = build_object_schema(
    ("format", "surfaces"),
    format={"type": "integer"},
    surfaces={
        "type": "object",
        "additionalProperties": build_object_schema(
            ("versions", "answers", "live", "exposure"),
            versions={"type": "object", "description": "the whole content of each version that may be answered"},
            answers=build_array_schema({"type": "object"}),
            live=_ANSWER_INDEX,
            exposure={**_EXPOSURE_RULE, "type": ["object", "null"]},
            layered={**_EXPOSURE_RULE, "description": "the rule in place of exposure, for the units of a layer"},
            finishing={"type": "object", "additionalProperties": _FINISHING_VERSION},
        ),
    },
)
_CLIENT_ID: JsonObject = {
    "name": "Rampart-Client",
    "in": "header",
    "schema": TEXT,
    "description": "the id that this client gave itself: what it may be serving is then waited for",
}


def _pick_problems(*statuses: int) -> JsonObject:
    return {str(status): PROBLEMS[status] for status in statuses}


CLIENT_PATHS: JsonObject = {
    "/api/v1/snapshot": {
        "get": {
            "tags": ["clients"],
            "summary": "The snapshot, with which clients evaluate in their own process",
            "operationId": "getSnapshot",
            "parameters": [IF_NONE_MATCH, _CLIENT_ID],
            "responses": {
                "200": build_response("The snapshot", _DOCUMENT),
                "304": {"description": "Nothing has changed"},
                **_pick_problems(401, 403, 503),
            },
        },
        "delete": {
            "tags": ["clients"],
            "summary": "This client has ended",
            "operationId": "endClient",
            "parameters": [_CLIENT_ID],
            "responses": {"204": {"description": "Nobody waits for it any more"}, **_pick_problems(401, 403)},
        },
    },
    "/api/v1/changes": {
        "get": {
            "tags": ["clients"],
            "summary": "An event stream that says when evaluations may have changed",
            "operationId": "listenForChanges",
            "parameters": [
                {"name": "token", "in": "query", "schema": TEXT, "description": "of an address in eventStreams"},
                {"name": "since", "in": "query", "schema": TEXT, "description": "the ETag that is known already"},
            ],
            "responses": {
                "200": {"description": "Events", "content": {"text/event-stream": {"schema": TEXT}}},
                **_pick_problems(401, 403, 503),
            },
        }
    },
}
