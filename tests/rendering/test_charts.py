"""How a difference is drawn: what Slack takes, what a page shows, and what both say in words."""
# ruff: noqa: E501 - a line of a message is as long as it is

import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from bot.rendering.blocks.blocks import build_message
from bot.rendering.charts import chart_data, charts, fallback, plain_text, svg
from bot.sandbox.rules import check_payload

NAMES = ("eval", "internal", "canary", "ramp 25%", "ramp 100%", "bake")


def test_a_chart_of_slacks_own(words: Any) -> None:
    chart = charts.build_chart(words.points[:6], words.measures[1], words.zone)
    assert chart == snapshot(
        {
            "type": "data_visualization",
            "title": "Answers that pass our checks: new − old",
            "chart": {
                "type": "line",
                "series": [
                    {
                        "name": "Difference",
                        "data": [
                            {"label": "12:30", "value": 0.4},
                            {"label": "12:40", "value": 0.3},
                            {"label": "12:50", "value": 0.233},
                        ],
                    },
                    {
                        "name": "Range from",
                        "data": [
                            {"label": "12:30", "value": -2.0},
                            {"label": "12:40", "value": -1.67},
                            {"label": "12:50", "value": -1.43},
                        ],
                    },
                    {
                        "name": "Range to",
                        "data": [
                            {"label": "12:30", "value": 2.0},
                            {"label": "12:40", "value": 1.67},
                            {"label": "12:50", "value": 1.43},
                        ],
                    },
                    {
                        "name": "Limit",
                        "data": [
                            {"label": "12:30", "value": -2.0},
                            {"label": "12:40", "value": -2.0},
                            {"label": "12:50", "value": -2.0},
                        ],
                    },
                ],
                "axis_config": {
                    "categories": ["12:30", "12:40", "12:50"],
                    "x_label": "Time, Europe/Berlin",
                    "y_label": "pp",
                },
            },
        }
    )
    assert check_payload.check_blocks([chart]) == []


def test_a_chart_keeps_the_first_and_the_newest_of_many_looks(words: Any) -> None:
    points = tuple(replace(words.points[5], at=words.tuesday + timedelta(seconds=10 * i)) for i in range(5000))
    chart = charts.build_chart(points, words.measures[0], words.zone)
    assert chart is not None
    labels = chart["chart"]["axis_config"]["categories"]
    assert (len(labels), labels[0], labels[-1]) == (20, "10:00", "23:53")


@pytest.mark.parametrize("count", [0, 1])
def test_one_look_is_no_line(words: Any, count: int) -> None:
    points = words.points[:count]
    assert charts.build_chart(points, words.measures[0], words.zone) is None
    assert svg.draw_chart(points, words.measures[0], NAMES, words.zone, "c") == ""


def test_looks_in_the_same_second_have_labels_of_their_own(words: Any) -> None:
    points = tuple(replace(p, at=words.tuesday) for p in words.points[4:8])
    chart = charts.build_chart(points, words.measures[0], words.zone)
    assert chart is not None
    assert check_payload.check_blocks([chart]) == []


def test_where_the_limit_lies(words: Any) -> None:
    rises, drops, cost, fixed = words.measures[:4]
    assert chart_data.limit_levels(rises) == (0.01,)
    assert chart_data.limit_levels(drops) == (-0.02,)
    assert chart_data.limit_levels(replace(rises, harm="either")) == (0.01, -0.01)
    assert chart_data.limit_levels(cost) == (0.15,)
    assert chart_data.limit_levels(fixed) == (pytest.approx(4000 / 2620 - 1),)  # beside the current version's level
    assert chart_data.limit_levels(replace(fixed, control=None)) == ()
    assert chart_data.limit_levels(replace(rises, implied=True)) == ()
    assert chart_data.limit_levels(replace(rises, amount=None)) == ()


def test_a_workspace_without_charts_reads_the_same_in_words(words: Any) -> None:
    chart = charts.build_chart(words.points, words.measures[1], words.zone)
    told = build_message("Fine: so.", chart)
    plainer = fallback.simplify_blocks(told.blocks, 1)
    assert [b["type"] for b in plainer] == ["section", "context"]
    assert "limit -2" in plainer[1]["elements"][0]["text"]
    assert plain_text.render_text(told) == snapshot(
        """\
Fine: so.
Answers that pass our checks: new − old, 12:30 to 18:30 Europe/Berlin (pp): difference +0.4 … -0.05; range from -2 … -0.244; range to +2 … +0.244; limit -2\
"""
    )


def _drawn(words: Any, measure: Any, points: Any) -> ET.Element:
    return ET.fromstring(svg.draw_chart(points, measure, NAMES, words.zone, "c"))


def test_a_drawing_tells_everything_in_words_and_nothing_by_colour_alone(words: Any) -> None:
    drawn = _drawn(words, words.measures[1], words.points)
    assert drawn.attrib["role"] == "img"
    assert drawn.attrib["aria-labelledby"] == "c-t c-d"
    assert drawn.find("desc").text == snapshot(  # type: ignore[union-attr]
        "+0.4 pp at Tue 24 Nov 12:30 CET, -0.1 pp (-0.2 … +0.2) at Tue 24 Nov 18:30 CET. The limit is -2.0 pp."
    )
    said = [text.text for text in drawn.iter("text")]
    assert said == snapshot(
        ["-2 pp", "0 pp", "+2 pp", "ramp 25%", "limit -2.0 pp", "now -0.1 pp", "12:30 CET", "15:30 CET", "18:30 CET"]
    )
    assert len(list(drawn.iter("polygon"))) == 1
    assert "style=" not in ET.tostring(drawn).decode()


def test_a_drawing_escapes_whatever_it_is_given(words: Any) -> None:
    evil = '<script>alert("1")</script>&'
    measure = replace(words.measures[0], title=evil, unit=evil)
    text = svg.draw_chart(words.points, measure, (evil,) * 6, words.zone, "c")
    assert "<script" not in text
    assert ET.fromstring(text).find("title").text.startswith(evil)  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-1e9, 1e9)),
            st.one_of(st.none(), st.floats(-1e9, 1e9)),
            st.integers(0, 10**6),
            st.integers(-1, 9),
        ),
        max_size=60,
    ),
    st.one_of(st.none(), st.floats(0, 1e9)),
)
def test_whatever_was_measured_can_be_drawn(words: Any, looks: Any, amount: float | None) -> None:
    times = sorted(second for _, _, second, _ in looks)
    points = tuple(
        replace(words.points[0], at=words.tuesday + timedelta(seconds=at), difference=d, low=low, high=d, stage=stage)
        for at, (d, low, _, stage) in zip(times, looks, strict=True)
    )
    measure = replace(words.measures[0], amount=amount)
    chart = charts.build_chart(points, measure, words.zone)
    assert chart is None or check_payload.check_blocks([chart]) == []
    text = svg.draw_chart(points, measure, NAMES, words.zone, "c")
    if text:
        for line in ET.fromstring(text).iter("line"):
            assert 0 <= float(line.attrib["y1"]) <= svg.HEIGHT


def test_moments_of_other_rollouts_are_marked_labelled_and_told_in_words(words: Any) -> None:
    known = chart_data.measured_points(words.points)
    inside, outside = known[1].at, known[-1].at + timedelta(days=1)
    marks = (svg.ChartMark(at=inside, label="R-7 25 %"), svg.ChartMark(at=outside, label="R-8 5 %"))
    text = svg.draw_chart(words.points, words.measures[0], NAMES, words.zone, "c", marks)
    drawn = ET.fromstring(text)
    assert [line.get("class") for line in drawn.iter("line")].count("other") == 1
    assert [one.text for one in drawn.iter("text") if one.get("class") == "other"] == ["R-7 25 %"]
    assert "Meanwhile: R-7 25 % at " in text
    assert "R-8" not in text
