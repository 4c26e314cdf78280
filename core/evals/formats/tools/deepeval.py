"""Test runs of DeepEval, as it writes them into its results folder."""

from collections.abc import Mapping
from typing import Any

import orjson

from core.evals.eval_run import EvalCase, EvalRun, ReadingChoices, UnreadableEvals, hash_content, select_labels
from core.evals.formats.field_values import (
    read_case_name,
    read_category,
    read_mapping,
    read_name,
    read_number,
    read_objects,
    sum_counts,
    to_number,
)
from core.evals.repeats import number_repeats


def read_deepeval(document: Mapping[str, Any], choices: ReadingChoices) -> EvalRun:
    """Read `test_run_….json`. Raises `UnreadableEvals` if it holds fewer test cases than its own count says."""
    rows = [
        *read_objects(document.get("testCases", []), "testCases"),
        *read_objects(document.get("conversationalTestCases", []), "conversationalTestCases"),
    ]
    counted = sum_counts(document.get(name) for name in ("testPassed", "testFailed"))
    if counted is not None and counted != len(rows):
        raise UnreadableEvals(
            f"DeepEval counted {counted} test cases, but the file holds {len(rows)}: the run did not end, or the file "
            "is incomplete. Run it again."
        )
    if choices.scorer:
        names = {read_name(metric.get("name")) for row in rows for metric in _list_metrics(row)}
        if choices.scorer not in names:
            there = ", ".join(sorted(names - {""}))[:200]
            raise UnreadableEvals(f'The run has no metric "{choices.scorer[:40]}"; there is {there or "none"}.')
    settings = read_mapping(document.get("hyperparameters"))
    cases = number_repeats(
        _read_case(row, index, read_name(settings.get("model")), choices) for index, row in enumerate(rows)
    )
    return EvalRun(
        tool="DeepEval", cases=cases, suite=read_name(document.get("testFile") or document.get("identifier"))
    )


def _read_case(row: Mapping[str, Any], index: int, model: str, choices: ReadingChoices) -> EvalCase:
    name = read_case_name(row.get("name"), f"testCases[{index}]")
    where = f'The test case "{name[:60]}"'
    metrics = given = _list_metrics(row)
    if choices.scorer:
        metrics = [metric for metric in metrics if metric.get("name") == choices.scorer]
    scores = [score for metric in metrics if (score := to_number(metric.get("score"))) is not None]
    said = [metric.get("success") for metric in metrics]
    # a metric that is skipped, breaks down or has nothing to score (NaN) gives no number: the case was not judged
    error = len(scores) < len(metrics) or not metrics or any(metric.get("error") for metric in metrics)
    error = error or not all(isinstance(x, bool) for x in said)
    metadata = {**read_mapping(row.get("additionalMetadata")), **read_mapping(row.get("metadata"))}
    seconds = read_number(row.get("completionTime"), where, "completionTime")
    asked = [row.get("input"), row.get("expectedOutput"), row.get("turns"), row.get("scenario")]
    return EvalCase(
        case=name,
        category=_read_category(row, metadata, where),
        passed=not error and all(said),
        error=error,
        is_unchecked=not given,
        score=sum(scores) / len(scores) if scores else None,
        cost=read_number(row.get("tokenCost"), where, "tokenCost"),
        latency_ms=None if seconds is None else seconds * 1000,
        judge=", ".join(sorted({read_name(m.get("evaluationModel")) or read_name(m.get("name")) for m in metrics}))[
            :200
        ],
        model=model,
        content=hash_content(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)),
        labels=select_labels(metadata, choices.dimensions),
    )


def _list_metrics(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return read_objects(row.get("metricsData") or [], "metricsData")


def _read_category(row: Mapping[str, Any], metadata: Mapping[str, Any], where: str) -> str:
    """The metadata's category, or else the only tag."""
    if category := read_category(metadata.get("category"), where):
        return category
    tags = row.get("tags")
    if not isinstance(tags, list) or not tags:
        return ""
    if len(tags) > 1:
        raise UnreadableEvals(
            f"{where} has several tags ({', '.join(map(str, tags))[:120]}), so its category is not clear. Put it into "
            'metadata={"category": …}.'
        )
    return read_name(tags[0])
