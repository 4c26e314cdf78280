"""What a command does to a rollout: the events that follow, or a refusal that says why and what to do next."""

from datetime import timedelta

from core.judging.model.verdict import BlindSpot
from core.judging.model.verdict import Hold as HoldVerdict
from core.rollout import commands as c
from core.rollout import events as e
from core.rollout import gates, holds, permission, ticking
from core.rollout.context import Context, is_same_person
from core.rollout.model import TERMINAL, UNDER_WAY, Rollout, State
from core.rollout.plan import GATES, Risk, Stage, StageKind, changed_parts, content_hash
from core.rollout.refusal import Conflict, Refused
from core.rollout.surface import Surface, is_taken

FELT_OFF_HOLDS = 2  # different people who report that it feels off
TRIALS = frozenset(
    {StageKind.COHORT, StageKind.CANARY, StageKind.AB}
)  # the stages in which a few people try the version first
LONGEST_WAIT = timedelta(days=366)


def decide(rollout: Rollout | None, command: c.RolloutCommand, context: Context) -> list[e.RolloutEvent]:
    """The events that follow from `command`; none if what it asks for is already the case.

    Raises `Refused` with a message for the person who asked.
    """
    permission.check(rollout, command, context)
    if isinstance(command, c.PlanRollout):
        return _plan(rollout, command, context)
    assert rollout is not None, "the service answers for what does not exist"
    match command:
        case c.Start():
            return _start(rollout, command, context)
        case c.Approve():
            return _approve(rollout, command, context)
        case c.Reject():
            return _reject(rollout, command, context)
        case c.Advance():
            return _advance(rollout, command, context)
        case c.Pause():
            return _pause(rollout, command, context)
        case c.Resume():
            return _resume(rollout, command, context)
        case c.RollBack():
            return _roll_back(rollout, command, context)
        case c.Abandon():
            return _abandon(rollout, command, context)
        case c.AcknowledgeNotice():
            return _acknowledge(rollout, command, context)
        case c.RaiseConcern():
            return [
                e.ConcernRaised(
                    notice=command.notice, by=context.by.id, handle=context.by.name, text=_said(command.text, "concern")
                )
            ]
        case c.FeelsOff():
            return _feels_off(rollout, command, context)
        case c.RecordEval():
            return _record_eval(rollout, command, context)
        case _:
            return ticking.decide(rollout, command, context)


def _said(text: str, what: str) -> str:
    """The reason without surrounding space. Refused if it is empty; `what` names the action."""
    if not text.strip():
        raise Refused(f"Please say why: a {what} without words helps nobody.", hint='Add it in quotes: "…".')
    return text.strip()


def _must_be_under_way(rollout: Rollout, verb: str) -> None:
    """Refuse unless the rollout has started and not ended; `verb` names the action."""
    if rollout.state not in UNDER_WAY:
        started = "has not started" if rollout.state is State.PLANNED else f"is {rollout.state.replace('_', ' ')}"
        raise Refused(
            f"{rollout.id} {started}, so there is nothing to {verb}.", hint=f"See /rollout status {rollout.id}."
        )


def _plan(rollout: Rollout | None, command: c.PlanRollout, context: Context) -> list[e.RolloutEvent]:
    plan, surface = command.plan, context.surface
    assert surface is not None
    fingerprint = plan.fingerprint()
    if rollout is not None and rollout.state is not State.ABANDONED:
        if rollout.fingerprint == fingerprint and not _is_outdated(rollout, surface):
            return []
        if rollout.state is not State.PLANNED:
            raise Refused(
                f"{rollout.id} {plan.name} has begun, and its plan and limits are frozen. An edit is a new rollout.",
                hint="Give the file another name in `rollout:` and apply it again.",
            )
    if plan.from_version != surface.live:
        raise Refused(
            f"This starts from {plan.from_version}, but live on {surface.name} is {surface.live}: "
            "someone shipped in between.",
            hint=f"Write `from: {surface.name}@{surface.live}` and read the plan again.",
        )
    before = surface.live_content
    after = {**before, **plan.change}
    if not changed_parts(before, after):
        raise Refused(
            f"{plan.to_version} is the same as {plan.from_version}: nothing would change.", hint="See `change.to`."
        )
    if is_taken(surface, plan.to_version, after):
        raise Refused(gates.name_taken(surface, plan.to_version), hint=gates.name_hint(surface))
    planned = e.Planned(
        rollout=rollout.id if rollout and rollout.state is State.PLANNED else context.new_id,
        plan=plan,
        fingerprint=fingerprint,
        from_content=before,
        to_content=after,
        by=context.by.id,
    )
    events: list[e.RolloutEvent] = [planned]
    if plan.approvals.needed:
        made = rollout.requests_made if rollout and rollout.state is State.PLANNED else 0
        request = e.ApprovalRequested(
            request=f"{planned.rollout}.{made + 1}",
            gate=gates.START,
            needed=plan.approvals.needed,
            verdict="none",
            expires_at=context.at + context.policy.approval_expires,
        )
        events.append(request)
    return events


def _is_outdated(rollout: Rollout, surface: Surface) -> bool:
    """Whether a plan that has not started was made for other contents than its version names have now."""
    if rollout.state is not State.PLANNED or surface.live != rollout.plan.from_version:
        return False
    other = content_hash(rollout.from_content) != content_hash(surface.live_content)
    return other or is_taken(surface, rollout.plan.to_version, rollout.to_content)


def _start(rollout: Rollout, command: c.Start, context: Context) -> list[e.RolloutEvent]:
    if rollout.started_at is not None:
        if rollout.under_way:
            return []
        raise Refused(
            f"{rollout.id} is {rollout.state.replace('_', ' ')}; trying again is a new rollout.",
            hint="Give the file another name in `rollout:` and apply it.",
        )
    if rollout.state is State.ABANDONED:
        raise Refused(f"{rollout.id} was abandoned.", hint="Apply its file again to plan it anew.")
    if command.then is not None:
        if command.then > context.at + LONGEST_WAIT:
            raise Refused("That is more than a year away.", hint="Apply the file again when the time comes nearer.")
        earliest = gates.earliest_start(rollout, context.at)
        start = max(command.then, context.at, earliest[0] if earliest else context.at)
        return [e.StartScheduled(start=start, by=context.by.id)]
    base = context.surface.live if context.surface is not None else ""
    if context.others and context.policy.when_busy == "queue" and base == rollout.plan.from_version:
        if rollout.start is not None and rollout.start <= context.at:
            return []
        return [e.StartScheduled(start=context.at, by=context.by.id)]  # it starts once the surface is free
    gates.check_start(rollout, context)
    return ticking.begin(rollout, context)


def _the_request(rollout: Rollout, asked: str) -> e.ApprovalRequested:
    """The open approval request. Refused if there is none; Conflict if `asked` names another one."""
    request = rollout.request
    if request is None:
        if rollout.state in TERMINAL:
            raise Refused(f"{rollout.id} is {rollout.state.replace('_', ' ')}; there is nothing to approve any more.")
        raise Refused(f"{rollout.id} is not waiting for an approval.", hint=f"See /rollout status {rollout.id}.")
    if asked and asked != request.request:
        raise Conflict(
            f"The plan or the evidence changed since this request ({asked} is now {request.request}). "
            "Nothing was applied.",
            hint="Look at the newest request in the thread.",
        )
    return request


def _approve(rollout: Rollout, command: c.Approve, context: Context) -> list[e.RolloutEvent]:
    request, by = _the_request(rollout, command.request), context.by
    if any(is_same_person(a.by, by.id) for a in rollout.approvals):
        return []
    if gates.is_open(rollout):
        names = ", ".join(a.handle for a in rollout.approvals)
        raise Conflict(f"{names} already approved this; no more is needed.")
    if context.at > request.expires_at:
        raise Refused("This request has expired. Nothing was applied.", hint="A new one is on its way in the thread.")
    return [e.Approved(request=request.request, by=by.id, handle=by.name, groups=by.groups, note=command.note.strip())]


def _reject(rollout: Rollout, command: c.Reject, context: Context) -> list[e.RolloutEvent]:
    request = _the_request(rollout, command.request)
    reason = _said(command.reason, "rejection")
    rejected = e.Rejected(request=request.request, by=context.by.id, reason=reason)
    if rollout.state is State.PLANNED:
        anew = gates.ask(rollout, request.gate, request.needed, context)
        return [rejected, anew]
    # Who rejected it and why is only in the rejection, where it is encrypted.
    held = e.Held(key=f"rejected:{request.request}", text=f"{request.gate} was rejected; why stands in the thread")
    return [rejected, held]


def _advance(rollout: Rollout, command: c.Advance, context: Context) -> list[e.RolloutEvent]:
    _must_be_under_way(rollout, "advance")
    if rollout.state is State.WAITING:
        raise Refused(
            f"{rollout.id} waits for {gates.missing(rollout)}. Nothing skips an approval.",
            hint="The request with its buttons is in the thread.",
        )
    if rollout.state is not State.RUNNING:
        raise Refused(
            f"{rollout.id} is {rollout.state.replace('_', ' ')} and does not grow.",
            hint=f'First: /rollout resume {rollout.id} "why".',
        )
    if (why := gates.blocked(context)) and why != "quiet hours":
        raise Refused(f"Nothing grows now: {why}. Rolling back still works.")
    verdict = rollout.evidence.verdict if rollout.evidence else None
    if isinstance(verdict, HoldVerdict) and any(holds.key_of(f) not in rollout.overridden for f in verdict.findings):
        raise Refused("A limit speaks against it.", hint=f"See /rollout metrics {rollout.id}.")
    if command.to_percent is not None:
        return _jump(rollout, command.to_percent, command.reason, context)
    stage = rollout.stage
    assert stage is not None
    if stage.kind in GATES and not ticking.gate_passed(rollout):
        raise Refused(
            f"The {stage.name} gate is not passed yet, and a gate is never skipped.",
            hint=f"Import its results: rollout evals import FILE --rollout {rollout.id}.",
        )
    _must_have_shown(rollout, context)
    reason = _said(command.reason, "skipped wait")
    if (following := rollout.next_stage) is not None and rollout.percent < 100 == following.percent:
        reason = _must_have_been_tried(rollout, context, reason)
    return [*_unseen(rollout, reason, context), *ticking.move_on(rollout, context, skipped=reason)]


def _jump(rollout: Rollout, percent: float, reason: str, context: Context) -> list[e.RolloutEvent]:
    """Skip to a later step. Gates, and stages that the policy does not let be skipped, are never skipped."""
    steps = [
        (i, s) for i, s in enumerate(rollout.plan.stages) if i > rollout.stage_index and s.kind is not StageKind.BAKE
    ]
    target = next(((i, s) for i, s in steps if s.percent == percent), None)
    few = rollout.stage is not None and rollout.stage.kind is StageKind.COHORT  # a percentage of selected people
    now = 0.0 if few else rollout.percent
    if percent <= now:
        raise Refused(f"{rollout.id} is at {rollout.percent:g} % already; percentages only grow.")
    if target is None:
        there = ", ".join(f"{s.percent:g} %" for _, s in steps if s.percent > now) or "none"
        raise Refused(f"{percent:g} % is not a step of this plan.", hint=f"Steps ahead: {there}.")
    index, stage = target
    between = [s for i, s in steps if i < index]
    if any(s.kind in GATES for s in between) or (rollout.stage and rollout.stage.kind in GATES):
        raise Refused("There is a gate in between, and a gate is never skipped.")
    may_skip = context.policy.risk[rollout.plan.risk].may_skip
    skipped_kinds = {s.kind for s in between if s.kind is not StageKind.RAMP}
    if rollout.plan.risk is Risk.HIGH and between:
        raise Refused("High risk skips no stage.", hint=f"Next step is {between[0].percent:g} %.")
    if forbidden := skipped_kinds - set(may_skip):
        raise Refused(f"A {rollout.plan.risk} risk rollout may not skip {', '.join(sorted(forbidden))}.")
    factor = context.policy.max_step
    big = factor is not None and percent > factor * (now or context.policy.canary_max)
    if big or percent == 100:
        reason = _must_have_been_tried(rollout, context, reason)
    if big and not reason.strip():
        raise Refused(
            f"{rollout.percent:g} % -> {percent:g} % is a big jump (policy: at most x{factor:g}). "
            f"Next step is {(between[0] if between else stage).percent:g} %.",
            hint='To jump anyway: --skip-wait "why" (it will be shown in every message).',
        )
    _must_have_shown(rollout, context)
    reason = _said(reason, "skipped wait")
    return [*_unseen(rollout, reason, context, stage), *ticking.move_on(rollout, context, skipped=reason, to=index)]


def _must_have_been_tried(rollout: Rollout, context: Context, reason: str) -> str:
    """Refuse unless every trial stage (cohort, canary, ab) has held as long as the plan and the policy require.

    A reason skips the wait between steps, not the trial. Trials that the policy allows to skip are not required, and
    members of its `break_glass` groups may go on anyway. Returns the reason to record.
    """
    terms = context.policy.risk[rollout.plan.risk]
    needless = set(terms.may_skip)
    if not any(stage.kind in {StageKind.CANARY, StageKind.AB} for stage in rollout.plan.stages):
        needless -= {StageKind.COHORT}  # the only trial in this plan
    for span in rollout.spans:
        stage = rollout.plan.stages[span.index]
        if stage.kind not in TRIALS or stage.kind in needless:
            continue
        under_way = span is rollout.spans[-1]
        held = rollout.held_for(context.at) if under_way else (span.until or context.at) - span.since
        asked = terms.min_canary_hold if stage.kind is StageKind.CANARY else timedelta(0)
        asked = max(asked, stage.min_hold) if under_way else asked
        if held < asked:
            if (loud := _breaks_glass(rollout, context, reason)) is not None:
                return loud
            raise Refused(
                f"{stage.name} has held for {gates.span(held)} of {gates.span(asked)}: before that it goes "
                "neither to everybody nor over a step that the policy calls big, whatever the reason.",
                hint=_smaller(rollout),
                earliest=context.at + (asked - held) if under_way else None,
            )
    return reason


def _breaks_glass(rollout: Rollout, context: Context, reason: str) -> str | None:
    """The reason to record for a person who may go on before the trial has held, with the date of its review.

    None for everyone else. Refused if the reason is too short.
    """
    terms = context.policy.break_glass
    if terms is None or not set(terms.groups) & set(context.by.groups):
        return None
    if len(reason.strip()) < terms.reason_min_chars:
        raise Refused(
            f"You may go on before {rollout.id} has been tried, with a reason of at least {terms.reason_min_chars} "
            "characters.",
            hint='Say more: --skip-wait "why" (it will be shown in every message).',
        )
    due = gates.when(context.at + terms.review_within, context)
    return f"{reason.strip()} (before it was tried, by break-glass; to be reviewed by {due})"


def _smaller(rollout: Rollout) -> str:
    """A hint: the next step that is smaller than the refused one, or that nothing has to be done."""
    following = rollout.next_stage
    if following is None or following.percent == 100:
        return f"It goes on by itself. Going back takes seconds: /rollout rollback {rollout.id}."
    return f'/rollout advance {rollout.id} --skip-wait "why" takes the next step, {following.percent:g} %.'


def _unseen(rollout: Rollout, reason: str, context: Context, to: Stage | None = None) -> list[e.RolloutEvent]:
    """The acceptance of what could have been missed, where a person does not wait for it; empty if there is nothing."""
    spots = gates.keeps(rollout, gates.blind_now(rollout), context.policy, to)
    return [_accepted(rollout, reason, spots, context, lasting=False)] if spots else []


def _accepted(
    rollout: Rollout, reason: str, spots: tuple[BlindSpot, ...], context: Context, *, lasting: bool
) -> e.BlindSpotsAccepted:
    """The event by which a person accepts these blind spots."""
    stage = rollout.stage
    assert stage is not None
    return e.BlindSpotsAccepted(by=context.by.id, reason=reason, stage=stage.name, lasting=lasting, spots=spots)


def _must_have_shown(rollout: Rollout, context: Context) -> None:
    """Refuse if the policy requires every limit to be shown to be kept and that is not yet the case."""
    if gates.may_grow(rollout, rollout.evidence.verdict if rollout.evidence else None, context.policy):
        return
    raise Refused(
        "At high risk nothing grows before every limit is shown to be kept, and that is not shown yet.",
        hint=f"/rollout metrics {rollout.id} says what is missing. Once the longest hold is over, it is asked about.",
    )


def _pause(rollout: Rollout, command: c.Pause, context: Context) -> list[e.RolloutEvent]:
    _must_be_under_way(rollout, "pause")
    if rollout.state is State.PAUSED:
        return []
    return [e.Paused(by=context.by.id, reason=command.reason.strip())]


def _resume(rollout: Rollout, command: c.Resume, context: Context) -> list[e.RolloutEvent]:
    if rollout.state is State.RUNNING:
        return []
    if rollout.state is State.PAUSED:
        return [e.Resumed(by=context.by.id, reason=command.reason.strip())]
    if rollout.state is State.ON_HOLD:
        assert rollout.hold is not None
        reason = _said(command.reason, "resume after a hold")
        resumed = e.Resumed(by=context.by.id, reason=reason, overrides=rollout.hold.key)
        if rollout.hold.key != holds.UNREAD and not rollout.hold.key.startswith(holds.UNDECIDED):
            return [resumed]
        spots = gates.keeps(rollout, gates.blind_now(rollout), context.policy)
        if rollout.hold.key == holds.UNREAD:
            spots = gates.unread_limits(spots)
        return [resumed, _accepted(rollout, reason, spots, context, lasting=True)] if spots else [resumed]
    _must_be_under_way(rollout, "resume")
    raise Refused(f"{rollout.id} waits for {gates.missing(rollout)}; it is not paused.")


def _roll_back(rollout: Rollout, command: c.RollBack, context: Context) -> list[e.RolloutEvent]:
    match rollout.state:
        case State.ROLLED_BACK | State.ABANDONED:
            return []  # already safe: rolling back twice is not an error
        case State.PLANNED:
            return [e.Abandoned(by=context.by.id, reason=command.reason.strip() or "rolled back before it started")]
        case State.DONE:
            surface = context.surface
            assert surface is not None
            if surface.live != rollout.plan.to_version or surface.live_by != rollout.id:
                raise Refused(
                    f"{surface.live} ({surface.live_by or 'applied'}) has gone live on {surface.name} "
                    f"since {rollout.id}.",
                    hint=f"Roll back {surface.live_by} instead." if surface.live_by else "",
                )
    return [ticking.rolled_back(rollout, context, reason=command.reason.strip(), findings=())]


def _abandon(rollout: Rollout, command: c.Abandon, context: Context) -> list[e.RolloutEvent]:
    if rollout.state is State.ABANDONED:
        return []
    if rollout.state is not State.PLANNED:
        raise Refused(
            f"{rollout.id} has begun, so it cannot be abandoned.",
            hint=f"Use /rollout rollback {rollout.id}: it takes seconds.",
        )
    return [e.Abandoned(by=context.by.id, reason=command.reason.strip())]


def _acknowledge(rollout: Rollout, command: c.AcknowledgeNotice, context: Context) -> list[e.RolloutEvent]:
    keys = {n.key: n for n in rollout.plan.told_before}
    key = command.notice
    if not key:
        open_keys = [k for k, n in keys.items() if n.channel == context.by.channel] or list(keys)
        key = open_keys[0] if len(open_keys) == 1 else ""
    if key not in keys:
        raise Refused(f"{rollout.id} has no such notice.", hint=f"Its notices: {', '.join(keys) or 'none'}.")
    if rollout.notice_posted(key) is None:
        raise Refused("That notice has not been posted yet, so nobody can have read it.")
    if any(is_same_person(who, context.by.id) for who in rollout.acknowledged_by.get(key, ())):
        return []
    return [e.NoticeAcknowledged(notice=key, by=context.by.id, handle=context.by.name)]


def _feels_off(rollout: Rollout, command: c.FeelsOff, context: Context) -> list[e.RolloutEvent]:
    _must_be_under_way(rollout, "doubt")
    if any(is_same_person(who, context.by.id) for who in rollout.felt_off):
        return []
    felt = e.FeltOff(by=context.by.id, handle=context.by.name, text=command.text.strip())
    if (
        len(rollout.felt_off) + 1 < FELT_OFF_HOLDS
        or rollout.state is not State.RUNNING
        or "felt_off" in rollout.overridden
    ):
        return [felt]
    return [felt, e.Held(key="felt_off", text=f"{len(rollout.felt_off) + 1} people say the new version feels off")]


def _record_eval(rollout: Rollout, command: c.RecordEval, context: Context) -> list[e.RolloutEvent]:
    if rollout.state in TERMINAL:
        raise Refused(f"{rollout.id} is {rollout.state.replace('_', ' ')}; results come too late.")
    index = ticking.gate_of(rollout, command.suite)
    known = rollout.evals.get(index)
    if known is not None and known.digest == command.digest:
        return []
    if index < rollout.stage_index:
        raise Refused(f"The {rollout.plan.stages[index].name} stage has ended; results may come until then.")
    recorded = e.EvalRecorded(
        stage=index,
        suite=command.suite,
        ok=command.ok,
        passed=command.passed,
        failed=command.failed,
        errors=command.errors,
        reasons=command.reasons,
        cases=command.cases,
        digest=command.digest,
        by=context.by.id,
    )
    if command.ok or rollout.state is not State.RUNNING or index != rollout.stage_index:
        return [recorded]
    return [
        recorded,
        e.Held(key=f"eval:{command.digest}", text=f"{command.suite or 'eval'} failed: {command.reasons[0]}"),
    ]
