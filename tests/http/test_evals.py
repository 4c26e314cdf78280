"""Offline runs: from rows to a command, held against the gate's terms."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.http import evals
from bot.http.evals import Unreadable
from core.rollout.commands import RecordEval
from core.rollout.model import Rollout, State
from core.rollout.plan import Approvals, EvalTerms, NoticePlan, Plan, Risk, Stage, StageKind

HEAD = "case,category,pass\n"


def rollout_with(**terms: Any) -> Rollout:
    plan = Plan(
        name="tone",
        surface="support",
        owner="U1",
        risk=Risk.LOW,
        template="prompt-low-stakes",
        from_version="v42",
        to_version="v43",
        change={"prompt": "new"},
        stages=(
            Stage(kind=StageKind.EVAL, name="eval", terms=EvalTerms(suite="support.yaml", **terms)),
            Stage(kind=StageKind.CANARY, name="canary", percent=5),
        ),
        approvals=Approvals(),
        limits=(),
        notices=(NoticePlan(channel="#ai", audience="engineering"),),
    )
    return Rollout(
        id="R-1",
        plan=plan,
        fingerprint="f",
        from_content={"prompt": "old"},
        to_content={"prompt": "new"},
        state=State.RUNNING,
        planned_at=datetime(2026, 11, 24, tzinfo=UTC),
        planned_by="cli:ana",
    )


def outcome(text: str, **terms: Any) -> RecordEval:
    return evals.record(rollout_with(**terms), "support.yaml", evals.read_csv(HEAD + text))


def run(passed: int, failed: int) -> str:
    lines = [f"p{i},billing,true" for i in range(passed)] + [f"f{i},billing,false" for i in range(failed)]
    return "\n".join(lines)


@pytest.mark.parametrize(("passed", "ok"), [(919, False), (920, True)])
def test_the_pass_rate_is_compared_exactly(passed: int, ok: bool) -> None:
    recorded = outcome(run(passed, 1000 - passed), min_pass_rate=0.92)
    assert (recorded.ok, recorded.passed, recorded.failed, recorded.errors) == (ok, passed, 1000 - passed, 0)
    assert ok or "91.9 %" in recorded.reasons[0]


def test_a_known_failure_is_not_new() -> None:
    rows = "case,category,pass,version\na,privacy,false,v43\na,privacy,false,v42\n"
    alone = evals.record(
        rollout_with(no_new_failures_in=("privacy",)), "", evals.read_csv("case,category,pass\na,privacy,no\n")
    )
    compared = evals.record(rollout_with(no_new_failures_in=("privacy",)), "", evals.read_csv(rows))
    assert (alone.ok, compared.ok) == (False, True)
    assert alone.cases == ("a",)


def test_every_category_may_be_meant() -> None:
    assert not outcome("a,anything,false\nb,b,true", no_new_failures_in=("*",)).ok
    assert outcome("a,anything,false\nb,b,true", no_new_failures_in=("privacy",)).ok


def test_a_case_without_an_outcome_is_an_error_and_no_pass() -> None:
    recorded = outcome("a,b,\nc,d,error\ne,f,true", min_pass_rate=0.5)
    assert (recorded.ok, recorded.passed, recorded.failed, recorded.errors) == (False, 1, 0, 2)


def of_versions(new: Sequence[float], old: Sequence[float]) -> RecordEval:
    lines = [f"{i},c,true,v43,{v}" for i, v in enumerate(new)] + [f"{i},c,true,v42,{v}" for i, v in enumerate(old)]
    rows = evals.read_csv("case,category,pass,version,cost\n" + "\n".join(lines))
    return evals.record(rollout_with(max_cost_rise=0.25), "", rows)


def test_cost_may_rise_up_to_the_limit() -> None:
    assert of_versions([1.25, 1.25], [1, 1]).ok
    assert of_versions([1.2, 1.4], [1, 1]).reasons == ("cost rises by +30.0%, at most +25% is allowed",)


def test_cost_that_is_missing_is_not_fine() -> None:
    assert not outcome("a,b,true", max_cost_rise=0.25).ok


def test_the_same_run_in_another_order_is_recognised() -> None:
    assert outcome("a,b,true\nc,d,false").digest == outcome("c,d,false\na,b,true").digest
    assert outcome("a,b,true\nc,d,false").digest != outcome("a,b,true\nc,d,true").digest


def test_json_says_the_same_as_csv() -> None:
    cases = [{"case": "a", "category": "b", "pass": True}, {"case": "c", "category": "d", "pass": False}]
    assert evals.read_json(cases) == evals.read_csv(HEAD + "a,b,true\nc,d,false\n")
    baseline = evals.read_json(cases, [{"case": "c", "category": "d", "passed": 0}])
    assert [r.version for r in baseline] == ["", "", "current"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "first line"),
        ("case,pass\n", "missing: category"),
        (HEAD + "a,b,maybe\n", 'Line 2: pass is "maybe"'),
        (HEAD + ",b,true\n", "Line 2 names no case"),
        (HEAD + "a,b,true,more\n", "more fields"),
        (HEAD + 'a,b,"true\n', "not CSV"),
        ("case,category,pass,cost\na,b,true,-1\n", "cost is '-1'"),
        ("case,category,pass,cost\na,b,true,nan\n", "cost is 'nan'"),
    ],
)
def test_a_wrong_row_is_named(text: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        evals.read_csv(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, "at least one"),
        (HEAD + "a,b,true\na,b,true\n", "twice"),
        ("case,category,pass,version\na,b,true,v7\n", "v7"),
    ],
)
def test_rows_that_make_no_run_are_refused(text: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        evals.record(rollout_with(), "", evals.read_csv(text))


def test_lists_of_other_things_are_refused() -> None:
    shapes: tuple[Any, ...] = ({}, [7], "x", [{"case": {}}])
    for cases in shapes:
        with pytest.raises(Unreadable):
            evals.read_json(cases)


def test_the_gate_is_found_by_its_suite() -> None:
    rollout = rollout_with()
    assert evals.record(rollout, "", evals.read_csv(HEAD + "a,b,true\n")).suite == "support.yaml"
    assert evals.record(replace(rollout), "other.yaml", evals.read_csv(HEAD + "a,b,true\n")).suite == "other.yaml"
