"""Whatever a file holds, it is read or refused with a reason; nothing else happens."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.evals.eval_run import ReadingChoices, UnreadableEvals
from core.evals.read_run import read_run
from core.rollout.decisions.eval_command import GateSubject, judge_run
from core.rollout.plans.plan import EvalTerms, Stage, StageKind

SAMPLES = Path(__file__).parent / "samples"
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    "",
    "x",
    "\x00",
    [],
    [[]],
    [None],
    {},
    {"a": {}},
    "9" * 400,
    float("1e-320"),
]
SUBJECT = GateSubject(
    title="R-1",
    stages=(Stage(kind=StageKind.EVAL, name="eval", terms=EvalTerms(min_pass_rate=0.5, compare_to_current=True)),),
    from_version="v42",
    to_version="v43",
)
CHOICES = ReadingChoices(dimensions=("language",), reads_parquet=False)
FUZZED = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def read_and_judge(body: bytes) -> None:
    said = "it was read"
    try:
        judge_run(SUBJECT, "", read_run(body, CHOICES))
    except UnreadableEvals as error:
        said = str(error)
    assert 10 < len(said) < 1000


def list_places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place within a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in list_places(each, (*path, key)))]


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    inside = document
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return document


@pytest.mark.parametrize("name", ["promptfoo.json", "deepeval.json", "inspect.json", "mlflow.json"])
@FUZZED
@given(data=st.data())
def test_a_document_with_an_odd_value_anywhere(name: str, data: st.DataObject) -> None:
    document = json.loads((SAMPLES / name).read_bytes())
    places = PLACES.setdefault(name, list_places(document))
    for _ in range(data.draw(st.integers(1, 3))):
        try:
            document = put(document, data.draw(st.sampled_from(places)), data.draw(st.sampled_from(ODD)))
        except (KeyError, IndexError, TypeError):
            continue  # an earlier value has taken the place away
    read_and_judge(json.dumps(document).encode())


PLACES: dict[str, list[tuple[Any, ...]]] = {}


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.iterdir() if path.suffix not in {".md", ""}))
@FUZZED
@given(data=st.data())
def test_a_file_with_wrong_bytes_anywhere(name: str, data: st.DataObject) -> None:
    body = bytearray((SAMPLES / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    read_and_judge(bytes(body[: data.draw(st.integers(0, len(body)))]) if data.draw(st.booleans()) else bytes(body))


@pytest.mark.parametrize(
    "body",
    [
        b'<?xml version="1.0" encoding="foo"?><testsuite/>',
        b'<?xml version="1.0" encoding="utf-7"?><testsuite/>',
        b'<testsuite tests="' + b"9" * 5000 + b'"><testcase name="a"/></testsuite>',
    ],
)
def test_xml_that_means_harm(body: bytes) -> None:
    read_and_judge(body)


@FUZZED
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"PK\x03\x04", b"PAR1", b"<testsuite>", b"{", b"[", b"case,category,pass\n"]),
)
def test_any_bytes_at_all(body: bytes, start: bytes) -> None:
    read_and_judge(start + body)


@FUZZED
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["spec", "final_report", "sample_id", "type", "data", "run_id", "event_id"]),
            st.sampled_from([*ODD, "match", "metrics", "error", {"correct": True}, {"correct": "x"}]),
        )
    )
)
def test_lines_of_openai_evals_in_any_shape(rows: list[dict[str, Any]]) -> None:
    read_and_judge("\n".join(json.dumps(row) for row in [{"spec": {}}, *rows, {"final_report": {}}]).encode())
