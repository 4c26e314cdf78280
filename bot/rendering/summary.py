"""Canary against control at a glance: a reply in the thread, from one recorded piece of evidence."""

from datetime import datetime

from bot.rendering import blocks, buttons, figures, headline, wording
from bot.rendering.blocks import Message
from core.judging import verdict as v
from core.rollout.events import EvidenceRecorded
from core.rollout.model import Rollout, State


def render(rollout: Rollout, evidence: EvidenceRecorded, at: datetime, zone: str) -> Message:
    """What was seen, `at` the time of the evidence, and what happens next."""
    new, now = _count(evidence.canary_requests), _count(evidence.control_requests)
    numbers = f"{new} on the new version · {now} on the current one"
    people = f"{wording.count(evidence.canary_units)} and {wording.count(evidence.control_units)} people"
    left_out = figures.rest(evidence.measures)
    return blocks.message(
        first_line(rollout, evidence, zone),
        blocks.section(f"{numbers} · {people} · same time · {_split(evidence.verdict)}"),
        figures.table(evidence.measures),
        blocks.lines([x for x in (left_out, _why(rollout, evidence)) if x]),
        _steer(rollout),
        blocks.context(
            f"risk {rollout.plan.risk} · limits locked {_locked(rollout, zone)} · evidence #{evidence.number} · "
            f"as of {wording.when(at, zone)}"
        ),
    )


def _count(requests: int) -> str:
    return wording.plural(requests, "request")


def _split(verdict: v.Verdict) -> str:
    if isinstance(verdict, v.Skewed):
        return f"split {verdict.observed_share:.1%} instead of {verdict.expected_share:.1%}"
    return "split as planned"


def _locked(rollout: Rollout, zone: str) -> str:
    return wording.when(rollout.started_at, zone) if rollout.started_at else "at the start"


def first_line(rollout: Rollout, evidence: EvidenceRecorded, zone: str) -> str:
    """State word, subject, consequence, next time."""
    subject, where = wording.subject(rollout), _where(rollout)
    stays = f"we stay at {wording.percent(rollout.percent)} until then"
    match evidence.verdict:
        case v.RollBack():
            return f"Worse: {subject} broke a limit that was agreed beforehand. It is being rolled back."
        case v.Hold(findings=(first, *_)):
            text = f"{figures.named(first.metric, first.title)}: {wording.escape(first.limit_text, 60)}"
            return f"On hold: {subject}, {text}. {wording.owner(rollout)} to decide; {stays}."
        case v.NoData(since=since, arm=arm):
            ago = f"since {wording.when(since, zone)}" if since else "at all"
            version = "new" if arm == "canary" else "current"
            silent = f"no requests on the {version} version {ago}"
            return f"Cannot judge: {subject}, {silent}. Growth is stopped; check ingestion."
        case v.Skewed():
            return f"Cannot judge: {subject}, the traffic is not split as planned. Growth is stopped; {stays}."
        case v.TooEarly():
            return f"Waiting: {subject} ({where}) has nothing to compare yet. Nothing grows until it has."
        case _:
            return _fine(rollout, evidence, zone)


def _fine(rollout: Rollout, evidence: EvidenceRecorded, zone: str) -> str:
    subject, where = wording.subject(rollout), _where(rollout)
    stage = rollout.stage
    if rollout.state is State.WAITING and rollout.request is not None:
        return f"Fine so far: {subject} ({where}). Waiting for approval: {wording.escape(rollout.request.gate, 40)}."
    if rollout.state is State.ON_HOLD and rollout.hold is not None:
        return f"On hold: {subject}, {wording.escape(rollout.hold.text, 60)}. {wording.percent(rollout.percent)} stays."
    if stage is not None and evidence.reason == "summary" and evidence.canary_requests < stage.min_samples:
        have = f"{wording.count(evidence.canary_requests)} of {wording.count(stage.min_samples)} requests"
        return f"Waiting: {subject} has {have}. Nothing looks wrong."
    if not rollout.under_way or stage is None:
        return f"Fine so far: {subject} ({where})."
    at = headline.next_step_at(rollout)
    when = f" {wording.when(at, zone)}" if at else ""
    return f"Fine so far: {subject} ({where}). Next: {headline.following(rollout)}{when}, automatically."


def _where(rollout: Rollout) -> str:
    stage = rollout.stage
    if stage is None:
        return wording.state_word(rollout).lower()
    exposed = f", {wording.percent(stage.percent)}" if stage.exposes else ""
    return f"{wording.stage_word(stage).lower()}{exposed}"


def _why(rollout: Rollout, evidence: EvidenceRecorded) -> str:
    limited = [m for m in evidence.measures if m.limit_text]
    clear = [m for m in limited if m.word in {"Fine", "Better", "Slightly worse, within limit"}]
    unknown = [m for m in limited if m.word in {"Not enough data", "No data"}]
    said = [f"Why: {len(clear)} of {wording.plural(len(limited), 'limit')} clear"]
    if unknown:
        names = wording.listing([figures.named(m.metric, m.title).lower() for m in unknown])
        said.append(f"could still have been missed: {names}")
    if rollout.stage is not None and rollout.stage.min_samples:
        said.append(
            f"{wording.count(evidence.canary_requests)} requests ({wording.count(rollout.stage.min_samples)} needed)"
        )
    return " · ".join(said) if limited else ""


def _steer(rollout: Rollout) -> blocks.Block | None:
    if rollout.state not in {State.RUNNING, State.WAITING}:
        return None
    return blocks.actions(buttons.pause(rollout), buttons.roll_back(rollout), buttons.feels_off(rollout))
