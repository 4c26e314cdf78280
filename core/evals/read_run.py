"""Reads a file of eval results: finds out by its content which tool made it, and hands it to the reader for that."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from core.evals.eval_run import DEFAULT_CHOICES, EvalCase, EvalRun, ReadingChoices, UnreadableEvals
from core.evals.formats import case_columns, csv_table, junit_xml, parquet_table
from core.evals.formats.json_text import load_json
from core.evals.formats.tools import (
    deepeval,
    inspect_archive,
    inspect_json,
    inspect_log,
    mlflow,
    openai_evals,
    promptfoo,
)

_Object = Mapping[str, Any]

# What a document of each tool has at its top, to say what an unknown one looks like and what it lacks.
_TOP_LEVEL: Mapping[str, frozenset[str]] = {
    "promptfoo": frozenset({"evalId", "results", "config"}),
    "Inspect": frozenset({"status", "eval", "results", "samples"}),
    "DeepEval": frozenset({"testCases", "testPassed", "testFailed"}),
    "Rampart's own JSON": frozenset({"cases", "baseline", "rollout", "suite"}),
}
_ROW_FIELDS: Mapping[str, frozenset[str]] = {
    "promptfoo": frozenset({"promptIdx", "testIdx", "success", "failureReason"}),
    "MLflow": frozenset({"trace_id", "execution_duration", "trace_metadata", "assessments"}),
    "OpenAI Evals": frozenset({"run_id", "event_id", "sample_id", "spec", "final_report"}),
    "Rampart's own rows": frozenset({"case", "category", "pass", "passed"}),
}

_ONE_OUTCOME = frozenset({"", "JUnit XML"})
_OWN_THRESHOLDS = frozenset({"promptfoo", "DeepEval"})


def read_run(body: bytes, choices: ReadingChoices = DEFAULT_CHOICES) -> EvalRun:
    """Read the results in a file's bytes.

    Raises `UnreadableEvals` for a file that is cut, a run that did not succeed, and a shape that is not known; the last
    says which it looks like and what is missing.
    """
    run = _read_cases(body, choices)
    _check_choices(run.tool, choices)
    return run


def read_with_current(body: bytes, current: bytes | None, choices: ReadingChoices = DEFAULT_CHOICES) -> EvalRun:
    """Read the results of the new version, and those of the current one from a file of their own, if there is one."""
    run = read_run(body, choices)
    if current is None:
        return run
    try:
        before = _read_cases(current, choices)
    except UnreadableEvals as error:
        raise UnreadableEvals(f"The baseline: {error}") from None
    if len({case.version for case in before.cases}) > 1:
        raise UnreadableEvals("The baseline holds several versions. Give a file with the current version's run alone.")
    if len({case.version for case in run.cases}) > 1:
        raise UnreadableEvals("The results hold several versions already, so a baseline beside them is one too many.")
    # Each tool says in its own way what a case asks, so inputs can be compared only within one tool.
    is_one_tool = run.tool.partition(" ")[0] == before.tool.partition(" ")[0]
    return replace(
        run,
        cases=(
            *_relabel(run.cases, "", keeps_content=is_one_tool),
            *_relabel(before.cases, case_columns.CURRENT, keeps_content=is_one_tool),
        ),
    )


def is_parquet(body: bytes) -> bool:
    """Whether the bytes are those of a Parquet file."""
    return body.startswith(b"PAR1")


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


def _read_cases(body: bytes, choices: ReadingChoices) -> EvalRun:
    run = _read(body, choices)
    if not run.cases:
        raise UnreadableEvals("The file holds no case.")
    return run


def _check_choices(tool: str, choices: ReadingChoices) -> None:
    """Raise `UnreadableEvals` for a choice that decides nothing in results of this tool."""
    name = tool.partition(" ")[0] if tool else "A table of cases"
    if choices.scorer and tool in _ONE_OUTCOME:
        raise UnreadableEvals(
            f'{name} has one outcome for each case and no scorers, so "{choices.scorer[:40]}" cannot decide. '
            "Leave scorer out."
        )
    if choices.pass_at is not None and (tool in _ONE_OUTCOME or name in _OWN_THRESHOLDS):
        raise UnreadableEvals(
            f"{name} says of each case whether it passes, so a score (pass_at) cannot decide. Leave pass_at out, or "
            "set the threshold where the cases are judged."
        )


def _read(body: bytes, choices: ReadingChoices) -> EvalRun:
    start = body[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise UnreadableEvals("The file is empty.")
    if body.startswith(b"PK"):
        return _read_zip(body, choices)
    if is_parquet(body):
        if not choices.reads_parquet:
            raise UnreadableEvals(
                "Parquet is read by the command line only (rollout evals import), as a damaged file can end the "
                "process that reads it. Send JSON or CSV."
            )
        return parquet_table.read_parquet(body, choices)
    if body.startswith(b"\xd0\xcf\x11\xe0"):
        raise UnreadableEvals('This is an Excel workbook. Save the sheet as "CSV UTF-8" and import that.')
    if start.startswith(b"<"):
        return junit_xml.read_junit(body, choices)
    if start[:1] in (b"{", b"["):
        return _read_json(body.removeprefix(b"\xef\xbb\xbf"), choices)
    return csv_table.read_csv(body, choices)


def _read_zip(body: bytes, choices: ReadingChoices) -> EvalRun:
    if b"xl/workbook.xml" in body or b"[Content_Types].xml" in body[:4096]:
        raise UnreadableEvals('This is an Excel workbook. Save the sheet as "CSV UTF-8" and import that.')
    return inspect_archive.read_inspect_archive(body, choices)


def _read_json(body: bytes, choices: ReadingChoices) -> EvalRun:
    log = inspect_json.parse_inspect_json(body)
    if log is not None:
        return inspect_log.read_inspect_log(log, choices)
    try:
        document = load_json(body)
    except orjson.JSONDecodeError as whole:
        lines = _read_json_lines(body)
        if lines is None:
            raise _explain_json_error(body, whole) from None
        return _read_records(lines, choices)
    if isinstance(document, dict):
        return _read_document(document, body, choices)
    if all(isinstance(each, dict) for each in document):
        return _read_records(document, choices, body)
    raise UnreadableEvals("This is a JSON list, but not of objects.")


def _read_document(document: _Object, body: bytes, choices: ReadingChoices) -> EvalRun:
    outer = document.get("results")
    if isinstance(outer, dict) and "results" in outer:
        return promptfoo.read_promptfoo(document, choices)
    if "eval" in document and "status" in document:
        return inspect_log.read_inspect_log(document, choices)
    if "testCases" in document or "conversationalTestCases" in document:
        return deepeval.read_deepeval(document, choices)
    if "cases" in document:
        check_unique_names(body)
        suite = document.get("suite")
        return case_columns.read_json_cases(
            document["cases"], document.get("baseline"), choices, suite if isinstance(suite, str) else ""
        )
    if isinstance(document.get("case", document.get("trace_id")), dict):
        raise UnreadableEvals(
            'This table goes by columns, as pandas writes it. Export it by rows: to_json("results.json", '
            'orient="records").'
        )
    if _is_record(document):
        return _read_records([document], choices, body)
    raise _explain_unknown(document, _TOP_LEVEL)


def _is_record(document: _Object) -> bool:
    """Whether a document is a single row, as a file of JSON Lines with one line has it."""
    return any(len(fields & document.keys()) >= 2 for fields in _ROW_FIELDS.values()) or "spec" in document


def _read_records(rows: Sequence[_Object], choices: ReadingChoices, body: bytes | None = None) -> EvalRun:
    first: _Object = rows[0] if rows else {}
    if not rows:
        raise UnreadableEvals("The file holds no case.")
    if "spec" in first or any("final_report" in row for row in rows) or {"run_id", "event_id"} <= first.keys():
        return openai_evals.read_openai_evals(rows, choices)
    if {"promptIdx", "testIdx"} <= first.keys():
        return promptfoo.read_promptfoo_rows(rows, choices)
    if mlflow.is_mlflow_row(first):
        return mlflow.read_mlflow(rows, choices)
    if "case" in first:
        if body is not None:
            check_unique_names(body)
        case_columns.check_columns([*first], "The first case")
        return case_columns.read_json_cases(list(rows), None, choices)
    raise _explain_unknown(first, _ROW_FIELDS)


def _read_json_lines(body: bytes) -> list[_Object] | None:
    """The objects of a file with one on each line; None if its first line is not one.

    Raises `UnreadableEvals` if a later line is not an object.
    """
    lines = [line for line in body.splitlines() if line.strip()]
    found: list[_Object] = []
    for number, line in enumerate(lines, 1):
        try:
            each = load_json(line)
        except orjson.JSONDecodeError as error:
            if number == 1:
                return None
            end = "the file is cut" if number == len(lines) else "not JSON"
            raise UnreadableEvals(f"Line {number}: {end} ({error.msg}). Export it again.") from None
        if not isinstance(each, dict):
            if number == 1:
                return None
            raise UnreadableEvals(f"Line {number} is not a JSON object.")
        found.append(each)
    return found


def _explain_json_error(body: bytes, error: orjson.JSONDecodeError) -> UnreadableEvals:
    where = f"line {error.lineno}, column {error.colno}"
    if error.pos >= len(body.rstrip()) - 1 or "unexpected end" in error.msg:
        return UnreadableEvals(f"The JSON ends in the middle ({where}): the file is cut. Export or copy it again.")
    return UnreadableEvals(f"This is not JSON: {error.msg} ({where}).")


def _explain_unknown(document: _Object, shapes: Mapping[str, frozenset[str]]) -> UnreadableEvals:
    """What an unknown shape looks like most, and what it lacks of that."""
    known = "promptfoo, Inspect, DeepEval, MLflow, OpenAI Evals, JUnit XML, CSV, Parquet, or JSON with cases"
    tool, fields = max(shapes.items(), key=lambda item: len(item[1] & document.keys()))
    there = ", ".join(sorted(map(str, document)))[:200] or "nothing"
    if not fields & document.keys():
        return UnreadableEvals(f"No eval tool that is known writes this: it has {there}. Known are {known}.")
    missing = ", ".join(sorted(fields - document.keys()))
    return UnreadableEvals(f"This looks like {tool}, but lacks {missing}; it has {there}.")


def _relabel(cases: Iterable[EvalCase], version: str, *, keeps_content: bool) -> tuple[EvalCase, ...]:
    return tuple(replace(case, version=version, content=case.content if keeps_content else "") for case in cases)
