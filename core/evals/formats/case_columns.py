"""The columns of a case in CSV, Parquet and JSON that no eval tool wrote: `case`, `category`, `pass`, and others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.evals.eval_run import (
    MAX_CASES,
    EvalCase,
    EvalRun,
    ReadingChoices,
    UnreadableEvals,
    hash_content,
    select_labels,
)
from core.evals.formats.field_values import (
    read_any_number,
    read_case_name,
    read_category,
    read_count,
    read_name,
    read_number,
    read_outcome,
    too_many_cases,
)

CURRENT = "current"
"""The version of a case that belongs to the current version's run."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is read by itself into the field of `EvalCase` with its name.

    `read` gets the value, where it stands and the name. `is_decimal` columns may have decimal commas in tables.
    """

    name: str
    read: Callable[[Any, str, str], Any]
    is_decimal: bool = False


OPTIONAL_COLUMNS = (
    Column("score", read_any_number, is_decimal=True),
    Column("cost", read_number, is_decimal=True),
    Column("latency_ms", read_number, is_decimal=True),
    Column("tokens", read_count),
    Column("repeat", lambda value, where, name: read_count(value, where, name) or 0),
    Column("judge", lambda value, where, name: read_name(value)),
    Column("model", lambda value, where, name: read_name(value)),
)
COLUMNS = ("case", "category", "pass", "passed", "error", "version", "input", *(one.name for one in OPTIONAL_COLUMNS))
_REQUIRED = (("case",), ("category",), ("pass", "passed"))  # each by any of its names


def check_columns(names: Sequence[str], where: str) -> None:
    """Raise `UnreadableEvals` if a column is missing or there twice."""
    if twice := next((name for name in names if name and names.count(name) > 1), ""):
        raise UnreadableEvals(f'{where} names "{twice[:40]}" twice. Remove one of the two columns.')
    if missing := [spellings[0] for spellings in _REQUIRED if not {*spellings} & {*names}]:
        raise UnreadableEvals(f"{where} must name the columns case,category,pass; missing: {', '.join(missing)}.")


def read_json_cases(cases: Any, current: Any, choices: ReadingChoices, suite: str = "") -> EvalRun:
    """Read objects `{"case", "category", "pass", …}`; `current` are those of the current version, if there are any.

    Raises `UnreadableEvals`.
    """
    found = read_rows(_check_objects(cases, "cases"), choices)
    if current is not None:
        before = read_rows(_check_objects(current, "baseline"), choices)
        found = (*found, *(replace(case, version=CURRENT) for case in before))
    return EvalRun(tool="", cases=found, suite=suite)


def read_rows(rows: Iterable[tuple[Mapping[Any, Any], str]], choices: ReadingChoices) -> tuple[EvalCase, ...]:
    """Read (fields, where they stand) one by one. Raises `UnreadableEvals`."""
    found: list[EvalCase] = []
    for fields, where in rows:
        found.append(_read_row(fields, where, choices))
        if len(found) > MAX_CASES:
            raise too_many_cases()
    return tuple(found)


def _check_objects(cases: Any, name: str) -> Iterable[tuple[Mapping[Any, Any], str]]:
    if not isinstance(cases, list):
        raise UnreadableEvals(f'"{name}" must be a list of objects like {{"case", "category", "pass"}}.')
    for index, case in enumerate(cases):
        if not isinstance(case, dict):
            raise UnreadableEvals(f'{name}[{index}] must be an object like {{"case", "category", "pass"}}.')
        yield case, f"{name}[{index}]"


def _read_row(fields: Mapping[Any, Any], where: str, choices: ReadingChoices) -> EvalCase:
    name = read_case_name(fields.get("case"), where)
    passed, error = read_outcome(fields, where)
    asked = fields.get("input")
    return EvalCase(
        case=name,
        category=read_category(fields.get("category"), where),
        passed=passed,
        error=error,
        **{one.name: one.read(fields.get(one.name), where, one.name) for one in OPTIONAL_COLUMNS},
        version=read_name(fields.get("version")).rpartition("@")[2],
        content=hash_content(str(asked).encode()) if asked not in (None, "") else "",
        labels=select_labels(fields, choices.dimensions) if choices.dimensions else (),
    )
