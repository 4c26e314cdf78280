"""What routes of observations and of OpenTelemetry exports are sent and answer."""

from bot.http.openapi.schemas import COUNT, TEXT, JsonObject, build_array_schema, build_object_schema, build_response

_OBSERVATION = build_object_schema(
    ("surface", "unit"),
    surface=TEXT,
    unit={"type": "string", "description": "the same id as the evaluation's targetingKey"},
    exposure={"type": ["string", "null"], "description": "the evaluation's metadata.exposure, unchanged"},
    variant={"type": "string", "enum": ["canary", "control", "stable"]},
    version=TEXT,
    at={"type": "string", "format": "date-time", "description": "at most an hour ago; now if left out"},
    id={"type": "string", "description": "unique per surface for 24 hours: counted once"},
    segments={"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
    metrics={
        "type": "object",
        "additionalProperties": {"type": ["number", "boolean", "null", "string", "object"]},
        "description": "null: not measured; a ratio is {numerator, denominator}",
    },
    error_category=TEXT,
    soft_errors={
        "type": ["array", "string", "null"],
        "items": {"type": "string"},
        "description": "what is wrong with an answer that came without an error",
    },
    model={"type": ["string", "null"], "description": "the model that answered, as the provider's response names it"},
    request={"type": "boolean", "description": "false: more readings of a request that was reported before"},
)
_EXPORT_STATUS: JsonObject = {
    "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
    "application/json": {"schema": build_object_schema(("message",), message=TEXT)},
}
EXPORTED: dict[int | str, JsonObject] = {
    400: {"description": "The export cannot be read", "content": _EXPORT_STATUS},
    503: {
        "description": "Too much waits, or it could not be written: try again after Retry-After",
        "content": _EXPORT_STATUS,
    },
    200: {"description": "Taken, answered after the commit; partialSuccess says what was rejected, and why"},
    415: {"description": "The content type is not application/x-protobuf or application/json"},
}
EXPORT_BODY: JsonObject = {
    "requestBody": {
        "description": "An export of OTLP over HTTP, by gzip or not",
        "content": {
            "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}
OBSERVED: dict[int | str, JsonObject] = {
    200: build_response(
        "Answered after the commit, item by item",
        build_object_schema(
            ("accepted", "rejected"),
            accepted=COUNT,
            rejected=build_array_schema(
                build_object_schema(("index", "code", "message"), index=COUNT, code=TEXT, message=TEXT),
            ),
        ),
    )
}
OBSERVATIONS_BODY: JsonObject = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": build_object_schema(("observations",), observations=build_array_schema(_OBSERVATION))
            },
            "application/x-ndjson": {"schema": {"type": "string", "description": "one observation per line"}},
        },
    }
}
