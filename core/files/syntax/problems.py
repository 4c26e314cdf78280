"""A problem in a file, as a value that points at its line, and the three forms in which it is shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

FieldPath: TypeAlias = tuple[str | int, ...]
Severity: TypeAlias = Literal["error", "warning"]

LINE_SHOWN = 160  # longer source lines are cut to this many characters around the column


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpot:
    """A place in a file; lines and columns count from 1."""

    line: int
    column: int
    source_line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProblem:
    """One problem in a file. `path` leads to the value, as in `("rollback_when", 0, "metric")`.

    `also` is the second place if the problem is about two. `is_forecast`: it foresees what the traffic will show, which
    the outlook of the plan says, too, by what was measured.
    """

    file: str
    line: int
    column: int
    message: str
    path: FieldPath = ()
    source_line: str = ""
    severity: Severity = "error"
    also: SourceSpot | None = None
    is_forecast: bool = False

    @property
    def dotted_path(self) -> str:
        """The path as people read it: `rollback_when.0.metric`."""
        return ".".join(str(step) for step in self.path)

    @property
    def json_pointer(self) -> str:
        """The path as a JSON pointer (RFC 6901): `/rollback_when/0/metric`."""
        return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in self.path)


class UnreadableFile(Exception):
    """A file that cannot be used as written. `problems` says why and where; `str()` is the text for people."""

    def __init__(self, problems: Iterable[FileProblem]) -> None:
        self.problems: tuple[FileProblem, ...] = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
        super().__init__(render_text(self.problems))


def select_errors(problems: Iterable[FileProblem]) -> tuple[FileProblem, ...]:
    """The problems that refuse the file; the rest are warnings."""
    return tuple(p for p in problems if p.severity == "error")


def raise_on_errors(found: tuple[FileProblem, ...]) -> tuple[FileProblem, ...]:
    """Return the problems if all are warnings; raise `UnreadableFile` if any is an error."""
    if select_errors(found):
        raise UnreadableFile(found)
    return found


def render_text(problems: Sequence[FileProblem]) -> str:
    """For people: each problem with its source line and a caret, and a count per file. Empty if there are none."""
    lines: list[str] = []
    for file, group in groupby(problems, key=lambda p: p.file):
        found = list(group)
        for problem in found:
            lines += _render_problem(problem)
        lines.append(f"{file} {_format_count(found)}")
    return "\n".join(lines)


def render_github(problems: Iterable[FileProblem]) -> str:
    """For GitHub Actions: a workflow command per problem, which shows up at its line in a review."""
    return "\n".join(
        format_annotation(p.severity, p.message, file=p.file, line=p.line, col=p.column, title=p.dotted_path or p.file)
        for p in problems
    )


def format_annotation(severity: str, message: str, **properties: str | int) -> str:
    """A workflow command of GitHub Actions; `severity` is `error`, `warning` or `notice`."""
    listed = ",".join(f"{name}={_escape_property(str(value))}" for name, value in properties.items())
    return f"::{severity} {listed}::{_escape_data(message)}"


def to_json(problem: FileProblem) -> dict[str, str | int]:
    """For programs: the JSON pointer, the line and the message."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "pointer": problem.json_pointer,
        "path": problem.dotted_path,
        "severity": problem.severity,
        "message": problem.message,
        "source_line": problem.source_line,
    }


def _render_problem(problem: FileProblem) -> list[str]:
    warning = "warning: " if problem.severity == "warning" else ""
    path = f"{problem.dotted_path}: " if problem.path else ""
    lines = [f"{problem.file}:{problem.line}:{problem.column}: {warning}{path}{problem.message}"]
    lines += _render_caret(problem.source_line, problem.column)
    if problem.also is not None:
        lines.append(f"{problem.file}:{problem.also.line}:{problem.also.column}: the other line")
        lines += _render_caret(problem.also.source_line, problem.also.column)
    return lines


def _render_caret(source_line: str, column: int) -> list[str]:
    if not source_line.strip():
        return []
    shown, at = source_line.replace("\t", " "), column - 1
    if len(shown) > LINE_SHOWN:
        begin = max(0, min(at - LINE_SHOWN // 2, len(shown) - LINE_SHOWN))
        shown, at = shown[begin : begin + LINE_SHOWN], at - begin
    return [f"    {shown.rstrip()}", f"    {' ' * at}^"]


def _format_count(found: Sequence[FileProblem]) -> str:
    wrong = len(select_errors(found))
    counts = [_pluralize(wrong, "problem")] if wrong else []
    if len(found) > wrong:
        counts.append(_pluralize(len(found) - wrong, "warning"))
    return ", ".join(counts)


def _pluralize(number: int, one: str) -> str:
    return f"{number} {one}{'' if number == 1 else 's'}"


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
