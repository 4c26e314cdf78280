"""A plan on the calendar: what happens when, who is notified, and who must approve."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from math import ceil

from core.files.syntax.times import ahead, spoken
from core.rollout.plan import GATES, Advance, NoticePlan, Plan, Risk, Stage, StageKind
from core.rollout.policy import Policy
from core.rollout.surface import Surface


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the timeline, in the zone of the policy. `when_latest` is None if people or results decide.

    `requests_expected` counts canary requests until the stage can be left; None if unknown.
    """

    when_earliest: datetime
    when_latest: datetime | None
    what: str
    percent: float | None = None
    requests_expected: int | None = None


def timeline(plan: Plan, surface: Surface, policy: Policy, now: datetime) -> tuple[Row, ...]:
    """Every row in order: notices and approvals, then the stages, then the end.

    Steps wait for freezes and quiet hours to end, as they do in a real rollout.
    """
    begin = max(
        plan.start or now, now + max((n.before or timedelta(0) for n in plan.told_before), default=timedelta(0))
    )
    begin = _allowed(begin, policy)
    before = sorted(_before(plan, policy, now), key=lambda row: row.when_earliest)
    return (*before, *_stages(plan, surface, policy, begin))


def lines(rows: Sequence[Row]) -> list[str]:
    """Plain text, one line per row; dates with their weekday."""
    width = max((len(spoken(row.when_earliest)) for row in rows), default=0)
    return [_line(row, width) for row in rows]


def _line(row: Row, width: int) -> str:
    since = "from" if row.when_latest is None else ""
    text = f"{since:<5}{spoken(row.when_earliest):<{width}}  {row.what}"
    if row.requests_expected is not None:
        text += f", about {row.requests_expected:,} requests"
    late = row.when_latest is not None and row.when_latest != row.when_earliest
    return f"{text} (at the latest {spoken(row.when_latest)})" if late and row.when_latest else text


def _before(plan: Plan, policy: Policy, now: datetime) -> Iterator[Row]:
    local = policy.local(now)
    for notice in plan.notices:
        at = policy.local(_sent(notice, plan, now))
        yield Row(when_earliest=at, when_latest=at, what=_told(notice, plan))
    approvals = plan.approvals
    if approvals.needed:
        people = "1 person" if approvals.needed == 1 else f"{approvals.needed} people"
        groups = f", one of each of {' and '.join(approvals.groups)}" if approvals.groups else ""
        who = "" if approvals.owner_may_approve else f", not {plan.owner_handle or plan.owner}"
        where = "before the start and at every step" if plan.risk is Risk.HIGH else "before the start"
        yield Row(when_earliest=local, when_latest=None, what=f"approval {where}: {people}{groups}{who}")


def _sent(notice: NoticePlan, plan: Plan, now: datetime) -> datetime:
    if plan.start is None or notice.before is None or notice.audience == "engineering":
        return now
    return max(now, plan.start - notice.before)


def _told(notice: NoticePlan, plan: Plan) -> str:
    if notice.audience == "engineering":
        return f"{notice.channel} gets the card and its thread"
    lead = f", {ahead(notice.before)} before the start" if notice.before else ""
    blocks = ", which the start waits for" if plan.risk is Risk.HIGH else ""
    confirm = f"; somebody confirms it{blocks}" if notice.acknowledge else ""
    return f"{notice.channel} is told ({notice.audience}){lead}{confirm}"


def _stages(plan: Plan, surface: Surface, policy: Policy, begin: datetime) -> Iterator[Row]:
    earliest = begin
    # a start that waits for people, or has no fixed time, has no latest time
    latest: datetime | None = begin if plan.start is not None and not plan.approvals.needed else None
    for number, stage in enumerate(plan.stages):
        asks = number > 0 and (stage.advance is Advance.APPROVE or plan.risk is Risk.HIGH)
        if asks:
            latest = None
        yield Row(
            when_earliest=policy.local(earliest),
            when_latest=None if latest is None else policy.local(latest),
            what=_what(stage) + (", after approval" if asks else ""),
            percent=stage.percent if stage.exposes else None,
            requests_expected=_requests(stage, surface),
        )
        earliest += _lasts(stage, surface)
        if stage.kind is not StageKind.BAKE:  # its end is not growth, so freezes and quiet hours do not delay it
            earliest = _allowed(earliest, policy)
        latest = _left(stage, latest, policy)
    yield Row(
        when_earliest=policy.local(earliest),
        when_latest=None if latest is None else policy.local(latest),
        what=f"done: {plan.to_version} is live",
    )


def _what(stage: Stage) -> str:
    hold = f", at least {ahead(stage.min_hold)}" if stage.min_hold else ""
    samples = f" and {stage.min_samples:,} requests" if stage.min_samples else ""
    match stage.kind:
        case kind if kind in GATES:
            return f"{stage.name.replace('_', ' ')} must pass"
        case StageKind.COHORT:
            where = ", ".join(
                f"{k} = {v if isinstance(v, str) else ' or '.join(v)}" for k, v in (stage.where or {}).items()
            )
            return f"{stage.name} ({where}): {stage.percent:g}% of them{hold}{samples}"
        case StageKind.BAKE:
            return f"bake: everybody has it, the old version stays one flip away{hold}"
        case StageKind.RAMP:
            return f"{stage.name}{hold}{samples}"
        case _:
            return f"{stage.name} {stage.percent:g}%{hold}{samples}"


def _requests(stage: Stage, surface: Surface) -> int | None:
    if surface.daily_requests is None or not stage.exposes or stage.where is not None:
        return None
    return round(surface.daily_requests * stage.percent / 100 * (_lasts(stage, surface) / timedelta(days=1)))


def _lasts(stage: Stage, surface: Surface) -> timedelta:
    """The minimum hold, or the time that the minimum sample takes if the traffic is known and that is longer."""
    if not surface.daily_requests or not stage.exposes or stage.where is not None:
        return stage.min_hold
    sampled = timedelta(days=stage.min_samples / (surface.daily_requests * stage.percent / 100))
    return max(stage.min_hold, timedelta(minutes=ceil(sampled / timedelta(minutes=1))))


def _left(stage: Stage, entered: datetime | None, policy: Policy) -> datetime | None:
    """The latest end of the stage; None for gates, which wait for results, and for samples without a time limit."""
    if entered is None or stage.kind in GATES:
        return None
    if stage.max_hold is not None:
        return _allowed(entered + stage.max_hold, policy)
    if stage.min_samples:
        return None
    left = entered + stage.min_hold
    return left if stage.kind is StageKind.BAKE else _allowed(left, policy)


def _allowed(at: datetime, policy: Policy) -> datetime:
    """The first time from `at` on at which growth is allowed."""
    for _ in range(50):  # stops for a policy whose freezes and quiet hours leave no gap
        if frozen := policy.frozen(at):
            at = frozen[1]
        elif policy.quiet is not None and policy.quiet_for("advance", at):
            at = _next(policy.quiet.end, policy.local(at))
        else:
            break
    return at


def _next(end: time, local: datetime) -> datetime:
    """The next time quiet hours end after `local`."""
    day = local.date() if local.time() < end else local.date() + timedelta(days=1)
    moment = datetime.combine(day, end, local.tzinfo)
    past = moment.astimezone(UTC) <= local.astimezone(
        UTC
    )  # the clocks repeat this hour, and this is its second occurrence
    return moment.replace(fold=1) if past else moment
