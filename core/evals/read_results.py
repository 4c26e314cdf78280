"""Read the rows of an offline eval run from CSV or JSON. Every row is checked; nothing is guessed."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from core.evals.eval_gate import EvalCase

MAX_CASES = 100_000
csv.field_size_limit(8 * 1024 * 1024)  # process-wide: a column with the answer may be as long as a request body
_REQUIRED = (("case",), ("category",), ("pass", "passed"))  # each by any of its names
_TRUE = frozenset({"true", "1", "1.0", "yes", "y", "pass", "passed", "ok"})
_FALSE = frozenset({"false", "0", "0.0", "no", "n", "fail", "failed"})
_ERROR = frozenset({"error", "errored", "timeout", "", "nan", "none", "null"})
_NO_ERROR = frozenset({"", "false", "0", "0.0", "no", "n", "nan", "none", "null", "{}", "[]"})


class UnreadableEvals(ValueError):
    """Input that is not eval results. The message names the row and what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRow:
    """A case of one version's run. An empty `version` means the version under test."""

    case: EvalCase
    version: str = ""


def decode_csv(body: bytes) -> str:
    """Decode a CSV file as UTF-8. Raises `UnreadableEvals` if it is not: a lost letter may change a category."""
    if b"\0" in body:
        raise UnreadableEvals(
            'This is not UTF-8 text but UTF-16, as Excel writes "Unicode text". Save it as "CSV UTF-8".'
        )
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableEvals(
            'This is not UTF-8 text, most likely Windows-1252, as Excel writes "CSV". Save it as "CSV UTF-8".'
        ) from None


def read_csv(text: str) -> tuple[EvalRow, ...]:
    """Read the columns `case,category,pass` and, if present, `version`, `cost` and `latency_ms`.

    `pass` is true/false, 1/0, pass/fail, or error. Rows of the current version are the baseline. Raises
    `UnreadableEvals`.
    """
    lines = io.StringIO(text.removeprefix("\ufeff"), newline=None)
    reader = csv.DictReader(lines, skipinitialspace=True, strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        if twice := next((name for name in names if name and names.count(name) > 1), ""):
            raise UnreadableEvals(f'The first line names "{twice[:40]}" twice. Remove one of the two columns.')
        if missing := [spellings[0] for spellings in _REQUIRED if not {*spellings} & {*names}]:
            raise UnreadableEvals(
                f"The first line must name the columns case,category,pass; missing: {', '.join(missing)}."
            )
        reader.fieldnames = names
        return _read_rows((line, reader.line_num) for line in reader)
    except csv.Error as error:
        raise UnreadableEvals(f"Line {reader.line_num} is not CSV: {error}.") from None


def read_json(cases: Any, baseline: Any = None) -> tuple[EvalRow, ...]:
    """Read cases from objects `{"case", "category", "pass", "error"?, "cost"?, "latency_ms"?}`.

    `baseline` has the same form and belongs to the current version; its rows get the version `current`. Raises
    `UnreadableEvals`.
    """
    rows = _read_rows(_check_objects(cases, "cases"))
    if baseline is None:
        return rows
    before = _read_rows(_check_objects(baseline, "baseline"))
    return (*rows, *(EvalRow(case=r.case, version="current") for r in before))


def check_unique_names(body: bytes) -> None:
    """Raise `UnreadableEvals` if an object in a JSON body has a name twice: parsers would keep only the last one."""

    def reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise UnreadableEvals(f'An object has "{twice[:40]}" twice. Remove one of them.')
        return found

    json.loads(body, object_pairs_hook=reject_duplicates)


def _read_rows(lines: Any) -> tuple[EvalRow, ...]:
    found: list[EvalRow] = []
    for line, number in lines:
        found.append(_read_row(line, f"Line {number}" if isinstance(number, int) else number))
        if len(found) > MAX_CASES:
            raise UnreadableEvals(f"Over {MAX_CASES:,} cases: split the run by suite.")
    return tuple(found)


def _check_objects(cases: Any, name: str) -> Any:
    if not isinstance(cases, list):
        raise UnreadableEvals(f'"{name}" must be a list of objects like {{"case", "category", "pass"}}.')
    for index, case in enumerate(cases):
        if not isinstance(case, dict):
            raise UnreadableEvals(f'{name}[{index}] must be an object like {{"case", "category", "pass"}}.')
        yield case, f"{name}[{index}]"


def _read_row(line: Mapping[Any, Any], where: str) -> EvalRow:
    if None in line:
        raise UnreadableEvals(f"{where} has more fields than the first line.")
    identity = normalize("NFC", _read_name(line.get("case")))
    if not identity:
        raise UnreadableEvals(f"{where} has no case.")
    passed, error = _read_outcome(line, where)
    return EvalRow(
        case=EvalCase(
            case=identity,
            category=_read_name(line.get("category")),
            passed=passed,
            error=error,
            cost=_read_number(line.get("cost"), where, "cost"),
            latency_ms=_read_number(line.get("latency_ms"), where, "latency_ms"),
        ),
        version=_read_name(line.get("version")).rpartition("@")[2],
    )


def _read_name(value: Any) -> str:
    """A name as text, stripped. Numbers are names too; null, booleans, lists and objects give an empty one."""
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _read_outcome(line: Mapping[str, Any], where: str) -> tuple[bool, bool]:
    """(passed, error) of a case. A case without an outcome could not be judged: that is an error, never a pass."""
    if line.get("error") not in (None, False) and str(line["error"]).strip().lower() not in _NO_ERROR:
        return False, True
    given = [line[name] for name in ("pass", "passed") if name in line]
    if len(given) == 2 and given[0] != given[1]:
        raise UnreadableEvals(f'{where}: "pass" and "passed" disagree.')
    value = given[0] if given else None
    word = "" if value is None else str(value).strip().lower()
    if word in _TRUE:
        return True, False
    if word in _FALSE:
        return False, False
    if word in _ERROR:
        return False, True
    raise UnreadableEvals(f'{where}: pass is "{word[:40]}"; write true, false or error.')


def _read_number(value: Any, where: str, name: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < float("inf"):
        raise UnreadableEvals(f"{where}: {name} is {str(value)[:40]!r}; write a number of at least 0.")
    return number
