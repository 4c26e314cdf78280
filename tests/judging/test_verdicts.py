"""What the engine concludes, in which order, and what it makes of not knowing."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from core.judging import record
from core.judging.judge import judge
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look.look import take_look
from core.judging.model.evidence import EVERYONE, CellKey
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import JudgingState
from core.judging.model.verdict import Hold, NoData, RollBack, Skewed, TooEarly
from tests.trials.length import pick

REFUSALS = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
RETRIES = Limit(metric="retry_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.HOLD)
HARMLESS = {"continue", "cleared", "no_control"}
OFFLINE = StageDesign(index=3, name="eval", compared=False, canary_share=None, control_left=True)


@pytest.mark.shows("E19", "E27")
def test_a_hold_limit_holds(world, traffic):
    _, verdict = world((REFUSALS, RETRIES)).run(60, traffic(retries=0.2), traffic())
    assert isinstance(verdict, Hold)
    assert [finding.metric for finding in verdict.findings] == ["retry_rate"]


def test_a_rollback_comes_before_a_hold(world, traffic):
    here = world((RETRIES, REFUSALS))
    here.serve(20_000, traffic(retries=0.2, refusals=0.08), traffic())
    assert isinstance(here.look().verdict, RollBack)


def test_a_rollback_is_never_undone(world, traffic):
    here = world((REFUSALS,))
    _, first = here.run(60, traffic(refusals=0.08), traffic())
    for _ in range(40):
        here.serve(2000, traffic(refusals=0.0), traffic())
        verdict = here.look().verdict
    assert verdict == first


@pytest.mark.parametrize("change", [{"dry_run": True}, {"role": LimitRole.WATCH}])
def test_what_only_tells_never_acts(world, traffic, change):
    here = world((replace(REFUSALS, **change), RETRIES))
    looks, verdict = here.run(40, traffic(refusals=0.1), traffic())
    assert (looks, verdict.name in HARMLESS) == (40, True)
    found = here.look()
    assert found.measures[0].word == "Worse"
    assert [note.metric for note in found.notes] == ["refusal_rate"]


def test_strict_waits_until_the_margin_itself_is_exceeded(world, traffic):
    strict = replace(REFUSALS, amount=0.03, strict=True)
    within, beyond = traffic(refusals=0.045), traffic(refusals=0.12)
    assert world((strict,)).run(120, within, traffic())[1].name in HARMLESS
    assert isinstance(world((strict,)).run(60, beyond, traffic())[1], RollBack)


def test_harm_within_the_limit_is_told_and_left(world, traffic):
    here = world((replace(REFUSALS, amount=0.05),))
    for _ in range(10):
        here.serve(20_000, traffic(refusals=0.04), traffic())
        found = here.look()
    assert found.verdict.name in HARMLESS
    assert found.measures[0].word == "Slightly worse, within limit"


@pytest.mark.parametrize("retries", [0.02, 0.2])
def test_changes_by_looks_both_ways(world, traffic, retries):
    both = replace(RETRIES, kind=LimitKind.CHANGES_BY, amount=0.02)
    here = world((both,))
    _, verdict = here.run(90, traffic(retries=retries), traffic())
    assert isinstance(verdict, Hold)
    assert (verdict.findings[0].difference > 0) == (retries > 0.08)
    assert here.look().measures[0].word == "Changed unexpectedly"


def test_a_drop_looks_only_down_and_the_catalogue_up(world, traffic):
    drop = replace(RETRIES, kind=LimitKind.DROPS_BY, amount=0.25, scale=LimitScale.RELATIVE)
    fallen = world((drop,)).run(90, traffic(retries=0.02), traffic())[1]
    assert (fallen.findings[0].kind, fallen.findings[0].note) == ("drops_by", "")
    risen = world((drop,)).run(60, traffic(retries=0.2), traffic())[1]
    assert isinstance(risen, Hold)
    assert (risen.findings[0].kind, risen.findings[0].note) == ("rises_by", "not among the agreed limits")


def test_an_absolute_limit_on_a_mean_and_on_a_proportion(world, traffic):
    cost = Limit(
        metric="cost_per_request",
        kind=LimitKind.EXCEEDS,
        amount=0.02,
        scale=LimitScale.ABSOLUTE,
        role=LimitRole.ROLLBACK,
    )
    flags = Limit(
        metric="moderation_flag_rate",
        kind=LimitKind.EXCEEDS,
        amount=0.01,
        scale=LimitScale.ABSOLUTE,
        role=LimitRole.ROLLBACK,
    )
    _, verdict = world((cost,)).run(90, traffic(cost=0.05), traffic())
    assert verdict.findings[0].limit_text == "exceeds $0.02"
    _, verdict = world((flags,)).run(90, traffic(flags=0.05), traffic())
    assert verdict.findings[0].limit_text == "exceeds 1 %"
    assert world((cost, flags)).run(60, traffic(), traffic())[1].name in HARMLESS


CATEGORY = Limit(
    metric="new_error_category",
    kind=LimitKind.RATE_ABOVE,
    amount=0.002,
    scale=LimitScale.ABSOLUTE,
    role=LimitRole.ROLLBACK,
    min_events=5,
)


def test_an_error_that_control_has_too_is_not_new(world, traffic):
    both = {"categories": {"ToolTimeout": 0.03}}
    assert world((CATEGORY,)).run(60, traffic(**both), traffic(**both))[1].name in HARMLESS


@pytest.mark.shows("E50")
def test_a_new_error_needs_its_events_and_is_named(world, traffic):
    here = world((CATEGORY,))
    _, verdict = here.run(120, traffic(categories={"ToolTimeout": 0.05, "Json": 0.0005}), traffic())
    assert isinstance(verdict, RollBack)
    assert verdict.findings[0].note.startswith("ToolTimeout: ")
    demanding = world((replace(CATEGORY, min_events=10_000),))
    assert demanding.run(60, traffic(categories={"ToolTimeout": 0.05}), traffic())[1].name in HARMLESS


def test_what_makes_an_error_appear_is_not_yet_evidence(world, traffic):
    here = world((CATEGORY,))
    here.serve(3000, traffic(), traffic())
    here.look()
    here.serve(3000, traffic(categories={"ToolTimeout": 0.1}), traffic())
    assert here.look().measures[0].log_e == pytest.approx(0)
    here.serve(300, traffic(categories={"ToolTimeout": 0.1}), traffic())
    assert here.look().measures[0].log_e > 0


def test_an_error_named_with_a_bar_is_counted_once(world, traffic):
    here = world((CATEGORY,))
    for index in (2, 3, 4):
        if index > 2:
            here.enter(StageDesign(index=index, name="ramp", compared=True, canary_share=0.1, control_left=True))
        for look in range(12):
            appears = index == 2 and look == 1
            here.serve(2000, traffic(categories={"a|b": 0.03}) if appears else traffic(), traffic())
            assert here.look().verdict.name in HARMLESS
    (track,) = here.state.categories
    assert (track.name, track.events) == ("a|b", 4)


def test_evidence_starts_at_nothing_however_many_stages_there_are(world, traffic):
    here = world((REFUSALS,))
    for index in range(3, 9):
        here.arm(here.stages[-1].index, "canary", np.arange(3), traffic())
        here.enter(StageDesign(index=index, name=str(index), compared=True, canary_share=0.1, control_left=True))
    assert here.look().measures[0].log_e == pytest.approx(0)


def test_nothing_counted_is_too_early_not_fine(world):
    here = world((REFUSALS,))
    found = here.look()
    assert found.verdict == TooEarly(canary_requests=0, control_requests=0)
    assert found.measures[0].word == "No data"
    assert found.measures[0].difference is None


@pytest.mark.parametrize("silent", ["canary", "control"])
def test_an_arm_that_falls_silent_is_no_data_and_clears_itself(world, traffic, silent):
    here = world((REFUSALS,))
    here.serve(333, traffic(), traffic())
    here.look()
    last = here.at
    for _ in range(90):
        here.arm(2, "control" if silent == "canary" else "canary", np.arange(5), traffic())
        verdict = here.look().verdict
    assert verdict == NoData(since=last, arm=silent)
    here.serve(333, traffic(), traffic())
    assert here.look().verdict.name in HARMLESS


def test_an_arm_that_never_spoke_is_no_data_since_never(world):
    here = world((REFUSALS,))
    here.look()
    here.at += timedelta(minutes=15)
    assert here.look().verdict == NoData(since=None, arm="control")


def test_a_cohort_that_never_spoke_may_have_begun_at_night(world):
    here = world((REFUSALS,))
    here.stages = (replace(here.stages[0], chosen=True),)
    here.look()
    here.at += timedelta(hours=9)
    assert isinstance(here.look().verdict, TooEarly)
    here.at += timedelta(hours=15)
    assert here.look().verdict == NoData(since=None, arm="control")


def test_where_few_come_silence_is_told_by_their_pace(world, traffic):
    """Ten an hour: a quarter of an hour without one is nothing, a night without any is."""
    here = world((REFUSALS,))
    for _ in range(30):
        here.at += timedelta(hours=2)
        here.arm(2, "control", np.arange(19), traffic())
        here.arm(2, "canary", np.arange(1), traffic())
        assert here.look().verdict.name in HARMLESS
    here.at += timedelta(minutes=20)
    assert here.look().verdict.name in HARMLESS
    here.at += timedelta(hours=8)
    assert isinstance(here.look().verdict, NoData)


def test_a_small_arm_is_not_missed_before_a_dozen_should_have_come(world, traffic):
    here = world((REFUSALS,))
    here.arm(2, "canary", np.arange(2), traffic())
    found = []
    for _ in range(30):
        here.at += timedelta(minutes=1)
        here.arm(2, "control", np.arange(10), traffic())
        found.append(isinstance(here.look().verdict, NoData))
    # Five of a hundred are the canary's: 12 of them beside 228 of control, after the ten that came with its last ones.
    assert found.index(True) == 23


def test_a_stage_that_serves_nobody_waits_for_no_data(world):
    here = world((REFUSALS,))
    here.enter(OFFLINE)
    here.look()
    here.at += timedelta(hours=5)
    assert here.look().verdict.name in HARMLESS


def test_requests_without_complaints_are_data(world, traffic):
    complaints = Limit(
        metric="complaint_rate",
        kind=LimitKind.EXCEEDS_NORMAL_BY,
        amount=0.5,
        scale=LimitScale.RELATIVE,
        role=LimitRole.ROLLBACK,
    )
    here = world((complaints,))
    here.serve(20_000, traffic(complaints=0), traffic(complaints=0))
    found = here.look()
    assert found.measures[0].canary == 0
    assert found.measures[0].word == "Fine"


@pytest.mark.parametrize(
    "complaints",
    [
        Limit(
            metric="complaint_rate",
            kind=LimitKind.EXCEEDS,
            amount=0.002,
            scale=LimitScale.ABSOLUTE,
            role=LimitRole.ROLLBACK,
        ),
        Limit(
            metric="complaint_rate",
            kind=LimitKind.RISES_BY,
            amount=0.5,
            scale=LimitScale.RELATIVE,
            role=LimitRole.ROLLBACK,
        ),
    ],
)
def test_complaints_take_nothing_back_before_three_people_complained(world, traffic, complaints):
    here = world((complaints,))
    here.stages = (replace(here.stages[0], canary_share=0.0005),)
    here.serve(10_000, traffic(complaints=0), traffic(complaints=0))
    here.look()
    canary = CellKey(stage=2, arm="canary", segment=EVERYONE, metric="complaint_rate")
    found = []
    for person in range(3):
        here.add([canary], np.array([person]), np.ones(1))
        found.append(here.look().verdict.name == "roll_back")
    assert found == [False, False, True]


def test_a_skewed_split_voids_the_comparison(world, traffic):
    here = world((RETRIES,))
    here.stages = (replace(here.stages[0], canary_share=0.1),)
    here.position = here.position * 2  # 5 % arrive where 10 % were planned
    for _ in range(40):
        here.serve(2000, traffic(retries=0.2), traffic())
        verdict = here.look().verdict
    assert isinstance(verdict, Skewed)
    assert verdict.expected_share == 0.1
    assert verdict.observed_share == pytest.approx(0.05, abs=0.01)


@pytest.mark.shows("E13", "E38")
def test_counts_are_those_of_the_stage_under_way(world, traffic):
    here = world((REFUSALS,))
    here.serve(4000, traffic(), traffic())
    first = here.look()
    here.enter(StageDesign(index=3, name="10", compared=True, canary_share=0.1, control_left=True))
    here.serve(1000, traffic(), traffic())
    second = here.look()
    assert first.canary_requests + first.control_requests == 4000
    assert second.canary_requests + second.control_requests == 1000
    assert second.exposed_requests == first.canary_requests + second.canary_requests


def test_the_same_record_gives_the_same_bytes(world, traffic):
    here = world()
    here.cuts = ("language",)
    state = JudgingState()
    for _ in range(25):
        here.serve(333, traffic(categories={"Json": 0.01}), traffic())
        question = here.question
        found = here.look()
        kept = record.RecordedLook(engine=record.ENGINE_VERSION, look=here.looks[-1], question=question)
        recorded = record.load_recorded_look(record.recorded_look_to_json(kept))
        again = judge(recorded.question, recorded.look, state)
        assert record.to_json(again) == record.to_json(found)
        assert record.load_question(record.to_json(question)) == question
        loaded = record.load_judgement(record.to_json(found))
        assert loaded == found
        state = loaded.state


def test_what_is_remembered_does_not_grow_with_traffic(world, traffic):
    here = world()
    here.run(10, traffic(), traffic())
    before = len(record.to_json(here.state))
    here.run(40, traffic(), traffic())
    assert len(record.to_json(here.state)) < before * 1.3


@pytest.mark.shows("E30")
def test_rows_that_came_in_late_count_in_their_own_stage(world, traffic):
    here = world((REFUSALS,))
    here.serve(3000, traffic(), traffic())
    here.look()
    here.enter(StageDesign(index=3, name="50", compared=True, canary_share=0.5, control_left=True))
    here.serve(3000, traffic(), traffic())
    here.arm(2, "canary", np.arange(10), traffic())
    here.look()
    assert {step.stage for step in here.looks[-1].steps} == {2, 3}
    late = next(step for step in here.looks[-1].steps if step.stage == 2 and step.metric == "requests")
    assert (late.canary_trials, late.control_trials) == (10, 0)


def test_the_evidence_so_far_adds_up_however_it_is_cut_into_looks(world, traffic):
    # Without anything new, a look changes nothing but its number.
    here = world((REFUSALS, RETRIES))
    here.serve(3000, traffic(), traffic())
    asked, once = here.question, here.look()
    again = judge(asked, take_look(asked, here.sums, once.state, here.at), once.state)
    assert again.measures == once.measures
    assert replace(again.state, looks=once.state.looks) == once.state


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"current": 9}])
def test_a_question_that_makes_no_sense_is_refused(world, wrong):
    asked = world().question
    with pytest.raises(ValueError):
        Question(**{"limits": asked.limits, "stages": asked.stages, "current": 2, **wrong})


def test_numbers_as_a_database_hands_them_out_are_recorded_as_plain_ones(world, traffic):
    here = world()
    here.serve(3000, traffic(), traffic())
    plain = here.sums
    counted = {key: {np.int64(b): np.int64(n) for b, n in bins.items()} for key, bins in plain.histograms.items()}
    exposed = {(np.int64(stage).item(), arm): units for (stage, arm), units in plain.first_exposures.items()}
    start = JudgingState()
    looks = [
        take_look(here.question, sums, start, here.at)
        for sums in (plain, replace(plain, histograms=counted, first_exposures=exposed))
    ]
    assert record.to_json(looks[0]) == record.to_json(looks[1])


def test_what_comes_in_is_watched_though_no_limit_asks_for_it(world, traffic):
    here = world((REFUSALS,))
    here.serve(3000, traffic(), traffic())
    agreed, *others = here.look().measures
    assert (agreed.metric, agreed.implied) == ("refusal_rate", False)
    assert {"eval_pass_rate", "cost_per_request", "latency_p95"} <= {measure.metric for measure in others}
    assert all(measure.implied for measure in others)
    passes = next(measure for measure in others if measure.metric == "eval_pass_rate")
    assert passes.limit_text in {"drops by 2 pp", "rises by 2 pp"}


def test_a_watched_row_shows_the_evidence_of_the_side_that_it_speaks_of(world, traffic):
    here = world((REFUSALS,))
    here.serve(20_000, traffic(passes=0.80), traffic())
    found = here.look()
    row = next(measure for measure in found.measures if measure.metric == "eval_pass_rate")
    finding = next(one for one in found.verdict.findings if one.metric == "eval_pass_rate")
    assert (row.word, row.limit_text) == ("Worse", "drops by 2 pp")
    assert row.log_e == pytest.approx(finding.log_e, rel=0.1)


def test_people_who_were_let_in_first_do_not_make_a_past(world, traffic):
    here = world((REFUSALS,), seed=4)
    here.stages = (
        StageDesign(index=0, name="internal", compared=False, canary_share=1.0, control_left=False, chosen=True),
    )
    ahead = (
        StageDesign(index=1, name="canary", compared=True, canary_share=0.05, control_left=True),
        StageDesign(index=2, name="ramp", compared=True, canary_share=0.25, control_left=True),
        StageDesign(index=3, name="all", compared=False, canary_share=1.0, control_left=False),
    )
    assert here.run(20, traffic(), traffic(), per_look=20)[1].name in HARMLESS
    for stage in ahead:
        assert not here.state.baselines
        here.enter(stage)
        assert here.run(40, traffic(), traffic(), per_look=200)[1].name in HARMLESS
    assert here.state.baselines["refusal_rate"].value == pytest.approx(0.02, abs=0.005)


@pytest.mark.parametrize(("canary", "control"), [(1e-300, 1e-300), (1.0, 1e-300), (1e-300, 1.0)])
@pytest.mark.parametrize(
    ("kind", "amount", "scale"),
    [(LimitKind.EXCEEDS, 1e-9, LimitScale.ABSOLUTE), (LimitKind.RISES_BY, 0.15, LimitScale.RELATIVE)],
)
def test_values_that_are_next_to_nothing_can_be_judged(world, traffic, kind, amount, scale, canary, control):
    here = world((Limit(metric="cost_per_request", kind=kind, amount=amount, scale=scale, role=LimitRole.WATCH),))
    here.stages = (replace(here.stages[0], canary_share=0.5),)
    assert here.run(20, traffic(cost=canary), traffic(cost=control))[1].name in {*HARMLESS, "hold"}


@pytest.mark.parametrize("metric", ["complaint_rate", "latency_p95"])
def test_a_past_that_is_hardly_known_is_no_harm(world, traffic, metric):
    kind, amount = (LimitKind.EXCEEDS_NORMAL_BY, 0.5) if metric == "complaint_rate" else (LimitKind.RISES_BY, 0.15)
    limit = Limit(metric=metric, kind=kind, amount=amount, scale=LimitScale.RELATIVE, role=LimitRole.ROLLBACK)
    for seed in range(pick(2, 6)):
        here = world((limit,), seed=seed)
        assert here.run(8, traffic(), traffic(), per_look=150)[1].name in {*HARMLESS, "hold"}
        here.enter(StageDesign(index=3, name="all", compared=False, canary_share=1.0, control_left=False))
        for _ in range(15):
            here.serve(3000, traffic(), traffic())
            assert here.look().verdict.name != "roll_back"


def test_a_new_error_that_found_no_name_is_not_called_fine(world, traffic):
    here = world((CATEGORY,))
    for _ in range(12):
        here.serve(1000, traffic(categories={"(other)": 0.1}), traffic(categories={"(other)": 0.02}))
        found = here.look()
    row = found.measures[0]
    assert row.word == "Not enough data"
    assert "(other)" in row.note


def test_errors_that_all_have_names_are_called_fine(world, traffic):
    here = world((CATEGORY,))
    for _ in range(12):
        here.serve(1000, traffic(categories={"Timeout": 0.02}), traffic(categories={"Timeout": 0.02}))
        found = here.look()
    assert (found.measures[0].word, found.measures[0].note) == ("Fine", "")


def written_anew(judged):
    """A judgement of an engine before 6 as JSON, without what came to it with 6 and 7 and was not known then."""
    written = json.loads(record.to_json(judged))
    assert [written["state"].pop(name) for name in ("lately", "variances", "outliers")] == [{}, {}, {}]
    assert all(row.pop("spread") is None for row in (*written["measures"], *written["segments"]))
    return written


@pytest.mark.parametrize("engine", [7, 8, 9])
def test_what_an_engine_that_knew_outliers_found_in_the_last_minutes_is_read_as_what_it_was(engine):
    kept = json.loads((Path(__file__).parent / f"engine_{engine}.json").read_text())
    looked, judged = record.load_recorded_look(kept["look"]), record.load_judgement(kept["judgement"])
    assert looked.engine == engine != record.ENGINE_VERSION
    assert judged.verdict.name == "roll_back"
    assert "in the last minutes" in judged.verdict.findings[0].note
    assert record.recorded_look_to_json(looked) == kept["look"]
    assert record.to_json(judged) == kept["judgement"]


def test_what_engine_10_found_since_a_stage_began_is_read_as_what_it_was():
    kept = json.loads((Path(__file__).parent / "engine_10.json").read_text())
    looked, judged = record.load_recorded_look(kept["look"]), record.load_judgement(kept["judgement"])
    assert looked.engine == 10 != record.ENGINE_VERSION
    assert judged.verdict.name == "roll_back"
    assert record.recorded_look_to_json(looked) == kept["look"]
    assert record.to_json(judged) == kept["judgement"]


def test_what_engine_6_found_in_the_last_minutes_is_read_as_what_it_was():
    kept = json.loads((Path(__file__).parent / "engine_6.json").read_text())
    looked, judged = record.load_recorded_look(kept["look"]), record.load_judgement(kept["judgement"])
    assert looked.engine == 6 != record.ENGINE_VERSION
    assert judged.verdict.name == "roll_back"
    assert "in the last minutes" in judged.verdict.findings[0].note
    assert record.recorded_look_to_json(looked) == kept["look"]
    written = json.loads(record.to_json(judged))
    assert written["state"].pop("outliers") == {}
    assert written == json.loads(kept["judgement"])


def test_what_engine_5_found_in_the_last_minutes_is_read_as_what_it_was():
    kept = json.loads((Path(__file__).parent / "engine_5.json").read_text())
    looked, judged = record.load_recorded_look(kept["look"]), record.load_judgement(kept["judgement"])
    assert looked.engine == 5 != record.ENGINE_VERSION
    assert judged.verdict.name == "roll_back"
    assert "in the last minutes" in judged.verdict.findings[0].note
    assert record.recorded_look_to_json(looked) == kept["look"]
    assert written_anew(judged) == json.loads(kept["judgement"])


def test_what_engine_3_recorded_is_read_as_what_it_was():
    kept = json.loads((Path(__file__).parent / "engine_3.json").read_text())
    looked, judged = record.load_recorded_look(kept["look"]), record.load_judgement(kept["judgement"])
    assert looked.engine == 3 != record.ENGINE_VERSION
    assert judged.verdict.name == "roll_back"
    assert record.recorded_look_to_json(looked) == kept["look"]
    written, since = written_anew(judged), ("split", "elsewhere")  # which came to the state after it
    assert {name: written["state"].pop(name) for name in since} == {
        "split": {"since": {}, "found": None, "findings": 0},
        "elsewhere": {},
    }
    assert written == json.loads(kept["judgement"])


def test_what_engine_4_said_of_the_past_is_read_as_what_it_was():
    kept = json.loads((Path(__file__).parent / "engine_4.json").read_text())
    looked, judged = record.load_recorded_look(kept["look"]), record.load_judgement(kept["judgement"])
    assert looked.engine == 4 != record.ENGINE_VERSION
    assert judged.verdict.name == "roll_back"
    assert judged.verdict.findings[0].note == "compared with the past: no control is left"
    assert record.recorded_look_to_json(looked) == kept["look"]
    written, since = written_anew(judged), ("readings", "design_effect")
    for baseline in written["state"]["baselines"].values():
        assert {name: baseline.pop(name) for name in since} == dict.fromkeys(since)  # not known then
    assert written == json.loads(kept["judgement"])


def test_a_limit_that_is_broken_but_not_yet_for_long_enough_is_pending(world, traffic):
    here = world((replace(REFUSALS, lasting=timedelta(minutes=2)),))
    for _ in range(6):
        here.serve(1000, traffic(refusals=0.12), traffic())
        found = here.look()
    assert found.verdict.name != "roll_back"
    assert [one.metric for one in found.pending] == ["refusal_rate"]
    for _ in range(12):
        here.serve(1000, traffic(refusals=0.12), traffic())
        found = here.look()
    assert found.verdict.name == "roll_back"
    assert found.pending == ()


def test_nothing_is_pending_where_no_limit_has_to_last_or_nothing_is_worse(world, traffic):
    for limit, canary in (
        (REFUSALS, traffic(refusals=0.12)),
        (replace(REFUSALS, lasting=timedelta(minutes=2)), traffic()),
    ):
        here = world((limit,))
        for _ in range(6):
            here.serve(1000, canary, traffic())
            assert here.look().pending == ()
