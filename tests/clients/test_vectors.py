"""Every implementation gives the answers of one file of vectors, which are Rampart's own."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from rampart_client.bucketing import compute_place
from rampart_client.document import UnreadableDocument, compile_document
from tests.clients.vectors import PATH, SURFACE, format_vectors

VECTORS: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
JAVASCRIPT = PATH.parent / "javascript"


def test_the_vectors_are_what_rampart_answers() -> None:
    assert PATH.read_text(encoding="utf-8") == format_vectors(), "run python -m tests.clients.vectors"


def test_the_vectors_tell_every_answer_apart() -> None:
    for one in VECTORS["evaluations"]:
        answers = {tuple(case[key] for key in ("variant", "version", "cohort", "reason")) for case in one["cases"]}
        assert len(answers) > 1 or one["title"] in {"no rollout", "nobody"}, one["title"]


def test_a_unit_falls_in_python_where_it_falls_in_rampart() -> None:
    for one in VECTORS["places"]:
        assert compute_place(one["purpose"], one["salt"], one["unit"]) == one["place"]


@pytest.mark.parametrize("one", VECTORS["evaluations"], ids=lambda one: one["title"])
def test_everybody_gets_in_python_what_rampart_answers(one: Any) -> None:
    rule = compile_document(json.dumps(one["document"]).encode())[SURFACE]
    for case in one["cases"]:
        found = rule.choose(case["unit"], case["context"])
        expected = {key: value for key, value in case.items() if key not in ("unit", "context")}
        assert {key: getattr(found, key) for key in expected} == expected, case
        assert found.value == one["document"]["surfaces"][SURFACE]["versions"][found.version]


def test_everybody_gets_in_javascript_what_rampart_answers() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    done = subprocess.run([node, "--test"], cwd=JAVASCRIPT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert f"# pass {len(VECTORS['evaluations']) + 5}" in done.stdout


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"format":2,"surfaces":{}}', b'{"format":1,"surfaces":{"s":{"answers":[],"live":0}}}']
)
def test_a_document_that_this_client_cannot_read_is_refused_whole(body: bytes) -> None:
    with pytest.raises(UnreadableDocument):
        compile_document(body)
