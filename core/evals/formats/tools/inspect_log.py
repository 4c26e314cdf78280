"""Logs of Inspect, from `.json`; `inspect_archive` unpacks those in `.eval`."""

from collections.abc import Mapping, Sequence
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
    read_score,
    to_number,
)

_LETTERS = {"C": 1.0, "I": 0.0, "N": 0.0, "P": 0.5}
"""Correct, incorrect, no answer, partially correct: what Inspect's own scorers say."""


def read_inspect_log(log: Mapping[str, Any], choices: ReadingChoices) -> EvalRun:
    """Read a log with its samples. Raises `UnreadableEvals` unless the run succeeded and every sample is there."""
    check_success(log)
    if "samples" not in log:
        raise UnreadableEvals("The log has no samples: it was written with log_samples off. Run it again with samples.")
    return read_inspect_samples(log, read_objects(log["samples"], "samples"), choices)


def check_success(header: Mapping[str, Any]) -> None:
    """Raise `UnreadableEvals` unless the run that a log's header describes ended well and still counts."""
    status = read_name(header.get("status"))
    if status != "success":
        why = read_name(read_mapping(header.get("error")).get("message")).partition("\n")[0][:120]
        raise UnreadableEvals(
            f'Inspect says that this run ended with "{status or "no status"}"{f" ({why})" if why else ""}. Only a run '
            'with "success" counts: run it again, or continue it with inspect eval-retry.'
        )
    if header.get("invalidated") is True:
        raise UnreadableEvals("Somebody invalidated samples of this Inspect run. Run it again.")


def read_inspect_samples(
    header: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], choices: ReadingChoices
) -> EvalRun:
    """Read the samples of a run that succeeded, whole or as summaries. Each epoch is a run of its case."""
    described, results = read_mapping(header.get("eval")), read_mapping(header.get("results"))
    total = results.get("total_samples")
    if isinstance(total, int) and total != len(samples):
        raise UnreadableEvals(
            f"Inspect counted {total} samples, but the file holds {len(samples)}: it is incomplete. Copy the log again."
        )
    model = read_name(described.get("model"))
    version = read_name(read_mapping(described.get("packages")).get("inspect_ai"))
    return EvalRun(
        tool=f"Inspect {version}".strip(),
        suite=read_name(described.get("task")),
        cases=tuple(_read_sample(sample, index, model, choices) for index, sample in enumerate(samples)),
    )


def _read_sample(sample: Mapping[str, Any], index: int, model: str, choices: ReadingChoices) -> EvalCase:
    name = read_case_name(sample.get("id"), f"samples[{index}]")
    where = f'The sample "{name[:60]}"'
    scores, metadata = read_mapping(sample.get("scores")), read_mapping(sample.get("metadata"))
    passed, error, score = _read_scores(scores, bool(sample.get("error")), where, choices)
    usage = read_mapping(read_mapping(sample.get("model_usage")).get(model))
    seconds = read_number(sample.get("working_time", sample.get("total_time")), where, "working_time")
    epoch = sample.get("epoch")
    return EvalCase(
        case=name,
        category=read_category(metadata.get("category"), where),
        passed=passed,
        error=error,
        is_unchecked=error and not scores and not sample.get("error"),
        score=score,
        cost=read_number(usage.get("total_cost"), where, "total_cost"),
        latency_ms=None if seconds is None else seconds * 1000,
        tokens=usage["total_tokens"] if isinstance(usage.get("total_tokens"), int) else None,
        repeat=epoch - 1 if isinstance(epoch, int) else 0,
        judge=", ".join(sorted(scores))[:200],
        model=model,
        content=hash_content(orjson.dumps([sample.get("input"), sample.get("target")], option=orjson.OPT_SORT_KEYS)),
        labels=select_labels(metadata, choices.dimensions),
    )


def _read_scores(
    scores: Mapping[str, Any], failed_to_run: bool, where: str, choices: ReadingChoices
) -> tuple[bool, bool, float | None]:
    """(passed, error, score) over the chosen scorer, or over all: every one has to pass. The score is their mean."""
    values = _list_values(scores)
    asked = [name for name in sorted(values) if choices.scorer in ("", name, name.partition(".")[0])]
    if choices.scorer and not asked and not failed_to_run:
        raise UnreadableEvals(
            f'{where} has no score of "{choices.scorer[:40]}"; there is {", ".join(sorted(values))[:200] or "none"}.'
        )
    if failed_to_run or not asked:
        return False, True, None
    found = [_read_value(values[name], where, name, choices) for name in asked]
    known = [score for _, _, score in found if score is not None]
    return (
        all(passed for passed, _, _ in found),
        any(error for _, error, _ in found),
        sum(known) / len(known) if known else None,
    )


def _list_values(scores: Mapping[str, Any]) -> dict[str, Any]:
    """What each scorer said. One that gives several values by name is several scorers: `graded.tone`."""
    found: dict[str, Any] = {}
    for scorer, score in scores.items():
        value = read_mapping(score).get("value")
        if isinstance(value, dict) and value:
            found |= {f"{scorer}.{name}": each for name, each in value.items()}
        else:
            found[scorer] = value
    return found


def _read_value(value: Any, where: str, scorer: str, choices: ReadingChoices) -> tuple[bool, bool, float | None]:
    """As `read_score`, for a value that may be one of Inspect's letters. Partially correct is not passed."""
    if isinstance(value, str) and value in _LETTERS:
        number = _LETTERS[value]
        return number >= (1.0 if choices.pass_at is None else choices.pass_at), False, number
    if isinstance(value, list):
        raise UnreadableEvals(
            f'{where}: the scorer "{scorer[:40]}" gives a list, so it is not clear which of its values decides. Let it '
            "give one value, or several by name."
        )
    # Inspect writes NaN for a sample that a scorer could not score; it has been read as a missing value
    return read_score(
        value if to_number(value) is not None or isinstance(value, str) else None, choices.pass_at, where, scorer
    )
