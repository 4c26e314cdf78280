"""Prepares one version of a surface for its page: its record, its content, and the difference from another version."""

import json
from dataclasses import dataclass
from typing import Any

from bot.commands.answers import version_queries
from bot.rendering import markup, wording
from bot.rendering.answers.served import version_answers
from bot.rendering.answers.served.version_answers import VersionPair
from bot.rendering.documents import difference_text
from bot.rendering.markup import FindHandles
from bot.rendering.sentences import difference_words
from core.rollout.plans.plan import content_hash
from core.rollout.refusal import NotFound
from core.service.service import RolloutService
from core.versions.version_history import VersionRecord
from core.versions.word_difference import TextPiece


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One version in the table of all versions of its surface."""

    record: VersionRecord
    state: str
    content_hash: str
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPassage:
    """A text that differs: a heading with counts, and its pieces; unchanged passages are cut down."""

    heading: str
    pieces: tuple[TextPiece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPage:
    """Everything that the page shows of a version. `pair` is None if there is nothing to compare it with."""

    surface: str
    title: str
    shown: VersionRow
    rows: tuple[VersionRow, ...]  # newest first
    parts: tuple[tuple[str, str], ...]  # (part, its content as text)
    pair: VersionPair | None
    passages: tuple[TextPassage, ...]


def build_version_page(
    service: RolloutService,
    surface: str,
    version: str,
    find_handles: FindHandles,
    compare_with: str,
) -> VersionPage:
    """The page of `version`, compared with the version that it was made from, or with `compare_with`.

    `find_handles` names authors. Raises NotFound for an unknown surface or version.
    """
    versions = version_queries.load_versions(service, surface)
    if version not in versions.records:
        raise NotFound(
            f"{surface} has no version {version[:80]}. Its versions: {', '.join(list(versions.records)[-10:])}."
        )
    world = service.load_world()
    zone = world.policy.timezone

    def build_row(record: VersionRecord) -> VersionRow:
        rollout = world.find_rollout(record.rollouts[-1]) if record.rollouts else None
        return VersionRow(
            record=record,
            state=wording.to_plain_text(version_answers.describe_version_state(record, rollout, zone)),
            content_hash=content_hash(versions.surface.versions.get(record.name, {})),
            author=markup.name_people(markup.name_actor(record.named_by), find_handles) if record.named_by else "–",
        )

    base = compare_with or version_queries.find_base(versions, version, world)
    pair = version_queries.build_pair(versions.surface, base, version) if base and base != version else None
    return VersionPage(
        surface=surface,
        title=versions.surface.title or surface,
        shown=build_row(versions.records[version]),
        rows=tuple(build_row(record) for record in reversed(list(versions.records.values()))),
        parts=tuple((part, _format_part(value)) for part, value in versions.surface.versions[version].items()),
        pair=pair,
        passages=_build_passages(pair) if pair is not None else (),
    )


def _build_passages(pair: VersionPair) -> tuple[TextPassage, ...]:
    return tuple(
        TextPassage(
            heading=wording.to_plain_text(difference_words.describe_text(change)),
            pieces=difference_text.shorten_kept(change.pieces),
        )
        for change in pair.difference.texts
    )


def _format_part(value: Any) -> str:
    """A text as it is; anything else as indented JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=dict)
