"""The first line about a rollout (state, subject, consequence, next time), shared by card, status and list."""

from datetime import datetime
from typing import assert_never

from bot.rendering import reach_words, wording
from bot.rendering.neighbours import queue_words
from core.rollout.concurrency.start_queue import QueuePlace
from core.rollout.decisions import approval_requests, start_conditions
from core.rollout.plans import stage_words
from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.plans.plan import GATE_KINDS, Plan, Stage, StageKind
from core.rollout.serving import conversations, holdout
from core.rollout.serving.after_done import AfterDone
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState

AS_SOON_AS_KNOWN = "as soon as enough is known"
"""When a step comes whose time has passed."""
_NAME_LIMIT = 40  # characters of a rollout's name that `format_subject` shows


def render(
    rollout: Rollout,
    zone: str,
    place: QueuePlace | None = None,
    at: datetime | None = None,
    after: AfterDone | None = None,
) -> str:
    """One line of at most 140 visible characters; times appear in each reader's own time zone.

    `place` is that in the queue, if it waits there, and `at` the time at which it is read: what could have come before
    then has no date. `after` is how things stand with one that is done: without it nothing is said of what is live.
    """
    consequence = _describe_consequence(rollout, zone, place, at, after)
    return f"{reach_words.format_state(rollout)}: {wording.format_subject(rollout)}{consequence}"


def _describe_consequence(
    rollout: Rollout, zone: str, place: QueuePlace | None, at: datetime | None, after: AfterDone | None
) -> str:
    match rollout.state:
        case RolloutState.PLANNED:
            return f", {wording.format_version_change(rollout)}. {describe_start_condition(rollout, zone, place)}"
        case RolloutState.RUNNING:
            return _describe_running(rollout, zone, at)
        case RolloutState.WAITING:
            if rollout.request is None:
                return "."
            missing = wording.escape(approval_requests.describe_missing_approvals(rollout), 80)
            return f" needs {missing}. {_describe_exposure(rollout)}"
        case RolloutState.ON_HOLD:
            exposure = _describe_exposure(rollout)
            text = _describe_hold(rollout, len(exposure))
            if text.endswith("…"):  # why it holds matters more here than of whom the share is
                exposure = _describe_exposure(rollout, briefly=True)
                text = _describe_hold(rollout, len(exposure))
            text += "" if text.endswith("…") else "."
            if rollout.hold is not None and holds.clears_itself(rollout.hold.key):
                return f": {text} {exposure}; it continues once this clears."
            return f": {text} {exposure} until {wording.format_owner(rollout)} decides."
        case RolloutState.PAUSED:
            return f". {_describe_exposure(rollout)} until somebody resumes it."
        case RolloutState.ROLLED_BACK:
            old = wording.escape(rollout.plan.from_version, 40)
            since = f" {wording.format_local_time(rollout.ended_at, zone)}" if rollout.ended_at is not None else ""
            reach = (
                f"New conversations get {old}; those under way finish"
                if conversations.is_finishing(rollout)
                else f"Everyone got {old} again{since}"
            )
            return f". {reach}; {_describe_switch_back(rollout)}."
        case RolloutState.DONE:
            new = wording.escape(rollout.plan.to_version, 40)
            due = holdout.find_due(rollout)
            if due is not None and rollout.plan.holdout is not None:
                share = wording.format_percent(rollout.plan.holdout.percent)
                return f". Everyone gets {new} but {share}, held back until {wording.format_local_time(due, zone)}."
            return _describe_done(rollout, new, after)
        case RolloutState.ABANDONED:
            return ". Nothing changed."
        case _:
            assert_never(rollout.state)


def _describe_done(rollout: Rollout, new: str, after: AfterDone | None) -> str:
    """What is live by now, and whether there is a way back, as far as that is known. Not what everyone gets: another
    rollout may be under way on it."""
    if after is None:
        return f". It made {new} live."
    if after.live != rollout.plan.to_version:
        return f". {new} was live; now {wording.escape(after.live, 40)} is."
    if not after.is_last:
        return f". {new} is live."
    if after.is_closed:
        return f". {new} is live; {wording.escape(rollout.plan.from_version, 40)} can no longer be called."
    until = f" until {after.last_day.isoformat()}" if after.last_day is not None else ""
    return f". {new} is live. You can still roll back{until}."


def _describe_switch_back(rollout: Rollout) -> str:
    if rollout.flip is not None:
        return f"it took {wording.format_duration(rollout.flip.seconds)}"
    return "NOT CONFIRMED yet" if rollout.flip_doubted else "being confirmed"


def _describe_exposure(rollout: Rollout, *, briefly: bool = False) -> str:
    """Who has it while it does not grow, as a sentence without its end."""
    stage = rollout.stage
    if not rollout.percent or stage is None:
        return "Nobody sees it"
    return f"It stays {reach_words.format_position(rollout, briefly=briefly)}"


def name_gate(rollout: Rollout, gate: str) -> str:
    """What an approval request is for, as the card names it: `the start`, `long comparison 50 %`; escaped."""
    if gate == approval_requests.START_GATE:
        return "the start"
    stage = next((stage for stage in rollout.plan.stages if stage.name == gate), None)
    return stage_label(stage, reach_words.name_everyone(rollout)) if stage is not None else wording.escape(gate, 60)


def _describe_hold(rollout: Rollout, exposure: int) -> str:
    """Why it holds, shortened so that the line keeps its limit beside an `exposure` of so many characters."""
    longer = exposure - len("It stays at 5 %")
    spare = _NAME_LIMIT - min(len(rollout.plan.name), _NAME_LIMIT)
    return wording.escape(rollout.hold.text if rollout.hold else "", 45 - max(longer - spare, 0))


def describe_start_condition(rollout: Rollout, zone: str, place: QueuePlace | None) -> str:
    """What a planned rollout is waiting for before it can start."""
    if place is not None and (rollout.request is None or approval_requests.is_approved(rollout)):
        return f"It is {queue_words.describe_place(place)}."
    if rollout.live_instead and rollout.start is None:
        old, live = wording.escape(rollout.plan.from_version, 40), wording.escape(rollout.live_instead, 40)
        return f"Cannot start: {old} is no longer live, {live} is."
    if rollout.frozen_until is not None:
        return f"Frozen until {wording.format_local_time(rollout.frozen_until, zone)}; it does not start before."
    before = _find_one_before(rollout)
    if rollout.request is not None and not approval_requests.is_approved(rollout):
        need = wording.escape(approval_requests.describe_missing_approvals(rollout), 80)
        by_itself = f", then starts {wording.format_local_time(rollout.start, zone)}" if rollout.start else ""
        if rollout.renewal is not None or before:
            by_itself = f", then starts{f' once {before} is done' if before else ''}"
        return f"Needs {need}{by_itself}."
    if rollout.start is not None and before:
        return f"Starts automatically once {before} is done."
    missing = wording.escape(start_conditions.describe_missing_answers(rollout), 160)
    if rollout.start is not None:
        at = wording.format_local_time(rollout.start, zone)
        return f"Starts automatically {at}.{f' {missing}' if missing else ''}"
    if any(rollout.notice_posted_at(n.key) is None for n in rollout.plan.stakeholder_notices):
        return "Notices go out first."
    if missing:
        return f"Cannot start yet: {missing}"
    earliest = _earliest_start(rollout)
    if earliest is not None:
        return f"Can start from {wording.format_local_time(earliest, zone)}."
    return f"Start it with /rollout start {rollout.id}."


def _find_one_before(rollout: Rollout) -> str:
    """The id of the rollout that comes before this one in a bundle that goes in order; empty if there is none."""
    bundled = rollout.bundle
    if bundled is None or bundled.order is not BundleOrder.IN_ORDER:
        return ""
    index = bundled.members.index(rollout.id)
    return bundled.members[index - 1] if index else ""


def _earliest_start(rollout: Rollout) -> datetime | None:
    notices = [
        (rollout.notice_posted_at(n.key), n.before) for n in rollout.plan.stakeholder_notices if n.before is not None
    ]
    ends = [posted + before for posted, before in notices if posted is not None and before is not None]
    return max(ends) if ends else None


def _describe_running(rollout: Rollout, zone: str, at: datetime | None) -> str:
    stage = rollout.stage
    assert stage is not None
    if stage.kind in GATE_KINDS:
        waits = "the drill" if stage.kind is StageKind.ROLLBACK_DRILL else "its results"
        return f". Nobody sees it yet. Next: {next_stage_label(rollout)}, after {waits}."
    if rollout.frozen_until is not None and stage.percent < 100:
        frozen = wording.format_local_time(rollout.frozen_until, zone)
        exposure = _describe_exposure(rollout)
        return f". Frozen until {frozen}: {exposure[:1].lower()}{exposure[1:]}."
    if stage.kind is StageKind.BAKE:
        whom = reach_words.name_everyone(rollout)
        return f" is with {whom}. Done {_format_hold_end(rollout, zone, at)}, if all goes well."
    if is_hold_over(rollout, at):
        return f". Next: {next_step_label(rollout)}, {AS_SOON_AS_KNOWN}."
    return f". Next: {next_step_label(rollout)} {_format_hold_end(rollout, zone)} at the earliest."


def next_step_label(rollout: Rollout) -> str:
    """What comes when the current stage is over: the next stage or, of a long comparison, `a decision` on it."""
    return "a decision" if awaits_decision(rollout) else next_stage_label(rollout)


def awaits_decision(rollout: Rollout) -> bool:
    """Whether it is in a long comparison on which nobody has decided yet."""
    stage = rollout.stage
    return stage is not None and stage.is_decided_at_end and rollout.stage_index not in rollout.decisions


def next_stage_label(rollout: Rollout) -> str:
    """The label of the stage after the current one: `10 %`, `watching`, `done`."""
    following = rollout.next_stage
    if following is None:
        return "done"
    return reach_words.format_step(rollout, following) if following.kind is StageKind.RAMP else stage_label(following)


def stage_label(stage: Stage, everyone: str = "everyone") -> str:
    """A short label for a stage: `checks`, `internal`, `small test 5 %`, `10 %`, `watching`. `everyone` is whom a step
    to 100 % reaches."""
    match stage.kind:
        case StageKind.EVAL:
            return "checks"
        case StageKind.SAFETY:
            return "safety checks"
        case StageKind.COST_LATENCY:
            return "cost and speed checks"
        case StageKind.ROLLBACK_DRILL:
            return "switch-back drill"
        case StageKind.COHORT:
            return wording.escape(stage.name, 30)
        case StageKind.CANARY:
            return f"small test {wording.format_percent(stage.percent)}"
        case StageKind.AB:
            return f"long comparison {wording.format_percent(stage.percent)}"
        case StageKind.BAKE:
            return "watching"
        case StageKind.RAMP:
            return everyone if stage.percent >= 100 else wording.format_percent(stage.percent)
        case _:
            assert_never(stage.kind)


def stage_in_sentence(stage: Stage) -> str:
    """A stage inside a sentence, escaped: `the small test (5 %)`, `the step to 25 %`."""
    return wording.escape(stage_words.name_stage(stage), 60)


def name_stage_of(plan: Plan, name: str) -> str:
    """`stage_in_sentence` of the stage that the plan calls so; the name, escaped, where it has none any more."""
    stage = next((stage for stage in plan.stages if stage.name == name), None)
    return wording.escape(name, 60) if stage is None else stage_in_sentence(stage)


def min_hold_ends_at(rollout: Rollout) -> datetime | None:
    """When the current stage reaches its minimum hold; None without a stage. Evidence may still be missing then."""
    stage, since = rollout.stage, rollout.stage_since
    return since + stage.min_hold + rollout.paused_for if stage is not None and since is not None else None


def is_hold_over(rollout: Rollout, at: datetime | None) -> bool:
    """Whether the current stage has reached its minimum hold by `at`, and waits for something else."""
    ends = min_hold_ends_at(rollout)
    return at is not None and ends is not None and ends <= at


def _format_hold_end(rollout: Rollout, zone: str, at: datetime | None = None) -> str:
    if is_hold_over(rollout, at):
        return AS_SOON_AS_KNOWN
    ends = min_hold_ends_at(rollout)
    return wording.format_local_time(ends, zone) if ends else ""


def format_stage_progress(rollout: Rollout) -> str:
    """All stages in order, marked passed, current or ahead: `●●◐○ checks ✓ · small test 5 % (now) · 10 %`."""
    index = rollout.stage_index if rollout.started_at else -1
    finished = rollout.state is RolloutState.DONE
    rolled_back = rollout.state is RolloutState.ROLLED_BACK
    everyone = reach_words.name_everyone(rollout)
    marks, words = [], []
    for i, stage in enumerate(rollout.plan.stages):
        passed = finished or i < index
        here = i == index and rollout.is_under_way
        marks.append("●" if passed else "◐" if here else "○")
        ended = rolled_back and i == index
        words.append(
            stage_label(stage, everyone)
            + (" ✓" if passed else " (now)" if here else " (rolled back here)" if ended else "")
        )
    return f"{''.join(marks)}  {' · '.join(words)}"
