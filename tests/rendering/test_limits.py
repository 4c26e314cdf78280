"""Whatever anybody writes, and however much of it: every message stays within what Slack takes, and mentions nobody."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.commands import help_pages
from bot.commands.verbs import TYPED_VERBS
from bot.rendering.answers import history, notice_overview, status
from bot.rendering.answers.evidence import explain, metrics
from bot.rendering.answers.served import version_answers, whois
from bot.rendering.answers.served.whois import UnitHistory
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.charts import fallback
from bot.rendering.documents import difference_text
from bot.rendering.messages import announcement_messages, approval, card, event_lines
from bot.rendering.messages.alerts import investigation, undelivered
from bot.rendering.messages.plan_facts import DecisionFacts
from bot.rendering.numbers import segments
from bot.rendering.numbers.latest_numbers import LatestNumbers
from bot.sandbox.rules import check_payload
from bot.slack import views
from core.evals.eval_report import CaseList, CategoryFailures
from core.files.foresight.known_traffic import assume_traffic
from core.files.foresight.outlook import build_outlook
from core.flags.possible_answers import PossibleAnswer
from core.flags.snapshot import Cohort, FlagAnswer, Reason, Variant, Version, build_live_answer
from core.flags.targeting import parse_conditions
from core.judging.model import verdict as v
from core.judging.model.causes import Cause, CauseFactor, DifferenceCauses
from core.judging.model.comparison import CourseDay, MetricCourse
from core.judging.report.series import SeriesPoint
from core.reviews.investigation import begin_investigation
from core.rollout.notifications.announcement import Announcement, notice_key
from core.rollout.notifications.announcement_kinds import AnnouncementKind
from core.rollout.permissions.approvers import ApproverRule
from core.rollout.plans.plan import BehaviourChange, NoticePlan, Stage, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY
from core.rollout.serving.assignment_history import Assignment
from core.rollout.state import events as e
from core.rollout.state.surface import Surface
from core.rollout.state.world import World
from core.versions.content_difference import compare_contents
from core.versions.version_history import VersionRecord
from tests.store.golden.examples import EVAL_REPORT, EXAMPLES

_OURS = re.compile(
    r"<(@[UW][A-Z0-9]+|!date\^\d+\^(?:\u200b\{date_short_pretty\} at \{time\}|\{time(?:_secs)?\})\|[^<>|]*)>"
)


def _plan(words: Any, text: str) -> Any:
    return replace(
        words.plan,
        name=text or "x",
        surface=text or "x",
        owner=text,
        owner_handle=text,
        from_version=text,
        to_version=text,
        why=text,
        ticket=text,
        rollback_until=text,
        segments=(text,),
        behaviour_changes=tuple(
            BehaviourChange(audience=(), text=text, example_before=text, example_after=text) for _ in range(12)
        ),
        stages=(
            *words.stages,
            *(Stage(kind=StageKind.RAMP, name=f"{text}{i}", percent=100) for i in range(12)),
        ),
        notices=tuple(
            NoticePlan(channel=f"#{text}{a}", audience=a) for a in ("engineering", "support", "marketing", "downstream")
        ),
        approvals=replace(words.plan.approvals, groups=(text, f"{text}2")),
    )


def _causes(measures: tuple[v.Measure, ...]) -> tuple[DifferenceCauses, ...]:
    """Every factor, so large and so certain that each is named."""
    return tuple(
        DifferenceCauses(
            metrics=(metric,),
            unit=unit,
            difference=2e9,
            causes=tuple(
                Cause(factor=factor, canary=1e9, control=0.0, contribution=1e9, low=1e8, high=2e9)
                for factor in get_args(CauseFactor)
            ),
        )
        for metric, unit in (("cost_per_request", "US$"), ("latency_p95", "ms"), (measures[0].metric, "ms"))
    )


def _events(words: Any, text: str) -> Iterator[e.RolloutEvent]:
    finding = replace(words.finding, metric=text, limit_text=text, segment=text, note=text, title=text, unit=text)
    measures = tuple(words.measure(text, text, limit_text=text, unit=text, note=text) for _ in range(15))
    story = words.story()
    for verdict in (
        v.Continue(),
        v.TooEarly(canary_requests=0, control_requests=0),
        v.NoData(since=words.monday, arm=text),
        v.Skewed(log_bayes_factor=9.0, expected_share=0.05, observed_share=0.09),
        v.NoControl(),
        v.Cleared(watched=(text,) * 30),
        v.BrokenSource(metric=text, title=text, arm=text, since=words.monday),
        v.Hold(findings=(finding,) * 30),
        v.RollBack(findings=(finding,) * 30),
    ):
        cuts = tuple(replace(m, segment=text) for m in measures)
        asides = (finding,) * 30
        yield story.evidence(
            verdict, measures=measures, segments=cuts, segments_checked=14, notes=asides, causes=_causes(measures)
        )
    yield story.request(gate=text, needed=2)
    yield e.Approved(request="R-118.1", by=text, handle=text, groups=(text,), note=text)
    yield e.Rejected(request="R-118.1", by=text, reason=text)
    yield e.ApprovalExpired(request="R-118.1")
    yield e.StartScheduled(start=words.tuesday, by=text)
    yield e.Started(fingerprint=text, by=text)
    for i, stage in enumerate(words.stages):
        yield e.StageEntered(index=i, name=text, percent=stage.percent, skipped=text)
    yield e.EvalRecorded(
        stage=0,
        suite=text,
        ok=False,
        passed=1,
        failed=2,
        errors=3,
        reasons=(text,) * 20,
        cases=(text,) * 99,
        digest="d",
        by=text,
    )
    listed = CaseList(count=4000, cases=(text,) * 50)
    assert EVAL_REPORT.paired is not None
    yield replace(
        EXAMPLES["rollout.eval_recorded.1.report"],
        report=replace(
            EVAL_REPORT,
            tool=text,
            judges=(text,) * 50,
            models=(text,) * 50,
            errors=listed,
            paired=replace(EVAL_REPORT.paired, broke=listed, mended=listed),
            new_failures=tuple(CategoryFailures(category=text, failures=listed) for _ in range(20)),
        ),
    )
    yield e.DrillFinished(stage=0, seconds=1.0, ok=False)
    days = tuple(CourseDay(number=n, canary=0.2, control=0.1, difference=0.1, requests=10**9) for n in range(1, 61))
    course = MetricCourse(metric=text, days=days, early=0.1, late=-0.1, is_novelty=True, trend="rising")
    yield e.ComparisonEnded(
        stage=2,
        look=9,
        advice="go back",
        measures=tuple(words.measure(text, text, limit_text=text, unit=text, note=text) for _ in range(60)),
        courses=(course,) * 60,
        weekdays=(2, 2, 2, 2, 1, 1, 1),
    )
    yield e.ComparisonDecided(stage=2, keep=False, advice="go back", by=text, reason=text)
    yield e.Held(key=text, text=text, findings=(finding,))
    yield e.Resumed(by=text, reason=text, overrides=text)
    yield e.Paused(by=text, reason=text)
    yield e.FeltOff(by=text, handle=text, text=text)
    for number, choice in enumerate(("good", "worse", "cant_tell") * 4):
        arm = ("canary", "control", "")[number % 3]
        yield e.VoteCast(by=text, handle=text, voter=f"U{number}", stage=0, arm=arm, choice=choice, text=text)
    yield e.VoteWithdrawn(by=text, voter="U0", stage=0)
    for arm, version in (("canary", text), ("", text), ("", "")):
        yield e.ComplaintReported(
            by=text, handle=text, text=text, arm=arm, version=version, unit_hash="0c3f9a1be2d47788", message=text
        )
    yield e.UnitMovedBack(by=text, unit_hash="0c3f9a1be2d47788", version=text, reason=text)
    yield e.NoticeAcknowledged(notice=f"support:#{text}support", by=text, handle=text)
    yield e.ConcernRaised(notice=text, by=text, handle=text, text=text)
    yield e.ConcernsAnswered(by=text, handle=text, text=text)
    yield e.MessagePosted(key=text or "k", channel=text, ts="1.0")
    yield e.MessageFailed(key=text, channel=text, error=text)
    yield e.RolledBack(
        by=text,
        reason=text,
        findings=(finding,) * 30,
        version=text,
        after_done=False,
        verdict_seconds=60.0,
        judged_seconds=0.02,
        exposed_requests=10**9,
        exposed_units=10**9,
    )
    yield e.FlipUnconfirmed(seconds=60.0, missing=(text,) * 90)
    yield e.FlipConfirmed(seconds=1.0, processes=3)
    yield e.Completed(version=text, retired=text)
    yield e.ReviewRequested(due_at=words.tuesday)
    answers = dict.fromkeys(("numbers", "unexpected", "behaviour", "cost", "worked", "failed", "next_time"), text)
    yield e.ReviewSubmitted(by=text, handle=text, keeps_baseline=True, **answers)
    yield e.Abandoned(by=text, reason=text)


def _everything(words: Any, text: str) -> Iterator[Message]:
    """Every message there is, at every point of a life in which every text is `text`."""
    story = words.story(plan=_plan(words, text))
    story.after = {**words.before, text: text, "tools": [text] * 50, "model": {text: text}}
    story.planned()
    surface = Surface(name=text, title=text, owner=text, live=text, versions={text: {}})
    for event in _events(words, text):
        story.happen(event)
        entries, position = story.entries, len(story.entries)
        rollout = story.now
        world = World(rollouts={rollout.id: rollout}, surfaces={rollout.plan.surface: surface})
        if isinstance(event, e.Started):
            continue  # its first stage is entered in the same breath: nobody ever sees the moment between
        for kind in AnnouncementKind:
            if kind in {AnnouncementKind.FOLLOW_UP, AnnouncementKind.REMINDER} and not isinstance(
                event, e.Started | e.RolledBack | e.Completed | e.Abandoned
            ):
                continue
            for key, audience in _keys(kind, rollout):
                told = Announcement(kind=kind, rollout=rollout.id, channel="#x", key=key, audience=audience)
                message = announcement_messages.render(told, position, world, entries, story.at)
                yield undelivered.render(rollout, text, text, message)
                if message is not None:
                    yield message
        yield event_lines.render(rollout, event, words.zone)
    rollout = story.now
    yield status.render_list((rollout,) * 200, words.zone, "Open now")
    yield status.render_live_versions(World(surfaces={str(i): surface for i in range(200)}))
    for few in (entries, [entries[0], *entries[1:] * 20]):
        yield history.render(rollout, few, words.zone)
    yield from _numbers(words, rollout, text)
    yield notice_overview.render(rollout, words.zone)
    yield notice_overview.render_preview(rollout, text, story.at, words.zone, is_closed=False)
    yield from _whois(words, rollout, surface, text)
    yield from _versions_and_plan(words, rollout, surface, text)
    found = begin_investigation(rollout, entries, [replace(rollout, id="R-9")] * 9)
    assert found is not None
    yield investigation.render(found, words.zone)
    yield blocks.build_refusal(text, text)
    yield card.render(rollout, words.zone)


def _versions_and_plan(words: Any, rollout: Any, surface: Surface, text: str) -> Iterator[Message]:
    """What somebody reads who decides: the plan, every version, and what differs between two of them."""
    known = assume_traffic(replace(surface, daily_requests=10**6))
    outlook = build_outlook(rollout.plan, surface, DEFAULT_POLICY, known, words.monday)
    concern = e.ConcernRaised(notice=text, by=text, handle=text, text=text)
    rule = ApproverRule(groups=(text, text + "2"), people=(text,), excluded=frozenset())
    facts = DecisionFacts(outlook=outlook, rule=rule, concerns=(concern,) * 30, members=lambda _: {text: text})
    for one in (rollout, words.story(plan=rollout.plan).planned().now):
        yield approval.render_details(one, facts, words.zone)
    record = VersionRecord(name=text, named_at=words.monday, named_by=text, rollouts=(rollout.id,))
    yield version_answers.render_versions(
        surface, {str(i): record for i in range(200)}, {text: rollout, "0": None}, words.zone
    )
    fields = {f"{text[:500]}{i}": text[:500] for i in range(80)}
    old = {"prompt": text + " a b", "tools": [text, "x"], "params": fields}
    new = {"prompt": "c " + text * 3, "tools": [{"name": text}], "params": {}}
    pair = version_answers.VersionPair(surface=text, before=text, after=text, difference=compare_contents(old, new))
    yield version_answers.render_pair(pair)
    view = views.build_reading_modal(f"{text} -> {text}", difference_text.build_modal_blocks(pair))
    assert check_payload.check_view(view) == []


def _whois(words: Any, rollout: Any, surface: Surface, text: str) -> Iterator[Message]:
    """A certain version, one that depends on attributes, and one that another flag system decides; now and before."""
    story_start = words.story().at
    live = build_live_answer(Version(text, {}))
    new = FlagAnswer(version=Version(text + "2", {}), variant=Variant.CANARY, reason=Reason.SPLIT, cohort=text)
    cohort = Cohort(name=text, where=parse_conditions({text: (text, text)}), ppm=1)
    either = (PossibleAnswer(answer=new, cohort=cohort), PossibleAnswer(answer=live, cohort=None))
    told = [
        Assignment(
            since=story_start + timedelta(hours=i),
            until=story_start + timedelta(hours=i + 1) if i < 8 else None,
            answers=answers,
            bucket=5,
            rollout=named,
            stages=(0,),
            percent=5,
        )
        for i, (answers, named) in enumerate(
            [(either[:1], rollout.id), (either[1:], ""), (either, rollout.id), ((), rollout.id)] * 2 + [(either, "")]
        )
    ]
    for asked_at in (None, *(story_start + timedelta(hours=i) for i in range(-1, 8))):
        one = UnitHistory(
            surface=surface,
            assignments=told,
            rollouts={rollout.id: rollout},
            seen={rollout.id: {0: "canary"}},
            told_from=story_start,
        )
        yield whois.render(text, [one] * 50, words.zone, asked_at)


def _keys(kind: AnnouncementKind, rollout: Any) -> list[tuple[str, str]]:
    if kind in {AnnouncementKind.NOTICE, AnnouncementKind.NOTICE_EDIT, AnnouncementKind.FOLLOW_UP}:
        return [(notice_key(rollout, n.key), n.audience) for n in rollout.plan.stakeholder_notices]
    if kind in {AnnouncementKind.DECISION, AnnouncementKind.DECISION_CLOSED}:
        return [("decision:2", "engineering")]
    if kind is AnnouncementKind.FEEDBACK:
        return [(f"feedback:{stage}:U5", "engineering") for stage in (0, max(rollout.stage_index, 0))]
    return [("approval:R-118.1", "engineering")]


def _numbers(words: Any, rollout: Any, text: str) -> Iterator[Message]:
    """Every answer about numbers, all of whose texts are `text`, in every harm and with much of everything."""
    finding = replace(words.finding, metric=text, limit_text=text, segment=text, note=text, title=text, unit=text)
    harms = ("more", "less", "either")
    measures = tuple(
        words.measure(text, text, limit_text=text, unit=text, note=text, segment=text, role="hold", harm=harms[i % 3])
        for i in range(200)
    )
    asides = (finding,) * 30
    seen = LatestNumbers(measures=measures, segments=measures, segments_checked=200, notes=asides, at=words.tuesday)
    as_of = text[:50].replace("<", "").replace(">", "")
    points = tuple(
        SeriesPoint(at=words.monday + timedelta(seconds=i), stage=i // 200, difference=i / 7, low=-i / 3, high=i / 3)
        for i in range(400)
    )
    yield metrics.render_technical(rollout, seen, text, "", as_of, words.zone)
    yield metrics.render_technical(rollout, seen, "", text, as_of, words.zone)
    yield metrics.render_technical(rollout, seen, "", "no such", as_of, words.zone)
    yield metrics.render_plain(rollout, seen, text, "", "now")
    yield segments.render_technical(rollout, seen, as_of)
    yield segments.render_plain(rollout, seen, as_of)
    one = replace(seen, measures=measures[:3])
    yield explain.render_technical(rollout, one, text, points, words.zone, as_of)
    yield explain.render_technical(rollout, one, text + "x", points, words.zone, as_of)
    yield explain.render_plain(rollout, one, text, as_of)


def _check(message: Message) -> None:
    assert check_payload.check_blocks(list(message.blocks)) == []
    assert message.text
    assert len(message.text) <= blocks.TEXT_LIMIT
    for steps in range(1, fallback.MAX_STEPS + 1):
        assert check_payload.check_blocks(list(fallback.simplify_blocks(message.blocks, steps))) == []
    for block in (*message.blocks, {"text": {"type": "mrkdwn", "text": message.text}}):
        for text in _mrkdwn(block):
            assert "<" not in _OURS.sub("", text), text
    modal = views.build_result_modal("reject", message)
    assert check_payload.check_view(modal) == []


def _mrkdwn(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("type") == "mrkdwn":
            yield value["text"]
        for inner in value.values():
            yield from _mrkdwn(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _mrkdwn(inner)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!channel> <@U0ANA00001> <https://evil.example|ok>",
        "&" * 5000,
        "word " * 5000,
        "<" * 20_000,
        "\u202e\u200b",
        "```*_~`:" * 500,
        "{date_short_pretty}|^",
        "\n" * 500,
        "🙂" * 4000,
    ],
    ids=lambda t: json.dumps(t[:12]),
)
def test_no_text_breaks_a_message(words: Any, text: str) -> None:
    for message in _everything(words, text):
        _check(message)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=400))
def test_any_text_at_all(words: Any, text: str) -> None:
    for message in _everything(words, text):
        _check(message)


def test_the_help_is_within_the_limits() -> None:
    for message in (help_pages.render_overview(), *(help_pages.render_page(name) for name in TYPED_VERBS)):
        _check(message)
