"""What a judge showed since it was last trusted is taken back, with the evidence that came of it, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.judging import record
from core.judging.engine.judge_trust import set_untrusted_aside
from core.judging.judge import judge
from core.judging.look.judged_cells import is_judged_cell, replace_judged
from core.judging.look.look import take_look
from core.judging.model.evidence import EvidenceSums
from core.judging.model.judgement import Judgement
from core.judging.model.state import JudgeNews
from tests.judging.conftest import TICK

JUDGED = ("eval_pass_rate",)
GOOD = JudgeNews(metrics=JUDGED, trusted=1, voided=0)
MOVED = JudgeNews(metrics=JUDGED, trusted=1, voided=1, doubted=True)


def look_at(here: Any, news: JudgeNews | None, marked: EvidenceSums | None = None) -> Judgement:
    """One look that is told this of the judge; `marked` are the sums at the mark, if it moved."""
    here.serve(333, here.new, here.now)
    here.at += TICK
    sums = here.sums if marked is None else replace_judged(here.sums, marked, JUDGED)
    before = set_untrusted_aside(here.question, news, here.state)
    look = replace(take_look(here.question, sums, before, here.at), judge=news)
    found = judge(here.question, look, here.state)
    here.state = found.state
    here.caps = {}
    return found


@pytest.fixture
def here(world: Callable[..., Any], traffic: Callable[..., Any]) -> Any:
    found = world(seed=7)
    found.new, found.now = traffic(passes=0.90), traffic(passes=0.92)
    return found


def tracks_of(judgement: Judgement, here: Any, metric: str) -> list[Any]:
    positions = {i for i, limit in enumerate(here.question.criteria) if limit.metric == metric}
    return [one for one in judgement.state.tracks if one.limit in positions]


def test_evidence_of_its_metrics_is_as_it_was_at_the_mark(here: Any) -> None:
    for _ in range(5):
        look_at(here, None)
    trusted = look_at(here, GOOD)
    marked = here.sums
    for _ in range(10):
        moved_on = look_at(here, GOOD)
    assert tracks_of(moved_on, here, "eval_pass_rate") != tracks_of(trusted, here, "eval_pass_rate")
    found = look_at(here, MOVED, marked)
    assert [(one.part, one.components) for one in tracks_of(found, here, "eval_pass_rate") if one.part != "onset"] == [
        (one.part, one.components) for one in tracks_of(trusted, here, "eval_pass_rate") if one.part != "onset"
    ]
    kept = found.state.get_total(2, "eval_pass_rate")
    assert kept == trusted.state.get_total(2, "eval_pass_rate")


def test_evidence_of_other_metrics_goes_on(here: Any) -> None:
    trusted = look_at(here, GOOD)
    marked = here.sums
    before = look_at(here, GOOD)
    found = look_at(here, MOVED, marked)
    assert (
        found.state.get_total(2, "refusal_rate").canary_trials > before.state.get_total(2, "refusal_rate").canary_trials
    )
    assert tracks_of(found, here, "refusal_rate") != tracks_of(trusted, here, "refusal_rate")


def test_a_move_before_any_mark_sets_everything_of_the_judge_aside(here: Any) -> None:
    look_at(here, None)
    found = look_at(here, replace(MOVED, trusted=0), EvidenceSums())
    assert found.state.get_total(2, "eval_pass_rate").canary_trials == 0
    assert found.state.get_total(2, "refusal_rate").canary_trials > 0


def test_harm_that_was_found_by_then_is_no_longer_shown_as_found(here: Any, traffic: Callable[..., Any]) -> None:
    look_at(here, GOOD)
    marked = here.sums
    here.new = traffic(passes=0.5)
    for _ in range(20):
        before = look_at(here, GOOD)
        if before.verdict.name == "roll_back":
            break
    limit = next(i for i, one in enumerate(here.question.limits) if one.metric == "eval_pass_rate")
    assert before.verdict.name == "roll_back"
    here.state = replace(before.state, rolled_back=None)
    found = look_at(here, MOVED, marked)
    assert found.verdict.name != "roll_back"
    assert str(limit) not in found.state.beyond_since


def test_silence_of_a_doubted_judge_is_no_broken_source(here: Any) -> None:
    look_at(here, GOOD)
    found = look_at(here, MOVED, here.sums)
    assert not any(key.startswith("eval_pass_rate") for key in found.state.arrivals)
    assert any(key.startswith("refusal_rate") for key in found.state.arrivals)


def test_looks_and_states_without_anchors_are_written_as_before(here: Any) -> None:
    found = look_at(here, None)
    assert '"judge"' not in record.to_json(found)
    assert '"judge"' not in record.to_json(found.state)
    assert record.load_judgement(record.to_json(found)) == found


def test_a_state_with_a_mark_reads_back_as_it_was_written(here: Any) -> None:
    found = look_at(here, GOOD)
    assert record.load_judgement(record.to_json(found)) == found


@pytest.mark.parametrize(
    ("cell", "judged"),
    [
        ("eval_pass_rate", True),
        ("eval_pass_rate>4", True),
        ("eval_pass_rate~4", True),
        ("eval_pass_rate_of_mine", False),
        ("refusal_rate", False),
    ],
)
def test_cells_of_a_metric_are_told_by_their_name(cell: str, judged: bool) -> None:
    assert is_judged_cell(cell, JUDGED) is judged
