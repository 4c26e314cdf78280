"""Every exact e-process one look later: since each stage, since an unknown time, and that limits are kept."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from math import exp

import numpy as np

from core.judging.engine.increments import Gain
from core.judging.model.evidence import EVERYONE
from core.judging.model.question import Question
from core.judging.model.state import Part, State, Track
from core.stats import onset
from core.stats.checked import Array, Side

START_EVERY = timedelta(minutes=5)
"""How often harm may begin, for the e-processes of an unknown beginning."""
WINDOW = timedelta(hours=1)
"""How far back these look, about."""
FORGOTTEN = 30.0
"""Windows without a look, after which nothing older counts; a few more, and the share that is kept would round to 0."""

_Key = tuple[int, Side, int, Part, str]


def advance(question: Question, found: list[Gain], before: State, at: datetime) -> tuple[tuple[Track, ...], int]:
    """(tracks, starts so far) after a look."""
    tracks = {_key(track): np.array(track.components) for track in before.tracks if _lives(question, track)}
    starts = _starts(before, at)
    for gain in found:
        for key in _keys(question, gain):
            tracks[key] = tracks.get(key, np.zeros_like(gain.added)) + gain.added
    tracks |= _onsets(found, before, tracks, starts, at)
    return tuple(
        Track(
            limit=limit,
            side=side,
            since=since,
            part=part,
            segment=segment,
            components=tuple(tracks[limit, side, since, part, segment].tolist()),
        )
        for limit, side, since, part, segment in sorted(tracks)
    ), starts


def _key(track: Track) -> _Key:
    return track.limit, track.side, track.since, track.part, track.segment


def _lives(question: Question, track: Track) -> bool:
    """What a segment did since a stage that is over, and what was cleared there, is given up: it keeps state small."""
    if track.part == "clear":
        return track.since == question.current
    return track.segment == EVERYONE or track.since in question.epochs


def _keys(question: Question, gain: Gain) -> Iterator[_Key]:
    for since in _epochs(question, gain):
        if since <= gain.step.stage:
            yield gain.limit, gain.side, since, gain.part, gain.step.segment


def _epochs(question: Question, gain: Gain) -> tuple[int, ...]:
    if gain.part == "clear":
        return (question.current,)
    if gain.part == "alone":
        return question.alone[:1]
    if gain.step.segment != EVERYONE:
        return question.epochs
    if question.is_implied(gain.limit):
        return question.epochs if gain.part != "fixed" else question.exposed[:1]
    return question.exposed if gain.part == "fixed" else question.compared


def _onsets(
    found: list[Gain], before: State, tracks: Mapping[_Key, Array], starts: int, at: datetime
) -> Mapping[_Key, Array]:
    """The e-processes of an unknown beginning. What everybody's look adds is weakened by the design effect known
    before it."""
    added: dict[_Key, Array] = {}
    for gain in found:
        if gain.step.segment == EVERYONE and gain.part in {"pair", "fixed", "tail"}:
            key: _Key = (gain.limit, gain.side, -1, "onset", EVERYONE)
            weakened = gain.added / before.effects.get(gain.cell, 1.0)
            added[key] = weakened if key not in added else added[key] + weakened
    forget = 0.0 if before.seen is None else 1 - exp(-min(max((at - before.seen) / WINDOW, 0.0), FORGOTTEN))
    begins = onset.log_start_weight(starts) if starts > before.starts else None
    grown: dict[_Key, Array] = {}
    for key in {**added, **{key: None for key in tracks if key[3] == "onset"}}:
        known, gains = tracks.get(key), added.get(key)
        if known is None and begins is None:
            continue  # nothing has begun yet
        if known is None:
            assert gains is not None
            known = np.full_like(gains, -np.inf)
        nothing = np.zeros_like(known)
        grown[key] = onset.advance(known, nothing if gains is None else gains, forget=forget, log_start=begins)
    return grown


def _starts(before: State, at: datetime) -> int:
    """One more start whenever five minutes have passed since anybody was exposed; the first stage is no late start.

    Never fewer than before: a clock that is set back must not give the weight of a start away twice.
    """
    passed = 0 if before.exposed_since is None else (at - before.exposed_since) // START_EVERY
    return max(before.starts, passed)
