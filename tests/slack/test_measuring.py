"""Numbers on demand, in Slack: to engineers with a chart, to others in plain words, and not at all to guests."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from bot.process.block_support import BlockSupport
from bot.rendering.blocks import blocks
from bot.rendering.charts import fallback, picture
from bot.slack import slack_responder
from bot.slack.listeners import _try_post
from core.metrics.observation import Observation
from core.rollout.context import ENGINE
from core.service import apply_file, rollout_look
from core.store.observations import observation_sums
from core.store.observations.observation_batch import PlacedObservation

CHART = {"type": "data_visualization", "title": "x", "chart": {"type": "line", "series": [], "axis_config": {}}}


def measured(office: Any, looks: int = 3, *, begin: bool = True) -> None:
    """A small test that declines about as often as the current version, looked at a few times."""
    if begin:
        office.start()
    for look in range(looks):
        office.later(minutes=1)
        with office.service.database.writing_outside_log() as connection:
            observation_sums.add_observations(connection, list(_placed(office, look)))
        rollout_look.evaluate_rollout(office.service, "R-1", office.at, every=timedelta(seconds=10))


def _placed(office: Any, look: int) -> Iterator[PlacedObservation]:
    stage = office.rollout.stage_index
    for i in range(4000):  # split as planned, 5 %
        observation = Observation(
            surface="support-assistant",
            unit=f"u{look}-{i}",
            at=office.at,
            readings={
                "refusal_rate": float(i % 50 == 0),
                "eval_pass_rate": float(i % 11 != 0),
                "cost_per_request": 0.01,
                "latency_p95": 900.0,
            },
        )
        arm = "canary" if i < 200 else "control"
        yield PlacedObservation(rollout="R-1", stage=stage, arm=arm, unit=observation.unit, observation=observation)


def test_engineers_get_numbers_and_a_chart(either: Any) -> None:
    measured(either)
    reply = either.typed("ana", "explain R-1 refusal_rate")
    assert reply.acked
    said = either.sandbox.wait_for(
        lambda: [m for m in either.sandbox.list_ephemerals("ana") if "Estimate" in str(m.blocks)]
    )
    told = said[-1]
    assert [b["type"] for b in told.blocks].count("data_visualization") == 1
    assert "Estimate  " in either.shown(told)
    assert "Answers that pass our checks" in str(either.typed("ana", "metrics R-1 eval_pass_rate").blocks)


def test_support_gets_plain_words_and_no_chart(office: Any) -> None:
    measured(office)
    for line in ("metrics R-1", "explain R-1 refusal_rate", "segments R-1"):
        told = str(office.typed("sam", line, "#support").blocks)
        assert "data_visualization" not in told
        assert " pp" not in told
    assert "about 20 in 1,000 on the new version" in str(office.typed("sam", "metrics R-1", "#support").blocks)


def test_one_segment_that_nobody_was_in(office: Any) -> None:
    measured(office)
    told = office.typed("ana", "metrics R-1 --segment language=de")
    assert told.text == "Not enough data: nothing has been measured for R-1 support-tone where language=de."


def test_guests_get_no_numbers(office: Any) -> None:
    office.start()
    for line in ("metrics R-1", "segments R-1", "explain R-1 refusal_rate"):
        assert office.typed("gil", line).text.startswith("Guests can only see where a rollout stands")


def test_a_metric_that_is_not_looked_at_says_so(office: Any) -> None:
    measured(office)
    told = office.typed("ana", "explain R-1 thumbs_up_rate").text
    assert told.startswith("No data: Thumbs up in R-1 support-tone has no limit and no expectation")


def test_a_refused_chart_is_answered_with_words() -> None:
    message = blocks.build_message("Fine: so.", CHART | {"chart": _line()}, blocks.table(("What",), (("x",),)))
    assert slack_responder.needs_fallback(message)
    for refusals, left in ((0, {"data_visualization", "table"}), (1, {"table"}), (2, set())):
        posts: list[set[str]] = []

        def post(shown: Any, posts: Any = posts, refusals: int = refusals) -> bool:
            posts.append({b["type"] for b in shown} & {"data_visualization", "table"})
            return len(posts) > refusals

        support = BlockSupport()
        slack_responder.post_with_fallback(post, message, support)
        assert support.step == {0: 0, 1: fallback.PICTURES, 2: fallback.MAX_STEPS}[refusals], "it is remembered"
        assert posts[-1] == left
        assert len(posts) == refusals + 1


def test_what_was_refused_is_tried_again_after_a_day() -> None:
    seconds = 0.0
    support = BlockSupport(lambda: seconds)
    support.record_refusal(fallback.PICTURES)
    seconds = 23 * 3600.0
    assert support.step == fallback.PICTURES
    seconds = 24 * 3600.0
    assert support.step == 0


@pytest.mark.parametrize("refused", [0, 1, 2])
def test_a_summary_has_a_chart_or_its_picture_or_its_words(office: Any, refused: int) -> None:
    by_time = "version: 1\nkind: policy\nrisk: {standard: {approvals: 1, may_skip: [cohort], grow_on: time}}\n"
    apply_file.apply_text(office.service, by_time, "policy.yaml", by=ENGINE, at=office.at, command_id="policy")
    measured(office, looks=1)
    office.deliver()
    drawn = refused == 1 and picture.has_fonts()
    if refused:
        # Without fonts words follow at once, and the third attempt is the second.
        times = refused if picture.has_fonts() else 1
        office.sandbox.fail_next("chat.postMessage", "error:invalid_blocks", times=times)
    measured(office, looks=1, begin=False)
    assert office.rollout.evidence.reason == "step"
    office.deliver()
    said = [m for m in office.sandbox.list_replies(office.card()) if "limits not broken" in office.shown(m)][-1]
    kinds = [block["type"] for block in said.blocks]
    assert ("data_visualization" in kinds, "image" in kinds) == (refused == 0, drawn)
    assert "table" in kinds
    assert "new − old" in office.shown(said) or drawn
    if drawn:
        image = next(block for block in said.blocks if block["type"] == "image")
        assert "new − old" in image["alt_text"]
        stored = office.sandbox.workspace.files[image["slack_file"]["id"]]
        assert stored.content.startswith(b"\x89PNG")


def _line() -> dict[str, Any]:
    data = [{"label": "10:00", "value": 1.0}, {"label": "11:00", "value": 2.0}]
    axis = {"categories": ["10:00", "11:00"], "y_label": "pp"}
    return {"type": "line", "series": [{"name": "Difference", "data": data}], "axis_config": axis}


@pytest.mark.parametrize(("error", "refused"), [("invalid_blocks", True), ("channel_not_found", False)])
def test_only_refused_blocks_are_tried_again(error: str, refused: bool) -> None:
    response = SlackResponse(
        client=None, http_verb="POST", api_url="", req_args={}, data={"error": error}, headers={}, status_code=200
    )

    def call() -> None:
        raise SlackApiError(error, response)

    if refused:
        assert not _try_post(call)
    else:
        with pytest.raises(SlackApiError):
            _try_post(call)
