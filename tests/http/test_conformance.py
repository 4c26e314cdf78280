"""Whatever is asked within the published documents, the answer is one that they describe."""

from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
# The OFREP project's own document, with the mistake in `evaluationSuccess` mended; kept outside of this repository.
OFREP = Path(__file__).parents[3] / "shared" / "data" / "ofrep-openapi-0.3.0-anyOf-patched.yaml"


def ask_everything(schema: Any, base_url: str) -> list[str]:
    """Ask each operation many ways, valid and not; gives the operations asked."""
    asked = []
    for found in schema.get_all_operations():
        operation = found.ok()
        modes = [schemathesis.GenerationMode.POSITIVE]
        if operation.body and operation.path != "/api/v1/files":  # any text is a file
            modes.append(schemathesis.GenerationMode.NEGATIVE)
        for mode in modes:

            @settings(
                max_examples=8,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                case.validate_response(case.call(base_url=base_url), checks=CHECKS)

            ask()
        asked.append(f"{operation.method.upper()} {operation.path}")
    return asked


def test_our_own_document_is_kept(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    asked = ask_everything(schema.exclude(path="/api/v1/changes"), str(client.base_url).rstrip("/"))
    assert len(asked) == 29


def test_the_ofrep_document_is_kept(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    if not OFREP.exists():
        print(f"left out: there is no {OFREP.name} beside this checkout; our own document describes the same door")
        document = client.get("/openapi.json").json()
        document["paths"] = {p: d for p, d in document["paths"].items() if p.startswith("/ofrep/")}
        schema = schemathesis.openapi.from_dict(document)
    else:
        schema = schemathesis.openapi.from_path(OFREP)
    asked = ask_everything(schema, str(client.base_url).rstrip("/"))
    assert sorted(asked) == ["POST /ofrep/v1/evaluate/flags", "POST /ofrep/v1/evaluate/flags/{key}"]
