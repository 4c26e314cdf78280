"""The result of an offline eval in words: one line for status, and all of it for the people who decide."""

from collections.abc import Iterable, Iterator

from bot.rendering import wording
from bot.rendering.sentences import headline
from core.evals.eval_report import CaseList, EvalReport, PairedOutcome, ReplayChange, ReplayLevel, SuiteChange
from core.rollout.plans.plan import DEFAULT_EVAL_TERMS, GATE_KINDS, StageKind
from core.rollout.state.events import EvalRecorded
from core.rollout.state.model import Rollout

MAX_NAMED = 8
"""This many cases are named in a line; the rest is only counted."""
_MEASURES = {"cost": "Cost per case", "latency_p50": "Typical response time", "latency_p95": "Slow responses (p95)"}


def format_checks(rollout: Rollout) -> list[str]:
    """`Checks: 188/200 (94.0 %), need 92 %` for each offline gate with results, in the plan's order."""
    return [_format_brief(rollout, rollout.evals[index]) for index in sorted(rollout.evals)]


def name_gate(rollout: Rollout, event: EvalRecorded) -> str:
    """What the gate of these results checks: `Checks`, `Safety checks`, `Cost and speed checks`."""
    stage = rollout.plan.stages[event.stage] if event.stage < len(rollout.plan.stages) else None
    label = headline.stage_label(stage) if stage is not None and stage.kind in GATE_KINDS else "checks"
    return wording.capitalize(label)


def list_report_lines(event: EvalRecorded) -> list[str]:
    """Everything that a recorded run says, one escaped line each; no texts of prompts or answers, only ids."""
    report = event.report
    if report is None:  # recorded before reports were
        return []
    return [line for line in _list_lines(report) if line]


def _format_brief(rollout: Rollout, event: EvalRecorded) -> str:
    total = event.passed + event.failed + event.errors
    needed = event.report.pass_rate.needed if event.report else _find_threshold(rollout, event.stage)
    need = f", need {_format_exact(needed)}" if needed is not None else ""
    named = f" {wording.escape(event.suite, 60)}" if len(rollout.evals) > 1 and event.suite else ""
    failed = "" if event.ok else f". Not met: {wording.escape(event.reasons[0], 200)}" if event.reasons else ". Not met"
    share = f"{event.passed}/{total} ({_format_rate(event.passed, total)})"
    return f"{name_gate(rollout, event)}{named}: {share}{need}{failed}"


def _find_threshold(rollout: Rollout, stage: int) -> float | None:
    terms = rollout.plan.stages[stage].terms
    if terms is None or not terms.is_empty:
        return terms.min_pass_rate if terms else None
    return DEFAULT_EVAL_TERMS[StageKind(rollout.plan.stages[stage].kind)].min_pass_rate


def _list_lines(report: EvalReport) -> Iterator[str]:
    yield _describe_pass_rate(report)
    if report.errors.count:
        yield f"Could not be judged, so counted as failed: {_join_cases(report.errors)}"
    if report.paired is not None:
        yield from _describe_pairs(report.paired)
    if report.new_failures:
        named = [
            f"{wording.escape(one.category, 60) or 'no category'} {_join_cases(one.failures)}"
            for one in report.new_failures
        ]
        compared = "New failures" if report.paired is not None else "Failures (nothing to compare with)"
        yield f"{compared}: {wording.join_phrases(named, 6)}"
    if report.flaky_count:
        listed = [f"{wording.escape(f.case, 60)} passed {f.passed} of {f.runs} runs" for f in report.flaky]
        yield f"Flaky, {report.flaky_count}: {_join(listed, report.flaky_count)}"
    if report.suite_change is not None:
        yield _describe_suite_change(report.suite_change)
    yield from (_describe_replay(change) for change in report.replay)


def _describe_pass_rate(report: EvalReport) -> str:
    rate = report.pass_rate
    text = (
        f"{rate.passed} of {rate.total} cases pass ({_format_rate(rate.passed, rate.total)}; with 95 % confidence "
        f"{rate.low * 100:.1f} to {rate.high * 100:.1f} %)"
    )
    if rate.needed is not None:
        text += f", {_format_exact(rate.needed)} needed{' at the lower end' if rate.by_lower_bound else ''}"
    facts = [
        f"{report.runs:,} runs" if report.runs > rate.total else "",
        f"judged by {_join_names(report.judges)}" if report.judges else "",
        f"answered by {_join_names(report.models)}" if report.models else "",
        wording.escape(report.tool, 40),
        f"suite {report.dataset}",
    ]
    return f"{text} · {' · '.join(fact for fact in facts if fact)}"


def _describe_pairs(paired: PairedOutcome) -> Iterator[str]:
    yield (
        f"On the same {wording.pluralize(paired.shared, 'case')}: {paired.passed} pass, {paired.current_passed} under "
        f"the old version (McNemar's exact test: p = {paired.p_value:.2g})"
    )
    if paired.broke.count:
        yield f"Broke, {paired.broke.count}: {_join_cases(paired.broke, counted=False)}"
    if paired.mended.count:
        yield f"Mended, {paired.mended.count}: {_join_cases(paired.mended, counted=False)}"


def _describe_suite_change(change: SuiteChange) -> str:
    parts = [
        f"{cases.count} {word} ({_join_cases(cases, counted=False)})"
        for word, cases in (("added", change.added), ("removed", change.removed), ("rewritten", change.rewritten))
        if cases.count
    ]
    return f"The suite is not the one that the old version ran: {', '.join(parts)}"


def _describe_replay(change: ReplayChange) -> str:
    unit = "US$" if change.measure == "cost" else "ms"
    text = (
        f"{_MEASURES[change.measure]}: {_format_level(change.new, unit)}, before {_format_level(change.current, unit)}"
    )
    if change.rise is not None:
        between = wording.format_interval(change.rise_low, change.rise_high, "", relative=True)
        text += f", {change.rise * 100:+.1f} %{f' {between}' if between else ''}"
    if change.allowed is not None:
        text += f"; at most {change.allowed * 100:+.0f} % is allowed"
    return f"{text} · {wording.pluralize(change.cases, 'case')} of both runs"


def _format_level(level: ReplayLevel, unit: str) -> str:
    shown = wording.format_value(level.value, unit)
    if level.low is None and level.high is None:
        return shown
    low = wording.format_value(level.low, unit) if level.low is not None else "?"
    high = wording.format_value(level.high, unit) if level.high is not None else "?"
    return f"{shown} ({low} … {high})"


def _format_rate(passed: int, total: int) -> str:
    """The rate in per cent, rounded down: 91.96 % must not look like the required 92 %."""
    return f"{passed * 1000 // total / 10:.1f} %" if total else "no case"


def _format_exact(share: float) -> str:
    return f"{share * 100:g} %"


def _join_names(names: Iterable[str]) -> str:
    return wording.join_limited([wording.escape(name, 60) for name in names], 3)


def _join_cases(cases: CaseList, *, counted: bool = True) -> str:
    """The ids of cases, the first of them named; `counted` puts their number before them."""
    listed = _join([wording.escape(name, 60) for name in cases.cases], cases.count)
    return f"{cases.count} ({listed})" if counted else listed


def _join(items: list[str], count: int) -> str:
    shown = items[:MAX_NAMED]
    left = count - len(shown)
    return ", ".join(shown) + (f" {wording.format_remainder(left)}" if left > 0 else "")
