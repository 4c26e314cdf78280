"""Answers about versions: the list of a surface's versions, and two versions compared without text of prompts."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.rendering import reach_words, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.sentences import difference_words
from core.rollout.plans.plan import content_hash
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.surface import Surface
from core.versions.content_difference import ContentDifference
from core.versions.version_history import VersionRecord

MAX_VERSIONS = 15
MAX_CHANGES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPair:
    """Two versions of a surface, and what differs from `before` to `after`."""

    surface: str
    before: str
    after: str
    difference: ContentDifference

    @property
    def title(self) -> str:
        """What is compared, as plain text: `support-assistant v42 -> v43`."""
        return f"{self.surface} {self.before} -> {self.after}"


def render_versions(
    surface: Surface, records: Mapping[str, VersionRecord], rollouts: Mapping[str, Rollout | None], zone: str
) -> Message:
    """One line per version, newest first; `rollouts` holds the newest rollout of each version."""
    newest = list(records.values())[::-1]
    lines = [
        f"*{wording.escape(r.name, 40)}*  {describe_version_state(r, rollouts.get(r.name), zone)} · "
        f"{_describe_origin(r, zone)} · content {content_hash(surface.versions.get(r.name, {}))}"
        for r in newest[:MAX_VERSIONS]
    ]
    if len(newest) > MAX_VERSIONS:
        lines.append(wording.format_remainder(len(newest) - MAX_VERSIONS))
    compared = [
        buttons.run_command(
            f"{rollout.plan.from_version} -> {name}", f"diff {rollout.plan.from_version} {name} {surface.name}", i
        )
        for i, (name, rollout) in enumerate(_list_compared(newest, rollouts))
    ]
    return blocks.build_message(
        f"Versions of {wording.escape(surface.name, 60)}: {len(newest)}. {wording.escape(surface.live, 40)} is live.",
        blocks.lines_section(lines),
        blocks.actions(*compared),
    )


def _list_compared(newest: list[VersionRecord], rollouts: Mapping[str, Rollout | None]) -> list[tuple[str, Rollout]]:
    """The newest versions that were made from another one, five at most."""
    found = [(r.name, rollout) for r in newest[:MAX_VERSIONS] if (rollout := rollouts.get(r.name)) is not None]
    return found[:5]


def describe_version_state(record: VersionRecord, rollout: Rollout | None, zone: str) -> str:
    """Whether a version is live, retired (since when and by which rollout), taken back, being tried or only planned.

    `rollout` is the newest rollout that introduces it; times appear in each reader's own time zone.
    """
    if record.is_live:
        period = record.live[-1]
        by = f" ({period.by})" if period.by else ""
        return f"live since {wording.format_local_time(period.since, zone)}{by}"
    if record.retired_at is not None:
        return f"retired {wording.format_local_time(record.retired_at, zone)} by {record.retired_by}"
    if record.taken_back_at is not None:
        return f"rolled back {wording.format_local_time(record.taken_back_at, zone)} after it had been live"
    if rollout is None:
        return "never live"
    word = wording.state_word(rollout).lower()
    if rollout.is_under_way:
        return f"{word}, {reach_words.format_share(rollout)} in {rollout.id}"
    ended = f" {wording.format_local_time(rollout.ended_at, zone)}" if rollout.ended_at else ""
    return f"{word}{ended} in {rollout.id}" if rollout.state is not RolloutState.DONE else "never live"


def _describe_origin(record: VersionRecord, zone: str) -> str:
    """Who named the version and when; the rollouts that introduce it."""
    what = "planned" if record.rollouts else "applied with the surface file"
    who = f" by {wording.format_actor(record.named_by)}" if record.named_by else ""
    return f"{what}{who} {wording.format_local_time(record.named_at, zone)}"


def render_pair(pair: VersionPair) -> Message:
    """What differs, without text of prompts, which `View difference` shows to those who may read it."""
    title = f"{wording.escape(pair.surface, 60)} {wording.escape(pair.before, 40)} -> {wording.escape(pair.after, 40)}"
    if pair.difference.is_empty:
        return blocks.build_message(f"No difference: {title} have the same content.")
    count = pair.difference.change_count
    shown = [f"• {change}" for change in difference_words.list_changes(pair.difference, MAX_CHANGES)]
    if count > MAX_CHANGES:
        shown.append(wording.format_remainder(count - MAX_CHANGES))
    return blocks.build_message(
        f"Difference: {title}, {wording.pluralize(count, 'change')}.",
        blocks.lines_section(shown),
        blocks.actions(buttons.view_difference(pair.surface, pair.before, pair.after)),
        blocks.context("The text of prompts opens for operators and approvers; only they see it."),
    )
