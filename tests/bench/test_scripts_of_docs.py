"""The measurements that docs name by their command can run: at their smallest size they give rows, not judged here."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from bench.__main__ import PARTS

ROOT = Path(__file__).parents[2]
SMALLEST = {"unit_past": "2"}  # runs, where one says nothing of how they differ
SCRIPTS = {
    path.stem for path in (ROOT / "bench" / "evidence").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
}
NAMES = sorted(SCRIPTS - PARTS.keys())


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_rows(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    script = importlib.import_module(f"bench.evidence.{name}")
    runs = SMALLEST.get(name, "1")
    monkeypatch.setattr(sys, "argv", [name, runs])
    if "CASES" in vars(script):
        monkeypatch.setattr(script, "CASES", script.CASES[:1])  # the others differ in numbers alone
    if name in ("influence", "past"):
        script.main(int(runs), *([script.SEED] if name == "past" else []))
    else:
        script.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert rows
    assert all(re.search(r"\d", row) for row in rows[-1:])


def test_docs_name_each_of_them() -> None:
    docs = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    assert [name for name in NAMES if not re.search(rf"bench[./]evidence[./]{name}\b", docs)] == []
