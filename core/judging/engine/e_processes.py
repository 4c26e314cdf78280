"""Advance every exact e-process by one look: since each stage, since an unknown onset, and for non-inferiority."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from math import exp

import numpy as np

from core.judging.engine.increments import Increment
from core.judging.model.evidence import EVERYONE
from core.judging.model.question import Question
from core.judging.model.state import EProcess, EProcessKind, JudgingState
from core.stats.input_checks import Array, Side
from core.stats.sequential import onset

ONSET_INTERVAL = timedelta(minutes=5)
"""Interval between the possible onsets of harm."""
ONSET_HORIZONS = tuple(span // ONSET_INTERVAL for span in (timedelta(days=1), timedelta(days=7)))
"""Onsets of the first day, and of the first week: half of the weight is spread evenly over them."""
ONSET_WINDOW = timedelta(hours=1)
"""Approximate memory of the onset e-processes."""
MAX_FORGOTTEN_WINDOWS = 30.0
"""Upper limit, in windows, of the time between looks: beyond it the remembered share would round to 0."""

_Key = tuple[int, Side, int, EProcessKind, str]


def advance_e_processes(
    question: Question, increments: list[Increment], before: JudgingState, at: datetime
) -> tuple[tuple[EProcess, ...], int]:
    """(e-processes, onsets allowed for so far) after a look."""
    tracks = {
        _build_key(track): np.array(track.components) for track in before.tracks if _is_still_needed(question, track)
    }
    starts = _count_starts(before, at)
    for gain in increments:
        for key in _keys_of_increment(question, gain):
            tracks[key] = tracks.get(key, np.zeros_like(gain.log_components)) + gain.log_components
    tracks |= _advance_onsets(increments, before, tracks, starts, at)
    return tuple(
        EProcess(
            limit=limit,
            side=side,
            since=since,
            part=part,
            segment=segment,
            components=tuple(tracks[limit, side, since, part, segment].tolist()),
        )
        for limit, side, since, part, segment in sorted(tracks)
    ), starts


def _build_key(track: EProcess) -> _Key:
    return track.limit, track.side, track.since, track.part, track.segment


def _is_still_needed(question: Question, track: EProcess) -> bool:
    """Whether an e-process is still used.

    To keep the state small, those of segments since a finished stage are dropped, and so is non-inferiority there.
    """
    if track.part == "clear":
        return track.since == question.current
    return track.segment == EVERYONE or track.since in question.comparison_starts


def _keys_of_increment(question: Question, gain: Increment) -> Iterator[_Key]:
    for since in _starting_stages(question, gain):
        if since <= gain.new_counts.stage:
            yield gain.limit, gain.side, since, gain.part, gain.new_counts.segment


def _starting_stages(question: Question, gain: Increment) -> tuple[int, ...]:
    if gain.part == "clear":
        return (question.current,)
    if gain.part == "level":
        return ()  # only its onset is unknown
    if gain.part == "alone":
        return question.stages_without_control[:1]
    if gain.new_counts.segment != EVERYONE:
        return question.comparison_starts
    if question.is_default_limit(gain.limit):
        return question.comparison_starts if gain.part != "fixed" else question.exposed_stages[:1]
    return question.exposed_stages if gain.part == "fixed" else question.compared_stages


def _advance_onsets(
    increments: list[Increment], before: JudgingState, tracks: Mapping[_Key, Array], starts: int, at: datetime
) -> Mapping[_Key, Array]:
    """Advance the onset e-processes. Only overall increments count, divided by the design effect known before them."""
    added: dict[_Key, Array] = {}
    for gain in increments:
        if gain.new_counts.segment == EVERYONE and gain.part in {"pair", "fixed", "tail", "level"}:
            kind: EProcessKind = "late_level" if gain.part == "level" else "onset"
            key: _Key = (gain.limit, gain.side, -1, kind, EVERYONE)
            # The variance of a level is that of sums of buckets: it knows that requests of a unit are alike.
            weakened = gain.log_components / (1.0 if gain.part == "level" else before.effects.get(gain.cell, 1.0))
            added[key] = weakened if key not in added else added[key] + weakened
    forget = (
        0.0
        if before.seen is None
        else 1 - exp(-min(max((at - before.seen) / ONSET_WINDOW, 0.0), MAX_FORGOTTEN_WINDOWS))
    )
    begins = onset.log_start_weight(starts, horizons=ONSET_HORIZONS) if starts > before.starts else None
    grown: dict[_Key, Array] = {}
    for key in {**added, **{key: None for key in tracks if key[3] in {"onset", "late_level"}}}:
        known, gains = tracks.get(key), added.get(key)
        if known is None and begins is None:
            continue  # no onset is possible yet
        if known is None:
            assert gains is not None
            known = np.full_like(gains, -np.inf)
        nothing = np.zeros_like(known)
        grown[key] = onset.advance_mixture(known, nothing if gains is None else gains, forget=forget, log_start=begins)
    return grown


def _count_starts(before: JudgingState, at: datetime) -> int:
    """Onsets allowed for so far: one per `ONSET_INTERVAL` since the first exposure, not counting the first stage.

    It never decreases: a clock that is set back must not spend the weight of an onset twice.
    """
    passed = 0 if before.exposed_since is None else (at - before.exposed_since) // ONSET_INTERVAL
    return max(before.starts, passed)
