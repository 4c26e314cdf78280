"""Logs of OpenAI Evals: JSON Lines with a spec, an event for each step of a sample, and a final report."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from core.evals.eval_run import MAX_CASES, EvalCase, EvalRun, ReadingChoices, UnreadableEvals, hash_content
from core.evals.formats.field_values import read_mapping, read_name, read_score, too_many_cases


def read_openai_evals(lines: Sequence[Mapping[str, Any]], choices: ReadingChoices) -> EvalRun:
    """Read the lines of one log. A sample passes if every match of it is correct.

    Raises `UnreadableEvals` if there is no final report: the run did not end, or the file is cut.
    """
    spec: Mapping[str, Any] = next((read_mapping(line["spec"]) for line in lines if "spec" in line), {})
    if not any("final_report" in line for line in lines):
        raise UnreadableEvals(
            "The log has no final_report: the run did not end, or the file is cut. Run it again, or copy it again."
        )
    samples: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        if name := read_name(line.get("sample_id")):
            samples.setdefault(name, []).append(line)
    if len(samples) > MAX_CASES:
        raise too_many_cases()
    _check_scorer(lines, choices)
    functions = spec.get("completion_fns")
    model = ", ".join(map(str, functions)) if isinstance(functions, list) else read_name(spec.get("model_name"))
    return EvalRun(
        tool="OpenAI Evals",
        suite=read_name(spec.get("eval_name")),
        cases=tuple(_read_sample(name, events, model, choices) for name, events in samples.items()),
    )


def _check_scorer(lines: Sequence[Mapping[str, Any]], choices: ReadingChoices) -> None:
    """Raise `UnreadableEvals` unless the metric that is asked for occurs, or the log has matches."""
    metrics = {name for line in lines if line.get("type") == "metrics" for name in read_mapping(line.get("data"))}
    there = ", ".join(sorted(map(str, metrics)))[:200] or "none"
    if choices.scorer and choices.scorer not in metrics:
        raise UnreadableEvals(f'The log has no metric "{choices.scorer[:40]}"; there is {there}.')
    if not choices.scorer and metrics and not any(line.get("type") == "match" for line in lines):
        raise UnreadableEvals(
            f"The log has no matches, only metrics: {there}. Say which one decides (scorer) and, if it is a number, "
            "from which on a case passes (pass_at)."
        )


def _read_sample(name: str, events: Sequence[Mapping[str, Any]], model: str, choices: ReadingChoices) -> EvalCase:
    found = [verdict for event in events for verdict in _read_event(event, f'The sample "{name[:60]}"', choices)]
    error = not found or any(error for _, error, _ in found)
    scores = [score for _, _, score in found if score is not None]
    prompts = [read_mapping(event.get("data")).get("prompt") for event in events if event.get("type") == "sampling"]
    return EvalCase(
        case=name,
        category="",
        passed=not error and all(passed for passed, _, _ in found),
        error=error,
        score=sum(scores) / len(scores) if scores else None,
        tokens=_count_tokens(events),
        model=model,
        content=hash_content(orjson.dumps(prompts, option=orjson.OPT_SORT_KEYS)) if prompts else "",
    )


def _read_event(event: Mapping[str, Any], where: str, choices: ReadingChoices) -> list[tuple[bool, bool, float | None]]:
    """(passed, error, score) of a match, an error, or the metric that was chosen; nothing of any other event."""
    data = read_mapping(event.get("data"))
    match event.get("type"):
        case "match":
            return [read_score(data.get("correct"), None, where, "match")]
        case "metrics" if choices.scorer in data:
            return [read_score(data[choices.scorer], choices.pass_at, where, choices.scorer)]
        case "error":
            return [(False, True, None)]
        case _:
            return []


def _count_tokens(events: Sequence[Mapping[str, Any]]) -> int | None:
    used = [read_mapping(read_mapping(event.get("data")).get("usage")).get("total_tokens") for event in events]
    known = [tokens for tokens in used if isinstance(tokens, int)]
    return sum(known) if known else None
