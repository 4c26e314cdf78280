"""Results of MLflow's `genai.evaluate`: the rows of `result_df`, from JSON or Parquet."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from core.evals.eval_run import EvalCase, EvalRun, ReadingChoices, UnreadableEvals, hash_content, select_labels
from core.evals.formats.field_values import (
    read_category,
    read_mapping,
    read_name,
    read_number,
    read_score,
    to_number,
)
from core.evals.repeats import number_repeats

_VALUE = "/value"


def is_mlflow_row(row: Mapping[str, Any]) -> bool:
    """Whether a row has the columns of MLflow's result table."""
    return "trace_id" in row and any(str(name).endswith(_VALUE) for name in row)


def read_mlflow(rows: Sequence[Mapping[str, Any]], choices: ReadingChoices) -> EvalRun:
    """Read `result_df.to_json(orient="records")`, or the same rows from Parquet.

    A case is the trace's tag `case`, its client_request_id, or else a hash of its inputs; the tag `category` is its
    category. Every scorer has to say yes: a row about which one of them says nothing was not judged.
    """
    scorers = [_list_scorers(row, f"Row {index + 1}", choices) for index, row in enumerate(rows)]
    all_scorers = {name for found in scorers for name in found}
    cases = (
        _read_row(row, index, found, choices, is_silent=len(found) < len(all_scorers))
        for index, (row, found) in enumerate(zip(rows, scorers, strict=True))
    )
    return EvalRun(tool="MLflow", cases=number_repeats(cases))


def _read_row(
    row: Mapping[str, Any], index: int, scorers: Sequence[str], choices: ReadingChoices, *, is_silent: bool
) -> EvalCase:
    tags, request = _to_mapping(row.get("tags")), row.get("request")
    content = hash_content(orjson.dumps(request, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS))
    name = read_name(tags.get("case")) or read_name(row.get("client_request_id")) or f"input-{content[:8]}"
    where = f'Row {index + 1} ("{name[:60]}")'
    found = [read_score(_decode(row.get(f"{scorer}{_VALUE}")), choices.pass_at, where, scorer) for scorer in scorers]
    error = row.get("state") not in ("OK", None) or not found or is_silent or any(error for _, error, _ in found)
    scores = [score for _, _, score in found if score is not None]
    metadata = _to_mapping(row.get("trace_metadata"))
    usage = _to_mapping(_decode(metadata.get("mlflow.trace.tokenUsage")))
    return EvalCase(
        case=name,
        category=read_category(tags.get("category"), where),
        passed=not error and all(passed for passed, _, _ in found),
        error=error,
        score=sum(scores) / len(scores) if scores else None,
        cost=_read_cost(metadata),
        latency_ms=read_number(row.get("execution_duration"), where, "execution_duration"),
        tokens=usage["total_tokens"] if isinstance(usage.get("total_tokens"), int) else None,
        judge=", ".join(scorers)[:200],
        model=read_name(tags.get("model")),
        content=content,
        labels=select_labels(tags, choices.dimensions),
    )


def _list_scorers(row: Mapping[str, Any], where: str, choices: ReadingChoices) -> list[str]:
    """The scorers of a row. Columns of expectations end in `/value` as well; only the assessments tell them apart."""
    columns = sorted(str(name).removesuffix(_VALUE) for name in row if str(name).endswith(_VALUE))
    if choices.scorer:
        if choices.scorer not in columns:
            raise UnreadableEvals(
                f'{where} has no "{choices.scorer[:40]}{_VALUE}"; the table has {", ".join(columns)[:200]}.'
            )
        return [choices.scorer]
    assessments = row.get("assessments")
    if isinstance(assessments, Sequence) and not isinstance(assessments, str):
        judged = [each for each in assessments if isinstance(each, dict) and each.get("feedback") is not None]
        return sorted({read_name(each.get("assessment_name")) for each in judged} & set(columns))
    if len(columns) == 1:
        return columns
    raise UnreadableEvals(
        f"{where} has the columns {', '.join(f'{name}{_VALUE}' for name in columns)[:200]} and no assessments, so it "
        "is not clear which are scorers. Say which one decides (scorer)."
    )


def _read_cost(metadata: Mapping[str, Any]) -> float | None:
    return to_number(_to_mapping(_decode(metadata.get("mlflow.trace.cost"))).get("total_cost"))


def _to_mapping(value: Any) -> Mapping[str, Any]:
    """The value as an object: Parquet gives a map as a list of pairs."""
    if isinstance(value, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        return dict(value)
    return read_mapping(value)


def _decode(value: Any) -> Any:
    """Values that MLflow stores as JSON text, decoded; other texts as they are. NaN means that there is none."""
    if isinstance(value, float) and value != value:
        return None
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
