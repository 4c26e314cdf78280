"""A measured figure beside its peer's and its goal, and the table of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

HEADINGS = ("figure", "ours", "peer", "ratio", "goal", "met?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`goal` bounds the ratio where there is a peer, and the figure itself where there is none."""

    name: str
    ours: float
    unit: str
    peer: float | None = None
    goal: float | None = None
    better: Literal["more", "less"] = "more"

    @property
    def ratio(self) -> float | None:
        """How many times the peer's figure ours is: infinite where only the peer's is 0."""
        if self.peer is None:
            return None
        return self.ours / self.peer if self.peer else inf if self.ours else 1.0

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        found = self.ours if self.ratio is None else self.ratio
        return found >= self.goal if self.better == "more" else found <= self.goal

    def cells(self) -> tuple[str, ...]:
        """One line of the table."""
        sign = ">=" if self.better == "more" else "<="
        unit = "x" if self.peer is not None else f" {self.unit}"
        return (
            self.name,
            f"{_number(self.ours)} {self.unit}",
            "-" if self.peer is None else f"{_number(self.peer)} {self.unit}",
            "-" if self.ratio is None else f"{self.ratio:.2f}x",
            "-" if self.goal is None else f"{sign} {_number(self.goal)}{unit}",
            {True: "yes", False: "NO", None: "-"}[self.met],
        )


def table(figures: Sequence[Figure]) -> str:
    """All figures as text, one a line, in columns."""
    rows = [HEADINGS, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, 5) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}".removesuffix("0").removesuffix(".0")
