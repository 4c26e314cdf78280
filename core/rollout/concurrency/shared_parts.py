"""Parts that rollouts on several AI features change at once: the same model, or the same piece of a prompt.

A shift in the numbers of one may then come from the other, or both from the part.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from core.rollout.models.called_model import format_model, is_same_model, list_texts
from core.rollout.plans.plan import Content
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World

LEAST_LENGTH = 20  # characters of a paragraph; a shorter one, such as a greeting, may be the same by chance
_REFERENCE = re.compile(r"[^\s@]*[./][^\s@]*(@\S+)?")  # a prompt that is named and not written out
_PARAGRAPHS = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPart:
    """What another rollout changes as well. `name` is the model or the file; empty for a piece of a text, which is not
    for everybody to read."""

    part: str  # model | prompt
    name: str
    rollout: Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherMove:
    """When another rollout that changes the same part took a step, or ended."""

    at: datetime
    rollout: str
    surface: str
    percent: float
    audience: str = ""  # the cohort of which that is a share; empty: everyone
    is_rollback: bool = False


def find_shared_parts(
    world: World, surface: str, before: Content, after: Content, since: datetime | None = None
) -> tuple[SharedPart, ...]:
    """What rollouts under way on other surfaces change of the parts that differ between `before` and `after`.

    With `since`, those that have ended after it count as well.
    """
    return tuple(
        shared
        for other in world.rollouts.values()
        if other.plan.surface != surface and _is_beside(other, since)
        for shared in _compare(before, after, other)
    )


def find_shared_with(world: World, rollout: Rollout, *, is_over_too: bool = False) -> tuple[SharedPart, ...]:
    """The same for a rollout that has not ended; `is_over_too`: with those that ran at some time while it did."""
    since = rollout.started_at if is_over_too else None
    if rollout.ended_at is not None and not is_over_too:
        return ()
    found = find_shared_parts(world, rollout.plan.surface, rollout.from_content, rollout.to_content, since)
    ended = rollout.ended_at
    return tuple(one for one in found if ended is None or (one.rollout.started_at or ended) < ended)


def list_moves(shared: tuple[SharedPart, ...]) -> tuple[OtherMove, ...]:
    """Every step of the others that reached people, and their ends, in order of time."""
    others = {one.rollout.id: one.rollout for one in shared}
    return tuple(sorted((move for one in others.values() for move in _list_moves(one)), key=lambda move: move.at))


def _is_beside(other: Rollout, since: datetime | None) -> bool:
    if other.is_under_way:
        return True
    return since is not None and other.started_at is not None and other.ended_at is not None and other.ended_at > since


def _compare(before: Content, after: Content, other: Rollout) -> Iterator[SharedPart]:
    """At most one for each part."""
    models = _list_changed_models(before, after)
    others = _list_changed_models(other.from_content, other.to_content)
    same = next((model for model in models if any(is_same_model(model, one) for one in others)), None)
    if same is not None:
        yield SharedPart(part="model", name=same, rollout=other)
    pieces = _list_changed_pieces(before, after)
    theirs = _list_changed_pieces(other.from_content, other.to_content)
    if common := [key for key in pieces if key in theirs]:
        yield SharedPart(part="prompt", name=next((pieces[key] for key in common if pieces[key]), ""), rollout=other)


def _list_changed_models(before: Content, after: Content) -> tuple[str, ...]:
    """The new model and the old one; empty if the model stays the same."""
    if before.get("model") == after.get("model"):
        return ()
    return tuple(model for content in (after, before) if (model := format_model(content)))


def _list_changed_pieces(before: Content, after: Content) -> dict[str, str]:
    """The pieces of the prompt that only one of both has, the new ones first: hash -> the file that is named, or
    nothing."""
    old, new = (list(_list_pieces(content.get("prompt"))) for content in (before, after))
    changed = [one for one in new if one not in old] + [one for one in old if one not in new]
    return {hashlib.sha256((one.file or one.text).encode()).hexdigest()[:16]: one.file for one in changed}


@dataclass(frozen=True, slots=True)
class _Piece:
    """A paragraph that is written out, or the reference to a file, which changes with the content that it names."""

    text: str
    file: str = ""


def _list_pieces(prompt: object) -> Iterator[_Piece]:
    for text in list_texts(prompt):
        if _REFERENCE.fullmatch(text.strip()):
            yield _Piece(text.strip(), text.strip().partition("@")[0])
            continue
        for paragraph in _PARAGRAPHS.split(text):
            plain = " ".join(paragraph.split())
            if len(plain) >= LEAST_LENGTH:
                yield _Piece(plain)


def _list_moves(rollout: Rollout) -> Iterator[OtherMove]:
    for span in rollout.spans:
        stage = rollout.plan.stages[span.index]
        if stage.has_exposure:
            yield OtherMove(
                at=span.since,
                rollout=rollout.id,
                surface=rollout.plan.surface,
                percent=stage.percent,
                audience=stage.audience,
            )
    if rollout.ended_at is not None and rollout.state is RolloutState.ROLLED_BACK:
        yield OtherMove(
            at=rollout.ended_at, rollout=rollout.id, surface=rollout.plan.surface, percent=0.0, is_rollback=True
        )
