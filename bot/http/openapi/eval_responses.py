"""What the route of eval results is sent and answers."""

from bot.http.openapi.schemas import (
    COUNT,
    NUMBER,
    RESULT,
    TEXT,
    YES,
    JsonObject,
    build_array_schema,
    build_object_schema,
    build_response,
)

EVALS: dict[int | str, JsonObject] = {
    200: build_response(
        "Recorded; ok says whether the gate's terms are met",
        build_object_schema(
            ("passed", "failed", "errors", "ok"),
            passed=COUNT,
            failed=COUNT,
            errors=COUNT,
            ok=YES,
            reasons=build_array_schema(TEXT),
            **RESULT,
        ),
    )
}
_CASE = build_object_schema(
    ("case", "category", "pass"),
    case=TEXT,
    category=TEXT,
    error=YES,
    cost=NUMBER,
    latency_ms=NUMBER,
    **{"pass": YES},
)
EVAL_BODY: JsonObject = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": build_object_schema(
                    ("rollout", "cases"),
                    rollout=TEXT,
                    suite=TEXT,
                    cases=build_array_schema(_CASE),
                    baseline=build_array_schema(_CASE),
                )
            },
            "text/csv": {"schema": {"type": "string", "examples": ["case,category,pass\nrefund-1,billing,true\n"]}},
            "application/octet-stream": {
                "schema": {"type": "string", "format": "binary", "description": "a file of an eval tool, or Parquet"}
            },
            "multipart/form-data": {
                "schema": build_object_schema(
                    ("file",),
                    file={"type": "string", "format": "binary"},
                    baseline={"type": "string", "format": "binary"},
                )
            },
        },
    }
}
