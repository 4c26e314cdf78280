"""Legal files that can be read in two ways are refused, and what nothing looked at counts as not judged."""

import json
from typing import Any
from unicodedata import normalize

import pytest

from core.evals.compare_runs import compare_replays
from core.evals.eval_run import EvalCase, EvalRun, ReadingChoices, UnreadableEvals
from core.evals.read_run import read_run, read_with_current
from core.evals.repeats import fold_repeats
from tests.evals.test_formats import BY_OUTCOME, outcomes, sample

TABLE = b"case,category,pass\nrefund-1,billing,true\n"


def refused(body: bytes, **choices: Any) -> str:
    with pytest.raises(UnreadableEvals) as found:
        read_run(body, ReadingChoices(**choices))
    return str(found.value)


def of_case(run: EvalRun, name: str) -> list[str]:
    return [BY_OUTCOME[c.passed, c.error] for c in run.cases if c.case == name]


def promptfoo(**parts: Any) -> bytes:
    """The run of promptfoo with one prompt and some parts of each passing row replaced."""
    document = json.loads(sample("promptfoo.json"))
    rows = [row | parts for row in document["results"]["results"] if row["success"] and row["prompt"]["label"] == "v43"]
    document["results"] |= {"results": rows, "stats": {"successes": len(rows), "failures": 0, "errors": 0}}
    return json.dumps(document).encode()


# what has several categories could hide a failure in one of them


def _with_category(name: str, category: Any) -> bytes:
    document = json.loads(sample(name))
    match name:
        case "promptfoo.json":
            document["results"]["results"][0]["metadata"]["category"] = category
        case "inspect.json":
            document["samples"][0]["metadata"]["category"] = category
        case "deepeval.json":
            document["testCases"][0]["metadata"] = {"category": category}
        case "mlflow.json":
            document[0]["tags"]["category"] = category
    return json.dumps(document).encode()


TOOLS = ("promptfoo.json", "inspect.json", "deepeval.json", "mlflow.json")


@pytest.mark.parametrize("name", TOOLS)
def test_a_case_with_several_categories_is_refused(name: str) -> None:
    assert "has several categories (['privacy', 'billing'])" in refused(_with_category(name, ["privacy", "billing"]))
    assert "has several categories" in refused(_with_category(name, {"privacy": True}))


@pytest.mark.parametrize("name", TOOLS)
def test_a_list_of_one_category_is_that_category(name: str) -> None:
    assert read_run(_with_category(name, ["Löschung"])).cases[0].category == "Löschung"


def test_a_list_that_pandas_wrote_into_a_cell_is_one_too() -> None:
    assert "has several categories" in refused(b"case,category,pass\na,\"['privacy', 'billing']\",false\n")


# nothing was checked


def test_a_test_of_promptfoo_without_assertions_was_not_judged() -> None:
    grading = {"pass": True, "score": 1, "reason": "No assertions"}
    assert set(outcomes(read_run(promptfoo(gradingResult=grading))).values()) == {"error"}
    assert set(outcomes(read_run(promptfoo(gradingResult=None, testCase={"description": "a"}))).values()) == {"error"}


def test_a_test_whose_grading_was_left_out_of_the_file_was_judged() -> None:
    assert set(outcomes(read_run(promptfoo(gradingResult=None))).values()) == {"passed"}


def test_what_nothing_looked_at_still_tells_its_cost_and_time() -> None:
    def run(cost: float) -> list[EvalCase]:
        return [EvalCase(case="a", category="", passed=False, error=True, is_unchecked=True, cost=cost)]

    (change,) = compare_replays(run(0.03), run(0.02))
    assert change.rise == pytest.approx(0.5)
    assert read_run(promptfoo(gradingResult={"pass": True})).cases[0].is_unchecked


@pytest.mark.parametrize("score", [None, float("nan")])
def test_a_metric_of_deepeval_that_gives_no_score_did_not_judge(score: float | None) -> None:
    document = json.loads(sample("deepeval.json"))
    document["testCases"][0]["metricsData"][0] |= {"score": score, "success": False}
    assert of_case(read_run(json.dumps(document).encode()), "refund-1") == ["error"]


def test_a_row_about_which_one_scorer_of_mlflow_says_nothing_was_not_judged() -> None:
    rows = json.loads(sample("mlflow.json"))
    for row in rows[1:]:
        row["polite/value"] = True
        row["assessments"].append({"assessment_name": "polite", "feedback": {"value": True}})
    assert of_case(read_run(json.dumps(rows).encode()), "refund-1") == ["error"]
    assert of_case(read_run(json.dumps(rows).encode()), "refund-2") == ["passed"]
    assert of_case(read_run(json.dumps(rows).encode(), ReadingChoices(scorer="includes")), "refund-1") == ["passed"]


def test_metrics_alone_in_openai_evals_need_one_that_decides() -> None:
    lines = [
        {"spec": {"eval_name": "support"}},
        {"run_id": "r", "event_id": 0, "sample_id": "a", "type": "metrics", "data": {"choice": "Y", "score": 0.9}},
        {"final_report": {"score": 0.9}},
    ]
    body = "\n".join(map(json.dumps, lines)).encode()
    assert "only metrics: choice, score. Say which one decides" in refused(body)
    assert refused(body, scorer="sccore") == 'The log has no metric "sccore"; there is choice, score.'
    assert of_case(read_run(body, ReadingChoices(scorer="score", pass_at=0.8)), "a") == ["passed"]


# a choice that decides nothing


@pytest.mark.parametrize(
    ("body", "choices", "said"),
    [
        (TABLE, {"scorer": "faithful"}, 'A table of cases has one outcome for each case and no scorers, so "faithful"'),
        (TABLE, {"pass_at": 0.5}, "A table of cases says of each case whether it passes, so a score (pass_at)"),
        (sample("pytest.junit.xml"), {"scorer": "faithful"}, "JUnit has one outcome for each case"),
        (sample("promptfoo.json"), {"pass_at": 0.5}, "promptfoo says of each case whether it passes"),
        (sample("deepeval.json"), {"pass_at": 0.5}, "DeepEval says of each case whether it passes"),
        (sample("deepeval.json"), {"scorer": "Include"}, 'The run has no metric "Include"; there is Includes.'),
        (sample("promptfoo.json"), {"scorer": "helpful"}, 'no assertion of the metric or type "helpful"; there is con'),
    ],
)
def test_a_choice_that_decides_nothing_is_refused(body: bytes, choices: dict[str, Any], said: str) -> None:
    assert said in refused(body, **choices)


def test_a_choice_is_for_the_results_and_not_for_a_baseline_of_another_tool() -> None:
    run = read_with_current(sample("inspect.json"), TABLE, ReadingChoices(scorer="includes"))
    assert of_case(run, "refund-1")[-1] == "passed"


def test_an_assertion_of_promptfoo_is_chosen_by_its_metric_or_its_type() -> None:
    parts = [
        {"pass": True, "assertion": {"type": "contains", "metric": "helpful"}},
        {"pass": True, "componentResults": [{"pass": False, "assertion": {"type": "llm-rubric", "metric": "kind"}}]},
    ]
    body = promptfoo(success=True, gradingResult={"pass": True, "componentResults": parts})
    for scorer, outcome in (("helpful", "passed"), ("contains", "passed"), ("kind", "failed"), ("", "passed")):
        assert set(outcomes(read_run(body, ReadingChoices(scorer=scorer))).values()) == {outcome}


# several values of one scorer


def _with_score(value: Any) -> bytes:
    document = json.loads(sample("inspect.json"))
    for each in document["samples"]:
        each["scores"] = {"graded": {"value": value}}
    return json.dumps(document).encode()


def test_values_by_name_of_one_scorer_of_inspect_are_scorers() -> None:
    body = _with_score({"tone": 1, "facts": 0})
    for scorer, outcome in (
        ("", "failed"),
        ("graded", "failed"),
        ("graded.tone", "passed"),
        ("graded.facts", "failed"),
    ):
        assert set(outcomes(read_run(body, ReadingChoices(scorer=scorer))).values()) == {outcome}
    assert "there is graded.facts, graded.tone." in refused(body, scorer="tone")


def test_a_list_of_values_is_refused() -> None:
    assert 'the scorer "graded" gives a list' in refused(_with_score([1, 0]))


# the same case several times


def test_a_case_that_a_tool_ran_several_times_without_numbers_is_flaky_and_not_two() -> None:
    document = json.loads(sample("deepeval.json"))
    again = json.loads(json.dumps(document["testCases"][0]))
    again["metricsData"][0] |= {"success": False, "score": 0.0}
    document["testCases"].append(again)
    document["testFailed"] += 1
    _, flaky = fold_repeats(read_run(json.dumps(document).encode()).cases)
    assert [(case.case, case.passed, case.runs) for case in flaky] == [("refund-1", 1, 2)]
    document["testCases"][-1]["input"] = "Another question?"
    with pytest.raises(ValueError, match='case "refund-1" appears twice in one run: give each case a name of its own'):
        fold_repeats(read_run(json.dumps(document).encode()).cases)


def test_cases_of_junit_without_a_classname_are_told_apart_by_their_suite() -> None:
    xml = b"""<testsuites><testsuite name="All" tests="3">
      <testsuite name="Refunds"><testcase classname="" name="works"><failure/></testcase></testsuite>
      <testsuite name="Deletion"><testcase name="works"/></testsuite>
      <testcase name="works"/></testsuite></testsuites>"""
    run = read_run(xml)
    assert outcomes(run) == {"Refunds.works": "failed", "Deletion.works": "passed", "All.works": "passed"}
    assert [case.category for case in run.cases] == ["Refunds", "Deletion", "All"]


def test_runs_of_junit_that_failed_before_one_passed_are_runs_of_the_case() -> None:
    xml = b"""<testsuite name="S" tests="4"><testcase classname="C" name="a" time="0.5"><flakyFailure/><flakyError/>
      </testcase><testcase classname="C" name="b"><failure/><rerunFailure/></testcase></testsuite>"""
    run = read_run(xml)
    assert of_case(run, "C.a") == ["failed", "failed", "passed"]
    assert of_case(run, "C.b") == ["failed"]
    _, flaky = fold_repeats(run.cases)
    assert [(case.case, case.passed, case.runs) for case in flaky] == [("C.a", 1, 3)]
    assert "count 9 tests, but the file holds 2" in refused(xml.replace(b'tests="4"', b'tests="9"'))


def test_a_test_that_junit_holds_twice_ran_twice() -> None:
    case = b'<testcase classname="C" name="a">'
    xml = b"<testsuite>" + case + b"<failure/></testcase>" + case + b"</testcase></testsuite>"
    assert of_case(read_run(xml), "C.a") == ["failed", "passed"]


# numbers and names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case,category,pass,score\na,b,true,good\n", "Line 2: score is 'good'; write a number."),
        ("case;category;pass;cost\na;b;true;1.234,5\n", 'cost is "1.234,5". Leave out the separators of thousands.'),
        ('{"case": {"0": "a"}, "category": {"0": "b"}, "pass": {"0": true}}', "goes by columns, as pandas writes it."),
        ('{"trace_id": {"0": "a"}, "state": {"0": "OK"}, "is_ok/value": {"0": true}}', "goes by columns"),
    ],
)
def test_what_is_no_number_or_no_row_is_refused(text: str, said: str) -> None:
    assert said in refused(text.encode())


def test_a_number_that_is_nan_is_missing() -> None:
    (case,) = read_run(b"case,category,pass,cost,score,tokens\na,b,true,nan,NaN,nan\n").cases
    assert (case.cost, case.score, case.tokens) == (None, None, None)


@pytest.mark.parametrize("name", ["promptfoo.json", "pytest.junit.xml", "mlflow.json", "deepeval.json"])
def test_a_name_is_the_same_however_its_letters_are_composed(name: str) -> None:
    def named(form: Any) -> set[str]:
        called = json.dumps(normalize(form, "é"), ensure_ascii=False)[1:-1]
        text = sample(name).decode().replace("delete-1", f"delete-{called}").replace("test_delete", f"test_{called}")
        return {case.case for case in read_run(text.encode()).cases}

    assert named("NFC") == named("NFD")
    assert any("é" in case for case in named("NFD"))
