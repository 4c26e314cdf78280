"""The checklist after a rollback says what the log knows, and nothing else."""
# ruff: noqa: E501 - a line of a message is as long as it is

import zipfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from inline_snapshot import snapshot

from bot.rendering.charts import plain_text
from bot.rendering.documents import evidence_bundle
from bot.rendering.messages.alerts import investigation
from core.judging.report.series import SeriesPoint
from core.reviews.investigation import Investigation, begin_investigation
from core.rollout.state import events as e
from core.rollout.state.history import HistoryEntry
from core.shadow_eval.spending import JudgingSpend


def _points(words: Any, *differences: float | None) -> tuple[SeriesPoint, ...]:
    """One look every ten minutes."""
    return tuple(
        SeriesPoint(at=_at(words, number), stage=2, difference=one, low=None, high=None)
        for number, one in enumerate(differences)
    )


def _at(words: Any, number: int) -> datetime:
    at: datetime = words.tuesday + timedelta(minutes=10 * number)
    return at


@pytest.mark.parametrize(
    ("differences", "levels", "first"),
    [
        ((0.0, 0.02, 0.0, 0.02, 0.03), (0.01,), 3),
        ((0.0, 0.02, None, 0.03), (0.01,), 1),
        ((0.02, 0.0), (0.01,), None),
        ((-0.03, -0.04), (-0.02,), 0),
        ((0.03, -0.04), (0.02, -0.02), 0),
        ((), (0.01,), None),
        ((0.5,), (), None),
    ],
)
def test_first_seen_is_the_look_from_which_on_it_stayed_beyond_the_limit(
    words: Any, differences: Any, levels: Any, first: Any
):
    expected = None if first is None else _at(words, first)
    assert investigation.find_first_beyond(_points(words, *differences), levels) == expected


def _found(words: Any, story: Any) -> Investigation:
    """R-118 is rolled back because more was declined; R-7 grew on another feature meanwhile."""
    bad = replace(words.measures[0], word="Worse", difference=0.045, low=0.024, high=0.065)
    german = replace(words.segments[1], word="Worse", low=0.004, log_e=8.0)  # 7.7 are needed among so many
    evidence = story.running().evidence(measures=(bad,), segments=(german, words.segments[0]), segments_checked=14)
    rolled = story.happen(evidence).later(seconds=6000).rolled_back().now
    entry = HistoryEntry(position=9, at=story.at, actor="system:engine", event=rolled.rollback)
    other = words.story(plan=replace(words.plan, name="search-help", surface="search")).running(3).now
    planned = e.Planned(
        rollout="R-118",
        plan=rolled.plan,
        fingerprint=rolled.fingerprint,
        from_content=rolled.from_content,
        to_content=rolled.to_content,
        by="U2DANA",
    )
    first = HistoryEntry(position=1, at=words.monday, actor="U2DANA", event=planned)
    found = begin_investigation(rolled, [first, entry], [rolled, replace(other, id="R-7")])
    assert found is not None
    since = rolled.spans[-1].since
    trend = tuple(
        replace(point, at=since + timedelta(minutes=20 * number))
        for number, point in enumerate(_points(words, 0.001, 0.02, 0.04, 0.045))
    )
    return replace(found, trends={"refusal_rate": trend})


def test_harm_in_one_segment_alone_is_what_moved_first(words: Any, story: Any):
    """The total shows nothing, and yet a limit was broken."""
    there = replace(words.finding, segment="language=ja", canary=0.56, control=0.012, difference=0.55)
    rolled = story.running().later(seconds=600).rolled_back(findings=(there,)).now
    entry = HistoryEntry(position=9, at=story.at, actor="system:engine", event=rolled.rollback)
    found = begin_investigation(rolled, [entry], [rolled])
    assert found is not None
    fine = replace(words.measures[0], word="Fine")
    said = plain_text.render_text(investigation.render(replace(found, measures=(fine,)), words.zone))
    assert "What moved first?  Declined to answer (language=ja): 56.0 % new vs 1.2 % old" in said
    assert "No limit was violated" not in said


def test_a_segment_that_could_be_worse_by_chance_is_not_named(words: Any, story: Any):
    found = _found(words, story)
    weak = tuple(replace(one, log_e=4.6) for one in found.segments)
    said = plain_text.render_text(investigation.render(replace(found, segments=weak), words.zone))
    assert "For whom?  No segment is worse beyond chance; 14 segments checked." in said
    assert "language" not in said


def test_what_a_judge_rated_worst_is_offered_where_one_judges(words: Any, story: Any):
    found = _found(words, story)
    assert found.rollout.evidence is not None
    judged = replace(found.rollout.evidence, judging=JudgingSpend(spent=0.2, judged=40))
    said = investigation.render(replace(found, rollout=replace(found.rollout, evidence=judged)), words.zone)
    offered = "Those that a judge rated worst: `/rollout samples R-118`. All of them, in your traces: "
    assert offered in plain_text.render_text(said)


def test_every_step_says_what_is_known(words: Any, story: Any):
    assert plain_text.render_text(investigation.render(_found(words, story), words.zone)) == snapshot("""\
Investigate: R-118 support-tone. What is known so far, step by step.
☐ What moved first?  Declined to answer was beyond its limit from Tue 24 Nov 12:20 CET on, +4.5 pp (+2.4 … +6.5). Decided Tue 24 Nov 13:40 CET.
☐ For whom?  language is de: people asking again +1.9 pp (+0.4 … +4.2); 14 segments checked.
☐ What did the version change?  prompt: 1 of 2 words removed, 1 added. Which of it can explain what moved?
☐ What else changed in that time?  R-7 search-help on search went to 25 % (Tue 24 Nov 12:00 CET). Deployments and outages elsewhere are not known here.
☐ Could the numbers be wrong?  Reports of the two versions arrived alike, and every rollback limit was read.
☐ What did the checks miss?  No evals ran for this version.
☐ What do the answers look like?  In your traces: support-assistant, version v43, Tue 24 Nov 12:00 CET to Tue 24 Nov 13:40 CET, language=de.
☐ Who has to know?  Told: #support, #marketing, #integrations-team.
☐ What now?  Write down what you found in the review of R-118. To try again, take the plan of this one as a file, correct it and apply it: a new attempt is a new rollout.
[ Get the evidence ] [ View difference ] [ New rollout from this one ]\
""")


def test_a_small_segment_with_a_verdict_was_checked(words: Any, story: Any):
    found = _found(words, story)
    small = tuple(replace(one, log_e=4.6) for one in found.segments[:1])
    said = plain_text.render_text(investigation.render(replace(found, segments=small, segments_checked=0), words.zone))
    assert "For whom?  No segment is worse beyond chance; 1 segment checked." in said


def test_without_anything_known_it_says_so(words: Any, story: Any):
    rolled = story.running().rolled_back().now
    entry = HistoryEntry(position=9, at=story.at, actor="system:engine", event=rolled.rollback)
    found = begin_investigation(rolled, [entry], [])
    assert found is not None
    known = {step.question: step.known for step in investigation.list_steps(found, words.zone)}
    assert known["What moved first?"].startswith("Nothing had been measured yet.")
    assert known["For whom?"] == "Too little data to compare groups of customers."
    assert known["What did the checks miss?"] == "No evals ran for this version."


def test_there_is_nothing_to_investigate_before_a_rollback(words: Any, story: Any):
    assert begin_investigation(story.running().now, [], []) is None


def _find_handles(users: Collection[str]) -> Mapping[str, str]:
    return {"U2DANA": "@dana"}


@pytest.mark.shows("E53")
def test_the_bundle_holds_the_evidence_and_no_text_of_prompts(words: Any, story: Any):
    found = _found(words, story)
    secret = replace(found.rollout, to_content={**found.rollout.to_content, "prompt": "SECRET WORDS of the prompt"})
    data = evidence_bundle.build_bundle(replace(found, rollout=secret), words.zone, _find_handles)
    bundle = zipfile.ZipFile(BytesIO(data))
    assert bundle.namelist() == [
        "checklist.txt",
        "evidence.json",
        "measures.csv",
        "segments.csv",
        "history.csv",
        "trends/refusal_rate.csv",
        "charts/refusal_rate.svg",
    ]
    assert bundle.testzip() is None
    assert not any(b"SECRET" in bundle.read(name) for name in bundle.namelist())
    history = bundle.read("history.csv").decode()
    assert "@dana" in history, "people are named as others call them"
    assert "U2DANA" not in history
    assert data == evidence_bundle.build_bundle(replace(found, rollout=secret), words.zone, _find_handles)
