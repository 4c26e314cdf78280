"""What a rollout needs before it starts: approvals, notices, lead times, no freeze, a free surface."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core import durations
from core.flags.bucketing import MILLION
from core.rollout.context import Context
from core.rollout.decisions.approval_requests import describe_missing_approvals, is_approved, needs_start_approval
from core.rollout.models import way_back
from core.rollout.plans.layers import find_layer, measure_free
from core.rollout.plans.plan import NoticePlan, Risk, content_hash
from core.rollout.refusal import Refused
from core.rollout.serving import layering
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.surface import Surface, is_version_taken, next_version


def find_earliest_start(rollout: Rollout, at: datetime) -> tuple[datetime, str] | None:
    """(time, channel) of the notice whose lead time ends last; None if there is none to wait for."""
    ends = [
        ((rollout.notice_posted_at(n.key) or at) + n.before, n.channel)
        for n in rollout.plan.stakeholder_notices
        if n.before is not None
    ]
    return max(ends) if ends else None


_MUST_CONFIRM = "{channel} must confirm the notice first (high risk)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """One reason why a rollout cannot start. `standalone_text` is used if it is the only one."""

    text: str
    standalone_text: str = ""
    hint: str = ""
    until: datetime | None = None  # when it goes away by itself
    alternative: tuple[str, str] | None = None  # label and command that would be accepted instead


def check_start(rollout: Rollout, context: Context) -> None:
    """Raise `Refused` unless the rollout can start. It names every obstacle, the way out and the earliest time, if
    any."""
    check_base(rollout, context)
    obstacles = (
        *_find_conflicts(rollout, context),
        *_find_missing_approvals(rollout),
        *_find_missing_notices(rollout, context),
        *_find_open_concerns(rollout),
        *_find_models_switched_off(rollout, context),
        *(Obstacle(text=said, standalone_text=said) for said in context.bundle_waits),
    )
    if not obstacles:
        return
    earliest = _find_earliest_time(obstacles, context)
    hint = " ".join(dict.fromkeys(x.hint for x in obstacles if x.hint))
    only = obstacles[0]
    alternative = next((x.alternative for x in obstacles if x.alternative is not None), None)
    if len(obstacles) == 1 and only.standalone_text:
        raise Refused(only.standalone_text, hint=hint, earliest=earliest, alternative=alternative)
    said = only.text if len(obstacles) == 1 else f"{rollout.id} cannot start yet. {' '.join(x.text for x in obstacles)}"
    if earliest is not None:
        said += f" Earliest start {context.format_time(earliest)}."
    raise Refused(said, hint=hint, earliest=earliest, alternative=alternative)


def _find_earliest_time(obstacles: Sequence[Obstacle], context: Context) -> datetime | None:
    """When all obstacles that only take time are over and no freeze applies; None if there are none."""
    ends = [x.until for x in obstacles if x.until is not None]
    if not ends:
        return None
    earliest = max(ends)
    for _ in range(len(context.policy.freezes) + 1):  # one freeze may directly follow another
        if (frozen := context.policy.find_freeze(earliest)) is not None:
            earliest = frozen[1]
    return earliest


def check_base(rollout: Rollout, context: Context) -> None:
    """Refuse what only a new plan can fix: another live version or content, or a version name that is taken."""
    plan = rollout.plan
    surface = context.known_surface
    if surface.live != plan.from_version:
        raise Refused(
            f"{rollout.id} starts from {plan.from_version}, but {surface.live} is now live on "
            f"{plan.surface}: someone shipped in between.",
            hint="Set `change.from` to the live version and apply the file again.",
        )
    if content_hash(surface.live_content) != content_hash(rollout.from_content):
        raise Refused(
            f"{rollout.id} was planned with other content of {plan.from_version} than what is live.",
            hint="Apply its file again, so that approvals cover what is live.",
        )
    if is_version_taken(surface, plan.to_version, rollout.to_content):
        raise Refused(explain_name_taken(surface, plan.to_version), hint=suggest_free_name(surface))


def check_overlap(rollout: Rollout, context: Context) -> None:
    """Refuse a start beside another rollout on the AI feature, on the driven flag or on the same users of a layer."""
    obstacle = next(_find_overlaps(rollout, context), None)
    if obstacle is not None:
        raise Refused(f"{obstacle.text} This is never passed over.", hint=obstacle.hint)


def _find_conflicts(rollout: Rollout, context: Context) -> Iterator[Obstacle]:
    yield from _find_overlaps(rollout, context)
    if (frozen := context.policy.find_freeze(context.at)) is not None:
        said = f"Frozen until {context.format_time(frozen[1])}: {frozen[0]}. Rolling back still works."
        yield Obstacle(text=said, standalone_text=said, until=frozen[1])


def _find_overlaps(rollout: Rollout, context: Context) -> Iterator[Obstacle]:
    plan = rollout.plan
    if context.other_rollouts_on_surface:
        yield Obstacle(
            text=f"{plan.surface} is already changing ({', '.join(context.other_rollouts_on_surface)}). "
            "Two changes at once can't be told apart.",
            hint=f"Start {rollout.id} when that one is done, or roll it back first.",
            alternative=(f"Queue after {context.other_rollouts_on_surface[-1]}", f"start {rollout.id} --queue"),
        )
    for flag, others in context.other_rollouts_on_flag.items():
        yield Obstacle(
            text=f"{flag} is already driven by {', '.join(others)}, and two rollouts would undo each other's changes.",
            hint=f"Start {rollout.id} when that one is over, or give it a flag of its own.",
        )
    yield from _find_layer_conflicts(rollout, context)


def _find_layer_conflicts(rollout: Rollout, context: Context) -> Iterator[Obstacle]:
    layer = find_layer(context.policy.layers, rollout.plan.surface)
    if layer is None:
        return
    if rollout.plan.dividing:
        yield Obstacle(
            text=f"{rollout.plan.surface} is in the layer {layer.name}, and {rollout.plan.dividing[0].title} would "
            "give the new version to users of its other surfaces.",
            hint="Serve it by Rampart's own evaluations, or take the surface out of the layer in the policy.",
        )
    elif layering.allocate(rollout, context) is None:
        share = layer.share_of(rollout.plan.surface) / MILLION
        free = measure_free(context.taken_slots.values()) / MILLION
        holders = ", ".join(context.taken_slots) or "nobody"
        yield Obstacle(
            text=f"{rollout.plan.surface} needs {100 * share:g} % of the users in the layer {layer.name}, and "
            f"{100 * free:g} % are free: {holders} holds the others until it ends.",
            hint=f"Start {rollout.id} when that one is over, or give smaller shares in the policy.",
        )


def _find_missing_approvals(rollout: Rollout) -> Iterator[Obstacle]:
    if needs_start_approval(rollout) and not is_approved(rollout):
        needs = describe_missing_approvals(rollout) if rollout.request else "an approval"
        yield Obstacle(
            text=f"It needs {needs}.",
            standalone_text=f"{rollout.id} needs {needs} before it starts.",
            hint="The request with its buttons is in the rollout's thread.",
        )


def explain_name_taken(surface: Surface, version: str) -> str:
    """Why the version cannot have this name."""
    known = content_hash(surface.versions[version])
    return f"{version} already stands for other content on {surface.name} ({known}), and a version never changes."


def suggest_free_name(surface: Surface) -> str:
    """Which name to use instead."""
    free = next_version(surface)
    return f"Write `version: {free}` under `change.to`, or leave it out, and apply the file again."


def _find_missing_notices(rollout: Rollout, context: Context) -> Iterator[Obstacle]:
    for notice in rollout.plan.stakeholder_notices:
        posted, lead = rollout.notice_posted_at(notice.key), notice.before or timedelta(0)
        if posted is None:
            said = f"The notice to {notice.channel} has not gone out yet."
            yield Obstacle(
                text=said,
                standalone_text=said,
                hint="Notices go out first: within seconds after the file is applied, or at their lead time before a "
                "fixed start. Without Slack they wait (rollout doctor).",
                until=max(context.at, rollout.start - lead) + lead if rollout.start else context.at + lead,
            )
            continue
        if _waits_for_reader(rollout, notice):
            said = _MUST_CONFIRM.format(channel=notice.channel)
            yield Obstacle(text=said, standalone_text=said, hint="Somebody there must press Got it under the notice.")
        if posted + lead > context.at:
            yield Obstacle(
                text=f"{notice.channel} needs {durations.format_exact(lead)} notice.",
                hint="Press Start then, and it starts automatically at that time.",
                until=posted + lead,
            )


def _waits_for_reader(rollout: Rollout, notice: NoticePlan) -> bool:
    return notice.acknowledge and rollout.plan.risk is Risk.HIGH and not rollout.acknowledged.get(notice.key)


def describe_missing_answers(rollout: Rollout) -> str:
    """What people who were told have to confirm, or be answered, before the start; empty if nothing."""
    unread = (
        _MUST_CONFIRM.format(channel=notice.channel)
        for notice in rollout.plan.stakeholder_notices
        if rollout.notice_posted_at(notice.key) is not None and _waits_for_reader(rollout, notice)
    )
    return " ".join((*unread, *(obstacle.text for obstacle in _find_open_concerns(rollout))))


def _find_open_concerns(rollout: Rollout) -> Iterator[Obstacle]:
    if rollout.plan.risk is Risk.HIGH and rollout.open_concerns:
        channels = dict.fromkeys(notice.partition(":")[2] for notice in rollout.open_concerns)
        named = ", ".join(channel for channel in channels if channel)
        said = f"A concern{f' from {named}' if named else ''} has no answer yet (high risk)."
        yield Obstacle(
            text=said, standalone_text=said, hint=f"Answer it in the thread: /rollout answer {rollout.id} your answer."
        )


def _find_models_switched_off(rollout: Rollout, context: Context) -> Iterator[Obstacle]:
    """A new version that nobody could be served, or an old one that nobody could be given again."""
    plan, surface, today = rollout.plan, context.known_surface, context.policy.to_local_time(context.at).date()
    told = way_back.find_retirement(surface, rollout.to_content)
    if told is not None and told.on <= today:
        said = f"{plan.to_version} calls {told.model}, which was switched off on {told.on.isoformat()}."
        yield Obstacle(text=said, standalone_text=said, hint="Name another model in the file and apply it again.")
    if plan.template != way_back.WITHOUT_WAY_BACK and way_back.is_way_back_closed(
        plan, surface, context.policy, context.at
    ):
        said = f"{way_back.explain_closed_way_back(plan, surface)}."
        yield Obstacle(
            text=said,
            standalone_text=said,
            hint=f"Apply the file with template: {way_back.WITHOUT_WAY_BACK}: it then holds instead of going back.",
        )


def is_start_due(rollout: Rollout, context: Context) -> bool:
    """Whether the scheduled start time of a planned rollout has come."""
    return rollout.state is RolloutState.PLANNED and rollout.start is not None and context.at >= rollout.start
