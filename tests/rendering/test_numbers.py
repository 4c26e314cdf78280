"""What `metrics`, `segments` and `explain` answer, in numbers and in plain words."""
# ruff: noqa: E501 - a line of a message is as long as it is

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from inline_snapshot import snapshot

from bot.rendering.answers.evidence import explain, metrics
from bot.rendering.charts import plain_text
from bot.rendering.numbers import measure_rows, segments
from bot.rendering.numbers.latest_numbers import LatestNumbers, select_latest

JARGON = ("canary", " pp", "p-value", "guardrail", "_rate", "control", "design effect", "log e")


def seen(words: Any, story: Any, **changes: Any) -> LatestNumbers:
    usual = LatestNumbers(
        measures=words.measures,
        segments=words.segments,
        segments_checked=14,
        notes=(),
        at=story.at + timedelta(hours=6),
    )
    return replace(usual, **changes)


def test_metrics_in_numbers(words: Any, story: Any) -> None:
    rollout = story.running().now
    assert plain_text.render_text(
        metrics.render_technical(rollout, seen(words, story), "", "", "now", words.zone)
    ) == snapshot("""\
Not fully judged: R-118 support-tone, nothing looks wrong in 4 measures; errors not known yet.
What                          Verdict                              New      Old      Difference (95 % range)  Would notice
Answers that pass our checks  Better (limit: a drop of 2 pp)       93.2 %   92.4 %   +0.8 pp (-0.4 … +2.1)    a drop of 2.5 pp
Cost per request              Fine so far (limit: a rise of 15 %)  $0.0121  $0.0139  -12.9 % (-14.4 … -11.3)  a rise of 2.9 %
Slow responses (slowest 5 %)  Fine so far (limit: above 4 s)       2.31 s   2.62 s   -11.8 % (-15.0 … -8.0)   –
Declined to answer            Fine so far (limit: a rise of 1 pp)  1.9 %    1.9 %    +0.1 pp (-0.3 … +0.4)    a rise of 0.6 pp
Not known yet: errors (not measured).
At this traffic, this would show: a drop of 2 pp in answers that pass our checks by Tue 24 Nov 21:15 CET.
+ 1 no data
[ Explain ] [ Segments ]
as of now · ranges stay valid however often you look · R-118\
""")


@pytest.mark.shows("E33")
def test_one_metric_in_numbers(words: Any, story: Any) -> None:
    rollout = story.running().now
    assert plain_text.render_text(
        metrics.render_technical(rollout, seen(words, story), "eval_pass_rate", "", "now", words.zone)
    ) == snapshot("""\
Fine so far: R-118 support-tone, 1 measure checked.
What                          Verdict                         New     Old     Difference (95 % range)  Would notice
Answers that pass our checks  Better (limit: a drop of 2 pp)  93.2 %  92.4 %  +0.8 pp (-0.4 … +2.1)    a drop of 2.5 pp
At this traffic, this would show: a drop of 2 pp in answers that pass our checks by Tue 24 Nov 21:15 CET.
`eval_pass_rate` · requests 1,980 new, 37,600 old · could notice a drop of >= 2.5 pp · could still be as bad as -0.4 pp · at this traffic a change as large as the limit would be noticed in about 3.2 h
[ Explain ] [ Segments ]
as of now · ranges stay valid however often you look · R-118\
""")


@pytest.mark.shows("E21")
def test_a_signal_is_called_one(words: Any, story: Any) -> None:
    rows = (words.measure("retry_rate", "People asking again"), words.measure("refusal_rate", "Declined to answer"))
    latest = seen(words, story.running(), measures=rows)
    for metric, is_signal in (("retry_rate", True), ("refusal_rate", False)):
        said = plain_text.render_text(explain.render_technical(story.now, latest, metric, (), words.zone, "now"))
        assert ("signal: what people do, which has many causes" in said) is is_signal


def test_metrics_of_one_segment(words: Any, story: Any) -> None:
    rollout = story.running().now
    assert plain_text.render_text(
        metrics.render_technical(rollout, seen(words, story), "", "Language=DE", "now", words.zone)
    ) == snapshot("""\
Fine so far: R-118 support-tone, only Language=DE, 1 measure checked.
What                 Verdict                                               New    Old    Difference (95 % range)  Would notice
People asking again  Slightly worse, within limit (limit: a rise of 1 pp)  9.8 %  7.9 %  +1.9 pp (-0.4 … +4.2)    a rise of 4.3 pp
[ Explain ]
as of now · ranges stay valid however often you look · R-118\
""")
    nothing = plain_text.render_text(
        metrics.render_technical(rollout, seen(words, story), "", "language=xx", "now", words.zone)
    )
    assert nothing == snapshot("""\
Not enough data: nothing has been measured for R-118 support-tone where language=xx.
Segments with data: language=en, language=de, language=sv.\
""")


def test_metrics_in_words(words: Any, story: Any) -> None:
    rollout = story.running().now
    told = plain_text.render_text(metrics.render_plain(rollout, seen(words, story), "", "", "now"))
    assert told == snapshot("""\
Not fully judged: R-118 support-tone, nothing looks wrong in 4 measures; errors not known yet.
Answers that pass our checks: about 932 in 1,000 on the new version, about 924 in 1,000 on the old one. Better.
Cost per request: $0.0121 on the new version, $0.0139 on the old one. Fine so far.
Slow responses (slowest 5 %): 2.31 s on the new version, 2.62 s on the old one. Fine so far.
Declined to answer: about 19 in 1,000 on the new version, about 19 in 1,000 on the old one. Fine so far.
as of now · R-118 · whom to ask: @dana\
""")
    one = plain_text.render_text(metrics.render_plain(rollout, seen(words, story), "eval_pass_rate", "", "now"))
    assert one == snapshot("""\
Fine so far: R-118 support-tone, 1 measure checked.
Answers that pass our checks: about 932 in 1,000 on the new version, about 924 in 1,000 on the old one. Better.
The true difference very likely lies between 4 fewer in 1,000 and 21 more in 1,000. That is better than the old version. We would have noticed 25 fewer in 1,000 by now. A change as large as the agreed limit would show in about 3.2 h.
as of now · R-118 · whom to ask: @dana\
""")


def test_after_a_rollback_the_limit_that_broke_leads_whatever_its_row_says(words: Any, story: Any) -> None:
    rollout = story.running().rolled_back().now
    fine = seen(words, story, measures=tuple(replace(m, word="Fine") for m in words.measures))
    told = plain_text.render_text(metrics.render_technical(rollout, fine, "", "", "now", words.zone))
    assert told.splitlines()[0] == "Rolled back: R-118 support-tone (declined to answer)."
    other = plain_text.render_text(metrics.render_technical(rollout, fine, "cost_per_request", "", "now", words.zone))
    assert other.splitlines()[0] == "Fine so far: R-118 support-tone, 1 measure checked."


def test_notes_are_told_under_the_metrics(words: Any, story: Any) -> None:
    rehearsed = replace(words.finding, limit_text="rises by 1 pp (dry run)")
    told = plain_text.render_text(
        metrics.render_technical(story.running().now, seen(words, story, notes=(rehearsed,)), "", "", "now", words.zone)
    )
    assert "Dry run, would have fired (a rise of 1 pp): Declined to answer: 6.4 % new vs 1.9 % old" in told


def test_what_is_only_watched_is_not_said_to_be_a_limit(words: Any, story: Any) -> None:
    watched = words.measure(
        "output_tokens",
        "Answer length",
        limit_text="changes by 20 %",
        implied=True,
        role="watch",
        unit="tokens",
        relative=True,
        harm="either",
    )
    told = seen(words, story, measures=(watched,))
    assert (
        "limit"
        not in plain_text.render_text(
            metrics.render_technical(story.running().now, told, "", "", "now", words.zone)
        ).split("ranges stay valid")[0]
    )
    explained = plain_text.render_text(
        explain.render_technical(story.now, told, "output_tokens", (), words.zone, "now")
    )
    assert "Limit  none agreed; watched for: a change of 20 %" in explained
    assert "Nothing happens automatically" in explained


def test_nothing_measured_is_said_as_such(words: Any, story: Any) -> None:
    rollout, empty = story.running().now, seen(words, story, measures=(), segments=(), segments_checked=0)
    assert metrics.render_technical(rollout, empty, "", "", "never", words.zone).text == snapshot(
        "Not enough data: nothing has been measured yet for R-118 support-tone."
    )
    assert segments.render_technical(rollout, empty, "never").text == snapshot(
        "Segments: none could be checked yet for R-118 support-tone."
    )
    assert explain.render_technical(rollout, empty, "refusal_rate", (), words.zone, "never").text == snapshot(
        "No data: Declined to answer in R-118 support-tone has no limit and no expectation, or nothing has been measured yet."
    )


def test_segments_in_numbers(words: Any, story: Any) -> None:
    rollout = story.running().now
    assert plain_text.render_text(segments.render_technical(rollout, seen(words, story), "now")) == snapshot("""\
Segments: 14 checked for R-118 support-tone. Nothing clearly stands out.
Where        What                 Verdict                       New    Old    Difference (95 % range)  Requests
language=de  People asking again  Slightly worse, within limit  9.8 %  7.9 %  +1.9 pp (-0.4 … +4.2)    1,120
language=en  People asking again  Fine                          7.5 %  8.1 %  -0.6 pp (-1.4 … +0.2)    6,902
Among 14 segments one may look bad by chance, so each needs that much more evidence.
Smallest judged: language=de, 1,120 requests on the new version.
Not judged, too few requests: language=sv (41)
as of now · requests: those of the new version · R-118\
""")


def test_segments_in_words(words: Any, story: Any) -> None:
    rollout = story.running().now
    assert plain_text.render_text(segments.render_plain(rollout, seen(words, story), "now")) == snapshot("""\
Segments: 14 checked for R-118 support-tone. Nothing clearly stands out.
Where language is de: People asking again: about 98 in 1,000 on the new version, about 79 in 1,000 on the old one. Slightly worse, within limit.
Where language is en: People asking again: about 75 in 1,000 on the new version, about 81 in 1,000 on the old one. Fine.
Among 14 segments one may look bad by chance, so each needs that much more evidence.
Smallest judged: language=de, 1,120 requests on the new version.
as of now · R-118 · whom to ask: @dana\
""")


def test_a_segment_that_stands_out_is_in_the_first_line(words: Any, story: Any) -> None:
    worse = replace(words.segments[1], word="Worse", log_e=9.0)
    told = segments.render_technical(
        story.running().now, seen(words, story, segments=(words.segments[0], worse)), "now"
    )
    assert told.text == snapshot(
        "Segments: 14 checked for R-118 support-tone. Worse for language=de: people asking again."
    )


def test_a_small_segment_with_a_verdict_was_checked_too(words: Any, story: Any) -> None:
    worse = replace(words.segments[1], word="Worse", log_e=9.0)
    told = segments.render_technical(
        story.running().now, seen(words, story, segments=(worse,), segments_checked=0), "now"
    )
    assert told.text.startswith("Segments: 1 checked for R-118 support-tone. Worse for language=de")


def test_a_metric_explained_to_engineers(words: Any, story: Any) -> None:
    rollout = story.running().now
    told = explain.render_technical(rollout, seen(words, story), "eval_pass_rate", words.points, words.zone, "now")
    assert plain_text.render_text(told) == snapshot("""\
Better: answers that pass our checks in R-118 support-tone, 93.2 % new, 92.4 % old.
Answers that pass our checks: about 932 in 1,000 on the new version, about 924 in 1,000 on the old one. The true difference very likely lies between 4 fewer in 1,000 and 21 more in 1,000. That is better than the old version. We would have noticed 25 fewer in 1,000 by now. A change as large as the agreed limit would show in about 3.2 h.
Estimate  +0.8 pp (-0.4 … +2.1)
Limit  a drop of 2 pp, rolls back
Evidence  2 % of what it takes to show harm
Requests  1,980 new, 37,600 old
Could notice  a drop of >= 2.5 pp
Could still be  as bad as -0.4 pp
Decided  at this traffic a change as large as the limit would be noticed in about 3.2 h
To roll back (agreed: a drop of 2 pp) it takes both: the difference beyond -2 pp (now +0.8 pp), and evidence of harm at 100 % (now 2 %).
Answers that pass our checks: new − old, 12:30 to 18:30 Europe/Berlin (pp): difference +0.4 … -0.05; range from -2 … -0.244; range to +2 … +0.244; limit -2
`eval_pass_rate` · as of now · R-118\
""")


def test_a_fixed_limit_explained(words: Any, story: Any) -> None:
    told = explain.render_technical(story.running().now, seen(words, story), "latency_p95", (), words.zone, "now")
    assert plain_text.render_text(told) == snapshot("""\
Fine so far: slow responses (slowest 5 %) in R-118 support-tone, 2.31 s new, 2.62 s old.
Slow responses (slowest 5 %): 2.31 s on the new version, 2.62 s on the old one. The true difference very likely lies between 15 % lower and 8 % lower. No problem so far.
Estimate  -11.8 % (-15.0 … -8.0)
Limit  above 4 s, rolls back
Evidence  2 % of what it takes to show harm
Requests  8,312 new, 158,040 old
Could still be  -8.0 % at worst
To roll back (agreed: above 4 s) it takes both: its level beyond 4.00 s (now 2.31 s), and evidence of harm at 100 % (now 2 %).
`latency_p95` · as of now · R-118\
""")


def test_a_metric_explained_to_everybody_else(words: Any, story: Any) -> None:
    told = explain.render_plain(story.running().now, seen(words, story), "refusal_rate", "now")
    assert plain_text.render_text(told) == snapshot("""\
Fine so far: declined to answer in R-118 support-tone, 1.9 % new, 1.9 % old.
Declined to answer: about 19 in 1,000 on the new version, about 19 in 1,000 on the old one. The true difference very likely lies between 3 fewer in 1,000 and 4 more in 1,000. No problem so far. We would have noticed 6 more in 1,000 by now.
If it gets worse by more than agreed (10 more in 1,000) and that is certain, everyone automatically gets the old version again.
as of now · R-118 · whom to ask: @dana\
""")


@pytest.mark.parametrize("metric", ["refusal_rate", "eval_pass_rate", "latency_p95", "cost_per_request"])
def test_plain_words_have_no_jargon(words: Any, story: Any, metric: str) -> None:
    rollout, all_of_it = story.running().now, seen(words, story)
    told = [
        explain.render_plain(rollout, all_of_it, metric, "now"),
        metrics.render_plain(rollout, all_of_it, metric, "", "now"),
        segments.render_plain(rollout, all_of_it, "now"),
    ]
    for message in told:
        for jargon in JARGON:
            assert jargon not in plain_text.render_text(message).lower(), message


def test_what_has_ended_is_told_from_its_last_evidence(words: Any, story: Any) -> None:
    evidence = story.running().evidence(segments=words.segments[1:2], segments_checked=14)
    ended = story.happen(evidence).rolled_back().now
    told = select_latest(ended, None, story.at)
    assert (told.measures, told.segments, told.segments_checked, told.at) == (
        evidence.measures,
        evidence.segments,
        14,
        story.at,
    )


@pytest.mark.parametrize(
    ("harm", "low", "high", "cleared", "shown"),
    [
        ("less", -0.02, 0.037, True, "+0.4 pp (above -1.5)"),
        ("less", -0.02, 0.037, False, "+0.4 pp (-2.0 … +3.7)"),
        ("less", -0.01, 0.037, True, "+0.4 pp (-1.0 … +3.7)"),
        ("more", -0.02, 0.037, True, "+0.4 pp (below +1.5)"),
        ("either", -0.02, 0.037, True, "+0.4 pp (-2.0 … +3.7)"),
    ],
)
def test_beside_a_limit_that_is_shown_to_hold_stands_the_range_that_shows_it(
    words: Any, harm: str, low: float, high: float, cleared: bool, shown: str
) -> None:
    row = words.measure(
        "eval_pass_rate",
        "Answers that pass our checks",
        limit_text="drops by 1.5 pp",
        amount=0.015,
        difference=0.004,
        low=low,
        high=high,
        harm=harm,
        cleared=cleared,
        role="rollback",
    )
    assert measure_rows.build_row(row).difference == shown


def test_a_limit_was_shown_to_hold_before_the_difference_went_beyond_it(words: Any) -> None:
    row = words.measure(
        "eval_pass_rate",
        "Answers that pass our checks",
        limit_text="drops by 1.5 pp",
        amount=0.015,
        difference=-0.018,
        low=-0.03,
        high=0.001,
        harm="less",
        cleared=True,
    )
    assert measure_rows.build_row(row).difference == "-1.8 pp (-3.0 … +0.1)"
