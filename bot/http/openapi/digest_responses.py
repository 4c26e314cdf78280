"""What the route of a week's digest answers."""

from bot.http.openapi.schemas import (
    MAYBE_NUMBER,
    TEXT,
    YES,
    JsonObject,
    build_array_schema,
    build_object_schema,
    build_response,
)

_OBJECTS = build_array_schema({"type": "object"})
_TEXTS = build_array_schema(TEXT)
DIGEST: dict[int | str, JsonObject] = {
    200: build_response(
        "The digest",
        build_object_schema(
            ("week", "zone", "begins", "until", "numbers", "shipped", "rolled_back", "running", "shortcuts", "owed"),
            week=TEXT,
            zone=TEXT,
            begins={"type": "string", "format": "date-time"},
            until={"type": "string", "format": "date-time"},
            numbers=build_array_schema(
                build_object_schema(
                    ("id", "title", "value", "unit", "how", "computed", "events"),
                    id=TEXT,
                    title=TEXT,
                    value=MAYBE_NUMBER,
                    unit=TEXT,
                    how=TEXT,
                    computed=YES,
                    events=_OBJECTS,
                )
            ),
            shipped=_TEXTS,
            rolled_back=_TEXTS,
            running=_TEXTS,
            shortcuts=_OBJECTS,
            missed=_OBJECTS,
            owed=_OBJECTS,
            retirements=_OBJECTS,
            shutdowns=_OBJECTS,
        ),
    )
}
