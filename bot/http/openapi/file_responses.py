"""What routes that take files are sent and answer: applied, or planned only."""

from bot.http.openapi.schemas import (
    RESULT,
    TEXT,
    YES,
    JsonObject,
    build_array_schema,
    build_object_schema,
    build_response,
)

APPLIED: dict[int | str, JsonObject] = {
    200: build_response(
        "Applied; changed is false if the file describes what is already the case",
        build_object_schema(
            ("kind", "id", "changed"),
            kind={"type": "string", "enum": ["rollout", "bundle", "surface", "policy"]},
            id=TEXT,
            changed=YES,
            rollouts=build_array_schema(TEXT),
            warnings=build_array_schema({"type": "object"}),
            **RESULT,
        ),
    )
}
_PLAN = build_object_schema(
    ("rollout", "surface", "from", "to", "risk", "timeline", "limits", "warnings", "changes"),
    rollout=TEXT,
    surface=TEXT,
    to=TEXT,
    risk={"type": "string", "enum": ["low", "standard", "high"]},
    timeline=build_array_schema({"type": "object"}),
    limits=build_array_schema({"type": "object"}),
    warnings=build_array_schema({"type": "object"}),
    changes={"type": "object"},
    **{"from": TEXT},
)
_BUNDLE_PLAN = build_object_schema(("bundle", "rollouts"), bundle=TEXT, rollouts=build_array_schema(_PLAN))
PLAN: dict[int | str, JsonObject] = {
    200: {
        "description": "The plan, or those of a bundle; nothing is planned",
        "content": {
            "application/json": {"schema": {"anyOf": [_PLAN, _BUNDLE_PLAN]}},
            "text/markdown": {"schema": TEXT},
        },
    }
}
FILE_BODY: JsonObject = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": TEXT},
            "application/json": {"schema": {"type": "object"}},
            "multipart/form-data": {
                "schema": build_object_schema(("file",), file={"type": "string", "format": "binary"})
            },
        },
    }
}
