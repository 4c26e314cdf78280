"""What routes about rollouts answer: each rollout, its bundle, events, evidence, strata, review and customers."""

from bot.http.openapi.schemas import (
    COUNT,
    MAYBE_NUMBER,
    MAYBE_TEXT,
    NUMBER,
    RESULT,
    TEXT,
    YES,
    JsonObject,
    build_array_schema,
    build_object_schema,
    build_response,
)

_ROLLOUT = build_object_schema(
    ("id", "surface", "state", "stage", "percent", "from", "to", "owner", "waiting_for"),
    id=TEXT,
    name=TEXT,
    surface=TEXT,
    state=TEXT,
    stage=MAYBE_TEXT,
    percent=NUMBER,
    to=TEXT,
    owner=TEXT,
    waiting_for=TEXT,
    **{"from": TEXT},
)
_EVENT = build_object_schema(
    ("position", "type", "actor", "at", "reason", "data"),
    position=COUNT,
    type=TEXT,
    actor=TEXT,
    at={"type": "string", "format": "date-time"},
    reason=TEXT,
    data={"type": "object"},
)
_ARM = build_object_schema(("units", "requests"), units=COUNT, requests=COUNT)
_METRIC = build_object_schema(
    ("metric", "estimate", "bound", "limit", "verdict"),
    metric=TEXT,
    estimate=MAYBE_NUMBER,
    bound=build_object_schema(("low", "high"), low=MAYBE_NUMBER, high=MAYBE_NUMBER),
    limit=MAYBE_TEXT,
    verdict=TEXT,
    segment=TEXT,
    agreed=YES,
    cleared=YES,
    expected=TEXT,
    power=build_object_schema(
        ("could_notice", "could_still_be", "decided_in_seconds"),
        could_notice=MAYBE_NUMBER,
        could_still_be=MAYBE_NUMBER,
        decided_in_seconds=MAYBE_NUMBER,
    ),
)
ROLLOUTS: dict[int | str, JsonObject] = {
    200: build_response(
        "The rollouts",
        build_object_schema(("rollouts", "next"), rollouts=build_array_schema(_ROLLOUT), next=MAYBE_TEXT),
    )
}
ROLLOUT: dict[int | str, JsonObject] = {200: build_response("The rollout", _ROLLOUT)}
BUNDLE: dict[int | str, JsonObject] = {
    200: build_response(
        "The bundle",
        build_object_schema(
            ("bundle", "order", "rollouts"), bundle=TEXT, order=TEXT, rollouts=build_array_schema(_ROLLOUT)
        ),
    )
}
EVENTS: dict[int | str, JsonObject] = {
    200: build_response("Its events", build_object_schema(("events",), events=build_array_schema(_EVENT)))
}
_CUSTOMER = build_object_schema(
    ("customer", "first_at", "last_at", "requests"), customer=TEXT, first_at=TEXT, last_at=TEXT, requests=COUNT
)
_CUSTOMERS = build_object_schema(
    ("version", "total", "customers"), version=TEXT, total=COUNT, customers=build_array_schema(_CUSTOMER)
)
CUSTOMERS: dict[int | str, JsonObject] = {
    200: {
        "description": "Who was served the new version",
        "content": {"application/json": {"schema": _CUSTOMERS}, "text/csv": {"schema": TEXT}},
    }
}
EVIDENCE: dict[int | str, JsonObject] = {
    200: build_response(
        "The newest judgement",
        build_object_schema(
            ("rollout", "verdict", "arms", "metrics", "segments", "segments_checked", "notes"),
            rollout=TEXT,
            verdict=MAYBE_TEXT,
            arms=build_object_schema(("canary", "control"), canary=_ARM, control=_ARM),
            metrics=build_array_schema(_METRIC),
            segments=build_array_schema(_METRIC),
            segments_checked=COUNT,
            notes=build_array_schema({"type": "object"}),
        ),
    )
}
STRATA: dict[int | str, JsonObject] = {
    200: build_response(
        "Its strata",
        build_object_schema(
            ("rollout", "strata"),
            rollout=TEXT,
            strata=build_array_schema(
                build_object_schema(
                    ("name", "state", "percent", "verdict", "requests", "metrics"),
                    name=MAYBE_TEXT,
                    state={"type": "string", "enum": ["ahead", "compared", "served", "back"]},
                    percent={"type": "number"},
                    verdict=MAYBE_TEXT,
                    requests=build_object_schema(("canary", "control"), canary=COUNT, control=COUNT),
                    metrics=build_array_schema(_METRIC),
                )
            ),
        ),
    )
}
REVIEW: dict[int | str, JsonObject] = {
    200: build_response(
        "Its review",
        build_object_schema(
            ("rollout", "outcome", "ended_at", "needs_review", "questions", "expectations", "shortcuts", "answers"),
            rollout=TEXT,
            name=TEXT,
            outcome={"type": "string", "enum": ["done", "rolled_back"]},
            ended_at={"type": "string", "format": "date-time"},
            due_at=MAYBE_TEXT,
            needs_review=YES,
            questions=build_array_schema({"type": "object"}),
            expectations=build_array_schema({"type": "object"}),
            behaviour=build_array_schema({"type": "object"}),
            cost={"type": ["object", "null"]},
            complaints={"type": "object"},
            shortcuts=build_array_schema({"type": "object"}),
            answers={"type": ["object", "null"]},
        ),
    )
}
BASELINE: dict[int | str, JsonObject] = {
    200: build_response(
        "Its baseline",
        build_object_schema(
            ("surface", "live", "baseline", "suggested_limits"),
            surface=TEXT,
            live=TEXT,
            baseline={"type": ["object", "null"]},
            suggested_limits=build_array_schema({"type": "object"}),
        ),
    )
}
OUTCOME: dict[int | str, JsonObject] = {
    200: build_response("Carried out", build_object_schema(tuple(RESULT), **RESULT))
}
