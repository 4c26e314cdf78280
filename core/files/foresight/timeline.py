"""A plan on the calendar: what happens when, who is notified, and who must approve."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil
from typing import assert_never

from core import durations
from core.files.foresight.layer_reach import narrow_surface
from core.files.syntax.times import format_moment
from core.rollout.models.way_back import find_last_day
from core.rollout.plans import stage_words
from core.rollout.plans.layers import find_layer
from core.rollout.plans.plan import GATE_KINDS, AdvanceMode, NoticePlan, Plan, Risk, Stage, StageKind
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import Surface


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """One line of the timeline, in the zone of the policy. `when_latest` is None if people or results decide.

    `when_earliest` is when it happens if no limit breaks and nobody keeps it waiting. `requests_expected` counts canary
    requests until the stage can be left; None if unknown.
    """

    when_earliest: datetime
    when_latest: datetime | None
    what: str
    percent: float | None = None
    requests_expected: int | None = None


def build_timeline(
    plan: Plan,
    surface: Surface,
    policy: Policy,
    now: datetime,
    *,
    begin: datetime | None = None,
    expected_times: Mapping[str, timedelta] | None = None,
) -> tuple[TimelineRow, ...]:
    """Every row in order: notices and approvals, then the stages, then the end.

    `begin` is the earliest start if it is known, as after the notices have gone out. `expected_times` says by stage how
    long growth is expected to wait for evidence; a stage that is not in it lasts its hold and its requests. Steps wait
    for freezes and quiet hours to end, as they do in a real rollout.
    """
    if begin is None:
        lead = max((n.before or timedelta(0) for n in plan.stakeholder_notices), default=timedelta(0))
        begin = max(plan.start or now, now + lead)
    begin, surface = _next_allowed_time(begin, policy), narrow_surface(surface, policy)
    before = sorted(_rows_before_start(plan, policy, now), key=lambda row: row.when_earliest)
    return (*before, *_stage_rows(plan, surface, policy, begin, expected_times or {}))


def format_lines(rows: Sequence[TimelineRow]) -> list[str]:
    """Plain text, one line per row; dates with their weekday."""
    width = max((len(format_moment(row.when_earliest)) for row in rows), default=0)
    return [_format_line(row, width) for row in rows]


def _format_line(row: TimelineRow, width: int) -> str:
    since = "from" if row.when_latest is None else ""
    text = f"{since:<5}{format_moment(row.when_earliest):<{width}}  {row.what}"
    if row.requests_expected is not None:
        text += f", about {row.requests_expected:,} requests"
    late = row.when_latest is not None and row.when_latest != row.when_earliest
    return f"{text} (at the latest {format_moment(row.when_latest)})" if late and row.when_latest else text


def _rows_before_start(plan: Plan, policy: Policy, now: datetime) -> Iterator[TimelineRow]:
    local = policy.to_local_time(now)
    for notice in plan.notices:
        at = policy.to_local_time(_notice_sent_at(notice, plan, now))
        yield TimelineRow(when_earliest=at, when_latest=at, what=_describe_notice(notice, plan))
    approvals = plan.approvals
    if approvals.needed:
        people = "1 person" if approvals.needed == 1 else f"{approvals.needed} people"
        groups = f", one of each of {' and '.join(approvals.groups)}" if approvals.groups else ""
        who = "" if approvals.owner_may_approve else f", not {plan.owner_handle or plan.owner}"
        where = "before the start and at every step" if plan.risk is Risk.HIGH else "before the start"
        yield TimelineRow(when_earliest=local, when_latest=None, what=f"approval {where}: {people}{groups}{who}")


def _notice_sent_at(notice: NoticePlan, plan: Plan, now: datetime) -> datetime:
    if plan.start is None or notice.before is None or notice.audience == "engineering":
        return now
    return max(now, plan.start - notice.before)


def _describe_notice(notice: NoticePlan, plan: Plan) -> str:
    if notice.audience == "engineering":
        return f"{notice.channel} gets the card and its thread"
    lead = f", {durations.format_exact(notice.before)} before the start" if notice.before else ""
    blocks = ", which the start waits for" if plan.risk is Risk.HIGH else ""
    confirm = f"; somebody there has to confirm it{blocks}" if notice.acknowledge else ""
    return f"{notice.channel} is notified ({notice.audience}){lead}{confirm}"


def _stage_rows(
    plan: Plan, surface: Surface, policy: Policy, begin: datetime, expected_times: Mapping[str, timedelta]
) -> Iterator[TimelineRow]:
    earliest = begin
    # a start that waits for people, or has no fixed time, has no latest time
    latest: datetime | None = begin if plan.start is not None and not plan.approvals.needed else None
    in_layer = find_layer(policy.layers, plan.surface) is not None
    last = find_last_day(plan, surface)
    for number, stage in enumerate(plan.stages):
        asks = number > 0 and (stage.advance is AdvanceMode.APPROVE or plan.risk is Risk.HIGH)
        if asks:
            latest = None
        lasts = max(
            _expected_duration(stage, surface), _round_up_to_minute(expected_times.get(stage.name, timedelta(0)))
        )
        span = [policy.to_local_time(at).date() for at in (earliest, earliest + lasts)]
        back = _describe_way_back(last.day if last is not None else None, *span)
        yield TimelineRow(
            when_earliest=policy.to_local_time(earliest),
            when_latest=None if latest is None else policy.to_local_time(latest),
            what=_describe_stage(stage, back, in_layer=in_layer) + (", after approval" if asks else ""),
            percent=stage.percent if stage.has_exposure else None,
            requests_expected=_expected_requests(stage, surface, lasts),
        )
        earliest += lasts
        if stage.kind is not StageKind.BAKE:  # its end is not growth, so freezes and quiet hours do not delay it
            earliest = _next_allowed_time(earliest, policy)
        latest = _latest_exit(stage, latest, policy)
    yield TimelineRow(
        when_earliest=policy.to_local_time(earliest),
        when_latest=None if latest is None else policy.to_local_time(latest),
        what=f"done: {plan.to_version} is live",
    )


def _describe_way_back(last: date | None, begins: date, ends: date) -> str:
    """Whether one can go back in a stage; `last` is the last day on which the old version can be called."""
    if last is None or ends <= last:
        return "rolling back still takes seconds"
    return f"rolling back takes seconds until {last.isoformat()}" if begins <= last else "nobody can go back any more"


def _describe_stage(stage: Stage, back: str, *, in_layer: bool) -> str:
    hold = f", at least {durations.format_exact(stage.min_hold)}" if stage.min_hold else ""
    samples = f" and {stage.min_samples:,} requests" if stage.min_samples else ""
    match stage.kind:
        case StageKind.EVAL | StageKind.SAFETY | StageKind.COST_LATENCY | StageKind.ROLLBACK_DRILL:
            return f"{stage_words.name_stage(stage)} must pass"
        case StageKind.COHORT:
            where = ", ".join(
                f"{k} = {v if isinstance(v, str) else ' or '.join(v)}" for k, v in (stage.where or {}).items()
            )
            return f"{stage.name} ({where}): {stage.percent:g}% of them{hold}{samples}"
        case StageKind.BAKE:
            whom = "its whole share of the layer has it" if in_layer else "everybody has it"
            return f"bake: {whom}, and {back}{hold}"
        case StageKind.RAMP:
            return f"{stage.name}{hold}{samples}"
        case StageKind.CANARY | StageKind.AB:
            return f"{stage.name} {stage.percent:g}%{hold}{samples}"
        case _:
            assert_never(stage.kind)


def _expected_requests(stage: Stage, surface: Surface, lasts: timedelta) -> int | None:
    if surface.daily_requests is None or not stage.has_exposure or stage.where is not None:
        return None
    return round(surface.daily_requests * stage.percent / 100 * (lasts / timedelta(days=1)))


def _expected_duration(stage: Stage, surface: Surface) -> timedelta:
    """The minimum hold, or the time that the minimum sample takes if the traffic is known and that is longer."""
    if not surface.daily_requests or not stage.has_exposure or stage.where is not None:
        return stage.min_hold
    sampled = timedelta(days=stage.min_samples / (surface.daily_requests * stage.percent / 100))
    return max(stage.min_hold, _round_up_to_minute(sampled))


def _round_up_to_minute(span: timedelta) -> timedelta:
    return timedelta(minutes=ceil(span / timedelta(minutes=1)))


def _latest_exit(stage: Stage, entered: datetime | None, policy: Policy) -> datetime | None:
    """The latest end of the stage; None for gates, which wait for results, and for samples without a time limit."""
    if entered is None or stage.kind in GATE_KINDS:
        return None
    if stage.max_hold is not None:
        return _next_allowed_time(entered + stage.max_hold, policy)
    if stage.min_samples:
        return None
    left = entered + stage.min_hold
    return left if stage.kind is StageKind.BAKE else _next_allowed_time(left, policy)


def _next_allowed_time(at: datetime, policy: Policy) -> datetime:
    """The first time from `at` on at which growth is allowed."""
    for _ in range(50):  # stops for a policy whose freezes and quiet hours leave no gap
        if frozen := policy.find_freeze(at):
            at = frozen[1]
        elif policy.quiet is not None and policy.is_quiet_for("advance", at):
            at = _next_end_of_quiet(policy.quiet.end, policy.to_local_time(at))
        else:
            break
    return at


def _next_end_of_quiet(end: time, local: datetime) -> datetime:
    """The next time quiet hours end after `local`."""
    day = local.date() if local.time() < end else local.date() + timedelta(days=1)
    moment = datetime.combine(day, end, local.tzinfo)
    # the clocks repeat this hour, and this is its second occurrence
    past = moment.astimezone(UTC) <= local.astimezone(UTC)
    return moment.replace(fold=1) if past else moment
