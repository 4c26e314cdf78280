"""Advance every exact e-process by one look: since each stage, since an unknown onset, and for non-inferiority."""

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
"""Interval between the possible onsets of harm."""
WINDOW = timedelta(hours=1)
"""Approximate memory of the onset e-processes."""
FORGOTTEN = 30.0
"""Upper limit, in windows, of the time between looks: beyond it the remembered share would round to 0."""

_Key = tuple[int, Side, int, Part, str]


def advance(question: Question, found: list[Gain], before: State, at: datetime) -> tuple[tuple[Track, ...], int]:
    """(e-processes, onsets allowed for so far) after a look."""
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
    """Whether an e-process is still used.

    To keep the state small, those of segments since a finished stage are dropped, and so is non-inferiority there.
    """
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
    """Advance the onset e-processes. Only overall increments count, divided by the design effect known before them."""
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
            continue  # no onset is possible yet
        if known is None:
            assert gains is not None
            known = np.full_like(gains, -np.inf)
        nothing = np.zeros_like(known)
        grown[key] = onset.advance(known, nothing if gains is None else gains, forget=forget, log_start=begins)
    return grown


def _starts(before: State, at: datetime) -> int:
    """Onsets allowed for so far: one per `ONSET_INTERVAL` since the first exposure, not counting the first stage.

    It never decreases: a clock that is set back must not spend the weight of an onset twice.
    """
    passed = 0 if before.exposed_since is None else (at - before.exposed_since) // START_EVERY
    return max(before.starts, passed)
