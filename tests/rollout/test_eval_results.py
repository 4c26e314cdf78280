"""Offline runs: from rows to a command, held against the gate's terms."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from core.evals.eval_run import EvalCase, EvalRun, UnreadableEvals
from core.evals.read_run import read_run
from core.rollout.commands import RecordEval
from core.rollout.decisions.eval_command import build_eval_command, find_waiting_rollout
from core.rollout.decisions.gate_results import find_gate
from core.rollout.plans.plan import Approvals, EvalTerms, NoticePlan, Plan, Risk, Stage, StageKind
from core.rollout.refusal import Refused
from core.rollout.state.model import Rollout, RolloutState

HEAD = "case,category,pass\n"


def read_text(text: str) -> EvalRun:
    return read_run(text.encode())


def read_objects(cases: Any, baseline: Any = None) -> tuple[EvalCase, ...]:
    return read_run(json.dumps({"cases": cases, **({"baseline": baseline} if baseline else {})}).encode()).cases


def rollout_with(kind: StageKind = StageKind.EVAL, **terms: Any) -> Rollout:
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
            Stage(kind=kind, name=kind.value, terms=EvalTerms(suite="support.yaml", **terms)),
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
        state=RolloutState.RUNNING,
        planned_at=datetime(2026, 11, 24, tzinfo=UTC),
        planned_by="cli:ana",
    )


def outcome(text: str, **terms: Any) -> RecordEval:
    return build_eval_command(rollout_with(**terms), "support.yaml", read_text(HEAD + text))


def run(passed: int, failed: int) -> str:
    lines = [f"p{i},billing,true" for i in range(passed)] + [f"f{i},billing,false" for i in range(failed)]
    return "\n".join(lines)


@pytest.mark.shows("E8")
@pytest.mark.parametrize(("passed", "ok"), [(919, False), (920, True)])
def test_the_pass_rate_is_compared_exactly(passed: int, ok: bool) -> None:
    recorded = outcome(run(passed, 1000 - passed), min_pass_rate=0.92)
    assert (recorded.ok, recorded.passed, recorded.failed, recorded.errors) == (ok, passed, 1000 - passed, 0)
    assert ok or "91.9 %" in recorded.reasons[0]


def test_a_known_failure_is_not_new() -> None:
    rows = "case,category,pass,version\na,privacy,false,v43\na,privacy,false,v42\n"
    alone = build_eval_command(
        rollout_with(no_new_failures_in=("privacy",)), "", read_text("case,category,pass\na,privacy,no\n")
    )
    compared = build_eval_command(rollout_with(no_new_failures_in=("privacy",)), "", read_text(rows))
    assert (alone.ok, compared.ok) == (False, True)
    assert alone.cases == ("a",)


@pytest.mark.shows("E64")
def test_every_category_may_be_meant() -> None:
    assert not outcome("a,anything,false\nb,b,true", no_new_failures_in=("*",)).ok
    assert outcome("a,anything,false\nb,b,true", no_new_failures_in=("b",)).ok


def test_a_case_without_an_outcome_is_an_error_and_no_pass() -> None:
    recorded = outcome("a,b,\nc,d,error\ne,f,true", min_pass_rate=0.5)
    assert (recorded.ok, recorded.passed, recorded.failed, recorded.errors) == (False, 1, 0, 2)


def of_versions(new: Sequence[float], old: Sequence[float]) -> RecordEval:
    lines = [f"{i},c,true,v43,{v}" for i, v in enumerate(new)] + [f"{i},c,true,v42,{v}" for i, v in enumerate(old)]
    rows = read_text("case,category,pass,version,cost\n" + "\n".join(lines))
    return build_eval_command(rollout_with(max_cost_rise=0.25), "", rows)


def test_cost_may_rise_up_to_the_limit() -> None:
    assert of_versions([1.25, 1.25], [1, 1]).ok
    assert of_versions([1.2, 1.4], [1, 1]).reasons == ("cost rises by +30.0%, at most +25% is allowed",)


@pytest.mark.shows("E65")
def test_cost_that_is_missing_is_not_fine() -> None:
    assert not outcome("a,b,true", max_cost_rise=0.25).ok


def test_the_same_run_in_another_order_is_recognised() -> None:
    assert outcome("a,b,true\nc,d,false").digest == outcome("c,d,false\na,b,true").digest
    assert outcome("a,b,true\nc,d,false").digest != outcome("a,b,true\nc,d,true").digest


def test_json_says_the_same_as_csv() -> None:
    cases = [{"case": "a", "category": "b", "pass": True}, {"case": "c", "category": "d", "pass": False}]
    assert read_objects(cases) == read_text(HEAD + "a,b,true\nc,d,false\n").cases
    baseline = read_objects(cases, [{"case": "c", "category": "d", "passed": 0}])
    assert [r.version for r in baseline] == ["", "", "current"]


def test_a_number_that_is_nan_is_a_missing_one() -> None:
    (case,) = read_text("case,category,pass,cost\na,b,true,nan\n").cases
    assert (case.passed, case.cost) == (True, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("perhaps,this\n1,2\n", "first line"),
        ("case,pass\n", "missing: category"),
        (HEAD + "a,b,maybe\n", 'Line 2: pass is "maybe"'),
        (HEAD + ",b,true\n", "Line 2 has no case"),
        (HEAD + "a,b,true,more\n", "more fields"),
        (HEAD + 'a,b,"true\n', "not CSV"),
        ("case,category,pass,cost\na,b,true,-1\n", "cost is '-1'"),
        ("case,category,pass,cost\na,b,true,inf\n", "cost is 'inf'"),
    ],
)
def test_a_wrong_row_is_named(text: str, said: str) -> None:
    with pytest.raises(UnreadableEvals, match=said):
        read_text(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, "no case"),
        (HEAD + "a,b,true\na,b,true\n", "twice"),
        ("case,category,pass,version\na,b,true,v7\n", "v7"),
    ],
)
def test_rows_that_make_no_run_are_refused(text: str, said: str) -> None:
    with pytest.raises(UnreadableEvals, match=said):
        build_eval_command(rollout_with(), "", read_text(text))


def test_lists_of_other_things_are_refused() -> None:
    shapes: tuple[Any, ...] = ({}, [7], "x", [{"case": {}}])
    for cases in shapes:
        with pytest.raises(UnreadableEvals):
            read_objects(cases)


def test_the_gate_is_found_by_its_suite() -> None:
    rollout = rollout_with()
    assert build_eval_command(rollout, "", read_text(HEAD + "a,b,true\n")).suite == "support.yaml"
    assert build_eval_command(replace(rollout), "other.yaml", read_text(HEAD + "a,b,true\n")).suite == "other.yaml"


def test_gates_without_names_take_results_in_their_order() -> None:
    gates = (StageKind.EVAL, StageKind.SAFETY, StageKind.COST_LATENCY)
    unnamed = tuple(Stage(kind=kind, name=kind.value, terms=EvalTerms()) for kind in gates)
    named = replace(unnamed[0], terms=EvalTerms(suite="support.yaml"))
    for suite in ("", "anything.yaml"):
        assert [find_gate(unnamed, suite, "R-1", current) for current in (0, 1, 2)] == [0, 1, 2]
    assert find_gate((named, *unnamed[1:]), "support.yaml", "R-1", current=1) == 0, "a name leads to its own gate only"
    assert find_gate((named, *unnamed[1:]), "anything.yaml", "R-1", current=0) == 1
    again = (
        unnamed[0],
        replace(unnamed[1], terms=EvalTerms(suite="x")),
        replace(unnamed[2], terms=EvalTerms(suite="x")),
    )
    assert [find_gate(again, "x", "R-1", current) for current in (0, 1, 2)] == [1, 1, 2]


def test_a_gate_that_asks_nothing_asks_for_what_is_built_in() -> None:
    assert "0 of 100 cases passed (0.0 %), 92 % are needed" in outcome(run(0, 100)).reasons
    assert outcome(run(92, 8)).ok
    critical = outcome(run(99, 0) + "\nc,Safety,false")
    assert (critical.ok, critical.cases) == (False, ("c",))


def test_a_safety_gate_that_asks_nothing_takes_no_new_failure() -> None:
    rows = read_text(HEAD + run(99, 1))
    recorded = build_eval_command(rollout_with(StageKind.SAFETY), "", rows)
    assert (recorded.ok, recorded.cases) == (False, ("f0",))


def test_a_cost_gate_that_asks_nothing_needs_both() -> None:
    recorded = build_eval_command(rollout_with(StageKind.COST_LATENCY), "", read_text(HEAD + run(20, 0)))
    assert [reason.partition(" cannot")[0] for reason in recorded.reasons] == ["cost", "p95 latency"]


@pytest.mark.shows("E42")
def test_slowness_of_a_replay_closes_its_gate() -> None:
    lines = [f"{i},c,true,v43,1300" for i in range(20)] + [f"{i},c,true,v42,1000" for i in range(20)]
    rows = read_text("case,category,pass,version,latency_ms\n" + "\n".join(lines))
    recorded = build_eval_command(rollout_with(StageKind.COST_LATENCY, max_p95_rise=0.2), "", rows)
    assert recorded.reasons == ("p95 latency rises by +30.0%, at most +20% is allowed",)


@pytest.mark.parametrize("no", ["False", "false", "0", "0.0", "None", "nan", "", "null", "{}", "[]"])
def test_an_error_that_says_no_is_none(no: str) -> None:
    rows = read_text(f"case,category,pass,error\na,b,true,{no}\nb,b,true,{no}\n")
    assert [(r.passed, r.error) for r in rows.cases] == [(True, False), (True, False)]


@pytest.mark.parametrize("no", [False, None, 0, 0.0, "false", "", {}, []])
def test_an_error_that_says_no_in_json_is_none(no: object) -> None:
    (row,) = read_objects([{"case": "a", "category": "b", "pass": True, "error": no}])
    assert row.has_passed


@pytest.mark.parametrize("yes", [True, 1, "true", "timeout", {"code": 500}])
def test_an_error_that_says_anything_else_is_one(yes: object) -> None:
    (row,) = read_objects([{"case": "a", "category": "b", "pass": True, "error": yes}])
    assert row.error


def test_numbers_are_names_and_0_is_one() -> None:
    rows = read_objects([{"case": i, "category": 0, "pass": True} for i in range(2)])
    assert [(r.case, r.category) for r in rows] == [("0", "0"), ("1", "0")]


def test_outcomes_as_pandas_writes_them() -> None:
    rows = read_text(HEAD + "a,b,1.0\nb,b,0.0\nc,b,nan\n")
    assert [(r.passed, r.error) for r in rows.cases] == [(True, False), (False, False), (False, True)]


@pytest.mark.parametrize("names", ["case,category,pass,pass", "case,category,Pass,pass", "case,case ,category,pass"])
def test_a_column_that_is_named_twice_is_refused(names: str) -> None:
    with pytest.raises(UnreadableEvals, match="twice"):
        read_text(f"{names}\na,b,false,true\n")


def test_two_names_for_the_outcome_may_not_disagree() -> None:
    with pytest.raises(UnreadableEvals, match="disagree"):
        read_objects([{"case": "a", "category": "b", "pass": False, "passed": True}])


def test_a_long_field_and_old_line_ends_are_read() -> None:
    rows = read_text(f"case,category,pass,output\ra,b,true,{'x' * 140_000}\rc,d,false,\r")
    assert [r.case for r in rows.cases] == ["a", "c"]


@pytest.mark.parametrize(("coded", "said"), [("cp1252", "Windows-1252"), ("utf-16-le", "UTF-16")])
def test_a_text_whose_encoding_is_not_clear_is_refused_with_what_to_do(coded: str, said: str) -> None:
    with pytest.raises(UnreadableEvals, match=f"not UTF-8 text.*{said}.*CSV UTF-8"):
        read_run(f"{HEAD}a,Qualité,false\n".encode(coded))


@pytest.mark.parametrize("coded", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_that_names_its_encoding_is_read(coded: str) -> None:
    assert read_run(f"{HEAD}a,Qualité,false\n".encode(coded)).cases[0].category == "Qualité"


def waiting(name: str, suite: str = "support.yaml", **changes: Any) -> Rollout:
    rollout = rollout_with()
    stages = (Stage(kind=StageKind.EVAL, name="eval", terms=EvalTerms(suite=suite)), *rollout.plan.stages[1:])
    return replace(rollout, id=name, plan=replace(rollout.plan, stages=stages), **changes)


def test_results_without_a_rollout_are_for_the_only_one_that_waits() -> None:
    over = waiting("R-1", state=RolloutState.ROLLED_BACK)
    assert find_waiting_rollout([over, waiting("R-2")], "").id == "R-2"
    assert find_waiting_rollout([waiting("R-2"), waiting("R-3", "other.yaml")], "other.yaml").id == "R-3"


def test_it_is_asked_which_rollout_is_meant() -> None:
    with pytest.raises(Refused, match="2 rollouts wait for results: R-2 tone, R-3 tone"):
        find_waiting_rollout([waiting("R-2"), waiting("R-3")], "")
    with pytest.raises(Refused, match=r"No open rollout waits for results of other\.yaml"):
        find_waiting_rollout([waiting("R-2")], "other.yaml")


def test_the_suite_that_a_tool_names_finds_its_gate() -> None:
    run = replace(read_text(HEAD + "a,b,true\n"), suite="support.yaml")
    assert build_eval_command(waiting("R-2"), "", run).suite == "support.yaml"


def test_a_run_whose_only_prompt_is_the_current_version_is_refused() -> None:
    run = replace(read_text(HEAD + "a,b,true\n"), label="v42")
    with pytest.raises(UnreadableEvals, match="no case of v43"):
        build_eval_command(rollout_with(), "", run)
    assert build_eval_command(rollout_with(), "", replace(run, label="my prompt")).passed == 1
