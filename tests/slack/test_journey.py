"""A rollout as people live it in Slack: planned, told, approved, started, paused, rolled back."""

from typing import Any

from core.judging.model.judgement import Judgement
from core.judging.model.state import JudgingState as EngineState
from core.judging.model.verdict import Finding, RollBack
from core.rollout import commands as c
from core.rollout.state.model import RolloutState

HARM = RollBack(
    findings=(
        Finding(
            metric="refusal_rate",
            kind="rises_by",
            limit_text="rises by 1 pp",
            canary=0.064,
            control=0.019,
            difference=0.045,
            low=0.024,
            high=0.065,
            log_e=9.0,
            threshold=3.0,
            title="Declined to answer",
            unit="%",
        ),
    )
)


def look(verdict: Any) -> c.LookResult:
    return c.LookResult(
        judgement=Judgement(
            verdict=verdict,
            measures=(),
            state=EngineState(),
            canary_requests=565,
            control_requests=10_735,
            canary_units=430,
            control_units=8_100,
            exposed_requests=565,
            exposed_units=430,
        ),
        first_look=1,
        last_look=3,
        state_before="a",
        looks="b",
        state_after="c",
        judged_seconds=0.02,
    )


def test_from_a_plan_to_a_rollback(either: Any) -> None:
    either.plan()
    assert "Planned: R-1 support-tone, v42 -> v43." in either.shown(either.card())
    assert "Approval needed (0 of 1)" in either.thread()[-1]
    notice = either.message("#support", "What customers may notice")
    assert "at the earliest" in either.shown(notice)

    assert "Approved by @lee" in either.typed("lee", 'approve R-1 "ok for today"').text
    refused = either.typed("ana", "start R-1")
    assert "needs 10 min notice" in refused.text
    assert "Start then" in str(refused.blocks)
    either.later(minutes=10)
    assert "Started by" in either.typed("ana", "start R-1").text
    either.deliver()
    assert "Small test (5 %): R-1 support-tone." in either.shown(either.card())

    assert "Paused by" in either.click("sam", either.card(), "Pause")
    either.deliver()
    assert either.card().text.startswith("Paused: R-1 support-tone. It stays at 5 %")
    assert "Resumed by" in either.click("ana", either.card(), "Resume")

    either.later(minutes=1).say(c.Tick(look=look(HARM)))
    either.deliver()
    assert either.rollout.state is RolloutState.ROLLED_BACK
    alert = either.message("#ai-rollouts", "Rolled back: R-1")
    assert "confirmation follows in a moment" in alert.text
    either.say(c.ConfirmFlip(seconds=0.41, processes=2))
    either.deliver()
    told = either.shown(either.message("#ai-rollouts", "Rolled back: R-1 support-tone. Everyone"))
    assert "it took 0.41 s" in told
    either.typed("mia", "summary R-1")
    assert "broke a limit that was agreed beforehand. It was rolled back." in either.shown(either.whispered("mia"))
    assert "6.4 % new vs 1.9 % old, +4.5 pp (+2.4 … +6.5)" in told
    assert "565 requests, about 430 people; the stage was at 5 %" in told
    assert "v43 -> v42 (prompt only). Not touched: model" in told
    assert "Switched back" in either.shown(either.message("#support", "Switched back"))
    assert "refused to answer too often" in either.shown(either.message("#support", "About 430 customers"))
