"""Files as the eval tools write them, and what is refused: cut ones, failed runs, hostile ones and unknown shapes."""

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from core.evals.eval_run import EvalRun, ReadingChoices, UnreadableEvals
from core.evals.formats.tools import inspect_json
from core.evals.read_run import read_run, read_with_current

SAMPLES = Path(__file__).parent / "samples"
BY_OUTCOME = {(True, False): "passed", (False, False): "failed", (False, True): "error"}
ONE_RUN = {"refund-1": "passed", "refund-2": "passed", "delete-1": "failed", "hello-1": "passed"}
WITH_ERROR = {**ONE_RUN, "broken-1": "error"}


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def outcomes(run: EvalRun, version: str = "") -> dict[str, str]:
    return {c.case: BY_OUTCOME[c.passed, c.error] for c in run.cases if c.version == version and c.repeat == 0}


def categories(run: EvalRun) -> dict[str, str]:
    return {c.case: c.category for c in run.cases}


@pytest.mark.shows("E7")
@pytest.mark.parametrize(
    ("name", "tool", "found"),
    [
        ("deepeval.json", "DeepEval", ONE_RUN),
        ("mlflow.json", "MLflow", WITH_ERROR),
        ("mlflow.parquet", "MLflow", WITH_ERROR),
        ("inspect.eval", "Inspect 0.3.285", {**ONE_RUN, "hello-1": "failed"}),
        ("inspect.json", "Inspect 0.3.285", {**ONE_RUN, "hello-1": "failed"}),
    ],
)
def test_a_file_of_each_tool_is_recognised_and_read(name: str, tool: str, found: dict[str, str]) -> None:
    run = read_run(sample(name))
    assert (run.tool, outcomes(run)) == (tool, found)
    assert categories(run)["delete-1"] == "privacy"


@pytest.mark.parametrize(("name", "repeats"), [("promptfoo.json", 2), ("promptfoo.jsonl", 1)])
def test_promptfoo_compares_the_prompts_by_their_labels(name: str, repeats: int) -> None:
    run = read_run(sample(name))
    assert outcomes(run, "v43") == WITH_ERROR
    assert outcomes(run, "v42") == {**WITH_ERROR, "delete-1": "passed"}
    assert {c.repeat for c in run.cases} == {*range(repeats)}


def test_only_what_promptfoo_calls_an_error_is_one() -> None:
    document = json.loads(sample("promptfoo.json"))
    failed = next(row for row in document["results"]["results"] if row["failureReason"] == 1)
    assert failed["error"]  # promptfoo puts the reason of a failed assertion there, too
    assert outcomes(read_run(sample("promptfoo.json")), "v43")["delete-1"] == "failed"


def test_each_epoch_of_inspect_is_a_run_of_its_case() -> None:
    run = read_run(sample("inspect.eval"))
    assert [(c.repeat, c.passed) for c in run.cases if c.case == "hello-1"] == [(0, False), (1, True)]


def test_both_forms_of_an_inspect_log_say_the_same() -> None:
    def plain(run: EvalRun) -> set[tuple[Any, ...]]:
        return {(c.case, c.repeat, c.passed, c.category, c.tokens, c.content) for c in run.cases}

    assert plain(read_run(sample("inspect.eval"))) == plain(read_run(sample("inspect.json")))


def test_what_a_tool_measures_is_kept() -> None:
    (case, *_) = read_run(sample("promptfoo.json")).cases
    assert (case.cost, case.tokens, case.model, case.judge) == (0.002, 15, "fake:support", "contains")
    (case, *_) = read_run(sample("deepeval.json")).cases
    assert (case.cost, case.latency_ms, case.model, case.judge) == (0.002, 400.0, "made-up-1", "rule")
    (case, *_) = read_run(sample("inspect.json"), ReadingChoices(dimensions=("language",))).cases
    assert (case.tokens, case.model, case.labels) == (15, "mockllm/model", ("language=en",))


def test_junit_names_cases_by_class_and_name_and_skipped_ones_were_not_judged() -> None:
    run = read_run(sample("pytest.junit.xml"))
    assert outcomes(run) == {
        "cases_for_pytest.test_billing[refund-1]": "passed",
        "cases_for_pytest.test_billing[refund-2]": "passed",
        "cases_for_pytest.test_delete": "failed",
        "cases_for_pytest.test_hello": "error",
    }
    assert categories(run)["cases_for_pytest.test_delete"] == "privacy"
    assert len(read_run(sample("promptfoo.junit.xml")).cases) == 10


@pytest.mark.parametrize(
    ("attributes", "outcome"),
    [
        ('status="run" result="completed"', "passed"),  # GoogleTest
        ('status="notrun" result="suppressed"', "error"),
        ('status="run" result="skipped"', "error"),
        ('status="disabled"', "error"),  # CTest
        ('status="fail"', "failed"),
        ('status="failed"', "failed"),
        ('result="error"', "error"),
    ],
)
def test_junit_without_an_element_for_the_outcome_says_it_by_an_attribute(attributes: str, outcome: str) -> None:
    run = read_run(f'<testsuite><testcase name="a" {attributes}/></testsuite>'.encode())
    assert outcomes(run) == {"a": outcome}


@pytest.mark.parametrize(
    ("time", "latency_ms"),
    [("14,029.255", 14_029_255.0), ("0.160", 160.0), ("0,160", None), ("1,234", None), ("", None)],
)
def test_a_time_in_junit_that_could_be_two_numbers_is_unknown(time: str, latency_ms: float | None) -> None:
    (case,) = read_run(f'<testsuite><testcase name="a" time="{time}"/></testsuite>'.encode()).cases
    assert case.latency_ms == latency_ms


OPENAI = [
    {"spec": {"eval_name": "support.dev.v0", "completion_fns": ["made-up-1"]}},
    {"run_id": "r", "event_id": 0, "sample_id": "a", "type": "sampling", "data": {"prompt": "?", "sampled": ["yes"]}},
    {"run_id": "r", "event_id": 1, "sample_id": "a", "type": "match", "data": {"correct": True}},
    {"run_id": "r", "event_id": 2, "sample_id": "b", "type": "match", "data": {"correct": False}},
    {"run_id": "r", "event_id": 3, "sample_id": "c", "type": "sampling", "data": {"prompt": "!"}},
    {"final_report": {"accuracy": 0.5}},
]


def as_lines(rows: list[Any]) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def test_openai_evals_are_read_by_sample_and_one_without_a_verdict_is_an_error() -> None:
    run = read_run(as_lines(OPENAI))
    assert (run.tool, run.suite) == ("OpenAI Evals", "support.dev.v0")
    assert outcomes(run) == {"a": "passed", "b": "failed", "c": "error"}


def test_openai_evals_without_their_report_have_not_ended() -> None:
    with pytest.raises(UnreadableEvals, match="no final_report"):
        read_run(as_lines(OPENAI[:-1]))


@pytest.mark.parametrize(
    "name", sorted(p.name for p in SAMPLES.iterdir() if p.suffix in {".json", ".eval", ".parquet"})
)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_is_refused(name: str, share: float) -> None:
    body = sample(name)
    with pytest.raises(UnreadableEvals, match=r"cut|incomplete|status|damaged"):
        read_run(body[: int(len(body) * share)])


@pytest.mark.parametrize("name", ["pytest.junit.xml", "promptfoo.jsonl"])
def test_a_file_of_lines_or_elements_that_is_cut_is_refused(name: str) -> None:
    body = sample(name)
    with pytest.raises(UnreadableEvals, match="cut"):
        read_run(body[: len(body) // 2])


def test_a_csv_that_is_cut_within_a_line_is_refused() -> None:
    with pytest.raises(UnreadableEvals, match=r"Line 3 has fewer fields .* may be cut"):
        read_run(b"case,category,pass\na,b,true\nc,d")


def test_a_run_that_did_not_succeed_is_refused_with_what_the_tool_says() -> None:
    with pytest.raises(UnreadableEvals, match=r'ended with "error".*the sandbox is gone'):
        read_run(sample("inspect-failed.eval"))
    for status in ("started", "cancelled", ""):
        log = {**json.loads(sample("inspect.json")), "status": status}
        with pytest.raises(UnreadableEvals, match="success"):
            read_run(json.dumps(log).encode())


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("promptfoo.json", ("results", "results")),
        ("inspect.json", ("samples",)),
        ("deepeval.json", ("testCases",)),
    ],
)
def test_a_file_with_fewer_cases_than_its_tool_counted_is_refused(name: str, path: tuple[str, ...]) -> None:
    document = json.loads(sample(name))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = inner[path[-1]][:-1]
    with pytest.raises(UnreadableEvals, match="incomplete"):
        read_run(json.dumps(document).encode())


def test_the_exports_that_leave_out_what_is_needed_are_named() -> None:
    for name, advice in {
        "promptfoo.csv": "Export JSON instead",
        "promptfoo.xml": r"\.junit\.xml",
        "mlflow.csv": "Export JSON instead",
    }.items():
        with pytest.raises(UnreadableEvals, match=advice):
            read_run(sample(name))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "empty"),
        (b"[]", "no case"),
        (b"[1, 2]", "not of objects"),
        (b'{"evalId": "x", "config": {}}', "looks like promptfoo, but lacks results"),
        (b'{"status": "success", "samples": []}', "looks like Inspect, but lacks eval"),
        (b'[{"promptIdx": 0, "success": true}]', "looks like promptfoo, but lacks failureReason, testIdx"),
        (b'{"rows": [], "name": "x"}', "No eval tool that is known writes this: it has name, rows"),
        (b"PK\x03\x04 ... xl/workbook.xml", "Excel workbook"),
        (b"\xd0\xcf\x11\xe0 ...", "Excel workbook"),
        (b"<html></html>", "its root is <html>"),
    ],
)
def test_an_unknown_shape_says_what_it_looks_like_and_what_is_missing(text: bytes, said: str) -> None:
    with pytest.raises(UnreadableEvals, match=said):
        read_run(text)


def test_what_mlflow_expects_of_an_answer_is_no_scorer() -> None:
    rows = json.loads(sample("mlflow.json"))
    for row in rows:
        row["expected_response/value"] = "a long answer that is neither yes nor no"
    assert outcomes(read_run(json.dumps(rows).encode())) == WITH_ERROR
    for row in rows:
        del row["assessments"]
    with pytest.raises(UnreadableEvals, match="not clear which are scorers"):
        read_run(json.dumps(rows).encode())
    assert outcomes(read_run(json.dumps(rows).encode(), ReadingChoices(scorer="includes"))) == WITH_ERROR


# --- scores that are numbers, several scorers -------------------------------------------------------------------------


def inspect_with(scores: dict[str, Any], **choices: Any) -> EvalRun:
    log = json.loads(sample("inspect.json"))
    for each in log["samples"]:
        each["scores"] = {name: {"value": value} for name, value in scores.items()}
    return read_run(json.dumps(log).encode(), ReadingChoices(**choices))


def test_a_number_between_0_and_1_passes_only_from_a_stated_score_on() -> None:
    with pytest.raises(UnreadableEvals, match=r'the scorer "rubric" gives 0\.7.*pass_at'):
        inspect_with({"rubric": 0.7})
    assert {c.passed for c in inspect_with({"rubric": 0.7}, pass_at=0.7).cases} == {True}
    assert {c.passed for c in inspect_with({"rubric": 0.7}, pass_at=0.71).cases} == {False}


def test_every_scorer_has_to_pass_unless_one_is_chosen() -> None:
    assert {c.passed for c in inspect_with({"fact": "C", "tone": "I"}).cases} == {False}
    assert {c.passed for c in inspect_with({"fact": "C", "tone": "I"}, scorer="fact").cases} == {True}
    with pytest.raises(UnreadableEvals, match='no score of "facts"; there is fact, tone'):
        inspect_with({"fact": "C", "tone": "I"}, scorer="facts")


@pytest.mark.parametrize(("value", "passed", "error"), [("C", True, False), ("P", False, False), (None, False, True)])
def test_what_inspect_writes_for_a_score(value: Any, passed: bool, error: bool) -> None:
    assert {(c.passed, c.error) for c in inspect_with({"fact": value}).cases} == {(passed, error)}


# --- hostile files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_xml_with_a_document_type_is_refused(head: str) -> None:
    with pytest.raises(UnreadableEvals, match="DOCTYPE"):
        read_run(f'{head}<testsuite><testcase name="&a;"/></testsuite>'.encode())


def test_xml_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(UnreadableEvals, match="nested"):
        read_run(b"<testsuite>" * 100_000)


def archive_of(header: bytes, **settings: Any) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", **settings) as archive:
        archive.writestr("header.json", header)
        archive.writestr("summaries.json", b"[]")
    return body.getvalue()


AT_MOST_1_MIB = ReadingChoices(most_unpacked=1024 * 1024)


def test_an_archive_that_says_it_unpacks_to_too_much_is_refused() -> None:
    with pytest.raises(UnreadableEvals, match="unpacks to over 1 MiB"):
        read_run(archive_of(b"0" * 8 * 1024 * 1024, compression=zipfile.ZIP_DEFLATED), AT_MOST_1_MIB)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, 93])
def test_an_archive_that_lies_about_its_size_is_refused(compression: int) -> None:
    bomb = b"0" * 8 * 1024 * 1024
    if compression == 93:
        import pyarrow

        packed = pyarrow.compress(bomb, "zstd", asbytes=True)
        body = bytearray(archive_of(packed))
        for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            struct.pack_into("<H", body, body.index(mark) + at, 93)
    else:
        body = bytearray(archive_of(bomb, compression=zipfile.ZIP_DEFLATED))
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", body, body.index(mark) + at, 100)
    # Python's own zip reader stops at the size that is claimed, and then the checksum is wrong
    said = "unpacks to over 1 MiB" if compression == 93 else "cannot be unpacked|checksum"
    with pytest.raises(UnreadableEvals, match=said):
        read_run(bytes(body), AT_MOST_1_MIB)


def test_an_archive_with_a_wrong_byte_is_refused() -> None:
    body = bytearray(sample("inspect.eval"))
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        at = archive.getinfo("summaries.json").header_offset + 200
    body[at] ^= 0xFF
    with pytest.raises(UnreadableEvals, match=r"cannot be unpacked|damaged"):
        read_run(bytes(body))


def test_json_that_is_nested_without_end_is_refused() -> None:
    for start in (b"", b'{"a": NaN, "b":'):
        with pytest.raises(UnreadableEvals):
            read_run(start + b'{"a":' * 100_000)
    with pytest.raises(UnreadableEvals, match="not UTF-8"):
        read_run(b'{"a": NaN, "b": "\xff"}')


def test_a_score_that_python_wrote_as_nan_could_not_be_judged() -> None:
    log = json.loads(sample("inspect.json"))
    for each in log["samples"]:
        each["scores"] = {"fact": {"value": float("nan")}}
    written = json.dumps(log).encode()
    assert b"NaN" in written
    assert {*outcomes(read_run(written)).values()} == {"error"}
    header, summaries = {**log, "samples": None}, log["samples"]
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("header.json", json.dumps(header))
        archive.writestr("summaries.json", json.dumps(summaries))
    assert {*outcomes(read_run(body.getvalue())).values()} == {"error"}
    lines = [{"case": "a", "category": "b", "pass": True, "score": float("nan")}]
    assert outcomes(read_run(as_lines(lines))) == {"a": "passed"}


def test_json_with_nan_that_is_cut_says_where() -> None:
    with pytest.raises(UnreadableEvals, match="file is cut"):
        read_run(b'{"cases": [{"case": "a", "pass": NaN')


# --- tables as spreadsheets write them --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "case,category,pass,cost\na,b,true,0.5\n",
        "case;category;pass;cost\na;b;true;0,5\n",
        "sep=;\ncase;category;pass;cost\r\na;b;true;0,5\r\n",
        "case\tcategory\tpass\tcost\na\tb\ttrue\t0,5\n",
        "case|category|pass|cost\na|b|true|0.5\n",
        '"case";"category";"pass";"cost"\n"a";"b";"true";"0,5"\n',
        "Case , Category, PASS, Cost\na,b,TRUE,0.5\n\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_delimiters_and_decimal_commas_are_understood(text: str, encoding: str) -> None:
    (case,) = read_run(text.encode(encoding)).cases
    assert (case.case, case.category, case.passed, case.cost) == ("a", "b", True, 0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('case,category,pass,cost\na,b,true,"0,5"\n', 'Line 2: cost is "0,5"'),
        ("case;category;pass;cost\na;b;true;0,5\nc;d;true;1.234\n", "Line 2 has a decimal comma and line 3 a point"),
        ("case;category;pass;cost\na;b;true;1.234,5\n", "1.234.5"),
    ],
)
def test_numbers_that_could_be_read_in_two_ways_are_refused(text: str, said: str) -> None:
    with pytest.raises(UnreadableEvals, match=said):
        read_run(text.encode())


def test_rows_of_empty_cells_that_spreadsheets_leave_are_no_cases() -> None:
    assert len(read_run(b"case,category,pass,cost\na,b,true,0.5\n,,,\n , ,,\n").cases) == 1


def test_an_encoding_is_taken_as_named_never_guessed() -> None:
    body = "case,category,pass\na,Öffnung,true\n".encode("windows-1252")
    (case,) = read_run(body, ReadingChoices(encoding="windows-1252")).cases
    assert case.category == "Öffnung"
    with pytest.raises(UnreadableEvals, match="There is no encoding"):
        read_run(body, ReadingChoices(encoding="windows-99"))


def test_columns_that_are_not_asked_about_are_left_alone() -> None:
    text = "case,category,pass,language,answer\na,b,true,tr,a very long answer\n"
    (case,) = read_run(text.encode(), ReadingChoices(dimensions=("language", "intent"))).cases
    assert case.labels == ("language=tr",)


def test_a_parquet_file_of_ones_own_is_read_like_csv() -> None:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table(
        {"case": ["a", "b"], "category": ["x", "x"], "pass": [True, None], "cost": [0.5, None], "answer": ["…", "…"]}
    )
    body = io.BytesIO()
    parquet.write_table(table, body)
    run = read_run(body.getvalue())
    assert outcomes(run) == {"a": "passed", "b": "error"}
    assert [c.cost for c in run.cases] == [0.5, None]


# --- a baseline in a file of its own ----------------------------------------------------------------------------------


def test_a_baseline_may_come_from_a_file_of_another_tool() -> None:
    run = read_with_current(sample("deepeval.json"), b"case,category,pass\nrefund-1,billing,true\n")
    assert outcomes(run) == ONE_RUN
    assert outcomes(run, "current") == {"refund-1": "passed"}


def test_inputs_are_compared_within_one_tool_only() -> None:
    same = read_with_current(sample("deepeval.json"), sample("deepeval.json"))
    assert all(c.content for c in same.cases)
    other = read_with_current(sample("deepeval.json"), sample("mlflow.json"))
    assert not any(c.content for c in other.cases)


def test_a_baseline_beside_results_that_hold_one_is_one_too_many() -> None:
    with pytest.raises(UnreadableEvals, match="one too many"):
        read_with_current(sample("promptfoo.json"), sample("deepeval.json"))
    with pytest.raises(UnreadableEvals, match="The baseline: The file is empty"):
        read_with_current(sample("deepeval.json"), b"")


# --- logs of Inspect are read without their messages and events -------------------------------------------------------


def _same_whole(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read of a log is what the whole document says."""
    part = read_run(body)
    monkeypatch.setattr(inspect_json, "parse_inspect_json", lambda _: None)
    assert part == read_run(body)


def test_the_part_of_an_inspect_log_that_is_read_says_what_the_whole_says(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = inspect_json.parse_inspect_json(sample("inspect.json"))
    assert parsed is not None
    assert "messages" not in parsed["samples"][0]
    _same_whole(sample("inspect.json"), monkeypatch)


@pytest.mark.parametrize("value", [float("nan"), 10**30, -0.0, 1e-300, "\U0001f600 \u202e", [1, {"a": None}], None])
@pytest.mark.parametrize("field", ["input", "target", "metadata", "working_time", "uuid", "store"])
def test_a_field_of_an_inspect_log_is_read_alike_whatever_it_holds(field: str, value: Any) -> None:
    log = json.loads(sample("inspect.json"))
    log["samples"][0][field] = value
    body = json.dumps(log).encode()
    outcomes = []
    for parse in (inspect_json.parse_inspect_json, lambda _: None):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(inspect_json, "parse_inspect_json", parse)
            try:
                outcomes.append(read_run(body))
            except UnreadableEvals as refused:
                outcomes.append(str(refused))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    "change",
    [
        {"samples": {}},
        {"samples": [1]},
        {"samples": None},
        {"results": {"results": []}},
    ],
)
def test_what_is_no_log_of_inspect_is_left_to_the_whole_document(change: dict[str, Any]) -> None:
    log = {**json.loads(sample("inspect.json")), **change}
    assert inspect_json.parse_inspect_json(json.dumps(log).encode()) is None
    with pytest.raises(UnreadableEvals):
        read_run(json.dumps(log).encode())
