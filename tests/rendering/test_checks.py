"""What people read of eval results: one line in status, all of it in the thread and for those who decide."""
# ruff: noqa: E501 - a line of a message is as long as it is

from dataclasses import replace
from typing import Any

import pytest
from inline_snapshot import snapshot

from bot.rendering import wording
from bot.rendering.answers.evidence import checks
from bot.rendering.charts import plain_text
from bot.rendering.messages import card, event_lines
from bot.rendering.numbers import eval_words
from core.evals.coverage import EvalCoverage
from core.evals.eval_report import CaseList
from core.rollout.plans.plan import EvalTerms
from core.rollout.state import events as e
from tests.store.golden.examples import EVAL_REPORT, EXAMPLES


def passed(count: int, of: int, **more: Any) -> e.EvalRecorded:
    rate = replace(EVAL_REPORT.pass_rate, passed=count, total=of, needed=0.92, by_lower_bound=False)
    usual: dict[str, Any] = {
        "stage": 0,
        "suite": "support-300",
        "ok": True,
        "passed": count,
        "failed": of - count,
        "errors": 0,
        "reasons": (),
        "cases": (),
        "digest": "d",
        "by": "cli:ana",
        "report": replace(EVAL_REPORT, pass_rate=rate),
    }
    return e.EvalRecorded(**{**usual, **more})


@pytest.mark.shows("E7")
def test_status_has_the_rate_and_what_is_needed(words: Any, story: Any) -> None:
    story.planned().happen(passed(188, 200))
    said = plain_text.render_text(card.render(story.now, words.zone))
    assert "Checks: 188/200 (94.0 %), need 92 %\n" in said


def test_status_says_why_a_gate_is_not_met_and_never_rounds_up(words: Any, story: Any) -> None:
    reason = "919 of 1000 cases passed (91.9 %), 92 % are needed"
    story.planned().happen(passed(9196, 10_000, ok=False, reasons=(reason,)))
    (line,) = eval_words.format_checks(story.now)
    assert line == f"Checks: 9196/10000 (91.9 %), need 92 %. Not met: {reason}"


@pytest.mark.shows("E7")
def test_the_thread_has_everything_with_the_ids_of_the_cases(words: Any, story: Any) -> None:
    event = EXAMPLES["rollout.eval_recorded.1.report"]
    story.running()
    assert plain_text.render_text(event_lines.render(story.now, event, words.zone)) == snapshot("""\
Checks failed: R-118 support-300, 284 of 300 passed, 2 errors: 1 new failure in privacy: delete-4 (delete-4).
284 of 300 cases pass (94.6 %; with 95 % confidence 91.5 to 96.9 %), 92 % needed at the lower end · 600 runs · judged by llm-rubric · answered by acme-ai:large-3-2026-03-01 · promptfoo 0.121.20 · suite 3f2a9c0114bd
Could not be judged, so counted as failed: 2 (late-1, late-2)
On the same 298 cases: 283 pass, 286 under the old version (McNemar's exact test: p = 0.38)
Broke, 4: delete-4, refund-2, refund-3, tone-8
Mended, 1: tone-1
New failures: privacy 1 (delete-4)
Flaky, 1: refund-9 passed 1 of 2 runs
The suite is not the one that the old version ran: 2 added (new-1, new-2), 1 rewritten (tone-3)
Cost per case: $0.0127, before $0.0121, +5.0 % (+3.0 … +7.0); at most +25 % is allowed · 298 cases of both runs
Slow responses (p95): 3.20 s (3.00 s … ?), before 3.10 s (2.90 s … 3.50 s), +3.2 % · 298 cases of both runs\
""")


def test_lists_of_cases_are_counted_in_full_and_named_in_part(story: Any) -> None:
    broke = CaseList(count=320, cases=tuple(f"case-{n}" for n in range(50)))
    assert EVAL_REPORT.paired is not None
    report = replace(EVAL_REPORT, paired=replace(EVAL_REPORT.paired, broke=broke))
    line = next(x for x in eval_words.list_report_lines(passed(1, 2, report=report)) if x.startswith("Broke"))
    assert line.startswith("Broke, 320: case-0, case-1,")
    assert line.endswith("case-7 (+312 more)")


def test_ids_of_cases_cannot_write_markup() -> None:
    report = replace(EVAL_REPORT, errors=CaseList(count=1, cases=("<!channel> *a*",)))
    said = "\n".join(eval_words.list_report_lines(passed(1, 2, report=report)))
    assert "<!channel>" not in said
    assert wording.escape("<!channel> *a*") in said


def test_the_answer_goes_gate_by_gate_and_names_what_is_missing(words: Any, story: Any) -> None:
    story.planned()
    gated = tuple(replace(s, terms=EvalTerms()) if i < 2 else s for i, s in enumerate(story.now.plan.stages))
    rollout = replace(story.now, plan=replace(story.now.plan, stages=gated))
    before = plain_text.render_text(checks.render(rollout, EvalCoverage()))
    assert "0 of 2 gates met" in before
    assert "No results yet for checks and internal: rollout evals import FILE --rollout R-118" in before.replace(
        "`", ""
    )
    after = plain_text.render_text(checks.render(replace(rollout, evals={0: passed(188, 200)}), EvalCoverage()))
    assert "1 of 2 gates met" in after
    assert "checks (support-300): met" in after


def test_a_result_of_before_reports_is_still_shown(story: Any) -> None:
    story.planned().happen(passed(188, 200, report=None))
    assert eval_words.format_checks(story.now) == ["Checks: 188/200 (94.0 %)"]
    assert eval_words.list_report_lines(passed(188, 200, report=None)) == []
