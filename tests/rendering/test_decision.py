"""The result of a long comparison: its table, what the days show, its two buttons, and who decided."""
# ruff: noqa: E501 - a line of a message is as long as it is

from dataclasses import replace
from typing import Any

import pytest
from inline_snapshot import snapshot

from bot.rendering.charts import plain_text
from bot.rendering.messages import card, decision, event_lines
from bot.rendering.sentences import headline
from core.judging.model.comparison import CourseDay, MetricCourse
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.state import events as e

COURSE = MetricCourse(
    metric="eval_pass_rate",
    days=tuple(
        CourseDay(number=n + 1, canary=0.93, control=0.92, difference=d, requests=900)
        for n, d in enumerate((0.021, 0.018, 0.02, 0.004, None, 0.001, -0.002))
    ),
    early=0.02,
    late=0.001,
    is_novelty=True,
    trend="falling",
)


@pytest.fixture
def ended(words: Any, story: Any) -> e.ComparisonEnded:
    rows = tuple(m for m in story.running().evidence().measures if m.metric in {"eval_pass_rate", "cost_per_request"})
    return e.ComparisonEnded(
        stage=2, look=120, advice="keep", measures=rows, courses=(COURSE,), weekdays=(1, 1, 1, 1, 1, 1, 1)
    )


def test_the_result_with_its_buttons(story: Any, ended: e.ComparisonEnded) -> None:
    told = story.running().happen(ended).now
    assert plain_text.render_text(decision.render(told, ended)) == snapshot("""\
Decide: R-118 support-tone, the comparison is over. Every measure it is decided on is as good as agreed, or better.
What                          Verdict                              New      Old      Difference (95 % range)
Answers that pass our checks  Better (limit: a drop of 2 pp)       93.2 %   92.4 %   +0.8 pp (-0.4 … +2.1)
Cost per request              Fine so far (limit: a rise of 15 %)  $0.0121  $0.0139  -12.9 % (-14.4 … -11.3)
Answers that pass our checks, day by day: +2.1 pp, +1.8 pp, +2.0 pp, +0.4 pp, –, +0.1 pp, -0.2 pp. The first 3 days (+2.0 pp) differ from the rest (+0.1 pp): trust the rest. The difference keeps falling.
Every weekday is in it once.
[ Keep the new version… ] [ Go back… ] [ All measures ]
@dana to decide; it stays at 5 % until then. These ranges hold together, for one look at a time that was fixed before the start.\
""")


def test_a_comparison_of_weeks_is_not_called_a_small_test() -> None:
    weeks = Stage(kind=StageKind.AB, name="ab", percent=50)
    assert headline.stage_label(weeks) == "long comparison 50 %"
    assert headline.stage_in_sentence(weeks) == "the long comparison (50 %)"


def test_weekdays_that_do_not_count_equally_are_said(story: Any, ended: e.ComparisonEnded) -> None:
    uneven = replace(ended, weekdays=(2, 1, 1, 1, 1, 1, 1))
    text = plain_text.render_text(decision.render(story.running().now, uneven))
    assert "Weekdays do not count equally (days with requests of both versions: Mon 2, Tue 1," in text


def test_the_card_and_the_line_ask_for_a_decision_and_not_for_a_resume(
    story: Any, words: Any, ended: e.ComparisonEnded
) -> None:
    held = e.Held(key="decision:ab", text="the comparison is over after 7 days: keep the new version, or go back")
    told = story.running().happen(ended, held).now
    shown = plain_text.render_text(card.render(told, words.zone))
    assert "/rollout decide R-118 keep" in shown
    assert "[ Keep the new version… ] [ Roll back ]" in shown
    assert plain_text.render_text(event_lines.render(told, held, words.zone)) == snapshot(
        "On hold: R-118, the comparison is over after 7 days: keep the new version, or go back. It does not grow until @dana decides."
    )


@pytest.mark.parametrize("keep", [True, False])
def test_once_decided_it_says_who_what_and_why(story: Any, words: Any, ended: e.ComparisonEnded, keep: bool) -> None:
    decided = e.ComparisonDecided(
        stage=2, keep=keep, advice="keep", by="slack:T1/U3LEE", reason="support sees <fewer> follow-ups"
    )
    told = story.running().happen(ended, decided).now
    text = plain_text.render_text(decision.render_closed(told, ended, decided))
    assert "[ " not in text
    assert "support sees <fewer> follow-ups" in text
    line = event_lines.format_line(told, decided, words.zone)
    if keep:
        assert line == snapshot(
            "Decided by <@U3LEE>: R-118, v43 is kept and goes on to the next step: “support sees &lt;fewer&gt; follow-ups”."
        )
    else:
        assert line == snapshot(
            "Decided by <@U3LEE>: R-118, back to v42: “support sees &lt;fewer&gt; follow-ups”. The measures said otherwise."
        )


def test_a_rollback_closes_it_undecided(story: Any, ended: e.ComparisonEnded) -> None:
    told = story.running().happen(ended).now
    assert decision.render_closed(told, ended, None).text == snapshot(
        "No longer open: R-118 support-tone was rolled back before anybody decided."
    )
