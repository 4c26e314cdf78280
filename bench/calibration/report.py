"""A calibration's result as a line of a table."""

from dataclasses import dataclass

from bench.calibration import binomial

GOAL = 0.05
HEADINGS = ("scenario", "kernel", "runs", "looks", "false", "rate", "upper 95 %", "goal", "met?")
WORDS = (0, 1, 8)  # columns of words; the others hold numbers


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

    def line(self) -> str:
        """Its line of the table."""
        return _line(
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


def heading() -> str:
    """What stands above the lines of the table, which is Markdown."""
    return "\n".join([_line(*HEADINGS), _line(*("---" if at in WORDS else "---:" for at in range(len(HEADINGS))))])


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
