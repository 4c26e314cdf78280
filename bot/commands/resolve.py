"""Find the rollout that is meant: R-118, 118, a name or its beginning, a surface, or nothing at all."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TypeAlias

from bot.commands import typed
from core.rollout.model import Rollout, State
from core.rollout.world import World

RECENT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """A question, and the rollouts that may be meant."""

    question: str
    candidates: tuple[Rollout, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """The rollout that a line is about, the text of the line, and the other running rollouts that it names."""

    rollout: Rollout
    text: str = ""
    others: tuple[Rollout, ...] = ()


Resolved: TypeAlias = Rollout | Unclear

_OVER = frozenset({State.ROLLED_BACK, State.ABANDONED})
_LINK = re.compile(r"\W*https?://[^\s>|]*/R-?(\d{1,9})(?![A-Za-z0-9_])[^\s>|]*(?:\|[^>]*)?>?", re.IGNORECASE)
_FILLERS = rf"(?:(?:{'|'.join(sorted(typed.FILLERS))})[^\w<]+)*"
_FIRST_ID = re.compile(rf"[\W_]*{_FILLERS}R[ #-]{{0,2}}(\d{{1,9}})(?![A-Za-z0-9_])", re.IGNORECASE)
_FIRST_NUMBER = re.compile(rf"[\W_]*{_FILLERS}(\d{{1,9}})(?![A-Za-z0-9_%]|[.,]\d)", re.IGNORECASE)
_ANY_ID = re.compile(r"(?<![A-Za-z0-9_])R-?(\d{1,9})(?![A-Za-z0-9_])", re.IGNORECASE)
_CLOSING = "`*_~\"'>)]}|"
_BETWEEN = " :,;.!?…=-"


def find(reference: str, world: World, *, thread_ts: str = "", only_running: bool = False) -> Resolved:
    """The rollout that `reference` means. If it is empty: the one of this thread, or the only one under way.

    `only_running`: a plan that has not started is never meant by leaving the rollout out.
    """
    return _named(reference, world) if reference else _left_out(world, thread_ts, only_running=only_running)


def find_in(said: str, world: World, *, thread_ts: str = "", only_running: bool = False) -> Meant | Unclear:
    """The rollout that a line means, with the rest of the line as the text.

    The line may begin with the rollout, name it anywhere, or leave it out. If the first word looks like a name but is
    none, the person is asked: it may be a misspelled name of another rollout.
    """
    said = said.strip()
    return (
        _begins_with_id(said, world)
        or _begins_with_name(said, world)
        or _in_thread(said, world, thread_ts)
        or _one_word(said, world)
        or _names_somewhere(said, world)
        or _misnamed(said, world)
        or _leaves_out(said, world, only_running=only_running)
    )


def named_exactly(reference: str, world: World) -> Rollout | None:
    """The rollout with this id (in any spelling), this exact name, or on this surface; nothing is completed."""
    found = _begins_with_id(reference, world) or _begins_with_name(reference, world)
    return found.rollout if isinstance(found, Meant) and not found.text else None


def _begins_with_id(said: str, world: World) -> Meant | Unclear | None:
    plain = typed.plain(said)
    found = _LINK.match(plain) or _FIRST_ID.match(plain)
    if found is not None:
        return _meant(_named(f"R-{found.group(1)}", world), said, found.end(), world)
    found = _FIRST_NUMBER.match(plain)
    if found is None:
        return None
    rollout, text = world.find(f"R-{found.group(1)}"), _text(said, found.end())
    if not text:
        return _meant(_named(found.group(1), world), said, found.end(), world)
    # A number followed by words may be a count: `5 customers complain`.
    if rollout is None:
        return None
    running = _running(world)
    if running == (rollout,):
        return _meant(rollout, said, found.end(), world)
    return Unclear(question="Which one?", candidates=_distinct((rollout, *reversed(running))))


def _begins_with_name(said: str, world: World) -> Meant | Unclear | None:
    words = typed.words(typed.plain(said))
    lowered = [w.group().lower() for w in words]
    skipped = next((i for i, word in enumerate(lowered) if word not in typed.FILLERS), 0)
    names = {
        **{s.title: s.name for s in world.surfaces.values() if s.title},
        **{s.name: s.name for s in world.surfaces.values()},
        **{r.plan.name: r.plan.name for r in world.rollouts.values()},
    }
    best: tuple[int, str] | None = None
    for shown, name in names.items():
        parts = _parts(shown)
        for start in {0, skipped}:
            fits = bool(parts) and lowered[start : start + len(parts)] == parts
            if fits and (best is None or start + len(parts) > best[0]):
                best = (start + len(parts), name)
    if best is None:
        return None
    found, end = _named(best[1], world), words[best[0] - 1].end()
    if isinstance(found, Rollout) and found.state in _OVER and _text(said, end) and _running(world):
        # The name may be a word of the text.
        unclear = Unclear(question=f"{found.id} {found.plan.name} has ended. Which one do you mean?")
        return _with_what_runs(unclear, world)
    return _meant(found, said, end, world)


def _in_thread(said: str, world: World, thread_ts: str) -> Meant | None:
    here = _of_thread(world, thread_ts)
    return Meant(rollout=here, text=_text(said, 0), others=_others(said, here, world)) if here else None


def _one_word(said: str, world: World) -> Meant | Unclear | None:
    """A single word is more likely a name than a reason."""
    left = [w for w in said.split() if typed.says_something(w)]
    if len(left) != 1 or _is_quoted(said):
        return None
    found = _named(left[0].strip("`*_~<>()[]{}.,:;!?|"), world)
    return Meant(rollout=found) if isinstance(found, Rollout) else _with_what_runs(found, world)


def _names_somewhere(said: str, world: World) -> Meant | Unclear | None:
    ids = dict.fromkeys(f"R-{m.group(1)}" for m in _ANY_ID.finditer(typed.plain(said)))
    there = tuple(found for name in ids if (found := world.find(name)) is not None)
    if ids and not there:
        return _with_what_runs(_unknown(next(iter(ids)), world), world)
    there = there or _named_in(said, _running(world))
    if len(there) == 1:
        return Meant(rollout=there[0], text=_text(said, 0))
    return Unclear(question="Which one?", candidates=there[:RECENT]) if there else None


def _misnamed(said: str, world: World) -> Unclear | None:
    first = next((w for w in said.split() if typed.says_something(w)), "").strip("`*_~<>()[]{}.,:;!?|\"'")
    if not first or _is_quoted(said):
        return None
    names = {r.plan.name: r for r in world.open} | {r.plan.surface: r for r in world.open}
    close = get_close_matches(first.lower(), list(names), n=1, cutoff=0.75)
    if close:
        return Unclear(question=f"There is no {first}. Did you mean {close[0]}?", candidates=(names[close[0]],))
    if re.search(r"\w[-_]\w|\w\d", typed.plain(first)):
        return _with_what_runs(_unknown(first, world), world)
    return None


def _leaves_out(said: str, world: World, *, only_running: bool) -> Meant | Unclear:
    found = _left_out(world, "", only_running=only_running)
    return Meant(rollout=found, text=_text(said, 0)) if isinstance(found, Rollout) else found


def _meant(found: Resolved, said: str, end: int, world: World) -> Meant | Unclear:
    if isinstance(found, Unclear):
        return _with_what_runs(found, world)
    text = _text(said, end)
    return Meant(rollout=found, text=text, others=_others(text, found, world))


def text_in(said: str) -> str:
    """The text of a line whose rollout is already known, without the id that it may begin with."""
    plain = typed.plain(said)
    found = _LINK.match(plain) or _FIRST_ID.match(plain)
    return _text(said, found.end() if found else 0)


def _text(said: str, end: int) -> str:
    plain = typed.plain(said[end:])
    if not typed.says_something(plain):
        return ""
    left = plain.lstrip(_CLOSING) if end else plain  # what closes the id is dropped; what opens the text belongs to it
    left = left.lstrip(_BETWEEN)
    return typed.unquoted(typed.readable(said[len(said) - len(left) :]))


def _others(text: str, rollout: Rollout, world: World) -> tuple[Rollout, ...]:
    ids = {f"R-{m.group(1)}" for m in _ANY_ID.finditer(typed.plain(text))}
    return tuple(r for r in _running(world) if r.id in ids and r is not rollout)


def _named_in(said: str, rollouts: Iterable[Rollout]) -> tuple[Rollout, ...]:
    text = f" {' '.join(_parts(said))} "
    return tuple(
        r for r in rollouts if any(f" {' '.join(_parts(name))} " in text for name in (r.plan.name, r.plan.surface))
    )


def _parts(name: str) -> list[str]:
    return [w.group().lower() for w in typed.words(typed.plain(name))]


def _is_quoted(said: str) -> bool:
    return typed.plain(said)[:1] in ('"', "'")


def running_beside(rollout: Rollout, world: World) -> tuple[Rollout, ...]:
    """The rollouts that are still under way, if this one is over."""
    return _running(world) if rollout.state in _OVER else ()


def _running(world: World) -> tuple[Rollout, ...]:
    return tuple(r for r in world.open if r.under_way)


def _with_what_runs(unclear: Unclear, world: World) -> Unclear:
    """The question with the running rollouts as candidates, unless it has better ones."""
    return unclear if unclear.candidates else replace(unclear, candidates=tuple(reversed(_running(world)))[:RECENT])


def _distinct(rollouts: Sequence[Rollout]) -> tuple[Rollout, ...]:
    return tuple({r.id: r for r in rollouts}.values())[:RECENT]


def _of_thread(world: World, thread_ts: str) -> Rollout | None:
    there = (r for r in world.rollouts.values() if "card" in r.messages and r.messages["card"].ts == thread_ts)
    return next(iter(reversed(tuple(there))), None) if thread_ts else None


def _left_out(world: World, thread_ts: str, *, only_running: bool) -> Resolved:
    everything = tuple(world.rollouts.values())
    if (here := _of_thread(world, thread_ts)) is not None:
        return here
    running = [r for r in everything if r.under_way]
    if len(running) == 1:
        return running[0]
    if not running and len(world.open) == 1 and not only_running:
        return world.open[0]
    recent = tuple(reversed(world.open or everything))[:RECENT]
    if not recent:
        return Unclear(question="There is no rollout yet. Plan one from a file: rollout apply FILE.")
    if only_running and not running:
        able = tuple(r for r in recent if r in world.open or world.surfaces[r.plan.surface].live_by == r.id)
        return Unclear(question="No rollout is running now.", candidates=able)
    return Unclear(question="Which one?", candidates=tuple(reversed(running))[:RECENT] if only_running else recent)


def _named(reference: str, world: World) -> Resolved:
    wanted = reference.upper()
    by_id = world.find(wanted) or world.find(f"R-{wanted.removeprefix('R')}")
    if by_id is not None:
        return by_id
    if (exact := world.named(reference)) is not None:
        return exact
    if (there := _surface(reference, world)) is not None:
        return there
    begins = [r for r in world.rollouts.values() if r.plan.name.lower().startswith(reference.lower())]
    still_open = [r for r in begins if r in world.open]
    for found in (begins, still_open):
        if len(found) == 1:
            return found[0]
    if begins:
        return Unclear(question=f'"{reference}" fits more than one.', candidates=tuple(reversed(begins))[:RECENT])
    return _unknown(reference, world)


def _surface(reference: str, world: World) -> Resolved | None:
    surface = world.surfaces.get(reference.lower()) or world.surfaces.get(reference)
    if surface is None:
        return None
    there = [r for r in world.open if r.plan.surface == surface.name]
    running = [r for r in there if r.under_way]
    chosen = running or there
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        return Unclear(question=f"{surface.name} has more than one.", candidates=tuple(reversed(chosen))[:RECENT])
    if surface.live_by in world.rollouts:
        return world.rollouts[surface.live_by]
    return Unclear(question=f"Nothing is changing on {surface.name}: {surface.live} is live.")


def _unknown(reference: str, world: World) -> Unclear:
    running = ", ".join(f"{r.id} {r.plan.name}" for r in world.open) or "none"
    names = {r.id: r for r in world.open} | {r.plan.name: r for r in world.open}
    number = reference.upper().removeprefix("R-").removeprefix("R")
    swapped = [r.id for r in world.open if sorted(r.id.removeprefix("R-")) == sorted(number)]
    wanted = f"R-{number}" if number.isdigit() else reference
    close = swapped or get_close_matches(wanted, list(names), n=1, cutoff=0.6)
    candidates = (names[close[0]],) if close else ()
    meant = f" Did you mean {candidates[0].id}?" if candidates else ""
    return Unclear(question=f"There is no {reference}. Open now: {running}.{meant}", candidates=candidates)
