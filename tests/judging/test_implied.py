"""What is watched though no file asks for it: safety on both sides, expectations, and what is unexpectedly good."""

from dataclasses import replace

import pytest

from core.judging.limits.default_limits import ExpectedChange, derive_default_limits
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.model.verdict import Hold, RollBack
from core.metrics.catalogue import CATALOGUE

REFUSALS = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
PASSES = Limit(
    metric="eval_pass_rate", kind=LimitKind.DROPS_BY, amount=0.02, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
HARMLESS = {"continue", "cleared"}


def sides(limits=(), expectations=()):
    return {(x.metric, x.kind): (x.role, x.amount) for x in derive_default_limits(limits, expectations)}


def test_every_side_that_the_file_leaves_open_is_watched_once():
    found = sides((REFUSALS, PASSES))
    assert ("refusal_rate", LimitKind.RISES_BY) not in found
    assert found["refusal_rate", LimitKind.DROPS_BY] == (LimitRole.HOLD, 0.01)
    assert found["eval_pass_rate", LimitKind.RISES_BY] == (LimitRole.WATCH, 0.02)
    assert found["retry_rate", LimitKind.RISES_BY] == (LimitRole.HOLD, 0.01)
    assert found["thumbs_down_rate", LimitKind.DROPS_BY][0] is LimitRole.WATCH
    assert ("thumbs_up_rate", LimitKind.RISES_BY) not in found  # neither good nor harm
    assert all(metric != "new_error_category" for metric, _ in found)


def test_what_came_with_later_engines_is_behind_what_rollouts_under_way_refer_to_by_position():
    """Those of engine 9 were the catalogue's, which it ended with reports that are sent twice, then a team's own."""
    own = replace(CATALOGUE["retry_rate"], key="resolved", title="Solved without a person")
    order = list(dict.fromkeys(one.metric for one in derive_default_limits((), (), (own,))))
    assert order[order.index("duplicate_items") :] == ["duplicate_items", "resolved", "unjudged_rate"]


@pytest.mark.parametrize("kind", [LimitKind.CHANGES_BY])
def test_a_two_sided_limit_leaves_no_side_open(kind):
    found = sides((replace(REFUSALS, kind=kind),))
    assert all(metric != "refusal_rate" for metric, _ in found)


def test_an_absolute_limit_speaks_of_the_rise():
    found = sides(
        (
            Limit(
                metric="latency_p95", kind=LimitKind.EXCEEDS, amount=4e3, scale=LimitScale.ABSOLUTE, role=LimitRole.HOLD
            ),
        )
    )
    assert ("latency_p95", LimitKind.RISES_BY) not in found
    assert found["latency_p95", LimitKind.DROPS_BY][0] is LimitRole.WATCH


def test_what_is_expected_is_open_up_to_its_far_end_and_the_other_side_is_not():
    down = ExpectedChange(metric="output_tokens", direction="down", low=-0.4, high=-0.2)
    found = sides((), (down,))
    assert found["output_tokens", LimitKind.DROPS_BY][1] == pytest.approx(0.4)
    assert found["output_tokens", LimitKind.RISES_BY][1] == pytest.approx(0.2)
    open_ended = sides((), (ExpectedChange(metric="latency_p50", direction="down"),))
    assert ("latency_p50", LimitKind.DROPS_BY) not in open_ended
    assert open_ended["latency_p50", LimitKind.RISES_BY][0] is LimitRole.HOLD


@pytest.mark.shows("E26")
def test_fewer_refusals_hold_too_and_ask_about_a_filter(world, traffic):
    _, verdict = world((REFUSALS,)).run(200, traffic(refusals=0.001), traffic(refusals=0.04))
    assert isinstance(verdict, Hold)
    assert (verdict.findings[0].metric, verdict.findings[0].kind) == ("refusal_rate", "drops_by")
    assert "is a filter off?" in verdict.findings[0].note


@pytest.mark.shows("E20")
@pytest.mark.parametrize(("turns", "kind"), [(4.6, "rises_by"), (3.4, "drops_by")])
def test_longer_and_shorter_conversations_hold_where_nothing_else_changes(world, traffic, turns, kind):
    _, verdict = world((REFUSALS,)).run(200, traffic(turns=turns), traffic(turns=4.0))
    assert isinstance(verdict, Hold)
    assert (verdict.findings[0].metric, verdict.findings[0].kind) == ("conversation_turns", kind)


def test_longer_answers_are_only_told(world, traffic):
    # Answer length only watches by default.
    here = world((REFUSALS,))
    looks, _ = here.run(120, traffic(tokens=1.5), traffic())
    assert looks == 120
    assert "output_tokens" in {note.metric for note in here.look().notes}


@pytest.mark.shows("E17")
def test_what_is_better_than_expected_is_told_and_holds_nothing(world, traffic):
    here = world((PASSES,))
    looks, verdict = here.run(150, traffic(passes=0.99), traffic(passes=0.90))
    assert (looks, verdict.name in HARMLESS) == (150, True)
    (note,) = [note for note in here.look().notes if note.metric == "eval_pass_rate"]
    assert "better than expected" in note.note
    assert note.difference == pytest.approx(0.09, abs=0.03)


@pytest.mark.shows("E32")
def test_a_change_in_the_expected_direction_is_as_expected(world, traffic):
    here = world((REFUSALS,))
    here.expectations = (ExpectedChange(metric="output_tokens", direction="down", low=-0.5, high=-0.2),)
    looks, _ = here.run(120, traffic(tokens=0.7), traffic())
    assert looks == 120
    found = here.look()
    row = next(measure for measure in found.measures if measure.metric == "output_tokens")
    assert (row.expected, row.word) == ("as expected", "Fine")
    assert not [note for note in found.notes if note.metric == "output_tokens"]


@pytest.mark.shows("E32", "E67")
@pytest.mark.parametrize(("tokens", "kind"), [(1.3, "rises_by"), (0.3, "drops_by")])
def test_a_change_against_or_far_beyond_the_expectation_is_told(world, traffic, tokens, kind):
    here = world((REFUSALS,))
    here.expectations = (ExpectedChange(metric="output_tokens", direction="down", low=-0.5, high=-0.2),)
    here.run(120, traffic(tokens=tokens), traffic())
    found = here.look()
    row = next(measure for measure in found.measures if measure.metric == "output_tokens")
    assert row.expected == "not as expected"
    assert [note.kind for note in found.notes if note.metric == "output_tokens"] == [kind]


def test_a_limit_of_the_file_comes_first(world, traffic):
    here = world((REFUSALS,))
    here.serve(20_000, traffic(refusals=0.08, retries=0.2), traffic())
    verdict = here.look().verdict
    assert isinstance(verdict, RollBack)
    assert {finding.metric for finding in verdict.findings} == {"refusal_rate"}
