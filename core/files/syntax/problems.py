"""A problem in a file, as a value that points at its line, and the three forms in which it is shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
Severity: TypeAlias = Literal["error", "warning"]

LINE_SHOWN = 160  # longer source lines are cut to this many characters around the column


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A place in a file; lines and columns count from 1."""

    line: int
    column: int
    source_line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem in a file. `path` leads to the value, as in `("rollback_when", 0, "metric")`.

    `also` is the second place if the problem is about two.
    """

    file: str
    line: int
    column: int
    message: str
    path: Path = ()
    source_line: str = ""
    severity: Severity = "error"
    also: Spot | None = None

    @property
    def dotted(self) -> str:
        """The path as people read it: `rollback_when.0.metric`."""
        return ".".join(str(step) for step in self.path)

    @property
    def pointer(self) -> str:
        """The path as a JSON pointer (RFC 6901): `/rollback_when/0/metric`."""
        return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in self.path)


class Unreadable(Exception):
    """A file that cannot be used as written. `problems` says why and where; `str()` is the text for people."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
        super().__init__(render(self.problems))


def errors(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems that refuse the file; the rest are warnings."""
    return tuple(p for p in problems if p.severity == "error")


def render(problems: Sequence[Problem]) -> str:
    """For people: each problem with its source line and a caret, and a count per file. Empty if there are none."""
    lines: list[str] = []
    for file, group in groupby(problems, key=lambda p: p.file):
        found = list(group)
        for problem in found:
            lines += _told(problem)
        lines.append(f"{file} {_count(found)}")
    return "\n".join(lines)


def render_github(problems: Iterable[Problem]) -> str:
    """For GitHub Actions: a workflow command per problem, which shows up at its line in a review."""
    return "\n".join(
        f"::{p.severity} file={_property(p.file)},line={p.line},col={p.column},title={_property(p.dotted or p.file)}"
        f"::{_data(p.message)}"
        for p in problems
    )


def as_json(problem: Problem) -> dict[str, str | int]:
    """For programs: the JSON pointer, the line and the message."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "pointer": problem.pointer,
        "path": problem.dotted,
        "severity": problem.severity,
        "message": problem.message,
        "source_line": problem.source_line,
    }


def _told(problem: Problem) -> list[str]:
    warning = "warning: " if problem.severity == "warning" else ""
    path = f"{problem.dotted}: " if problem.path else ""
    told = [f"{problem.file}:{problem.line}:{problem.column}: {warning}{path}{problem.message}"]
    told += _caret(problem.source_line, problem.column)
    if problem.also is not None:
        told.append(f"{problem.file}:{problem.also.line}:{problem.also.column}: the other line")
        told += _caret(problem.also.source_line, problem.also.column)
    return told


def _caret(source_line: str, column: int) -> list[str]:
    if not source_line.strip():
        return []
    shown, at = source_line.replace("\t", " "), column - 1
    if len(shown) > LINE_SHOWN:
        begin = max(0, min(at - LINE_SHOWN // 2, len(shown) - LINE_SHOWN))
        shown, at = shown[begin : begin + LINE_SHOWN], at - begin
    return [f"    {shown.rstrip()}", f"    {' ' * at}^"]


def _count(found: Sequence[Problem]) -> str:
    wrong = len(errors(found))
    counts = [_plural(wrong, "problem")] if wrong else []
    if len(found) > wrong:
        counts.append(_plural(len(found) - wrong, "warning"))
    return ", ".join(counts)


def _plural(number: int, one: str) -> str:
    return f"{number} {one}{'' if number == 1 else 's'}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
