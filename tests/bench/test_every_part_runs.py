"""Every part of `make bench` can run: at its smallest effort it gives figures, which are not judged here."""

import importlib
import math
import re
from pathlib import Path
from typing import Any, Self

import pytest

from bench.__main__ import GROUPS, PARTS
from bench.measuring import peer
from bench.measuring.figures import table
from bench.measuring.rounds import SMALLEST

ROOT = Path(__file__).parents[2]


class AnsweringPeer:
    """In the place of programs that `make bench` installs apart and tests do without: answers in their form."""

    def __init__(self, program: str, *arguments: str, environment: str = "peers") -> None:
        assert (peer._PROGRAMS / program).exists()

    def ask(self, **asked: Any) -> dict[str, Any]:
        """What any of them may be asked."""
        return {
            "seconds": 1.0,
            "ms": 1.0,
            "found": [1 for _ in asked.get("canary", asked.get("values", asked.get("canary_n", ())))],
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_it_gives_figures(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part = importlib.import_module(PARTS[name].module)
    places = [part, *(vars(part)[one] for one in ("cells", "cost", "delay", "late") if one in vars(part))]
    for place in places:
        if "Peer" in vars(place):
            monkeypatch.setattr(place, "Peer", AnsweringPeer)
    found = list(part.measure(SMALLEST))
    assert found
    assert not any(math.isnan(figure.ours) for figure in found)
    assert len({figure.name for figure in found}) == len(found)
    assert len(table(found).splitlines()) == len(found) + 2


def test_every_group_is_of_parts_that_there_are() -> None:
    assert {part for parts in GROUPS.values() for part in parts} <= PARTS.keys()


def test_whatever_measures_is_a_part_or_belongs_to_one() -> None:
    modules = {PARTS[name].module for name in PARTS}
    measuring = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "bench").rglob("*.py")
        if re.search(r"^def measure\(effort", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {one for one in measuring if one not in modules and one.rpartition(".")[0] not in modules} == set()
