"""A calibration's result, and the table of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.calibration import binomial

GOAL = 0.05
HEADINGS = ("scenario", "kernel", "runs", "looks", "false", "rate", "upper 95 %", "goal", "met?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How many of so many runs without harm were condemned at one of so many looks."""

    scenario: str
    kernel: str
    runs: int
    looks: int
    alarms: int
    goal: float | None = GOAL

    @property
    def upper(self) -> float:
        """The upper 95 % limit of the rate."""
        return binomial.upper_limit(self.alarms, self.runs)

    @property
    def met(self) -> bool | None:
        """Whether even the upper limit keeps the goal; None where none is set."""
        return None if self.goal is None else self.upper <= self.goal

    def cells(self) -> tuple[str, ...]:
        """One line of the table."""
        return (
            self.scenario,
            self.kernel,
            f"{self.runs:,}",
            f"{self.looks:,}",
            f"{self.alarms:,}",
            f"{self.alarms / self.runs:.4f}",
            f"{self.upper:.4f}",
            "-" if self.goal is None else f"<= {self.goal:.2f}",
            {True: "yes", False: "NO", None: "-"}[self.met],
        )


def table(results: Sequence[Result]) -> str:
    """All results as a Markdown table."""
    rows = [HEADINGS, tuple("---" if at in (0, 1, 8) else "---:" for at in range(9)), *(one.cells() for one in results)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
