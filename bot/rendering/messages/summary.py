"""The summary of canary against control: a reply in the thread, built from one recorded evidence event."""

from collections.abc import Callable
from datetime import datetime

from bot.rendering import headline, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.charts import charts
from bot.rendering.messages import notes
from bot.rendering.numbers import detectability, figures, segments, technical_words
from bot.rendering.numbers.latest import power_of
from core.judging.model import verdict as v
from core.judging.report.series import Point
from core.rollout.events import EvidenceRecorded
from core.rollout.model import Rollout, State

Trend = Callable[[str], tuple[Point, ...]]

FIRST = "eval_pass_rate"
"""The metric that a summary charts, and whose detection power it states, when nothing needs attention."""


def render(
    rollout: Rollout, evidence: EvidenceRecorded, at: datetime, zone: str, trend: Trend = lambda _: ()
) -> Message:
    """What was measured by `at`, what it means and what happens next; `trend` returns the points of a metric."""
    new, now = _count(evidence.canary_requests), _count(evidence.control_requests)
    numbers = f"{new} on the new version · {now} on the current one"
    people = f"{wording.count(evidence.canary_units)} and {wording.count(evidence.control_units)} people"
    left_out = figures.rest(evidence.measures)
    return blocks.message(
        first_line(rollout, evidence, zone),
        blocks.section(f"{numbers} · {people} · {_split(evidence.verdict)}"),
        figures.table(evidence.measures),
        blocks.lines([x for x in (left_out, segments.line(evidence.segments, evidence.segments_checked)) if x]),
        blocks.lines(notes.lines(evidence.notes)),
        _chart(evidence, at, zone, trend),
        blocks.lines(
            [x for x in (_why(rollout, evidence, at), detectability.sentence(_unseen(rollout, evidence))) if x]
        ),
        blocks.lines(detectability.accepted(rollout)),
        _steer(rollout),
        blocks.context(
            f"risk {rollout.plan.risk} · limits locked {_locked(rollout, zone)} · evidence #{evidence.number} · "
            f"as of {wording.when(at, zone)}"
        ),
    )


def _unseen(rollout: Rollout, evidence: EvidenceRecorded) -> list[v.BlindSpot]:
    return [spot for spot in evidence.blind or () if spot.key not in rollout.accepted_keys]


def _count(requests: int) -> str:
    return wording.plural(requests, "request")


def _split(verdict: v.Verdict) -> str:
    if isinstance(verdict, v.Skewed):
        return f"same time · split {verdict.observed_share:.1%} instead of {verdict.expected_share:.1%}"
    if isinstance(verdict, v.NoControl):
        return "no current version is left to compare with, so it is the past"
    return "same time · split as planned"


def _locked(rollout: Rollout, zone: str) -> str:
    return wording.when(rollout.started_at, zone) if rollout.started_at else "at the start"


def first_line(rollout: Rollout, evidence: EvidenceRecorded, zone: str) -> str:
    """The first line of a summary: state word, subject, consequence, next time."""
    subject, where = wording.subject(rollout), _where(rollout)
    stays = f"we stay at {wording.percent(rollout.percent)} until then"
    match evidence.verdict:
        case v.RollBack():
            return f"Worse: {subject} broke a limit that was agreed beforehand. It is being rolled back."
        case v.Hold(findings=(first, *_)):
            where = f" ({wording.escape(first.segment, 40)})" if first.segment else ""
            text = f"{figures.named(first.metric, first.title)}{where}: {wording.escape(first.limit_text, 60)}"
            return f"On hold: {subject}, {text}. {wording.owner(rollout)} to decide; {stays}."
        case v.NoData(since=since, arm=arm):
            ago = f"since {wording.when(since, zone)}" if since else "at all"
            version = "new" if arm == "canary" else "current"
            silent = f"no requests on the {version} version {ago}"
            return f"Cannot judge: {subject}, {silent}. Growth is stopped; check ingestion."
        case v.BrokenSource(metric=metric, title=title, arm=arm, since=since):
            version = "new" if arm == "canary" else "current"
            what = f"{figures.named(metric, title).lower()} on the {version} version stopped arriving"
            return f"Cannot judge: {subject}, {what} {wording.when(since, zone)}. Growth is stopped; check its source."
        case v.Skewed():
            return f"Cannot judge: {subject}, the traffic is not split as planned. Growth is stopped; {stays}."
        case v.TooEarly():
            return f"Waiting: {subject} ({where}) has nothing to compare yet. Nothing grows until it has."
        case _:
            return _fine(rollout, evidence, zone)


def _fine(rollout: Rollout, evidence: EvidenceRecorded, zone: str) -> str:
    subject, where = wording.subject(rollout), _where(rollout)
    begin, how = _how_sure(evidence)
    stage = rollout.stage
    if rollout.state is State.WAITING and rollout.request is not None:
        gate = wording.escape(rollout.request.gate, 40)
        return f"{begin}: {subject} ({where}){how}. Waiting for approval: {gate}."
    if rollout.state is State.ON_HOLD and rollout.hold is not None:
        return f"On hold: {subject}, {wording.escape(rollout.hold.text, 60)}. {wording.percent(rollout.percent)} stays."
    if stage is not None and evidence.reason == "summary" and evidence.canary_requests < stage.min_samples:
        have = f"{wording.count(evidence.canary_requests)} of {wording.count(stage.min_samples)} requests"
        return f"Waiting: {subject} has {have}. Nothing looks wrong."
    if not rollout.under_way or stage is None:
        return f"{begin}: {subject} ({where}){how}."
    at = headline.next_step_at(rollout)
    when = f" {wording.when(at, zone)}" if at else ""
    waits = figures.undecided(evidence.measures) or _unseen(rollout, evidence)
    how_soon = " at the earliest" if waits else ", automatically"
    return f"{begin}: {subject} ({where}){how}. Next: {headline.following(rollout)}{when}{how_soon}."


def _how_sure(evidence: EvidenceRecorded) -> tuple[str, str]:
    match evidence.verdict:
        case v.Continue() if open_ := figures.undecided(evidence.measures):
            return "Not enough data", f", for {open_}"
        case v.Cleared():
            return "Fine", ", every limit shown to be kept"
        case v.NoControl():
            return "Fine so far", ", compared with the past"
        case _:
            return "Fine so far", ""


def _where(rollout: Rollout) -> str:
    stage = rollout.stage
    if stage is None:
        return wording.state_word(rollout).lower()
    exposed = f", {wording.percent(stage.percent)}" if stage.exposes else ""
    return f"{wording.stage_word(stage).lower()}{exposed}"


def _why(rollout: Rollout, evidence: EvidenceRecorded, at: datetime) -> str:
    limited = [m for m in evidence.measures if figures.agreed(m)]
    clear = [m for m in limited if m.word in figures.WELL]
    unknown = [m for m in limited if m.word in figures.UNJUDGED]
    kept = sum(m.cleared for m in limited)
    shown = f", {kept} of them shown to be kept" if kept else ""
    said = [f"Why: {len(clear)} of {wording.plural(len(limited), 'limit')} clear{shown}"]
    if unknown:
        names = wording.listing([figures.named(m.metric, m.title).lower() for m in unknown])
        said.append(f"could still have been missed: {names}")
    if isinstance(evidence.verdict, v.Cleared) and evidence.verdict.watched:
        rare = wording.listing([figures.named(metric).lower() for metric in evidence.verdict.watched])
        said.append(f"too rare to be shown, and watched: {rare}")
    if rollout.stage is not None and rollout.stage.min_samples:
        said.append(
            f"{wording.count(evidence.canary_requests)} requests ({wording.count(rollout.stage.min_samples)} needed)"
        )
    if noticed := _would_have_noticed(rollout, limited, at):
        said.append(noticed)
    return " · ".join(said) if limited else ""


def _would_have_noticed(rollout: Rollout, limited: list[v.Measure], at: datetime) -> str:
    for measure in sorted(limited, key=lambda m: m.metric != FIRST):
        if change := technical_words.change_noticed(measure, power_of(rollout, measure, at)):
            return f"we would have noticed {change} ({figures.named(measure.metric, measure.title).lower()})"
    return ""


def _chart(evidence: EvidenceRecorded, at: datetime, zone: str, trend: Trend) -> blocks.Block | None:
    """A chart of the most urgent metric up to `at`; if none is urgent, of `MAIN_METRIC` first."""
    limited = [m for m in figures.ordered(evidence.measures) if figures.agreed(m)]
    urgent = [m for m in limited if m.word in figures.BADLY]
    for measure in urgent or sorted(limited, key=lambda m: m.metric != FIRST):
        until = tuple(p for p in trend(measure.metric) if p.at <= at)
        if (drawn := charts.block(until, measure, zone)) is not None:
            return drawn
    return None


def _steer(rollout: Rollout) -> blocks.Block | None:
    if rollout.state not in {State.RUNNING, State.WAITING}:
        return None
    details = buttons.run("Details", f"metrics {rollout.id}")
    return blocks.actions(buttons.pause(rollout), buttons.roll_back(rollout), buttons.feels_off(rollout), details)
