"""The OFREP paths, which no route declares."""

from bot.http.openapi.schemas import (
    COUNT,
    IF_NONE_MATCH,
    MAYBE_TEXT,
    TEXT,
    JsonObject,
    build_array_schema,
    build_object_schema,
    build_response,
)

_EVALUATION = build_object_schema(
    ("key", "value", "variant", "reason", "metadata"),
    key=TEXT,
    value={"type": "object", "description": "the version's whole content"},
    variant={"type": "string", "enum": ["canary", "control", "stable"]},
    reason={"type": "string", "enum": ["DEFAULT", "SPLIT", "TARGETING_MATCH"]},
    metadata=build_object_schema(
        ("rollout", "version", "cohort", "stage"),
        rollout=TEXT,
        version=TEXT,
        cohort=TEXT,
        stage=TEXT,
        exposure={"type": "string", "description": "send it back in observations; present while a rollout runs"},
    ),
)
_OFREP_PROBLEM = build_object_schema(("errorCode", "errorDetails"), key=TEXT, errorCode=TEXT, errorDetails=TEXT)
_CONTEXT: JsonObject = {
    "content": {
        "application/json": {
            "schema": build_object_schema(
                context={**build_object_schema(targetingKey=MAYBE_TEXT), "type": ["object", "null"]}
            ),
            "example": {"context": {"targetingKey": "user-123", "email": "user@example.com"}},
        }
    }
}
_OFREP_PROBLEMS: JsonObject = {
    status: build_response(description, _OFREP_PROBLEM)
    for status, description in {
        "400": "The body cannot be read",
        "401": "No valid token",
        "403": "The token may not evaluate",
        "404": "Unknown surface",
        "413": "The body is too large",
    }.items()
}


def _build_evaluation_path(summary: str, operation: str, schema: JsonObject, *parameters: JsonObject) -> JsonObject:
    return {
        "post": {
            "tags": ["OFREP"],
            "summary": summary,
            "operationId": operation,
            "parameters": [*parameters, IF_NONE_MATCH],
            "requestBody": _CONTEXT,
            "responses": {
                "200": {
                    **build_response("Evaluated", schema),
                    "headers": {"ETag": {"schema": TEXT, "description": "a hash of the body"}},
                },
                "304": {"description": "Nothing has changed"},
                **_OFREP_PROBLEMS,
            },
        }
    }


OFREP_PATHS: JsonObject = {
    "/ofrep/v1/evaluate/flags/{key}": _build_evaluation_path(
        "Which version of one surface this unit gets",
        "evaluateFlag",
        _EVALUATION,
        {"name": "key", "in": "path", "required": True, "schema": TEXT, "description": "the surface's name"},
    ),
    "/ofrep/v1/evaluate/flags": _build_evaluation_path(
        "Which version of every surface this unit gets",
        "evaluateFlagsBulk",
        build_object_schema(
            ("flags",),
            flags=build_array_schema(_EVALUATION),
            eventStreams=build_array_schema(
                build_object_schema(
                    ("type", "endpoint"),
                    type=TEXT,
                    endpoint=build_object_schema(("requestUri",), requestUri=TEXT),
                    inactivityDelaySec=COUNT,
                )
            ),
        ),
    ),
}
