"""Find the rollout that is meant: R-118, 118, a name or its beginning, a surface, or nothing at all."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TypeAlias

from bot.commands.parsing import typed_line
from core.rollout.concurrency import bundles
from core.rollout.concurrency.bundles import Bundle
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World

MOST_CANDIDATES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """A question, and the rollouts that may be meant."""

    question: str
    candidates: tuple[Rollout, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutMention:
    """The rollout that a line is about, the text of the line, and the other running rollouts that it names."""

    rollout: Rollout
    text: str = ""
    others: tuple[Rollout, ...] = ()


Resolved: TypeAlias = Rollout | Unclear

_OVER = frozenset({RolloutState.ROLLED_BACK, RolloutState.ABANDONED})
_LINK = re.compile(r"\W*https?://[^\s>|]*/R-?(\d{1,9})(?![A-Za-z0-9_])[^\s>|]*(?:\|[^>]*)?>?", re.IGNORECASE)
_FILLERS = rf"(?:(?:{'|'.join(sorted(typed_line.FILLER_WORDS))})[^\w<]+)*"
_FIRST_ID = re.compile(rf"[\W_]*{_FILLERS}R[ #-]{{0,2}}(\d{{1,9}})(?![A-Za-z0-9_])", re.IGNORECASE)
_FIRST_NUMBER = re.compile(rf"[\W_]*{_FILLERS}(\d{{1,9}})(?![A-Za-z0-9_%]|[.,]\d)", re.IGNORECASE)
_ANY_ID = re.compile(r"(?<![A-Za-z0-9_])R-?(\d{1,9})(?![A-Za-z0-9_])", re.IGNORECASE)
_CLOSING = "`*_~\"'>)]}|"
_BETWEEN = " :,;.!?…=-"


def find_rollout(reference: str, world: World, *, thread_ts: str = "", only_running: bool = False) -> Resolved:
    """The rollout that `reference` means. If it is empty: the one of this thread, or the only one under way.

    `only_running`: a plan that has not started is never meant by leaving the rollout out.
    """
    return (
        _find_by_reference(reference, world)
        if reference
        else _find_omitted(world, thread_ts, only_running=only_running)
    )


def find_in_line(
    line: str, world: World, *, thread_ts: str = "", only_running: bool = False
) -> RolloutMention | Unclear:
    """The rollout that a line means, with the rest of the line as the text.

    The line may begin with the rollout, name it anywhere, or leave it out. If the first word looks like a name but is
    none, the person is asked: it may be a misspelled name of another rollout.
    """
    line = line.strip()
    return (
        _match_leading_id(line, world)
        or _match_leading_name(line, world)
        or _match_thread(line, world, thread_ts)
        or _match_single_word(line, world)
        or _match_anywhere(line, world)
        or _match_misspelling(line, world)
        or _match_omitted(line, world, only_running=only_running)
    )


def find_bundle_in_line(line: str, world: World) -> tuple[Bundle, str] | None:
    """The bundle that a line begins with, and the rest of the line; None if it begins with none."""
    words = typed_line.find_words(typed_line.normalize_characters(line))
    lowered = [word.group().lower() for word in words]
    skipped = next((i for i, word in enumerate(lowered) if word not in typed_line.FILLER_WORDS), 0)
    names = {one.bundle.bundle for one in world.rollouts.values() if one.bundle is not None}
    others = [*world.surfaces, *(one.plan.name for one in world.rollouts.values())]
    starts = {0, skipped, *((skipped + 1,) if lowered[skipped : skipped + 1] == ["bundle"] else ())}
    for name in sorted(names, key=len, reverse=True):
        parts = _split_words(name)
        if typed_line.FILLER_WORDS.issuperset(parts):
            continue  # in a line, it is no name
        for start in starts:
            if lowered[start : start + len(parts)] != parts:
                continue
            longer = (_split_words(other) for other in others)
            if any(len(one) > len(parts) and lowered[start : start + len(one)] == one for one in longer):
                return None  # `tone-sales` is a rollout, and not the bundle `tone` with a reason
            found = bundles.find_bundle(world, name)
            return (found, _text_after(line, words[start + len(parts) - 1].end())) if found is not None else None
    return None


def ask_instead_of_ended(bundle: Bundle, world: World) -> Unclear | None:
    """Which of those under way is meant, where a bundle has ended and its name may be a word of a text; else None."""
    running = _running_rollouts(world)
    if not running or any(one.state not in _OVER for one in bundle.members):
        return None
    return _offer_running(Unclear(question=f"The bundle {bundle.name} has ended. Which one do you mean?"), world)


def find_exact(reference: str, world: World) -> Rollout | None:
    """The rollout with this id (in any spelling), this exact name, or on this surface; nothing is completed."""
    found = _match_leading_id(reference, world) or _match_leading_name(reference, world)
    return found.rollout if isinstance(found, RolloutMention) and not found.text else None


def _match_leading_id(line: str, world: World) -> RolloutMention | Unclear | None:
    plain = typed_line.normalize_characters(line)
    found = _LINK.match(plain) or _FIRST_ID.match(plain)
    if found is not None:
        return _build_mention(_find_by_reference(f"R-{found.group(1)}", world), line, found.end(), world)
    found = _FIRST_NUMBER.match(plain)
    if found is None:
        return None
    rollout, text = world.find_rollout(f"R-{found.group(1)}"), _text_after(line, found.end())
    if not text:
        return _build_mention(_find_by_reference(found.group(1), world), line, found.end(), world)
    # A number followed by words may be a count: `5 customers complain`.
    if rollout is None:
        return None
    running = _running_rollouts(world)
    if running == (rollout,):
        return _build_mention(rollout, line, found.end(), world)
    return Unclear(question="Which one?", candidates=_deduplicate((rollout, *reversed(running))))


def _match_leading_name(line: str, world: World) -> RolloutMention | Unclear | None:
    words = typed_line.find_words(typed_line.normalize_characters(line))
    lowered = [w.group().lower() for w in words]
    skipped = next((i for i, word in enumerate(lowered) if word not in typed_line.FILLER_WORDS), 0)
    names = {
        **{s.title: s.name for s in world.surfaces.values() if s.title},
        **{s.name: s.name for s in world.surfaces.values()},
        **{r.plan.name: r.plan.name for r in world.rollouts.values()},
    }
    best: tuple[int, str] | None = None
    for shown, name in names.items():
        parts = _split_words(shown)
        for start in {0, skipped}:
            fits = bool(parts) and lowered[start : start + len(parts)] == parts
            if fits and (best is None or start + len(parts) > best[0]):
                best = (start + len(parts), name)
    if best is None:
        return None
    found, end = _find_by_reference(best[1], world), words[best[0] - 1].end()
    if isinstance(found, Rollout) and found.state in _OVER and _text_after(line, end) and _running_rollouts(world):
        # The name may be a word of the text.
        unclear = Unclear(question=f"{found.id} {found.plan.name} has ended. Which one do you mean?")
        return _offer_running(unclear, world)
    return _build_mention(found, line, end, world)


def _match_thread(line: str, world: World, thread_ts: str) -> RolloutMention | None:
    here = _find_by_thread(world, thread_ts)
    return (
        RolloutMention(rollout=here, text=_text_after(line, 0), others=_other_rollouts_named(line, here, world))
        if here
        else None
    )


def _match_single_word(line: str, world: World) -> RolloutMention | Unclear | None:
    """A single word is more likely a name than a reason."""
    left = [w for w in line.split() if typed_line.has_content(w)]
    if len(left) != 1 or _is_quoted(line):
        return None
    found = _find_by_reference(left[0].strip("`*_~<>()[]{}.,:;!?|"), world)
    return RolloutMention(rollout=found) if isinstance(found, Rollout) else _offer_running(found, world)


def _match_anywhere(line: str, world: World) -> RolloutMention | Unclear | None:
    ids = dict.fromkeys(f"R-{m.group(1)}" for m in _ANY_ID.finditer(typed_line.normalize_characters(line)))
    there = tuple(found for name in ids if (found := world.find_rollout(name)) is not None)
    if ids and not there:
        return _offer_running(_suggest_nearest(next(iter(ids)), world), world)
    there = there or _rollouts_named_in(line, _running_rollouts(world))
    if len(there) == 1:
        return RolloutMention(rollout=there[0], text=_text_after(line, 0))
    return Unclear(question="Which one?", candidates=there[:MOST_CANDIDATES]) if there else None


def _match_misspelling(line: str, world: World) -> Unclear | None:
    first = next((w for w in line.split() if typed_line.has_content(w)), "").strip("`*_~<>()[]{}.,:;!?|\"'")
    if not first or _is_quoted(line):
        return None
    names = {r.plan.name: r for r in world.open_rollouts} | {r.plan.surface: r for r in world.open_rollouts}
    close = get_close_matches(first.lower(), list(names), n=1, cutoff=0.75)
    if close:
        return Unclear(question=f"There is no {first}. Did you mean {close[0]}?", candidates=(names[close[0]],))
    if re.search(r"\w[-_]\w|\w\d", typed_line.normalize_characters(first)):
        return _offer_running(_suggest_nearest(first, world), world)
    return None


def _match_omitted(line: str, world: World, *, only_running: bool) -> RolloutMention | Unclear:
    found = _find_omitted(world, "", only_running=only_running)
    return RolloutMention(rollout=found, text=_text_after(line, 0)) if isinstance(found, Rollout) else found


def _build_mention(found: Resolved, line: str, end: int, world: World) -> RolloutMention | Unclear:
    if isinstance(found, Unclear):
        return _offer_running(found, world)
    text = _text_after(line, end)
    return RolloutMention(rollout=found, text=text, others=_other_rollouts_named(text, found, world))


def extract_text(line: str) -> str:
    """The text of a line whose rollout is already known, without the id that it may begin with."""
    plain = typed_line.normalize_characters(line)
    found = _LINK.match(plain) or _FIRST_ID.match(plain)
    return _text_after(line, found.end() if found else 0)


def _text_after(line: str, end: int) -> str:
    plain = typed_line.normalize_characters(line[end:])
    if not typed_line.has_content(plain):
        return ""
    left = plain.lstrip(_CLOSING) if end else plain  # what closes the id is dropped; what opens the text belongs to it
    left = left.lstrip(_BETWEEN)
    return typed_line.strip_quotes(typed_line.unwrap_mentions(line[len(line) - len(left) :]))


def _other_rollouts_named(text: str, rollout: Rollout, world: World) -> tuple[Rollout, ...]:
    ids = {f"R-{m.group(1)}" for m in _ANY_ID.finditer(typed_line.normalize_characters(text))}
    return tuple(r for r in _running_rollouts(world) if r.id in ids and r is not rollout)


def _rollouts_named_in(line: str, rollouts: Iterable[Rollout]) -> tuple[Rollout, ...]:
    text = f" {' '.join(_split_words(line))} "
    return tuple(
        r
        for r in rollouts
        if any(f" {' '.join(_split_words(name))} " in text for name in (r.plan.name, r.plan.surface))
    )


def _split_words(name: str) -> list[str]:
    return [w.group().lower() for w in typed_line.find_words(typed_line.normalize_characters(name))]


def _is_quoted(line: str) -> bool:
    return typed_line.normalize_characters(line)[:1] in ('"', "'")


def others_still_running(rollout: Rollout, world: World) -> tuple[Rollout, ...]:
    """The rollouts that are still under way, if this one is over."""
    return _running_rollouts(world) if rollout.state in _OVER else ()


def _running_rollouts(world: World) -> tuple[Rollout, ...]:
    return tuple(r for r in world.open_rollouts if r.is_under_way)


def _offer_running(unclear: Unclear, world: World) -> Unclear:
    """The question with the running rollouts as candidates, unless it has better ones."""
    return (
        unclear
        if unclear.candidates
        else replace(unclear, candidates=tuple(reversed(_running_rollouts(world)))[:MOST_CANDIDATES])
    )


def _deduplicate(rollouts: Sequence[Rollout]) -> tuple[Rollout, ...]:
    return tuple({r.id: r for r in rollouts}.values())[:MOST_CANDIDATES]


def _find_by_thread(world: World, thread_ts: str) -> Rollout | None:
    there = (r for r in world.rollouts.values() if "card" in r.messages and r.messages["card"].ts == thread_ts)
    return next(iter(reversed(tuple(there))), None) if thread_ts else None


def _find_omitted(world: World, thread_ts: str, *, only_running: bool) -> Resolved:
    everything = tuple(world.rollouts.values())
    if (here := _find_by_thread(world, thread_ts)) is not None:
        return here
    running = [r for r in everything if r.is_under_way]
    if len(running) == 1:
        return running[0]
    if not running and len(world.open_rollouts) == 1 and not only_running:
        return world.open_rollouts[0]
    recent = tuple(reversed(world.open_rollouts or everything))[:MOST_CANDIDATES]
    if not recent:
        return Unclear(question="There are no rollouts yet. Plan one from a file: rollout apply FILE.")
    if only_running and not running:
        able = tuple(r for r in recent if r in world.open_rollouts or world.surfaces[r.plan.surface].live_by == r.id)
        return Unclear(question="No rollout is running now.", candidates=able)
    return Unclear(
        question="Which one?", candidates=tuple(reversed(running))[:MOST_CANDIDATES] if only_running else recent
    )


def _find_by_reference(reference: str, world: World) -> Resolved:
    wanted = reference.upper()
    by_id = world.find_rollout(wanted) or world.find_rollout(f"R-{wanted.removeprefix('R')}")
    if by_id is not None:
        return by_id
    if (exact := world.find_named(reference)) is not None:
        return exact
    if (there := _find_on_surface(reference, world)) is not None:
        return there
    begins = [r for r in world.rollouts.values() if r.plan.name.lower().startswith(reference.lower())]
    still_open = [r for r in begins if r in world.open_rollouts]
    for found in (begins, still_open):
        if len(found) == 1:
            return found[0]
    if begins:
        return Unclear(
            question=f'"{reference}" matches more than one rollout.',
            candidates=tuple(reversed(begins))[:MOST_CANDIDATES],
        )
    return _suggest_nearest(reference, world)


def _find_on_surface(reference: str, world: World) -> Resolved | None:
    surface = world.surfaces.get(reference.lower()) or world.surfaces.get(reference)
    if surface is None:
        return None
    there = [r for r in world.open_rollouts if r.plan.surface == surface.name]
    running = [r for r in there if r.is_under_way]
    chosen = running or there
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        return Unclear(
            question=f"{surface.name} has more than one rollout.", candidates=tuple(reversed(chosen))[:MOST_CANDIDATES]
        )
    if surface.live_by in world.rollouts:
        return world.rollouts[surface.live_by]
    return Unclear(question=f"Nothing is changing on {surface.name}: {surface.live} is live.")


def _suggest_nearest(reference: str, world: World) -> Unclear:
    running = ", ".join(f"{r.id} {r.plan.name}" for r in world.open_rollouts) or "none"
    names = {r.id: r for r in world.open_rollouts} | {r.plan.name: r for r in world.open_rollouts}
    number = reference.upper().removeprefix("R-").removeprefix("R")
    swapped = [r.id for r in world.open_rollouts if sorted(r.id.removeprefix("R-")) == sorted(number)]
    wanted = f"R-{number}" if number.isdigit() else reference
    close = swapped or get_close_matches(wanted, list(names), n=1, cutoff=0.6)
    candidates = (names[close[0]],) if close else ()
    meant = f" Did you mean {candidates[0].id}?" if candidates else ""
    return Unclear(question=f"There is no {reference}. Open now: {running}.{meant}", candidates=candidates)
