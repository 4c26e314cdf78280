"""The app's home tab: what needs this person, what runs, what changes this week in plain words, and their settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Block
from bot.rendering.messages.notices import change_status, notice, subscription_messages
from bot.rendering.sentences import headline, schedule
from core.rollout.decisions import approval_requests
from core.rollout.plans.plan import NoticePlan
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.surface import Surface
from core.rollout.workspace.subscriptions import Subscriber

MAX_PER_SECTION = 10
_MAX_NEEDS = 5  # of each kind
MAX_FEATURES = 30
MAX_BLOCKS = 100
PLAIN_ROLES = frozenset({"support", "marketing"})
"""The roles that read what changes this week before anything else."""
_MAX_CHANGES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeTab:
    """Everything that the home tab of one person shows. `changing` also holds what ended within the last week."""

    person: Subscriber
    is_full_member: bool
    may_plan: bool
    to_approve: Sequence[Rollout]
    to_decide: Sequence[Rollout]  # on hold, and theirs to decide
    to_confirm: Sequence[tuple[Rollout, NoticePlan]]
    to_review: Sequence[Rollout]  # theirs, and over
    running: Sequence[Rollout]
    changing: Sequence[Rollout]
    surfaces: Sequence[Surface]
    frozen: Mapping[str, tuple[str, datetime]]  # by AI feature: why nothing grows at the moment, and until when
    zone: str
    at: datetime | None = None  # when it is read: what could have come before then has no date

    @property
    def role(self) -> str:
        """What this person wants to see first: what they chose, or else as what they follow something."""
        return self.person.role or (self.person.topics[0].audience if self.person.topics else "")


def render(tab: HomeTab) -> list[Block]:
    """The blocks of the tab, at most a hundred."""
    needs, changes, running = _build_needs(tab), _build_changes(tab), _build_running(tab)
    first = [changes, needs, running] if tab.role in PLAIN_ROLES else [needs, running, changes]
    own = [_build_notifications(tab), _build_start(tab)] if tab.is_full_member else []
    sections = [*first, _build_features(tab), *own]
    return [block for section in sections for block in section][:MAX_BLOCKS]


def _header(text: str) -> Block:
    return {"type": "header", "text": blocks.plain_text(text, 150)}


def _build_needs(tab: HomeTab) -> list[Block]:
    """Approvals, holds, notices and reviews that wait for this person."""
    found: list[Block] = []
    for rollout in tab.to_approve[:_MAX_NEEDS]:
        assert rollout.request is not None
        gate = (
            "the start"
            if rollout.request.gate == approval_requests.START_GATE
            else wording.escape(rollout.request.gate, 60)
        )
        what = f"Approve {gate} of {wording.format_subject(rollout)} ({wording.format_version_change(rollout)})?"
        expires = wording.format_local_time(rollout.request.expires_at, tab.zone)
        found += [
            blocks.section(f"{what} Asked by {wording.format_owner(rollout)}; expires {expires}."),
            *_row(
                buttons.approve(rollout, rollout.request.request, gate),
                buttons.reject(rollout, rollout.request.request),
                buttons.run_command("Details", f"status {rollout.id}"),
            ),
        ]
    for rollout in tab.to_decide[:_MAX_NEEDS]:
        found += [
            blocks.section(f"Decide: {headline.render(rollout, tab.zone, at=tab.at)}"),
            *_row(
                buttons.resume(rollout),
                buttons.roll_back(rollout),
                buttons.run_command("Details", f"status {rollout.id}"),
            ),
        ]
    for rollout, planned in tab.to_confirm[:_MAX_NEEDS]:
        where = wording.escape(planned.channel, 80)
        found += [
            blocks.section(f"Confirm that you have read the notice of {wording.format_subject(rollout)} in {where}."),
            *_row(
                buttons.got_it(rollout, planned.key),
                buttons.raise_concern(rollout, planned.key),
                buttons.run_command("Read it", f"notice {rollout.id} preview"),
            ),
        ]
    for rollout in tab.to_review[:_MAX_NEEDS]:
        assert rollout.review_due is not None
        due = wording.format_local_time(rollout.review_due, tab.zone)
        found += [
            blocks.section(f"Write the review of {wording.format_subject(rollout)}; due {due}."),
            *_row(buttons.write_review(rollout), buttons.run_command("Draft", f"review {rollout.id}")),
        ]
    waiting = (tab.to_approve, tab.to_decide, tab.to_confirm, tab.to_review)
    left = sum(max(len(each) - _MAX_NEEDS, 0) for each in waiting)
    if left:
        found.append(blocks.context(wording.format_remainder(left)))
    return [_header("Needs you"), *(found or [blocks.section("Nothing at the moment.")])]


def _row(*shown: Block) -> list[Block]:
    row = blocks.actions(*shown)
    return [row] if row is not None else []


def _build_running(tab: HomeTab) -> list[Block]:
    """The first line of every rollout that is planned or under way, with its buttons."""
    found: list[Block] = []
    for rollout in tab.running[:MAX_PER_SECTION]:
        found.append(blocks.section(headline.render(rollout, tab.zone, at=tab.at)))
        if tab.is_full_member:
            found += _row(
                buttons.run_command("Details", f"status {rollout.id}"),
                *([buttons.pause(rollout)] if rollout.state is RolloutState.RUNNING else []),
                *([buttons.roll_back(rollout)] if rollout.is_under_way else []),
            )
    if len(tab.running) > MAX_PER_SECTION:
        found += _row(buttons.run_command(f"See all {len(tab.running)}", "list"))
    return [_header("Running"), *(found or [blocks.section("No rollout is planned or under way.")])]


def _build_changes(tab: HomeTab) -> list[Block]:
    """What changes this week, in plain words."""
    titles = {surface.name: surface.title or surface.name for surface in tab.surfaces}
    found = [
        blocks.section(_describe_change(rollout, titles.get(rollout.plan.surface, rollout.plan.surface), tab))
        for rollout in tab.changing[:MAX_PER_SECTION]
    ]
    left = len(tab.changing) - MAX_PER_SECTION
    more = [blocks.context(wording.format_remainder(left))] if left > 0 else []
    return [_header("What changes this week"), *(found or [blocks.section("Nothing that people will notice.")]), *more]


def _describe_change(rollout: Rollout, title: str, tab: HomeTab) -> str:
    """One change: the AI feature, what people may notice, and how far it is."""
    changes = [b for b in notice.changes_for_audiences(rollout, tab.role or "support") if not b.unchanged]
    bullets = [f" • {wording.escape(b.text)}" for b in changes[:_MAX_CHANGES]] or [
        " • Nothing that people will notice."
    ]
    if len(changes) > _MAX_CHANGES:
        bullets.append(wording.format_remainder(len(changes) - _MAX_CHANGES))
    progress = _describe_progress(rollout, tab)
    return "\n".join([f"*{wording.escape(title, 80)}* ({rollout.id}): {progress}", *bullets])


def _describe_progress(rollout: Rollout, tab: HomeTab) -> str:
    known = schedule.estimate_dates(rollout, rollout.planned_at, tab.at)
    match rollout.state:
        case RolloutState.PLANNED:
            return f"starts {schedule.format_start(known, tab.zone)}."
        case RolloutState.ROLLED_BACK:
            return "switched back; everyone gets the old version again. It was announced as:"
        case RolloutState.DONE:
            return _describe_done(rollout, tab)
        case RolloutState.ABANDONED:
            return "cancelled."
    percent = schedule.customer_percent(rollout)
    if percent >= 100:
        return f"{change_status.describe_reach(rollout, 'have', 'has')} it, and we still watch it."
    stopped = "" if rollout.state is RolloutState.RUNNING else " It does not grow at the moment."
    if schedule.is_with_selected_people(rollout):
        return f"{change_status.describe_selected(rollout)}.{stopped}"
    if not percent:
        return "being checked; nobody has it yet."
    return f"{wording.format_per_hundred(percent)} customers have it now.{stopped}"


def _describe_done(rollout: Rollout, tab: HomeTab) -> str:
    """Who got what is done, and what became of it: another version is live, or others are under way on top of it."""
    reached = change_status.describe_final_reach(rollout)
    live = next((surface.live for surface in tab.surfaces if surface.name == rollout.plan.surface), None)
    if live is not None and live != rollout.plan.to_version:
        return f"{reached}; another version has taken its place since."
    newer = [
        other.id
        for other in reversed(tab.running)
        if other.plan.surface == rollout.plan.surface
        and other.is_under_way
        and (schedule.customer_percent(other) or schedule.is_with_selected_people(other))
    ]
    if newer:
        return f"{reached}; {wording.join_limited(newer)} {'is' if len(newer) == 1 else 'are'} changing it again."
    return f"{reached}."


def _build_features(tab: HomeTab) -> list[Block]:
    lines = [_describe_feature(surface, tab) for surface in tab.surfaces[:MAX_FEATURES]]
    if len(tab.surfaces) > MAX_FEATURES:
        lines.append(wording.format_remainder(len(tab.surfaces) - MAX_FEATURES))
    section = blocks.lines_section(lines) or blocks.section(
        "None yet. `rollout apply surface.yaml` adds the first one."
    )
    return [_header("AI features"), section]


def _describe_feature(surface: Surface, tab: HomeTab) -> str:
    zone = tab.zone
    since = f" since {wording.format_local_time(surface.live_since, zone)}" if surface.live_since else ""
    frozen = ""
    if surface.name in tab.frozen:
        name, until = tab.frozen[surface.name]
        frozen = f" · frozen until {wording.format_local_time(until, zone)}: {wording.escape(name, 100)}"
    title, owner = wording.escape(surface.title or surface.name, 80), wording.escape(surface.owner, 80)
    return f"*{title}*: {wording.escape(surface.live, 40)}{since} · owner {owner}{frozen}"


def _build_notifications(tab: HomeTab) -> list[Block]:
    person = tab.person
    follows = subscription_messages.format_topics(person.topics) if person.topics else "nothing yet"
    return [
        _header("My notifications"),
        blocks.section(
            f"You follow {follows}.\nQuiet hours: {subscription_messages.describe_quiet_hours(person)}. "
            "A rollback is told at once."
        ),
        *_row(buttons.change_notifications()),
    ]


def _build_start(tab: HomeTab) -> list[Block]:
    create = [buttons.create_rollout()] if tab.may_plan and tab.surfaces else []
    return [_header("Start"), *_row(*create, buttons.run_command("All commands", "help"))]
