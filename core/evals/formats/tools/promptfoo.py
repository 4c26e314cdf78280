"""Results of promptfoo, as its JSON and JSON Lines output has them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from core.evals.eval_run import (
    MAX_LABEL,
    EvalCase,
    EvalRun,
    ReadingChoices,
    UnreadableEvals,
    hash_content,
    select_labels,
)
from core.evals.formats.field_values import (
    read_category,
    read_mapping,
    read_name,
    read_number,
    read_objects,
    sum_counts,
    to_number,
)

ERROR = 2
"""The `failureReason` of a test that could not be run or judged; 1 is an assertion that failed."""


def read_promptfoo(document: Mapping[str, Any], choices: ReadingChoices) -> EvalRun:
    """Read the document of `promptfoo eval --output results.json`.

    Raises `UnreadableEvals` if it holds fewer results than its own count says.
    """
    outer = read_mapping(document.get("results"))
    rows = read_objects(outer.get("results"), "results.results")
    stats = read_mapping(outer.get("stats"))
    counted = sum_counts(stats.get(name) for name in ("successes", "failures", "errors"))
    if counted is not None and counted != len(rows):
        raise UnreadableEvals(
            f"promptfoo counted {counted} results, but the file holds {len(rows)}: it is incomplete. Export it again, "
            "without a filter."
        )
    made_by = read_name(read_mapping(document.get("metadata")).get("promptfooVersion"))
    suite = read_name(read_mapping(document.get("config")).get("description"))
    return read_promptfoo_rows(rows, choices, tool=f"promptfoo {made_by}".strip(), suite=suite)


def read_promptfoo_rows(
    rows: Sequence[Mapping[str, Any]], choices: ReadingChoices, *, tool: str = "promptfoo", suite: str = ""
) -> EvalRun:
    """Read promptfoo's results row by row, as in its JSON Lines output.

    A case is a test's description or, without one, a hash of its variables and assertions. Prompts, or else providers,
    are the versions.
    """
    named = _name_versions(rows)
    label = named[0] if len(set(named)) == 1 else ""
    tests = [_identify_test(row) for row in rows]
    inputs: dict[str, set[str]] = {}
    for name, content in tests:
        inputs.setdefault(name, set()).add(content)
    runs: Counter[tuple[str, str]] = Counter()
    cases: list[EvalCase] = []
    for row, version, (name, content) in zip(rows, named, tests, strict=True):
        told = f"{name} ({content[:6]})" if name and len(inputs[name]) > 1 else name or f"test-{content[:8]}"
        cases.append(_read_row(row, "" if label else version, content, told, runs[version, told], choices))
        runs[version, told] += 1
    return EvalRun(tool=tool, cases=tuple(cases), suite=suite, label=label)


def _read_row(
    row: Mapping[str, Any], version: str, content: str, name: str, repeat: int, choices: ReadingChoices
) -> EvalCase:
    reason, success = row.get("failureReason"), row.get("success")
    if not isinstance(success, bool) or reason not in (0, 1, ERROR):
        raise UnreadableEvals(
            f'The test "{name[:60]}" needs success (true or false) and failureReason (0, 1 or 2), which tells an error '
            "from a failure. Run it again with a newer promptfoo."
        )
    response = read_mapping(row.get("response"))
    metadata = read_mapping(row.get("metadata")) or read_mapping(read_mapping(row.get("testCase")).get("metadata"))
    where = f'The test "{name[:60]}"'
    passed, is_unchecked = _read_outcome(row, where, choices) if reason != ERROR else (False, False)
    is_cached = response.get("cached") is True  # a cached answer took no time and cost nothing, which says nothing
    return EvalCase(
        case=name,
        category=read_category(metadata.get("category"), where) or read_name(metadata.get("pluginId")),
        passed=passed,
        error=reason == ERROR or is_unchecked,
        is_unchecked=is_unchecked,
        score=to_number(row.get("score")),
        cost=None if is_cached else read_number(response.get("cost"), where, "cost"),
        latency_ms=None if is_cached else read_number(row.get("latencyMs"), where, "latencyMs"),
        tokens=_read_tokens(response),
        repeat=repeat,
        judge=_read_judge(row),
        model=read_name(read_mapping(row.get("provider")).get("id")),
        version=version,
        content=content,
        labels=select_labels(metadata, choices.dimensions),
    )


def _read_outcome(row: Mapping[str, Any], where: str, choices: ReadingChoices) -> tuple[bool, bool]:
    """(passed, unchecked) of a test that was run. promptfoo passes a test without assertions, which checks nothing."""
    success = row.get("success") is True and row.get("failureReason") == 0
    grading = row.get("gradingResult")
    checks = grading.get("componentResults") if isinstance(grading, dict) else None
    if success and not (checks or (grading is None and read_mapping(row.get("testCase")).get("assert"))):
        return False, True
    if not isinstance(grading, dict):
        return success, False
    if not choices.scorer:
        return success, False
    parts = _list_assertions(grading)
    names = [{read_name(assertion.get("metric")), read_name(assertion.get("type"))} for _, assertion in parts]
    asked = [passed for (passed, _), known in zip(parts, names, strict=True) if choices.scorer in known]
    if not asked:
        there = ", ".join(sorted({name for known in names for name in known} - {""}))
        raise UnreadableEvals(
            f'{where} has no assertion of the metric or type "{choices.scorer[:40]}"; there is {there[:200] or "none"}.'
        )
    return all(asked), False


def _list_assertions(grading: Mapping[str, Any]) -> list[tuple[bool, Mapping[str, Any]]]:
    """(passed, assertion) of each assertion, those within sets included."""
    found: list[tuple[bool, Mapping[str, Any]]] = []
    parts = grading.get("componentResults")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict):
            found.append((part.get("pass") is True, read_mapping(part.get("assertion"))))
            found += _list_assertions(part)
    return found


def _name_versions(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells the versions apart: the prompts' labels or, with one prompt, the providers'."""
    prompts = [read_name(read_mapping(row.get("prompt")).get("label")) for row in rows]
    providers = [
        read_name(provider.get("label")) or read_name(provider.get("id"))
        for provider in (read_mapping(row.get("provider")) for row in rows)
    ]
    if len(set(prompts)) > 1 and len({*zip(prompts, providers, strict=True)}) > len(set(prompts)):
        raise UnreadableEvals(
            f"The run compares {len(set(prompts))} prompts and {len(set(providers))} providers, so it is not clear "
            "which belong to a version. Run each version's prompt with its own provider."
        )
    named = prompts if len(set(prompts)) > 1 or len(set(providers)) == 1 else providers
    # promptfoo labels a prompt by its whole text if nobody names it
    return [name if len(name) <= MAX_LABEL else f"prompt-{hash_content(name.encode())[:8]}" for name in named]


def _identify_test(row: Mapping[str, Any]) -> tuple[str, str]:
    """(description, hash of the input) of a row's test; the description is empty if nobody wrote one."""
    test = read_mapping(row.get("testCase"))
    name = read_name(read_mapping(test.get("metadata")).get("case")) or read_name(test.get("description"))
    # the test's own variables: promptfoo adds others to the row's, such as the conversation
    asked = [test.get("vars", row.get("vars")), test.get("assert")]
    return name, hash_content(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS))


def _read_tokens(response: Mapping[str, Any]) -> int | None:
    total = read_mapping(response.get("tokenUsage")).get("total")
    return total if isinstance(total, int) and total > 0 else None


def _read_judge(row: Mapping[str, Any]) -> str:
    """The kinds of assertion that judged the answer, such as `llm-rubric`."""
    parts = read_mapping(row.get("gradingResult")).get("componentResults")
    if not isinstance(parts, list):
        return ""
    kinds = {read_name(read_mapping(read_mapping(part).get("assertion")).get("type")) for part in parts}
    return ", ".join(sorted(kinds - {""}))[:200]
