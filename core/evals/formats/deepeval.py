"""Test runs of DeepEval, as it writes them into its results folder."""

from collections.abc import Mapping
from typing import Any

import orjson

from core.evals.eval_run import EvalCase, EvalRun, ReadingChoices, UnreadableEvals, hash_content, select_labels
from core.evals.formats.field_values import (
    read_case_name,
    read_mapping,
    read_name,
    read_number,
    read_objects,
    sum_counts,
)


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
    settings = read_mapping(document.get("hyperparameters"))
    cases = tuple(_read_case(row, index, read_name(settings.get("model")), choices) for index, row in enumerate(rows))
    return EvalRun(
        tool="DeepEval", cases=cases, suite=read_name(document.get("testFile") or document.get("identifier"))
    )


def _read_case(row: Mapping[str, Any], index: int, model: str, choices: ReadingChoices) -> EvalCase:
    name = read_case_name(row.get("name"), f"testCases[{index}]")
    where = f'The test case "{name[:60]}"'
    metrics = read_objects(row.get("metricsData") or [], "metricsData")
    if choices.scorer:
        metrics = [metric for metric in metrics if metric.get("name") == choices.scorer]
    scores = [float(metric["score"]) for metric in metrics if isinstance(metric.get("score"), int | float)]
    said = [metric.get("success") for metric in metrics]
    # a metric that is skipped or fails with an error has no success, and then the whole case was not judged
    error = not metrics or any(metric.get("error") for metric in metrics) or not all(isinstance(x, bool) for x in said)
    metadata = {**read_mapping(row.get("additionalMetadata")), **read_mapping(row.get("metadata"))}
    seconds = read_number(row.get("completionTime"), where, "completionTime")
    asked = [row.get("input"), row.get("expectedOutput"), row.get("turns"), row.get("scenario")]
    return EvalCase(
        case=name,
        category=_read_category(row, metadata, where),
        passed=not error and all(said),
        error=error,
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


def _read_category(row: Mapping[str, Any], metadata: Mapping[str, Any], where: str) -> str:
    """The metadata's category, or else the only tag."""
    if category := read_name(metadata.get("category")):
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
