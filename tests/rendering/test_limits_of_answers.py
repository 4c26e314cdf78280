"""Whatever anybody writes: answers to commands, and messages of the workspace, stay within what Slack takes."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.rendering.answers import bundle_status
from bot.rendering.answers.evidence import baseline, samples, strata
from bot.rendering.answers.served import customers
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import feedback
from bot.rendering.messages.workspace import model_messages
from core.files.rollout_form import LIMITS, SuggestedLimits
from core.reviews.strata_verdicts import StratumState, StratumVerdict
from core.rollout.concurrency.bundles import Bundle
from core.rollout.plans.baseline import BaselineLevel, SurfaceBaseline
from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.state import events as e
from core.rollout.state.surface import OtherModelAnswered, RetirementTold, Surface
from core.rollout.state.world import World
from core.shadow_eval.samples import ArmProgress, JudgedSample, JudgingProgress, ShadowSample
from core.store.units.served_units import ServedUnit
from tests.rendering.test_limits import _check, _plan
from tests.rendering.test_view_limits import TEXTS


def _answers(words: Any, text: str) -> Iterator[Message]:
    """Each of these answers, long and with `text` wherever people or applications write."""
    planned = words.story(plan=_plan(words, text)).planned().now
    running = words.story(plan=_plan(words, text)).running().now
    surface = Surface(name="x", title=text, owner=text, live=text, versions={text: {"model": {"name": text}}})
    world = World(rollouts={planned.id: planned}, surfaces={planned.plan.surface: surface})

    served = [
        ServedUnit(unit=f"{text}{i}", first_at=words.monday, last_at=words.tuesday, requests=10**9) for i in range(100)
    ]
    for total, keeps in ((0, None), (0, timedelta(days=9)), (10**6, timedelta(days=9))):
        yield customers.render(running, served, total=total, first=1, keeps=keeps, zone=words.zone)

    progress = JudgingProgress(
        arms=dict.fromkeys(("canary", "control"), ArmProgress(sampled=10**6, judged=9, waiting=9, failed=9)),
        repeated=9,
        agreed=8,
    )
    yield samples.render(running, text, progress, {})
    yield samples.render(running, text, replace(progress, arms={}), {})
    worst = [JudgedSample(sample=one, passed=False, score=0.0) for one in _sampled(words, text)]
    yield samples.render(running, text, progress, {"canary": worst, "control": worst})

    level = BaselineLevel(metric=text, level=1e9, spread=1e9, share=1.0, design_effect=9.0, readings=10**9)
    kept = SurfaceBaseline(
        rollout=text,
        version=text,
        until=words.monday,
        daily_requests=1e9,
        levels=(level,) * 200,
        segments=(replace(level, segment=text),) * 200,
    )
    suggested = SuggestedLimits(amounts={limit.metric: "2" for limit in LIMITS}, baseline=text)
    for one in (surface, replace(surface, baseline=kept)):
        yield baseline.render(one, suggested, words.zone)

    measures = tuple(words.measure(text, text, limit_text=text, unit=text, note=text) for _ in range(15))
    rows = [
        StratumVerdict(name=f"{text}{number}", state=state, percent=5.0, measures=measures)
        for number, state in enumerate(list(StratumState) * 8)
    ]
    yield strata.render(running, rows)
    yield strata.render(running, rows[:1])

    for order in BundleOrder:
        yield bundle_status.render(Bundle(name=text, order=order, members=(planned, running) * 20), world, words.monday)

    other = OtherModelAnswered(version=text, configured=text, answered=text)
    yield model_messages.render_other_model(surface, other)
    for on in (date(2026, 11, 20), date(2027, 2, 15)):
        told = RetirementTold(model=text, on=on, replacement=text, days=60)
        yield model_messages.render_retirement(world, told, words.monday.date())

    vote = e.VoteCast(by=text, handle=text, voter="U1", stage=0, arm="canary", choice="worse", text=text)
    for given_vote in (vote, None):
        for is_new in (True, False):
            yield feedback.render_answer(running, given_vote, is_new=is_new)
    yield feedback.render(running, running.stage_index, text, text)


def _sampled(words: Any, text: str) -> Iterator[ShadowSample]:
    for number in range(20):
        yield ShadowSample(
            id=str(number),
            rollout="R-118",
            surface="x",
            judge=text,
            stage=0,
            arm="canary",
            at=words.monday,
            expires_at=words.tuesday,
            is_judged_twice=False,
            unit=text,
            question=text,
            answer=text,
            segments={text: text},
        )


@pytest.mark.parametrize("text", TEXTS, ids=lambda t: json.dumps(t[:12]))
def test_no_text_breaks_an_answer(words: Any, text: str) -> None:
    for message in _answers(words, text):
        _check(message)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=400))
def test_any_text_at_all_in_an_answer(words: Any, text: str) -> None:
    for message in _answers(words, text):
        _check(message)
