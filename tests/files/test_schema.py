"""Editors get a JSON Schema that knows every field as it is written and accepts every good file."""

import jsonschema_rs
import pytest

from core.files.json_schema import build_schema
from core.files.syntax.yaml_with_lines import parse_yaml
from core.metrics.catalogue import CATALOGUE


@pytest.fixture(scope="module")
def accepts():
    return jsonschema_rs.validator_for(build_schema()).is_valid


def test_it_names_the_fields_as_they_are_written():
    limit = build_schema()["$defs"]["LimitTerms"]
    assert "for" in limit["properties"]
    assert "lasting" not in limit["properties"]
    built_in, own = limit["properties"]["metric"]["anyOf"]
    assert built_in["enum"] == list(CATALOGUE)
    assert own["pattern"] == "^[a-z][a-z0-9_]+$"  # which names a surface defines, a schema cannot know


@pytest.mark.parametrize("name", ["prompt-change.yaml", "model-upgrade.yaml", "policy.yaml", "surface.yaml"])
def test_it_accepts_the_good_files(accepts, files, name):
    assert accepts(parse_yaml(files(name), name).data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("drops_by", "drop_by"),
        ("eval_pass_rate", "eval-pass-rate"),
        ("hold: 2h", "hold: 2 fortnights"),
        ("template: prompt-standard ", "template: prompt-standrd "),
        ("rollback_when:", "rollback_wen:"),
        ("direction: down", "direction: downwards"),
    ],
)
def test_it_refuses_what_reading_refuses(accepts, files, old, new):
    assert not accepts(parse_yaml(files("prompt-change.yaml").replace(old, new, 1), "f").data)
