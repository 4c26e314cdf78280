"""The JSON Schema of all kinds of file, for editors."""

from typing import Any

from pydantic.json_schema import models_json_schema

from core.files.read_file import MODELS_BY_KIND


def build_schema() -> dict[str, Any]:
    """One schema that every document of a rollout, bundle, surface or policy file satisfies."""
    references, definitions = models_json_schema(
        [(model, "validation") for model in MODELS_BY_KIND.values()], by_alias=True
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rampart rollout, bundle, surface or policy file",
        "anyOf": list(references.values()),
        "$defs": definitions["$defs"],
    }
