"""The glossary and the code use the same words."""

import ast
import re
from collections import Counter
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| `([^`|]+)` \|$", re.MULTILINE)
TERMS = ROW.findall((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
METAPHORS = {"door", "doors", "turn", "turns", "whoever", "somebody", "trips", "lookout", "beholder", "nudge"}


def words_in(name: str) -> list[str]:
    """`TokenAuth`, `token_auth` → token, auth."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


@cache
def definitions() -> list[tuple[Path, ast.stmt]]:
    return [
        (path, node)
        for folder in ("core", "bot")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]


def test_it_defines_enough_terms_once_each() -> None:
    assert len(TERMS) >= 40
    assert [term for term, count in Counter(term for term, _, _ in TERMS).items() if count > 1] == []


def test_every_term_is_where_it_says() -> None:
    for term, _, place in TERMS:
        module, _, name = place.rpartition(".")
        found = import_module(module)
        assert hasattr(found, name) or import_module(place), term


def test_a_public_class_name_occurs_once() -> None:
    names = Counter(node.name for _, node in definitions() if isinstance(node, ast.ClassDef) and node.name[0] != "_")
    # What is asked for, what has happened and what was concluded share the field's words.
    assert {name for name, count in names.items() if count > 1} <= {"RollBack", "Hold"}


def test_no_name_is_a_metaphor() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {node.name}" for path, node in definitions() if METAPHORS & {*words_in(node.name)}
    }
    assert found == set()


def test_most_functions_say_what_they_do() -> None:
    functions = [
        node.name.strip("_")
        for _, node in definitions()
        if not isinstance(node, ast.ClassDef) and not node.name.startswith("__")
    ]
    assert sum("_" not in name for name in functions) / len(functions) < 0.35
