"""The quick way to change a frozen value does what the slow one does."""

import dataclasses
from dataclasses import dataclass

import pytest

from core.rollout.state.fast_replace import replace


@dataclass(frozen=True, kw_only=True)
class Point:
    x: int
    y: int = 2


def test_it_gives_what_the_standard_library_gives_and_leaves_the_first_alone():
    point = Point(x=1)
    assert replace(point, y=5) == dataclasses.replace(point, y=5) == Point(x=1, y=5)
    assert point == Point(x=1, y=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        replace(point, x=3).x = 4


def test_a_field_that_is_not_there_is_refused():
    with pytest.raises(TypeError, match="z"):
        replace(Point(x=1), z=3)
