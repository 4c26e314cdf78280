"""Schemas of the OpenAPI document that routes do not declare themselves: responses, bodies, and the OFREP paths."""

from typing import Any

_Json = dict[str, Any]


def _build_object_schema(required: tuple[str, ...] = (), **properties: _Json) -> _Json:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _build_array_schema(items: _Json) -> _Json:
    return {"type": "array", "items": items}


def _build_response(description: str, schema: _Json) -> _Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_TEXT: _Json = {"type": "string"}
_MAYBE_TEXT: _Json = {"type": ["string", "null"]}
_NUMBER: _Json = {"type": "number"}
_MAYBE_NUMBER: _Json = {"type": ["number", "null"]}
_COUNT: _Json = {"type": "integer", "minimum": 0}
_YES: _Json = {"type": "boolean"}
_PROBLEM = _build_object_schema(("code", "message", "hint"), code=_TEXT, message=_TEXT, hint=_TEXT)
_EVENTS = _build_array_schema({"type": "integer"})
_RESULT: dict[str, _Json] = {"rollout": _MAYBE_TEXT, "state": _MAYBE_TEXT, "events": _EVENTS}
_ROLLOUT = _build_object_schema(
    ("id", "surface", "state", "stage", "percent", "from", "to", "owner", "waiting_for"),
    id=_TEXT,
    name=_TEXT,
    surface=_TEXT,
    state=_TEXT,
    stage=_MAYBE_TEXT,
    percent=_NUMBER,
    to=_TEXT,
    owner=_TEXT,
    waiting_for=_TEXT,
    **{"from": _TEXT},
)
_EVENT = _build_object_schema(
    ("position", "type", "actor", "at", "reason", "data"),
    position=_COUNT,
    type=_TEXT,
    actor=_TEXT,
    at={"type": "string", "format": "date-time"},
    reason=_TEXT,
    data={"type": "object"},
)
_ARM = _build_object_schema(("units", "requests"), units=_COUNT, requests=_COUNT)
_METRIC = _build_object_schema(
    ("metric", "estimate", "bound", "limit", "verdict"),
    metric=_TEXT,
    estimate=_MAYBE_NUMBER,
    bound=_build_object_schema(("low", "high"), low=_MAYBE_NUMBER, high=_MAYBE_NUMBER),
    limit=_MAYBE_TEXT,
    verdict=_TEXT,
    segment=_TEXT,
    agreed=_YES,
    cleared=_YES,
    expected=_TEXT,
    power=_build_object_schema(
        ("could_notice", "could_still_be", "decided_in_seconds"),
        could_notice=_MAYBE_NUMBER,
        could_still_be=_MAYBE_NUMBER,
        decided_in_seconds=_MAYBE_NUMBER,
    ),
)
_OBSERVATION = _build_object_schema(
    ("surface", "unit"),
    surface=_TEXT,
    unit={"type": "string", "description": "the same id as the evaluation's targetingKey"},
    exposure={"type": ["string", "null"], "description": "the evaluation's metadata.exposure, unchanged"},
    variant={"type": "string", "enum": ["canary", "control", "stable"]},
    version=_TEXT,
    at={"type": "string", "format": "date-time", "description": "at most an hour ago; now if left out"},
    id={"type": "string", "description": "unique per surface for 24 hours: counted once"},
    segments={"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
    metrics={
        "type": "object",
        "additionalProperties": {"type": ["number", "boolean", "null", "string", "object"]},
        "description": "null: not measured; a ratio is {numerator, denominator}",
    },
    error_category=_TEXT,
    soft_errors={
        "type": ["array", "string", "null"],
        "items": {"type": "string"},
        "description": "what is wrong with an answer that came without an error",
    },
    model={"type": ["string", "null"], "description": "the model that answered, as the provider's response names it"},
    request={"type": "boolean", "description": "false: more readings of a request that was reported before"},
)

PROBLEMS: dict[int | str, _Json] = {
    status: _build_response(description, _PROBLEM)
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
ROLLOUTS: dict[int | str, _Json] = {
    200: _build_response(
        "The rollouts",
        _build_object_schema(("rollouts", "next"), rollouts=_build_array_schema(_ROLLOUT), next=_MAYBE_TEXT),
    )
}
ROLLOUT: dict[int | str, _Json] = {200: _build_response("The rollout", _ROLLOUT)}
BUNDLE: dict[int | str, _Json] = {
    200: _build_response(
        "The bundle",
        _build_object_schema(
            ("bundle", "order", "rollouts"), bundle=_TEXT, order=_TEXT, rollouts=_build_array_schema(_ROLLOUT)
        ),
    )
}
EVENTS: dict[int | str, _Json] = {
    200: _build_response("Its events", _build_object_schema(("events",), events=_build_array_schema(_EVENT)))
}
_CUSTOMER = _build_object_schema(
    ("customer", "first_at", "last_at", "requests"), customer=_TEXT, first_at=_TEXT, last_at=_TEXT, requests=_COUNT
)
_CUSTOMERS = _build_object_schema(
    ("version", "total", "customers"), version=_TEXT, total=_COUNT, customers=_build_array_schema(_CUSTOMER)
)
CUSTOMERS: dict[int | str, _Json] = {
    200: {
        "description": "Who was served the new version",
        "content": {"application/json": {"schema": _CUSTOMERS}, "text/csv": {"schema": _TEXT}},
    }
}
EVIDENCE: dict[int | str, _Json] = {
    200: _build_response(
        "The newest judgement",
        _build_object_schema(
            ("rollout", "verdict", "arms", "metrics", "segments", "segments_checked", "notes"),
            rollout=_TEXT,
            verdict=_MAYBE_TEXT,
            arms=_build_object_schema(("canary", "control"), canary=_ARM, control=_ARM),
            metrics=_build_array_schema(_METRIC),
            segments=_build_array_schema(_METRIC),
            segments_checked=_COUNT,
            notes=_build_array_schema({"type": "object"}),
        ),
    )
}
STRATA: dict[int | str, _Json] = {
    200: _build_response(
        "Its strata",
        _build_object_schema(
            ("rollout", "strata"),
            rollout=_TEXT,
            strata=_build_array_schema(
                _build_object_schema(
                    ("name", "state", "percent", "verdict", "requests", "metrics"),
                    name=_MAYBE_TEXT,
                    state={"type": "string", "enum": ["ahead", "compared", "served", "back"]},
                    percent={"type": "number"},
                    verdict=_MAYBE_TEXT,
                    requests=_build_object_schema(("canary", "control"), canary=_COUNT, control=_COUNT),
                    metrics=_build_array_schema(_METRIC),
                )
            ),
        ),
    )
}
REVIEW: dict[int | str, _Json] = {
    200: _build_response(
        "Its review",
        _build_object_schema(
            ("rollout", "outcome", "ended_at", "needs_review", "questions", "expectations", "shortcuts", "answers"),
            rollout=_TEXT,
            name=_TEXT,
            outcome={"type": "string", "enum": ["done", "rolled_back"]},
            ended_at={"type": "string", "format": "date-time"},
            due_at=_MAYBE_TEXT,
            needs_review=_YES,
            questions=_build_array_schema({"type": "object"}),
            expectations=_build_array_schema({"type": "object"}),
            behaviour=_build_array_schema({"type": "object"}),
            cost={"type": ["object", "null"]},
            complaints={"type": "object"},
            shortcuts=_build_array_schema({"type": "object"}),
            answers={"type": ["object", "null"]},
        ),
    )
}
BASELINE: dict[int | str, _Json] = {
    200: _build_response(
        "Its baseline",
        _build_object_schema(
            ("surface", "live", "baseline", "suggested_limits"),
            surface=_TEXT,
            live=_TEXT,
            baseline={"type": ["object", "null"]},
            suggested_limits=_build_array_schema({"type": "object"}),
        ),
    )
}
_LIST: _Json = _build_array_schema({"type": "object"})
_NAMES: _Json = _build_array_schema(_TEXT)
DIGEST: dict[int | str, _Json] = {
    200: _build_response(
        "The digest",
        _build_object_schema(
            ("week", "zone", "begins", "until", "numbers", "shipped", "rolled_back", "running", "shortcuts", "owed"),
            week=_TEXT,
            zone=_TEXT,
            begins={"type": "string", "format": "date-time"},
            until={"type": "string", "format": "date-time"},
            numbers=_build_array_schema(
                _build_object_schema(
                    ("id", "title", "value", "unit", "how", "computed", "events"),
                    id=_TEXT,
                    title=_TEXT,
                    value=_MAYBE_NUMBER,
                    unit=_TEXT,
                    how=_TEXT,
                    computed=_YES,
                    events=_LIST,
                )
            ),
            shipped=_NAMES,
            rolled_back=_NAMES,
            running=_NAMES,
            shortcuts=_LIST,
            missed=_LIST,
            owed=_LIST,
            retirements=_LIST,
            shutdowns=_LIST,
        ),
    )
}
OUTCOME: dict[int | str, _Json] = {200: _build_response("Carried out", _build_object_schema(tuple(_RESULT), **_RESULT))}
APPLIED: dict[int | str, _Json] = {
    200: _build_response(
        "Applied; changed is false if the file describes what is already the case",
        _build_object_schema(
            ("kind", "id", "changed"),
            kind={"type": "string", "enum": ["rollout", "surface", "policy"]},
            id=_TEXT,
            changed=_YES,
            warnings=_build_array_schema({"type": "object"}),
            **_RESULT,
        ),
    )
}
_PLAN = _build_object_schema(
    ("rollout", "surface", "from", "to", "risk", "timeline", "limits", "warnings", "changes"),
    rollout=_TEXT,
    surface=_TEXT,
    to=_TEXT,
    risk={"type": "string", "enum": ["low", "standard", "high"]},
    timeline=_build_array_schema({"type": "object"}),
    limits=_build_array_schema({"type": "object"}),
    warnings=_build_array_schema({"type": "object"}),
    changes={"type": "object"},
    **{"from": _TEXT},
)
_BUNDLE_PLAN = _build_object_schema(("bundle", "rollouts"), bundle=_TEXT, rollouts=_build_array_schema(_PLAN))
PLAN: dict[int | str, _Json] = {
    200: {
        "description": "The plan, or those of a bundle; nothing is planned",
        "content": {
            "application/json": {"schema": {"anyOf": [_PLAN, _BUNDLE_PLAN]}},
            "text/markdown": {"schema": _TEXT},
        },
    }
}
EVALS: dict[int | str, _Json] = {
    200: _build_response(
        "Recorded; ok says whether the gate's terms are met",
        _build_object_schema(
            ("passed", "failed", "errors", "ok"),
            passed=_COUNT,
            failed=_COUNT,
            errors=_COUNT,
            ok=_YES,
            reasons=_build_array_schema(_TEXT),
            **_RESULT,
        ),
    )
}
_EXPORT_STATUS: _Json = {
    "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
    "application/json": {"schema": _build_object_schema(("message",), message=_TEXT)},
}
EXPORTED: dict[int | str, _Json] = {
    400: {"description": "The export cannot be read", "content": _EXPORT_STATUS},
    429: {"description": "Too much waits: try again after Retry-After", "content": _EXPORT_STATUS},
    503: {"description": "It could not be written: try again after Retry-After", "content": _EXPORT_STATUS},
    200: {"description": "Taken, answered after the commit; partialSuccess says what was rejected, and why"},
    415: {"description": "The content type is not application/x-protobuf or application/json"},
}
EXPORT_BODY: _Json = {
    "requestBody": {
        "description": "An export of OTLP over HTTP, by gzip or not",
        "content": {
            "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}
OBSERVED: dict[int | str, _Json] = {
    200: _build_response(
        "Answered after the commit, item by item",
        _build_object_schema(
            ("accepted", "rejected"),
            accepted=_COUNT,
            rejected=_build_array_schema(
                _build_object_schema(("index", "code", "message"), index=_COUNT, code=_TEXT, message=_TEXT),
            ),
        ),
    )
}

FILE_BODY: _Json = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": _TEXT},
            "application/json": {"schema": {"type": "object"}},
            "multipart/form-data": {
                "schema": _build_object_schema(("file",), file={"type": "string", "format": "binary"})
            },
        },
    }
}
_CASE = _build_object_schema(
    ("case", "category", "pass"),
    case=_TEXT,
    category=_TEXT,
    error=_YES,
    cost=_NUMBER,
    latency_ms=_NUMBER,
    **{"pass": _YES},
)
EVAL_BODY: _Json = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _build_object_schema(
                    ("rollout", "cases"),
                    rollout=_TEXT,
                    suite=_TEXT,
                    cases=_build_array_schema(_CASE),
                    baseline=_build_array_schema(_CASE),
                )
            },
            "text/csv": {"schema": {"type": "string", "examples": ["case,category,pass\nrefund-1,billing,true\n"]}},
            "application/octet-stream": {
                "schema": {"type": "string", "format": "binary", "description": "a file of an eval tool, or Parquet"}
            },
            "multipart/form-data": {
                "schema": _build_object_schema(
                    ("file",),
                    file={"type": "string", "format": "binary"},
                    baseline={"type": "string", "format": "binary"},
                )
            },
        },
    }
}
OBSERVATIONS_BODY: _Json = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _build_object_schema(("observations",), observations=_build_array_schema(_OBSERVATION))
            },
            "application/x-ndjson": {"schema": {"type": "string", "description": "one observation per line"}},
        },
    }
}

_EVALUATION = _build_object_schema(
    ("key", "value", "variant", "reason", "metadata"),
    key=_TEXT,
    value={"type": "object", "description": "the version's whole content"},
    variant={"type": "string", "enum": ["canary", "control", "stable"]},
    reason={"type": "string", "enum": ["DEFAULT", "SPLIT", "TARGETING_MATCH"]},
    metadata=_build_object_schema(
        ("rollout", "version", "cohort", "stage"),
        rollout=_TEXT,
        version=_TEXT,
        cohort=_TEXT,
        stage=_TEXT,
        exposure={"type": "string", "description": "send it back in observations; present while a rollout runs"},
    ),
)
_OFREP_PROBLEM = _build_object_schema(("errorCode", "errorDetails"), key=_TEXT, errorCode=_TEXT, errorDetails=_TEXT)
_CONTEXT: _Json = {
    "content": {
        "application/json": {
            "schema": _build_object_schema(
                context={**_build_object_schema(targetingKey=_MAYBE_TEXT), "type": ["object", "null"]}
            ),
            "example": {"context": {"targetingKey": "user-123", "email": "user@example.com"}},
        }
    }
}
_OFREP_PROBLEMS: _Json = {
    status: _build_response(description, _OFREP_PROBLEM)
    for status, description in {
        "400": "The body cannot be read",
        "401": "No valid token",
        "403": "The token may not evaluate",
        "404": "Unknown surface",
        "413": "The body is too large",
    }.items()
}
_IF_NONE_MATCH: _Json = {"name": "If-None-Match", "in": "header", "schema": _TEXT}


def _build_evaluation_path(summary: str, operation: str, schema: _Json, *parameters: _Json) -> _Json:
    return {
        "post": {
            "tags": ["OFREP"],
            "summary": summary,
            "operationId": operation,
            "parameters": [*parameters, _IF_NONE_MATCH],
            "requestBody": _CONTEXT,
            "responses": {
                "200": {
                    **_build_response("Evaluated", schema),
                    "headers": {"ETag": {"schema": _TEXT, "description": "a hash of the body"}},
                },
                "304": {"description": "Nothing has changed"},
                **_OFREP_PROBLEMS,
            },
        }
    }


OFREP_PATHS: _Json = {
    "/ofrep/v1/evaluate/flags/{key}": _build_evaluation_path(
        "Which version of one surface this unit gets",
        "evaluateFlag",
        _EVALUATION,
        {"name": "key", "in": "path", "required": True, "schema": _TEXT, "description": "the surface's name"},
    ),
    "/ofrep/v1/evaluate/flags": _build_evaluation_path(
        "Which version of every surface this unit gets",
        "evaluateFlagsBulk",
        _build_object_schema(
            ("flags",),
            flags=_build_array_schema(_EVALUATION),
            eventStreams=_build_array_schema(
                _build_object_schema(
                    ("type", "endpoint"),
                    type=_TEXT,
                    endpoint=_build_object_schema(("requestUri",), requestUri=_TEXT),
                    inactivityDelaySec=_COUNT,
                )
            ),
        ),
    ),
}

_ANSWER_INDEX: _Json = {"type": "integer", "minimum": 0, "description": "an index into answers"}
_EXPOSURE_RULE = _build_object_schema(
    (
        *("salt", "canary_below", "control_from", "canary", "control", "stable", "outside", "cohort"),
        *("earlier_cohorts", "moved", "moved_back"),
    ),
    salt=_TEXT,
    canary_below=_COUNT,
    control_from=_COUNT,
    canary=_ANSWER_INDEX,
    control=_ANSWER_INDEX,
    stable=_ANSWER_INDEX,
    outside=_ANSWER_INDEX,
    cohort={"type": ["array", "null"], "description": "conditions: pairs of an attribute and its allowed values"},
    earlier_cohorts=_build_array_schema({"type": "object"}),
    moved=_ANSWER_INDEX,
    moved_back=_build_array_schema({"type": "string", "pattern": "^[0-9a-f]{16}$"}),
    layer=_build_object_schema(
        ("name", "slots"), name=_TEXT, slots=_build_array_schema(_build_array_schema({"type": "integer"}))
    ),
)
_FINISHING_VERSION = _build_object_schema(
    ("answer", "served_to"),
    answer=_ANSWER_INDEX,
    served_to={"type": ["array", "null"], "items": {"type": "object"}, "description": "null: everybody"},
)
_DOCUMENT = _build_object_schema(
    ("format", "surfaces"),
    format={"type": "integer"},
    surfaces={
        "type": "object",
        "additionalProperties": _build_object_schema(
            ("versions", "answers", "live", "exposure"),
            versions={"type": "object", "description": "the whole content of each version that may be answered"},
            answers=_build_array_schema({"type": "object"}),
            live=_ANSWER_INDEX,
            exposure={**_EXPOSURE_RULE, "type": ["object", "null"]},
            layered={**_EXPOSURE_RULE, "description": "the rule in place of exposure, for the units of a layer"},
            finishing={"type": "object", "additionalProperties": _FINISHING_VERSION},
        ),
    },
)
_CLIENT_ID: _Json = {
    "name": "Rampart-Client",
    "in": "header",
    "schema": _TEXT,
    "description": "the id that this client gave itself: what it may be serving is then waited for",
}


def _pick_problems(*statuses: int) -> _Json:
    return {str(status): PROBLEMS[status] for status in statuses}


CLIENT_PATHS: _Json = {
    "/api/v1/snapshot": {
        "get": {
            "tags": ["clients"],
            "summary": "The snapshot, with which clients evaluate in their own process",
            "operationId": "getSnapshot",
            "parameters": [_IF_NONE_MATCH, _CLIENT_ID],
            "responses": {
                "200": _build_response("The snapshot", _DOCUMENT),
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
                {"name": "token", "in": "query", "schema": _TEXT, "description": "of an address in eventStreams"},
                {"name": "since", "in": "query", "schema": _TEXT, "description": "the ETag that is known already"},
            ],
            "responses": {
                "200": {"description": "Events", "content": {"text/event-stream": {"schema": _TEXT}}},
                **_pick_problems(401, 403, 503),
            },
        }
    },
}
