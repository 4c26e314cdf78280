"""The summary of canary against control: a reply in the thread, built from one recorded evidence event."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from bot.rendering import reach_words, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.charts import charts, svg
from bot.rendering.messages import notes
from bot.rendering.numbers import (
    cause_words,
    judge_words,
    measure_rows,
    noticed_words,
    segments,
    soft_error_words,
    technical_words,
)
from bot.rendering.numbers.detectability import blind_spot_words, known_areas, unknown_unit_words, verdict_times
from bot.rendering.numbers.latest_numbers import detection_power
from bot.rendering.sentences import headline
from core.judging.model import verdict as v
from core.judging.report.series import SeriesPoint
from core.rollout.decisions import approval_requests
from core.rollout.state.events import EvidenceRecorded
from core.rollout.state.model import Rollout, RolloutState

Trend = Callable[[str], tuple[SeriesPoint, ...]]

MAIN_METRIC = "eval_pass_rate"
"""The metric that a summary charts, and whose detection power it states, when nothing needs attention."""


def render(
    rollout: Rollout,
    evidence: EvidenceRecorded,
    at: datetime,
    zone: str,
    trend: Trend = lambda _: (),
    *,
    has_ended: bool = False,
) -> Message:
    """What was measured by `at`, what it means and what happens next; `trend` returns the points of a metric.

    `has_ended`: the rollout, as it was then, is over by now, and there is nothing left to steer.
    """
    new, now = _format_requests(evidence.canary_requests), _format_requests(evidence.control_requests)
    numbers = f"{new} on the new version · {now} on the old one"
    people = f"{wording.format_count(evidence.canary_units)} and {wording.format_count(evidence.control_units)} people"
    left_out = measure_rows.summarize_rest(evidence.measures)
    chart, picture = _build_chart(rollout, evidence, at, zone, trend)
    message = blocks.build_message(
        format_first_line(rollout, evidence, at, zone),
        blocks.section(f"{numbers} · {people} · {_describe_split(evidence.verdict)}"),
        measure_rows.build_table(evidence.measures, marks_weaker=not isinstance(evidence.verdict, v.NoControl)),
        blocks.lines_section(
            [
                x
                for x in (
                    left_out,
                    segments.describe_flows(rollout, evidence.segments),
                    segments.format_summary(evidence.segments, evidence.segments_checked),
                    soft_error_words.format_line(evidence.soft_errors or ()),
                )
                if x
            ]
        ),
        blocks.lines_section(_list_reasons(evidence)),
        blocks.lines_section(notes.format_notes(evidence.notes)),
        chart,
        blocks.lines_section(judge_words.list_lines(rollout, evidence.measures, evidence.judging)),
        blocks.lines_section(_list_noticed(rollout, evidence)),
        blocks.lines_section(
            [
                x
                for x in (
                    _explain_verdict(rollout, evidence, at),
                    known_areas.describe_open(rollout, evidence.measures, at) if _is_healthy(evidence.verdict) else "",
                    verdict_times.describe_verdict_times(rollout, evidence.measures, at, zone)
                    if _is_undecided(evidence.verdict)
                    else "",
                    blind_spot_words.format_blind_spots(
                        blind_spot_words.select_open(rollout, evidence), is_due=headline.is_hold_over(rollout, at)
                    ),
                    unknown_unit_words.format_unknown_units(evidence.measures),
                )
                if x
            ]
        ),
        blocks.lines_section(blind_spot_words.list_accepted_risks(rollout)),
        None if has_ended else _build_buttons(rollout, evidence),
        blocks.context(
            f"risk {rollout.plan.risk} · limits locked {_format_lock_time(rollout, zone)} · evidence "
            f"#{evidence.number} · "
            f"as of {wording.format_local_time(at, zone)}"
        ),
    )
    return replace(message, pictures=(picture,)) if picture is not None else message


def _list_noticed(rollout: Rollout, evidence: EvidenceRecorded) -> list[str]:
    """What people noticed, under a heading; empty if nothing is known of it."""
    lines = noticed_words.list_lines(rollout, evidence.measures)
    return [f"*{noticed_words.TITLE}*", *(f" • {line}" for line in lines)] if lines else []


def _list_reasons(evidence: EvidenceRecorded) -> list[str]:
    """For cost and time that changed, what that comes from."""
    found = evidence.causes or ()
    named = {one.metrics: one.metrics[-1] for one in found}
    reasons = [(metric, cause_words.format_reason(found, metric)) for metric in named.values()]
    return [f"{measure_rows.escaped_title(metric)}: {reason}." for metric, reason in reasons if reason]


def _format_requests(requests: int) -> str:
    return wording.pluralize(requests, "request")


def _describe_split(verdict: v.Verdict) -> str:
    if isinstance(verdict, v.Skewed):
        observed, expected = (wording.format_value(x, "%") for x in (verdict.observed_share, verdict.expected_share))
        return f"same time · split {observed} instead of {expected}"
    if isinstance(verdict, v.NoControl):
        return "compared with the past, as nobody gets the old version any more, which is weaker"
    return "same time · split as planned"


def _format_lock_time(rollout: Rollout, zone: str) -> str:
    return wording.format_local_time(rollout.started_at, zone) if rollout.started_at else "at the start"


def format_first_line(rollout: Rollout, evidence: EvidenceRecorded, at: datetime, zone: str) -> str:
    """The first line of a summary of what was known `at` that time: state word, subject, consequence, next time."""
    subject, where = wording.format_subject(rollout), _describe_stage(rollout)
    match evidence.verdict:
        case v.RollBack():
            back = "It was rolled back" if rollout.flip is not None else "It is being rolled back"
            return f"Worse: {subject} broke a limit that was agreed beforehand. {back}."
        case v.Hold(findings=(first, *_)):
            where = f" ({wording.escape(first.segment, 40)})" if first.segment else ""
            metric = f"{measure_rows.title_in_sentence(first.metric, first.title)}{where}"
            text = f"{metric}, {measure_rows.escaped_limit(first.limit_text)}"
            stays = f"we stay {reach_words.format_position(rollout)} until then"
            return f"On hold: {subject}, {text}. {wording.format_owner(rollout)} to decide; {stays}."
        case v.NoData(since=since, arm=arm):
            ago = f"since {wording.format_local_time(since, zone)}" if since else "at all"
            version = "new" if arm == "canary" else "old"
            silent = f"no requests on the {version} version {ago}"
            return f"Cannot judge: {subject}, {silent}. Growth is stopped; check that requests are reported."
        case v.BrokenSource(source=source, why=why, since=since) if source:
            return (
                f"Cannot judge: {subject}, the source {wording.escape(source, 40)} has not been readable since "
                f"{wording.format_local_time(since, zone)}: {wording.escape(why or '', 200)}. Growth is stopped."
            )
        case v.BrokenSource(metric=metric, title=title, arm=arm, since=since):
            version = "new" if arm == "canary" else "old"
            what = f"{measure_rows.title_in_sentence(metric, title)} on the {version} version stopped arriving"
            return (
                f"Cannot judge: {subject}, {what} {wording.format_local_time(since, zone)}. Growth is stopped; "
                "check its source."
            )
        case v.Skewed():
            stays = f"it stays {reach_words.format_position(rollout)}"
            return f"Cannot judge: {subject}, the traffic is not split as planned. Growth is stopped; {stays}."
        case v.TooEarly():
            return f"Waiting: {subject} ({where}) has nothing to compare yet. It does not grow until it has."
        case v.Continue() | v.NoControl() | v.Cleared() | v.Hold():
            return _format_healthy_line(rollout, evidence, at, zone)
        case _:
            assert_never(evidence.verdict)


def _format_healthy_line(rollout: Rollout, evidence: EvidenceRecorded, at: datetime, zone: str) -> str:
    subject, where = wording.format_subject(rollout), _describe_stage(rollout)
    begin, how = _describe_certainty(evidence)
    stage = rollout.stage
    if rollout.state is RolloutState.WAITING and rollout.request is not None:
        gate = headline.name_gate(rollout, rollout.request.gate)
        return f"{begin}: {subject} ({where}){how}. Waiting for approval: {gate}."
    if rollout.state is RolloutState.ON_HOLD and rollout.hold is not None:
        return (
            f"On hold: {subject}, {wording.escape(rollout.hold.text, 60)}. "
            f"It stays {reach_words.format_position(rollout)}."
        )
    if stage is not None and evidence.reason == "summary" and evidence.canary_requests < stage.min_samples:
        have = f"{wording.format_count(evidence.canary_requests)} of {wording.format_count(stage.min_samples)} requests"
        return f"Waiting: {subject} has {have}. Nothing looks wrong."
    if not rollout.is_under_way or stage is None:
        return f"{begin}: {subject} ({where}){how}."
    if evidence.reason == "step":
        if rollout.next_stage is None and (left := _list_unjudged(evidence)):
            return f"{begin}: {subject} ({where}). Done now; could not be judged: {wording.join_limited(left, 2)}."
        return f"{begin}: {subject} ({where}){how}. Next: {headline.next_stage_label(rollout)}, now."
    following = headline.next_step_label(rollout)
    ends = headline.min_hold_ends_at(rollout)
    waits = known_areas.summarize_open(evidence.measures) or blind_spot_words.select_open(rollout, evidence)
    if ends is not None and ends <= at:  # its time is over, and something is not known yet
        return f"{begin}: {subject} ({where}){how}. Next: {following}, {headline.AS_SOON_AS_KNOWN}."
    when = f" {wording.format_local_time(ends, zone)}" if ends else ""
    awaited = _describe_what_is_awaited(rollout, bool(waits))
    return f"{begin}: {subject} ({where}){how}. Next: {following}{when}{awaited}."


def _describe_what_is_awaited(rollout: Rollout, waits: bool) -> str:
    """What the next step needs besides its time, to follow that time."""
    if waits:
        return " at the earliest"
    if headline.awaits_decision(rollout):
        return ""
    following = rollout.next_stage
    needed = approval_requests.count_approvals_needed(rollout, following) if following is not None else 0
    return f", with {wording.pluralize(needed, 'approval')}" if needed else ", automatically"


def _list_unjudged(evidence: EvidenceRecorded) -> list[str]:
    """The agreed limits that there is too little data to judge, by title, each once."""
    found = [m for m in evidence.measures if measure_rows.is_agreed(m) and not m.is_judged]
    return list(dict.fromkeys(measure_rows.title_in_sentence(m.metric, m.title) for m in found))


def _is_healthy(verdict: v.Verdict) -> bool:
    return isinstance(verdict, v.Cleared | v.NoControl | v.Continue)


def _is_undecided(verdict: v.Verdict) -> bool:
    """Whether more traffic can still tell more: neither a limit is broken nor is every one shown to hold."""
    return isinstance(verdict, v.Continue | v.TooEarly)


def _describe_certainty(evidence: EvidenceRecorded) -> tuple[str, str]:
    match evidence.verdict:
        case v.Cleared() | v.NoControl() | v.Continue() if bad := known_areas.summarize_bad(evidence.measures):
            return known_areas.NOT_ALL_FINE, f", {bad}"
        case v.Cleared() | v.NoControl() | v.Continue() if open_ := known_areas.summarize_open(evidence.measures):
            return "Not fully judged", f", {open_}"
        case v.Cleared():
            return "Fine", ", limits shown to hold"
        case v.NoControl():
            return "Fine so far", ", compared with the past"
        case v.Continue() | v.TooEarly() | v.NoData() | v.BrokenSource() | v.Skewed() | v.Hold() | v.RollBack():
            return "Fine so far", ""
        case _:
            assert_never(evidence.verdict)


def _describe_stage(rollout: Rollout) -> str:
    stage = rollout.stage
    if stage is None:
        return wording.state_word(rollout).lower()
    exposed = f", {reach_words.format_stage_share(rollout, stage)}" if stage.has_exposure else ""
    return f"{wording.stage_word(stage, partial=rollout.leaves_some_out).lower()}{exposed}"


def _explain_verdict(rollout: Rollout, evidence: EvidenceRecorded, at: datetime) -> str:
    limited = [m for m in evidence.measures if measure_rows.is_agreed(m)]
    clear = [m for m in limited if m.is_good]
    kept = sum(m.cleared for m in limited)
    shown = f", {kept} of them shown to hold" if kept else ""
    parts = [f"Why: {len(clear)} of {wording.pluralize(len(limited), 'limit')} not broken{shown}"]
    too_late = known_areas.is_too_late_for_new_errors(evidence.measures)  # which is said by itself
    if not too_late and (unknown := _list_unjudged(evidence)):
        parts.append(f"too little data to judge: {wording.join_limited(unknown)}")
    if isinstance(evidence.verdict, v.Cleared) and evidence.verdict.watched:
        rare = wording.join_limited(
            [
                measure_rows.title_in_sentence(metric, measure_rows.find_title(rollout, metric))
                for metric in evidence.verdict.watched
            ]
        )
        parts.append(f"too rare to be shown, only watched: {rare}")
    if rollout.stage is not None and rollout.stage.min_samples:
        parts.append(
            f"{wording.format_count(evidence.canary_requests)} requests "
            f"({wording.format_count(rollout.stage.min_samples)} needed)"
        )
    open_spots = {one.metric for one in blind_spot_words.select_open(rollout, evidence)}  # told in a line of their own
    judged = [m for m in limited if m.is_judged and m.metric not in open_spots]
    if noticed := _format_noticeable_change(rollout, judged, at):
        parts.append(noticed)
    return " · ".join(parts) if limited else ""


def _format_noticeable_change(rollout: Rollout, limited: list[v.Measure], at: datetime) -> str:
    for measure in sorted(limited, key=lambda m: m.metric != MAIN_METRIC):
        if change := technical_words.format_noticed_change(measure, detection_power(rollout, measure, at)):
            return f"we would have noticed {change} ({measure_rows.title_in_sentence(measure.metric, measure.title)})"
    return ""


def _build_chart(
    rollout: Rollout, evidence: EvidenceRecorded, at: datetime, zone: str, trend: Trend
) -> tuple[blocks.Block | None, blocks.ChartPicture | None]:
    """A chart of the most urgent metric up to `at`, as block and as picture; if none is urgent, of `MAIN_METRIC`
    first."""
    limited = [m for m in measure_rows.sort_by_urgency(evidence.measures) if measure_rows.is_agreed(m)]
    urgent = [m for m in limited if m.is_bad]
    for measure in urgent or sorted(limited, key=lambda m: m.metric != MAIN_METRIC):
        until = tuple(p for p in trend(measure.metric) if p.at <= at)
        if (drawn := charts.build_chart(until, measure, zone)) is not None:
            everyone = reach_words.name_everyone(rollout)
            names = tuple(headline.stage_label(stage, everyone) for stage in rollout.plan.stages)
            drawing = svg.draw_chart(until, measure, names, zone, "chart")
            return drawn, blocks.ChartPicture(title=drawn["title"], svg=drawing, alt=charts.describe_chart(drawn))
    return None, None


def _build_buttons(rollout: Rollout, evidence: EvidenceRecorded) -> blocks.Block | None:
    if rollout.state not in {RolloutState.RUNNING, RolloutState.WAITING}:
        return None
    details = buttons.run_command("Details", f"metrics {rollout.id}")
    thin = rollout.stage is not None and evidence.canary_requests < rollout.stage.min_samples
    reminder = buttons.run_command("Remind me", f"remind-me {rollout.id} --next", 1) if thin else None
    steering = (buttons.pause(rollout), buttons.roll_back(rollout), buttons.feels_off(rollout))
    return blocks.actions(*steering, details, reminder)
